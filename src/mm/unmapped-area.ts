// Where a mapping goes when the program leaves it to the kernel: the highest hole below mmapBase that is large enough, else the lowest one
// above TASK_UNMAPPED_BASE (mm/mmap.c: generic_get_unmapped_area_topdown). Changes nothing. Used by mmap, mremap, brk.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { MMAP_MIN_ADDR, TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, alignDown, alignUp, pageUp } from "../base/numbers.ts";
import type { Mm } from "./mm.ts";

export interface AreaRequest {
  /** A hint, or with `fixed` the address. */
  readonly addr: number;
  /** Bytes, page-aligned. */
  readonly length: number;
  readonly fixed: boolean;
  /** What the address is a multiple of (hugetlb); a page unless said otherwise. */
  readonly align?: number;
}

/** Where the search upwards begins (riscv: a third of the address space). */
const TASK_UNMAPPED_BASE = pageUp(TASK_SIZE / 3);

/** The address for a new mapping, or -ENOMEM (no room, beyond the user half), -EINVAL (a fixed address off the page). */
export function getUnmappedArea(mm: Mm, request: AreaRequest): number {
  const { addr, length, align = PAGE_SIZE } = request;
  if (length > TASK_SIZE) return -ENOMEM;
  const found = request.fixed ? addr : search(mm, addr, length, align);
  if (found < 0) return found;
  if (found > TASK_SIZE - length) return -ENOMEM;
  return found % align !== 0 ? -EINVAL : found;
}

function search(mm: Mm, hint: number, length: number, align: number): number {
  if (length > TASK_SIZE - MMAP_MIN_ADDR) return -ENOMEM;
  if (hint !== 0) {
    const addr = alignUp(hint, align);
    if (TASK_SIZE - length >= addr && addr >= MMAP_MIN_ADDR && isFree(mm, addr, addr + length)) return addr;
  }
  const high = highestHole(mm, length, MMAP_MIN_ADDR, mm.mmapBase, align);
  return high >= 0 ? high : lowestHole(mm, length, TASK_UNMAPPED_BASE, TASK_SIZE, align);
}

/** Nothing is mapped in [start, end), and no guard gap or window's slot reaches into it. */
function isFree(mm: Mm, start: number, end: number): boolean {
  const index = mm.vmas.indexAt(start);
  const above = mm.vmas.at(index);
  const below = mm.vmas.at(index - 1);
  return (above === null || end <= above.startGap) && (below === null || start >= below.endGap);
}

/** The highest address in [low, high) with `length` free bytes, or -ENOMEM. */
function highestHole(mm: Mm, length: number, low: number, high: number, align: number): number {
  let end = high;
  for (let index = mm.vmas.indexAt(high - 1); ; index--) {
    const above = mm.vmas.at(index);
    const below = mm.vmas.at(index - 1);
    if (above !== null) end = Math.min(end, above.startGap);
    const start = below === null ? low : Math.max(low, below.endGap);
    const found = alignDown(Math.max(end - length, 0), align);
    if (end - start >= length && found >= start) return found;
    if (below === null || below.start <= low) return -ENOMEM;
  }
}

/** The lowest address in [low, high) with `length` free bytes, or -ENOMEM. */
function lowestHole(mm: Mm, length: number, low: number, high: number, align: number): number {
  let index = mm.vmas.indexAt(low);
  const before = mm.vmas.at(index - 1);
  let start = before === null ? low : Math.max(low, before.endGap);
  for (; ; index++) {
    const above = mm.vmas.at(index);
    const end = above === null ? high : Math.min(high, above.startGap);
    const found = alignUp(start, align);
    if (end - found >= length) return found;
    if (above === null || above.end >= high) return -ENOMEM;
    start = Math.max(start, above.endGap);
  }
}
