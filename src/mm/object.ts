// Memory objects: what shared VMAs map and what files keep their pages in (Linux's address_space with shmem and page cache on top).
// Owns the cached pages, their dirty state and the list of VMAs that map them. Used by fault (pages), by kernel/fs (read, write, truncate …),
// by SysV shm and by mshare.
import { EFBIG, ENOMEM, ENOSPC } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn, asPfn, pageUp } from "../base/numbers.ts";
import { BLOCK_FRAMES, FRAME_DIRTY, FRAME_FALLOCATED, KIND_SHMEM } from "./frame.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { PageMap } from "./page-map.ts";
import { unmapMappingRange } from "./rmap.ts";
import { HugePages, bringInHuge } from "./shmem-huge.ts";
import type { ShmemMount } from "./thp.ts";
import { VM_MAYWRITE, VM_SHARED, type Vma } from "./vma.ts";

/** Where a file's pages come from and go to: supplied by kernel/fs. Both calls are synchronous and return 0 or a negative errno. */
export interface PageSource {
  /** Fills page `index`; `into` is 4096 zero bytes; a short last page leaves the rest zero. */
  readPage(index: number, into: Uint8Array): number;
  /** Stores the first `length` bytes of page `index`. */
  writePage(index: number, data: Uint8Array, length: number): number;
}

/** A limit on the pages of several objects (tmpfs size=): asked before each new page. */
export interface PageQuota {
  charge(pages: number): boolean;
  uncharge(pages: number): void;
}

/** Largest file: MAX_LFS_FILESIZE is 2^63 - 1; sizes here are exact up to 2^53. */
export const MAX_SIZE = 2 ** 53 - PAGE_SIZE;

/** What `page` returns instead of a frame: beyond the end, no memory, the source failed. */
export const PAGE_NONE = 0;
export const PAGE_BEYOND = -1;
export const PAGE_NOMEM = -2;
export const PAGE_IO = -3;
export const PAGE_NOSPC = -4;

export abstract class MemoryObject {
  abstract readonly kind: "shmem" | "file" | "hugetlb";
  readonly memory: MemoryManager;
  readonly pages = new PageMap();
  /** i_mmap: the VMAs that map this object, private ones too. Kept by mm. */
  readonly mappings = new Set<Vma>();
  #size: number;

  constructor(memory: MemoryManager, size: number) {
    this.memory = memory;
    this.#size = size;
  }

  /** Length in bytes. */
  get size(): number {
    return this.#size;
  }

  protected setSize(size: number): void {
    this.#size = size;
  }

  /** Pages in memory. */
  get residentPages(): number {
    return this.pages.count;
  }

  /** VMAs that could write to the object itself: F_SEAL_WRITE is EBUSY while there are any (i_mmap_writable). */
  get writableMappings(): number {
    let count = 0;
    for (const vma of this.mappings) if ((vma.flags & VM_SHARED) !== 0 && (vma.flags & VM_MAYWRITE) !== 0) count++;
    return count;
  }

  /** Whether the last `page` call had to wait for a device (a major fault). */
  lastWasRead = false;

  /** The frame that caches page `index`, brought in if needed; or one of the PAGE_* codes. No reference is taken. */
  page(index: number): Pfn | number {
    const cached = this.pages.get(index);
    this.lastWasRead = false;
    if (cached !== 0) {
      if (index * PAGE_SIZE >= this.#size) return PAGE_BEYOND;
      this.memory.frames.flags[cached] &= ~FRAME_FALLOCATED;
      return cached;
    }
    if (index * PAGE_SIZE >= this.#size) return PAGE_BEYOND;
    return this.bringIn(index);
  }

  /** Whether page `index` is in memory with its contents (for mincore). */
  isUpToDate(index: number): boolean {
    const pfn = this.pages.get(index);
    return pfn !== 0 && (this.memory.frames.flags[pfn] & FRAME_FALLOCATED) === 0;
  }

  /** Allocates and fills page `index`, which is below the size and not cached. */
  protected abstract bringIn(index: number): Pfn | number;

  protected addPage(index: number, kind: number, payer?: MemoryGroup): Pfn {
    // Next to the page before, so that pages in a row have frames in a row.
    const before = index > 0 ? this.pages.get(index - 1) : 0;
    const pfn = this.memory.allocateFrame(null, kind, payer, before > 0 ? before + 1 : 0);
    if (pfn === 0) return pfn;
    // The allocation may have reclaimed pages or even ended a process: only now is the map touched.
    this.memory.ram.zero(pfn);
    this.memory.frames.owner[pfn] = this;
    this.memory.frames.index[pfn] = index;
    this.pages.set(index, pfn);
    return pfn;
  }

  /** Bytes [pos, pos + length), short at the end of the object; a copy. -ENOMEM or -EIO if a page cannot be had. */
  read(pos: number, length: number): Uint8Array | number {
    const end = Math.min(pos + length, this.#size);
    if (end <= pos) return new Uint8Array(0);
    const out = new Uint8Array(end - pos);
    for (let at = pos; at < end;) {
      const offset = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - offset, end - at);
      const index = (at - offset) / PAGE_SIZE;
      // Holes of shmem read as zeros without a page.
      const pfn = this.readable(index);
      if (pfn < 0) return at > pos ? out.subarray(0, at - pos) : pageError(pfn);
      if (pfn > 0) out.set(this.memory.ram.bytes(asPfn(pfn), offset, count), at - pos);
      at += count;
    }
    return out;
  }

  /** The frame to read page `index` from, 0 for a hole, or a PAGE_* code. */
  protected abstract readable(index: number): Pfn | number;

  /** Stores `data` at `pos`, growing the object. Returns the bytes stored, or -ENOSPC, -ENOMEM, -EFBIG, -EIO if none could be. */
  write(pos: number, data: Uint8Array): number {
    const end = pos + data.length;
    if (end > MAX_SIZE) return -EFBIG;
    const { ram, frames } = this.memory;
    for (let at = pos; at < end;) {
      const offset = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - offset, end - at);
      const pfn = this.writable((at - offset) / PAGE_SIZE, count === PAGE_SIZE, end);
      if (pfn < 0) return at > pos ? at - pos : pageError(pfn);
      ram.write(asPfn(pfn), offset, data.subarray(at - pos, at - pos + count));
      frames.flags[pfn] = (frames.flags[pfn] & ~FRAME_FALLOCATED) | FRAME_DIRTY;
      at += count;
      if (at > this.#size) this.#size = at;
    }
    return data.length;
  }

  /**
   * The frame to write page `index` to (may be at or beyond the end); `whole` pages need not be read first. `writeEnd`: where the write ends, in bytes.
   */
  protected abstract writable(index: number, whole: boolean, writeEnd: number): Pfn | number;

  /** Sets the size. Mappings beyond it go (private copies too), the tail of the last page is zeroed, pages beyond are freed. 0 or -EFBIG. */
  truncate(size: number): number {
    if (size > MAX_SIZE) return -EFBIG;
    const old = this.#size;
    const accounted = this.resize(old, size);
    if (accounted < 0) return accounted;
    this.#size = size;
    if (size < old) {
      const first = pageUp(size) / PAGE_SIZE;
      unmapMappingRange(this, first, Infinity, "and private copies");
      this.zeroPart(size, pageUp(size));
      this.removePages(first, Infinity);
    } else if (size === old) {
      // Pages that fallocate made beyond the end go (shmem_setattr); nothing maps them.
      this.removePages(pageUp(size) / PAGE_SIZE, Infinity);
    }
    return 0;
  }

  /** Accounting of a change of size; 0 or -ENOMEM. */
  protected resize(_from: number, _to: number): number {
    return 0;
  }

  /** Makes bytes [start, end) zero and frees whole pages among them (fallocate PUNCH_HOLE, MADV_REMOVE). Private copies stay. */
  punch(start: number, end: number): void {
    const first = Math.ceil(start / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    if (first > last) {
      this.zeroPart(start, end);
      return;
    }
    if (last > first) unmapMappingRange(this, first, last, "shared only");
    this.zeroPart(start, first * PAGE_SIZE);
    this.zeroPart(last * PAGE_SIZE, end);
    this.removePages(first, last);
  }

  /** Makes bytes [start, end), inside one page, zero. A page that is not cached and has no backing is zero already. */
  protected zeroPart(start: number, end: number): void {
    if (start >= end) return;
    const index = Math.floor(start / PAGE_SIZE);
    const pfn = this.pages.get(index);
    if (pfn === 0) return;
    this.memory.ram.fill(pfn, 0, start - index * PAGE_SIZE, end - start);
    this.memory.frames.flags[pfn] |= FRAME_DIRTY;
  }

  /** Takes pages [first, end) out of the cache; no shared mapping of them is left. Returns how many there were. */
  protected removePages(first: number, end: number): number {
    const indices = this.pages.indices(first, end);
    for (const index of indices) this.dropPage(index);
    this.pages.trim();
    return indices.length;
  }

  protected dropPage(index: number): void {
    const { frames } = this.memory;
    const pfn = this.pages.remove(index);
    frames.owner[pfn] = null;
    frames.put(pfn);
  }

  /** Takes a page that nothing maps and that is clean out of the cache. */
  evict(index: number): void {
    this.dropPage(index);
  }

  /** fallocate: pages for [start, end) exist afterwards; the size is not changed. 0, -ENOSPC or -ENOMEM. */
  abstract allocate(start: number, end: number): number;

  /** Dirty pages of bytes [start, end) go to the file. 0 or -EIO. */
  abstract sync(start?: number, end?: number): number;

  /** The last reference is gone and nothing maps the object: frees its frames and gives back what was accounted. */
  release(): void {
    if (this.mappings.size > 0) throw new Error("an object is released while it is mapped");
    this.resize(this.#size, 0);
    this.#size = 0;
    this.removePages(0, Infinity);
  }
}

/** PAGE_* code to negative errno. */
function pageError(code: number): number {
  if (code === PAGE_NOSPC) return -ENOSPC;
  if (code === PAGE_NOMEM || code === 0) return -ENOMEM;
  return -5; // EIO
}

/** Anonymous shared memory, memfd, tmpfs files, SysV segments: pages that nothing backs. */
export class ShmemObject extends MemoryObject {
  readonly kind = "shmem";
  readonly #accounting: "whole" | "pages";
  readonly #quota: PageQuota | null;
  /** Whether it may have huge pages (thp.ts). */
  readonly mount: ShmemMount;
  /** Made by mmap for MAP_SHARED | MAP_ANONYMOUS. */
  isAnonymous = false;
  readonly huge = new HugePages(this);

  /**
   * `accounting`: "whole" commits the size at once (anonymous shared memory, SysV); "pages" each page as it comes (memfd, tmpfs, MAP_NORESERVE).
   * With "whole" the caller has committed `size` already (see `newShmem`); it is given back by release.
   */
  constructor(
    memory: MemoryManager,
    size = 0,
    options: { accounting?: "whole" | "pages"; quota?: PageQuota; mount?: ShmemMount } = {},
  ) {
    super(memory, size);
    this.mount = options.mount ?? memory.thp.internalMount;
    this.#accounting = options.accounting ?? "pages";
    this.#quota = options.quota ?? null;
    memory.objects.add(this);
  }

  /** Pages in swap: their slots by index. They count as pages of the object as before. */
  readonly #swapped = new Map<number, number>();

  /** Pages that this object holds of the commit limit. */
  get committedPages(): number {
    return this.#accounting === "whole" ? pageUp(this.size) / PAGE_SIZE : this.pages.count + this.#swapped.size;
  }
  /** The slots that this object refers to. */
  get swapSlots(): Iterable<number> {
    return this.#swapped.values();
  }
  /** The slots of pages [first, end). */
  *slotsOf(first: number, end: number): Generator<number> {
    for (const [index, slot] of this.#swapped) if (index >= first && index < end) yield slot;
  }
  /** The indices of pages in [first, end) that are in swap. */
  swappedIndices(first: number, end: number): number[] {
    return [...this.#swapped.keys()].filter((index) => index >= first && index < end);
  }
  get swappedPages(): number {
    return this.#swapped.size;
  }
  /** Page `index` is in swap. */
  isSwapped(index: number): boolean {
    return this.#swapped.has(index);
  }

  /** Page `index`, which nothing maps, leaves memory; its contents are in swap slot `slot`, or (0) they were zeros. */
  swapOut(index: number, slot: number): void {
    if (slot === 0) {
      this.dropPage(index);
      return;
    }
    super.dropPage(index);
    this.huge.forget(index);
    this.#swapped.set(index, slot);
  }
  /** Brings a page back: its frame, or PAGE_NOMEM. */
  swapIn(index: number): Pfn | number {
    const { memory } = this;
    const slot = this.#swapped.get(index)!;
    const pfn = this.addPage(index, KIND_SHMEM, memory.groups.ofSlot(slot, null));
    if (pfn === 0) return PAGE_NOMEM;
    memory.frames.flags[pfn] |= FRAME_DIRTY;
    this.#swapped.delete(index);
    memory.loadFromSwap(slot, pfn);
    this.lastWasRead = true;
    return pfn;
  }
  /** All pages come back (swapoff): false if there is no memory for one. */
  swapInAll(): boolean {
    for (const index of [...this.#swapped.keys()]) if (this.swapIn(index) < 0) return false;
    return true;
  }

  protected override resize(from: number, to: number): number {
    if (this.#accounting === "pages") return 0;
    const pages = (pageUp(to) - pageUp(from)) / PAGE_SIZE;
    if (pages > 0 && !this.memory.commit(pages)) return -ENOMEM;
    if (pages < 0) this.memory.uncommit(-pages);
    return 0;
  }

  /** shmem_inode_acct_blocks: `pages` more, of the commit limit and of the mount's size. False if they would be too many. */
  reserve(pages: number): boolean {
    if (this.#accounting === "pages" && !this.memory.commit(pages)) return false;
    if (this.#quota === null || this.#quota.charge(pages)) return true;
    if (this.#accounting === "pages") this.memory.uncommit(pages);
    return false;
  }
  unreserve(pages: number): void {
    if (this.#accounting === "pages") this.memory.uncommit(pages);
    this.#quota?.uncharge(pages);
  }

  protected override bringIn(index: number): Pfn | number {
    if (this.#swapped.has(index)) return this.swapIn(index);
    if (!this.reserve(1)) return PAGE_NOSPC;
    const pfn = this.addPage(index, KIND_SHMEM);
    if (pfn !== 0) return pfn;
    this.unreserve(1);
    return PAGE_NOMEM;
  }

  /** What `bringInHuge` and collapse take and give back besides: a page leaves the cache whose contents are in another frame. */
  replacePage(index: number, pfn: Pfn): void {
    const { frames } = this.memory;
    const old = this.pages.remove(index);
    if (old !== 0) {
      frames.owner[old] = null;
      frames.put(old);
    }
    frames.owner[pfn] = this;
    frames.index[pfn] = index;
    this.pages.set(index, pfn);
  }

  protected override readable(index: number): Pfn | number {
    return this.#swapped.has(index) ? this.swapIn(index) : this.pages.get(index);
  }

  protected override writable(index: number, _whole: boolean, writeEnd: number): Pfn | number {
    if (this.pages.get(index) === 0) bringInHuge(this, index, null, writeEnd);
    const cached = this.pages.get(index);
    if (cached === 0) return this.bringIn(index);
    this.huge.markDirty(index);
    return cached;
  }

  protected override dropPage(index: number): void {
    super.dropPage(index);
    this.huge.forget(index);
    this.#giveBack();
  }
  /** A page does not count any more. */
  #giveBack(): void {
    if (this.#accounting === "pages") this.memory.uncommit(1);
    this.#quota?.uncharge(1);
  }

  protected override removePages(first: number, end: number): number {
    this.huge.leaving(first, end);
    const removed = super.removePages(first, end);
    if (this.#swapped.size === 0) return removed;
    const gone = [...this.#swapped].filter(([index]) => index >= first && index < end);
    for (const [index, slot] of gone) {
      this.#swapped.delete(index);
      this.memory.swap!.put(slot);
      this.#giveBack();
    }
    return removed + gone.length;
  }

  protected override zeroPart(start: number, end: number): void {
    const index = Math.floor(start / PAGE_SIZE);
    const slot = start < end ? this.#swapped.get(index) : undefined;
    if (slot === undefined) super.zeroPart(start, end);
    else this.memory.swap!.zero(slot, start - index * PAGE_SIZE, end - start);
  }

  override allocate(start: number, end: number): number {
    const made: number[] = [];
    for (let index = Math.floor(start / PAGE_SIZE); index * PAGE_SIZE < end; index++) {
      if (this.pages.get(index) === 0 && this.huge.allocate(index, end)) {
        const first = index - (index % BLOCK_FRAMES);
        made.push(first);
        index = first + BLOCK_FRAMES - 1;
        continue;
      }
      const cached = this.pages.get(index);
      if (cached !== 0) {
        // Made by an earlier fallocate: initialised now (shmem_get_folio, SGP_FALLOC).
        const { flags } = this.memory.frames;
        flags[cached] = (flags[cached] & ~FRAME_FALLOCATED) | FRAME_DIRTY;
        continue;
      }
      if (this.#swapped.has(index)) continue;
      const pfn = this.bringIn(index);
      if (pfn < 0) {
        // All or nothing, as shmem_fallocate undoes. Some may be in swap by now: the allocations after them reclaim.
        for (const back of made) this.removePages(back, back + (this.huge.has(back) ? BLOCK_FRAMES : 1));
        return pageError(pfn);
      }
      this.memory.frames.flags[pfn] |= FRAME_FALLOCATED | FRAME_DIRTY;
      made.push(index);
    }
    return 0;
  }

  /** Nothing to write to. */
  override sync(): number {
    return 0;
  }

  override release(): void {
    super.release();
    this.memory.objects.delete(this);
  }
}
