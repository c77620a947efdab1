// Splitting, merging and changing VMAs (mm/vma.c of Linux 6.12). /proc/PID/maps shows the outcome, so every rule is kept, the odd ones too:
// an unfaulted VMA does not merge with a faulted one after a fork, a moved one keeps its numbering. Used by mmap, mprotect, mremap, madvise, mlock, brk.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { MAX_MAP_COUNT } from "../base/limits.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { type AnonVma, cloneAnonVma, unlinkAnonVmas } from "./anon-vma.ts";
import { closeHugetlb, maySplit } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { splitAtBoundary } from "./thp-split.ts";
import { VM_SOFTDIRTY, VM_SPECIAL, Vma, type VmFile } from "./vma.ts";

/** vma_merge_struct: a range that is to become (part of) a VMA with these properties. */
export interface MergeRange {
  mm: Mm;
  start: number;
  end: number;
  flags: number;
  pgoff: number;
  file: VmFile | null;
  anonVma: AnonVma | null;
  anonName: string | null;
  /** The VMAs below and above the range. */
  prev: Vma | null;
  next: Vma | null;
}

function isMergeableVma(range: MergeRange, vma: Vma): boolean {
  return (
    ((vma.flags ^ range.flags) & ~VM_SOFTDIRTY) === 0 &&
    vma.file?.mergeKey === range.file?.mergeKey &&
    vma.window === null &&
    vma.name === null &&
    vma.anonName === range.anonName
  );
}

/** is_mergeable_anon_vma: with only one set, the VMA `vma` must not have inherited its chain. */
function isMergeableAnonVma(a: AnonVma | null, b: AnonVma | null, vma: Vma | null): boolean {
  if ((a === null || b === null) && (vma === null || vma.anonChain.length === 1)) return true;
  return a === b;
}

function canMergeLeft(range: MergeRange): boolean {
  const { prev } = range;
  return (
    prev !== null &&
    prev.end === range.start &&
    isMergeableVma(range, prev) &&
    isMergeableAnonVma(range.anonVma, prev.anonVma, prev) &&
    prev.pgoff + prev.pages === range.pgoff
  );
}

function canMergeRight(range: MergeRange, left: { alsoLeft: boolean }): boolean {
  const { next } = range;
  if (
    next === null ||
    range.end !== next.start ||
    !isMergeableVma(range, next) ||
    !isMergeableAnonVma(range.anonVma, next.anonVma, next) ||
    next.pgoff !== range.pgoff + (range.end - range.start) / PAGE_SIZE
  )
    return false;
  return !left.alsoLeft || isMergeableAnonVma(range.prev!.anonVma, next.anonVma, null);
}

/** can_merge_remove_vma: a VMA whose file wants to see it closed is not merged away. */
const isRemovable = (vma: Vma): boolean => vma.file?.hasClose !== true;

/** dup_anon_vma: `dst` takes over what `src` can map. */
function dupAnonVma(dst: Vma, src: Vma): void {
  if (src.anonVma === null || dst.anonVma !== null) return;
  dst.anonVma = src.anonVma;
  cloneAnonVma(dst, src);
}

/** Takes a VMA that was merged into another one out of the tree. */
function removeMerged(mm: Mm, vma: Vma): void {
  mm.vmas.remove(vma);
  dispose(vma);
}

/** Drops what a VMA holds; it is no longer in the tree. */
export function dispose(vma: Vma): void {
  unlinkAnonVmas(vma);
  if (vma.hugetlb !== null) closeHugetlb(vma);
  if (vma.object !== null) vma.object.mappings.delete(vma);
  vma.file?.put();
}

/** A VMA that joins the tree: takes its file reference and enters the object's list. */
export function linkVma(vma: Vma): void {
  if (vma.file !== null) {
    vma.file.get();
    vma.object!.mappings.add(vma);
  }
  vma.mm.vmas.insert(vma);
}

/** vma_merge_new_range: an empty range joins its neighbours if it can. Returns the grown VMA or null. */
export function mergeNewRange(range: MergeRange): Vma | null {
  const merged = joinNewRange(range);
  if (merged !== null) merged.mm.memory.khugepaged.enterVma(merged, range.flags);
  return merged;
}

function joinNewRange(range: MergeRange): Vma | null {
  const { mm, prev, next } = range;
  if ((range.flags & VM_SPECIAL) !== 0 || (prev === null && next === null)) return null;
  const left = canMergeLeft(range);
  const right = canMergeRight(range, { alsoLeft: left });
  if (left) {
    let end = range.end;
    if (right && isRemovable(next!)) {
      end = next!.end;
      dupAnonVma(prev!, next!);
      removeMerged(mm, next!);
    }
    prev!.end = end;
    return prev;
  }
  if (right) {
    next!.pgoff = range.pgoff;
    next!.start = range.start;
    return next;
  }
  return null;
}

/** vma_merge_existing_range: part or all of `vma`, which gets the range's properties, joins its neighbours. Returns the merged VMA or null. */
function mergeExistingRange(range: MergeRange, vma: Vma): Vma | null {
  const merged = joinExistingRange(range, vma);
  if (merged !== null) merged.mm.memory.khugepaged.enterVma(merged, range.flags);
  return merged;
}

function joinExistingRange(range: MergeRange, vma: Vma): Vma | null {
  const { mm, start, end } = range;
  const leftSide = start === vma.start;
  const rightSide = end === vma.end;
  if ((range.flags & VM_SPECIAL) !== 0 || (!leftSide && !rightSide)) return null;
  const left = leftSide && canMergeLeft(range);
  const prev = range.prev!;
  if (rightSide) range.next = mm.vmas.next(vma);
  let right = rightSide && canMergeRight(range, { alsoLeft: left });
  if (!left && !right) return null;
  const deletesVma = leftSide && rightSide;
  if (!deletesVma) splitAtBoundary(vma, leftSide ? end : start);
  if (deletesVma && !isRemovable(vma)) return null;
  const next = range.next!;
  if (left && right && !isRemovable(next)) right = false;

  if (left && right) {
    dupAnonVma(prev, next.anonVma !== null ? next : vma);
    const newEnd = next.end;
    removeMerged(mm, vma);
    removeMerged(mm, next);
    prev.end = newEnd;
    return prev;
  }
  if (left) {
    dupAnonVma(prev, vma);
    if (deletesVma) removeMerged(mm, vma);
    else {
      vma.pgoff += (end - vma.start) / PAGE_SIZE;
      vma.start = end;
    }
    prev.end = end;
    return prev;
  }
  dupAnonVma(next, vma);
  if (deletesVma) removeMerged(mm, vma);
  else vma.end = start;
  next.pgoff -= (next.start - start) / PAGE_SIZE;
  next.start = start;
  return next;
}

/** __split_vma at `address`, strictly inside. Returns 0, or -EINVAL for a window and inside of a huge page. `keep` says which part stays the same Vma object. */
export function splitVmaUnchecked(vma: Vma, address: number, keep: "lower" | "upper"): number {
  if (vma.window !== null || !maySplit(vma, address)) return -EINVAL;
  splitAtBoundary(vma, address);
  const other = new Vma(vma.mm, vma.start, vma.end, vma.flags, vma.pgoff, vma.file);
  other.name = vma.name;
  other.anonName = vma.anonName;
  other.anonVma = vma.anonVma;
  if (vma.hugetlb !== null) other.hugetlb = { ...vma.hugetlb };
  cloneAnonVma(other, vma);
  const pages = (address - vma.start) / PAGE_SIZE;
  if (keep === "lower") {
    other.start = address;
    other.pgoff += pages;
    vma.end = address;
  } else {
    other.end = address;
    vma.start = address;
    vma.pgoff += pages;
  }
  linkVma(other);
  return 0;
}

/** split_vma: as above, but refuses with -ENOMEM when the mm has as many VMAs as it may. */
export function splitVma(vma: Vma, address: number, keep: "lower" | "upper"): number {
  if (vma.mm.vmas.size >= MAX_MAP_COUNT) return -ENOMEM;
  return splitVmaUnchecked(vma, address, keep);
}

/**
 * vma_modify: [start, end) inside `vma` is about to get new flags (or a new name). Merges it with its neighbours if they agree, else splits it
 * off. Returns the VMA that covers the range — the caller sets flags and name on it — or a negative errno.
 */
export function modifyVma(
  prev: Vma | null,
  vma: Vma,
  start: number,
  end: number,
  change: { flags: number; anonName?: string | null },
): Vma | number {
  const merged = mergeExistingRange(
    {
      mm: vma.mm,
      start,
      end,
      flags: change.flags,
      pgoff: vma.pgoff + (start - vma.start) / PAGE_SIZE,
      file: vma.file,
      anonVma: vma.anonVma,
      anonName: change.anonName === undefined ? vma.anonName : change.anonName,
      prev,
      next: null,
    },
    vma,
  );
  if (merged !== null) return merged;
  if (vma.start < start) {
    const error = splitVma(vma, start, "upper");
    if (error < 0) return error;
  }
  if (vma.end > end) {
    const error = splitVma(vma, end, "lower");
    if (error < 0) return error;
  }
  return vma;
}
