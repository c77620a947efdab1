// hugetlb: the pools of 2 MiB and 1 GiB pages (mm/hugetlb.c). Owns the counts of /proc/meminfo and /sys/kernel/mm/hugepages and every page's way out of the
// frame allocator and back. hugetlb-object.ts keeps the pages of files, hugetlb-vma.ts the mappings; the kernel sets the sizes.
//
// A page is known by its first frame, whose reference count, map count, flags, owner and index stand for all of it (a folio). Pages are never reclaimed.
import { EINVAL } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { LEVEL_SIZE } from "../machine/pte.ts";
import { KIND_HUGETLB } from "./frame.ts";
import { type Subpool, giveTo } from "./hugetlb-reserve.ts";
import type { MemoryManager } from "./memory-manager.ts";

/** What is known of one huge page. */
interface HugePage {
  readonly pool: HugePool;
  /** The share that it counts in while it is in use. */
  subpool: Subpool | null;
  /** Its allocation used up a reservation that is to come back if it is freed. */
  restoreReserve: boolean;
  /** Nobody has stored into it since the machine began. */
  zeros: boolean;
}

/** All pages of one size (struct hstate). Counts are in pages of that size. */
export class HugePool {
  readonly memory: MemoryManager;
  readonly #pages: Map<number, HugePage>;
  /** The level of the leaf that maps one: 1 or 2. */
  readonly level: number;
  /** The size in bytes, and in frames: 2^order. */
  readonly size: number;
  readonly order: number;
  readonly frames: number;
  /** nr_huge_pages, surplus ones included. */
  total = 0;
  reserved = 0;
  /** Pages beyond the size that was set: freed when nobody uses them any more. */
  surplus = 0;
  /** What nr_hugepages was set to, as far as that was possible. */
  max = 0;
  /** The most surplus pages there may be on demand. */
  overcommit = 0;
  /** The shares of mounted file systems. */
  readonly subpools = new Set<Subpool>();
  readonly #free: Pfn[] = [];

  constructor(memory: MemoryManager, pages: Map<number, HugePage>, level: number) {
    this.memory = memory;
    this.#pages = pages;
    this.level = level;
    this.size = LEVEL_SIZE[level];
    this.frames = this.size / PAGE_SIZE;
    this.order = 9 * level;
  }

  get free(): number {
    return this.#free.length;
  }
  /** Larger than what the buddy allocator of Linux hands out: never allocated on demand. */
  get isGigantic(): boolean {
    return this.level > 1;
  }
  get persistent(): number {
    return this.total - this.surplus;
  }
  /** Free pages that nobody has reserved. */
  get available(): number {
    return this.free - this.reserved;
  }

  /** The first frames of all its pages, for verify. */
  heads(): number[] {
    return [...this.#pages].filter(([, page]) => page.pool === this).map(([pfn]) => pfn);
  }

  /** Pages in use whose reservation comes back when they are freed, for verify. */
  restoring(): number {
    return [...this.#pages.values()].filter((page) => page.pool === this && page.restoreReserve).length;
  }

  /** nr_hugepages: makes the pool as close to `count` as memory allows. What is in use or reserved stays, as surplus (set_max_huge_pages). */
  setMax(count: number): void {
    while (this.surplus > 0 && count > this.persistent) this.surplus--;
    while (count > this.persistent) {
      const pfn = this.#make();
      if (pfn === 0) break;
      this.#free.push(pfn);
    }
    const least = Math.max(count, this.reserved + this.total - this.free);
    while (least < this.persistent && this.free > 0) this.#destroy(this.#free.pop()!);
    while (count < this.persistent) this.surplus++;
    this.max = this.persistent;
  }

  /** demote: up to `count` free pages that nobody has reserved become pages of a smaller size (demote_pool_huge_page). */
  demote(count: number, smaller: HugePool): void {
    for (let left = count; left > 0 && this.available > 0; left--) {
      const head = this.#free.pop()!;
      const { zeros } = this.#pages.get(head)!;
      this.#pages.delete(head);
      this.total--;
      this.max--;
      for (let pfn = head + this.frames - smaller.frames; pfn >= head; pfn -= smaller.frames) {
        this.#pages.set(pfn, { pool: smaller, subpool: null, restoreReserve: false, zeros });
        smaller.#free.push(asPfn(pfn));
        smaller.total++;
        smaller.max++;
      }
    }
  }

  /** nr_overcommit_hugepages; -EINVAL for gigantic pages. */
  setOvercommit(count: number): number {
    if (this.isGigantic) return -EINVAL;
    this.overcommit = count;
    return 0;
  }

  /** hugetlb_acct_memory: promises `count` more pages, making surplus ones if need be. False, and nothing is promised, if there are too few. */
  reserve(count: number): boolean {
    const needed = this.reserved + count - this.free;
    // Asking for more than could ever be allowed changes nothing on the way.
    if (needed > 0 && (this.isGigantic || this.surplus + needed > this.overcommit)) return false;
    const made: Pfn[] = [];
    while (made.length < needed) {
      const pfn = this.#makeSurplus();
      if (pfn === 0) break;
      made.push(pfn);
    }
    if (made.length < needed) {
      for (const pfn of made) this.#destroySurplus(pfn);
      return false;
    }
    this.#free.push(...made);
    this.reserved += count;
    return true;
  }

  /** return_unused_surplus_pages: `count` pages are not promised any more; surplus ones that are free go. */
  unreserve(count: number): void {
    this.reserved -= count;
    for (let left = Math.min(count, this.surplus); left > 0 && this.free > 0 && this.surplus > 0; left--)
      this.#destroySurplus(this.#free.pop()!);
  }

  /** A free page with one reference, contents undefined; 0 if there is none. Whether it may be taken has been decided. */
  dequeue(subpool: Subpool | null): Pfn {
    const pfn = this.#free.pop();
    return pfn === undefined ? asPfn(0) : this.#use(pfn, subpool);
  }

  /** A page beyond the pool's size, with one reference; 0 if there may be none, or memory has no room. */
  allocateSurplus(subpool: Subpool | null): Pfn {
    const pfn = this.#makeSurplus();
    return pfn === 0 ? pfn : this.#use(pfn, subpool);
  }

  #use(pfn: Pfn, subpool: Subpool | null): Pfn {
    this.memory.frames.refcount[pfn] = 1;
    this.#pages.get(pfn)!.subpool = subpool;
    return pfn;
  }

  /** free_huge_folio: the last reference to a page has gone. */
  released(pfn: Pfn, page: HugePage): void {
    const { frames } = this.memory;
    frames.flags[pfn] = 0;
    frames.owner[pfn] = null;
    let restore = page.restoreReserve;
    page.restoreReserve = false;
    // A file system below its minimum keeps the page for itself.
    if (!restore && giveTo(page.subpool, 1) === 0) restore = true;
    page.subpool = null;
    if (restore) this.reserved++;
    if (this.surplus > 0) this.#destroySurplus(pfn);
    else this.#free.push(pfn);
  }

  #make(): Pfn {
    const { memory } = this;
    if (memory.failAllocation !== null && memory.failAllocation(KIND_HUGETLB)) return asPfn(0);
    let pfn = memory.frames.allocateContiguous(this.order, KIND_HUGETLB);
    // Clean page cache in the way goes; nothing else is moved.
    if (pfn === 0 && memory.dropCaches() > 0) pfn = memory.frames.allocateContiguous(this.order, KIND_HUGETLB);
    if (pfn === 0) return pfn;
    const zeros = memory.frames.isFresh(pfn, this.order);
    this.#pages.set(pfn, { pool: this, subpool: null, restoreReserve: false, zeros });
    this.total++;
    return pfn;
  }

  /** A page is about to be filled by its first user. Whether it is all zeros. */
  takeZeros(pfn: Pfn): boolean {
    const page = this.#pages.get(pfn)!;
    const { zeros } = page;
    page.zeros = false;
    return zeros;
  }

  #makeSurplus(): Pfn {
    if (this.isGigantic || this.surplus >= this.overcommit) return asPfn(0);
    const pfn = this.#make();
    if (pfn !== 0) this.surplus++;
    return pfn;
  }

  #destroy(pfn: Pfn): void {
    this.#pages.delete(pfn);
    this.total--;
    this.memory.frames.freeContiguous(pfn, this.order);
  }

  #destroySurplus(pfn: Pfn): void {
    this.surplus--;
    this.#destroy(pfn);
  }
}

/** hugetlb of one machine. */
export class Hugetlb {
  /** By size: 2 MiB (the default) and 1 GiB. */
  readonly pools: readonly HugePool[];
  /** Leaf entries that map hugetlb pages, of all address spaces: walkers need not look for any while there are none. */
  mapped = 0;
  readonly #pages = new Map<number, HugePage>();

  constructor(memory: MemoryManager) {
    this.pools = [new HugePool(memory, this.#pages, 1), new HugePool(memory, this.#pages, 2)];
    memory.frames.onHugetlbFree = (pfn) => {
      const page = this.#pages.get(pfn)!;
      page.pool.released(pfn, page);
    };
  }

  get defaultPool(): HugePool {
    return this.pools[0];
  }

  /** hstate_sizelog: the pool for a MAP_HUGE_ size, given as its logarithm (0: the default); undefined if there is no such size. */
  poolFor(log: number): HugePool | undefined {
    return log === 0 ? this.defaultPool : this.pools.find((pool) => pool.size === 2 ** log);
  }

  /** The pool that the page of a first frame belongs to; undefined: it is no such frame. */
  poolOf(pfn: Pfn): HugePool | undefined {
    return this.#pages.get(pfn)?.pool;
  }

  /** The first frame of the huge page that a frame of KIND_HUGETLB is in. */
  headOf(pfn: Pfn): Pfn {
    const head = asPfn(pfn & -this.pools[0].frames);
    return this.#pages.get(head)?.pool === this.pools[0] ? head : asPfn(pfn & -this.pools[1].frames);
  }

  /** The page's reservation comes back when it is freed. */
  restoreReserve(pfn: Pfn): void {
    this.#pages.get(pfn)!.restoreReserve = true;
  }

  /** Frames in pools, used or not. */
  get totalFrames(): number {
    return this.pools.reduce((sum, pool) => sum + pool.total * pool.frames, 0);
  }
}
