// The pages of one object by index: a sparse array of frame numbers (Linux's xarray in address_space). Owned by MemoryObject.
import { type Pfn, asPfn } from "../base/numbers.ts";

const SHIFT = 6;
const CHUNK = 1 << SHIFT;

export class PageMap {
  readonly #chunks = new Map<number, Int32Array>();
  // The chunk used last: faults and copies come in runs.
  #lastKey = -1;
  #last: Int32Array | undefined = undefined;
  #count = 0;

  /** Pages present. */
  get count(): number {
    return this.#count;
  }

  /** The frame of page `index`, or 0. */
  get(index: number): Pfn {
    const key = Math.floor(index / CHUNK);
    const chunk = key === this.#lastKey ? this.#last : this.#chunk(key);
    return (chunk === undefined ? 0 : chunk[index % CHUNK]) as Pfn;
  }

  /** Stores a frame where there was none. */
  set(index: number, pfn: Pfn): void {
    const key = Math.floor(index / CHUNK);
    let chunk = this.#chunk(key);
    if (chunk === undefined) {
      chunk = new Int32Array(CHUNK);
      this.#chunks.set(key, chunk);
      this.#last = chunk;
    }
    if (chunk[index % CHUNK] !== 0) throw new Error(`page ${index} is there already`);
    chunk[index % CHUNK] = pfn;
    this.#count++;
  }

  /** Takes a page out and returns its frame (0 if there was none). */
  remove(index: number): Pfn {
    const chunk = this.#chunk(Math.floor(index / CHUNK));
    if (chunk === undefined) return asPfn(0);
    const pfn = chunk[index % CHUNK];
    if (pfn !== 0) {
      chunk[index % CHUNK] = 0;
      this.#count--;
    }
    return asPfn(pfn);
  }

  /** The indices of pages in [first, end), ascending unless the map is sparse; a snapshot, safe while pages come and go. */
  indices(first = 0, end = Infinity): number[] {
    const found: number[] = [];
    if (this.#count === 0) return found;
    const firstKey = Math.floor(first / CHUNK);
    const lastKey = Math.floor((end - 1) / CHUNK);
    const scan = (key: number, chunk: Int32Array): void => {
      for (let i = 0; i < CHUNK; i++) {
        const index = key * CHUNK + i;
        if (chunk[i] !== 0 && index >= first && index < end) found.push(index);
      }
    };
    if (lastKey - firstKey < this.#chunks.size) {
      for (let key = firstKey; key <= lastKey; key++) {
        const chunk = this.#chunks.get(key);
        if (chunk !== undefined) scan(key, chunk);
      }
    } else {
      for (const [key, chunk] of this.#chunks) if (key >= firstKey && key <= lastKey) scan(key, chunk);
      found.sort((a, b) => a - b);
    }
    return found;
  }

  /** Forgets chunks when nothing is left. */
  trim(): void {
    if (this.#count !== 0) return;
    this.#chunks.clear();
    this.#lastKey = -1;
    this.#last = undefined;
  }

  #chunk(key: number): Int32Array | undefined {
    if (key !== this.#lastKey) {
      this.#lastKey = key;
      this.#last = this.#chunks.get(key);
    }
    return this.#last;
  }
}
