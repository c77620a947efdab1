// A directory of the host as a file system, over the HostFs port. Names go down one at a time and links are read, never followed, by the host:
// the guest's own path walk resolves them, so nothing outside of the directory can be reached. Contents go through the page cache
// (FileObject); write(2) writes through, mapped pages go back on msync, fsync and the last close. Mounted by setup.ts.

import { EEXIST, EINVAL, EIO, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS } from "../../base/errno.ts";
import { NAME_MAX } from "../../base/limits.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import { FileObject } from "../../mm/file-object.ts";
import type { PageSource } from "../../mm/object.ts";
import type { HostFile, HostFs, HostStat } from "../ports.ts";
import type { Task } from "../task.ts";
import { HOSTFS_SUPER_MAGIC, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, type Timespec, dirType } from "./abi.ts";
import { DirFile } from "./dirfile.ts";
import type { OpenFile } from "./file.ts";
import { type AttrChange, type DirEntry, Filesystem, Inode, type NewInode, type Path, entryOf } from "./inode.ts";
import { type PagedInode, RegularFile, resizePaged } from "./regular.ts";
import type { Stat, StatFs } from "./stat.ts";

/** File types of the host as mode bits. What is no file, directory or link has a name and cannot be opened, like a socket. */
const TYPES = { file: S_IFREG, directory: S_IFDIR, symlink: S_IFLNK, other: S_IFSOCK } as const;

export class HostFilesystem extends Filesystem {
  readonly type = "hostfs";
  readonly root: HostDir;
  readonly host: HostFs;
  readonly memory: MemoryManager;

  /** Throws if the host directory cannot be read. */
  constructor(memory: MemoryManager, host: HostFs, options: { devMinor: number; now: () => Timespec }) {
    super(options.devMinor, options.now);
    this.memory = memory;
    this.host = host;
    const stat = host.lstat("");
    if (typeof stat === "number") throw new Error(`cannot read the host directory ${host.source} (errno ${-stat})`);
    if (stat.kind !== "directory") throw new Error(`${host.source} is not a directory`);
    this.root = new HostDir(this, null, "", stat);
  }
  statfs(): StatFs {
    const host = this.host.statfs();
    const size = typeof host === "number" ? { bsize: 4096, blocks: 0, bfree: 0, files: 0, ffree: 0 } : host;
    return { ...size, type: HOSTFS_SUPER_MAGIC, bavail: size.bfree, namelen: NAME_MAX, flags: 0, fsid: this.dev };
  }
  /** The inode of a host file that has just been found or made. */
  node(parent: HostDir, name: string, stat: HostStat): HostNode {
    if (stat.kind === "directory") return new HostDir(this, parent, name, stat);
    return stat.kind === "file" ? new HostRegular(this, parent, name, stat) : new HostNode(this, parent, name, stat);
  }
  /** A directory to mount something on, which the host need not have: kept here, never made there. */
  makeMountPoint(directory: Inode, name: string): Inode | number {
    if (!(directory instanceof HostDir || directory instanceof MountPointDir)) return -ENOTDIR;
    const made = new MountPointDir(this);
    directory.mountPoints.set(name, made);
    return made;
  }
}

/** An inode of the host: where it is, and its attributes as last seen. */
class HostNode extends Inode {
  declare readonly fs: HostFilesystem;
  parent: HostNode | null;
  hostName: string;
  kind: HostStat["kind"];
  protected hostSize = 0;
  #blocks = 0;

  constructor(fs: HostFilesystem, parent: HostNode | null, hostName: string, stat: HostStat) {
    super(fs, TYPES[stat.kind] | (stat.mode & 0o7777), stat.ino);
    this.parent = parent;
    this.hostName = hostName;
    this.kind = stat.kind;
    this.seen(stat);
  }
  /** The path that the port takes. */
  get hostPath(): string {
    if (this.parent === null) return "";
    const above = this.parent.hostPath;
    return above === "" ? this.hostName : `${above}/${this.hostName}`;
  }
  override get size(): number {
    return this.hostSize;
  }
  override get blocks(): number {
    return this.#blocks;
  }
  /** Takes over what the host says now. */
  seen(stat: HostStat): void {
    this.mode = (this.mode & S_IFMT) | (stat.mode & 0o7777);
    this.nlink = stat.nlink;
    this.atime = stat.atime;
    this.mtime = stat.mtime;
    this.ctime = stat.ctime;
    this.hostSize = stat.size;
    this.#blocks = stat.blocks;
  }
  /** Asks the host again; a file whose name is gone keeps its last attributes. */
  protected refresh(): void {
    if (this.nlink === 0) return;
    const stat = this.fs.host.lstat(this.hostPath);
    if (typeof stat !== "number" && stat.ino === this.ino && stat.kind === this.kind) this.seen(stat);
  }
  override stat(): Stat {
    this.refresh();
    const { btime: _none, ...stat } = super.stat();
    return stat;
  }
  override setAttr(change: AttrChange): number {
    const { host } = this.fs;
    if (!host.writable) return -EROFS;
    // The host's owner is not the guest's to change.
    if ((change.uid ?? this.uid) !== this.uid || (change.gid ?? this.gid) !== this.gid) return -EPERM;
    if (change.mode !== undefined && (change.mode & 0o7777) !== (this.mode & 0o7777)) {
      const error = host.chmod(this.hostPath, change.mode & 0o7777);
      if (error) return error;
    }
    if (change.atime || change.mtime) {
      const error = host.utimes(this.hostPath, change.atime ?? this.atime, change.mtime ?? this.mtime);
      if (error) return error;
    }
    this.refresh();
    return 0;
  }
  override readlink(): string | number {
    if (this.kind !== "symlink") return -EINVAL;
    return this.fs.host.readlink(this.hostPath);
  }
  /** Its name is about to go. */
  beforeUnlink(): void {}
  /** One name is gone. */
  unlinked(): void {
    this.nlink = this.kind === "directory" ? 0 : Math.max(0, this.nlink - 1);
    this.maybeEvict();
  }
}

/** A directory of the host. */
class HostDir extends HostNode {
  readonly mountPoints = new Map<string, MountPointDir>();
  /** Nodes by host name: the same file stays the same inode while the host shows the same file under the name. */
  readonly #nodes = new Map<string, HostNode>();

  override lookup(name: string): Inode | number {
    const mountPoint = this.mountPoints.get(name);
    if (mountPoint) return mountPoint;
    const stat = this.fs.host.lstat(this.#below(name));
    if (typeof stat === "number") {
      this.#nodes.delete(name);
      return stat;
    }
    const known = this.#nodes.get(name);
    if (known && known.ino === stat.ino && known.kind === stat.kind) {
      // Of several names the last one that was used is how the host is asked.
      known.parent = this;
      known.hostName = name;
      known.seen(stat);
      return known;
    }
    return this.#adopt(name, stat);
  }
  #below(hostName: string): string {
    const path = this.hostPath;
    return path === "" ? hostName : `${path}/${hostName}`;
  }
  #adopt(hostName: string, stat: HostStat): HostNode {
    const node = this.fs.node(this, hostName, stat);
    this.#nodes.set(hostName, node);
    return node;
  }
  override entries(): DirEntry[] | number {
    const list = this.fs.host.readdir(this.hostPath);
    if (typeof list === "number") return list;
    const entries: DirEntry[] = [...this.mountPoints].map(([name, inode]) => entryOf(name, inode));
    for (const { name, kind, ino } of list) {
      if (!this.mountPoints.has(name)) entries.push({ name, ino, type: dirType(TYPES[kind]) });
    }
    return entries;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new DirFile(path, flags);
  }

  /** Makes `name` by `make` and gives its inode; `make` is 0 or -errno. `mode`: its permissions, whatever the host's umask says. */
  #made(name: string, make: (path: string) => number, mode?: number): Inode | number {
    const { host } = this.fs;
    if (!host.writable) return -EROFS;
    const path = this.#below(name);
    const error = make(path);
    if (error < 0) return error;
    let stat = host.lstat(path);
    if (typeof stat !== "number" && mode !== undefined && stat.mode !== (mode & 0o7777)) {
      host.chmod(path, mode & 0o7777);
      stat = host.lstat(path);
    }
    this.refresh();
    return typeof stat === "number" ? stat : this.#adopt(name, stat);
  }
  override create(name: string, make: NewInode): Inode | number {
    if ((make.mode & S_IFMT) !== S_IFREG) return -EPERM;
    const create = (path: string): number => {
      const file = this.fs.host.open(path, { write: true, create: { mode: make.mode & 0o7777, exclusive: true } });
      if (typeof file === "number") return file;
      file.close();
      return 0;
    };
    return this.#made(name, create, make.mode);
  }
  override mkdir(name: string, make: NewInode): Inode | number {
    return this.#made(name, (path) => this.fs.host.mkdir(path, make.mode & 0o7777), make.mode);
  }
  override symlink(name: string, target: string): Inode | number {
    return this.#made(name, (path) => this.fs.host.symlink(target, path));
  }
  override link(name: string, inode: Inode): number {
    if (!(inode instanceof HostNode)) return -EPERM;
    const made = this.#made(name, (path) => this.fs.host.link(inode.hostPath, path));
    if (typeof made === "number") return made;
    // Both names are one file: later lookups must find the same pages.
    this.#nodes.set(name, inode);
    inode.nlink++;
    return 0;
  }
  override unlink(name: string, inode: Inode): number {
    return this.#remove(name, inode, (path) => this.fs.host.unlink(path));
  }
  override rmdir(name: string, inode: Inode): number {
    if (inode instanceof HostDir && inode.mountPoints.size > 0) return -ENOTEMPTY;
    return this.#remove(name, inode, (path) => this.fs.host.rmdir(path));
  }
  #remove(name: string, inode: Inode, remove: (path: string) => number): number {
    if (!(inode instanceof HostNode)) return -EPERM;
    if (!this.fs.host.writable) return -EROFS;
    inode.beforeUnlink();
    const error = remove(this.#below(name));
    if (error) return error;
    this.#nodes.delete(name);
    inode.unlinked();
    this.refresh();
    return 0;
  }
  override rename(name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null): number {
    if (!(newDir instanceof HostDir) || !(inode instanceof HostNode)) return -EPERM;
    if (target !== null && !(target instanceof HostNode)) return -EEXIST;
    if (!this.fs.host.writable) return -EROFS;
    target?.beforeUnlink();
    const error = this.fs.host.rename(this.#below(name), newDir.#below(newName));
    if (error) return error;
    this.#nodes.delete(name);
    newDir.#nodes.set(newName, inode);
    inode.parent = newDir;
    inode.hostName = newName;
    target?.unlinked();
    this.refresh();
    newDir.refresh();
    return 0;
  }
}

/** A regular file of the host, and where its pages come from and go to. */
class HostRegular extends HostNode implements PagedInode, PageSource {
  readonly object: FileObject;
  #handle: HostFile | null = null;
  #handleWrites = false;
  /** What the host shows next is what we did ourselves: the cache is right. */
  #ownChange = false;

  constructor(fs: HostFilesystem, parent: HostNode, hostName: string, stat: HostStat) {
    super(fs, parent, hostName, stat);
    this.object = new FileObject(fs.memory, this, stat.size);
  }
  override get size(): number {
    return this.object.size;
  }
  /** The host's file has changed behind our back: cached pages are read anew (those that are mapped stay as they are). */
  override seen(stat: HostStat): void {
    const changed = stat.mtime.sec !== this.mtime.sec || stat.mtime.nsec !== this.mtime.nsec;
    super.seen(stat);
    // Called first by the base class's constructor, before there is an object.
    const object = this.object as FileObject | undefined;
    if (object === undefined || this.#ownChange || (!changed && object.size === stat.size)) return;
    object.dropClean();
    if (object.size !== stat.size) object.truncate(stat.size);
  }
  override open(task: Task, path: Path, flags: number): OpenFile | number {
    const file = new HostRegularFile(task.kernel.vfs, this, path, flags);
    const error = this.#handleFor({ write: file.writable });
    if (typeof error !== "number") return file;
    file.put();
    return error;
  }
  override truncate(size: number): number {
    const handle = this.#handleFor({ write: true });
    if (typeof handle === "number") return handle;
    const error = resizePaged(this, size) || handle.truncate(size);
    this.#refreshOwn();
    return error;
  }
  /** The host's file, opened as needed: 0 users close it again. */
  #handleFor(want: { write: boolean }): HostFile | number {
    if (this.#handle && (this.#handleWrites || !want.write)) return this.#handle;
    if (want.write && !this.fs.host.writable) return -EROFS;
    const handle = this.fs.host.open(this.hostPath, { write: want.write });
    if (typeof handle === "number") return handle;
    this.#handle?.close();
    this.#handle = handle;
    this.#handleWrites = want.write;
    return handle;
  }
  override beforeUnlink(): void {
    // Its name is about to go: who has it open or mapped goes on with the open host file.
    if (this.users > 0) this.#handleFor({ write: this.fs.host.writable });
  }
  override drop(): void {
    super.drop();
    if (this.users > 0 || !this.#handle) return;
    this.object.sync();
    this.#handle?.close();
    this.#handle = null;
    this.#handleWrites = false;
  }
  protected override evict(): void {
    this.object.release();
    this.#handle?.close();
    this.#handle = null;
  }

  // PageSource
  readPage(index: number, into: Uint8Array): number {
    const handle = this.#handleFor({ write: false });
    if (typeof handle === "number") return handle;
    const start = index * PAGE_SIZE;
    for (let done = 0; done < into.length;) {
      const n = handle.read(start + done, into.subarray(done));
      if (n < 0) return n;
      if (n === 0) break;
      done += n;
    }
    return 0;
  }
  writePage(index: number, data: Uint8Array, length: number): number {
    const handle = this.#handleFor({ write: true });
    if (typeof handle === "number") return handle;
    const written = handle.write(index * PAGE_SIZE, data.subarray(0, length));
    return written < 0 ? written : written === length ? 0 : -EIO;
  }
  /** fsync: the host's disk has it. */
  flush(): number {
    if (!this.#handleWrites) return 0;
    return this.object.sync() || this.#handle!.sync();
  }
  /** Bytes [start, end) were written into the cache: write them through, and learn the new times. */
  writeThrough(start: number, end: number): number {
    const error = this.object.sync(start, end);
    if (error) return error;
    this.#refreshOwn();
    return 0;
  }
  #refreshOwn(): void {
    this.#ownChange = true;
    this.refresh();
    this.#ownChange = false;
  }
}

class HostRegularFile extends RegularFile {
  declare readonly inode: HostRegular;

  override write(task: Task, data: Uint8Array, pos: number | undefined): number {
    const before = this.pos;
    const written = super.write(task, data, pos);
    if (written <= 0) return written;
    const end = pos === undefined ? this.pos : this.append ? this.inode.object.size : pos + written;
    const error = this.inode.writeThrough(end - written, end);
    if (!error) return written;
    this.pos = before;
    return error;
  }
  override fsync(): number {
    return this.inode.flush();
  }
}

/** A directory that exists only to be mounted on. */
class MountPointDir extends Inode {
  readonly mountPoints = new Map<string, MountPointDir>();
  constructor(fs: Filesystem) {
    super(fs, S_IFDIR | 0o755);
    this.nlink = 2;
  }
  override lookup(name: string): Inode | number {
    return this.mountPoints.get(name) ?? -ENOENT;
  }
  override entries(): DirEntry[] {
    return [...this.mountPoints].map(([name, inode]) => entryOf(name, inode));
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new DirFile(path, flags);
  }
}
