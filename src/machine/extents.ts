// Extents: runs of pages whose frames are in a row, so that one number added to an address gives the host's for all of them. Compiled code compares an
// address with the extent that it found there last (a recent one), which takes half the instructions of a lookup in the TLB, and the access does not
// wait for any of them. Only where that fails it calls what is made here: generated code that looks for an extent that is known there, or else takes
// the page from the TLB and looks along its leaf table for more. Used by jit/jit.ts; jit/emit.ts writes the comparison.
//
// An extent holds what a TLB might: pages that are mapped so, with A (and D) set, those for stores without decoded code. It is kept until something is
// flushed that came from one of the slot's tables (extent-areas.ts), whatever becomes of the TLB's entries meanwhile.
import { type Code, I32, I64, type Label, ModuleBuilder, op } from "../wasm/assembler.ts";
import {
  AREA_KNOWN,
  AREA_RECENT,
  AREA_SEARCHES,
  AREA_USED_KNOWN,
  AREA_USED_RECENT,
  EXTENT_ADDEND,
  EXTENT_BYTES,
  EXTENT_LENGTH,
  EXTENT_START,
  HART_EXTENTS,
  HART_TLB,
  KNOWN_EXTENTS,
  type Layout,
  MAX_ACCESS,
  RECENT_EXTENTS,
  TLB_ENTRIES,
  TLB_SOURCES,
} from "./layout.ts";
import { LEVEL_SHIFT } from "./tlb.ts";
import { NEEDED_TO_READ, NEEDED_TO_WRITE, checkFrame, checkWritable } from "./walker.ts";

/** Kinds of extents, and of what finds them. */
export const FOR_LOADS = 0;
export const FOR_STORES = 1;
export type ExtentKind = typeof FOR_LOADS | typeof FOR_STORES;

/** What is known is found by the number of its 256 KiB. */
const GRANULE_SHIFT = 18;
const EXTENT_SHIFT = Math.log2(EXTENT_BYTES);
/** One in so many pages that are taken from the TLB, the table is looked along. */
const SCAN_ONE_IN = 8;
/** One in so many 32 bytes of an extent, others are looked for that go on from it; so many are taken on either side. */
const MERGE_ONE_IN = 32;
const MAX_MERGES = 8;

const [HART, VA, ACCESS] = [0, 1, 2];
/**
 * (hart, va: i64, recent | (size - 1) << 16) -> host address, negated; 0: the TLB lacks it, or the access crosses the end of an extent. Negated, as V8 need not
 * widen to an address what a subtraction gives: the result of a call it would, at each access, where that meets what was known.
 */
export const FIND_SIGNATURE = { parameters: [I32, I64, I32], results: [I32] } as const;

/** Where a recent extent is among the extents of a slot. */
export const recentAt = (kind: ExtentKind, recent: number): number =>
  AREA_RECENT + (kind * RECENT_EXTENTS + recent) * EXTENT_BYTES;

class FindEmitter {
  private readonly code: Code;
  private readonly kind: ExtentKind;
  private readonly area: number;
  /** The area, advanced by the place of the extent that is known for the address. */
  private readonly known: number;
  /** The extent: all that is found goes here. */
  private readonly start: number;
  private readonly length: number;
  private readonly addend: number;
  private readonly granule: number;
  /** The TLB, and of the address there the index and the entry. */
  private readonly tlb: number;
  private readonly index: number;
  private readonly entry: number;

  constructor(code: Code, kind: ExtentKind) {
    this.code = code;
    this.kind = kind;
    this.area = code.local(I32);
    this.known = code.local(I32);
    this.start = code.local(I64);
    this.length = code.local(I32);
    this.addend = code.local(I32);
    this.granule = code.local(I32);
    this.tlb = code.local(I32);
    this.index = code.local(I32);
    this.entry = code.local(I64);
  }

  /** The first function, which is called most: `search` is the index of the other. */
  emitFind(search: number): void {
    const c = this.code;
    this.readKnown();
    c.if();
    this.readEntry();
    c.if();
    c.i32(0).op(op.return).end();
    this.callSearch(search);
    c.end();
    c.get(VA)
      .op(op.i32WrapI64)
      .i32((MERGE_ONE_IN - 1) << 5)
      .op(op.i32And, op.i32Eqz);
    c.seldomNext().if();
    this.callSearch(search);
    c.end();
    this.remember();
  }

  private callSearch(search: number): void {
    this.code.get(HART).get(VA).get(ACCESS).call(search).op(op.return);
  }

  /** The second one. `canGrow`: an extent may be more than a page. */
  emitSearch(layout: Layout, canGrow: boolean): void {
    const c = this.code;
    this.readKnown();
    c.if();
    this.takePage(layout, canGrow);
    c.end();
    if (canGrow) {
      this.merge(1);
      this.merge(-1);
      this.know();
    }
    this.pushIsOutside();
    c.if();
    c.i32(0).op(op.return).end();
    this.remember();
  }

  private knownField(field: number): number {
    return AREA_KNOWN + this.kind * KNOWN_EXTENTS * EXTENT_BYTES + field;
  }

  /** Makes the address on the stack the place of what is known for its granule. */
  private pushKnownFor(): void {
    const c = this.code;
    c.i64(GRANULE_SHIFT).op(op.i64ShrU, op.i32WrapI64).tee(this.granule);
    c.get(this.granule).i32(Math.log2(KNOWN_EXTENTS)).op(op.i32ShrU, op.i32Xor);
    c.i32(KNOWN_EXTENTS - 1)
      .op(op.i32And)
      .i32(EXTENT_SHIFT)
      .op(op.i32Shl);
    c.get(this.area).op(op.i32Add);
  }

  /** Reads the extent that is known for the address, and pushes whether the access is not all in it. */
  private readKnown(): void {
    const c = this.code;
    c.get(HART).memory(op.i32Load, HART_EXTENTS).set(this.area);
    c.get(VA);
    this.pushKnownFor();
    c.tee(this.known).memory(op.i64Load, this.knownField(EXTENT_START)).set(this.start);
    c.get(this.known).memory(op.i32Load, this.knownField(EXTENT_LENGTH)).set(this.length);
    c.get(this.known).memory(op.i32Load, this.knownField(EXTENT_ADDEND)).set(this.addend);
    this.pushIsOutside();
  }

  private pushIsOutside(): void {
    const c = this.code;
    c.get(VA).get(this.start).op(op.i64Sub).get(this.length).op(op.i64ExtendI32U, op.i64GeU);
    c.get(VA).get(ACCESS).i32(16).op(op.i32ShrU, op.i64ExtendI32U, op.i64Add);
    c.get(this.start).op(op.i64Sub).get(this.length).op(op.i64ExtendI32U, op.i64GeU, op.i32Or);
  }

  /** Sets a bit of the area's word for the kind: that of the number pushed, modulo 32. */
  private use(words: number, pushNumber: () => void): void {
    const c = this.code;
    const at = words + 4 * this.kind;
    c.get(this.area).get(this.area).memory(op.i32Load, at).i32(1);
    pushNumber();
    c.op(op.i32Shl, op.i32Or).memory(op.i32Store, at);
  }

  /** Makes the extent the recent one, and pushes the host address, negated. */
  private remember(): void {
    const c = this.code;
    const recent = c.local(I32);
    const at = recentAt(this.kind, 0);
    c.get(ACCESS).i32(0xffff).op(op.i32And).i32(EXTENT_SHIFT).op(op.i32Shl).get(this.area).op(op.i32Add);
    c.tee(recent)
      .get(this.start)
      .memory(op.i64Store, at + EXTENT_START);
    c.get(recent)
      .get(this.length)
      .i32(MAX_ACCESS - 1)
      .op(op.i32Sub)
      .memory(op.i32Store, at + EXTENT_LENGTH);
    c.get(recent)
      .get(this.addend)
      .memory(op.i32Store, at + EXTENT_ADDEND);
    this.use(AREA_USED_RECENT, () =>
      c
        .get(ACCESS)
        .i32(Math.log2(RECENT_EXTENTS / 32))
        .op(op.i32ShrU),
    );
    c.i32(0).get(VA).op(op.i32WrapI64).get(this.addend).op(op.i32Add, op.i32Sub);
  }

  /** Reads the TLB's entry for the address, and pushes whether it is another page's. */
  private readEntry(): void {
    const c = this.code;
    c.get(HART).memory(op.i32Load, HART_TLB).set(this.tlb);
    c.get(VA)
      .i64(12)
      .op(op.i64ShrU, op.i32WrapI64)
      .i32(TLB_ENTRIES - 1)
      .op(op.i32And)
      .tee(this.index);
    c.i32(3)
      .op(op.i32Shl)
      .get(this.tlb)
      .op(op.i32Add)
      .memory(op.i64Load, this.kind * TLB_ENTRIES * 8);
    c.tee(this.entry).i64(28).op(op.i64ShrS).get(VA).i64(12).op(op.i64ShrU, op.i64Ne);
  }

  /** Makes the extent the page of the address, which is in the TLB, and sometimes what is around it. */
  private takePage(layout: Layout, canGrow: boolean): void {
    const c = this.code;
    const searches = c.local(I32);
    this.readEntry();
    c.op(op.drop);
    c.get(VA).i64(-4096).op(op.i64And).set(this.start);
    c.i32(4096).set(this.length);
    c.get(this.entry).op(op.i32WrapI64).i32(12).op(op.i32Shl).set(this.addend);
    if (!canGrow) return;
    c.get(this.area).get(this.area).memory(op.i32Load, AREA_SEARCHES).i32(1).op(op.i32Add).tee(searches);
    c.memory(op.i32Store, AREA_SEARCHES);
    c.get(searches)
      .i32(SCAN_ONE_IN - 1)
      .op(op.i32And, op.i32Eqz)
      .if();
    c.get(this.index).i32(2).op(op.i32Shl).get(this.tlb).op(op.i32Add);
    c.memory(op.i32Load, TLB_SOURCES + this.kind * TLB_ENTRIES * 4);
    this.scan(layout);
    c.end();
  }

  /** Makes the extent more than the page: along the leaf table, whose source word is on the stack, both ways, or all of a superpage. */
  private scan(layout: Layout): void {
    const c = this.code;
    const [table, index, pfn] = [c.local(I32), c.local(I32), c.local(I32)];
    c.tee(table).i32(LEVEL_SHIFT).op(op.i32ShrU).if();
    this.takeSuperpage(layout, pfn);
    c.else();
    for (const direction of [1, -1] as const) {
      c.get(VA).op(op.i32WrapI64).i32(12).op(op.i32ShrU).i32(511).op(op.i32And).set(index);
      this.setPfn(pfn);
      const end = c.block();
      const next = c.loop();
      c.get(index)
        .i32(direction === 1 ? 511 : 0)
        .op(op.i32Eq)
        .brIf(end);
      c.get(index).i32(direction).op(op.i32Add).set(index);
      c.get(pfn).i32(direction).op(op.i32Add).set(pfn);
      this.stopUnlessMapped(table, index, pfn, end, layout);
      if (direction === -1) c.get(this.start).i64(4096).op(op.i64Sub).set(this.start);
      c.get(this.length).i32(4096).op(op.i32Add).set(this.length);
      c.br(next);
      c.end().end();
    }
    c.end();
  }

  /** The frame of the address. */
  private setPfn(pfn: number): void {
    this.code.get(VA).op(op.i32WrapI64).get(this.addend).op(op.i32Add).i32(12).op(op.i32ShrU).set(pfn);
  }

  /** The 2 MiB around, which are of one leaf; for stores if no frame of theirs has decoded code. */
  private takeSuperpage(layout: Layout, pfn: number): void {
    const c = this.code;
    const hasCode = c.block();
    if (this.kind === FOR_STORES) {
      const left = c.local(I32);
      this.setPfn(pfn);
      c.get(pfn).i32(-512).op(op.i32And).set(pfn);
      // Eight frames at a time.
      c.i32(512 / 8).set(left);
      const next = c.loop();
      c.get(pfn).memory(op.i64Load, layout.hasCode).i64(0).op(op.i64Ne).brIf(hasCode);
      c.get(pfn).i64(0x0101010101010101n).memory(op.i64Store, layout.writable);
      c.get(pfn).i32(8).op(op.i32Add).set(pfn);
      c.get(left).i32(1).op(op.i32Sub).tee(left).brIf(next);
      c.end();
    }
    c.get(VA)
      .i64(-(2 ** 21))
      .op(op.i64And)
      .set(this.start);
    c.i32(2 ** 21).set(this.length);
    c.end();
  }

  /** Goes to `end` unless the entry of the table maps that frame, and a TLB might have it (walker.ts). */
  private stopUnlessMapped(table: number, index: number, pfn: number, end: Label, layout: Layout): void {
    const c = this.code;
    const pte = c.local(I32);
    const need = this.kind === FOR_STORES ? NEEDED_TO_WRITE : NEEDED_TO_READ;
    c.get(table).i32(12).op(op.i32Shl).get(index).i32(3).op(op.i32Shl, op.i32Add).memory(op.i32Load).tee(pte);
    c.i32(10).op(op.i32ShrU).get(pfn).op(op.i32Ne);
    c.get(pte).i32(need).op(op.i32And).i32(need).op(op.i32Ne, op.i32Or).brIf(end);
    checkFrame(c, layout, pfn, end);
    if (this.kind === FOR_STORES) checkWritable(c, layout, pfn, end);
  }

  /** Takes into the extent what is known to go on after its end (1), or before its start (-1). */
  private merge(direction: 1 | -1): void {
    const c = this.code;
    const [other, left] = [c.local(I32), c.local(I32)];
    const [otherStart, otherEnd, end] = [c.local(I64), c.local(I64), c.local(I64)];
    c.get(this.start).get(this.length).op(op.i64ExtendI32U, op.i64Add).set(end);
    c.i32(MAX_MERGES).set(left);
    const done = c.block();
    const next = c.loop();
    if (direction === 1) c.get(end);
    else c.get(this.start).i64(1).op(op.i64Sub);
    this.pushKnownFor();
    c.tee(other).memory(op.i32Load, this.knownField(EXTENT_ADDEND)).get(this.addend).op(op.i32Ne).brIf(done);
    c.get(other).memory(op.i64Load, this.knownField(EXTENT_START)).tee(otherStart);
    c.get(other).memory(op.i32Load, this.knownField(EXTENT_LENGTH));
    c.op(op.i64ExtendI32U, op.i64Add).set(otherEnd);
    // It must touch this one, and reach further.
    c.get(otherStart).get(end).op(op.i64GtU).get(otherEnd).get(this.start).op(op.i64LtU, op.i32Or);
    if (direction === 1) c.get(otherEnd).get(end).op(op.i64LeU, op.i32Or).brIf(done);
    else c.get(otherStart).get(this.start).op(op.i64GeU, op.i32Or).brIf(done);
    if (direction === 1) c.get(otherEnd).set(end);
    else c.get(otherStart).set(this.start);
    c.get(left).i32(1).op(op.i32Sub).tee(left).brIf(next);
    c.end().end();
    c.get(end).get(this.start).op(op.i64Sub, op.i32WrapI64).set(this.length);
  }

  /** Makes the extent the one that is known for the address; but a longer one that is in the same granule stays. */
  private know(): void {
    const c = this.code;
    const old = c.local(I64);
    const granuleOf = (): unknown => c.i64(GRANULE_SHIFT).op(op.i64ShrU);
    c.get(this.length).get(this.known).memory(op.i32Load, this.knownField(EXTENT_LENGTH)).op(op.i32GeU);
    c.get(this.known).memory(op.i64Load, this.knownField(EXTENT_START)).tee(old);
    granuleOf();
    c.get(VA);
    granuleOf();
    c.op(op.i64GtU, op.i32Or);
    c.get(old).get(this.known).memory(op.i32Load, this.knownField(EXTENT_LENGTH)).op(op.i64ExtendI32U, op.i64Add);
    granuleOf();
    c.get(VA);
    granuleOf();
    c.op(op.i64LtU, op.i32Or).if();
    c.get(this.known).get(this.start).memory(op.i64Store, this.knownField(EXTENT_START));
    c.get(this.known).get(this.length).memory(op.i32Store, this.knownField(EXTENT_LENGTH));
    c.get(this.known).get(this.addend).memory(op.i32Store, this.knownField(EXTENT_ADDEND));
    this.use(AREA_USED_KNOWN, () =>
      c
        .get(this.known)
        .get(this.area)
        .op(op.i32Sub)
        .i32(EXTENT_SHIFT + Math.log2(KNOWN_EXTENTS / 32))
        .op(op.i32ShrU),
    );
    c.end();
  }
}

/** Functions of FIND_SIGNATURE, for loads and for stores. */
export interface Finders {
  readonly findLoad: WebAssembly.ExportValue;
  readonly findStore: WebAssembly.ExportValue;
}

/** Makes them. `canGrow`: an extent may be more than a page of the TLB; if not, there are just the hits and misses that there are without extents. */
export function createFinders(memory: WebAssembly.Memory, layout: Layout, canGrow: boolean): Finders {
  const builder = new ModuleBuilder(layout.pages);
  for (const kind of [FOR_LOADS, FOR_STORES] as const) {
    const search = builder.function(FIND_SIGNATURE, undefined, (code) =>
      new FindEmitter(code, kind).emitSearch(layout, canGrow),
    );
    builder.function(FIND_SIGNATURE, kind === FOR_LOADS ? "findLoad" : "findStore", (code) =>
      new FindEmitter(code, kind).emitFind(search),
    );
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(builder.finish()), { e: { memory } });
  return { findLoad: exports.findLoad, findStore: exports.findStore };
}
