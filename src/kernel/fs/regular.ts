// Regular files whose contents are a MemoryObject (tmpfs, memfd, host files): read, write, seek, map, seal. The page cache is the object.
// Inodes supply the object; RegularFile is what open(2) gives.

import { EBUSY, EFBIG, EINVAL, ENXIO, EOPNOTSUPP, EPERM } from "../../base/errno.ts";
import type { MemoryObject } from "../../mm/object.ts";
import type { VmFile } from "../../mm/vma.ts";
import type { Task } from "../task.ts";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  F_SEAL_EXEC,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  O_NOATIME,
  SEEK_DATA,
  SEEK_HOLE,
  type Timespec,
  devMajor,
  devMinor,
} from "./abi.ts";
import { removePrivileges } from "./attributes.ts";
import { OpenFile } from "./file.ts";
import { type Inode, MNT_NOEXEC, type Path } from "./inode.ts";
import { fileSizeLimit } from "./raise.ts";
import type { Vfs } from "./vfs.ts";

/** An inode with pages. */
export interface PagedInode extends Inode {
  readonly object: MemoryObject;
  /** F_SEAL_*; undefined: this file system knows no seals. */
  seals?: number;
}

/** ftruncate/truncate of an inode with pages, seals considered. */
export function resizePaged(inode: PagedInode, size: number): number {
  const seals = inode.seals ?? 0;
  if (size < inode.object.size && seals & F_SEAL_SHRINK) return -EPERM;
  if (size > inode.object.size && seals & F_SEAL_GROW) return -EPERM;
  const error = inode.object.truncate(size);
  if (error) return error;
  inode.mtime = inode.ctime = inode.fs.now();
  return 0;
}

/** The end of what a file may grow to here: pages are numbered exactly in a double. */
const MAX_FILE_SIZE = 2 ** 53 - 1;

export class RegularFile extends OpenFile {
  declare readonly inode: PagedInode;
  readonly vfs: Vfs;
  #mapping: FileMapping | null = null;

  /** `path` null: the file has no name (memfd); subclasses then say how it is called. */
  constructor(vfs: Vfs, inode: PagedInode, path: Path | null, flags: number) {
    super(flags, path, inode);
    this.vfs = vfs;
  }

  override get seekable(): boolean {
    return true;
  }
  override get pollable(): boolean {
    return false;
  }

  override read(_task: Task, length: number, pos: number | undefined): Uint8Array | number {
    const at = pos ?? this.pos;
    const object = this.inode.object;
    const data = object.read(at, Math.max(0, Math.min(length, object.size - at)));
    if (typeof data === "number") return data;
    if (pos === undefined) this.pos += data.length;
    this.#accessed();
    return data;
  }

  override write(task: Task, data: Uint8Array, pos: number | undefined): number {
    const inode = this.inode;
    // O_APPEND appends even with pwrite (a documented deviation of Linux from POSIX).
    const at = this.append ? inode.object.size : (pos ?? this.pos);
    if (data.length === 0) return 0;
    const seals = inode.seals ?? 0;
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
    if (seals & F_SEAL_GROW && at + data.length > inode.object.size) return -EPERM;
    const limit = fileSizeLimit(task, at);
    if (limit <= at) return -EFBIG;
    if (at + data.length > MAX_FILE_SIZE) return -EFBIG;
    removePrivileges(task, inode);
    const written = inode.object.write(at, data.length > limit - at ? data.subarray(0, limit - at) : data);
    if (written < 0) return written;
    if (pos === undefined) this.pos = at + written;
    inode.mtime = inode.ctime = inode.fs.now();
    return written;
  }

  override seek(offset: number, whence: number): number {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return super.seek(offset, whence);
    const { size } = this.inode;
    if (offset < 0 || offset >= size) return -ENXIO;
    const found = whence === SEEK_DATA ? this.findData(offset) : this.findHole(offset);
    return found >= size && whence === SEEK_DATA ? -ENXIO : (this.pos = Math.min(found, size));
  }
  /** Where data begin at or after `offset`, the size if there are none. A file system that knows of no holes says: at once. */
  protected findData(offset: number): number {
    return offset;
  }
  /** Where a hole begins at or after `offset`; the end of the file is one. */
  protected findHole(_offset: number): number {
    return this.inode.size;
  }

  override truncate(size: number): number {
    if (!this.writable) return -EINVAL;
    return this.inode.truncate(size);
  }

  override fallocate(mode: number, offset: number, length: number): number {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) return -EOPNOTSUPP;
    const inode = this.inode;
    const object = inode.object;
    const end = offset + length;
    const seals = inode.seals ?? 0;
    if (mode & FALLOC_FL_PUNCH_HOLE) {
      if (!(mode & FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
      if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
      object.punch(offset, end);
      inode.mtime = inode.ctime = inode.fs.now();
      return 0;
    }
    if (mode & FALLOC_FL_ZERO_RANGE) return -EOPNOTSUPP;
    if (end > MAX_FILE_SIZE) return -EFBIG;
    if (end > object.size && !(mode & FALLOC_FL_KEEP_SIZE) && seals & F_SEAL_GROW) return -EPERM;
    const error = object.allocate(offset, end);
    if (error) return error;
    if (end > object.size && !(mode & FALLOC_FL_KEEP_SIZE)) return this.inode.truncate(end);
    inode.ctime = inode.fs.now();
    return 0;
  }

  override fsync(): number {
    return this.inode.object.sync();
  }

  override mmap(request: { prot: number; flags: number; offset: number }): VmFile | number {
    void request;
    return (this.#mapping ??= new FileMapping(this));
  }

  override getSeals(): number {
    return this.inode.seals ?? -EINVAL;
  }
  override addSeals(seals: number): number {
    const inode = this.inode;
    if (inode.seals === undefined) return -EINVAL;
    if (!this.writable) return -EPERM;
    if (inode.seals & F_SEAL_SEAL) return -EPERM;
    const all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
    if (seals & ~all) return -EINVAL;
    if (seals & F_SEAL_WRITE && !(inode.seals & F_SEAL_WRITE) && inode.object.writableMappings > 0) return -EBUSY;
    if (seals & F_SEAL_EXEC && inode.mode & 0o111) seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    inode.seals |= seals;
    return 0;
  }

  /** The name that /proc/PID/maps shows. */
  mapName(): string {
    return this.path ? this.vfs.pathName(this.path) : this.linkText();
  }

  /** relatime: the access time follows when it is older than the last change, or than a day. */
  #accessed(): void {
    if (this.flags & O_NOATIME) return;
    const inode = this.inode;
    if (!notLater(inode.atime, inode.mtime) && !notLater(inode.atime, inode.ctime)) return;
    inode.atime = inode.fs.now();
  }
}

const notLater = (a: Timespec, b: Timespec): boolean => a.sec < b.sec || (a.sec === b.sec && a.nsec <= b.nsec);

/** A regular file as VMAs hold it. One per open file: its identity is what lets VMAs merge. */
export class FileMapping implements VmFile {
  readonly file: RegularFile;
  readonly mergeKey: unknown;
  constructor(file: RegularFile) {
    this.file = file;
    this.mergeKey = file;
  }
  get object(): MemoryObject {
    return this.file.inode.object;
  }
  name(): string {
    return this.file.mapName();
  }
  get devMajor(): number {
    return devMajor(this.file.inode.fs.dev);
  }
  get devMinor(): number {
    return devMinor(this.file.inode.fs.dev);
  }
  get inode(): number {
    return this.file.inode.ino;
  }
  get readable(): boolean {
    return this.file.readable;
  }
  get writable(): boolean {
    return this.file.writable;
  }
  get noExec(): boolean {
    return ((this.file.path?.mount.flags ?? 0) & MNT_NOEXEC) !== 0;
  }
  writeSealed(): boolean {
    return ((this.file.inode.seals ?? 0) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0;
  }
  get(): void {
    this.file.get();
  }
  put(): void {
    this.file.put();
  }
}
