// The file system of sockets, and the names that UNIX sockets are bound to: places in the file tree and abstract names. One SocketFs per kernel
// (kernel.vfs.sockets); it knows every socket, for lookups, /proc/net/unix and garbage collection.

import { EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL, EPROTOTYPE } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { AT_FDCWD, MAY_WRITE, SOCKFS_MAGIC, S_IFMT, S_IFSOCK, type Timespec } from "./abi.ts";
import { mknodPath, unlink } from "./dirops.ts";
import type { OpenFile } from "./file.ts";
import { Filesystem, Inode, type Path, plainStatFs } from "./inode.ts";
import { permission } from "./permission.ts";
import { SocketFile, UnixSocket } from "./socket.ts";
import type { StatFs } from "./stat.ts";

/** Names that autobind tries: five hexadecimal digits. */
const AUTOBIND_NAMES = 0x100000;

export class SocketInode extends Inode {}

/** A name that is in use (struct unix_address): shared by a listening socket and the connections accepted from it. */
export class UnixName {
  /** sun_path as a byte string: a path, or an abstract name with its leading NUL. */
  readonly text: string;
  readonly #fs: SocketFs;
  /** Where it is, for paths. */
  readonly #path: Path | null;
  /** The socket that others find by it. */
  readonly #socket: UnixSocket;

  constructor(fs: SocketFs, text: string, path: Path | null, socket: UnixSocket) {
    this.#fs = fs;
    this.text = text;
    this.#path = path;
    this.#socket = socket;
    path?.inode.hold();
  }
  /** For an accepted connection: it has the name, but is not found by it. */
  share(): UnixName {
    return this;
  }
  /** `socket` is closed; the one that was bound gives the name up. */
  release(socket: UnixSocket): void {
    if (socket !== this.#socket) return;
    this.#fs.forget(this.text, socket, this.#path);
    this.#path?.inode.drop();
  }
}

export class SocketFs extends Filesystem {
  readonly type = "sockfs";
  readonly root: Inode;
  readonly sockets = new Set<UnixSocket>();
  /** Abstract names by type and name. */
  readonly #abstract = new Map<string, UnixSocket>();
  readonly #byInode = new WeakMap<Inode, UnixSocket>();
  /** Files in messages that nobody has received. */
  inFlight = 0;
  collecting = false;

  constructor(devMinor: number, now: () => Timespec) {
    super(devMinor, now);
    this.nextIno = 1024;
    this.root = new SocketInode(this, S_IFSOCK);
  }
  override statfs(): StatFs {
    return plainStatFs(SOCKFS_MAGIC);
  }

  /** An open file for `socket` (a new one by default) of `task`; `flags` may hold O_NONBLOCK. */
  open(task: Task, socket: UnixSocket | number, flags: number): SocketFile {
    const inode = new SocketInode(this, S_IFSOCK | 0o777);
    inode.uid = task.creds.fsuid;
    inode.gid = task.creds.fsgid;
    return new SocketFile(typeof socket === "number" ? new UnixSocket(this, socket) : socket, inode, flags);
  }

  /** Files are on their way in a message, or have arrived. */
  launched(files: readonly OpenFile[]): void {
    this.inFlight += files.length;
    for (const file of files) if (file instanceof SocketFile) file.socket.inFlight++;
  }
  landed(files: readonly OpenFile[]): void {
    this.inFlight -= files.length;
    for (const file of files) if (file instanceof SocketFile) file.socket.inFlight--;
  }

  /** bind(2): `name` is sun_path, "" for autobind. 0 or -errno. */
  bind(task: Task, socket: UnixSocket, name: string): number {
    if (name === "") return this.autobind(task, socket);
    if (!name.startsWith("\0")) return this.#bindPath(task, socket, name);
    if (socket.name !== null) return -EINVAL;
    const key = `${socket.type}:${name}`;
    if (this.#abstract.has(key)) return -EADDRINUSE;
    this.#abstract.set(key, socket);
    socket.name = new UnixName(this, name, null, socket);
    return 0;
  }
  #bindPath(task: Task, socket: UnixSocket, name: string): number {
    const { vfs } = task.kernel;
    const mode = S_IFSOCK | (0o777 & ~task.fs.umask);
    const path = mknodPath(vfs, task, AT_FDCWD, name, mode, 0);
    if (typeof path === "number") return path === -EEXIST ? -EADDRINUSE : path;
    // A name that exists is the first thing to be wrong, as in Linux.
    if (socket.name !== null) {
      unlink(vfs, task, AT_FDCWD, name);
      return -EINVAL;
    }
    this.#byInode.set(path.inode, socket);
    socket.name = new UnixName(this, name, path, socket);
    return 0;
  }
  /** Gives an unbound socket an abstract name that nobody has. */
  autobind(task: Task, socket: UnixSocket): number {
    if (socket.name !== null) return 0;
    const first = task.kernel.random.below(AUTOBIND_NAMES);
    for (let i = 0; i < AUTOBIND_NAMES; i++) {
      const number = (first + i) % AUTOBIND_NAMES;
      const name = `\0${number.toString(16).padStart(5, "0")}`;
      if (this.bind(task, socket, name) === 0) return 0;
    }
    return -EADDRINUSE;
  }
  /** Only UnixName calls this. */
  forget(name: string, socket: UnixSocket, path: Path | null): void {
    if (path !== null) this.#byInode.delete(path.inode);
    else this.#abstract.delete(`${socket.type}:${name}`);
  }

  /** The socket of `type` that `name` leads `task` to; -ECONNREFUSED if there is none, -EPROTOTYPE for another type, or the path's error. */
  find(task: Task, name: string, type: number): UnixSocket | number {
    if (name.startsWith("\0")) return this.#abstract.get(`${type}:${name}`) ?? -ECONNREFUSED;
    const path = task.kernel.vfs.resolve(task, AT_FDCWD, name, { follow: true });
    if (typeof path === "number") return path;
    const denied = permission(task, path, MAY_WRITE);
    if (denied) return denied;
    if ((path.inode.mode & S_IFMT) !== S_IFSOCK) return -ECONNREFUSED;
    const socket = this.#byInode.get(path.inode);
    if (socket === undefined) return -ECONNREFUSED;
    return socket.type === type ? socket : -EPROTOTYPE;
  }

  /** /proc/net/unix */
  text(): string {
    let text = "Num       RefCount Protocol Flags    Type St Inode Path\n";
    for (const socket of this.sockets) {
      const listening = socket.state === "listening";
      const state = socket.file === null ? 2 : socket.state === "connected" ? 3 : 1;
      const name = socket.name === null ? "" : ` ${socket.name.text.replaceAll("\0", "@")}`;
      const type = socket.type.toString(16).padStart(4, "0");
      const inode = String(socket.file?.inode?.ino ?? 0).padStart(5);
      const refs = socket.peer === null ? 2 : 3;
      text += `0000000000000000: ${refs.toString(16).padStart(8, "0")} 00000000 ${listening ? "00010000" : "00000000"} `;
      text += `${type} ${String(state).padStart(2, "0")} ${inode}${name}\n`;
    }
    return text;
  }
}
