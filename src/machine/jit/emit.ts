// Writes one region as one WebAssembly function: guest registers in locals, structured control flow, addresses translated by extents. Implements
// the instruction table's Emitter; flow.ts decides what is kept where. Owns no state beyond one emission.
//
//   region(hart, budget, pc) -> budget left | kind of exit << 32
//     check pc, and that the pages are mapped as they were; load registers; check assumptions    (else exit, nothing done)
//     blocks, nested by dominance; on entry and before each turn of a loop: exit if the budget may not last for the longest way to the next check
//   exits: code = (pc - root) / 2 << 12 | instructions counted but not done << 4 | kind
//     each set of dirty registers has one label, which stores them; then pc is stored, and the function returns
//
// Whatever is rare (a TLB miss, a fault, floating point beyond the fast paths) leaves before the instruction has had any effect, and the
// interpreter does it.
//
// Long because it implements one interface, whose methods share what they know of the region.
import { type Code, F32, F64, I32, I64, type Label, type ValueType, op } from "../../wasm/assembler.ts";
import type { CsrAccess, Emitter, LoadTarget } from "../isa/emitter.ts";
import {
  CODE_PAGE_BYTES,
  EXTENT_ADDEND,
  EXTENT_LENGTH,
  EXTENT_START,
  HART_ACCESSES,
  HART_EXTENTS,
  HART_F,
  HART_FCSR,
  HART_PC,
  HART_REGION,
  HART_RESERVED,
  HART_RESERVED_VALUE,
  HART_TLB,
  HART_X,
  MAX_ACCESS,
  NEXT_BYTES,
  NEXT_ENTRIES,
  NEXT_NUMBER,
  NEXT_PC,
  PAGE_ENTRIES,
  RECENT_EXTENTS,
  TLB_ENTRIES,
  TLB_EXECUTE,
  VISIT_COUNT,
  VISIT_INSTRUCTIONS,
} from "../layout.ts";
import { type ExtentKind, FOR_LOADS, FOR_STORES, recentAt } from "../extents.ts";
import type { Block, Edge } from "./discover.ts";
import { type Flow, type Node, type Registers } from "./flow.ts";
import type { Line } from "./line.ts";
import { type Access, type Window, ZERO } from "./windows.ts";
import { WORD_LOADS, copied, isWithoutSign, isWordIn, wordOperation } from "./words.ts";

/** Kinds of exit, as a region returns them. Leave: go on at pc, in compiled code if there is some. */
export const EXIT_LEAVE = 0;
/** Interpret the instruction at pc. */
export const EXIT_INTERPRET = 1;
/** The region does not fit the address space or the registers; nothing was done. */
export const EXIT_BAD_ENTRY = 2;
/** Leave with all done, to the pc in the local `target` (inside the function only). */
const EXIT_DYNAMIC = 3;
/** Interpret the instruction at pc: the TLB lacks its page, or the window that it makes sure of is in two pages. */
export const EXIT_SPLIT = 5;
/** What EXIT_SPLIT has in common with EXIT_INTERPRET. */
export const EXIT_MASK = 3;

const HART = 0;
const BUDGET = 1;
const PC = 2;
const NAN_BOX = 0xffffffff00000000n;
/** Bytes of code over which the targets of one indirect jump may lie for a table of them. */
const MAX_SPAN = 1024;
const CANONICAL_NAN_32 = 0x7fc00000;
const RNE = 0;
const RTZ = 1;
const FRM = 0xe0;
const NX = 1;
const FCSR_FFLAGS = 1;
const FCSR_FRM = 2;

/** An execute translation that must be in the TLB on entry. */
export interface PageGuard {
  readonly va: number;
  /** The entry's two words. */
  readonly low: number;
  readonly high: number;
}

export interface RegionPlan {
  readonly flow: Flow;
  readonly pages: readonly PageGuard[];
  /** Assume that NX is set, so that inexact results need no record; or that it is not; undefined: assume nothing. */
  readonly assumeInexact: boolean | undefined;
  /** Emitter.isFused. */
  readonly isFused: boolean;
  /** How to go on in the next region without a return between, if the host has tail calls. */
  readonly chain: Chain | undefined;
  /** Where the extents are, if that is always the same place. */
  readonly extents: number | undefined;
  /** The indices of findLoad and findStore (extents.ts). */
  readonly finders: readonly [number, number];
  /** Whether loads, stores and atomics are counted (HART_ACCESSES). */
  readonly countsAccesses: boolean;
  /** Where the visits are counted (layout.ts), if they are. */
  readonly visits: number | undefined;
  /** The region's number in the table. */
  readonly number: number;
}

interface Chain {
  /** The index of a region's type in the module. */
  readonly type: number;
  /** Layout.code and Layout.nexts. */
  readonly codePages: number;
  readonly nexts: number;
}

interface ExitGroup {
  readonly dirty: Registers;
  readonly words: Registers;
}

// What the emitter keeps in locals, each made when it is first wanted: registers as wide, word, double and single; temporaries by type; where
// windows are in the host's memory.
const SLOT_WIDE = 0;
const SLOT_WORD = 32;
const SLOT_DOUBLE = 64;
const SLOT_SINGLE = 96;
const SLOT_TEMP = 128;
const SLOT_TLB = 192;
const SLOT_TARGET = 193;
const SLOT_EXIT = 194;
const SLOT_FCSR = 195;
const SLOT_EXTENTS = 196;
const SLOT_ACCESSES = 197;
const SLOT_ENTERED = 198;
const SLOT_WINDOW = 199;
const SLOTS = 223;

const SP = 2;
/** Recent extents: the first for the stack; up to the last of these for data at addresses that are known, by their 64 KiB; then for pointers. */
const RECENT_STACK = 0;
const RECENT_POINTERS = 16;
const DATA_SHIFT = 16;
/** How far apart regions' recent extents begin, for each halfword that the regions do. */
const SPREAD = 37;

const has = (set: number, register: number): boolean => ((set >>> register) & 1) !== 0;
/** The registers of a set, ascending. */
function members(set: number): number[] {
  const found: number[] = [];
  for (let rest = set; rest !== 0; rest &= rest - 1) found.push(31 - Math.clz32(rest & -rest));
  return found;
}

export class RegionEmitter implements Emitter {
  readonly code: Code;
  readonly isFused: boolean;
  readonly assumeInexact: boolean | undefined;
  readonly coversRare = false;
  private readonly plan: RegionPlan;
  /** The exits by what they store; the first one stores nothing. */
  private readonly groups: ExitGroup[] = [{ dirty: { x: 0, f: 0 }, words: { x: 0, f: 0 } }];
  private readonly locals = new Int32Array(SLOTS).fill(-1);
  private readonly labels = new Map<Node, { loop?: Label; merge?: Label }>();
  readonly rootPc: number;
  /** State at the point of emission. */
  private words: Registers = { x: 0, f: 0 };
  private dirty: Registers = { x: 0, f: 0 };
  /** Registers whose locals hold their values: those that are wanted on entry of the block, and what it has written. */
  private valid: Registers = { x: 0, f: 0 };
  /** Integer registers that hold words without sign, as far as the block shows. */
  private withoutSign = 0;
  private line: Line = undefined as never;
  /** Instructions of the block from this one on. */
  private left = 0;
  /** The accesses of the block, and how many of them have been emitted. */
  private accesses: readonly Access[] = [];
  private accessed = 0;
  /** The recent extents of the region's pointers, from `firstRecent` on: by the symbol in windows.ts. */
  private readonly firstRecent: number;
  private readonly recents = new Map<number, number>();
  /** Where in the blocks' bytes each guest instruction begins, in the order of the bytes; and these bytes. For dumps. */
  readonly marks: { readonly at: number; readonly line: Line }[] = [];
  blocks: Uint8Array = new Uint8Array();
  /** Whether some instruction rounds, and whether one rounds as frm says. */
  private readonly usesFcsr: boolean;
  private readonly assumesNearest: boolean;

  constructor(code: Code, plan: RegionPlan) {
    this.code = code;
    this.plan = plan;
    this.isFused = plan.isFused;
    this.assumeInexact = plan.assumeInexact;
    this.rootPc = plan.flow.root.block.pc;
    this.firstRecent = Math.floor(this.rootPc / 2) * SPREAD;
    const rounds = (line: Line): boolean => line.facts.rounds;
    const lines = plan.flow.nodes.flatMap((node) => node.block.lines.filter(rounds));
    this.usesFcsr = lines.length > 0;
    this.assumesNearest = lines.some(({ d }) => d.rm !== RNE && d.rm !== RTZ);
  }

  private local(slot: number, type: ValueType): number {
    const known = this.locals[slot];
    return known >= 0 ? known : (this.locals[slot] = this.code.local(type));
  }

  temp(type: ValueType, number: number): number {
    return this.local(SLOT_TEMP + (I32 - type) * 16 + number, type);
  }

  private readonly wide = (r: number): number => this.local(SLOT_WIDE + r, I64);
  private readonly word = (r: number): number => this.local(SLOT_WORD + r, I32);
  private readonly double = (r: number): number => this.local(SLOT_DOUBLE + r, F64);
  private readonly single = (r: number): number => this.local(SLOT_SINGLE + r, F32);
  private get tlb(): number {
    return this.local(SLOT_TLB, I32);
  }
  private get target(): number {
    return this.local(SLOT_TARGET, I64);
  }
  private get exitCode(): number {
    return this.local(SLOT_EXIT, I32);
  }

  // Registers.

  private pushX(r: number): void {
    if (r === 0) this.code.i64(0);
    else if (has(this.words.x, r)) {
      // V8 need do nothing for most of those without sign.
      this.code.get(this.word(r)).op(has(this.withoutSign, r) ? op.i64ExtendI32U : op.i64ExtendI32S);
    } else this.code.get(this.wide(r));
  }

  private pushW(r: number): void {
    if (r === 0) this.code.i32(0);
    else if (has(this.words.x, r)) this.code.get(this.word(r));
    else this.code.get(this.wide(r)).op(op.i32WrapI64);
  }

  private register(source: 1 | 2 | 3): number {
    const { d } = this.line;
    return source === 1 ? d.rs1 : source === 2 ? d.rs2 : d.rs3;
  }

  get hasSameSources(): boolean {
    const { rs1, rs2 } = this.line.d;
    return rs1 === rs2;
  }

  x(source: 1 | 2): void {
    this.pushX(this.register(source));
  }

  w(source: 1 | 2): void {
    this.pushW(this.register(source));
  }

  private wrote(bank: "x" | "f", r: number, isWord: boolean): void {
    if (isWord) this.words[bank] |= 1 << r;
    else this.words[bank] &= ~(1 << r);
    this.dirty[bank] |= 1 << r;
    this.valid[bank] |= 1 << r;
  }

  setX(value: () => void): void {
    const { d, wordIf } = this.line;
    const isWord = (wordIf & ~this.words.x) === 0;
    value();
    if (d.rd === 0) this.code.op(op.drop);
    else if (isWord) this.code.op(op.i32WrapI64).set(this.word(d.rd));
    else this.code.set(this.wide(d.rd));
    if (d.rd !== 0) this.wrote("x", d.rd, isWord);
  }

  setW(value: () => void): void {
    const { rd } = this.line.d;
    value();
    if (rd === 0) this.code.op(op.drop);
    else {
      this.code.set(this.word(rd));
      this.wrote("x", rd, true);
    }
  }

  imm(): void {
    this.code.i64(this.line.d.imm);
  }

  immW(): void {
    this.code.i32(this.line.d.imm);
  }

  pc(): void {
    this.code.i64(this.line.pc);
  }

  link(): void {
    this.code.i64(this.line.pc + this.line.d.length);
  }

  private pushDoubleBits(r: number): void {
    if (has(this.words.f, r)) {
      this.code.get(this.single(r)).op(op.i32ReinterpretF32, op.i64ExtendI32U).i64(NAN_BOX).op(op.i64Or);
    } else this.code.get(this.double(r)).op(op.i64ReinterpretF64);
  }

  fbits(source: 1 | 2 | 3): void {
    this.pushDoubleBits(this.register(source));
  }

  fd(source: 1 | 2 | 3): void {
    const r = this.register(source);
    if (has(this.words.f, r)) {
      this.pushDoubleBits(r);
      this.code.op(op.f64ReinterpretI64);
    } else this.code.get(this.double(r));
  }

  fs(source: 1 | 2 | 3): void {
    const r = this.register(source);
    if (has(this.words.f, r)) this.code.get(this.single(r));
    else {
      const bits = this.temp(I64, 9);
      this.code.get(this.double(r)).op(op.i64ReinterpretF64).tee(bits).op(op.i32WrapI64).i32(CANONICAL_NAN_32);
      this.code.get(bits).i64(NAN_BOX).op(op.i64GeU, op.select, op.f32ReinterpretI32);
    }
  }

  setFbits(value: () => void): void {
    this.setFd(() => {
      value();
      this.code.op(op.f64ReinterpretI64);
    });
  }

  setFd(value: () => void): void {
    const { rd } = this.line.d;
    value();
    this.code.set(this.double(rd));
    this.wrote("f", rd, false);
  }

  setFs(value: () => void): void {
    const { d } = this.line;
    value();
    if (this.line.facts.givesSingle) {
      this.code.set(this.single(d.rd));
      this.wrote("f", d.rd, true);
      return;
    }
    this.code.op(op.i32ReinterpretF32, op.i64ExtendI32U).i64(NAN_BOX).op(op.i64Or, op.f64ReinterpretI64);
    this.code.set(this.double(d.rd));
    this.wrote("f", d.rd, false);
  }

  fcsr(): void {
    this.code.get(this.local(SLOT_FCSR, I32));
  }

  otherRounding(): void {
    const { rm } = this.line.d;
    this.code.i32(rm === RTZ ? RTZ << 5 : 0);
  }

  otherTruncation(): void {
    this.otherRounding();
    this.code.i32(RTZ << 5).op(op.i32Xor);
  }

  slow(): void {
    this.code.i32(this.exitHere(EXIT_INTERPRET));
    this.exit();
  }

  csr({ kind, immediate }: CsrAccess): void {
    const c = this.code;
    const { d, pc } = this.line;
    const fcsr = this.temp(I32, 12);
    const old = this.temp(I32, 13);
    const written = this.temp(I32, 14);
    const [shift, mask] = d.imm === FCSR_FRM ? [5, 7] : [0, d.imm === FCSR_FFLAGS ? 31 : 255];
    c.get(HART).memory(op.i32Load, HART_FCSR).tee(fcsr).i32(shift).op(op.i32ShrU).i32(mask).op(op.i32And).set(old);
    const writes = kind === "swap" || d.rs1 !== 0;
    if (writes) {
      if (kind !== "swap") c.get(old);
      if (immediate) c.i32(d.rs1);
      else this.w(1);
      if (kind === "clear") c.i32(-1).op(op.i32Xor);
      if (kind !== "swap") c.op(kind === "set" ? op.i32Or : op.i32And);
      c.i32(mask).op(op.i32And).i32(shift).op(op.i32Shl).get(fcsr);
      c.i32(~(mask << shift))
        .op(op.i32And, op.i32Or)
        .set(written);
      c.get(HART).get(written).memory(op.i32Store, HART_FCSR);
    }
    this.setW(() => c.get(old));
    if (!writes) return;
    // What the region takes for granted may hold no more.
    c.get(written).set(this.local(SLOT_FCSR, I32));
    c.i32(this.exitAt(pc + d.length, EXIT_LEAVE, this.left - 1));
    this.pushUnexpected(written);
    this.exitIf();
  }

  /** Pushes an i32 that is not 0 if an fcsr is not what the region assumes. */
  private pushUnexpected(fcsr: number): void {
    const { assumeInexact } = this.plan;
    const mask = (this.assumesNearest ? FRM : 0) | (this.usesFcsr && assumeInexact !== undefined ? NX : 0);
    this.code
      .get(fcsr)
      .i32(mask)
      .op(op.i32And)
      .i32(mask & (assumeInexact ? NX : 0))
      .op(op.i32Ne);
  }

  done(): void {
    throw new Error("a region has no common end of instructions");
  }

  // Exits.

  private exitAt(pc: number, kind: number, undone: number): number {
    return (((pc - this.rootPc) / 2) << 12) | (undone << 4) | kind;
  }

  /** The code of an exit before the current instruction. */
  private exitHere(kind: number): number {
    return this.exitAt(this.line.pc, kind, this.left);
  }

  /** The exit that stores what is dirty now. */
  private group(): number {
    const { dirty, valid } = this;
    if (((dirty.x & ~valid.x) | (dirty.f & ~valid.f)) !== 0)
      throw new Error("an exit stores what flow.ts does not hold");
    const words = { x: this.words.x & dirty.x, f: this.words.f & dirty.f };
    // The latest ones are the likeliest.
    for (let i = this.groups.length - 1; i >= 0; i--) {
      const { dirty: d, words: w } = this.groups[i];
      if (d.x === dirty.x && d.f === dirty.f && w.x === words.x && w.f === words.f) return i;
    }
    return this.groups.push({ dirty: { ...dirty }, words }) - 1;
  }

  /** Leaves with the exit code on the stack. */
  private exit(): void {
    this.code.brLater("br", this.group());
  }

  /** Leaves if the i32 on the stack is not 0; below it is the exit code. */
  private exitIf(): void {
    this.code.seldomNext().brLater("brIf", this.group());
    this.code.op(op.drop);
  }

  /** Leaves before the current instruction if the i32 that `condition` pushes is not 0. */
  private interpretIf(kind: number, condition: () => void): void {
    this.code.i32(this.exitHere(kind));
    condition();
    this.exitIf();
  }

  private leave(pc: number): void {
    this.code.i64(pc).set(this.target).i32(EXIT_DYNAMIC);
    this.exit();
  }

  private storeRegister(bank: "x" | "f", r: number, isWord: boolean): void {
    const c = this.code;
    if (bank === "x") {
      c.get(HART);
      if (isWord) c.get(this.word(r)).op(op.i64ExtendI32S);
      else c.get(this.wide(r));
      c.memory(op.i64Store, HART_X + 8 * r);
    } else if (isWord) {
      c.get(HART)
        .get(this.single(r))
        .memory(op.f32Store, HART_F + 8 * r);
      c.get(HART)
        .i32(-1)
        .memory(op.i32Store, HART_F + 8 * r + 4);
    } else {
      c.get(HART)
        .get(this.double(r))
        .memory(op.f64Store, HART_F + 8 * r);
    }
  }

  private storeRegisters(dirty: Registers, words: Registers): void {
    for (const r of members(dirty.x)) this.storeRegister("x", r, has(words.x, r));
    for (const r of members(dirty.f)) this.storeRegister("f", r, has(words.f, r));
  }

  // Memory.

  /**
   * Pushes a host address to which the offset returned is to be added to get that of the current load or store. In the first access of a
   * window:
   *   va = x[rs1] + distance to the window
   *   host = va + addend of the extent that was found here last, if va is in it; else as findLoad or findStore finds
   */
  private address(kind: ExtentKind): number {
    const c = this.code;
    const { isFirst, window, base, offset } = this.accesses[this.accessed++];
    const slot = SLOT_WINDOW + window.slot;
    if (isFirst) {
      const va = this.temp(I64, 10);
      this.x(1);
      if (window.lo !== base) c.i64(window.lo - base).op(op.i64Add);
      c.set(va);
      const size = window.hi - window.lo;
      this.translate(kind, this.recent(window), size, size > this.line.facts.size, va);
      if (window.slot >= 0) c.tee(this.local(slot, I32));
    } else c.get(this.local(slot, I32));
    return offset - window.lo;
  }

  /** Which recent extent an access uses: one for the stack, one for each piece of data, and one for each pointer of the region. */
  private recent(window: Window | undefined): number {
    if (this.line.d.rs1 === SP) return RECENT_STACK;
    if (window?.symbol === ZERO) return 1 + (Math.floor(window.lo / 2 ** DATA_SHIFT) % (RECENT_POINTERS - 1));
    const symbol = window?.symbol ?? -1;
    let n = this.recents.get(symbol);
    if (n === undefined) this.recents.set(symbol, (n = this.recents.size));
    return RECENT_POINTERS + ((this.firstRecent + n) % (RECENT_EXTENTS - RECENT_POINTERS));
  }

  /** Loads from the extents. Where their place is known, V8 reads what is there in the instruction that uses it. */
  private loadExtent(opcode: number, offset: number): Code {
    const { extents } = this.plan;
    if (extents === undefined) return this.code.get(this.local(SLOT_EXTENTS, I32)).memory(opcode, offset);
    return this.code.i32(0).memory(opcode, extents + offset);
  }

  /** Pushes the host address of `va`; leaves if there is none for all `size` bytes. */
  private translate(kind: ExtentKind, recent: number, size: number, isWider: boolean, va: number): void {
    const c = this.code;
    const at = recentAt(kind, recent);
    const [host, distance] = [this.temp(I32, 11), this.temp(I64, 11)];
    const length = (): unknown => this.loadExtent(op.i32Load, at + EXTENT_LENGTH).op(op.i64ExtendI32U);
    const known = c.block(I32);
    const unknown = c.block();
    c.get(va);
    this.loadExtent(op.i64Load, at + EXTENT_START)
      .op(op.i64Sub)
      .tee(distance);
    length();
    c.op(op.i64GeU).seldomNext().brIf(unknown);
    if (size > MAX_ACCESS) {
      // The first bytes are in the extent; the last ones must be, too.
      c.get(distance)
        .i64(size - MAX_ACCESS)
        .op(op.i64Add);
      length();
      c.op(op.i64GeU).seldomNext().brIf(unknown);
    }
    c.get(va).op(op.i32WrapI64);
    this.loadExtent(op.i32Load, at + EXTENT_ADDEND)
      .op(op.i32Add)
      .br(known)
      .end();
    this.interpretIf(isWider ? EXIT_SPLIT : EXIT_INTERPRET, () => {
      c.get(HART)
        .get(va)
        .i32(recent | ((size - 1) << 16))
        .call(this.plan.finders[kind]);
      c.tee(host).op(op.i32Eqz);
    });
    c.i32(0).get(host).op(op.i32Sub).end();
  }

  load(opcode: number, _size: number, target: LoadTarget): void {
    const c = this.code;
    const wordLoad = WORD_LOADS.get(opcode);
    const offset = this.address(FOR_LOADS);
    this.countAccess();
    const value = (): unknown => c.memory(target === "x" ? (wordLoad ?? opcode) : opcode, offset);
    if (target === "d") this.setFd(value);
    else if (target === "s") this.setFs(value);
    else if (wordLoad !== undefined) this.setW(value);
    else this.setX(value);
  }

  store(opcode: number, _size: number, value: () => void): void {
    const offset = this.address(FOR_STORES);
    this.countAccess();
    value();
    this.code.memory(opcode, offset);
  }

  /** An access that nothing can prevent any more. */
  private countAccess(): void {
    if (!this.plan.countsAccesses) return;
    const accesses = this.local(SLOT_ACCESSES, I32);
    this.code.get(accesses).i32(1).op(op.i32Add).set(accesses);
  }

  /** The host address of x[rs1], in the local returned. */
  private atomicAddress(kind: ExtentKind, size: number): number {
    const c = this.code;
    const va = this.temp(I64, 10);
    const host = this.temp(I32, 10);
    this.interpretIf(EXIT_INTERPRET, () => {
      this.w(1);
      c.i32(size - 1).op(op.i32And);
    });
    this.x(1);
    c.set(va);
    this.translate(kind, this.recent(undefined), 1, false, va);
    c.set(host);
    this.countAccess();
    return host;
  }

  private loadOld(host: number, size: 4 | 8): number {
    const old = this.temp(I64, 4);
    this.code
      .get(host)
      .memory(size === 4 ? op.i64Load32S : op.i64Load)
      .set(old);
    return old;
  }

  amo(size: 4 | 8, combine: (old: number) => void): void {
    const c = this.code;
    const host = this.atomicAddress(FOR_STORES, size);
    const old = this.loadOld(host, size);
    c.get(host);
    combine(old);
    c.memory(size === 4 ? op.i64Store32 : op.i64Store);
    this.setX(() => c.get(old));
  }

  loadReserved(size: 4 | 8): void {
    const c = this.code;
    const host = this.atomicAddress(FOR_LOADS, size);
    const old = this.loadOld(host, size);
    c.get(HART).get(host).memory(op.i32Store, HART_RESERVED);
    c.get(HART).get(old).memory(op.i64Store, HART_RESERVED_VALUE);
    this.setX(() => c.get(old));
  }

  storeConditional(size: 4 | 8): void {
    const c = this.code;
    const failed = this.temp(I32, 8);
    const host = this.atomicAddress(FOR_STORES, size);
    c.get(HART).memory(op.i32Load, HART_RESERVED).get(host).op(op.i32Ne);
    c.get(HART).memory(op.i64Load, HART_RESERVED_VALUE);
    c.get(host)
      .memory(size === 4 ? op.i64Load32S : op.i64Load)
      .op(op.i64Ne, op.i32Or)
      .tee(failed);
    c.op(op.i32Eqz).if();
    c.get(host);
    this.x(2);
    c.memory(size === 4 ? op.i64Store32 : op.i64Store).end();
    c.get(HART).i32(0).memory(op.i32Store, HART_RESERVED);
    this.setW(() => c.get(failed));
  }

  // Control. The structure is emitted by `block`; these leave a condition on the stack or a pc in `target`.

  branch(condition: () => void): void {
    condition();
  }

  jal(): void {
    this.setX(() => this.link());
  }

  jalr(): void {
    const c = this.code;
    this.x(1);
    this.imm();
    c.op(op.i64Add).i64(-2).op(op.i64And).set(this.target);
    this.setX(() => this.link());
  }

  trap(): void {
    throw new Error("traps are left to the interpreter");
  }

  private instruction(line: Line): void {
    const { d } = line;
    this.line = line;
    this.marks.push({ at: this.code.length, line });
    const source = copied(d);
    const operation = wordOperation(d, this.words.x);
    if (source !== undefined) this.copy(source);
    else if (d.instruction.name === "addi" && d.rs1 === 0) this.setW(() => this.immW());
    else if (operation !== undefined) this.onWords(operation);
    else d.instruction.emit(this);
    if (line.writes !== 0) {
      if (isWithoutSign(d, this.withoutSign)) this.withoutSign |= line.writes;
      else this.withoutSign &= ~line.writes;
    }
    this.left--;
  }

  private copy(source: number): void {
    if (isWordIn(this.words.x, source)) this.setW(() => this.pushW(source));
    else this.setX(() => this.pushX(source));
  }

  private onWords(operation: number): void {
    const { rs2, isBranch } = this.line.facts;
    const value = (): void => {
      this.w(1);
      if (rs2) this.w(2);
      else this.immW();
      this.code.op(operation);
    };
    if (isBranch) value();
    else this.setW(value);
  }

  // Blocks.

  /** Goes along an edge: widens what the target wants wide, then branches, or the target follows in place. */
  private follow(from: Node, edge: Edge): void {
    const to = edge.block && this.plan.flow.nodeOf.get(edge.block);
    if (!to) {
      this.leave(edge.pc);
      return;
    }
    const words = { ...this.words };
    const dirty = { ...this.dirty };
    const valid = { ...this.valid };
    if (to.isLoop) this.checkBudget(to);
    this.widen(to);
    const labels = this.labels.get(to);
    if (to.order <= from.order) this.code.br(labels!.loop!);
    else if (to.isMerge) this.code.br(labels!.merge!);
    else this.tree(to);
    this.words = words;
    this.dirty = dirty;
    this.valid = valid;
  }

  /** Turns words that the target wants as wide values into such. */
  private widen({ wordsIn, wantedIn }: Node): void {
    for (const r of members(this.words.x & ~wordsIn.x & wantedIn.x)) {
      this.code.get(this.word(r)).op(op.i64ExtendI32S).set(this.wide(r));
    }
    for (const r of members(this.words.f & ~wordsIn.f & wantedIn.f)) {
      this.pushDoubleBits(r);
      this.code.op(op.f64ReinterpretI64).set(this.double(r));
    }
  }

  /** The node and all that it dominates. */
  private tree(node: Node): void {
    const labels: { loop?: Label; merge?: Label } = this.labels.get(node) ?? {};
    this.labels.set(node, labels);
    if (node.isLoop) labels.loop = this.code.loop();
    // The merges that follow, the last one outermost.
    const merges = node.children.filter((child) => child.isMerge).sort((a, b) => b.order - a.order);
    for (const merge of merges) this.labels.set(merge, { merge: this.code.block() });
    this.block(node);
    for (const merge of merges.reverse()) {
      this.code.end();
      this.tree(merge);
    }
    if (node.isLoop) this.code.end();
  }

  private block(node: Node): void {
    const c = this.code;
    const { block } = node;
    this.words = { ...node.wordsIn };
    this.dirty = { ...node.dirtyIn };
    this.valid = { ...node.wantedIn };
    this.withoutSign = 0;
    this.left = block.lines.length;
    this.accesses = node.accesses;
    this.accessed = 0;
    if (this.left > 0) c.get(BUDGET).i32(this.left).op(op.i32Sub).set(BUDGET);
    for (const line of block.lines) this.instruction(line);
    this.left = 0;
    this.ending(node, block);
  }

  private checkBudget(node: Node): void {
    const c = this.code;
    c.i32(this.exitAt(node.block.pc, EXIT_INTERPRET, 0));
    c.get(BUDGET).i32(node.longest).op(op.i32LtS);
    this.exitIf();
  }

  private ending(node: Node, { ending }: Block): void {
    const c = this.code;
    switch (ending.kind) {
      case "jump":
        this.follow(node, ending.next);
        break;
      case "branch":
        c.if();
        this.follow(node, ending.taken);
        c.end();
        this.follow(node, ending.next);
        break;
      case "indirect":
        this.dispatch(
          node,
          ending.expected.filter((edge) => edge.block),
        );
        c.i32(EXIT_DYNAMIC);
        this.exit();
        break;
      case "interpret":
        c.i32(this.exitAt(ending.pc, EXIT_INTERPRET, 0));
        this.exit();
    }
  }

  /** Goes to the one of the edges, by ascending pc, that `target` is; goes on if it is none. */
  private dispatch(node: Node, edges: readonly Edge[]): void {
    const c = this.code;
    const span = edges.length > 2 ? edges[edges.length - 1].pc - edges[0].pc : Infinity;
    if (span > MAX_SPAN) {
      for (const edge of edges) {
        c.get(this.target).i64(edge.pc).op(op.i64Eq).if();
        this.follow(node, edge);
        c.end();
      }
      return;
    }
    const distance = this.temp(I64, 12);
    const none = c.block();
    const labels = edges.map(() => c.block()).reverse();
    c.get(this.target).i64(edges[0].pc).op(op.i64Sub).tee(distance).i64(span).op(op.i64GtU).brIf(none);
    const table: Label[] = Array.from({ length: span / 2 + 1 }, () => none);
    edges.forEach((edge, i) => (table[(edge.pc - edges[0].pc) / 2] = labels[i]));
    c.get(distance).op(op.i32WrapI64).i32(1).op(op.i32ShrU).brTable(table, none);
    for (const edge of edges) {
      c.end();
      this.follow(node, edge);
    }
    c.end();
  }

  // The function around them.

  private checkPages(): void {
    const c = this.code;
    c.i32(EXIT_BAD_ENTRY).get(PC).i64(this.rootPc).op(op.i64Ne);
    this.exitIf();
    for (const { va, low, high } of this.plan.pages) {
      const at = TLB_EXECUTE + 8 * (Math.floor(va / 4096) % TLB_ENTRIES);
      c.i32(EXIT_BAD_ENTRY);
      c.get(this.tlb).memory(op.i64Load, at);
      c.i64((BigInt(high) << 32n) | BigInt(low)).op(op.i64Ne);
      this.exitIf();
    }
  }

  private loadRegisters(): void {
    const c = this.code;
    const { flow } = this.plan;
    for (const r of members(flow.root.wantedIn.x)) {
      c.get(HART)
        .memory(op.i64Load, HART_X + 8 * r)
        .set(this.wide(r));
      if (!has(flow.root.wordsIn.x, r)) continue;
      c.i32(EXIT_BAD_ENTRY);
      c.get(this.wide(r)).op(op.i32WrapI64).tee(this.word(r)).op(op.i64ExtendI32S).get(this.wide(r)).op(op.i64Ne);
      this.exitIf();
    }
    for (const r of members(flow.root.wantedIn.f)) {
      c.get(HART)
        .memory(op.f64Load, HART_F + 8 * r)
        .set(this.double(r));
      if (!has(flow.root.wordsIn.f, r)) continue;
      c.get(HART)
        .memory(op.f32Load, HART_F + 8 * r)
        .set(this.single(r));
      c.i32(EXIT_BAD_ENTRY);
      c.get(this.double(r)).op(op.i64ReinterpretF64).i64(NAN_BOX).op(op.i64LtU);
      this.exitIf();
    }
  }

  private checkFcsr(): void {
    const c = this.code;
    if (!this.usesFcsr && !this.assumesNearest) return;
    const fcsr = this.local(SLOT_FCSR, I32);
    c.get(HART).memory(op.i32Load, HART_FCSR).set(fcsr);
    c.i32(EXIT_BAD_ENTRY);
    this.pushUnexpected(fcsr);
    this.exitIf();
  }

  /** The whole function: first the blocks, which show what must be around them. */
  emit(): void {
    const c = this.code;
    this.tree(this.plan.flow.root);
    // What comes before them has nothing to store.
    this.words = { x: 0, f: 0 };
    this.dirty = { x: 0, f: 0 };
    const last = this.groups.length - 1;
    const blocks = c.takeOut((target) => last - target);
    this.blocks = blocks.bytes;
    this.checkPages();
    this.loadRegisters();
    this.checkFcsr();
    this.checkBudget(this.plan.flow.root);
    const entry = c.takeOut((target) => last - target);
    const labels = this.groups.map(() => c.block(I32));
    if (this.plan.extents === undefined)
      c.get(HART).memory(op.i32Load, HART_EXTENTS).set(this.local(SLOT_EXTENTS, I32));
    if (this.plan.visits !== undefined) c.get(BUDGET).set(this.local(SLOT_ENTERED, I32));
    c.get(HART).memory(op.i32Load, HART_TLB).set(this.tlb).putBack(entry).putBack(blocks);
    c.op(op.unreachable);
    for (let n = last; n >= 0; n--) {
      c.end();
      this.storeGroup(n, labels);
    }
    c.set(this.exitCode);
    if (this.plan.countsAccesses) {
      c.get(HART).get(HART).memory(op.i64Load, HART_ACCESSES).get(this.local(SLOT_ACCESSES, I32));
      c.op(op.i64ExtendI32U, op.i64Add).memory(op.i64Store, HART_ACCESSES);
    }
    if (this.plan.visits !== undefined) this.countVisit(this.plan.visits);
    this.finish();
  }

  /** Adds what the budget has become less by, and one. */
  private countVisit(at: number): void {
    const c = this.code;
    const instructions = at + VISIT_INSTRUCTIONS;
    c.i32(0).i32(0).memory(op.i64Load, instructions).get(this.local(SLOT_ENTERED, I32)).get(BUDGET);
    c.op(op.i32Sub, op.i64ExtendI32U, op.i64Add).memory(op.i64Store, instructions);
    c.i32(0)
      .i32(0)
      .memory(op.i32Load, at + VISIT_COUNT)
      .i32(1)
      .op(op.i32Add)
      .memory(op.i32Store, at + VISIT_COUNT);
  }

  /** Stores what a group does, but for what an earlier group, which follows, will store. */
  private storeGroup(n: number, labels: readonly Label[]): void {
    const { dirty, words } = this.groups[n];
    const isPart = ({ dirty: d, words: w }: ExitGroup): boolean =>
      ((d.x & ~dirty.x) | (d.f & ~dirty.f) | ((w.x ^ words.x) & d.x) | ((w.f ^ words.f) & d.f)) === 0;
    let part = n - 1;
    while (part > 0 && !isPart(this.groups[part])) part--;
    if (part < 0) return;
    const { x, f } = this.groups[part].dirty;
    this.storeRegisters({ x: dirty.x & ~x, f: dirty.f & ~f }, words);
    if (part < n - 1) this.code.br(labels[part]);
  }

  /** Returns with pc stored; or, when leaving for a place where a region starts, goes into that one. */
  private finish(): void {
    const c = this.code;
    c.get(this.exitCode).i32(EXIT_DYNAMIC).op(op.i32Eq).if();
    if (this.plan.chain) this.enterNext(this.plan.chain);
    c.get(HART).get(this.target).memory(op.i64Store, HART_PC);
    c.get(BUDGET).op(op.i64ExtendI32U, op.return).end();
    this.leaveUndone();
  }

  /** An exit with an instruction, or more, that is not done: at the exit's pc, or for a bad entry at the one that came in. */
  private leaveUndone(): void {
    const c = this.code;
    const kind = this.temp(I32, 15);
    c.get(HART).get(PC);
    c.i64(this.rootPc).get(this.exitCode).i32(12).op(op.i32ShrS, op.i64ExtendI32S).i64(1).op(op.i64Shl, op.i64Add);
    c.get(this.exitCode).i32(15).op(op.i32And).tee(kind);
    c.i32(EXIT_BAD_ENTRY).op(op.i32Eq, op.select).memory(op.i64Store, HART_PC);
    c.get(HART).i32(this.plan.number).memory(op.i32Store, HART_REGION);
    c.get(this.exitCode).i32(4).op(op.i32ShrU).i32(255).op(op.i32And).get(BUDGET).op(op.i32Add, op.i64ExtendI32U);
    c.get(kind).op(op.i64ExtendI32U).i64(32).op(op.i64Shl, op.i64Or);
  }

  /** Goes into the region that was gone on to at `target` before, or into the one that its page has there; goes on if there is none. */
  private enterNext({ type, codePages, nexts }: Chain): void {
    const c = this.code;
    const pc = this.target;
    const entry = this.temp(I64, 11);
    const number = this.temp(I32, 12);
    const next = this.temp(I32, 13);
    const enter = (): unknown => c.get(HART).get(BUDGET).get(pc).get(number).returnCallIndirect(type);
    c.get(pc)
      .op(op.i32WrapI64)
      .i32(Math.log2(NEXT_BYTES / 2))
      .op(op.i32Shl);
    c.i32((NEXT_ENTRIES - 1) * NEXT_BYTES)
      .op(op.i32And)
      .tee(next);
    c.memory(op.i64Load, nexts + NEXT_PC)
      .get(pc)
      .op(op.i64Eq)
      .if();
    c.get(next)
      .memory(op.i32Load, nexts + NEXT_NUMBER)
      .set(number);
    enter();
    c.end();
    c.get(pc).op(op.i32WrapI64).i32(9).op(op.i32ShrU);
    c.i32((TLB_ENTRIES - 1) << 3).op(op.i32And);
    c.get(this.tlb).op(op.i32Add).memory(op.i64Load, TLB_EXECUTE).tee(entry);
    c.i64(28).op(op.i64ShrS).get(pc).i64(12).op(op.i64ShrU, op.i64Eq).if();
    c.get(entry).op(op.i32WrapI64).i32(0xfffff).op(op.i32And).i32(CODE_PAGE_BYTES).op(op.i32Mul);
    c.get(pc).op(op.i32WrapI64).i32(0xffe).op(op.i32And).i32(1).op(op.i32Shl, op.i32Add);
    c.memory(op.i32Load, codePages + PAGE_ENTRIES).tee(number);
    c.i32(0).op(op.i32LtS).if();
    c.get(number).i32(0x7fffffff).op(op.i32And).set(number);
    c.get(next)
      .get(pc)
      .memory(op.i64Store, nexts + NEXT_PC);
    c.get(next)
      .get(number)
      .memory(op.i32Store, nexts + NEXT_NUMBER);
    enter();
    c.end().end();
  }
}
