// The virtual file system: the mount table, names of places, and open. One Vfs per kernel. System calls come in here (and in dirops.ts,
// attributes.ts for the calls that change directories and attributes); exec comes in by openExec.

import {
  EACCES,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EPERM,
  EROFS,
  ETXTBSY,
} from "../../base/errno.ts";
import type { Task } from "../task.ts";
import {
  AT_FDCWD,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  __O_TMPFILE,
  devMajor,
  isRegular,
  isSymlink,
} from "./abi.ts";
import type { OpenFile } from "./file.ts";
import { PathFile } from "./file.ts";
import type { Filesystem } from "./inode.ts";
import { Dentry, FilePath, MNT_NODEV, MNT_NOEXEC, Mount, Path, placeOf } from "./inode.ts";
import { LockTable } from "./lock.ts";
import { Walk } from "./namei.ts";
import { newInodeOwner, ownerOrCapable, permission } from "./permission.ts";
import type { PipeFs } from "./pipe.ts";
import type { NsFs } from "./procfs/ns.ts";
import type { HugetlbFs } from "./hugetlbfs.ts";
import type { RamFs } from "./ramfs.ts";
import type { SocketFs } from "./socket-names.ts";
import type { Standard } from "./stdio.ts";

/** Makes the open file of a special inode: devices by number, FIFOs. Registered by devfs and pipe. */
export type DeviceOpener = (task: Task, path: Path, flags: number) => OpenFile | number;

/** How a path is looked up. */
export interface ResolveOptions {
  /** Follow a link that the last name is. */
  follow: boolean;
  /** "" names the descriptor itself (AT_EMPTY_PATH). */
  empty?: boolean;
  /** RESOLVE_* bits. */
  resolve?: number;
}

export class Vfs {
  readonly mounts: Mount[] = [];
  readonly root: Path;
  readonly #mountsAt = new Map<Dentry, Mount[]>();
  #nextMountId = 1;
  readonly #devices = new Map<number, DeviceOpener>();
  readonly #majors = new Map<number, DeviceOpener>();
  /** Opens FIFOs (set by pipe.ts's file system at boot). */
  openFifo: DeviceOpener = () => -ENXIO;
  /** Makes file systems for mount(2), by type. */
  readonly types = new Map<string, { nodev: boolean; make?: (options: string) => Filesystem | number }>();

  // Set by setup.ts.
  /** Unnamed pipes and the pipes behind FIFOs. */
  pipes!: PipeFs;
  /** Sockets and their names. */
  sockets!: SocketFs;
  /** What the links of /proc/PID/ns lead to. */
  namespaces!: NsFs;
  /** The tmpfs that nobody sees: memfds are its files. */
  memfds!: RamFs;
  /** The same for memfds of huge pages: one for each size. */
  hugeMemfds: readonly HugetlbFs[] = [];
  /** The standard streams of the host and the console. */
  standard!: Standard;
  readonly locks = new LockTable();
  /** The next anonymous device number (0:n) of a file system. */
  nextDevMinor = 1;

  /** `rootFs` is mounted at "/". */
  constructor(rootFs: Filesystem, source: string = rootFs.type) {
    const mount = new Mount(this.#nextMountId++, rootFs, new Dentry("/", null, rootFs.root), null, source);
    this.mounts.push(mount);
    this.root = new Path(mount, mount.root);
  }

  allocateDevMinor(): number {
    return this.nextDevMinor++;
  }

  // Mounts

  /** Attaches `fs` at `at`; `flags` are MNT_*. */
  mount(fs: Filesystem, at: Path, source: string, flags = 0): Mount {
    return this.#attach(new Mount(this.#nextMountId++, fs, new Dentry("/", null, fs.root), at, source, flags));
  }
  /** Shows what is at `from` at `at` too (MS_BIND). */
  bind(from: Path, at: Path): Mount {
    const { fs, source, flags } = from.mount;
    return this.#attach(new Mount(this.#nextMountId++, fs, from.dentry, at, source, flags));
  }
  #attach(mount: Mount): Mount {
    this.#place(mount, mount.at!);
    this.mounts.push(mount);
    return mount;
  }
  #place(mount: Mount, at: Path): void {
    mount.at = at;
    const list = this.#mountsAt.get(at.dentry) ?? [];
    list.push(mount);
    this.#mountsAt.set(at.dentry, list);
  }
  #displace(mount: Mount): void {
    const list = this.#mountsAt.get(mount.at!.dentry)!;
    list.splice(list.indexOf(mount), 1);
    if (list.length === 0) this.#mountsAt.delete(mount.at!.dentry);
  }
  /** MS_MOVE: `mount`, which is not the root, appears at `at` instead. -ELOOP if that is inside of it. */
  move(mount: Mount, at: Path): number {
    for (let m: Mount | undefined = at.mount; m; m = m.at?.mount) if (m === mount) return -ELOOP;
    this.#displace(mount);
    this.#place(mount, at);
    return 0;
  }
  /** pivot_root(2): the mount at `newRoot` takes the place of the one at `root`, which moves to `putOld`; tasks that are at the old root follow. */
  pivot(tasks: Iterable<Task>, root: Path, newRoot: Path, putOld: Path): number {
    for (let m: Mount | undefined = putOld.mount; m !== newRoot.mount; m = m.at?.mount) if (!m) return -EINVAL;
    const place = root.mount.at!;
    this.#displace(root.mount);
    this.#displace(newRoot.mount);
    this.#place(newRoot.mount, place);
    this.#place(root.mount, putOld);
    for (const task of tasks) {
      const fs = task.fsOrNull;
      if (fs?.root.equals(root)) fs.root = newRoot;
      if (fs?.cwd.equals(root)) fs.cwd = newRoot;
    }
    return 0;
  }
  /** Takes `mount` away: 0, or -EBUSY while something is mounted in it, -EINVAL for the root. */
  unmount(mount: Mount, options: { detach: boolean }): number {
    if (!mount.at) return -EINVAL;
    const children = this.mounts.filter((m) => m.at?.mount === mount);
    if (children.length > 0 && !options.detach) return -EBUSY;
    for (const child of children) this.unmount(child, options);
    this.#displace(mount);
    this.mounts.splice(this.mounts.indexOf(mount), 1);
    if (!this.mounts.some((m) => m.fs === mount.fs)) {
      if (options.detach) this.#detached.add(mount.fs);
      else mount.fs.release();
    }
    return 0;
  }
  /** File systems that were unmounted lazily give back what they hold once `inUse` says that nobody is in them. */
  releaseDetached(inUse: (fs: Filesystem) => boolean): void {
    for (const fs of this.#detached) {
      if (inUse(fs) || this.mounts.some((mount) => mount.fs === fs)) continue;
      this.#detached.delete(fs);
      fs.release();
    }
  }
  readonly #detached = new Set<Filesystem>();
  /** The top of what is mounted at `path`, or `path` itself. */
  crossMounts(path: Path): Path {
    for (;;) {
      const mount = this.#mountsAt.get(path.dentry)?.findLast((m) => m.at!.mount === path.mount);
      if (!mount) return path;
      path = new Path(mount, mount.root);
    }
  }
  isMountPoint(dentry: Dentry): boolean {
    return this.#mountsAt.has(dentry);
  }

  // Names

  /** The absolute path of `path` for a process whose root is `root` (d_path), with " (deleted)" if its name is gone. */
  pathName(path: Path, root: Path = this.root): string {
    const name = this.#names(path, root);
    return (name.reached ? "" : "(unreachable)") + name.text + (path.dentry.unlinked ? " (deleted)" : "");
  }
  /** For getcwd: -ENOENT for a deleted directory; "(unreachable)/…" outside of the root. */
  workingDirectory(path: Path, root: Path): string | number {
    return path.dentry.unlinked ? -ENOENT : this.pathName(path, root);
  }
  #names(path: Path, root: Path): { text: string; reached: boolean } {
    const names: string[] = [];
    let { mount, dentry } = path;
    let reached = true;
    while (!(mount === root.mount && dentry === root.dentry)) {
      if (dentry === mount.root) {
        if (!mount.at) {
          reached = mount === this.root.mount && root.mount === mount && root.dentry === dentry;
          break;
        }
        ({ mount, dentry } = mount.at);
        continue;
      }
      names.push(dentry.name);
      if (dentry.parent === dentry) break;
      dentry = dentry.parent;
    }
    return { text: "/" + names.reverse().join("/"), reached };
  }

  // Lookup

  /** Where a relative `path` begins: the directory of `dirfd`, or -EBADF, -ENOTDIR. */
  base(task: Task, dirfd: number, path: string): Path | number {
    if (path.startsWith("/") || dirfd === AT_FDCWD) return task.fs.cwd;
    const file = task.files.get(dirfd);
    if (!file) return -EBADF;
    if (!file.path || !file.path.inode.isDir) return -ENOTDIR;
    return file.path;
  }
  /** A walk that stands in the parent directory of the last name of `path`; or -errno. */
  walkParent(task: Task, dirfd: number, path: string, resolve = 0): Walk | number {
    if (path === "") return -ENOENT;
    const base = this.base(task, dirfd, path);
    if (typeof base === "number") return base;
    const walk = new Walk(this, task, base, resolve);
    const error = walk.parent(path);
    return error ? error : walk;
  }
  /** The place that `path` names, or -errno. */
  resolve(task: Task, dirfd: number, path: string, options: ResolveOptions): Path | number {
    if (path === "" && options.empty) {
      if (dirfd === AT_FDCWD) return task.fs.cwd;
      const file = task.files.get(dirfd);
      if (!file) return -EBADF;
      return file.path ?? placeOf(file);
    }
    if (path === "") return -ENOENT;
    const base = this.base(task, dirfd, path);
    if (typeof base === "number") return base;
    return new Walk(this, task, base, options.resolve ?? 0).resolve(path, options);
  }

  // Open

  /** open(2): a new open file description, or -errno. `mode` for a file that is made, before the umask. What waits (FIFOs) waits in `opened()` of the result. */
  open(task: Task, dirfd: number, path: string, flags: number, mode = 0, resolve = 0): OpenFile | number {
    if (flags & O_PATH) flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (flags & __O_TMPFILE) return this.#openTmpfile(task, dirfd, path, flags, mode, resolve);
    if (path === "") return -ENOENT;
    const base = this.base(task, dirfd, path);
    if (typeof base === "number") return base;
    const walk = new Walk(this, task, base, resolve);
    let error = walk.parent(path);
    for (;;) {
      if (error) return error;
      if (flags & O_CREAT && walk.trailing && !walk.lastIsDots) return -EISDIR;
      const found = walk.lookupLast();
      if (typeof found === "number") {
        if (found !== -ENOENT || !(flags & O_CREAT) || walk.last === "") return found;
        return this.#create(task, walk, flags, mode);
      }
      if (flags & O_CREAT && flags & O_EXCL) return -EEXIST;
      if (walk.last !== "" && isSymlink(found.inode.mode)) {
        if (!(flags & O_NOFOLLOW) || walk.trailing) {
          error = walk.follow(found);
          continue;
        }
        if (!(flags & O_PATH)) return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
      }
      if (walk.trailing && !found.inode.isDir) return -ENOTDIR;
      return this.openPath(task, found, flags);
    }
  }

  /** Opens the file at `path` (also for /proc/PID/fd links), checking permissions. */
  openPath(task: Task, path: Path, flags: number): OpenFile | number {
    const inode = path.inode;
    if (flags & O_DIRECTORY && !inode.isDir) return -ENOTDIR;
    if (flags & O_PATH) return new PathFile(path, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW));
    if (isSymlink(inode.mode)) return -ELOOP;
    const access = flags & O_ACCMODE;
    let mask = access === O_RDONLY ? MAY_READ : access === O_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE;
    if (flags & O_TRUNC) mask |= MAY_WRITE;
    if (inode.isDir && (mask & MAY_WRITE || flags & O_CREAT)) return -EISDIR;
    const type = inode.mode & S_IFMT;
    if ((type === S_IFCHR || type === S_IFBLK) && path.mount.flags & MNT_NODEV) return -EACCES;
    const denied = permission(task, path, mask);
    if (denied) return denied;
    if (flags & O_NOATIME && !ownerOrCapable(task, inode)) return -EPERM;
    const file = this.openInode(task, path, flags);
    if (typeof file === "number" || !(flags & O_TRUNC) || !isRegular(inode.mode)) return file;
    const error = inode.truncate(0);
    if (!error) return file;
    file.put();
    return error;
  }

  /** The open file of an inode whose permissions have been checked; -ETXTBSY for writing to a running program. */
  openInode(task: Task, path: Path, flags: number): OpenFile | number {
    const { inode } = path;
    const writes = isRegular(inode.mode) && (flags & O_ACCMODE) !== O_RDONLY;
    if (writes && inode.executors > 0) return -ETXTBSY;
    const file = this.#openAny(task, path, flags);
    if (writes && typeof file !== "number" && file.inode === inode) file.countAsWriter();
    return file;
  }
  #openAny(task: Task, path: Path, flags: number): OpenFile | number {
    const kept = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    if (path instanceof FilePath) {
      const again = path.file.reopen(task, kept);
      if (again !== undefined) return again;
    }
    const type = path.inode.mode & S_IFMT;
    if (type === S_IFIFO) return this.openFifo(task, path, kept);
    if (type === S_IFCHR || type === S_IFBLK) {
      const { rdev } = path.inode;
      const opener = this.#devices.get(rdev) ?? this.#majors.get(devMajor(rdev));
      return opener ? opener(task, path, flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC)) : -ENXIO;
    }
    return path.inode.open(task, path, kept);
  }

  /** Opens a program for exec: a regular file with execute permission on a mount that allows it, not open for writing anywhere. */
  openExec(task: Task, dirfd: number, path: string, options: { follow: boolean; empty?: boolean }): OpenFile | number {
    const found = this.resolve(task, dirfd, path, options);
    if (typeof found === "number") return found;
    if (isSymlink(found.inode.mode)) return -ELOOP;
    if (!isRegular(found.inode.mode) || found.mount.flags & MNT_NOEXEC) return -EACCES;
    const denied = permission(task, found, MAY_EXEC);
    if (denied) return denied;
    if (found.inode.writers > 0) return -ETXTBSY;
    return this.openInode(task, found, O_RDONLY);
  }

  /** Registers what opens device number `rdev`. */
  registerDevice(rdev: number, opener: DeviceOpener): void {
    this.#devices.set(rdev, opener);
  }

  /** Registers what opens all devices with this major number. */
  registerMajor(major: number, opener: DeviceOpener): void {
    this.#majors.set(major, opener);
  }

  #create(task: Task, walk: Walk, flags: number, mode: number): OpenFile | number {
    if (flags & O_DIRECTORY) return -EINVAL;
    const directory = walk.cur;
    if (directory.mount.readOnly) return -EROFS;
    if (directory.dentry.unlinked) return -ENOENT;
    const denied = permission(task, directory, MAY_WRITE | MAY_EXEC);
    if (denied) return denied;
    const make = newInodeOwner(task, directory.inode, S_IFREG | (mode & 0o7777 & ~task.fs.umask));
    const inode = directory.inode.create(walk.last, make);
    if (typeof inode === "number") return inode;
    // The maker may do with its new file what it asked for, whatever the mode says.
    const dentry = directory.dentry.child(walk.last, inode);
    return this.openInode(task, new Path(directory.mount, dentry), flags);
  }

  #openTmpfile(task: Task, dirfd: number, path: string, flags: number, mode: number, resolve: number) {
    if ((flags & O_DIRECTORY) === 0 || (flags & O_ACCMODE) === O_RDONLY || flags & O_CREAT) return -EINVAL;
    const directory = this.resolve(task, dirfd, path, { follow: !(flags & O_NOFOLLOW), resolve });
    if (typeof directory === "number") return directory;
    if (!directory.inode.isDir) return -ENOTDIR;
    const denied = permission(task, directory, MAY_WRITE | MAY_EXEC);
    if (denied) return denied;
    const make = newInodeOwner(task, directory.inode, S_IFREG | (mode & 0o7777 & ~task.fs.umask));
    const inode = directory.inode.tmpfile(make);
    if (typeof inode === "number") return inode;
    const dentry = new Dentry(`#${inode.ino}`, directory.dentry, inode);
    dentry.unlinked = true;
    inode.linkable = (flags & O_EXCL) === 0;
    return this.openInode(task, new Path(directory.mount, dentry), flags);
  }
}

/** open(2) flags that mean something; others are ignored by open and refused by openat2. */
export const VALID_OPEN_FLAGS =
  O_ACCMODE |
  O_CREAT |
  O_EXCL |
  O_NOCTTY |
  O_TRUNC |
  O_APPEND |
  0o4000 |
  0o4010000 |
  0o20000 |
  0o40000 |
  0o100000 |
  O_DIRECTORY |
  O_NOFOLLOW |
  O_NOATIME |
  O_CLOEXEC |
  O_PATH |
  __O_TMPFILE;
