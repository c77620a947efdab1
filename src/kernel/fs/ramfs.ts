// tmpfs: files in memory. Names are kept here; the pages of regular files are ShmemObjects, counted and mapped like all shared memory.
// The root file system, /tmp, /dev/shm and /dev are instances of it. Mounted by boot.ts and mount(2).

import { EINVAL, ENOENT, ENOSPC, ENOTEMPTY, EPERM } from "../../base/errno.ts";
import { NAME_MAX } from "../../base/limits.ts";
import { PAGE_SIZE, PMD_SIZE } from "../../base/numbers.ts";
import { FRAME_FALLOCATED } from "../../mm/frame.ts";
import { type PageQuota, ShmemObject } from "../../mm/object.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import type { ShmemMount } from "../../mm/thp.ts";
import type { Task } from "../task.ts";
import type { Timespec } from "./abi.ts";
import { F_SEAL_EXEC, F_SEAL_SEAL, S_IFDIR, S_IFMT, S_IFREG, TMPFS_MAGIC } from "./abi.ts";
import { DirFile } from "./dirfile.ts";
import type { OpenFile } from "./file.ts";
import { type AttrChange, type DirEntry, Filesystem, Inode, type NewInode, type Path, entryOf } from "./inode.ts";
import { type PagedInode, RegularFile, resizePaged } from "./regular.ts";
import type { Stat, StatFs } from "./stat.ts";

/** One tmpfs. `memory` supplies the pages; half of the RAM is its size, as Linux's default. */
export class RamFs extends Filesystem implements PageQuota {
  readonly type: string;
  readonly root: RamDir;
  readonly memory: MemoryManager;
  readonly maxPages: number;
  /** Its `huge=` option. */
  readonly shmem: ShmemMount;
  inodes = 0;
  /** What a name adds to the size of its directory (BOGO_DIRENT_SIZE of mm/shmem.c). */
  readonly direntSize: number = 20;
  readonly hasSymlinks: boolean = true;
  readonly keepsXattrs: boolean = true;
  #pages = 0;

  constructor(
    memory: MemoryManager,
    options: {
      devMinor: number;
      now: () => Timespec;
      type?: string;
      mode?: number;
      maxPages?: number;
      shmem?: ShmemMount;
    },
  ) {
    super(options.devMinor, options.now);
    this.type = options.type ?? "tmpfs";
    this.memory = memory;
    this.shmem = options.shmem ?? { huge: "never" };
    this.maxPages = options.maxPages ?? Math.floor(memory.frames.total / 2);
    this.root = new RamDir(this, { mode: S_IFDIR | (options.mode ?? 0o755), uid: 0, gid: 0 });
    this.options = "inode64";
  }

  // PageQuota: its files ask here before each new page.
  charge(pages: number): boolean {
    if (this.#pages + pages > this.maxPages) return false;
    this.#pages += pages;
    return true;
  }
  uncharge(pages: number): void {
    this.#pages -= pages;
  }
  get maxInodes(): number {
    return this.maxPages;
  }
  /** A new regular file, without a name yet. */
  newFile(make: NewInode): Inode {
    return new RamFile(this, make);
  }
  statfs(): StatFs {
    const free = Math.max(0, this.maxPages - this.#pages);
    return {
      type: TMPFS_MAGIC,
      bsize: 4096,
      blocks: this.maxPages,
      bfree: free,
      bavail: free,
      files: this.maxPages,
      ffree: Math.max(0, this.maxPages - this.inodes),
      namelen: NAME_MAX,
      flags: 0,
      fsid: this.dev,
    };
  }
  /** The last mount is gone: files nobody has open any more give their pages back. */
  override release(): void {
    const drop = (dir: RamDir): void => {
      for (const inode of dir.names.values()) {
        if (inode instanceof RamDir) drop(inode);
        inode.nlink = 0;
        inode.maybeEvict();
      }
      dir.names.clear();
    };
    drop(this.root);
  }
}

/** What every inode of a tmpfs is made with. */
export abstract class RamInode extends Inode {
  declare readonly fs: RamFs;
  constructor(fs: RamFs, make: NewInode) {
    super(fs, make.mode);
    this.uid = make.uid;
    this.gid = make.gid;
    this.rdev = make.rdev ?? 0;
    fs.inodes++;
  }
  protected override evict(): void {
    this.fs.inodes--;
  }
}

/** A directory: a map from names to inodes. */
export class RamDir extends RamInode {
  readonly names = new Map<string, Inode>();
  constructor(fs: RamFs, make: NewInode) {
    super(fs, make);
    this.nlink = 2;
  }
  override get size(): number {
    return (2 + this.names.size) * this.fs.direntSize;
  }
  override lookup(name: string): Inode | number {
    return this.names.get(name) ?? -ENOENT;
  }
  /** Newest first, as simple_offset directories list their children. */
  override entries(): DirEntry[] {
    const list: DirEntry[] = [];
    for (const [name, inode] of this.names) list.push(entryOf(name, inode));
    return list.reverse();
  }
  override stillLists(name: string): boolean {
    return this.names.has(name);
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new DirFile(path, flags);
  }
  /** Adds a name made by the kernel itself (devices at boot). */
  add(name: string, inode: Inode): void {
    this.names.set(name, inode);
    if (inode.isDir) this.nlink++;
    this.#changed();
  }
  override create(name: string, make: NewInode): Inode | number {
    if (this.fs.inodes >= this.fs.maxInodes) return -ENOSPC;
    const inode = (make.mode & S_IFMT) === S_IFREG ? this.fs.newFile(make) : new RamSpecial(this.fs, make);
    this.add(name, inode);
    return inode;
  }
  override mkdir(name: string, make: NewInode): Inode | number {
    if (this.fs.inodes >= this.fs.maxInodes) return -ENOSPC;
    const inode = new RamDir(this.fs, make);
    this.add(name, inode);
    return inode;
  }
  override symlink(name: string, target: string, make: NewInode): Inode | number {
    if (!this.fs.hasSymlinks) return -EINVAL;
    const inode = new RamLink(this.fs, make, target);
    this.add(name, inode);
    return inode;
  }
  override tmpfile(make: NewInode): Inode | number {
    const inode = this.fs.newFile(make);
    inode.nlink = 0;
    return inode;
  }
  override link(name: string, inode: Inode): number {
    inode.nlink++;
    inode.ctime = this.fs.now();
    this.add(name, inode);
    return 0;
  }
  override unlink(name: string, inode: Inode): number {
    this.names.delete(name);
    inode.nlink--;
    inode.ctime = this.fs.now();
    this.#changed();
    return 0;
  }
  override rmdir(name: string, inode: Inode): number {
    if (inode instanceof RamDir && inode.names.size > 0) return -ENOTEMPTY;
    this.names.delete(name);
    inode.nlink = 0;
    this.nlink--;
    inode.maybeEvict();
    this.#changed();
    return 0;
  }
  override rename(name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null): number {
    const to = newDir as RamDir;
    if (target) {
      const error = target.isDir ? to.rmdir(newName, target) : to.unlink(newName, target);
      if (error) return error;
    }
    this.names.delete(name);
    to.names.set(newName, inode);
    if (inode.isDir) {
      this.nlink--;
      to.nlink++;
    }
    inode.ctime = this.fs.now();
    this.#changed();
    to.#changed();
    return 0;
  }
  override exchange(name: string, inode: Inode, otherDir: Inode, otherName: string, other: Inode): number {
    const to = otherDir as RamDir;
    // Both are listed as new, as d_exchange leaves them.
    this.names.delete(name);
    this.names.set(name, other);
    to.names.delete(otherName);
    to.names.set(otherName, inode);
    if (inode.isDir !== other.isDir) {
      this.nlink += inode.isDir ? -1 : 1;
      to.nlink += inode.isDir ? 1 : -1;
    }
    inode.ctime = other.ctime = this.fs.now();
    this.#changed();
    to.#changed();
    return 0;
  }
  #changed(): void {
    this.mtime = this.ctime = this.fs.now();
  }
}

/** A regular file. */
export class RamFile extends RamInode implements PagedInode {
  readonly object: ShmemObject;
  seals = F_SEAL_SEAL;
  constructor(fs: RamFs, make: NewInode) {
    super(fs, make);
    this.object = new ShmemObject(fs.memory, 0, { quota: fs, mount: fs.shmem });
  }
  override get size(): number {
    return this.object.size;
  }
  override get blocks(): number {
    return this.object.residentPages * 8;
  }
  override stat(): Stat {
    const { object } = this;
    const huge = object.memory.thp.allowsShmem(object, 0, null, { writeEnd: 0, force: false });
    return huge ? { ...super.stat(), blksize: PMD_SIZE } : super.stat();
  }
  override truncate(size: number): number {
    return resizePaged(this, size);
  }
  override setAttr(change: AttrChange): number {
    const toggled = change.mode === undefined ? 0 : (change.mode ^ this.mode) & 0o111;
    return this.seals & F_SEAL_EXEC && toggled !== 0 ? -EPERM : super.setAttr(change);
  }
  override open(task: Task, path: Path, flags: number): OpenFile {
    return new RamRegularFile(task.kernel.vfs, this, path, flags);
  }
  protected override evict(): void {
    super.evict();
    this.object.release();
  }
}

/** An open regular file: pages that are not there, or were only allocated, are holes. */
export class RamRegularFile extends RegularFile {
  override findData(offset: number): number {
    for (let at = offset; at < this.inode.size; at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE) {
      if (this.#holdsData(Math.floor(at / PAGE_SIZE))) return at;
    }
    return this.inode.size;
  }
  override findHole(offset: number): number {
    let at = offset;
    while (at < this.inode.size && this.#holdsData(Math.floor(at / PAGE_SIZE))) {
      at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE;
    }
    return at;
  }
  #holdsData(index: number): boolean {
    const { pages, memory } = this.inode.object;
    const pfn = pages.get(index);
    return pfn !== 0 && (memory.frames.flags[pfn] & FRAME_FALLOCATED) === 0;
  }
}

/** A symbolic link. */
export class RamLink extends RamInode {
  readonly #target: string;
  constructor(fs: RamFs, make: NewInode, target: string) {
    super(fs, make);
    this.#target = target;
  }
  override get size(): number {
    return this.#target.length;
  }
  override readlink(): string {
    return this.#target;
  }
}

/** A device, FIFO or socket: only a name and numbers here; vfs.openInode knows what opens it. */
export class RamSpecial extends RamInode {}

/** The tmpfs that nobody sees: its files are memfds (shm_mnt). */
export function unnamedFile(fs: RamFs, make: { mode: number; uid: number; gid: number }): RamFile {
  const inode = new RamFile(fs, make);
  inode.nlink = 0;
  return inode;
}
