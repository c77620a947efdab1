// What a pipe holds: pages in a fixed number of slots, as Linux counts them (fs/pipe.c). A slot stays taken until its last byte is read; a small write
// joins the last page if it fits there whole; packets (O_DIRECT) keep their boundaries. Used by pipe.ts and the splice calls.

import { PAGE_SIZE } from "../../base/numbers.ts";

/** One slot: bytes [start, end) of a page. */
interface Buffer {
  readonly page: Uint8Array;
  start: number;
  end: number;
  readonly packet: boolean;
}

const NONE = new Uint8Array(0);

export class PipeBuffers {
  /** Pages that it may hold. */
  slots: number;
  readonly #buffers: Buffer[] = [];
  #length = 0;
  /** A page that was given back, for the next write. */
  #spare: Uint8Array | null = null;

  constructor(slots: number) {
    this.slots = slots;
  }
  /** Bytes. */
  get length(): number {
    return this.#length;
  }
  /** Slots taken. */
  get used(): number {
    return this.#buffers.length;
  }
  get full(): boolean {
    return this.#buffers.length >= this.slots;
  }
  /** Capacity in bytes. */
  get capacity(): number {
    return this.slots * PAGE_SIZE;
  }
  /** Bytes that whole new pages have room for. */
  get free(): number {
    return Math.max(0, this.slots - this.#buffers.length) * PAGE_SIZE;
  }

  /**
   * Takes as much of `data` as fits: bytes taken. What is no multiple of a page joins the last page, if it fits; the rest takes new pages. So
   * PAGE_SIZE bytes (PIPE_BUF) and less go in whole or not at all.
   */
  push(data: Uint8Array, options: { packet: boolean } = { packet: false }): number {
    let done = 0;
    const odd = data.length % PAGE_SIZE;
    const last = this.#buffers.at(-1);
    if (odd > 0 && last && !last.packet && !options.packet && last.end + odd <= PAGE_SIZE) {
      last.page.set(odd === data.length ? data : data.subarray(0, odd), last.end);
      last.end += odd;
      done = odd;
    }
    while (done < data.length && this.#buffers.length < this.slots) {
      const count = Math.min(PAGE_SIZE, data.length - done);
      const page = this.#spare ?? new Uint8Array(PAGE_SIZE);
      this.#spare = null;
      page.set(count === data.length ? data : data.subarray(done, done + count));
      this.#buffers.push({ page, start: 0, end: count, packet: options.packet });
      done += count;
    }
    this.#length += done;
    return done;
  }

  /** The next bytes, at most `length`, up to the end of a packet. They stay. */
  peek(length: number): Uint8Array {
    const first = this.#buffers[0];
    if (first === undefined) return NONE;
    if (first.packet || first.end - first.start >= length || this.#buffers.length === 1) {
      return first.page.subarray(first.start, Math.min(first.end, first.start + length));
    }
    const out = new Uint8Array(Math.min(length, this.#length));
    let at = 0;
    for (const { page, start, end, packet } of this.#buffers) {
      if (packet || at === out.length) break;
      const part = page.subarray(start, Math.min(end, start + out.length - at));
      out.set(part, at);
      at += part.length;
    }
    return out.subarray(0, at);
  }
  /** Lets the next `n` bytes go; of a packet, what is left of it too. */
  skip(n: number): void {
    let left = n;
    while (left > 0) {
      const first = this.#buffers[0]!;
      const held = first.end - first.start;
      if (held > left && !first.packet) {
        first.start += left;
        this.#length -= left;
        return;
      }
      this.#length -= held;
      left -= Math.min(left, held);
      this.#buffers.shift();
      this.#spare = first.page;
    }
  }
  /** peek and skip. The bytes are valid until the next push. */
  take(length: number): Uint8Array {
    const data = this.peek(length);
    this.skip(data.length);
    return data;
  }
  /** Puts bytes back in front that were taken and not wanted. */
  unread(data: Uint8Array): void {
    for (let end = data.length; end > 0; end -= PAGE_SIZE) {
      const start = Math.max(0, end - PAGE_SIZE);
      const page = new Uint8Array(PAGE_SIZE);
      page.set(data.subarray(start, end));
      this.#buffers.unshift({ page, start: 0, end: end - start, packet: false });
    }
    this.#length += data.length;
  }
  clear(): void {
    this.#buffers.length = 0;
    this.#length = 0;
  }
}
