// Links: upper entries of a process's tables that point at tables of a region. Makes them at the highest level that the window's slot allows,
// counts them in the target table's share count, takes them out again. Used by window.ts and tables.ts; knows nothing of regions' rules.
//
// `space` is the Mm whose tables are shared: a region's host mm, or its read-only view. A window's link level at an address never changes
// (slot.ts), so an entry that is there at that level is the link, and nothing else.
import { ENOMEM } from "../base/errno.ts";
import { type Pfn, alignDown, alignUp, asPfn } from "../base/numbers.ts";
import { ENTRIES, LEVEL_SIZE, PTE_V, ROOT_LEVEL, isTable, makePte, pteIndex, ptePfn } from "../machine/pte.ts";
import { hugetlbLeaves } from "../mm/hugetlb-vma.ts";
import type { Mm } from "../mm/mm.ts";
import { ensureTable, freeTables, nextMappedAddress } from "../mm/page-table.ts";
import type { Gather } from "../mm/shootdown.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { splitForLink } from "./huge.ts";
import { type LinkExtent, linkEnd, linkLevel } from "./slot.ts";

/** A window as linking sees it: the addresses of `slot.ts`, and where the region's tables show the same. */
export interface LinkedWindow extends LinkExtent {
  /** The address in `space` that the window's first address shows. */
  readonly hostStart: number;
}

/** The table of `level` that covers `va`, and below which level the walk ended if there is none (table 0). */
export function findTableAt(mm: Mm, va: number, level: number): { table: Pfn; missing: number } {
  const { ram } = mm.memory;
  let table = mm.root;
  for (let at = ROOT_LEVEL; at > level; at--) {
    const entry = ram.readPte(table, pteIndex(va, at));
    if (!isTable(entry)) return { table: asPfn(0), missing: at };
    table = ptePfn(entry);
  }
  return { table, missing: 0 };
}

/**
 * Lets the tables of `mm` reach those of `space` at `va`: writes the one entry that is needed, and all others of the same table of `mm` for
 * which `space` has a table. Returns how many were written (0: it was there), or -ENOMEM.
 */
export function linkTables(mm: Mm, space: Mm, window: LinkedWindow, va: number): number {
  const { ram, frames } = mm.memory;
  const level = linkLevel(window, va);
  const table = ensureTable(mm, va, level);
  if (table === 0) return -ENOMEM;
  if (ram.readPte(table, pteIndex(va, level)) !== 0) return 0;
  const shift = window.hostStart - window.slotStart;
  if (level === 1 && !splitForLink(space, va + shift)) return -ENOMEM;
  if (ensureTable(space, va + shift, level - 1) === 0) return -ENOMEM;

  const unit = LEVEL_SIZE[level];
  const base = alignDown(va, unit * ENTRIES);
  const end = Math.min(base + unit * ENTRIES, linkEnd(window));
  let written = 0;
  for (let at = Math.max(base, alignUp(window.slotStart, unit)); at + unit <= end; at += unit) {
    const index = pteIndex(at, level);
    if (ram.readPte(table, index) !== 0) continue;
    const target = findTableAt(space, at + shift, level - 1).table;
    if (target === 0) continue;
    ram.writePte(table, index, makePte(target, PTE_V));
    frames.refcount[target]++;
    written++;
  }
  return written;
}

/** Links all tables of `space` that exist in reach of the window. Returns how many entries were written; stops where memory is short. */
export function linkAll(mm: Mm, space: Mm, window: LinkedWindow): number {
  const shift = window.hostStart - window.slotStart;
  const end = window.slotStart + window.length;
  let written = 0;
  for (let va = window.slotStart; va < end;) {
    va = nextMappedAddress(mm.memory.ram, space.root, va + shift, end + shift) - shift;
    if (va >= end) break;
    const count = linkTables(mm, space, window, va);
    if (count < 0) break;
    written += count;
    const reach = LEVEL_SIZE[linkLevel(window, va)] * ENTRIES;
    va = alignDown(va, reach) + reach;
  }
  for (const leaf of hugetlbLeaves(space, window.hostStart, end + shift)) {
    const count = linkTables(mm, space, window, leaf.va - shift);
    if (count < 0) break;
    written += count;
  }
  return written;
}

/**
 * Takes all links of a window out of the tables of `mm` and off the share counts. The caller flushes the space before any region table is
 * freed. `count` is how many there are. Returns whether some region table lost its last link.
 */
export function unlinkTables(mm: Mm, window: LinkedWindow, count: number): { lastLink: boolean } {
  const { ram, frames } = mm.memory;
  const end = linkEnd(window);
  let lastLink = false;
  for (let va = window.slotStart; va < end && count > 0;) {
    const level = linkLevel(window, va);
    const { table, missing } = findTableAt(mm, va, level);
    const step = LEVEL_SIZE[table === 0 ? missing : level];
    if (table !== 0) {
      const index = pteIndex(va, level);
      const entry = ram.readPte(table, index);
      if (entry !== 0) {
        ram.writePte(table, index, 0);
        if (--frames.refcount[ptePfn(entry)] === 1) lastLink = true;
        count--;
      }
    }
    va = alignDown(va, step) + step;
  }
  if (count !== 0) throw new Error(`window at ${window.slotStart.toString(16)}: ${count} links too few`);
  return { lastLink };
}

/**
 * Frees tables of `space` in [start, end) that nothing needs: no VMA of `host` lies there, and no link holds them. Tables that were emptied
 * while they were linked go here once their last link has gone.
 */
export function freeUnlinked(space: Mm, host: Mm, start: number, end: number, gather: Gather): void {
  let floor = 0;
  for (const vma of host.vmas) {
    if (vma.end > start) freeHole(space, floor, vma.start, start, end, gather);
    floor = vma.end;
    if (floor >= end) return;
  }
  freeHole(space, floor, TASK_SIZE, start, end, gather);
}

function freeHole(space: Mm, floor: number, ceiling: number, start: number, end: number, gather: Gather): void {
  const low = Math.max(floor, start);
  const high = Math.min(ceiling, end);
  if (low < high) freeTables(space, low, high, floor, ceiling, gather);
}
