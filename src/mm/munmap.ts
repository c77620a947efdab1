// munmap: taking VMAs out of an address space, in the two steps that mmap over existing mappings needs as well (mm/vma.c:
// vms_gather_munmap_vmas, vms_complete_munmap_vmas). Used by munmap, mmap, mremap and brk.
import { EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { MAX_MAP_COUNT, TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, pageUp } from "../base/numbers.ts";
import { accountVm } from "./accounting.ts";
import { dispose, splitVmaUnchecked } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { freeTables } from "./page-table.ts";
import { zapRange } from "./rmap.ts";
import type { Gather } from "./shootdown.ts";
import { VM_ACCOUNT, VM_LOCKED, VM_SEALED, type Vma } from "./vma.ts";

/** VMAs that are going to go: [start, end) of the mm holds nothing but them. */
export interface Detached {
  readonly start: number;
  readonly end: number;
  /** Position of the first one in the tree, and how many there are. */
  readonly index: number;
  readonly count: number;
  /** Pages, and those among them that are committed. */
  readonly pages: number;
  readonly accounted: number;
}

/** munmap(2). 0, -EINVAL (unaligned, empty, beyond the user half; a part of a window or of a huge page), -ENOMEM (too many VMAs), -EPERM (sealed). */
export function munmap(mm: Mm, addr: number, length: number): number {
  if (addr % PAGE_SIZE !== 0 || addr > TASK_SIZE || length > TASK_SIZE - addr) return -EINVAL;
  if (length === 0) return -EINVAL;
  const end = addr + pageUp(length);
  const first = mm.vmas.intersection(addr, end);
  if (first === null) return 0;
  // Inside a window: not this process's to unmap; the region may let it through.
  if (first.window !== null && addr >= first.start && end <= first.end && first.window.mayUnmap(first, addr, end) < 0)
    return first.window.call(mm, first, "munmap", addr, end, 0);
  return unmapRange(mm, addr, end);
}

/** Unmaps [start, end), page-aligned, in which there is a VMA. Errors as munmap. */
export function unmapRange(mm: Mm, start: number, end: number): number {
  const detached = gatherVmas(mm, start, end);
  if (typeof detached === "number") return detached;
  completeUnmap(mm, detached);
  return 0;
}

/**
 * Checks that [start, end) may be unmapped and splits the VMAs at its edges. After a failure they may stay split, as in Linux. A window goes as a
 * whole or not at all, its free part of the slot included.
 */
export function gatherVmas(mm: Mm, start: number, end: number): Detached | number {
  const { vmas } = mm;
  const windows = checkWindows(mm, start, end);
  if (windows < 0) return windows;
  const first = vmas.intersection(start, end);
  if (first !== null && first.window === null && start > first.start) {
    if (end < first.end && vmas.size >= MAX_MAP_COUNT) return -ENOMEM;
    if ((first.flags & VM_SEALED) !== 0) return -EPERM;
    const error = splitVmaUnchecked(first, start, "upper");
    if (error < 0) return error;
  }
  const index = vmas.indexAt(start);
  let low = start;
  let high = end;
  let count = 0;
  let pages = 0;
  let accounted = 0;
  for (let vma = vmas.at(index); vma !== null && vma.start < end; vma = vmas.at(index + count)) {
    if ((vma.flags & VM_SEALED) !== 0) return -EPERM;
    if (vma.end > end) {
      const error = vma.window === null ? splitVmaUnchecked(vma, end, "lower") : 0;
      if (error < 0) return error;
      if (vma.window !== null) high = vma.end;
    }
    low = Math.min(low, vma.start);
    count++;
    pages += vma.pages;
    if ((vma.flags & VM_ACCOUNT) !== 0) accounted += vma.pages;
  }
  return { start: low, end: high, index, count, pages, accounted };
}

/** Whether [start, end) may take every window whose slot it touches. */
function checkWindows(mm: Mm, start: number, end: number): number {
  const { vmas } = mm;
  for (let index = Math.max(0, vmas.indexAt(start) - 1); ; index++) {
    const vma = vmas.at(index);
    if (vma === null || vma.startGap >= end) return 0;
    if (vma.window === null || vma.endGap <= start) continue;
    // Only the free rest of a slot: for munmap that is a hole, which it passes over.
    if (vma.end <= start || vma.start >= end) continue;
    const error = vma.window.mayUnmap(vma, start, end);
    if (error < 0) return error;
  }
}

/** Whether something new may be placed in [start, end): not into a slot unless its window goes with it. 0 or -EINVAL. */
export function checkSlots(mm: Mm, start: number, end: number): number {
  const { vmas } = mm;
  for (let index = Math.max(0, vmas.indexAt(start) - 1); ; index++) {
    const vma = vmas.at(index);
    if (vma === null || vma.start >= end) return 0;
    if (vma.window === null || vma.endGap <= start) continue;
    if (start > vma.start || end < vma.end) return -EINVAL;
  }
}

/** Takes away what `gatherVmas` found: pages, tables, VMAs, accounts. Does not fail. */
export function completeUnmap(mm: Mm, detached: Detached): void {
  uncommitAndCount(mm, detached);
  clearRange(mm, detached);
}

/** As completeUnmap, but what was committed stays so: for a mapping that takes the place. */
export function replaceRange(mm: Mm, detached: Detached): void {
  uncommitAndCount(mm, { ...detached, accounted: 0 });
  clearRange(mm, detached);
}

function uncommitAndCount(mm: Mm, detached: Detached): void {
  mm.noteHighWater();
  if (detached.accounted > 0) mm.memory.uncommit(detached.accounted);
  for (let i = 0; i < detached.count; i++) {
    const vma = mm.vmas.at(detached.index + i)!;
    if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm -= vma.pages;
    accountVm(mm, vma.flags, -vma.pages);
  }
}

function clearRange(mm: Mm, detached: Detached): void {
  const { index, count } = detached;
  if (count === 0) return;
  const gather = mm.memory.beginGather();
  const gone: Vma[] = [];
  for (let i = 0; i < count; i++) {
    const vma = mm.vmas.at(index + i)!;
    gone.push(vma);
    unmapVma(vma, gather);
  }
  mm.vmas.removeRange(index, count);
  const floor = mm.vmas.at(index - 1)?.end ?? 0;
  const ceiling = mm.vmas.at(index)?.start ?? TASK_SIZE;
  freeTables(mm, detached.start, detached.end, floor, ceiling, gather);
  gather.finish();
  // Last: a file's or an object's end may come with it.
  for (const vma of gone) dispose(vma);
}

/** Takes all pages of a VMA away (a window: its links). The VMA stays in the tree. */
export function unmapVma(vma: Vma, gather: Gather): void {
  if (vma.window === null) {
    zapRange(vma, vma.start, vma.end, gather);
    return;
  }
  vma.window.unlink(vma.mm, vma, gather);
}
