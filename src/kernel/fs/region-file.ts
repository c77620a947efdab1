// The descriptor of an mshare region: a file that can be resized, sealed, passed on and reopened, but neither read, written nor mapped.
// Owns the region's inode and its count of open descriptions. Made by syscall/mshare.ts and by reopening /proc/PID/fd/N.

import { EACCES, EINVAL, ENXIO, EOPNOTSUPP, EPERM, ESPIPE } from "../../base/errno.ts";
import type { Region } from "../../mshare/region.ts";
import type { Task } from "../task.ts";
import { MAY_READ, MAY_WRITE, O_ACCMODE, O_PATH, O_RDONLY, O_WRONLY, S_IFREG, type Timespec } from "./abi.ts";
import { type FileTable, OpenFile } from "./file.ts";
import { Filesystem, Inode, type Path, plainStatFs } from "./inode.ts";
import { checkMode, subjectOf } from "./permission.ts";
import type { StatFs } from "./stat.ts";

/** The file system that region files are on: 00:0f in /proc/PID/maps. */
const REGION_DEV_MINOR = 0x0f;
/** As the series' msharefs. */
export const MSHARE_MAGIC = 0x4d534852;

/** The nameless file system of regions; one per kernel. */
export class RegionFs extends Filesystem {
  readonly type = "mshare";
  readonly root: Inode;
  constructor(now: () => Timespec) {
    super(REGION_DEV_MINOR, now);
    this.root = new RootInode(this, 0o600);
  }
  statfs(): StatFs {
    return plainStatFs(MSHARE_MAGIC);
  }
}

class RootInode extends Inode {}

/** A region as a file: S_IFREG 0600, of the size that ftruncate gave it. */
export class RegionInode extends Inode {
  readonly region: Region;
  constructor(fs: RegionFs, region: Region, owner: { uid: number; gid: number }) {
    super(fs, S_IFREG | 0o600, region.inode);
    this.region = region;
    this.nlink = 0;
    this.uid = owner.uid;
    this.gid = owner.gid;
  }
  override get size(): number {
    return this.region.size;
  }
  /** truncate(2) through /proc/PID/fd/N. */
  override truncate(size: number): number {
    const error = this.region.setSize(size);
    if (error === 0) this.mtime = this.ctime = this.fs.now();
    return error;
  }
}

/** The inode of a region, nameless or with a name in an msharefs. */
export interface RegionNode extends Inode {
  readonly region: Region;
}

export class RegionFile extends OpenFile {
  declare readonly inode: RegionNode;

  /** `path`: of a named region. */
  constructor(inode: RegionNode, flags: number, path: Path | null = null) {
    super(flags, path, inode);
    inode.region.handles++;
  }

  get region(): Region {
    return this.inode.region;
  }

  /** Closing the owner's last descriptor may end the region. */
  override closed(table: FileTable): void {
    super.closed(table);
    this.region.reconsider();
  }
  protected override release(): void {
    this.region.handles--;
    this.region.reconsider();
  }

  /** pread and pwrite get as far as read and write do (EINVAL), but there is no position (ESPIPE). */
  override get seekable(): boolean {
    return true;
  }
  override seek(): number {
    return -ESPIPE;
  }
  override get pollable(): boolean {
    return false;
  }

  override truncate(size: number): number {
    return this.inode.truncate(size);
  }

  override fallocate(mode: number, offset: number, length: number): number {
    if (this.region.dead) return -ENXIO;
    if (mode !== 0) return -EOPNOTSUPP;
    if (offset !== 0) return -EINVAL;
    return length <= this.region.size ? 0 : this.inode.truncate(length);
  }

  override addSeals(seals: number): number {
    if (this.region.dead) return -ENXIO;
    return this.writable ? this.region.addSeals(seals) : -EPERM;
  }
  override getSeals(): number {
    return this.region.dead ? -ENXIO : this.region.seals;
  }

  override linkText(): string {
    return `${this.region.name()} (deleted)`;
  }

  /** A second description with the same rights or fewer. */
  override reopen(task: Task, flags: number): RegionFile | number | undefined {
    if ((flags & O_PATH) !== 0) return new RegionFile(this.inode, flags & O_PATH);
    const access = flags & O_ACCMODE;
    if (access !== O_RDONLY && !this.writable) return -EACCES;
    if (access !== O_WRONLY && !this.readable) return -EACCES;
    const mask = (access !== O_WRONLY ? MAY_READ : 0) | (access !== O_RDONLY ? MAY_WRITE : 0);
    const denied = checkMode(subjectOf(task), this.inode, mask);
    if (denied !== 0) return denied;
    return new RegionFile(this.inode, flags);
  }
}
