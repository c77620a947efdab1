// Physical frames: who holds each one, and the free lists. One object per machine, owned by MemoryManager. mm allocates and frees here;
// mshare counts links to page tables here; everybody above only reads the counts.
//
// Free frames are kept by 2 MiB block: order-0 requests are served from blocks that are already broken, so that whole blocks stay whole for
// huge pages. While more than half of the blocks are whole, each table of private pages has one for itself, its home, so that pages that follow each
// other have frames that do (machine/extents.ts makes use of that). All operations are O(1), but for finding a home.
import { type Pfn, asPfn } from "../base/numbers.ts";
import type { Ram } from "../machine/ram.ts";
import type { AnonVma } from "./anon-vma.ts";
import type { MemoryObject } from "./object.ts";

// What a frame is used for.
export const KIND_FREE = 0;
/** Private memory: a page that belongs to an AnonVma. */
export const KIND_ANON = 1;
/** Page cache of a file; of shared anonymous memory, memfd or tmpfs. */
export const KIND_FILE = 2;
export const KIND_SHMEM = 3;
/** A page table. Its reference count is its share count: the entries that point to it (a root: the mm). */
export const KIND_TABLE = 4;
/** Part of a hugetlb page. */
export const KIND_HUGETLB = 5;
/** The shared zero page. */
export const KIND_ZERO = 6;
export const KINDS = 7;

// Flags of a frame in use.
/** Modified since it was last written to its file. */
export const FRAME_DIRTY = 1;
/** PageAnonExclusive: only one mm can reach this private page; it may be made writable without a copy. */
export const FRAME_EXCLUSIVE = 2;
/** MADV_FREE: contents may be dropped when memory is short, unless written again. */
export const FRAME_LAZYFREE = 4;
/** A page that fallocate made and nobody has used: it is there, but not "in core" for mincore and fault-around (not PG_uptodate). */
export const FRAME_FALLOCATED = 8;

const BLOCK_SHIFT = 9;
/** Frames of a 2 MiB block. */
export const BLOCK_FRAMES = 1 << BLOCK_SHIFT;
const NONE = -1;
/** Entries on either side in which a table looks for one that has a home. */
const NEAR_TABLES = 64;
/** Homes without neighbours are so many blocks apart. */
const HOME_DISTANCE = 8;

export class FrameAllocator {
  readonly ram: Ram;
  /** References: one for each page-table entry that maps the frame, one for the page cache that holds it; tables: share count. */
  readonly refcount: Int32Array;
  /** Leaf entries that map the frame; a huge leaf counts for each of its 512. */
  readonly mapcount: Int32Array;
  /** By 2 MiB block: the huge leaves that map it. And by kind: the blocks that some huge leaf maps. */
  readonly leaves: Int32Array;
  readonly hugeMapped = new Int32Array(KINDS);
  /** Huge pages in shmem objects (ShmemHugePages), mapped or not. Kept by object.ts. */
  shmemHuge = 0;
  readonly kind: Uint8Array;
  readonly flags: Uint8Array;
  /** The memory group that pays for the frame (memcg.ts); 0: the root. */
  readonly group: Uint16Array;
  /** Told when a frame that a group pays for is freed. */
  uncharge: (group: number, kind: number) => void = () => undefined;
  /** rmap: who can find the mappings of this page (folio->mapping), and the page's index there. */
  readonly owner: (AnonVma | MemoryObject | null)[];
  readonly index: Float64Array;
  /** Frames in use by kind. */
  readonly used = new Int32Array(KINDS);
  /** The most that `used` has been, by kind. */
  readonly peak = new Int32Array(KINDS);
  /** Counters of vmstat: frames ever allocated and freed. */
  allocated = 0;
  freed = 0;
  /** Fill freed frames with a pattern, so that a use after free shows (on with verify). */
  poison = false;
  /** The last reference to a hugetlb page is gone, which is its first frame's: it goes back to its pool. hugetlb.ts sets it. */
  onHugetlbFree: (pfn: Pfn) => void = () => {};

  #recount: { readonly references: Int32Array; readonly mappings: Int32Array } | null = null;
  #next: Int32Array;
  #prev: Int32Array;
  #blockHead: Int32Array;
  #blockFree: Uint16Array;
  /** By 2 MiB block: whether it has been taken whole before, or a frame of it has; 2 if so more than once. */
  #blockUses: Uint8Array;
  #blockNext: Int32Array;
  #blockPrev: Int32Array;
  #broken = NONE;
  #whole = NONE;
  /** Whole blocks, now and at first. */
  #wholeCount = 0;
  readonly #blocks: number;
  /** Homes that have free frames. */
  #homes = NONE;
  /** By page table: the block that is its home, plus one. By block: the page table whose home it is. 0: none. */
  readonly #homeOf: Int32Array;
  readonly #tableOf: Int32Array;
  #free = 0;

  constructor(ram: Ram) {
    const end = ram.endPfn;
    this.ram = ram;
    this.refcount = new Int32Array(end);
    this.mapcount = new Int32Array(end);
    this.leaves = new Int32Array((end + BLOCK_FRAMES - 1) >> BLOCK_SHIFT);
    this.kind = new Uint8Array(end);
    this.flags = new Uint8Array(end);
    this.group = new Uint16Array(end);
    this.owner = new Array<AnonVma | MemoryObject | null>(end).fill(null);
    this.index = new Float64Array(end);
    this.#next = new Int32Array(end);
    this.#prev = new Int32Array(end);
    this.#homeOf = new Int32Array(end);
    this.#tableOf = new Int32Array((end + BLOCK_FRAMES - 1) >> BLOCK_SHIFT);
    const blocks = (end + BLOCK_FRAMES - 1) >> BLOCK_SHIFT;
    this.#blockHead = new Int32Array(blocks).fill(NONE);
    this.#blockFree = new Uint16Array(blocks);
    this.#blockUses = new Uint8Array(blocks);
    this.#blockNext = new Int32Array(blocks).fill(NONE);
    this.#blockPrev = new Int32Array(blocks).fill(NONE);
    this.#insertAll(Math.max(1, ram.firstPfn), end);
    this.#blocks = this.#wholeCount;
  }

  /** Frees [first, end), highest first, so that low frames are handed out first. Whole blocks get their lists when they are first needed. */
  #insertAll(first: number, end: number): void {
    const whole = (first + BLOCK_FRAMES - 1) >> BLOCK_SHIFT;
    const wholeEnd = Math.max(whole, end >> BLOCK_SHIFT);
    for (let pfn = end - 1; pfn >= Math.max(first, wholeEnd << BLOCK_SHIFT); pfn--) this.#insert(pfn);
    for (let block = wholeEnd - 1; block >= whole; block--) this.#whole = this.#link(block, this.#whole);
    this.#wholeCount = wholeEnd - whole;
    this.#blockFree.fill(BLOCK_FRAMES, whole, wholeEnd);
    this.#free += (wholeEnd - whole) << BLOCK_SHIFT;
    for (let pfn = Math.min(end, whole << BLOCK_SHIFT) - 1; pfn >= first; pfn--) this.#insert(pfn);
  }

  /** The list of the frames of a block that is broken for the first time. */
  #listFrames(block: number): void {
    const first = block << BLOCK_SHIFT;
    const last = first + BLOCK_FRAMES - 1;
    for (let pfn = first; pfn < last; pfn++) {
      this.#next[pfn] = pfn + 1;
      this.#prev[pfn + 1] = pfn;
    }
    this.#prev[first] = NONE;
    this.#next[last] = NONE;
    this.#blockHead[block] = first;
  }

  /** Room for verify() to count in, kept because it counts so often. */
  get recount(): { readonly references: Int32Array; readonly mappings: Int32Array } {
    const frames = this.refcount.length;
    this.#recount ??= { references: new Int32Array(frames), mappings: new Int32Array(frames) };
    return this.#recount;
  }

  /** Free frames. */
  get free(): number {
    return this.#free;
  }

  /** All frames, in use or not. */
  get total(): number {
    return this.ram.endPfn - Math.max(1, this.ram.firstPfn);
  }

  /**
   * Takes a frame with one reference; its contents are whatever they were. Returns 0 if none is free. `wanted`: that one, if it is free and its block is not
   * a whole one.
   */
  allocate(kind: number, wanted = 0): Pfn {
    if (wanted !== 0 && this.kind[wanted] === KIND_FREE && !this.#isWhole(wanted >> BLOCK_SHIFT))
      return this.#take(wanted, kind);
    const block = this.#blockForOne();
    return block === NONE ? asPfn(0) : this.#take(this.#blockHead[block], kind);
  }

  /** A block to take one frame of: a broken one; else a whole one, which breaks, or one that is a home. */
  #blockForOne(): number {
    if (this.#broken !== NONE) return this.#broken;
    const block = this.#whole;
    if (block === NONE || (this.#isScarce && this.#homes !== NONE)) return this.#homes;
    this.#break(block);
    this.#broken = this.#link(block, this.#broken);
    return block;
  }

  #isWhole(block: number): boolean {
    return this.#blockFree[block] === BLOCK_FRAMES && this.#tableOf[block] === 0;
  }

  /** Whether whole blocks are to be kept: no more than half of all blocks are. */
  get #isScarce(): boolean {
    return 2 * this.#wholeCount <= this.#blocks;
  }

  #takeWhole(block: number): void {
    this.#whole = this.#unlink(block, this.#whole);
    this.#wholeCount--;
  }

  #break(block: number): void {
    this.#takeWhole(block);
    if (this.#blockUses[block] === 0) this.#listFrames(block);
    this.#blockUses[block] = 2;
  }

  /** Takes a free frame of a block that is not whole. */
  #take(pfn: number, kind: number): Pfn {
    const block = pfn >> BLOCK_SHIFT;
    const [next, prev] = [this.#next[pfn], this.#prev[pfn]];
    if (prev === NONE) this.#blockHead[block] = next;
    else this.#next[prev] = next;
    if (next !== NONE) this.#prev[next] = prev;
    if (--this.#blockFree[block] === 0) this.#leaveList(block);
    this.#free--;
    this.allocated++;
    this.kind[pfn] = kind;
    this.refcount[pfn] = 1;
    if (++this.used[kind] > this.peak[kind]) this.peak[kind] = this.used[kind];
    return pfn as Pfn;
  }

  /** Takes a block out of the list of homes or of broken ones; it is no home any more. */
  #leaveList(block: number): void {
    if (this.#tableOf[block] === 0) this.#broken = this.#unlink(block, this.#broken);
    else this.#homes = this.#unlink(block, this.#homes);
    this.#tableOf[block] = 0;
  }

  /** The frame of its home that a page table wants for entry `index`; 0 if it has no home. */
  homeFrame(table: Pfn, index: number): number {
    const home = this.#homeOf[table];
    return home === 0 || this.#isWhole(home - 1) ? 0 : ((home - 1) << BLOCK_SHIFT) + index;
  }

  /**
   * Gives a page table a home, unless whole blocks are scarce. `word`: where in `ram.u32` the entry above it is: next to the home of a table near it, if
   * that can be. `tables`: so many in a row are likely to want one; there is room for theirs then.
   */
  giveHome(table: Pfn, word: number, tables: number): void {
    if (this.#isScarce) return;
    const block = this.#homeNear(word) ?? this.#homeFor(tables);
    this.#break(block);
    this.#homes = this.#link(block, this.#homes);
    this.#tableOf[block] = table;
    this.#homeOf[table] = block + 1;
  }

  /** The block as far from the home of the nearest table that has one as their entries are from each other; undefined if it is not whole. */
  #homeNear(word: number): number | undefined {
    const { u32 } = this.ram;
    const index = (word >>> 1) & 511;
    for (let distance = 1; distance <= NEAR_TABLES; distance++) {
      for (const d of [-distance, distance]) {
        const home = index + d < 0 || index + d > 511 ? 0 : this.#homeOf[u32[word + 2 * d] >>> 10];
        if (home !== 0) return this.#isWhole(home - 1 - d) ? home - 1 - d : undefined;
      }
    }
    return undefined;
  }

  /** The first of so many whole blocks in a row, at a distance from other homes that lets these have neighbours; any whole one if there are none. */
  #homeFor(tables: number): number {
    const all = this.#blockFree.length;
    for (let first = 0; first + tables <= all; first += HOME_DISTANCE) {
      let count = 0;
      while (count < tables && this.#isWhole(first + count)) count++;
      if (count === tables) return first;
    }
    return this.#whole;
  }

  /** The table is freed: what is left of its home is for everybody. */
  #forgetHome(table: Pfn): void {
    const block = this.#homeOf[table] - 1;
    this.#homeOf[table] = 0;
    if (this.#tableOf[block] !== table) return;
    this.#leaveList(block);
    this.#join(block);
  }

  /** Puts a block with free frames where it belongs. */
  #join(block: number): void {
    if (this.#blockFree[block] < BLOCK_FRAMES) {
      this.#broken = this.#link(block, this.#broken);
    } else {
      this.#whole = this.#link(block, this.#whole);
      this.#wholeCount++;
    }
  }

  /**
   * Takes a whole 2 MiB block: 512 contiguous frames from one that is a multiple of 512, each with one reference of its own; contents are whatever
   * they were. Returns the first, or 0 if no block is free as a whole. They may be freed one by one.
   */
  allocateBlock(kind: number): Pfn {
    const block = this.#whole;
    if (block === NONE) return asPfn(0);
    this.#takeWhole(block);
    const first = block << BLOCK_SHIFT;
    this.#blockUses[block] = 2;
    this.#blockHead[block] = NONE;
    this.#blockFree[block] = 0;
    this.#free -= BLOCK_FRAMES;
    this.allocated += BLOCK_FRAMES;
    this.kind.fill(kind, first, first + BLOCK_FRAMES);
    this.refcount.fill(1, first, first + BLOCK_FRAMES);
    this.used[kind] += BLOCK_FRAMES;
    if (this.used[kind] > this.peak[kind]) this.peak[kind] = this.used[kind];
    return asPfn(first);
  }

  /**
   * Takes 2^order contiguous frames (order 9 or more) from a frame that is a multiple of as many, without a reference: the caller keeps count of the first
   * one for all. Returns the first, or 0 if nowhere so many are free together. `freeContiguous` gives them back.
   */
  allocateContiguous(order: number, kind: number): Pfn {
    const blocks = 1 << (order - BLOCK_SHIFT);
    const block = blocks === 1 ? this.#whole : this.#findRun(blocks);
    if (block === NONE) return asPfn(0);
    for (let i = block; i < block + blocks; i++) {
      this.#takeWhole(i);
      this.#blockHead[i] = NONE;
      this.#blockFree[i] = 0;
      this.#blockUses[i] = Math.min(2, this.#blockUses[i] + 1);
    }
    const first = block << BLOCK_SHIFT;
    const count = 1 << order;
    this.#free -= count;
    this.allocated += count;
    this.kind.fill(kind, first, first + count);
    this.used[kind] += count;
    if (this.used[kind] > this.peak[kind]) this.peak[kind] = this.used[kind];
    return asPfn(first);
  }

  /** Whether what `allocateContiguous` has just given was never anybody's before: it is all zeros, and the host need not have memory for it yet. */
  isFresh(first: Pfn, order: number): boolean {
    const block = first >> BLOCK_SHIFT;
    return this.#blockUses.subarray(block, block + (1 << (order - BLOCK_SHIFT))).every((uses) => uses === 1);
  }

  /** Frees what `allocateContiguous` gave; nothing maps it. */
  freeContiguous(first: Pfn, order: number): void {
    for (let pfn = first + (1 << order) - 1; pfn >= first; pfn--) this.#freeFrame(asPfn(pfn));
  }

  /** The first of `blocks` whole blocks in a row, a multiple of `blocks`, or NONE. */
  #findRun(blocks: number): number {
    for (let first = 0; first + blocks <= this.#blockFree.length; first += blocks) {
      let count = 0;
      while (count < blocks && this.#blockFree[first + count] === BLOCK_FRAMES) count++;
      if (count === blocks) return first;
    }
    return NONE;
  }

  /** A huge leaf that maps the block from `pfn` comes (1) or goes (-1). The frames are in use. */
  countLeaf(pfn: Pfn, change: 1 | -1): void {
    const count = (this.leaves[pfn >> BLOCK_SHIFT] += change);
    if (count === (change > 0 ? 1 : 0)) this.hugeMapped[this.kind[pfn]] += change;
  }

  /** Drops one reference; the last one frees the frame. */
  put(pfn: Pfn): void {
    if (--this.refcount[pfn] === 0) this.#release(pfn);
    else if (this.refcount[pfn] < 0)
      throw new Error(`frame ${pfn}: reference count below zero (kind ${this.kind[pfn]})`);
  }

  #release(pfn: Pfn): void {
    if (this.mapcount[pfn] !== 0)
      throw new Error(`frame ${pfn} freed while mapped ${this.mapcount[pfn]} times (kind ${this.kind[pfn]})`);
    if (this.kind[pfn] === KIND_HUGETLB) this.onHugetlbFree(pfn);
    else this.#freeFrame(pfn);
  }

  #freeFrame(pfn: Pfn): void {
    if (this.poison) this.ram.fill(pfn, 0xa5);
    const group = this.group[pfn];
    if (group !== 0) {
      this.group[pfn] = 0;
      this.uncharge(group, this.kind[pfn]);
    }
    this.used[this.kind[pfn]]--;
    if (this.#homeOf[pfn] !== 0) this.#forgetHome(pfn);
    this.kind[pfn] = KIND_FREE;
    this.flags[pfn] = 0;
    this.owner[pfn] = null;
    this.freed++;
    this.#insert(pfn);
  }

  #insert(pfn: number): void {
    const block = pfn >> BLOCK_SHIFT;
    const head = this.#blockHead[block];
    this.#next[pfn] = head;
    this.#prev[pfn] = NONE;
    if (head !== NONE) this.#prev[head] = pfn;
    this.#blockHead[block] = pfn;
    this.#free++;
    const free = ++this.#blockFree[block];
    if (free === 1) this.#broken = this.#link(block, this.#broken);
    if (free === BLOCK_FRAMES) {
      this.#leaveList(block);
      this.#join(block);
    }
  }

  /** Puts a block at the front of a list; returns the list's new head. */
  #link(block: number, head: number): number {
    this.#blockNext[block] = head;
    this.#blockPrev[block] = NONE;
    if (head !== NONE) this.#blockPrev[head] = block;
    return block;
  }

  /** Takes a block out of a list; returns the list's new head. */
  #unlink(block: number, head: number): number {
    const next = this.#blockNext[block];
    const prev = this.#blockPrev[block];
    if (next !== NONE) this.#blockPrev[next] = prev;
    if (prev !== NONE) this.#blockNext[prev] = next;
    return head === block ? next : head;
  }
}
