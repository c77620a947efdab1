// The memory-management unit: walks Sv48 tables, sets A and D (Svadu), fills TLBs, serves the accesses that miss them. The kernel
// flushes and inspects translations through it; nobody else reads page tables on behalf of the guest.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import type { CodeCache } from "./code-cache.ts";
import { HART_ACCESS, HART_SCRATCH, HART_TLB, HART_VA } from "./layout.ts";
import { PTE_A, PTE_D, PTE_R, PTE_RWX, PTE_U, PTE_V, PTE_W, PTE_X } from "./pte.ts";
import type { Ram } from "./ram.ts";
import { type FlushResult, KIND_EXECUTE, KIND_READ, KIND_WRITE, type Tlb } from "./tlb.ts";
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from "./trap.ts";

export type { FlushResult } from "./tlb.ts";

/** Pages that one miss of a superpage enters. */
const LARGE_PAGES = 16;

/** Where the last successful walk ended. */
interface Leaf {
  table: Pfn;
  index: number;
  level: number;
  pte: number;
}

/** A translation that a hart may use without a walk, and the leaf entry that it came from. */
export interface CachedTranslation {
  readonly hart: number;
  readonly root: Pfn;
  readonly va: number;
  readonly pfn: Pfn;
  readonly table: Pfn;
  readonly index: number;
  readonly write: boolean;
  readonly execute: boolean;
}

export interface MmuStats {
  /** Walks of page tables. */
  tlbMisses: number;
  /** Those of them for a load, store or atomic that found its page. */
  dataWalks: number;
  /** Loads and stores that went on in a second page. */
  crossings: number;
}

export class Mmu {
  readonly stats: MmuStats = { tlbMisses: 0, dataWalks: 0, crossings: 0 };
  private readonly ram: Ram;
  private readonly tlb: Tlb;
  private readonly code: CodeCache;
  /** The root of each hart's address space, by hart struct offset. */
  private readonly rootOf: (hart: number) => Pfn;
  private readonly leaf: Leaf = { table: asPfn(0), index: 0, level: 0, pte: 0 };
  private readonly u32: Uint32Array;

  /** For createHardware. */
  constructor(ram: Ram, tlb: Tlb, code: CodeCache, rootOf: (hart: number) => Pfn) {
    this.ram = ram;
    this.u32 = ram.u32;
    this.tlb = tlb;
    this.code = code;
    this.rootOf = rootOf;
  }

  /**
   * Drops all translations that came from entries [first, first + count) of `table` (leaf entries of any level), in every space on
   * every hart. Exact. The cost does not depend on how many spaces are attached to that table.
   */
  flushLeaf(table: Pfn, first: number, count: number): FlushResult {
    return this.tlb.flushLeaf(table, first, count);
  }

  /** flushLeaf for many tables; ranges[i] is the first and last entry of tables[i]. `harts`: the sum over the tables. */
  flushLeaves(tables: readonly Pfn[], ranges: readonly (readonly [first: number, last: number])[]): FlushResult {
    return this.tlb.flushLeaves(tables, ranges);
  }

  /** Drops all translations of one address space. */
  flushSpace(root: Pfn): FlushResult {
    return this.tlb.flushSpace(root);
  }

  flushAll(): FlushResult {
    return this.tlb.flushAll();
  }

  /** To be called before a root table is freed: forgets it everywhere. */
  releaseSpace(root: Pfn): void {
    this.tlb.releaseSpace(root);
  }

  /** What riscv_flush_icache asks for. Stores invalidate decoded code at once, so nothing stale can be left. */
  fenceI(): void {}

  /** Every translation cached now, for verify(): those of the TLBs, and those of extents. */
  *entries(): Iterable<CachedTranslation> {
    for (const e of this.tlb.entries()) {
      const execute = e.kind === KIND_EXECUTE;
      yield {
        hart: e.hart,
        root: e.root,
        va: e.va,
        pfn: execute ? this.code.frameOf(e.payload) : asPfn(e.payload),
        table: e.table,
        index: e.index,
        write: e.kind === KIND_WRITE,
        execute,
      };
    }
    for (const { hart, root, va, pages, pfn, write } of this.tlb.allExtents()) {
      for (let page = 0; page < pages; page++) {
        const at = va + page * PAGE_SIZE;
        // Where nothing is mapped, it is said to have come from frame 0, which is no table.
        const { table, index } = this.walk(root, at) ?? { table: asPfn(0), index: 0 };
        yield { hart, root, va: at, pfn: asPfn(pfn + page), table, index, write, execute: false };
      }
    }
  }

  /** A plain walk: no TLB, A and D untouched, permissions not looked at. The leaf that maps `va`, or undefined. */
  walk(root: Pfn, va: number): { table: Pfn; index: number; level: number; pte: number } | undefined {
    if (!(va >= 0 && va < 2 ** 47)) return undefined;
    return this.findLeaf(root, va >>> 0, Math.floor(va / 2 ** 32)) ? { ...this.leaf } : undefined;
  }

  /** Finds the leaf entry for an address below 2^48, into this.leaf. */
  private findLeaf(root: Pfn, vaLow: number, vaHigh: number): boolean {
    let table = root;
    for (let level = 3; level >= 0; level--) {
      const index =
        level === 0
          ? (vaLow >>> 12) & 511
          : level === 1
            ? (vaLow >>> 21) & 511
            : level === 2
              ? (vaLow >>> 30) | ((vaHigh & 127) << 2)
              : (vaHigh >>> 7) & 511;
      const pte = this.u32[(table << 10) + 2 * index];
      if ((pte & PTE_V) === 0 || (pte & (PTE_R | PTE_W)) === PTE_W) return false;
      if ((pte & PTE_RWX) !== 0) {
        // No 512 GiB leaves here, and a misaligned superpage is reserved.
        if (level === 3 || ((pte >>> 10) & ((1 << (9 * level)) - 1)) !== 0) return false;
        this.leaf.table = table;
        this.leaf.index = index;
        this.leaf.level = level;
        this.leaf.pte = pte;
        return true;
      }
      if ((pte & (PTE_A | PTE_D | PTE_U)) !== 0) return false;
      table = asPfn(pte >>> 10);
      if (table < this.ram.firstPfn || table >= this.ram.endPfn) return false;
    }
    return false;
  }

  /**
   * Translates for a user-mode access, setting A and D, and enters the TLB. Returns the frame, or 0 with the fault recorded in the hart
   * struct.
   */
  private translate(hart: number, vaLow: number, vaHigh: number, access: number): number {
    this.stats.tlbMisses++;
    const leaf = this.leaf;
    const need = PTE_U | (access === ACCESS_READ ? PTE_R : access === ACCESS_WRITE ? PTE_W : PTE_X);
    if (vaHigh >>> 15 !== 0 || !this.findLeaf(this.rootOf(hart), vaLow, vaHigh) || (leaf.pte & need) !== need) {
      return this.fault(hart, vaLow, vaHigh, access);
    }
    const pfn = (leaf.pte >>> 10) + ((vaLow >>> 12) & ((1 << (9 * leaf.level)) - 1));
    if (pfn < this.ram.firstPfn || pfn >= this.ram.endPfn) return this.fault(hart, vaLow, vaHigh, access);
    const marks = access === ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;
    if ((leaf.pte & marks) !== marks) this.u32[(leaf.table << 10) + 2 * leaf.index] = leaf.pte | marks;
    const slot = this.u32[(hart + HART_TLB) >>> 2];
    if (access === ACCESS_EXECUTE) {
      const page = this.code.pageFor(asPfn(pfn));
      this.tlb.enter(slot, KIND_EXECUTE, vaLow, vaHigh, page, leaf.table, leaf.level);
      return pfn;
    }
    this.stats.dataWalks++;
    if (access === ACCESS_WRITE) this.code.willWrite(asPfn(pfn));
    if (leaf.level > 0) this.enterLarge(slot, vaLow, vaHigh, pfn, access);
    else {
      if (access === ACCESS_WRITE) this.tlb.enter(slot, KIND_WRITE, vaLow, vaHigh, pfn, leaf.table, 0);
      this.tlb.enter(slot, KIND_READ, vaLow, vaHigh, pfn, leaf.table, 0);
    }
    return pfn;
  }

  /**
   * One miss of a superpage enters the translations of the aligned 64 KiB around it: the leaf's A and D speak for all of it. Write translations
   * only of frames without decoded code, which is not to be dropped for a neighbour's sake.
   */
  private enterLarge(slot: number, vaLow: number, vaHigh: number, pfn: number, access: number): void {
    const { table, level } = this.leaf;
    const first = (vaLow & ~(LARGE_PAGES * PAGE_SIZE - 1)) >>> 0;
    const firstPfn = pfn - ((vaLow >>> 12) % LARGE_PAGES);
    for (let i = 0; i < LARGE_PAGES; i++) {
      const frame = asPfn(firstPfn + i);
      if (frame < this.ram.firstPfn || frame >= this.ram.endPfn) continue;
      const low = first + i * PAGE_SIZE;
      if (access === ACCESS_WRITE && this.ram.hasCode[frame] === 0) {
        this.code.willWrite(frame);
        this.tlb.enter(slot, KIND_WRITE, low, vaHigh, frame, table, level);
      }
      this.tlb.enter(slot, KIND_READ, low, vaHigh, frame, table, level);
    }
  }

  private fault(hart: number, vaLow: number, vaHigh: number, access: number): 0 {
    this.u32[(hart + HART_VA) >>> 2] = vaLow;
    this.u32[(hart + HART_VA + 4) >>> 2] = vaHigh;
    this.u32[(hart + HART_ACCESS) >>> 2] = access;
    return 0;
  }

  /** A load that missed: the host address to read `size` bytes from, or 0 for a fault. The address is in HART_VA. */
  readonly load = (hart: number, size: number): number => {
    const low = this.u32[(hart + HART_VA) >>> 2];
    const high = this.u32[(hart + HART_VA + 4) >>> 2];
    const offset = low & 4095;
    const first = this.translate(hart, low, high, ACCESS_READ);
    if (first === 0) return 0;
    const host = first * PAGE_SIZE + offset;
    if (offset + size <= PAGE_SIZE) return host;
    const second = this.translateNext(hart, low, high, ACCESS_READ);
    if (second === 0) return 0;
    this.stats.crossings++;
    const head = PAGE_SIZE - offset;
    const scratch = hart + HART_SCRATCH;
    this.ram.u8.copyWithin(scratch, host, host + head);
    this.ram.u8.copyWithin(scratch + head, second * PAGE_SIZE, second * PAGE_SIZE + size - head);
    return scratch;
  };

  /** A store that missed: stores the first `size` bytes of HART_SCRATCH. 1, or 0 for a fault with nothing stored. */
  readonly store = (hart: number, size: number): number => {
    const low = this.u32[(hart + HART_VA) >>> 2];
    const high = this.u32[(hart + HART_VA + 4) >>> 2];
    const offset = low & 4095;
    const first = this.translate(hart, low, high, ACCESS_WRITE);
    if (first === 0) return 0;
    const host = first * PAGE_SIZE + offset;
    const scratch = hart + HART_SCRATCH;
    const head = Math.min(size, PAGE_SIZE - offset);
    if (head < size) {
      const second = this.translateNext(hart, low, high, ACCESS_WRITE);
      if (second === 0) return 0;
      this.stats.crossings++;
      this.ram.u8.copyWithin(second * PAGE_SIZE, scratch + head, scratch + size);
    }
    this.ram.u8.copyWithin(host, scratch, scratch + head);
    return 1;
  };

  /** An aligned LR (ACCESS_READ), SC or AMO (ACCESS_WRITE) that missed: the host address, or 0 for a fault. */
  readonly atomic = (hart: number, access: number): number => {
    const low = this.u32[(hart + HART_VA) >>> 2];
    const pfn = this.translate(hart, low, this.u32[(hart + HART_VA + 4) >>> 2], access);
    return pfn === 0 ? 0 : pfn * PAGE_SIZE + (low & 4095);
  };

  /** The page after the one that the access starts in. */
  private translateNext(hart: number, low: number, high: number, access: number): number {
    const next = ((low | 4095) + 1) >>> 0;
    return this.translate(hart, next, next === 0 ? high + 1 : high, access);
  }

  /** Enters the execute translation of a page, as if it had been fetched from already. False: it is not there, or that would change its entry (A). */
  prefetch(hart: number, va: number): boolean {
    const [low, high] = [va >>> 0, Math.floor(va / 2 ** 32)];
    const need = PTE_U | PTE_X | PTE_A;
    if (high >>> 15 !== 0 || !this.findLeaf(this.rootOf(hart), low, high) || (this.leaf.pte & need) !== need)
      return false;
    return this.translate(hart, low, high, ACCESS_EXECUTE) !== 0;
  }

  /** An instruction fetch at an address: the frame, or 0 for a fault. Enters the TLB; the frame then has a code page. */
  fetch(hart: number, low: number, high: number): number {
    return this.translate(hart, low, high, ACCESS_EXECUTE);
  }
}
