// Decoded code: for each frame that is executed, a page of records in the machine's memory (layout.ts), from a bounded pool. Owns them
// and ram.hasCode. A frame with decoded code has no write translation anywhere; whoever is about to write one drops the code first, so
// stale code can never run. Used by mmu.ts and the engines.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { CODE_PAGE_BYTES, type Layout, PAGE_RECORDS_BYTES, RECORD_BYTES } from "./layout.ts";
import type { Ram } from "./ram.ts";
import { encodeRecord, writeCrossing, writePageEnd } from "./record.ts";
import type { Tlb } from "./tlb.ts";

/** Instructions decoded ahead of need. */
const RUN = 32;

export class CodeCache {
  private readonly ram: Ram;
  private readonly tlb: Tlb;
  private readonly layout: Layout;
  /** The code page of each frame plus 1, and the frame of each code page; 0: none. */
  private readonly pageOf: Uint16Array;
  private readonly frames: Int32Array;
  private readonly used: Float64Array;
  private clock = 0;
  private readonly free: number[] = [];
  /** 1 for frames that write translations may have been entered for. */
  private readonly writable: Uint8Array;
  /** Told when a frame's code is dropped (the JIT listens). */
  onDrop: (pfn: Pfn) => void = () => {};

  constructor(ram: Ram, tlb: Tlb, layout: Layout) {
    this.ram = ram;
    this.tlb = tlb;
    this.layout = layout;
    this.pageOf = new Uint16Array(ram.endPfn);
    this.frames = new Int32Array(layout.codePages);
    this.used = new Float64Array(layout.codePages);
    this.writable = new Uint8Array(ram.memory.buffer, layout.writable, ram.endPfn);
    for (let page = layout.codePages - 1; page >= 0; page--) this.free.push(page);
    ram.onCodeWrite = (pfn) => this.drop(pfn);
  }

  address(page: number): number {
    return this.layout.code + page * CODE_PAGE_BYTES;
  }

  /** The frame whose code a page holds; 0 if none. */
  frameOf(page: number): Pfn {
    return asPfn(this.frames[page]);
  }

  /** The code page for a frame that is to be executed; an empty one if it had none. */
  pageFor(pfn: Pfn): number {
    const known = this.pageOf[pfn];
    if (known !== 0) {
      this.used[known - 1] = ++this.clock;
      return known - 1;
    }
    if (this.writable[pfn] !== 0) {
      this.tlb.dropWrites(pfn);
      this.writable[pfn] = 0;
    }
    const page = this.free.pop() ?? this.evict();
    this.ram.hasCode[pfn] = 1;
    this.pageOf[pfn] = page + 1;
    this.frames[page] = pfn;
    this.used[page] = ++this.clock;
    const end = this.address(page) + PAGE_RECORDS_BYTES;
    writePageEnd(this.ram, end);
    writePageEnd(this.ram, end + RECORD_BYTES);
    return page;
  }

  /** Forgets the code decoded from a frame. A hart inside it finds empty records and looks up its pc again. */
  drop(pfn: Pfn): void {
    const page = this.pageOf[pfn] - 1;
    if (page < 0) return;
    this.pageOf[pfn] = 0;
    this.frames[page] = 0;
    this.ram.hasCode[pfn] = 0;
    const start = this.address(page);
    this.ram.u8.fill(0, start, start + CODE_PAGE_BYTES);
    this.tlb.dropCode(page);
    this.free.push(page);
    this.onDrop(pfn);
  }

  /** To be called before a write translation for a frame is entered. */
  willWrite(pfn: Pfn): void {
    if (this.ram.hasCode[pfn] !== 0) this.drop(pfn);
    this.writable[pfn] = 1;
  }

  private evict(): number {
    let oldest = 0;
    for (let page = 1; page < this.layout.codePages; page++) if (this.used[page] < this.used[oldest]) oldest = page;
    this.drop(asPfn(this.frames[oldest]));
    return this.free.pop()!;
  }

  /**
   * Decodes from the empty record at `record` on, up to the end of the straight line. False: the page has no frame any more, so pc must
   * be looked up again.
   */
  fill(record: number): boolean {
    const page = Math.floor((record - this.layout.code) / CODE_PAGE_BYTES);
    const pfn = this.frames[page];
    if (pfn === 0) return false;
    const start = this.address(page);
    let at = (record - start) >>> 3;
    for (let n = 0; n < RUN && at < PAGE_SIZE; n++) {
      const target = start + at * (RECORD_BYTES / 2);
      if (this.ram.u8[target] !== 0) break;
      const half = (pfn * PAGE_SIZE + at) >>> 1;
      const low = this.ram.u16[half];
      if (at === PAGE_SIZE - 2 && (low & 3) === 3) {
        writeCrossing(this.ram, target);
        break;
      }
      const length = encodeRecord(this.ram, target, low | (this.ram.u16[half + 1] << 16));
      if (length === 0) break;
      at += length;
    }
    return true;
  }
}
