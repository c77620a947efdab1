// mincore(2): which pages are in memory (mm/mincore.c). A file's pages count when the page cache has them, mapped or not.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { isHugetlb } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { presentLeaf } from "./page-table.ts";
import type { Vma, VmFile } from "./vma.ts";

/** Whether the caller may not know what of a file is cached: then all of it counts as in memory (can_do_mincore). */
export type HidesCache = (file: VmFile) => boolean;

/**
 * One byte for each page of [addr, addr + length): 1 or 0. -EINVAL (unaligned; a window on a region that is gone), -ENOMEM (beyond the user half; a hole: then earlier pages may have
 * been reported by Linux in chunks of 4096, which the caller need not tell apart).
 */
export function mincore(mm: Mm, addr: number, length: number, hides: HidesCache): Uint8Array | number {
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  if (addr > TASK_SIZE || length > TASK_SIZE - addr) return -ENOMEM;
  const pages = Math.ceil(length / PAGE_SIZE);
  const end = addr + pages * PAGE_SIZE;
  // Holes first: a vector for terabytes that are not mapped is never made.
  for (let at = addr; at < end;) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) return -ENOMEM;
    if (vma.window?.dead === true) return -EINVAL;
    at = vma.end;
  }
  const present = new Uint8Array(pages);
  for (let at = addr; at < end;) {
    const vma = mm.vmas.lookup(at)!;
    const stop = Math.min(vma.end, end);
    if (vma.file !== null && hides(vma.file)) {
      present.fill(1, (at - addr) / PAGE_SIZE, (stop - addr) / PAGE_SIZE);
      at = stop;
    }
    for (; at < stop; at += PAGE_SIZE) present[(at - addr) / PAGE_SIZE] = isInCore(mm, vma, at) ? 1 : 0;
  }
  return present;
}

function isInCore(mm: Mm, vma: Vma, va: number): boolean {
  if (presentLeaf(mm, va) !== 0) return true;
  // Of hugetlb files only what is mapped counts.
  if (isHugetlb(vma)) return false;
  if (vma.window !== null) return isInRegion(vma, va);
  return vma.object !== null && vma.object.isUpToDate(vma.pageIndex(va));
}

/** A window shows what the region has, linked yet or not. */
function isInRegion(vma: Vma, va: number): boolean {
  const window = vma.window!;
  if (window.dead) return false;
  const hostVa = va - vma.start + window.hostStart;
  const hostVma = window.host.vmas.lookup(hostVa);
  return hostVma !== null && isInCore(window.host, hostVma, hostVa);
}
