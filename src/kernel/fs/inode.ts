// Inodes, file systems, dentries, mounts and paths: the nouns of the VFS. Every operation of an inode has the errno that Linux gives where a
// file system has no such method, so a file system implements only what it can do. Used by vfs.ts, the file systems and open files.

import { EACCES, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM } from "../../base/errno.ts";
import { NAME_MAX } from "../../base/limits.ts";
import type { Task } from "../task.ts";
import type { Timespec } from "./abi.ts";
import { S_IFDIR, S_IFMT, dirType, isDir, makeDev } from "./abi.ts";
import type { OpenFile } from "./file.ts";
import type { FileLocks } from "./lock.ts";
import type { Stat, StatFs } from "./stat.ts";

/** A directory's entry as readdir lists it; `type` is the DT_ number. */
export interface DirEntry {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
}

/** Attributes to change; absent ones stay. The caller has checked permissions. */
export interface AttrChange {
  mode?: number;
  uid?: number;
  gid?: number;
  atime?: Timespec;
  mtime?: Timespec;
  ctime?: Timespec;
}

/** Who makes a new inode: its owner, its permissions with the umask already taken away. */
export interface NewInode {
  mode: number;
  uid: number;
  gid: number;
  rdev?: number;
}

/** One instance of a file system (struct super_block). */
export abstract class Filesystem {
  /** fstype in /proc/mounts. */
  abstract readonly type: string;
  abstract readonly root: Inode;
  readonly dev: number;
  readonly #now: () => Timespec;
  /** Names are looked up anew each time and not remembered: what they mean changes by itself (proc). */
  readonly volatileNames: boolean = false;
  /** Options as /proc/mounts shows them after rw or ro. */
  options = "";
  protected nextIno = 1;

  /** `devMinor`: its anonymous device number is 0:devMinor. `now`: the time for new and changed inodes. */
  constructor(devMinor: number, now: () => Timespec) {
    this.dev = makeDev(0, devMinor);
    this.#now = now;
  }
  now(): Timespec {
    return this.#now();
  }
  allocateIno(): number {
    return this.nextIno++;
  }
  abstract statfs(): StatFs;
  /** Something other than open and mapped files is in use: it cannot be unmounted. */
  get busy(): boolean {
    return false;
  }
  /** mount(2) with MS_REMOUNT and these options: 0 or -errno. */
  remount(_options: string): number {
    return 0;
  }
  /** The last mount is gone: give back what the file system holds. */
  release(): void {}
}

/** A file, directory, link or device: identity and attributes. */
export abstract class Inode {
  readonly fs: Filesystem;
  readonly ino: number;
  mode: number;
  nlink = 1;
  uid = 0;
  gid = 0;
  rdev = 0;
  blksize = 4096;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  readonly btime: Timespec;
  /** Open files that may write to it, and processes that run it: not both at once (ETXTBSY). */
  writers = 0;
  executors = 0;
  /** Record and flock locks; null until the first one. */
  locks: FileLocks | null = null;
  /** Made by O_TMPFILE without O_EXCL and not linked yet: may get its first name (I_LINKABLE). */
  linkable = false;
  /** Extended attributes by full name; null until the first one. */
  xattrs: Map<string, Uint8Array> | null = null;
  /** Open files and paths that hold it; when it reaches 0 and nlink is 0 the data go. */
  #users = 0;

  constructor(fs: Filesystem, mode: number, ino: number = fs.allocateIno()) {
    this.fs = fs;
    this.ino = ino;
    this.mode = mode;
    this.atime = this.mtime = this.ctime = this.btime = fs.now();
  }

  get isDir(): boolean {
    return isDir(this.mode);
  }
  /** Bytes, as stat shows them. */
  get size(): number {
    return 0;
  }
  /** Units of 512 bytes in use. */
  get blocks(): number {
    return 0;
  }
  stat(): Stat {
    return {
      dev: this.fs.dev,
      ino: this.ino,
      mode: this.mode,
      nlink: this.nlink,
      uid: this.uid,
      gid: this.gid,
      rdev: this.rdev,
      size: this.size,
      blksize: this.blksize,
      blocks: this.blocks,
      atime: this.atime,
      mtime: this.mtime,
      ctime: this.ctime,
      btime: this.btime,
    };
  }
  setAttr(change: AttrChange): number {
    if (change.mode !== undefined) this.mode = (this.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    if (change.atime) this.atime = change.atime;
    if (change.mtime) this.mtime = change.mtime;
    this.ctime = change.ctime ?? this.fs.now();
    return 0;
  }
  /** Sets the size of a regular file. */
  truncate(_size: number): number {
    return -EINVAL;
  }

  // Directories. Names are checked for length and characters by the caller; "." and ".." never arrive here.
  lookup(_name: string, _task: Task | null): Inode | number {
    return -(this.isDir ? ENOENT : ENOTDIR);
  }
  /** A snapshot of the entries without "." and "..", in the order that getdents64 gives. */
  entries(_task: Task): DirEntry[] | number {
    return -ENOTDIR;
  }
  /** Is a name of an earlier entries() still there? (readdir leaves out what was removed meanwhile.) */
  stillLists(_name: string): boolean {
    return true;
  }
  /** A regular file, a device, a FIFO or a socket, as the mode says. */
  create(_name: string, _make: NewInode): Inode | number {
    return -EACCES;
  }
  mkdir(_name: string, _make: NewInode): Inode | number {
    return -EPERM;
  }
  symlink(_name: string, _target: string, _make: NewInode): Inode | number {
    return -EPERM;
  }
  link(_name: string, _inode: Inode): number {
    return -EPERM;
  }
  unlink(_name: string, _inode: Inode): number {
    return -EPERM;
  }
  rmdir(_name: string, _inode: Inode): number {
    return -EPERM;
  }
  /** Moves `name` (which is `inode`) to `newDir`/`newName` in the same file system, replacing `target` if there is one; the VFS has checked types. */
  rename(_name: string, _inode: Inode, _newDir: Inode, _newName: string, _target: Inode | null): number {
    return -EPERM;
  }
  /** Swaps two names (RENAME_EXCHANGE). */
  exchange(_name: string, _inode: Inode, _otherDir: Inode, _otherName: string, _other: Inode): number {
    return -EINVAL;
  }
  /** An unnamed regular file in this directory's file system (O_TMPFILE). */
  tmpfile(_make: NewInode): Inode | number {
    return -EOPNOTSUPP;
  }

  // Symbolic links
  readlink(_task: Task): string | number {
    return -EINVAL;
  }
  /** A magic link (proc): where it leads without a path. undefined: an ordinary link, follow readlink's text. */
  magic(_task: Task): Path | number | undefined {
    return undefined;
  }

  /** An open file description on it; the VFS has checked permissions. `path` is how it was found. */
  open(_task: Task, _path: Path, _flags: number): OpenFile | number {
    return -ENXIO;
  }
  /** Overrides the permission check (proc's ptrace rule); undefined: decide by mode. */
  permission(_task: Task, _mask: number): number | undefined {
    return undefined;
  }

  /** A user (open file, mapping) comes or goes. */
  hold(): void {
    this.#users++;
  }
  drop(): void {
    this.#users--;
    this.maybeEvict();
  }
  get users(): number {
    return this.#users;
  }
  /** Called when links or users went away. */
  maybeEvict(): void {
    if (this.#users === 0 && this.nlink === 0) this.evict();
  }
  /** The last link and the last user are gone: free the data. */
  protected evict(): void {}
}

/** A name in a directory (struct dentry). The tree of names is what getcwd, maps and /proc/PID/fd print. */
export class Dentry {
  name: string;
  parent: Dentry;
  readonly inode: Inode;
  /** Its name has been removed: " (deleted)". */
  unlinked = false;
  readonly children = new Map<string, Dentry>();

  constructor(name: string, parent: Dentry | null, inode: Inode) {
    this.name = name;
    this.parent = parent ?? this;
    this.inode = inode;
  }
  /** Looks `name` up here: the known dentry if the file system still says the same inode, else a new one. */
  lookup(name: string, task: Task | null): Dentry | number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    const inode = this.inode.lookup(name, task);
    if (typeof inode === "number") return inode;
    return this.child(name, inode);
  }
  /** The dentry of `name`, which is `inode`. */
  child(name: string, inode: Inode): Dentry {
    const known = this.children.get(name);
    if (known) {
      if (known.inode === inode) return known;
      known.unlinked = true;
    }
    const dentry = new Dentry(name, this, inode);
    if (!inode.fs.volatileNames) this.children.set(name, dentry);
    return dentry;
  }
  /** The name has gone (unlink, rmdir, rename over it). */
  forget(name: string): void {
    const known = this.children.get(name);
    if (!known) return;
    known.unlinked = true;
    this.children.delete(name);
  }
  /** The name moves to `parent` as `name`. */
  move(parent: Dentry, name: string): void {
    if (this.parent.children.get(this.name) === this) this.parent.children.delete(this.name);
    const replaced = parent.children.get(name);
    if (replaced && replaced !== this) replaced.unlinked = true;
    this.parent = parent;
    this.name = name;
    parent.children.set(name, this);
  }
}

export const MNT_RDONLY = 1;
export const MNT_NOSUID = 2;
export const MNT_NODEV = 4;
export const MNT_NOEXEC = 8;

/** A file system attached at a place (struct mount). */
export class Mount {
  readonly id: number;
  readonly fs: Filesystem;
  /** The dentry shown at the mount point: the file system's root, or a directory of it (bind). */
  readonly root: Dentry;
  /** Where it is attached; null for the root of all. */
  at: Path | null;
  /** First field of /proc/mounts. */
  readonly source: string;
  flags: number;

  constructor(id: number, fs: Filesystem, root: Dentry, at: Path | null, source: string, flags = 0) {
    this.id = id;
    this.fs = fs;
    this.root = root;
    this.at = at;
    this.source = source;
    this.flags = flags;
  }
  get readOnly(): boolean {
    return (this.flags & MNT_RDONLY) !== 0;
  }
}

/** A place in the tree: a dentry seen through a mount (struct path). */
export class Path {
  readonly mount: Mount;
  readonly dentry: Dentry;
  constructor(mount: Mount, dentry: Dentry) {
    this.mount = mount;
    this.dentry = dentry;
  }
  get inode(): Inode {
    return this.dentry.inode;
  }
  equals(other: Path): boolean {
    return this.mount === other.mount && this.dentry === other.dentry;
  }
}

/** A place for what has no name (a memfd, a pipe): outside of the tree, so that permission checks and attribute calls have one. */
export function namelessPath(inode: Inode): Path {
  const dentry = new Dentry("/", null, inode);
  return new Path(new Mount(0, inode.fs, dentry, null, inode.fs.type), dentry);
}

/** Where a link of /proc to an open file leads (PID/fd/N, PID/exe): its place, and the file, which is opened again by its own rules. */
export class FilePath extends Path {
  readonly file: OpenFile;
  constructor(mount: Mount, dentry: Dentry, file: OpenFile) {
    super(mount, dentry);
    this.file = file;
  }
}

/** The place of an open file: where it was opened, or for pipes, memfds and the like a place outside of the tree. -ENOENT. */
export function placeOf(file: OpenFile): Path | number {
  if (file.path !== null) return new FilePath(file.path.mount, file.path.dentry, file);
  if (file.inode === null) return -ENOENT;
  const { mount, dentry } = namelessPath(file.inode);
  return new FilePath(mount, dentry, file);
}

/** The entry that readdir lists for `inode` as `name`. */
export const entryOf = (name: string, inode: Inode): DirEntry => ({ name, ino: inode.ino, type: dirType(inode.mode) });

/** struct statfs of a file system that has no blocks (proc, sysfs, pipes). */
export const plainStatFs = (type: number): StatFs => ({
  type,
  bsize: 4096,
  blocks: 0,
  bfree: 0,
  bavail: 0,
  files: 0,
  ffree: 0,
  namelen: NAME_MAX,
  flags: 0,
  fsid: 0,
});

/** Mode of a directory with the permission bits of `mode`. */
export const dirMode = (mode: number): number => S_IFDIR | (mode & 0o7777);
