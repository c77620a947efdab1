// The mshare ABI: call numbers, flags and structures exactly as guest programs see them (guest/include/mshare.h declares the same).
// Pure data and pure functions on bytes; owns no state. The syscall file decodes with it, everything in mshare uses its flags.
import { E2BIG, EINVAL } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";

/** System-call numbers. Provisional: riscv64 has no upstream ones, and these lie far above those it has. */
export const NR_MSHARE_CREATE = 1000;
export const NR_MSHARE_ATTACH = 1001;
export const NR_MSHARE_DETACH = 1002;
export const NR_MSHARE_MAP = 1003;
export const NR_MSHARE_UNMAP = 1004;
export const NR_MSHARE_PROTECT = 1005;
export const NR_MSHARE_ADVISE = 1006;
export const NR_MSHARE_LOCK = 1007;
export const NR_MSHARE_UNLOCK = 1008;
export const NR_MSHARE_SYNC = 1009;
export const NR_MSHARE_REMAP = 1010;
export const NR_MSHARE_STAT = 1011;
export const NR_MSHARE_TRANSFER = 1012;

/** mshare_attach: exactly at `addr`, which must be free. */
export const MSHARE_FIXED = 0x1;
/** mshare_attach: a window through which nothing can be written. */
export const MSHARE_RDONLY = 0x2;
/** mshare_attach: copy-on-write; needs only a read-only descriptor. */
export const MSHARE_PRIVATE = 0x4;
/** mshare_attach: link all tables that exist before returning. */
export const MSHARE_POPULATE = 0x8;
/** mshare_attach: mprotect, munmap and the like on addresses in the window act on the region. */
export const MSHARE_PASSTHROUGH = 0x10;
export const MSHARE_ATTACH_FLAGS = MSHARE_FIXED | MSHARE_RDONLY | MSHARE_PRIVATE | MSHARE_POPULATE | MSHARE_PASSTHROUGH;

/** fcntl(F_ADD_SEALS) on a region. */
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const MSHARE_SEAL_MAP = 0x100;
export const MSHARE_SEAL_PROTECT = 0x200;
export const MSHARE_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | MSHARE_SEAL_MAP | MSHARE_SEAL_PROTECT;

/** mshare_stat.flags: the region has an owner; this kernel runs with private tables (`--no-share`). */
export const MSHARE_STAT_OWNED = 0x1;
export const MSHARE_STAT_PRIVATE_TABLES = 0x2;

/** Bytes of the first (and so far only) version of each structure. */
export const MSHARE_MAP_SIZE = 40;
export const MSHARE_REMAP_SIZE = 40;
export const MSHARE_STAT_SIZE = 80;

/** `struct mshare_map`. */
export interface MapArgs {
  /** Region offset and size in bytes. Values above 2^53 are rounded: every such value is far past the largest region. */
  readonly offset: number;
  readonly size: number;
  /** Exact, since an unaligned and an overflowing one give different errors. */
  readonly objOffset: bigint;
  readonly prot: number;
  readonly flags: number;
  readonly objFd: number;
  readonly reserved: number;
}

/** `struct mshare_remap`. */
export interface RemapArgs {
  readonly oldOffset: number;
  readonly oldSize: number;
  readonly newOffset: number;
  readonly newSize: number;
  readonly flags: number;
  readonly reserved: number;
}

/** `struct mshare_stat`; sizes in bytes. */
export interface MshareStat {
  size: number;
  granule: number;
  /** Bytes of the region that have an object. */
  mapped: number;
  /** Bytes of frames present in any of its roots. */
  resident: number;
  /** Bytes of tables under the read-write root, and under the read-only one. */
  tableBytes: number;
  viewTableBytes: number;
  /** Faults resolved in the host mm since creation. */
  faults: number;
  /** Entries of processes' tables that point at the region's tables now. */
  links: number;
  /** Process id of the owner, or 0. */
  owner: number;
  windows: number;
  /** Address spaces with at least one window. */
  sharers: number;
  flags: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u64 = (data: DataView, at: number): number => data.getUint32(at + 4, true) * 2 ** 32 + data.getUint32(at, true);

/**
 * The size rules of copy_struct_from_user() before any byte is read: how many bytes to copy in, or -EINVAL (shorter than the first
 * version), -E2BIG (longer than a page).
 */
export function structBytes(usize: number, firstVersion: number): number {
  if (usize < firstVersion) return -EINVAL;
  if (usize > PAGE_SIZE) return -E2BIG;
  return usize;
}

/** -E2BIG if a caller newer than this kernel set something in the bytes that this kernel does not know, else 0. */
export function checkTrailing(bytes: Uint8Array, known: number): number {
  for (let i = known; i < bytes.length; i++) if (bytes[i] !== 0) return -E2BIG;
  return 0;
}

/** Decodes a `struct mshare_map` of at least MSHARE_MAP_SIZE bytes. */
export function decodeMap(bytes: Uint8Array): MapArgs {
  const data = view(bytes);
  return {
    offset: u64(data, 0),
    size: u64(data, 8),
    objOffset: data.getBigUint64(16, true),
    prot: data.getUint32(24, true),
    flags: data.getUint32(28, true),
    objFd: data.getInt32(32, true),
    reserved: data.getUint32(36, true),
  };
}

/** Decodes a `struct mshare_remap` of at least MSHARE_REMAP_SIZE bytes. */
export function decodeRemap(bytes: Uint8Array): RemapArgs {
  const data = view(bytes);
  return {
    oldOffset: u64(data, 0),
    oldSize: u64(data, 8),
    newOffset: u64(data, 16),
    newSize: u64(data, 24),
    flags: data.getUint32(32, true),
    reserved: data.getUint32(36, true),
  };
}

/** Encodes a `struct mshare_stat`, cut or padded with zeros to `usize` bytes. */
export function encodeStat(stat: MshareStat, usize: number): Uint8Array {
  const bytes = new Uint8Array(MSHARE_STAT_SIZE);
  const data = view(bytes);
  const sizes = [
    stat.size,
    stat.granule,
    stat.mapped,
    stat.resident,
    stat.tableBytes,
    stat.viewTableBytes,
    stat.faults,
    stat.links,
  ];
  sizes.forEach((value, i) => data.setBigUint64(8 * i, BigInt(value), true));
  [stat.owner, stat.windows, stat.sharers, stat.flags].forEach((value, i) => data.setUint32(64 + 4 * i, value, true));
  const out = new Uint8Array(usize);
  out.set(bytes.subarray(0, usize));
  return out;
}
