// A host directory as the kernel's HostFs, with no way out of it: each name on a path is opened from its parent's descriptor without following
// links (Linux: through /proc/self/fd, which is openat(2) by another name), so that neither the guest nor somebody who moves directories
// meanwhile can lead it outside. Where there is no /proc, names are checked one by one instead.
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
  type BigIntStats,
  type PathLike,
} from "node:fs";
import { constants as os } from "node:os";
import { EACCES, EINVAL, EIO, ELOOP, EROFS } from "../base/errno.ts";
import type { HostFile, HostFs, HostStat, HostTime } from "../kernel/ports.ts";

/** open(2)'s O_PATH, which Node has no name for (asm-generic; the same on x86-64 and arm64). */
const O_PATH = 0o10000000;
const DIRECTORY = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const PROC = "/proc/self/fd";

/** Node's error as -errno: the numbers of the machines that Node runs on agree with asm-generic's where it matters; names decide. */
function errnoOf(error: unknown): number {
  const name = (error as NodeJS.ErrnoException).code;
  if (name === undefined) throw error;
  const number = (os.errno as Record<string, number>)[name];
  return number === undefined ? -EIO : -number;
}

/** What `operation` returns, or -errno. */
function attempt<T>(operation: () => T): T | number {
  try {
    return operation();
  } catch (error) {
    return errnoOf(error);
  }
}
/** 0, or -errno. */
const attemptTo = (operation: () => void): number => attempt(() => (operation(), 0));

/** One name in a directory, and not a way out of it. */
const isName = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
/** The kernel's names are byte strings, and so are the host's. */
const bytes = (byteString: string): Buffer => Buffer.from(byteString, "latin1");
const join = (directory: Buffer, name: string): Buffer => Buffer.concat([directory, bytes("/" + name)]);

const time = (ns: bigint): HostTime => {
  const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { sec: Number((ns - nsec) / 1_000_000_000n), nsec: Number(nsec) };
};
const seconds = (t: HostTime): number => t.sec + t.nsec / 1e9;

type Kinded = { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean };
const kindOf = (entry: Kinded): HostStat["kind"] =>
  entry.isFile() ? "file" : entry.isDirectory() ? "directory" : entry.isSymbolicLink() ? "symlink" : "other";

const statOf = (stat: BigIntStats): HostStat => ({
  kind: kindOf(stat),
  mode: Number(stat.mode & 0o7777n),
  ino: Number(stat.ino),
  nlink: Number(stat.nlink),
  size: Number(stat.size),
  blocks: Number(stat.blocks),
  atime: time(stat.atimeNs),
  mtime: time(stat.mtimeNs),
  ctime: time(stat.ctimeNs),
});

class NodeFile implements HostFile {
  readonly #fd: number;
  constructor(fd: number) {
    this.#fd = fd;
  }
  read(pos: number, into: Uint8Array): number {
    return attempt(() => readSync(this.#fd, into, 0, into.length, pos));
  }
  write(pos: number, data: Uint8Array): number {
    return attempt(() => {
      let at = 0;
      while (at < data.length) at += writeSync(this.#fd, data, at, data.length - at, pos + at);
      return at;
    });
  }
  stat(): HostStat | number {
    return attempt(() => statOf(fstatSync(this.#fd, { bigint: true })));
  }
  truncate(size: number): number {
    return attemptTo(() => ftruncateSync(this.#fd, size));
  }
  sync(): number {
    return attemptTo(() => fsyncSync(this.#fd));
  }
  close(): void {
    attemptTo(() => closeSync(this.#fd));
  }
}

export class NodeFs implements HostFs {
  readonly source: string;
  readonly writable: boolean;
  readonly #root: Buffer;
  /** Kept open: what the directory is, whatever becomes of its name. */
  readonly #rootFd: number | null;

  /** Throws Node's error if `directory` is not a directory that can be opened. */
  constructor(directory: string, options: { writable: boolean }) {
    this.source = realpathSync(directory);
    this.writable = options.writable;
    this.#root = Buffer.from(this.source);
    readdirSync(this.#root); // is one, and may be read
    this.#rootFd = process.platform === "linux" && existsSync(PROC) ? openSync(this.#root, DIRECTORY) : null;
  }

  lstat(path: string): HostStat | number {
    // The directory itself is reached through a link of /proc, which must be followed.
    if (path === "") return this.#inside(path, (at) => statOf(statSync(at, { bigint: true })));
    return this.#at(path, (at) => statOf(lstatSync(at, { bigint: true })));
  }
  readdir(path: string): { name: string; kind: HostStat["kind"]; ino: number }[] | number {
    return this.#inside(path, (at) =>
      readdirSync(at, { withFileTypes: true, encoding: "buffer" }).flatMap((entry) => {
        const name = entry.name.toString("latin1");
        const stat = attempt(() => lstatSync(join(at, name), { bigint: true }));
        // Gone since: not listed.
        return typeof stat === "number" ? [] : [{ name, kind: kindOf(entry), ino: Number(stat.ino) }];
      }),
    );
  }
  readlink(path: string): string | number {
    return this.#at(path, (at) => readlinkSync(at, { encoding: "buffer" }).toString("latin1"));
  }
  open(path: string, options: { write: boolean; create?: { mode: number; exclusive: boolean } }): HostFile | number {
    const { write, create } = options;
    if ((write || create) && !this.writable) return -EROFS;
    const flags =
      (write ? constants.O_RDWR : constants.O_RDONLY) |
      (create ? constants.O_CREAT | (create.exclusive ? constants.O_EXCL : 0) : 0) |
      constants.O_NOFOLLOW |
      constants.O_NONBLOCK; // never waits for the other end of a FIFO
    return this.#at(path, (at) => {
      const fd = openSync(at, flags, create?.mode ?? 0);
      const stat = fstatSync(fd);
      if (stat.isFile()) return new NodeFile(fd);
      closeSync(fd);
      return -EACCES; // devices, FIFOs and sockets of the host stay the host's
    });
  }
  mkdir(path: string, mode: number): number {
    return this.#change(path, (at) => void mkdirSync(at, { mode }));
  }
  rmdir(path: string): number {
    return this.#change(path, (at) => rmdirSync(at));
  }
  unlink(path: string): number {
    return this.#change(path, (at) => unlinkSync(at));
  }
  rename(from: string, to: string): number {
    return this.#change(from, (source) => this.#change(to, (target) => renameSync(source, target)));
  }
  link(from: string, to: string): number {
    return this.#change(from, (source) => this.#change(to, (target) => linkSync(source, target)));
  }
  symlink(text: string, path: string): number {
    return this.#change(path, (at) => symlinkSync(bytes(text), at));
  }
  chmod(path: string, mode: number): number {
    // chmod(2) follows links; what is one is refused, as fchmodat(AT_SYMLINK_NOFOLLOW) does.
    return this.#change(path, (at) => (lstatSync(at).isSymbolicLink() ? -EINVAL : chmodSync(at, mode)));
  }
  utimes(path: string, atime: HostTime, mtime: HostTime): number {
    return this.#change(path, (at) =>
      lstatSync(at).isSymbolicLink() ? -EINVAL : utimesSync(at, seconds(atime), seconds(mtime)),
    );
  }
  statfs(): { bsize: number; blocks: number; bfree: number; files: number; ffree: number } | number {
    return attempt(() => {
      const { bsize, blocks, bfree, files, ffree } = statfsSync(this.#root as PathLike);
      return { bsize, blocks, bfree, files, ffree };
    });
  }
  /** Lets the directory go. */
  close(): void {
    if (this.#rootFd !== null) closeSync(this.#rootFd);
  }

  /** Calls `operation` with a host path for `path` whose last name is not resolved yet and whose directory is inside. */
  #at<T>(path: string, operation: (at: Buffer) => T): T | number {
    const slash = path.lastIndexOf("/");
    const last = path.slice(slash + 1);
    if (path === "") return this.#inside("", operation);
    if (!isName(last)) return -EINVAL;
    return this.#inside(slash < 0 ? "" : path.slice(0, slash), (directory) => operation(join(directory, last)));
  }
  #change(path: string, operation: (at: Buffer) => void | number): number {
    if (!this.writable) return -EROFS;
    const result = this.#at(path, operation);
    return typeof result === "number" ? result : 0;
  }

  /** Calls `operation` with a host path that is the directory `path`, which is inside; no link is followed on the way. */
  #inside<T>(path: string, operation: (directory: Buffer) => T): T | number {
    const names = path === "" ? [] : path.split("/");
    if (!names.every(isName)) return -EINVAL;
    return this.#rootFd === null ? this.#checked(names, operation) : this.#opened(this.#rootFd, names, operation);
  }
  #opened<T>(root: number, names: string[], operation: (directory: Buffer) => T): T | number {
    let fd = root;
    try {
      for (const name of names) {
        const next = openSync(join(bytes(`${PROC}/${fd}`), name), DIRECTORY);
        if (fd !== root) closeSync(fd);
        fd = next;
      }
      return operation(bytes(`${PROC}/${fd}`));
    } catch (error) {
      return errnoOf(error);
    } finally {
      if (fd !== root) closeSync(fd);
    }
  }
  #checked<T>(names: string[], operation: (directory: Buffer) => T): T | number {
    return attempt(() => {
      let at: Buffer = this.#root;
      for (const name of names) {
        at = join(at, name);
        if (lstatSync(at).isSymbolicLink()) return -ELOOP;
      }
      return operation(at);
    });
  }
}
