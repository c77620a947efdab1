// Which pages of an object somebody has mapped: a sparse bitmap by 2 MiB of the object. What shared tables would hold is counted from it.

const PAGES_PER_SLOT = 512;
const WORDS = PAGES_PER_SLOT / 32;

/** Tables that one set of page tables for the object needs, by level, and its pages. */
export interface Extent {
  /** Pages that are mapped by at least one process. */
  readonly pages: number;
  /** 2 MiB, 1 GiB and 512 GiB parts of the object with at least one such page: tables of level 0, 1 and 2. */
  readonly tables: readonly [number, number, number];
}

export class PageSet {
  readonly #slots = new Map<number, Uint32Array>();
  #lastKey = -1;
  #last: Uint32Array | undefined = undefined;
  #pages = 0;

  /** Page `index` of the object is mapped. */
  add(index: number): void {
    const key = Math.floor(index / PAGES_PER_SLOT);
    if (key !== this.#lastKey) {
      this.#lastKey = key;
      this.#last = this.#slots.get(key);
      if (this.#last === undefined) this.#slots.set(key, (this.#last = new Uint32Array(WORDS)));
    }
    const bit = index % PAGES_PER_SLOT;
    const words = this.#last!;
    const mask = 1 << (bit & 31);
    if ((words[bit >> 5] & mask) !== 0) return;
    words[bit >> 5] |= mask;
    this.#pages++;
  }

  get extent(): Extent {
    const gibs = new Set<number>();
    const roots = new Set<number>();
    for (const key of this.#slots.keys()) {
      gibs.add(Math.floor(key / 512));
      roots.add(Math.floor(key / 262144));
    }
    return { pages: this.#pages, tables: [this.#slots.size, gibs.size, roots.size] };
  }
}
