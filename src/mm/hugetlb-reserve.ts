// What is promised of hugetlb pools (mm/hugetlb.c: resv_map, hugepage_subpool): to a file's shared mappings, to the process that made a private mapping, to
// a mounted hugetlbfs with min_size=. Bookkeeping only; hugetlb-object.ts and hugetlb-vma.ts decide what the numbers mean.
import type { HugetlbObject } from "./hugetlb-object.ts";
import type { HugePool } from "./hugetlb.ts";

/**
 * Indices of huge pages (struct resv_map). Of a file: those that are reserved or there. Of a private mapping it is the other way round: those whose
 * reservation has been used up.
 */
export class ReserveMap {
  readonly #indices = new Set<number>();

  has(index: number): boolean {
    return this.#indices.has(index);
  }

  /** How many of [from, to) are in the map (region_count). */
  count(from: number, to: number): number {
    let count = 0;
    for (const index of this.#indices) if (index >= from && index < to) count++;
    return count;
  }

  /** How many of [from, to) are not (region_chg). */
  missing(from: number, to: number): number {
    return to - from - this.count(from, to);
  }

  /** Enters [from, to): how many were not there (region_add). */
  add(from: number, to: number): number {
    const before = this.#indices.size;
    for (let index = from; index < to; index++) this.#indices.add(index);
    return this.#indices.size - before;
  }

  /** Takes [from, to) out: how many were there (region_del). */
  delete(from: number, to: number): number {
    const gone = [...this.#indices].filter((index) => index >= from && index < to);
    for (const index of gone) this.#indices.delete(index);
    return gone.length;
  }
}

/** The share of a pool that one mounted hugetlbfs has: at most `max` pages, `min` of them reserved from the start; -1: no such limit. */
export class Subpool {
  readonly pool: HugePool;
  readonly max: number;
  readonly min: number;
  /** Pages in use or reserved; kept only where there is a maximum. */
  used = 0;
  /** What is left of the reservation for the minimum. */
  reserved: number;

  /** The caller has reserved `min` pages of the pool. */
  constructor(pool: HugePool, max: number, min: number) {
    this.pool = pool;
    this.max = max;
    this.min = min;
    this.reserved = Math.max(0, min);
    pool.subpools.add(this);
  }

  /** hugepage_subpool_get_pages: `pages` more are wanted. How many of them the pool must reserve, or -1: over the maximum. */
  get(pages: number): number {
    if (this.max !== -1) {
      if (this.used + pages > this.max) return -1;
      this.used += pages;
    }
    const own = Math.min(pages, this.reserved);
    this.reserved -= own;
    return pages - own;
  }

  /** hugepage_subpool_put_pages: how many of the `pages` given back the pool need not reserve any longer. */
  put(pages: number): number {
    if (this.max !== -1) this.used -= pages;
    if (this.min === -1 || this.used >= this.min) return pages;
    const excess = Math.max(0, this.reserved + pages - this.min);
    this.reserved = Math.min(this.min, this.reserved + pages);
    return excess;
  }

  /** Its file system is unmounted, all files are gone. */
  end(): void {
    this.pool.subpools.delete(this);
    if (this.min !== -1) this.pool.unreserve(this.min);
  }
}

/** As Subpool.get, where there may be no subpool. */
export const takeFrom = (subpool: Subpool | null, pages: number): number =>
  subpool === null ? pages : subpool.get(pages);
export const giveTo = (subpool: Subpool | null, pages: number): number =>
  subpool === null ? pages : subpool.put(pages);

/** Reserves `count` pages of the pool, those of the file system's own share first. False, and nothing is reserved, if there are too few. */
export function reservePages(object: HugetlbObject, count: number): boolean {
  const { pool, subpool } = object;
  const global = takeFrom(subpool, count);
  if (global < 0) return false;
  if (pool.reserve(global)) return true;
  giveTo(subpool, count);
  return false;
}
