// Files made of huge pages: a hugetlbfs inode, a memfd with MFD_HUGETLB, a SysV segment with SHM_HUGETLB, what MAP_HUGETLB maps (fs/hugetlbfs/inode.c). Owns
// the cached pages and the reservations of shared mappings. Private copies are the mappings' (hugetlb-vma.ts).
//
// `pages` holds each huge page by the index of its first 4 KiB page, as its first frame.
import { EFBIG, EINVAL, ENOSPC } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn, alignDown, alignUp, asPfn } from "../base/numbers.ts";
import { ReserveMap, type Subpool, giveTo, reservePages, takeFrom } from "./hugetlb-reserve.ts";
import type { HugePool } from "./hugetlb.ts";
import { NamelessFile } from "./nameless-file.ts";
import { MAX_SIZE, MemoryObject, PAGE_BEYOND, PAGE_NOSPC } from "./object.ts";
import { unmapMappingRange } from "./rmap.ts";

/** Who asks for a page, as alloc_hugetlb_folio sees it: a VMA, or a file (fallocate). */
export interface HugeClaim {
  readonly object: HugetlbObject;
  /** VM_MAYSHARE; VM_NORESERVE. */
  readonly shared: boolean;
  readonly noReserve: boolean;
  /** Of a private mapping: the process that made it, which has the reservations (HPAGE_RESV_OWNER). */
  readonly owner: boolean;
  /** Where its reservations are noted; null: it has none. */
  readonly map: ReserveMap | null;
}

export class HugetlbObject extends MemoryObject {
  readonly kind = "hugetlb";
  readonly pool: HugePool;
  readonly subpool: Subpool | null;
  readonly reserves = new ReserveMap();
  /** A SysV segment: all of it was reserved when it was made, mappings reserve nothing (S_PRIVATE). */
  readonly isSegment: boolean;

  constructor(pool: HugePool, size: number, options: { subpool?: Subpool | null; isSegment?: boolean } = {}) {
    super(pool.memory, size);
    this.pool = pool;
    this.subpool = options.subpool ?? null;
    this.isSegment = options.isSegment ?? false;
    pool.memory.objects.add(this);
  }

  override get residentPages(): number {
    return this.pages.count * this.pool.frames;
  }

  /** The first frame of the huge page that 4 KiB page `index` is in; 0 if it is not there. */
  huge(index: number): Pfn {
    return this.pages.get(alignDown(index, this.pool.frames));
  }

  /** The frame of 4 KiB page `index` if its huge page is there; pages are made by faults and fallocate, not here. */
  override page(index: number): Pfn | number {
    this.lastWasRead = false;
    if (index * PAGE_SIZE >= this.size) return PAGE_BEYOND;
    const head = this.huge(index);
    return head === 0 ? PAGE_NOSPC : asPfn(head + (index % this.pool.frames));
  }
  override isUpToDate(index: number): boolean {
    return this.huge(index) !== 0;
  }

  protected override bringIn(): number {
    return PAGE_NOSPC;
  }
  /** Holes read as zeros. */
  protected override readable(index: number): Pfn | number {
    const head = this.huge(index);
    return head === 0 ? head : asPfn(head + (index % this.pool.frames));
  }
  /** There is no write(2). */
  protected override writable(): number {
    return PAGE_NOSPC;
  }

  /** The claim of the file itself. */
  get claim(): HugeClaim {
    return { object: this, shared: true, noReserve: false, owner: false, map: this.reserves };
  }

  /** hugetlb_reserve_pages for a shared mapping or segment: huge pages [from, to) will be there when they are needed. False if not. */
  reserve(from: number, to: number): boolean {
    const change = this.reserves.missing(from, to);
    if (!reservePages(this, change)) return false;
    this.reserves.add(from, to);
    return true;
  }

  /** hugetlb_unreserve_pages: [from, to) are not promised any more; `freed` of them were there and have given back what they took. */
  #unreserve(from: number, to: number, freed: number): void {
    this.pool.unreserve(giveTo(this.subpool, this.reserves.delete(from, to) - freed));
  }

  /** A new page, zeroed, joins the file at 4 KiB index `index` (hugetlb_add_to_page_cache). The reference that came with it is the file's. */
  addHuge(index: number, head: Pfn): void {
    const { frames } = this.memory;
    frames.owner[head] = this;
    frames.index[head] = index;
    this.pages.set(index, head);
  }

  /** Makes the file longer if a mapping reaches beyond its end. */
  extend(size: number): void {
    if (size > this.size) this.setSize(size);
  }

  /** ftruncate: 0, -EINVAL (not whole huge pages), -EFBIG. Private copies beyond the end go as well. */
  override truncate(size: number): number {
    if (size > MAX_SIZE) return -EFBIG;
    if (size % this.pool.size !== 0) return -EINVAL;
    const old = this.size;
    this.setSize(size);
    if (size >= old) return 0;
    const first = size / PAGE_SIZE;
    unmapMappingRange(this, first, Infinity, "and private copies");
    const freed = this.removePages(first, Infinity);
    this.#unreserve(size / this.pool.size, Infinity, freed);
    return 0;
  }

  /** PUNCH_HOLE, MADV_REMOVE: whole pages in [start, end) go, from private mappings too; of others the bytes become zero. */
  override punch(start: number, end: number): void {
    const { size } = this.pool;
    const first = alignUp(start, size);
    const last = alignDown(end, size);
    if (start < first) this.#zero(start, Math.min(end, first));
    if (last > first) unmapMappingRange(this, first / PAGE_SIZE, last / PAGE_SIZE, "and private copies");
    if (end > last && end > first) this.#zero(last, end);
    for (let at = first; at < last; at += size) {
      if (this.removePages(at / PAGE_SIZE, (at + size) / PAGE_SIZE) > 0) this.#unreserve(at / size, at / size + 1, 1);
    }
  }

  /** Bytes [start, end) of one huge page. */
  #zero(start: number, end: number): void {
    const { ram } = this.memory;
    for (let at = start; at < end;) {
      const stop = Math.min(end, alignDown(at, PAGE_SIZE) + PAGE_SIZE);
      const pfn = this.readable(Math.floor(at / PAGE_SIZE));
      if (pfn === 0) return;
      ram.fill(asPfn(pfn), 0, at % PAGE_SIZE, stop - at);
      at = stop;
    }
  }

  /** fallocate: all huge pages that [start, end) touches are there afterwards. 0 or -ENOSPC; what could be had stays. */
  override allocate(start: number, end: number): number {
    const { size } = this.pool;
    for (let at = alignDown(start, size); at < end; at += size) {
      if (this.huge(at / PAGE_SIZE) !== 0) continue;
      const head = allocateHuge(this.claim, at / size, { avoidReserve: false });
      if (head === 0) return -ENOSPC;
      zeroHuge(this.pool, head);
      this.addHuge(at / PAGE_SIZE, head);
    }
    return 0;
  }

  /** Nothing to write to. */
  override sync(): number {
    return 0;
  }

  override release(): void {
    if (this.mappings.size > 0) throw new Error("a hugetlb file is released while it is mapped");
    this.setSize(0);
    const freed = this.removePages(0, Infinity);
    this.#unreserve(0, Infinity, freed);
    this.memory.objects.delete(this);
  }
}

/** __vma_reservation_common(VMA_NEEDS_RESV): 0 if the claim has a reservation for huge page `index`, else 1. */
function needsReservation({ map, shared }: HugeClaim, index: number): number {
  if (map === null) return 1;
  return map.has(index) === shared ? 0 : 1;
}

/** vma_has_reserves. `change`: what the allocation adds to the pool's load. */
function hasReserves(claim: HugeClaim, change: number): boolean {
  if (claim.noReserve) return claim.shared && change === 0;
  return (claim.shared || claim.owner) && change === 0;
}

/**
 * alloc_hugetlb_folio: a page with one reference for huge page `index` of the file, contents undefined; 0 if there is none (ENOSPC, in a fault SIGBUS).
 * With `avoidReserve` the claim's own reservation is left alone.
 */
export function allocateHuge(claim: HugeClaim, index: number, options: { avoidReserve: boolean }): Pfn {
  const { pool, subpool } = claim.object;
  const { avoidReserve } = options;
  const mapChange = needsReservation(claim, index);
  let change = mapChange;
  if (mapChange !== 0 || avoidReserve) {
    change = takeFrom(subpool, 1);
    if (change < 0) return asPfn(0);
    if (avoidReserve) change = 1;
  }
  const uses = !avoidReserve && hasReserves(claim, change);
  const mayTake = pool.available > 0 || (!avoidReserve && hasReserves(claim, change));
  let pfn = mayTake ? pool.dequeue(subpool) : asPfn(0);
  if (pfn === 0) pfn = pool.allocateSurplus(subpool);
  if (pfn === 0) {
    if (mapChange !== 0 || avoidReserve) giveTo(subpool, 1);
    return pfn;
  }
  if (uses) pool.reserved--;
  claim.map?.add(index, index + 1);
  return pfn;
}

/** Fills a huge page with zeros, unless it is. */
export function zeroHuge(pool: HugePool, head: Pfn): void {
  if (pool.takeZeros(head)) return;
  const { ram } = pool.memory;
  for (let pfn = head; pfn < head + pool.frames; pfn++) ram.willStore(asPfn(pfn));
  ram.u8.fill(0, head * PAGE_SIZE, head * PAGE_SIZE + pool.size);
}

export function copyHuge(pool: HugePool, to: Pfn, from: Pfn): void {
  pool.takeZeros(to);
  const { ram } = pool.memory;
  for (let pfn = to; pfn < to + pool.frames; pfn++) ram.willStore(asPfn(pfn));
  ram.u8.copyWithin(to * PAGE_SIZE, from * PAGE_SIZE, from * PAGE_SIZE + pool.size);
}

/** The file behind MAP_ANONYMOUS | MAP_HUGETLB. */
export class AnonymousHugeFile extends NamelessFile<HugetlbObject> {
  readonly devMinor = 0x10;

  name(): string {
    return "/anon_hugepage (deleted)";
  }
}
