// Calls on a window that mmap(2) of an msharefs file attached, where they differ from those on other windows: they do what they were measured to do with the v3 series
// (REFERENCE.md), whose windows are ordinary file mappings that can be neither split nor grown. Called by window.ts; decides, and changes nothing.
import { EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from "../base/errno.ts";
import * as mman from "../mm/constants.ts";
import { VM_DONTCOPY, type Vma } from "../mm/vma.ts";

/** The file that was mapped, as /proc/PID/maps shows it. */
export interface MappedFile {
  /** Its path, " (deleted)" included. */
  name(): string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly inode: number;
}

/** Advice that changes nothing here, and that Linux takes for any part of a shared mapping. */
const WITHOUT_EFFECT = new Set([
  mman.MADV_NORMAL,
  mman.MADV_DONTNEED_LOCKED,
  mman.MADV_MERGEABLE,
  mman.MADV_UNMERGEABLE,
  mman.MADV_KEEPONFORK,
]);
/** Advice that Linux keeps as a flag of the VMA. */
const KEPT_AS_FLAG = new Set([mman.MADV_RANDOM, mman.MADV_SEQUENTIAL, mman.MADV_HUGEPAGE, mman.MADV_NOHUGEPAGE]);

/** madvise(2) on [start, end) of the mapping; undefined: as on any window. */
export function adviseMapping(vma: Vma, start: number, end: number, advice: number): number | undefined {
  if (WITHOUT_EFFECT.has(advice)) return 0;
  if (KEPT_AS_FLAG.has(advice)) return start > vma.start || end < vma.end ? -EINVAL : 0;
  if (advice === mman.MADV_REMOVE) return -EOPNOTSUPP;
  if (advice === mman.MADV_DOFORK && (vma.flags & VM_DONTCOPY) === 0) return 0;
  return undefined;
}

/** mremap(2) without a new address: where it is if it stays as it is; shrinking would split it (-EINVAL), growing is forbidden (-EFAULT). */
export function remapMapping(start: number, oldLength: number, newLength: number): number {
  if (newLength === oldLength) return start;
  return newLength < oldLength ? -EINVAL : -EFAULT;
}

/** msync(2): holes of the region are none of the mapping; but what MS_SYNC would write is not all there. */
export const syncMapping = (result: number, flags: number): number =>
  result !== -ENOMEM ? result : (flags & mman.MS_ASYNC) !== 0 ? 0 : -EINVAL;
