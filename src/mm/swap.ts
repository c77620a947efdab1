// Swap: slots of a page each, and the page-table entries that stand for pages which are there. A slot counts the entries (or the one object) that refer to it and
// is free with the last. Owned by MemoryManager; filled by reclaim.ts, emptied by faults, unmapping and swapoff.
//
// An entry for a swapped page is not present and not zero: bit 8 marks it, the slot's number is where a frame's would be.
import { PAGE_SIZE } from "../base/numbers.ts";
import { PTE_SOFT0 } from "../machine/pte.ts";
import { PTE_PRESENT } from "./page-table.ts";

/** Slots are numbered from 1 and fit where frame numbers do. */
export const MAX_SWAP_PAGES = 2 ** 22 - 1;
/** Pages stored together: memory of the host is taken by these. */
const CHUNK_PAGES = 256;

export const makeSwapPte = (slot: number): number => ((slot << 10) | PTE_SOFT0) >>> 0;
export const isSwapPte = (pte: number): boolean => (pte & (PTE_PRESENT | PTE_SOFT0)) === PTE_SOFT0;
export const swapSlot = (pte: number): number => pte >>> 10;

/** A swap area. Its contents live outside of guest RAM, as on a disk. */
export class SwapArea {
  /** As /proc/swaps shows it. */
  readonly name: string;
  readonly pages: number;
  readonly priority: number;
  /** The memory group that pays for each slot; 0: the root. */
  readonly group: Uint16Array;
  /** Told when a slot that a group pays for is free. */
  uncharge: (group: number) => void = () => undefined;
  readonly #counts: Uint32Array;
  readonly #chunks: (Uint8Array | undefined)[] = [];
  readonly #freed: number[] = [];
  /** Takes nothing in any more: swapoff is under way. */
  closed = false;
  #fresh = 1;
  #used = 0;

  /** `pages`: 1 to MAX_SWAP_PAGES. */
  constructor(name: string, pages: number, priority = -2) {
    if (!(pages >= 1 && pages <= MAX_SWAP_PAGES))
      throw new RangeError(`swap of ${pages} pages: 1 to ${MAX_SWAP_PAGES} are possible`);
    this.name = name;
    this.pages = pages;
    this.priority = priority;
    this.#counts = new Uint32Array(pages + 1);
    this.group = new Uint16Array(pages + 1);
  }

  /** Slots in use. */
  get used(): number {
    return this.#used;
  }

  /** A slot with one reference that holds `data` (a page); 0 if all are in use. */
  store(data: Uint8Array): number {
    if (this.closed) return 0;
    const slot = this.#freed.pop() ?? (this.#fresh <= this.pages ? this.#fresh++ : 0);
    if (slot === 0) return 0;
    this.#counts[slot] = 1;
    this.#used++;
    const chunk = Math.floor((slot - 1) / CHUNK_PAGES);
    (this.#chunks[chunk] ??= new Uint8Array(CHUNK_PAGES * PAGE_SIZE)).set(data, this.#offset(slot));
    return slot;
  }
  /** Copies what a slot holds. */
  load(slot: number, into: Uint8Array): void {
    const offset = this.#offset(slot);
    into.set(this.#chunks[Math.floor((slot - 1) / CHUNK_PAGES)]!.subarray(offset, offset + PAGE_SIZE));
  }
  /** Makes a part of what a slot holds zero: bytes [offset, offset + length). */
  zero(slot: number, offset: number, length: number): void {
    const start = this.#offset(slot) + offset;
    this.#chunks[Math.floor((slot - 1) / CHUNK_PAGES)]!.fill(0, start, start + length);
  }
  /** One more entry refers to the slot. */
  get(slot: number): void {
    this.#counts[slot]++;
  }
  put(slot: number): void {
    if (this.#counts[slot] === 0) throw new Error(`swap slot ${slot} is put more often than it was got`);
    if (--this.#counts[slot] > 0) return;
    const group = this.group[slot];
    if (group !== 0) {
      this.group[slot] = 0;
      this.uncharge(group);
    }
    this.#used--;
    this.#freed.push(slot);
  }
  /** References to a slot: for verify() and Pss. */
  references(slot: number): number {
    return this.#counts[slot];
  }
  /** Slots in use, for verify(). */
  *inUse(): Generator<number> {
    for (let slot = 1; slot < this.#fresh; slot++) if (this.#counts[slot] > 0) yield slot;
  }

  #offset(slot: number): number {
    return ((slot - 1) % CHUNK_PAGES) * PAGE_SIZE;
  }
}
