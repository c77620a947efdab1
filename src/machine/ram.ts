// Guest RAM: frames inside the machine's one WebAssembly.Memory, and every store into them that is not the guest's own.
// Owns the views on that memory. mm and everything above read frames through it and write them through it, so that code decoded from
// a frame is invalidated when the frame changes.
import { PAGE_SHIFT, PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";

/** Where guest RAM lies: bytes, both multiples of 4096. */
export interface RamExtent {
  readonly start: number;
  readonly size: number;
}

export class Ram {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  /** The first frame of guest RAM, and the one past the last. */
  readonly firstPfn: Pfn;
  readonly endPfn: Pfn;
  /** Called with a frame that holds decoded code before the kernel stores into it; set by the engine. */
  onCodeWrite: (pfn: Pfn) => void = () => {};
  /** One byte a frame of the whole memory: 1 where code was decoded from it. Indexed by Pfn; written by the engine. */
  readonly hasCode: Uint8Array;

  /** `memory` must already be as large as it will ever be: growing it would detach the views. */
  constructor(memory: WebAssembly.Memory, extent: RamExtent, hasCode: Uint8Array) {
    this.memory = memory;
    this.u8 = new Uint8Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.u64 = new BigUint64Array(memory.buffer);
    this.firstPfn = asPfn(extent.start >>> PAGE_SHIFT);
    this.endPfn = asPfn((extent.start + extent.size) / PAGE_SIZE);
    this.hasCode = hasCode;
  }

  /** Number of frames. */
  get frameCount(): number {
    return this.endPfn - this.firstPfn;
  }

  /** Entry `index` (0 to 511) of a page table: its low 32 bits, unsigned. */
  readPte(table: Pfn, index: number): number {
    return this.u32[(table << 10) + 2 * index];
  }

  /** Stores an entry of a page table. TLBs are not told: that is mm/shootdown's business. */
  writePte(table: Pfn, index: number, pte: number): void {
    this.u32[(table << 10) + 2 * index] = pte;
  }

  /** A live view of `length` bytes at `offset` (0 to 4095) of a frame, for reading only. */
  bytes(pfn: Pfn, offset = 0, length = PAGE_SIZE - offset): Uint8Array {
    const start = pfn * PAGE_SIZE + offset;
    return this.u8.subarray(start, start + length);
  }

  /** Copies `data` into a frame at `offset`; `offset + data.length` <= 4096. */
  write(pfn: Pfn, offset: number, data: Uint8Array): void {
    this.willStore(pfn);
    this.u8.set(data, pfn * PAGE_SIZE + offset);
  }

  /** Fills a part of a frame with one byte. */
  fill(pfn: Pfn, value: number, offset = 0, length = PAGE_SIZE - offset): void {
    this.willStore(pfn);
    const start = pfn * PAGE_SIZE + offset;
    this.u8.fill(value, start, start + length);
  }

  zero(pfn: Pfn): void {
    this.fill(pfn, 0);
  }

  /** Copies a whole frame. */
  copy(to: Pfn, from: Pfn): void {
    this.willStore(to);
    const start = from * PAGE_SIZE;
    this.u8.copyWithin(to * PAGE_SIZE, start, start + PAGE_SIZE);
  }

  /** To be called before any other kernel store into a frame that user space can execute from. */
  willStore(pfn: Pfn): void {
    if (this.hasCode[pfn] !== 0) this.onCodeWrite(pfn);
  }
}
