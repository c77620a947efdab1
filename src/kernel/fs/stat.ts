// File attributes and their layouts for user space: struct stat (asm-generic, 128 bytes), statx (256), statfs (120).
// Built by inodes, encoded by the stat family of system calls.

import type { Timespec } from "./abi.ts";
import { devMajor, devMinor } from "./abi.ts";

/** What stat(2) tells of a file. `dev` and `rdev` are device numbers (makeDev), `blocks` counts 512 bytes. */
export interface Stat {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  /** Birth time; undefined where the file system has none. */
  btime?: Timespec;
}

/** What statfs(2) tells of a file system; sizes in blocks of `bsize` bytes. */
export interface StatFs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  namelen: number;
  flags: number;
  fsid: number;
}

/** Writes a non-negative whole number below 2^64 as a little-endian u64. */
export function put64(view: DataView, offset: number, value: number): void {
  if (value < 0) {
    view.setBigInt64(offset, BigInt(value), true);
    return;
  }
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** struct stat of uapi/asm-generic/stat.h: 128 bytes. */
export function encodeStat(s: Stat): Uint8Array {
  const out = new Uint8Array(128);
  const v = new DataView(out.buffer);
  put64(v, 0, s.dev);
  put64(v, 8, s.ino);
  v.setUint32(16, s.mode, true);
  v.setUint32(20, s.nlink, true);
  v.setUint32(24, s.uid, true);
  v.setUint32(28, s.gid, true);
  put64(v, 32, s.rdev);
  put64(v, 48, s.size);
  v.setInt32(56, s.blksize, true);
  put64(v, 64, s.blocks);
  putTime(v, 72, s.atime);
  putTime(v, 88, s.mtime);
  putTime(v, 104, s.ctime);
  return out;
}
function putTime(view: DataView, at: number, time: Timespec): void {
  put64(view, at, time.sec);
  view.setUint32(at + 8, time.nsec, true);
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const STATX_MNT_ID_UNIQUE = 0x4000;

/** struct statx of uapi/linux/stat.h: 256 bytes; basic fields and the mount are always filled, whatever the mask asks (as Linux does). */
export function encodeStatx(s: Stat, mask: number, mount: { id: number; isRoot: boolean }): Uint8Array {
  const out = new Uint8Array(256);
  const v = new DataView(out.buffer);
  const unique = (mask & STATX_MNT_ID_UNIQUE) !== 0;
  let filled = STATX_BASIC_STATS | (unique ? STATX_MNT_ID_UNIQUE : STATX_MNT_ID);
  if (s.btime && mask & STATX_BTIME) filled |= STATX_BTIME;
  v.setUint32(0, filled, true);
  v.setUint32(4, s.blksize, true);
  put64(v, 8, mount.isRoot ? 0x2000 : 0); // attributes: STATX_ATTR_MOUNT_ROOT
  v.setUint32(16, s.nlink, true);
  v.setUint32(20, s.uid, true);
  v.setUint32(24, s.gid, true);
  v.setUint16(28, s.mode, true);
  put64(v, 32, s.ino);
  put64(v, 40, s.size);
  put64(v, 48, s.blocks);
  put64(v, 56, 0x203000); // attributes_mask: MOUNT_ROOT, AUTOMOUNT, DAX
  const zero = { sec: 0, nsec: 0 };
  let at = 64;
  for (const t of [s.atime, filled & STATX_BTIME ? s.btime! : zero, s.ctime, s.mtime]) {
    put64(v, at, t.sec);
    v.setUint32(at + 8, t.nsec, true);
    at += 16;
  }
  v.setUint32(128, devMajor(s.rdev), true);
  v.setUint32(132, devMinor(s.rdev), true);
  v.setUint32(136, devMajor(s.dev), true);
  v.setUint32(140, devMinor(s.dev), true);
  put64(v, 144, mount.id + (unique ? 2 ** 32 : 0));
  return out;
}

/** struct statfs of 64-bit architectures: 120 bytes. */
export function encodeStatFs(s: StatFs): Uint8Array {
  const out = new Uint8Array(120);
  const v = new DataView(out.buffer);
  [s.type, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree].forEach((n, i) => put64(v, 8 * i, n));
  v.setUint32(56, s.fsid, true);
  put64(v, 64, s.namelen);
  put64(v, 72, s.bsize); // frsize
  put64(v, 80, s.flags | 0x20); // ST_VALID
  return out;
}
