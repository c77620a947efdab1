// msharefs: regions with names, the file interface of the v3 series (docs/mshare.md). A file is a region; its size is set once, two ioctls map and unmap objects in it
// (msharefs-ioctl.ts), mmap(2) of exactly its size attaches a window. Owns names and their regions; what a region does is src/mshare's.
import { EACCES, EFBIG, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM } from "../../base/errno.ts";
import { MSHARE_MAX_SIZE } from "../../base/limits.ts";
import { PGD_SIZE } from "../../base/numbers.ts";
import type { Region } from "../../mshare/region.ts";
import type { Kernel } from "../kernel.ts";
import { ownerOf } from "../mshare-boot.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { MAY_EXEC, S_IFDIR, S_IFMT, S_IFREG, stringToBytes } from "./abi.ts";
import { OpenFile } from "./file.ts";
import { Inode, type NewInode, type Path, plainStatFs } from "./inode.ts";
import { regionIoctl } from "./msharefs-ioctl.ts";
import { RamDir, RamFs } from "./ramfs.ts";
import { MSHARE_MAGIC, RegionFile } from "./region-file.ts";
import type { StatFs } from "./stat.ts";

/** What sizes and addresses of named regions are multiples of: a root entry of the page tables. `mshare_info` says it. */
export const MSHAREFS_GRANULE = PGD_SIZE;
const INFO = "mshare_info";

/** One mount of msharefs: a name space of its own. */
export class MshareFs extends RamFs {
  readonly kernel: Kernel;
  override readonly root: MshareDir;
  /** Regions with a name here, or that once had one and are still in use. */
  readonly regions = new Set<Region>();
  override readonly keepsXattrs = false;
  override readonly direntSize = 0;

  constructor(kernel: Kernel, devMinor: number) {
    super(kernel.memory, { devMinor, now: () => kernel.clock.realtime(), type: "msharefs" });
    this.kernel = kernel;
    this.options = "";
    this.root = new MshareDir(this, { mode: S_IFDIR | 0o777, uid: 0, gid: 0 });
    this.root.add(INFO, new InfoInode(this));
  }

  override statfs(): StatFs {
    return plainStatFs(MSHARE_MAGIC);
  }
  /** Windows of mshare_attach keep it from being unmounted, as files that are open or mapped do. */
  override get busy(): boolean {
    for (const region of this.regions) for (const window of region.windows) if (window.file === null) return true;
    return false;
  }
  override remount(options: string): number {
    return options === "" ? 0 : -EINVAL;
  }
}

/** A directory: names of regions and of directories, nothing else. */
class MshareDir extends RamDir {
  declare readonly fs: MshareFs;

  #isInfo(name: string): boolean {
    return this === this.fs.root && name === INFO;
  }
  override create(name: string, make: NewInode): Inode | number {
    if ((make.mode & S_IFMT) !== S_IFREG) return -EPERM;
    const { kernel } = this.fs;
    const process = kernel.scheduler.current?.process ?? kernel.init;
    const region = kernel.mshare.create(ownerOf(process));
    if (typeof region === "number") return region;
    const inode = new MshareInode(this.fs, region, make);
    this.add(name, inode);
    return inode;
  }
  override mkdir(name: string, make: NewInode): Inode | number {
    const directory = new MshareDir(this.fs, make);
    this.add(name, directory);
    return directory;
  }
  override symlink(): number {
    return -EPERM;
  }
  override tmpfile(): number {
    return -EOPNOTSUPP;
  }
  override unlink(name: string, inode: Inode): number {
    return this.#isInfo(name) ? -EPERM : super.unlink(name, inode);
  }
  override rename(name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null): number {
    if (this.#isInfo(name) || (newDir as MshareDir).#isInfo(newName)) return -EPERM;
    return super.rename(name, inode, newDir, newName, target);
  }
  override exchange(name: string, inode: Inode, otherDir: Inode, otherName: string, other: Inode): number {
    if (this.#isInfo(name) || (otherDir as MshareDir).#isInfo(otherName)) return -EPERM;
    return super.exchange(name, inode, otherDir, otherName, other);
  }
}

/** `mshare_info`: the granule in decimal. Its size can be set and means nothing (simple_setattr). */
class InfoInode extends Inode {
  #size = 0;
  constructor(fs: MshareFs) {
    super(fs, S_IFREG | 0o444);
  }
  override get size(): number {
    return this.#size;
  }
  override truncate(size: number): number {
    this.#size = size;
    return 0;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new InfoFile(flags, path);
  }
}

class InfoFile extends OpenFile {
  override get seekable(): boolean {
    return true;
  }
  override get pollable(): boolean {
    return false;
  }
  override read(_task: Task, length: number, pos: number | undefined): Uint8Array {
    const at = pos ?? this.pos;
    const bytes = stringToBytes(`${MSHAREFS_GRANULE}\n`).subarray(at, at + length);
    if (pos === undefined) this.pos += bytes.length;
    return bytes;
  }
  override truncate(size: number): number {
    return this.writable ? this.inode!.truncate(size) : -EINVAL;
  }
  override mmap(): number {
    return -ENODEV;
  }
}

/** A named region. Its owner is the process that made the file; it lives until it is unlinked and unused, or its owner has exited. */
export class MshareInode extends Inode {
  declare readonly fs: MshareFs;
  readonly region: Region;

  constructor(fs: MshareFs, region: Region, make: NewInode) {
    super(fs, make.mode);
    this.region = region;
    this.uid = make.uid;
    this.gid = make.gid;
    region.named = true;
    fs.regions.add(region);
  }

  override get size(): number {
    return this.region.size;
  }
  /** Once, to a multiple of the granule. (The largest size of all arrives here as 2^63, since it has no Number of its own.) */
  override truncate(size: number): number {
    const { region } = this;
    if (size <= 0 || size === 2 ** 63 || size % MSHAREFS_GRANULE !== 0 || region.size !== 0) return -EINVAL;
    if (size > MSHARE_MAX_SIZE) return -EFBIG;
    const error = region.setSize(size);
    if (error === 0) this.mtime = this.ctime = this.fs.now();
    return error;
  }
  /** Nothing here can be executed, whatever its mode says. */
  override permission(_task: Task, mask: number): number | undefined {
    return (mask & MAY_EXEC) !== 0 ? -EACCES : undefined;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new MshareFile(this, flags, path);
  }
  /** The last name and the last descriptor are gone: windows alone keep the region now. */
  protected override evict(): void {
    this.region.named = false;
    this.region.unlinked = true;
    this.region.reconsider();
  }
}

/** An open region with a name. */
export class MshareFile extends RegionFile {
  constructor(inode: MshareInode, flags: number, path: Path) {
    super(inode, flags, path);
  }

  override truncate(size: number): number {
    return this.inode.truncate(size);
  }
  override fallocate(mode: number, offset: number, length: number): number {
    if (mode !== 0) return -EOPNOTSUPP;
    return offset !== 0 ? -EINVAL : this.inode.truncate(length);
  }
  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    return regionIoctl(task, this, request, arg);
  }
  override linkText(task?: Task): string {
    return this.path !== null && task !== undefined
      ? task.kernel.vfs.pathName(this.path, task.fs.root)
      : this.region.name();
  }
  /** By its name, as other files. */
  override reopen(): undefined {
    return undefined;
  }
}

/** msharefs for mount(2); it takes no options. -EINVAL, -ENOMEM. */
export function makeMshareFs(kernel: Kernel, devMinor: number, options: string): MshareFs | number {
  if (options !== "") return -EINVAL;
  return kernel.memory.frames.free > 0 ? new MshareFs(kernel, devMinor) : -ENOMEM;
}
