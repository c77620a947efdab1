// /dev: the memory devices (null, zero, full, random), the terminals and the links to standard streams. A tmpfs with names put in at boot;
// what opening a device gives is registered with the VFS by device number.

import { EINVAL, EIO, ENODEV, ENOSPC, ENXIO } from "../../base/errno.ts";
import { MAP_SHARED, MAP_TYPE } from "../../mm/constants.ts";
import { FileObject } from "../../mm/file-object.ts";
import { type MemoryObject, ShmemObject } from "../../mm/object.ts";
import type { VmFile } from "../../mm/vma.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, devMajor, devMinor, makeDev } from "./abi.ts";
import { OpenFile } from "./file.ts";
import type { Path } from "./inode.ts";
import { PTY_SLAVE_MAJOR, type PtsFs } from "./pty.ts";
import { type RamDir, RamFs, RamSpecial } from "./ramfs.ts";
import { Tty, TtyFile } from "./tty.ts";
import type { Vfs } from "./vfs.ts";

const MEM_MAJOR = 1;
const TTY_AUX_MAJOR = 5;
/** Block devices of local use. */
const SWAP_MAJOR = 60;
/** Bytes of one read from a device without end: larger reads are cut, as a signal may cut them in Linux. */
const CHUNK = 1 << 20;

type MemKind = "null" | "zero" | "full" | "random" | "kmsg";

/** An open memory device. */
class MemFile extends OpenFile {
  readonly #kind: MemKind;
  readonly #kernel: Kernel;
  constructor(kernel: Kernel, kind: MemKind, path: Path, flags: number) {
    super(flags, path);
    this.#kind = kind;
    this.#kernel = kernel;
  }
  override get seekable(): boolean {
    return true;
  }
  /** Seeking is allowed and means nothing: null_lseek and noop_llseek. */
  override seek(): number {
    return 0;
  }
  override read(_task: Task, length: number): Uint8Array | number {
    if (this.#kind === "null") return new Uint8Array(0);
    if (this.#kind === "kmsg") return -EINVAL;
    const bytes = new Uint8Array(Math.min(length, CHUNK));
    if (this.#kind === "random") this.#kernel.random.fill(bytes);
    return bytes;
  }
  override unread(): void {}
  override write(_task: Task, data: Uint8Array): number {
    if (this.#kind === "full") return -ENOSPC;
    if (this.#kind === "kmsg") this.#kernel.log(new TextDecoder().decode(data).trimEnd());
    return data.length;
  }
  override fsync(): number {
    return -EINVAL;
  }
  override mmap(request: { flags: number }): VmFile | number {
    if (this.#kind !== "zero") return -ENODEV;
    return new ZeroMapping(this.#kernel, this, (request.flags & MAP_TYPE) === MAP_SHARED ? "shared" : "private");
  }
}

/** Larger than any address space: a mapping of /dev/zero has no end. */
const ENDLESS = 2 ** 52;

/** A mapping of /dev/zero: private ones begin as zeros, shared ones are anonymous shared memory of their own. */
class ZeroMapping implements VmFile {
  readonly object: MemoryObject;
  readonly mergeKey: unknown = this;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly inode: number;
  readonly readable = true;
  readonly writable: boolean;
  readonly #shared: boolean;
  readonly #file: OpenFile;

  constructor(kernel: Kernel, file: OpenFile, kind: "shared" | "private") {
    this.#shared = kind === "shared";
    this.#file = file;
    this.writable = file.writable;
    const inode = file.inode!;
    this.devMajor = this.#shared ? 0 : devMajor(inode.fs.dev);
    this.devMinor = this.#shared ? 1 : devMinor(inode.fs.dev);
    this.inode = inode.ino;
    const zeros = { readPage: () => 0, writePage: () => 0 };
    this.object = this.#shared
      ? new ShmemObject(kernel.memory, ENDLESS)
      : new FileObject(kernel.memory, zeros, ENDLESS);
  }
  name(): string {
    return this.#shared ? "/dev/zero (deleted)" : "/dev/zero";
  }
  writeSealed(): boolean {
    return false;
  }
  #references = 0;
  get(): void {
    this.#references++;
    this.#file.get();
  }
  put(): void {
    this.#file.put();
    if (--this.#references === 0) this.object.release();
  }
}

const MEM_DEVICES: readonly [name: string, minor: number, mode: number, kind: MemKind][] = [
  ["null", 3, 0o666, "null"],
  ["zero", 5, 0o666, "zero"],
  ["full", 7, 0o666, "full"],
  ["random", 8, 0o666, "random"],
  ["urandom", 9, 0o666, "random"],
  ["kmsg", 11, 0o644, "kmsg"],
];

/** Builds /dev and registers its devices. `console` is the terminal on the host's standard streams. */
export function makeDevFs(kernel: Kernel, vfs: Vfs, options: { devMinor: number; console: Tty; pts: PtsFs }): RamFs {
  const now = () => kernel.clock.realtime();
  const fs = new RamFs(kernel.memory, { devMinor: options.devMinor, now, type: "devtmpfs" });
  const directory = fs.root;
  const device = (name: string, major: number, minor: number, mode: number): void =>
    directory.add(name, new RamSpecial(fs, { mode: S_IFCHR | mode, uid: 0, gid: 0, rdev: makeDev(major, minor) }));

  for (const [name, minor, mode, kind] of MEM_DEVICES) {
    device(name, MEM_MAJOR, minor, mode);
    vfs.registerDevice(makeDev(MEM_MAJOR, minor), (_task, path, flags) => new MemFile(kernel, kind, path, flags));
  }
  device("tty", TTY_AUX_MAJOR, 0, 0o666);
  vfs.registerDevice(makeDev(TTY_AUX_MAJOR, 0), (task, path, flags) => {
    const tty = task.process.session.tty;
    return tty instanceof Tty ? (tty.hungUp ? -EIO : new TtyFile(tty, path, flags)) : -ENXIO;
  });
  device("console", TTY_AUX_MAJOR, 1, 0o600);
  vfs.registerDevice(makeDev(TTY_AUX_MAJOR, 1), (task, path, flags) =>
    TtyFile.open(task, options.console, path, flags),
  );
  device("ptmx", TTY_AUX_MAJOR, 2, 0o666);
  vfs.registerDevice(makeDev(TTY_AUX_MAJOR, 2), (task, path, flags) => options.pts.openMaster(task, path, flags));
  vfs.registerMajor(PTY_SLAVE_MAJOR, (task, path, flags) =>
    options.pts.openSlave(task, path, flags, devMinor(path.inode.rdev)),
  );

  if (kernel.swapDevicePages > 0) {
    // Only a name for swapon and swapoff: nothing opens it.
    const rdev = makeDev(SWAP_MAJOR, 0);
    directory.add("swap", new RamSpecial(fs, { mode: S_IFBLK | 0o660, uid: 0, gid: 0, rdev }));
  }

  link(directory, "fd", "/proc/self/fd");
  link(directory, "stdin", "/proc/self/fd/0");
  link(directory, "stdout", "/proc/self/fd/1");
  link(directory, "stderr", "/proc/self/fd/2");
  for (const name of ["pts", "shm"]) directory.mkdir(name, { mode: S_IFDIR | 0o755, uid: 0, gid: 0 });
  return fs;
}

function link(directory: RamDir, name: string, target: string): void {
  directory.symlink(name, target, { mode: S_IFLNK | 0o777, uid: 0, gid: 0 });
}
