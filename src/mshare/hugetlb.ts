// Hugetlb pages in regions. A huge leaf is never copied into a process: windows link tables above it, so each place of a window that shows one must be linked high
// enough — 2 MiB pages at the level of 1 GiB entries, 1 GiB pages at that of 512 GiB. Where a window cannot, mapping there is EBUSY and attaching EINVAL, with private
// tables (--no-share) as with shared ones. Owns nothing; region.ts, attach.ts and usage.ts use it.
import { EBUSY, EINVAL } from "../base/errno.ts";
import { MAP_HUGETLB, MAP_HUGE_MASK, MAP_HUGE_SHIFT } from "../mm/constants.ts";
import { hugetlbOf } from "../mm/hugetlb-vma.ts";
import type { HugePool } from "../mm/hugetlb.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { VmFile } from "../mm/vma.ts";
import type { Region } from "./region.ts";
import { type LinkExtent, linksAt } from "./slot.ts";

/** The pool whose pages a mapping takes; null: ordinary pages. -EINVAL: MAP_HUGETLB with a file that has none. */
export function poolOfMapping(memory: MemoryManager, flags: number, file: VmFile | null): HugePool | null | number {
  if (file !== null && file.object.kind === "hugetlb") return hugetlbOf({ object: file.object })!.pool;
  if ((flags & MAP_HUGETLB) === 0) return null;
  if (file !== null) return -EINVAL;
  return memory.hugetlb.poolFor((flags >>> MAP_HUGE_SHIFT) & MAP_HUGE_MASK) ?? -EINVAL;
}

/** The lowest level at which a window on [offset, offset + size) of a region may be linked where it shows huge pages; 1: it shows none. */
export function neededLevel(region: Region, offset: number, size: number): number {
  let level = 1;
  for (const range of hugeRanges(region, offset, offset + size)) level = Math.max(level, range.level);
  return level;
}

/** The parts of [from, to) that huge pages of the region take, and the level that each must be linked at. */
function* hugeRanges(
  region: Region,
  from: number,
  to: number,
): Generator<{ start: number; end: number; level: number }> {
  const { host } = region;
  const base = region.hostAddress(0);
  for (const vma of host.vmas) {
    const pool = hugetlbOf(vma)?.pool;
    if (pool === undefined) continue;
    const start = Math.max(vma.start - base, from);
    const end = Math.min(vma.end - base, to);
    if (start < end) yield { start, end, level: pool.level + 1 };
  }
}

/** Whether a window would be linked above all huge pages that the region has: 0 or -EINVAL. */
export function checkWindow(region: Region, window: LinkExtent): number {
  const shift = window.slotStart - window.offset;
  for (const { start, end, level } of hugeRanges(region, window.offset, window.offset + window.length))
    if (!linksAt(window, start + shift, end + shift, level)) return -EINVAL;
  return 0;
}

/** Whether pages of a pool may be mapped at [offset, offset + size) as far as the region's windows go: 0 or -EBUSY. */
export function checkWindows(region: Region, offset: number, size: number, pool: HugePool): number {
  for (const window of region.windows) {
    const start = Math.max(offset, window.offset);
    const end = Math.min(offset + size, window.offset + window.length);
    const shift = window.slotStart - window.offset;
    if (start < end && !linksAt(window, start + shift, end + shift, pool.level + 1)) return -EBUSY;
  }
  return 0;
}

/** Pages of a pool have been mapped at [offset, offset + size): private windows give up own tables there, in whose place the leaves are to be. */
export function makeWay(region: Region, offset: number, size: number, pool: HugePool): void {
  for (const window of region.windows) {
    const start = Math.max(offset, window.offset);
    const end = Math.min(offset + size, window.offset + window.length);
    const shift = window.slotStart - window.offset;
    if (start < end) window.privatePart?.makeWay(start + shift, end + shift, pool.level);
  }
}
