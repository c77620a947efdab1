// MSHARE_PRIVATE windows: they link the region's read-only root until the process writes. A first write to a page gives the process its own tables
// from the link down to that page's PTE table; their siblings stay linked. The PTE table is registered as a mirror of the host, so that what is
// taken from the region is taken from the copies too. The copies are ordinary anonymous pages of the process.
import { ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, PMD_SIZE, type Pfn, alignDown } from "../base/numbers.ts";
import { ENTRIES, LEVEL_SIZE, PTE_V, PTE_W, ROOT_LEVEL, isTable, makePte, pteIndex, ptePfn } from "../machine/pte.ts";
import { FRAME_EXCLUSIVE, KIND_ANON } from "../mm/frame.ts";
import { hugetlbLeaves, isHugetlb, poolOf } from "../mm/hugetlb-vma.ts";
import { forkHugetlbCopies, hostLeaf, mirrorLeaf } from "../mm/hugetlb-window.ts";
import type { Mirror, Mm } from "../mm/mm.ts";
import { PTE_PRESENT, dropEmptyTable, ensureTable, findTable, newTable, nextTableAddress } from "../mm/page-table.ts";
import { zapTables } from "../mm/rmap.ts";
import type { Gather } from "../mm/shootdown.ts";
import { isSwapPte, swapSlot } from "../mm/swap.ts";
import { splitForLink } from "./huge.ts";
import { findTableAt } from "./link.ts";
import { linkEnd, linkLevel } from "./slot.ts";
import { copyPresent } from "./view.ts";
import type { MshareWindow } from "./window.ts";

/** The tables of one private window that are its process's own, by the address (2 MiB) that a PTE table covers. */
export class PrivatePart {
  readonly window: MshareWindow;
  readonly #unshared = new Map<number, Mirror>();

  constructor(window: MshareWindow) {
    this.window = window;
  }

  /** The region's lowest tables are in reach at `va`, or the own one holds what the region has: entries linked, or -ENOMEM. */
  link(va: number): number {
    const { mm, space, shift } = this.#sides();
    const { ram, frames } = mm.memory;
    const { host } = this.window;
    const hostVma = host.vmas.lookup(va + shift);
    const pool = hostVma !== null && isHugetlb(hostVma) ? poolOf(hostVma) : null;
    const leafLevel = pool?.level ?? 0;
    const top = linkLevel(this.window, va);
    let table = ensureTable(mm, va, top);
    if (table === 0) return -ENOMEM;
    for (let level = top; level > leafLevel; level--) {
      const index = pteIndex(va, level);
      const entry = ram.readPte(table, index);
      // The own table of 2 MiB entries links PTE tables.
      if (level === 1 && !splitForLink(space, va + shift)) return -ENOMEM;
      const target = level === 1 ? ensureTable(space, va + shift, 0) : findTableAt(space, va + shift, level - 1).table;
      if (target === 0) return -ENOMEM;
      if (entry === 0) {
        ram.writePte(table, index, makePte(target, PTE_V));
        frames.refcount[target]++;
        return 1;
      }
      if (ptePfn(entry) === target) return 0;
      table = ptePfn(entry);
    }
    if (pool === null) copyPresent(mm, table, findTable(ram, host.root, va + shift));
    else {
      const leaf = hostLeaf(host, va + shift, pool.size);
      this.#mirror(va, pool.level);
      if (leaf !== null && !mirrorLeaf(mm, table, leaf.index, leaf)) return -ENOMEM;
    }
    return 0;
  }

  /**
   * A table of the process's own for `va`, without the region's pages: a PTE table, or one of the level of a hugetlb page's leaf. 0 if there is no memory
   * for one.
   */
  unshare(va: number, leafLevel = 0): Pfn {
    const { mm, space, shift } = this.#sides();
    const { memory } = mm;
    const { ram } = memory;
    let table = mm.root;
    for (let level = ROOT_LEVEL; level > leafLevel; level--) {
      const index = pteIndex(va, level);
      const entry = ram.readPte(table, index);
      const isLink = isTable(entry) && ptePfn(entry) === findTableAt(space, va + shift, level - 1).table;
      if (isTable(entry) && !isLink) {
        table = ptePfn(entry);
        continue;
      }
      const own = newTable(mm);
      if (own === 0) return own;
      mm.tableBytes += PAGE_SIZE;
      if (isLink && level > 1) this.#copyLinks(ptePfn(entry), own);
      ram.writePte(table, index, makePte(own, PTE_V));
      if (isLink) this.#dropLink(ptePfn(entry));
      table = own;
    }
    this.#mirror(va, Math.max(leafLevel, 1));
    return table;
  }

  /** What an own PTE table, or an own huge leaf (of `level`), covers around `va` follows the host's changes. */
  #mirror(va: number, level: number): void {
    const { mm, shift } = this.#sides();
    const size = LEVEL_SIZE[level];
    const base = alignDown(va, size);
    if (this.#unshared.has(base)) return;
    const start = base + shift;
    const mirror: Mirror = { mm, start, end: start + size, shift: -shift, readOnly: true };
    this.#unshared.set(base, mirror);
    this.window.host.mirrors.add(mirror);
  }

  /**
   * Hugetlb pages, with leaves of `level`, are to be where nothing is mapped now, [start, end): own tables and links below the place of a leaf, which are
   * empty, go.
   */
  makeWay(start: number, end: number, level: number): void {
    const { mm, host } = this.window;
    const gather = mm.memory.beginGather();
    for (const [base, mirror] of this.#unshared) {
      if (base < start || base >= end) continue;
      host.mirrors.delete(mirror);
      this.#unshared.delete(base);
    }
    this.#unlinkBelow(mm.root, ROOT_LEVEL, 0, { start, end, highest: level });
    gather.touchSpace(mm);
    gather.finish();
    const { space, shift } = this.#sides();
    for (let va = start; va < end; va += LEVEL_SIZE[level]) {
      const { table } = findTableAt(mm, va, level);
      if (table === 0 || table === findTableAt(space, va + shift, level).table) continue;
      if (isTable(mm.memory.ram.readPte(table, pteIndex(va, level))))
        dropEmptyTable(mm, table, pteIndex(va, level), level);
    }
  }

  /** What a link to table `from` reached is reached through the own table `to` instead. */
  #copyLinks(from: Pfn, to: Pfn): void {
    const { ram, frames } = this.window.mm.memory;
    let count = 0;
    for (let i = 0; i < ENTRIES; i++) {
      const entry = ram.readPte(from, i);
      if (!isTable(entry)) continue;
      ram.writePte(to, i, entry);
      frames.refcount[ptePfn(entry)]++;
      count++;
    }
    this.window.countLinks(count);
  }

  /** A link was replaced: translations through it are forgotten. */
  #dropLink(table: Pfn): void {
    const { memory } = this.window.mm;
    memory.frames.refcount[table]--;
    this.window.countLinks(-1);
    const gather = memory.beginGather();
    gather.touchSpace(this.window.mm);
    gather.finish();
  }

  /** MADV_DONTNEED: the copies of [start, end) go; the region's pages show again. */
  discard(start: number, end: number, gather: Gather): void {
    for (const [base, mirror] of this.#unshared) {
      const from = Math.max(start, base);
      const to = Math.min(end, base + mirror.end - mirror.start);
      // A huge page goes as a whole or not at all.
      const isPart = to - from < mirror.end - mirror.start;
      if (isPart && hugetlbLeaves(this.window.mm, base, base + PMD_SIZE).length > 0) continue;
      if (from < to) zapTables(this.window.mm, from, to, gather, "and private copies", null);
    }
  }

  /** fork: the child's window gets the copies, copy-on-write. False if there is no memory for its tables. */
  fork(child: PrivatePart, gather: Gather): boolean {
    const { mm } = this.window;
    const childMm = child.window.mm;
    const unshare = (va: number, level: number): Pfn => child.unshare(va, level);
    for (const [base, mirror] of this.#unshared) {
      if (findTable(mm.memory.ram, mm.root, base) === 0) {
        const end = base + mirror.end - mirror.start;
        if (!forkHugetlbCopies(mm, childMm, base, end, gather, unshare)) return false;
        continue;
      }
      const table = child.unshare(base);
      if (table === 0) return false;
      shareCopies(mm, childMm, base, table, gather);
    }
    return true;
  }

  /** Takes all links, copies and mirrors of the window away. */
  unlink(gather: Gather): void {
    const { host, mm, slotStart } = this.window;
    this.discard(slotStart, this.window.slotEnd, gather);
    for (const mirror of this.#unshared.values()) host.mirrors.delete(mirror);
    this.#unshared.clear();
    this.#unlinkBelow(mm.root, ROOT_LEVEL, 0, { start: slotStart, end: linkEnd(this.window), highest: ROOT_LEVEL });
    gather.touchSpace(mm);
  }

  /** Takes out the links at addresses of `range`, in tables up to level `highest`. */
  #unlinkBelow(table: Pfn, level: number, base: number, range: { start: number; end: number; highest: number }): void {
    const { mm, space, shift } = this.#sides();
    const { ram, frames } = mm.memory;
    const size = LEVEL_SIZE[level];
    const { start, end, highest } = range;
    const first = Math.max(0, Math.floor((start - base) / size));
    const last = Math.min(ENTRIES - 1, Math.ceil((end - base) / size) - 1);
    for (let i = first; i <= last; i++) {
      const entry = ram.readPte(table, i);
      if (!isTable(entry)) continue;
      const at = base + i * size;
      if (at >= start && ptePfn(entry) === findTableAt(space, at + shift, level - 1).table) {
        if (level > highest) continue;
        ram.writePte(table, i, 0);
        frames.refcount[ptePfn(entry)]--;
        this.window.countLinks(-1);
      } else if (level > 1) this.#unlinkBelow(ptePfn(entry), level - 1, at, range);
    }
  }

  #sides(): { mm: Mm; space: Mm; shift: number } {
    const { mm, tables, hostStart, slotStart } = this.window;
    return { mm, space: tables, shift: hostStart - slotStart };
  }
}

/** The private copies in the PTE table of `parent` at `base` are shared with the child's table until one side writes. */
function shareCopies(parent: Mm, child: Mm, base: number, target: Pfn, gather: Gather): void {
  const { ram, frames } = parent.memory;
  const table = findTable(ram, parent.root, base);
  if (table === 0) return;
  for (let i = 0; i < ENTRIES; i++) {
    const pte = ram.readPte(table, i);
    const pfn = ptePfn(pte);
    if (isSwapPte(pte)) {
      ram.writePte(target, i, pte);
      parent.memory.swap!.get(swapSlot(pte));
      child.swapPages++;
      continue;
    }
    if ((pte & PTE_PRESENT) === 0 || frames.kind[pfn] !== KIND_ANON) continue;
    if ((pte & PTE_W) !== 0) {
      ram.writePte(table, i, pte & ~PTE_W);
      gather.touch(parent, table, i);
    }
    ram.writePte(target, i, pte & ~PTE_W);
    frames.flags[pfn] &= ~FRAME_EXCLUSIVE;
    frames.refcount[pfn]++;
    frames.mapcount[pfn]++;
    child.rssAnon++;
  }
}

/** fork with private tables (--no-share): the copies in [start, end). False if there is no memory for the child's tables. */
export function forkCopies(parent: Mm, child: Mm, start: number, end: number, gather: Gather): boolean {
  const { ram } = parent.memory;
  if (!forkHugetlbCopies(parent, child, start, end, gather, (va, level) => ensureTable(child, va, level))) return false;
  for (let va = nextTableAddress(ram, parent.root, start, end); va < end;) {
    const target = ensureTable(child, va, 0);
    if (target === 0) return false;
    const base = alignDown(va, PMD_SIZE);
    shareCopies(parent, child, base, target, gather);
    va = nextTableAddress(ram, parent.root, base + PMD_SIZE, end);
  }
  return true;
}
