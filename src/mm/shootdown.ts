// TLB shootdown (mmu_gather): page-table entries that were taken away or weakened are collected, the TLBs are told once, and only then are
// the frames let go. Everything in mm that weakens an entry goes through a Gather, mshare's unlinking too. Owned by MemoryManager.
//
// Three strategies, to answer the question asked in public for mshare: `mask` drops translations by the leaf table they came from, on the
// harts that can hold any, whatever the number of sharers; `list` flushes the space of each mm that shares the tables; `all` flushes every hart when
// tables that can be shared change (v3). Where nothing is shared, `list` and `all` flush the one space that changed, as Linux does.
import type { Pfn } from "../base/numbers.ts";
import { KINDS } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";

export type TlbFlush = "mask" | "list" | "all";

/** What a flush did. */
export interface FlushCount {
  harts: number;
  entries: number;
}

/** Up to so many tables are flushed one by one: with more, one look at all that is cached costs less. */
const FEW_TABLES = 8;

/** Other address spaces reach its tables: it is a region's, or a view of one. */
const isShared = (mm: Mm): boolean => mm.viewOf !== null || mm.sharers.size > 0;

/** More entries than this are not kept room for when a Gather is done. */
const ROOM_KEPT = 32_768;

export class Gather {
  /** Room for who collects to count pages by kind in; all zero in between. */
  readonly counts = new Int32Array(KINDS);
  readonly #memory: MemoryManager;
  // Parallel arrays instead of objects: a big unmap touches thousands of tables. How much of them is in use is counted beside them, because an array
  // that is emptied loses its room, and every fork, copy and exit would make it anew.
  readonly #mms: (Mm | null)[] = [];
  readonly #tables: number[] = [];
  readonly #first: number[] = [];
  readonly #last: number[] = [];
  #spaces: Mm[] = [];
  readonly #frames: number[] = [];
  #frameCount = 0;
  #table = 0;
  #top = -1;

  constructor(memory: MemoryManager) {
    this.#memory = memory;
  }

  /** Entries of leaf table `table` of `mm` were removed or weakened: `first`, and what of those up to `last`. */
  touch(mm: Mm, table: Pfn, first: number, last = first): void {
    const top = this.#top;
    if (table === this.#table) {
      if (last > this.#last[top]) this.#last[top] = last;
      if (first < this.#first[top]) this.#first[top] = first;
      return;
    }
    this.#table = table;
    this.#top = top + 1;
    this.#mms[top + 1] = mm;
    this.#tables[top + 1] = table;
    this.#first[top + 1] = first;
    this.#last[top + 1] = last;
  }

  /** Upper entries of `mm` went (a window was unlinked): every translation of this space may be stale. */
  touchSpace(mm: Mm): void {
    if (!this.#spaces.includes(mm)) this.#spaces.push(mm);
  }

  /** Drop one reference to `pfn` after the flush (a page that was mapped, or a page table that was unlinked from its parent). */
  release(pfn: Pfn): void {
    this.#frames[this.#frameCount++] = pfn;
  }

  /** Tells the TLBs, then frees. The Gather can be used again. */
  finish(): void {
    const memory = this.#memory;
    if (this.#top >= 0 || this.#spaces.length > 0) this.#flush();
    const frames = this.#frames;
    const count = this.#frameCount;
    for (let i = 0; i < count; i++) memory.frames.put(frames[i] as Pfn);
    this.#frameCount = 0;
    if (count > ROOM_KEPT) frames.length = 0;
    memory.returnGather(this);
  }

  /**
   * As `finish`, for an address space that ends: no task runs on it any more, so its own translations are dropped as a whole. Its tables'
   * frames must have been given to `release`.
   */
  finishSpace(mm: Mm): void {
    this.#memory.mmu.releaseSpace(mm.root);
    if (mm.sharers.size === 0) this.#forgetTables([mm]);
    if (this.#spaces.length > 0) this.#spaces = this.#spaces.filter((space) => space !== mm);
    this.finish();
  }

  /** The tables of these spaces need no flush of their own. */
  #forgetTables(spaces: readonly Mm[]): void {
    let kept = 0;
    for (let i = 0; i <= this.#top; i++) {
      const mm = this.#mms[i]!;
      this.#mms[i] = null;
      if (spaces.includes(mm)) continue;
      this.#mms[kept] = mm;
      this.#tables[kept] = this.#tables[i];
      this.#first[kept] = this.#first[i];
      this.#last[kept] = this.#last[i];
      kept++;
    }
    this.#top = kept - 1;
    this.#table = 0;
  }

  #flush(): void {
    const memory = this.#memory;
    memory.stat.shootdowns++;
    if (memory.tlbFlush === "mask") this.#flushTables();
    else if (memory.tlbFlush === "all" && this.#touchesShared()) this.#count(memory.mmu.flushAll());
    else this.#flushSpaces();
    // No Mm is kept alive by what was recorded here.
    if (this.#top >= ROOM_KEPT) this.#mms.length = this.#tables.length = this.#first.length = this.#last.length = 0;
    else for (let i = 0; i <= this.#top; i++) this.#mms[i] = null;
    if (this.#spaces.length > 0) this.#spaces = [];
    this.#top = -1;
    this.#table = 0;
  }

  /** Some table that changed is one that several spaces reach. */
  #touchesShared(): boolean {
    for (let i = 0; i <= this.#top; i++) if (isShared(this.#mms[i]!)) return true;
    return false;
  }

  /** What came from the leaf tables that changed, wherever it is. */
  #flushTables(): void {
    const { mmu } = this.#memory;
    for (const mm of this.#spaces) this.#count(mmu.flushSpace(mm.root));
    if (this.#spaces.length > 0) this.#forgetTables(this.#spaces);
    const count = this.#top + 1;
    if (count <= FEW_TABLES) {
      for (let i = 0; i < count; i++) {
        const first = this.#first[i];
        this.#count(mmu.flushLeaf(this.#tables[i] as Pfn, first, this.#last[i] - first + 1));
      }
      return;
    }
    const tables = this.#tables.slice(0, count) as Pfn[];
    const ranges = tables.map((_table, i): [number, number] => [this.#first[i], this.#last[i]]);
    this.#count(mmu.flushLeaves(tables, ranges), count);
  }

  /** The spaces whose tables changed, and those of all who share them. */
  #flushSpaces(): void {
    const done = new Set<Mm>(this.#spaces);
    for (let i = 0; i <= this.#top; i++) {
      const mm = this.#mms[i]!;
      done.add(mm);
      for (const sharer of (mm.viewOf ?? mm).sharers) done.add(sharer);
    }
    for (const mm of done) this.#count(this.#memory.mmu.flushSpace(mm.root));
  }

  #count(flushed: FlushCount, commands = 1): void {
    const stat = this.#memory.stat;
    stat.tlb_flushes += commands;
    stat.tlb_harts += flushed.harts;
    stat.tlb_entries += flushed.entries;
  }
}
