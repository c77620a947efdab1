// Huge pages of shmem objects: 512 pages brought in at once, in one block of frames (mm/shmem.c: shmem_alloc_and_add_folio). Called by fault.ts ahead of
// single pages, by object.ts for write and fallocate, by collapse.ts.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { BLOCK_FRAMES, FRAME_DIRTY, FRAME_FALLOCATED, KIND_SHMEM } from "./frame.ts";
import type { ShmemObject } from "./object.ts";
import { unmapMappingRange } from "./rmap.ts";
import { hugeStart } from "./thp.ts";
import type { Vma } from "./vma.ts";

/**
 * If the settings say so, and nothing is there yet of the 2 MiB around page `index`, brings all of it in as one huge page. `vma`: by whose fault, null for
 * write and fallocate; `writeEnd`: where those will end. What cannot be had is left to single pages.
 */
export function bringInHuge(object: ShmemObject, index: number, vma: Vma | null, writeEnd = 0): void {
  const { memory } = object;
  const { thp, stat } = memory;
  if (object.pages.get(index) !== 0 || object.isSwapped(index)) return;
  // A fault beyond the end finds nothing and makes nothing; a write is about to move the end.
  if (vma !== null && index * PAGE_SIZE >= object.size) return;
  if (!thp.allowsShmem(object, index, vma, { writeEnd, force: false })) return;
  if (vma !== null && hugeStart(vma, vma.addressOf(index)) < 0) return;
  const first = index - (index % BLOCK_FRAMES);
  if (!isHole(object, first) || !object.reserve(BLOCK_FRAMES)) return;
  const pfn = memory.allocateBlock(vma === null ? null : vma.mm, KIND_SHMEM);
  if (pfn === 0) {
    object.unreserve(BLOCK_FRAMES);
    stat.thp_file_fallback++;
    return;
  }
  stat.thp_file_alloc++;
  object.huge.add(first, pfn);
}

/** None of the 512 pages from `first` exists, in memory or in swap. */
function isHole(object: ShmemObject, first: number): boolean {
  for (let i = first; i < first + BLOCK_FRAMES; i++) if (object.pages.get(i) !== 0 || object.isSwapped(i)) return false;
  return true;
}

/** Whether page `index` can be mapped with the 2 MiB around it: it is part of a huge page and not beyond the object's end. */
export const isInHugePage = (object: ShmemObject, index: number): boolean =>
  object.huge.has(index) && index * PAGE_SIZE < object.size;

/** The huge pages of one object, by index / 512. A page that leaves its huge page makes 512 single ones of it (split_folio). */
export class HugePages {
  readonly #object: ShmemObject;
  readonly #keys = new Set<number>();

  constructor(object: ShmemObject) {
    this.#object = object;
  }

  get count(): number {
    return this.#keys.size;
  }
  /** The first page of each. */
  get starts(): number[] {
    return [...this.#keys].map((key) => key * BLOCK_FRAMES);
  }
  /** Page `index` is part of one. */
  has(index: number): boolean {
    return this.#keys.size > 0 && this.#keys.has(Math.floor(index / BLOCK_FRAMES));
  }

  /** 512 new pages from `first`, a multiple of 512, in the block of frames from `pfn`, which is zeroed here. They have been reserved. */
  add(first: number, pfn: Pfn): void {
    const object = this.#object;
    for (let i = 0; i < BLOCK_FRAMES; i++) {
      object.memory.ram.zero(asPfn(pfn + i));
      object.replacePage(first + i, asPfn(pfn + i));
    }
    this.#enter(first);
  }
  #enter(first: number): void {
    this.#keys.add(first / BLOCK_FRAMES);
    this.#object.memory.frames.shmemHuge++;
  }

  /**
   * The 512 pages from `first` become one huge page in the block of frames from `pfn`; nobody maps them any more then. False if there is no memory to bring
   * some back from swap, or the holes among them may not be filled: then nothing has changed.
   */
  collapse(first: number, pfn: Pfn): boolean {
    const object = this.#object;
    const { ram, frames } = object.memory;
    for (let index = first; index < first + BLOCK_FRAMES; index++)
      if (object.isSwapped(index) && object.swapIn(index) < 0) return false;
    // Counted only now: bringing pages back may have reclaimed others that were never written.
    const present = object.pages.indices(first, first + BLOCK_FRAMES).length;
    if (!object.reserve(BLOCK_FRAMES - present)) return false;
    unmapMappingRange(object, first, first + BLOCK_FRAMES, "shared only");
    for (let i = 0; i < BLOCK_FRAMES; i++) {
      const to = asPfn(pfn + i);
      const old = object.pages.get(first + i);
      if (old === 0) ram.zero(to);
      else ram.copy(to, old);
      frames.flags[to] = FRAME_DIRTY;
      object.replacePage(first + i, to);
    }
    this.#enter(first);
    return true;
  }

  /** fallocate: a huge page around page `index` that nobody has used yet, if there may be one: whether there is. `end`: in bytes. */
  allocate(index: number, end: number): boolean {
    bringInHuge(this.#object, index, null, end);
    if (this.#object.pages.get(index) === 0) return false;
    this.#mark(index, 0, FRAME_FALLOCATED | FRAME_DIRTY);
    return true;
  }
  /** Somebody uses the huge page that page `index` is in: all of it is "in core". */
  markUsed(index: number): void {
    this.#mark(index, FRAME_FALLOCATED, 0);
  }
  /** Page `index` is about to be written: if it is part of a huge page, that is dirty as a whole. */
  markDirty(index: number): void {
    const { pages, memory } = this.#object;
    if (!this.has(index) || (memory.frames.flags[pages.get(index)] & FRAME_DIRTY) !== 0) return;
    this.#mark(index, FRAME_FALLOCATED, FRAME_DIRTY);
  }
  #mark(index: number, clear: number, set: number): void {
    const { flags } = this.#object.memory.frames;
    const pfn = this.#object.pages.get(index - (index % BLOCK_FRAMES));
    for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) flags[i] = (flags[i] & ~clear) | set;
  }

  /** Page `index` has left the object. */
  forget(index: number): void {
    if (this.has(index) && this.#delete(Math.floor(index / BLOCK_FRAMES))) this.#object.memory.stat.thp_split_page++;
  }
  /** Pages [first, end) are about to leave: those that go whole are not split for it; of others nothing stays mapped (split_folio). */
  leaving(first: number, end: number): void {
    for (const key of [...this.#keys]) {
      const start = key * BLOCK_FRAMES;
      const stop = start + BLOCK_FRAMES;
      if (start >= end || stop <= first) continue;
      this.#delete(key);
      if (start >= first && stop <= end) continue;
      this.#object.memory.stat.thp_split_page++;
      unmapMappingRange(this.#object, start, stop, "shared only");
    }
  }
  #delete(key: number): boolean {
    this.#object.memory.frames.shmemHuge--;
    return this.#keys.delete(key);
  }
}
