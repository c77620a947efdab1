// Making pages present ahead of their use (mm/gup.c: populate_vma_page_range, faultin_page_range). Used by MAP_POPULATE, MAP_LOCKED, mlock,
// mprotect of locked memory and MADV_POPULATE_*. Faults made here are not counted as the program's, as in Linux.
import { EFAULT, EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { resolveAhead } from "./fault.ts";
import { MADV_POPULATE_READ, MADV_POPULATE_WRITE } from "./constants.ts";
import type { Mm } from "./mm.ts";
import {
  VM_ACCESS_FLAGS,
  VM_IO,
  VM_LOCKONFAULT,
  VM_MAYREAD,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type Vma,
} from "./vma.ts";

/**
 * __mm_populate: the pages of all VMAs in [start, start + length), whatever lies between. 0, or the first error: -EFAULT (beyond a file's end),
 * -ENOMEM. With `ignoreErrors` goes on with the next VMA instead.
 */
export function populate(mm: Mm, start: number, length: number, options: { ignoreErrors: boolean }): number {
  const end = start + length;
  for (let at = start; at < end;) {
    const vma = mm.vmas.intersection(at, end);
    if (vma === null) return 0;
    const low = Math.max(at, vma.start);
    at = Math.min(end, vma.end);
    if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0 || vma.window !== null) continue;
    const error = populateVma(vma, low, at);
    if (error < 0 && !options.ignoreErrors) return error;
  }
  return 0;
}

/**
 * populate_vma_page_range: private writable memory gets pages of its own, everything else what a read would give, even if reading is not
 * permitted; only PROT_NONE memory is -EFAULT.
 */
export function populateVma(vma: Vma, start: number, end: number): number {
  if ((vma.flags & VM_LOCKONFAULT) !== 0) return 0;
  const write = (vma.flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  if ((vma.flags & VM_ACCESS_FLAGS) === 0 || (vma.flags & (VM_READ | VM_MAYREAD)) === 0) return -EFAULT;
  return faultIn(vma, start, end, write ? ACCESS_WRITE : ACCESS_READ);
}

function faultIn(vma: Vma, start: number, end: number, access: number): number {
  for (let va = start; va < end; va += PAGE_SIZE) {
    const error = resolveAhead(vma, va, access);
    if (error < 0) return error;
  }
  return 0;
}

/**
 * MADV_POPULATE_READ and _WRITE on [start, end): -ENOMEM at a hole, -EINVAL where the VMA does not allow the access, -EFAULT beyond a
 * file's end.
 */
export function madvisePopulate(mm: Mm, start: number, end: number, access: number): number {
  for (let at = start; at < end;) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) return -ENOMEM;
    const stop = Math.min(end, vma.end);
    const error = populateAccess(mm, vma, at, stop, access);
    if (error < 0) return error;
    at = stop;
  }
  return 0;
}

/** What check_vma_flags asks: here writing does not imply reading, as it does for an access. */
export const allowsPopulate = (vma: Vma, access: number): boolean =>
  (vma.flags & (access === ACCESS_WRITE ? VM_WRITE : VM_READ)) !== 0;

function populateAccess(mm: Mm, vma: Vma, start: number, end: number, access: number): number {
  if (vma.window !== null) {
    const advice = access === ACCESS_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    return vma.window.call(mm, vma, "madvise", start, end, advice);
  }
  if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) return -EINVAL;
  if (!allowsPopulate(vma, access)) return -EINVAL;
  return faultIn(vma, start, end, access);
}
