// Translation lookaside buffers: a bounded pool of slots, each the TLB of one address space on one hart. Owns their bytes in the
// machine's memory; generated code reads them (interpreter.ts, jit/); only this file and walker.ts write them. Used by mmu.ts.
//
// An entry is one i64: bits 28 to 63 the virtual page number, bits 0 to 19 what it maps to: for data the difference of frame number and
// page number (so that adding it, shifted, to the virtual address gives the host address), for code the number of the decoded code page.
// -1 is invalid: page numbers are not negative. Beside each entry the leaf table it came from, with the level of the leaf above it.
import { type Pfn, asPfn } from "../base/numbers.ts";
import { type Layout, TLB_ENTRIES, TLB_GROUP, TLB_SLOT_BYTES, TLB_SOURCES, TLB_TABLES, TLB_USED } from "./layout.ts";
import { type Extent, ExtentAreas } from "./extent-areas.ts";
import type { Ram } from "./ram.ts";

export const KIND_READ = 0;
export const KIND_WRITE = 1;
export const KIND_EXECUTE = 2;
const KINDS = 3;
const INVALID = 0xffffffff;
const NONE = -1;
/** The level of the leaf in a source word, above the table's frame number. */
export const LEVEL_SHIFT = 24;

/** Harts that held some, and translations dropped. */
export interface FlushResult {
  harts: number;
  entries: number;
}

/** Bits of `cachedFrom`. */
export const FROM_PAGES = 1;
const FROM_SUPERPAGES = 2;

export class Tlb {
  private readonly u8: Uint8Array;
  private readonly u32: Uint32Array;
  private readonly layout: Layout;
  private readonly extents: ExtentAreas;
  private readonly groups = new Int32Array((KINDS * TLB_ENTRIES) / TLB_GROUP);
  private readonly slotOf = new Map<number, number>();
  private readonly slotHart: Int32Array;
  private readonly slotRoot: Int32Array;
  private readonly slotUsed: Float64Array;
  /** Slots below this one have been used at some time. */
  private slotsEver = 0;
  private clock = 0;
  /** For each frame used as a table: whether entries may have come from it. Sticky until the whole table is flushed. */
  private readonly cachedFrom: Uint8Array;
  /** The slot each hart runs with; -1 at first. */
  private readonly current: Int32Array;
  /** Flushes of leaf tables so far, and for each hart the last one that found something there. */
  private flushes = 0;
  private readonly lastFlush: Float64Array;

  constructor(ram: Ram, layout: Layout, harts: number) {
    this.u8 = ram.u8;
    this.u32 = ram.u32;
    this.layout = layout;
    this.extents = new ExtentAreas(ram, layout);
    this.slotHart = new Int32Array(layout.tlbSlots).fill(-1);
    this.slotRoot = new Int32Array(layout.tlbSlots);
    this.slotUsed = new Float64Array(layout.tlbSlots);
    this.cachedFrom = new Uint8Array(ram.memory.buffer, layout.cachedFrom, ram.endPfn);
    this.current = new Int32Array(harts).fill(-1);
    this.lastFlush = new Float64Array(harts);
  }

  private base(slot: number): number {
    return this.layout.tlb + slot * TLB_SLOT_BYTES;
  }

  /** Whether something was entered since the slot was last emptied. */
  private isDirty(slot: number): boolean {
    const used = (this.base(slot) + TLB_USED) >>> 2;
    return (this.u32[used] | this.u32[used + 1] | this.u32[used + 2]) !== 0;
  }

  /** The first valid entry from i on, or `end`. A loop of its own, small and with nothing to look up: most entries are not valid, and it is hot at once. */
  private nextValid(sources: number, i: number, end: number): number {
    const { u32 } = this;
    let at = sources + i;
    const stop = sources + end;
    while (at < stop && u32[at] === INVALID) at++;
    return at - sources;
  }

  /** Lists in `groups` the first entry (kind * TLB_ENTRIES + index) of each group that is used; how many there are. */
  private listGroups(slot: number): number {
    const used = (this.base(slot) + TLB_USED) >>> 2;
    let count = 0;
    for (let kind = 0; kind < KINDS; kind++) {
      for (let bits = this.u32[used + kind]; bits !== 0; bits &= bits - 1) {
        this.groups[count++] = kind * TLB_ENTRIES + (31 - Math.clz32(bits & -bits)) * TLB_GROUP;
      }
    }
    return count;
  }

  /** The offset of the extents of the slot that slotFor gave. */
  extentsFor(slotBase: number): number {
    return this.extents.for((slotBase - this.layout.tlb) / TLB_SLOT_BYTES);
  }

  /** The offset of the slot for an address space on a hart, taking the least recently used one if it has none. */
  slotFor(hart: number, root: Pfn): number {
    const key = hart * 2 ** 20 + root;
    let slot = this.slotOf.get(key);
    if (slot === undefined) {
      slot = this.freeSlot();
      this.slotOf.set(key, slot);
      this.slotHart[slot] = hart;
      this.slotRoot[slot] = root;
    }
    this.slotUsed[slot] = ++this.clock;
    this.current[hart] = slot;
    return this.base(slot);
  }

  private freeSlot(): number {
    if (this.slotsEver < this.layout.tlbSlots) {
      const slot = this.slotsEver++;
      const base = this.base(slot);
      this.u8.fill(0xff, base, base + TLB_USED);
      return slot;
    }
    let oldest = -1;
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (this.slotHart[slot] < 0) return slot;
      if (this.current[this.slotHart[slot]] === slot) continue;
      if (oldest < 0 || this.slotUsed[slot] < this.slotUsed[oldest]) oldest = slot;
    }
    this.release(oldest);
    return oldest;
  }

  private clear(slot: number): void {
    const { u32 } = this;
    const entries = this.base(slot) >>> 2;
    const sources = this.sourceAt(slot);
    const count = this.listGroups(slot);
    for (let n = 0; n < count; n++) {
      const first = this.groups[n];
      u32.fill(INVALID, entries + 2 * first, entries + 2 * (first + TLB_GROUP));
      u32.fill(INVALID, sources + first, sources + first + TLB_GROUP);
    }
    u32.fill(0, entries + TLB_USED / 4, entries + TLB_USED / 4 + KINDS);
    u32[entries + TLB_TABLES / 4] = 0;
    this.extents.forget(slot);
  }

  /** Forgets the extents if some of them may have come from one of the tables whose bits these are. */
  private forgetExtents(slot: number, tables: number): void {
    if ((this.u32[(this.base(slot) + TLB_TABLES) >>> 2] & tables) !== 0) this.extents.forget(slot);
  }

  private release(slot: number): void {
    this.slotOf.delete(this.slotHart[slot] * 2 ** 20 + this.slotRoot[slot]);
    if (this.isDirty(slot)) this.clear(slot);
    if (this.current[this.slotHart[slot]] === slot) this.current[this.slotHart[slot]] = -1;
    this.slotHart[slot] = -1;
  }

  /**
   * Enters a translation into a slot (by its offset). `payload`: for data the frame, for code the code page. `vaLow`, `vaHigh`: the
   * address, below 2^47. `table`, `level`: where the leaf is.
   */
  enter(
    slotBase: number,
    kind: number,
    vaLow: number,
    vaHigh: number,
    payload: number,
    table: Pfn,
    level: number,
  ): void {
    const index = (vaLow >>> 12) & (TLB_ENTRIES - 1);
    const at = (slotBase + kind * TLB_ENTRIES * 8 + index * 8) >>> 2;
    const low = kind === KIND_EXECUTE ? payload : (payload - (vaLow >>> 12)) & 0xfffff;
    this.u32[at] = low | (((vaLow >>> 12) & 15) << 28);
    this.u32[at + 1] = (vaHigh << 16) | (vaLow >>> 16);
    this.u32[((slotBase + TLB_SOURCES) >>> 2) + kind * TLB_ENTRIES + index] = table | (level << LEVEL_SHIFT);
    this.cachedFrom[table] |= level === 0 ? FROM_PAGES : FROM_SUPERPAGES;
    this.u32[((slotBase + TLB_USED) >>> 2) + kind] |= 1 << (index / TLB_GROUP);
    this.u32[(slotBase + TLB_TABLES) >>> 2] |= 1 << table;
  }

  /** The virtual page of entry `i` (kind * TLB_ENTRIES + index) of a slot, or -1. */
  private pageOf(slot: number, i: number): number {
    const at = (this.base(slot) >>> 2) + 2 * i;
    if (this.u32[at + 1] === INVALID) return -1;
    return this.u32[at + 1] * 16 + (this.u32[at] >>> 28);
  }

  private sourceAt(slot: number): number {
    return (this.base(slot) + TLB_SOURCES) >>> 2;
  }

  private drop(slot: number, i: number): void {
    const at = (this.base(slot) >>> 2) + 2 * i;
    this.u32[at] = INVALID;
    this.u32[at + 1] = INVALID;
    this.u32[this.sourceAt(slot) + i] = INVALID;
  }

  /** Drops what came from entries [first, first + count) of `table`. */
  flushLeaf(table: Pfn, first: number, count: number): FlushResult {
    const from = this.cachedFrom[table];
    const result = { harts: 0, entries: 0 };
    if (from === 0) return result;
    if (count === 512) this.cachedFrom[table] = 0;
    const flush = ++this.flushes;
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (!this.isDirty(slot)) continue;
      this.forgetExtents(slot, 1 << table);
      let dropped = 0;
      if ((from & FROM_PAGES) !== 0) dropped += this.dropPages(slot, table, first, count);
      if ((from & FROM_SUPERPAGES) !== 0) dropped += this.dropSuperpages(slot, table, first, count);
      result.entries += dropped;
      const hart = this.slotHart[slot];
      if (dropped === 0 || this.lastFlush[hart] === flush) continue;
      this.lastFlush[hart] = flush;
      result.harts++;
    }
    return result;
  }

  /**
   * As flushLeaf for many tables, in one pass over the slots: ranges[i] is first and last of tables[i]. `harts`: the sum over the tables. The cost is that of
   * looking at every translation that is cached once, however many tables there are.
   */
  flushLeaves(tables: readonly Pfn[], ranges: readonly (readonly [first: number, last: number])[]): FlushResult {
    // Where a table's ranges begin in the list, and for each the next one of the same table.
    const heads = new Map<number, number>();
    const next = new Int32Array(tables.length);
    let bits = 0;
    tables.forEach((table, i) => {
      if (this.cachedFrom[table] === 0) return;
      bits |= 1 << table;
      if (ranges[i][1] - ranges[i][0] === 511) this.cachedFrom[table] = 0;
      next[i] = heads.get(table) ?? NONE;
      heads.set(table, i);
    });
    // By table (its place in `heads`), two words each: a bit for each of up to 64 harts that held something.
    const heldBy = new Uint32Array(2 * tables.length);
    let harts = 0;
    let entries = 0;
    for (let slot = 0; slot < this.slotsEver && heads.size > 0; slot++) {
      if (!this.isDirty(slot)) continue;
      this.forgetExtents(slot, bits);
      const sources = this.sourceAt(slot);
      const half = this.slotHart[slot] >>> 5;
      const bit = 1 << (this.slotHart[slot] & 31);
      // Neighbours come from the same table.
      let [table, head] = [NONE, NONE];
      const groups = this.listGroups(slot);
      for (let n = 0; n < groups; n++) {
        const end = this.groups[n] + TLB_GROUP;
        for (let i = this.nextValid(sources, this.groups[n], end); i < end; i = this.nextValid(sources, i + 1, end)) {
          const source = this.u32[sources + i];
          if ((source & 0xfffff) !== table) {
            table = source & 0xfffff;
            head = heads.get(table) ?? NONE;
          }
          if (head === NONE) continue;
          const level = source >>> LEVEL_SHIFT;
          const index = level === 0 ? i % 512 : Math.floor(this.pageOf(slot, i) / 512 ** level) % 512;
          for (let at = head; at !== NONE; at = next[at]) {
            if (index < ranges[at][0] || index > ranges[at][1]) continue;
            this.drop(slot, i);
            entries++;
            if ((heldBy[2 * head + half] & bit) === 0) harts++;
            heldBy[2 * head + half] |= bit;
            break;
          }
        }
      }
    }
    return { harts, entries };
  }

  /** A leaf table's entry i maps pages that are i modulo 512, and so do one in 512 TLB entries. */
  private dropPages(slot: number, table: Pfn, first: number, count: number): number {
    const sources = this.sourceAt(slot);
    const groups = this.listGroups(slot);
    let dropped = 0;
    for (let n = 0; n < groups; n++) {
      const group = this.groups[n];
      const table0 = group - (group % 512);
      const from = Math.max(group, table0 + first);
      const to = Math.min(group + TLB_GROUP, table0 + first + count);
      for (let i = from; i < to; i++) {
        if (this.u32[sources + i] !== table) continue;
        this.drop(slot, i);
        dropped++;
      }
    }
    return dropped;
  }

  private dropSuperpages(slot: number, table: Pfn, first: number, count: number): number {
    const sources = this.sourceAt(slot);
    let dropped = 0;
    for (const i of this.validIn(slot)) {
      const source = this.u32[sources + i];
      const level = source >>> LEVEL_SHIFT;
      if (level === 0 || (source & 0xfffff) !== table) continue;
      const index = Math.floor(this.pageOf(slot, i) / 512 ** level) % 512;
      if (index < first || index >= first + count) continue;
      this.drop(slot, i);
      dropped++;
    }
    return dropped;
  }

  /** Drops the entries of a kind that `match` picks. */
  private dropWhere(kind: number, match: (slot: number, i: number) => boolean): void {
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (!this.isDirty(slot)) continue;
      for (const i of this.validIn(slot))
        if (Math.floor(i / TLB_ENTRIES) === kind && match(slot, i)) this.drop(slot, i);
    }
  }

  /** Drops all write translations to a frame. */
  dropWrites(pfn: Pfn): void {
    for (let slot = 0; slot < this.slotsEver; slot++) this.extents.forget(slot);
    this.dropWhere(KIND_WRITE, (slot, i) => this.payloadOf(slot, i) === pfn);
  }

  /** Drops all execute translations to a decoded code page. */
  dropCode(codePage: number): void {
    this.dropWhere(KIND_EXECUTE, (slot, i) => this.payloadOf(slot, i) === codePage);
  }

  private payloadOf(slot: number, i: number): number {
    const low = this.u32[(this.base(slot) >>> 2) + 2 * i] & 0xfffff;
    return i >= KIND_EXECUTE * TLB_ENTRIES ? low : (low + this.pageOf(slot, i)) & 0xfffff;
  }

  private countAndClear(slot: number): number {
    if (!this.isDirty(slot)) return 0;
    const entries = this.validIn(slot).length;
    this.clear(slot);
    return entries;
  }

  private flushSlots(match: (slot: number) => boolean): FlushResult {
    const harts = new Set<number>();
    let entries = 0;
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (this.slotHart[slot] < 0 || !match(slot)) continue;
      const dropped = this.countAndClear(slot);
      if (dropped > 0) harts.add(this.slotHart[slot]);
      entries += dropped;
    }
    return { harts: harts.size, entries };
  }

  flushSpace(root: Pfn): FlushResult {
    return this.flushSlots((slot) => this.slotRoot[slot] === root);
  }

  /** Every hart is interrupted, whether it holds something or not. */
  flushAll(): FlushResult {
    const { entries } = this.flushSlots(() => true);
    this.cachedFrom.fill(0);
    return { harts: this.current.length, entries };
  }

  /** Gives up the slots of a root that is about to be freed. */
  releaseSpace(root: Pfn): void {
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (this.slotHart[slot] < 0 || this.slotRoot[slot] !== root) continue;
      if (this.current[this.slotHart[slot]] === slot) this.clear(slot);
      else this.release(slot);
    }
  }

  /** Indices of a slot's valid entries. A loop of its own, since verify() runs it all the time. */
  private validIn(slot: number): number[] {
    const found: number[] = [];
    const sources = this.sourceAt(slot);
    const groups = this.listGroups(slot);
    for (let n = 0; n < groups; n++) {
      const end = this.groups[n] + TLB_GROUP;
      for (let i = this.nextValid(sources, this.groups[n], end); i < end; i = this.nextValid(sources, i + 1, end))
        found.push(i);
    }
    return found;
  }

  /** Every extent, once: what is known of it, and where it is recent. */
  *allExtents(): Iterable<Extent & { readonly hart: number; readonly root: Pfn }> {
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (this.slotHart[slot] < 0) continue;
      const seen = new Set<string>();
      for (const extent of this.extents.of(slot)) {
        const key = Object.values(extent).join();
        if (seen.has(key)) continue;
        seen.add(key);
        yield { ...extent, hart: this.slotHart[slot], root: asPfn(this.slotRoot[slot]) };
      }
    }
  }

  /** Every valid entry: `payload` is the frame, or the code page for KIND_EXECUTE. */
  *entries(): Iterable<{
    hart: number;
    root: Pfn;
    va: number;
    kind: number;
    payload: number;
    table: Pfn;
    index: number;
  }> {
    for (let slot = 0; slot < this.slotsEver; slot++) {
      if (this.slotHart[slot] < 0 || !this.isDirty(slot)) continue;
      for (const i of this.validIn(slot)) {
        const page = this.pageOf(slot, i);
        const source = this.u32[this.sourceAt(slot) + i];
        yield {
          hart: this.slotHart[slot],
          root: asPfn(this.slotRoot[slot]),
          va: page * 4096,
          kind: Math.floor(i / TLB_ENTRIES),
          payload: this.payloadOf(slot, i),
          table: asPfn(source & 0xfffff),
          index: Math.floor(page / 512 ** (source >>> LEVEL_SHIFT)) % 512,
        };
      }
    }
  }
}
