// Where windows go: the slot of a window (addresses kept free so that upper table entries can be linked whole), the choice of a free
// one, and the level at which an address can be linked. Pure arithmetic on addresses and VMAs; changes nothing. Used by window.ts, link.ts.
import { ENOMEM } from "../base/errno.ts";
import { MMAP_MIN_ADDR, MSHARE_GRANULE, TASK_SIZE } from "../base/limits.ts";
import { PUD_SIZE, alignDown, alignUp } from "../base/numbers.ts";
import { LEVEL_SIZE, ROOT_LEVEL } from "../machine/pte.ts";
import type { Mm } from "../mm/mm.ts";

/** A window's place in a process: [start, slotEnd) holds nothing else. Both are multiples of the granule. */
export interface Slot {
  readonly start: number;
  readonly slotEnd: number;
}

/** Windows larger than this get a slot of whole root entries where the kernel picks the address. */
const LARGE_WINDOW = 64 * PUD_SIZE;

/** The slot of a window whose address the program gave: rounded up to the granule only, so that neighbours can be close. */
export const givenSlot = (start: number, size: number): Slot => ({
  start,
  slotEnd: alignUp(start + size, MSHARE_GRANULE),
});

interface Gap {
  readonly start: number;
  readonly end: number;
}

/** The holes of `mm` within [low, high), guard gaps and the slots of other windows left out, in order. */
function* gaps(mm: Mm, low: number, high: number): Generator<Gap> {
  let free = low;
  for (const vma of mm.vmas) {
    const end = Math.min(vma.startGap, high);
    if (end > free) yield { start: free, end };
    free = Math.max(free, vma.endGap);
    if (free >= high) return;
  }
  if (high > free) yield { start: free, end: high };
}

/** True if nothing is mapped or reserved in [start, end). */
export function isFree(mm: Mm, start: number, end: number): boolean {
  for (const vma of mm.vmas) {
    if (vma.startGap >= end) return true;
    if (vma.endGap > start) return false;
  }
  return true;
}

/**
 * A random free slot of `mm` between `low` and `high` for a window of `size` bytes at `offset` of its region, congruent to the offset
 * modulo `unit` and ending at a multiple of it; undefined if there is none.
 */
function randomSlot(
  mm: Mm,
  area: Gap,
  size: number,
  offset: number,
  unit: number,
  random: () => number,
): Slot | undefined {
  const skew = offset % unit;
  const length = alignUp(skew + size, unit) - skew;
  const candidates: { first: number; count: number }[] = [];
  let total = 0;
  for (const gap of gaps(mm, area.start, area.end)) {
    const first = alignUp(Math.max(gap.start - skew, 0), unit) + skew;
    const room = gap.end - first - length;
    if (room < 0) continue;
    const count = Math.floor(room / unit) + 1;
    candidates.push({ first, count });
    total += count;
  }
  let chosen = Math.floor(random() * total);
  for (const { first, count } of candidates) {
    if (chosen < count) {
      const start = first + chosen * unit;
      return { start, slotEnd: start + length };
    }
    chosen -= count;
  }
  return undefined;
}

/**
 * A slot that the kernel picks: one whose upper entries can be linked at the highest useful level, at a random place (as mmap's own
 * base is random), in the mmap area if it has room; if no such slot is free anywhere, one for the next lower level, down to `lowest`. -ENOMEM if there is
 * none.
 */
export function pickSlot(mm: Mm, size: number, offset: number, random: () => number, lowest = 1): Slot | number {
  // The first GiB stays free for the program and its heap: an unlucky choice must not stop brk from growing.
  const areas: Gap[] = [
    { start: PUD_SIZE, end: mm.mmapBase },
    { start: MMAP_MIN_ADDR, end: TASK_SIZE },
  ];
  const wanted = size > LARGE_WINDOW ? ROOT_LEVEL : Math.max(lowest, 2);
  for (let level = wanted; level >= lowest; level--) {
    const unit = LEVEL_SIZE[level];
    for (const area of areas) {
      const slot = randomSlot(mm, area, size, offset, unit, random);
      if (slot !== undefined) return slot;
    }
  }
  return -ENOMEM;
}

/** What decides how a window is linked; `MshareWindow` has these. All bytes. */
export interface LinkExtent {
  /** The window's first address, the end of its slot. */
  readonly slotStart: number;
  readonly slotEnd: number;
  /** The region offset that the first address shows, and how much of the region the window shows now. */
  readonly offset: number;
  readonly length: number;
  /** It reached the region's end when it was attached, and follows its growth. Never changes, so neither does the way it is linked. */
  readonly toEnd: boolean;
}

/** The end of what a window's entries may cover: its slot's if nothing of the region lies beyond the window, else its own. */
export const linkEnd = (window: LinkExtent): number =>
  window.toEnd ? window.slotEnd : window.slotStart + window.length;

/** Whether all of [start, end), addresses in the window, can be linked at `level` or above: what huge leaves one level below need. */
export function linksAt(window: LinkExtent, start: number, end: number, level: number): boolean {
  const unit = LEVEL_SIZE[level];
  if ((window.slotStart - window.offset) % unit !== 0) return false;
  return alignDown(start, unit) >= window.slotStart && alignUp(end, unit) <= linkEnd(window);
}

/**
 * The highest level at which the entry covering `va` (inside the slot) may point at a region table: 3 is a root entry of 512 GiB, 2 covers
 * 1 GiB, 1 covers 2 MiB. All that the entry covers must lie in the slot, show the region at the same alignment, and show nothing of the
 * region that is outside the window. 0 if there is none.
 */
export function linkLevel(window: LinkExtent, va: number): number {
  const end = linkEnd(window);
  for (let level = ROOT_LEVEL; level >= 1; level--) {
    const unit = LEVEL_SIZE[level];
    const start = alignDown(va, unit);
    if (start < window.slotStart || start + unit > end) continue;
    if ((start - window.slotStart + window.offset) % unit === 0) return level;
  }
  return 0;
}
