// hugetlbfs: files made of huge pages (fs/hugetlbfs/inode.c). They are mapped, read, truncated and punched, never written. Directories and names are ramfs's. Mounted
// with pagesize=, size=, min_size=, nr_inodes=, mode=, uid=, gid=; memfd_create(MFD_HUGETLB) makes files on an instance that nobody sees.
import { EFBIG, EINVAL, ENOMEM, EOPNOTSUPP, EPERM } from "../../base/errno.ts";
import { NAME_MAX } from "../../base/limits.ts";
import { HugetlbObject } from "../../mm/hugetlb-object.ts";
import { Subpool } from "../../mm/hugetlb-reserve.ts";
import type { HugePool } from "../../mm/hugetlb.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import { MAX_SIZE } from "../../mm/object.ts";
import type { Task } from "../task.ts";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  HUGETLBFS_MAGIC,
  type Timespec,
} from "./abi.ts";
import type { OpenFile } from "./file.ts";
import type { Inode, NewInode, Path } from "./inode.ts";
import { RamFs, RamInode } from "./ramfs.ts";
import { type PagedInode, RegularFile, resizePaged } from "./regular.ts";
import type { StatFs } from "./stat.ts";

/** One hugetlbfs. `subpool`: its share of the pool, if it has limits; ended with the file system. */
export class HugetlbFs extends RamFs {
  readonly pool: HugePool;
  readonly subpool: Subpool | null;
  override readonly direntSize = 0;
  override readonly hasSymlinks = false;
  readonly #maxInodes: number;

  constructor(
    pool: HugePool,
    options: { devMinor: number; now: () => Timespec; mode?: number; subpool?: Subpool | null; maxInodes?: number },
  ) {
    super(pool.memory, { ...options, type: "hugetlbfs" });
    this.pool = pool;
    this.subpool = options.subpool ?? null;
    this.#maxInodes = options.maxInodes ?? Infinity;
  }

  override get maxInodes(): number {
    return this.#maxInodes;
  }
  override newFile(make: NewInode): Inode {
    return new HugetlbInode(this, make);
  }
  /** Without limits all counts are 0, as of a file system that knows of no blocks. */
  override statfs(): StatFs {
    const { subpool, pool } = this;
    const free = subpool === null ? 0 : subpool.max - subpool.used;
    const inodes = subpool === null ? 0 : this.#maxInodes === Infinity ? -1 : this.#maxInodes;
    return {
      type: HUGETLBFS_MAGIC,
      bsize: pool.size,
      blocks: subpool === null ? 0 : subpool.max,
      bfree: free,
      bavail: free,
      files: inodes,
      ffree: inodes > 0 ? inodes - this.inodes : inodes,
      namelen: NAME_MAX,
      flags: 0,
      fsid: this.dev,
    };
  }
  override release(): void {
    super.release();
    this.subpool?.end();
  }
}

/** A regular file. */
export class HugetlbInode extends RamInode implements PagedInode {
  readonly object: HugetlbObject;
  seals = F_SEAL_SEAL;

  constructor(fs: HugetlbFs, make: NewInode) {
    super(fs, make);
    this.object = new HugetlbObject(fs.pool, 0, { subpool: fs.subpool });
    this.blksize = fs.pool.size;
  }
  override get size(): number {
    return this.object.size;
  }
  override get blocks(): number {
    return (this.object.pages.count * this.object.pool.size) / 512;
  }
  override truncate(size: number): number {
    return size % this.object.pool.size !== 0 ? -EINVAL : resizePaged(this, size);
  }
  override open(task: Task, path: Path, flags: number): OpenFile {
    return new HugetlbFile(task.kernel.vfs, this, path, flags);
  }
  protected override evict(): void {
    super.evict();
    this.object.release();
  }
}

/** An open file. */
export class HugetlbFile extends RegularFile {
  declare readonly inode: HugetlbInode;

  /** There is no write_iter. */
  override write(): number {
    return -EINVAL;
  }
  override get spliceable(): boolean {
    return false;
  }

  override fallocate(mode: number, offset: number, length: number): number {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return -EOPNOTSUPP;
    if (mode & FALLOC_FL_PUNCH_HOLE) return super.fallocate(mode, offset, length);
    const { inode } = this;
    const { object } = inode;
    const end = offset + length;
    if (end > MAX_SIZE) return -EFBIG;
    if (inode.seals & F_SEAL_GROW && end > object.size) return -EPERM;
    const error = object.allocate(offset, end);
    // The size may be no multiple of a page then, as in Linux.
    if (error === 0 && !(mode & FALLOC_FL_KEEP_SIZE)) object.extend(end);
    inode.ctime = inode.fs.now();
    return error;
  }
}

const UNITS = "kmgtpe";

/** memparse: "2M", "0x200000"; NaN for what is no number. */
export function parseBytes(text: string): number {
  const match = /^(0x[0-9a-f]+|\d+)([kmgtpe]?)/i.exec(text);
  if (!match) return NaN;
  return Number(match[1]) * (match[2] === "" ? 1 : 1024 ** (UNITS.indexOf(match[2].toLowerCase()) + 1));
}

/** What mount(2) was given. */
interface MountOptions {
  pool: HugePool;
  mode: number;
  uid: number;
  gid: number;
  inodes: number;
  /** As written: bytes, or a percentage of the pool. */
  size: string | null;
  minSize: string | null;
}

function parseOptions(memory: MemoryManager, text: string): MountOptions | number {
  const { hugetlb } = memory;
  const options: MountOptions = {
    pool: hugetlb.defaultPool,
    mode: 0o755,
    uid: 0,
    gid: 0,
    inodes: Infinity,
    size: null,
    minSize: null,
  };
  for (const option of text.split(",").filter((part) => part !== "")) {
    const [name, value = ""] = option.split("=", 2);
    if (name === "size" || name === "min_size") {
      if (Number.isNaN(parseBytes(value))) return -EINVAL;
      options[name === "size" ? "size" : "minSize"] = value;
    } else if (name === "nr_inodes") {
      options.inodes = parseBytes(value);
      if (Number.isNaN(options.inodes)) return -EINVAL;
    } else if (name === "pagesize") {
      const pool = hugetlb.pools.find(({ size }) => size === parseBytes(value));
      if (pool === undefined) return -EINVAL;
      options.pool = pool;
    } else if (name === "mode") {
      if (!/^[0-7]+$/.test(value)) return -EINVAL;
      options.mode = parseInt(value, 8) & 0o1777;
    } else if (name === "uid" || name === "gid") {
      if (!/^\d+$/.test(value)) return -EINVAL;
      options[name] = Number(value);
    } else return -EINVAL;
  }
  return options;
}

/** A size of the options in huge pages, -1 if it was not given. */
function hugePages(text: string | null, pool: HugePool): number {
  if (text === null) return -1;
  const value = parseBytes(text);
  return Math.floor(text.endsWith("%") ? (value * pool.max) / 100 : value / pool.size);
}

/** A hugetlbfs as the option text of mount(2) says; -EINVAL, -ENOMEM (min_size= cannot be reserved). */
export function hugetlbfsFromOptions(
  memory: MemoryManager,
  base: { devMinor: number; now: () => Timespec },
  text: string,
): HugetlbFs | number {
  const options = parseOptions(memory, text);
  if (typeof options === "number") return options;
  const { pool, mode, uid, gid, inodes } = options;
  const max = hugePages(options.size, pool);
  const min = hugePages(options.minSize, pool);
  if (max !== -1 && min > max) return -EINVAL;
  let subpool: Subpool | null = null;
  if (max !== -1 || min !== -1) {
    if (min !== -1 && !pool.reserve(min)) return -ENOMEM;
    subpool = new Subpool(pool, max, min);
  }
  const fs = new HugetlbFs(pool, { ...base, mode, subpool, maxInodes: inodes });
  fs.root.uid = uid;
  fs.root.gid = gid;
  const shown = [
    uid === 0 ? "" : `uid=${uid}`,
    gid === 0 ? "" : `gid=${gid}`,
    mode === 0o755 ? "" : `mode=${mode.toString(8)}`,
    inodes === Infinity ? "" : `nr_inodes=${inodes}`,
    `pagesize=${pool.size / 2 ** 20}M`,
    max === -1 ? "" : `size=${max * pool.size}`,
    min === -1 ? "" : `min_size=${min * pool.size}`,
  ];
  fs.options = shown.filter((part) => part !== "").join(",");
  return fs;
}
