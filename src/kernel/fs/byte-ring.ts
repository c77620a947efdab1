// A growing ring of bytes with a capacity: what waits in one direction of a terminal. Used by pty.ts.

import { PAGE_SIZE } from "../../base/numbers.ts";

/** A growing ring of bytes with a capacity. */
export class ByteRing {
  capacity: number;
  #data = new Uint8Array(PAGE_SIZE);
  #head = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }
  get length(): number {
    return this.#length;
  }
  get free(): number {
    return this.capacity - this.#length;
  }
  /** Takes as much of `data` as fits: bytes taken. */
  push(data: Uint8Array): number {
    const n = Math.min(data.length, this.free);
    this.#reserve(this.#length + n);
    const ring = this.#data;
    const at = (this.#head + this.#length) & (ring.length - 1);
    const first = Math.min(n, ring.length - at);
    ring.set(first === data.length ? data : data.subarray(0, first), at);
    if (n > first) ring.set(data.subarray(first, n), 0);
    this.#length += n;
    return n;
  }
  /** The next bytes, at most `length`: a view where they lie in one piece. They stay until skip(). */
  peek(length: number): Uint8Array {
    const n = Math.min(length, this.#length);
    const ring = this.#data;
    if (this.#head + n <= ring.length) return ring.subarray(this.#head, this.#head + n);
    const out = new Uint8Array(n);
    const first = ring.length - this.#head;
    out.set(ring.subarray(this.#head));
    out.set(ring.subarray(0, n - first), first);
    return out;
  }
  skip(n: number): void {
    this.#length -= n;
    this.#head = this.#length === 0 ? 0 : (this.#head + n) & (this.#data.length - 1);
  }
  /** Puts bytes back in front. */
  unshift(data: Uint8Array): void {
    const rest = this.peek(this.#length).slice();
    const kept = data.slice();
    this.#head = this.#length = 0;
    const capacity = this.capacity;
    this.capacity = Math.max(capacity, kept.length + rest.length);
    this.push(kept);
    this.push(rest);
    this.capacity = capacity;
  }
  clear(): void {
    this.#head = this.#length = 0;
  }
  #reserve(length: number): void {
    if (length <= this.#data.length) return;
    let size = this.#data.length;
    while (size < length) size *= 2;
    const old = this.peek(this.#length);
    const bigger = new Uint8Array(size);
    bigger.set(old);
    this.#data = bigger;
    this.#head = 0;
  }
}
