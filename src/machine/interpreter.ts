// The interpreter: one WebAssembly function generated from the instruction table. A loop dispatches decoded records (record.ts) with one
// br_table; registers stay in memory. Owns no state: everything is in the hart struct. Used by hardware.ts.
//
//   $fetch: a compiled region if one was found -> target
//     look up `target` in the execute TLB (or miss) -> records of its page; a compiled region there? -> $fetch
//     $next: budget; word = record; br_table by operation -> its body; record += advance
//
// pc is not kept: it is the page's address plus the record's place in the page, and computed where it is needed.
//
// Long because all that it generates is one function: its parts use each other's labels and locals.
import {
  type Code,
  I32,
  I64,
  type Label,
  ModuleBuilder,
  type Signature,
  type ValueType,
  op,
} from "../wasm/assembler.ts";
import type { Emitter, LoadTarget } from "./isa/emitter.ts";
import { INSTRUCTIONS } from "./isa/table.ts";
import { EXIT_BAD_ENTRY, EXIT_MASK, EXIT_SPLIT } from "./jit/emit.ts";
import {
  CODE_PAGE_BYTES,
  HART_ACCESS,
  HART_ACCESSES,
  HART_BUDGET,
  HART_COMPILED,
  HART_FCSR,
  HART_PC,
  HART_REGION,
  HART_RESERVED,
  HART_RESERVED_VALUE,
  HART_SCRATCH,
  HART_SINK,
  HART_SPLITS,
  HART_TLB,
  HART_VA,
  HART_X,
  type Layout,
  PAGE_ENTRIES,
  PAGE_RECORDS_BYTES,
  RECORD_IMM,
  RECORD_RD,
  RECORD_RS1,
  RECORD_RS2,
  RECORD_RS3,
  SPLITS_PER_CALL,
  TARGET_ENTRIES,
  TLB_ENTRIES,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
} from "./layout.ts";
import { OP_CROSSING, OP_EMPTY, OP_FIRST, OP_ILLEGAL, OP_PAGE_END, OP_SLOW } from "./record.ts";
import { WALK_SIGNATURE } from "./walker.ts";
import {
  ACCESS_READ,
  ACCESS_WRITE,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_ILLEGAL,
  TRAP_MISALIGNED,
  TRAP_PAGE_FAULT,
} from "./trap.ts";

/** What generated code calls. Arguments are offsets in the memory unless said otherwise. */
export interface EngineImports {
  /** Mmu.load, .store, .atomic. */
  load(hart: number, size: number): number;
  store(hart: number, size: number): number;
  atomic(hart: number, access: number): number;
  /** The records of the page of HART_PC; 0: page fault, recorded. */
  fetch(hart: number): number;
  /** Fills the empty record; 0: look up pc again. */
  fill(record: number): number;
  /** A record for the instruction at HART_PC that crosses a page; 0: page fault, recorded. */
  crossing(hart: number): number;
  /** Does the record's instruction out of line; 0 or a trap cause. HART_BUDGET is up to date. */
  slow(hart: number, record: number): number;
}

/** What the JIT adds: compiled regions in a table, and being told of places that control often jumps to. */
export interface RegionImports {
  /** The regions, by number: functions (hart, budget, pc) -> budget left | kind of exit << 32. */
  readonly regions: WebAssembly.Table;
  /** Jumps to a place before `hot` is called. */
  readonly threshold: number;
  /** Control has jumped `threshold` times to HART_PC, whose counter is at offset `entry`. */
  hot(hart: number, entry: number): void;
  /** The indirect jump at HART_PC goes to the address in HART_SCRATCH. */
  noteTarget(hart: number): void;
  /** The region of that number, gone into at HART_PC, did not fit the hart. */
  badEntry(hart: number, number: number): void;
  /** The region of that number left at HART_PC because a window is in two pages or not in the TLB. */
  split(hart: number, number: number): void;
}

/** Runs a hart from HART_PC for at most `budget` (>= 0) instructions; a trap cause. */
export type EngineRun = (hart: number, budget: number) => number;

/** Of compiled regions: (hart, budget, pc) -> budget left | kind of exit << 32. */
export const REGION_SIGNATURE: Signature = { parameters: [I32, I32, I64], results: [I64] };

const HART = 0;
const BUDGET = 1;
const NAN_BOX = 0xffffffff00000000n;
const CANONICAL_NAN_32 = 0x7fc00000;

interface RegionIndices {
  readonly threshold: number;
  readonly type: number;
  readonly hot: number;
  readonly badEntry: number;
  readonly split: number;
  readonly noteTarget: number;
}

class InterpreterEmitter implements Emitter {
  readonly code: Code;
  /** The interpreter keeps to what every engine has. */
  readonly isFused = false;
  readonly assumeInexact = undefined;
  readonly coversRare = true;
  readonly hasSameSources = false;
  private readonly imports: Record<keyof EngineImports, number>;
  private readonly walker: number;
  private readonly regions: RegionIndices | undefined;
  private readonly layout: Layout;
  private readonly countsAccesses: boolean;
  private readonly temps = new Map<string, number>();
  private readonly tlb: number;
  private readonly record: number;
  private readonly word: number;
  private readonly base: number;
  private readonly pageVa: number;
  private readonly target: number;
  private readonly va: number;
  private readonly entry: number;
  private readonly host: number;
  private fetchLabel!: Label;
  private nextLabel!: Label;
  private advanceLabel!: Label;
  private faultLabel!: Label;
  private exitLabel!: Label;

  constructor(
    code: Code,
    imports: Record<keyof EngineImports, number>,
    layout: Layout,
    walker: number,
    regions: RegionIndices | undefined,
    countsAccesses: boolean,
  ) {
    this.walker = walker;
    this.code = code;
    this.imports = imports;
    this.regions = regions;
    this.layout = layout;
    this.countsAccesses = countsAccesses;
    this.tlb = code.local(I32);
    this.record = code.local(I32);
    this.word = code.local(I32);
    this.base = code.local(I32);
    this.host = code.local(I32);
    this.pageVa = code.local(I64);
    this.target = code.local(I64);
    this.va = code.local(I64);
    this.entry = code.local(I64);
  }

  temp(type: ValueType, number: number): number {
    const key = `${type}.${number}`;
    let local = this.temps.get(key);
    if (local === undefined) this.temps.set(key, (local = this.code.local(type)));
    return local;
  }

  /** Pushes hart + the register offset in the record's field. */
  private register(field: number): void {
    this.code.get(HART).get(this.record).memory(op.i32Load16U, field).op(op.i32Add);
  }

  private readonly field = { 1: RECORD_RS1, 2: RECORD_RS2, 3: RECORD_RS3 } as const;

  x(source: 1 | 2): void {
    this.register(this.field[source]);
    this.code.memory(op.i64Load);
  }

  w(source: 1 | 2): void {
    this.register(this.field[source]);
    this.code.memory(op.i32Load);
  }

  setX(value: () => void): void {
    this.register(RECORD_RD);
    value();
    this.code.memory(op.i64Store);
  }

  setW(value: () => void): void {
    this.setX(() => {
      value();
      this.code.op(op.i64ExtendI32S);
    });
  }

  imm(): void {
    this.code.get(this.record).memory(op.i64Load32S, RECORD_IMM);
  }

  immW(): void {
    this.code.get(this.record).memory(op.i32Load, RECORD_IMM);
  }

  pc(): void {
    this.code.get(this.pageVa).get(this.record).get(this.base).op(op.i32Sub).i32(3).op(op.i32ShrU);
    this.code.op(op.i64ExtendI32U, op.i64Add);
  }

  /** Pushes the distance to the next record, in bytes of records: 8 for each byte of the instruction. */
  private advance(): void {
    this.code.get(this.word).i32(8).op(op.i32ShrU).i32(0xff).op(op.i32And);
  }

  link(): void {
    this.pc();
    this.advance();
    this.code.i32(3).op(op.i32ShrU, op.i64ExtendI32U, op.i64Add);
  }

  fbits(source: 1 | 2 | 3): void {
    this.register(this.field[source]);
    this.code.memory(op.i64Load);
  }

  fd(source: 1 | 2 | 3): void {
    this.register(this.field[source]);
    this.code.memory(op.f64Load);
  }

  fs(source: 1 | 2 | 3): void {
    const bits = this.temp(I64, 9);
    this.fbits(source);
    this.code.tee(bits).op(op.i32WrapI64).i32(CANONICAL_NAN_32);
    this.code.get(bits).i64(NAN_BOX).op(op.i64GeU, op.select, op.f32ReinterpretI32);
  }

  setFbits(value: () => void): void {
    this.setX(value);
  }

  setFd(value: () => void): void {
    this.register(RECORD_RD);
    value();
    this.code.memory(op.f64Store);
  }

  setFs(value: () => void): void {
    this.setX(() => {
      value();
      this.code.op(op.i32ReinterpretF32, op.i64ExtendI32U).i64(NAN_BOX).op(op.i64Or);
    });
  }

  fcsr(): void {
    this.code.get(HART).memory(op.i32Load, HART_FCSR);
  }

  otherRounding(): void {
    this.fcsr();
    this.immW();
    this.code.op(op.i32And);
  }

  otherTruncation(): void {
    this.otherRounding();
    this.code.get(this.record).memory(op.i32Load16U, RECORD_RS2).op(op.i32Xor);
  }

  private storePc(): void {
    this.code.get(HART);
    this.pc();
    this.code.memory(op.i64Store, HART_PC);
  }

  slow(): void {
    const c = this.code;
    const cause = this.temp(I32, 9);
    this.storePc();
    c.get(HART).get(BUDGET).memory(op.i32Store, HART_BUDGET);
    c.get(HART).get(this.record).call(this.imports.slow).tee(cause).op(op.i32Eqz).brIf(this.advanceLabel);
    c.get(cause);
    this.leaveUnretired();
  }

  csr(): void {
    this.slow();
  }

  done(): void {
    this.code.br(this.advanceLabel);
  }

  /** Leaves with the cause on the stack; the current instruction does not count. */
  private leaveUnretired(): void {
    this.code.get(BUDGET).i32(1).op(op.i32Add).set(BUDGET).br(this.exitLabel);
  }

  /** x[rs1] + imm into `va`; then the TLB's entry for it into `entry`. Pushes 1 if it is a hit for all `size` bytes. */
  private lookUp(kind: number, size: number, withOffset: boolean): void {
    const c = this.code;
    this.x(1);
    if (withOffset) {
      this.imm();
      c.op(op.i64Add);
    }
    c.set(this.va);
    this.loadEntry(this.va, kind);
    c.get(this.entry).i64(28).op(op.i64ShrS);
    c.get(this.va);
    if (size > 1) c.i64(size - 1).op(op.i64Add);
    c.i64(12).op(op.i64ShrU, op.i64Eq);
  }

  private loadEntry(va: number, kind: number): void {
    const c = this.code;
    c.get(va)
      .i64(12)
      .op(op.i64ShrU, op.i32WrapI64)
      .i32(TLB_ENTRIES - 1)
      .op(op.i32And)
      .i32(3)
      .op(op.i32Shl);
    c.get(this.tlb).op(op.i32Add).memory(op.i64Load, kind).set(this.entry);
  }

  /** Pushes the host address that a hit gives. */
  private hit(): void {
    this.code.get(this.entry).op(op.i32WrapI64).i32(12).op(op.i32Shl).get(this.va).op(op.i32WrapI64, op.i32Add);
  }

  private storeVa(): void {
    this.code.get(HART).get(this.va).memory(op.i64Store, HART_VA);
  }

  /** In the arm of a miss: tries the walker, and if it found the translation goes to `again`. */
  private walk(kind: number, size: number, again: Label): void {
    const c = this.code;
    c.get(HART)
      .get(this.va)
      .i32(size)
      .i32(kind === TLB_WRITE ? 1 : 0)
      .call(this.walker)
      .brIf(again);
  }

  /** Accesses done in this run of the hart, if they are counted. */
  private readonly accesses = (): number => this.temp(I64, 23);

  private countAccess(): void {
    if (!this.countsAccesses) return;
    this.code.get(this.accesses()).i64(1).op(op.i64Add).set(this.accesses());
  }

  load(opcode: number, size: number, target: LoadTarget): void {
    const c = this.code;
    const again = c.loop();
    this.lookUp(TLB_READ, size, true);
    c.if();
    this.hit();
    c.set(this.host).else();
    this.walk(TLB_READ, size, again);
    this.storeVa();
    c.get(HART).i32(size).call(this.imports.load).tee(this.host).op(op.i32Eqz).brIf(this.faultLabel);
    c.end().end();
    this.countAccess();
    const value = (): unknown => c.get(this.host).memory(opcode);
    if (target === "x") this.setX(value);
    else if (target === "d") this.setFd(value);
    else this.setFs(value);
  }

  store(opcode: number, size: number, value: () => void): void {
    const c = this.code;
    const again = c.loop();
    this.lookUp(TLB_WRITE, size, true);
    c.if();
    this.hit();
    value();
    c.memory(opcode).else();
    this.walk(TLB_WRITE, size, again);
    this.storeVa();
    c.get(HART);
    value();
    c.memory(op.i64Store, HART_SCRATCH);
    c.get(HART).i32(size).call(this.imports.store).op(op.i32Eqz).brIf(this.faultLabel);
    c.end().end();
    this.countAccess();
  }

  /** The host address of an atomic access into `host`. */
  private atomicAddress(kind: number, size: number, access: number): void {
    const c = this.code;
    this.x(1);
    c.op(op.i32WrapI64)
      .i32(size - 1)
      .op(op.i32And)
      .if();
    c.get(HART);
    this.x(1);
    c.memory(op.i64Store, HART_VA).get(HART).i32(access).memory(op.i32Store, HART_ACCESS).i32(TRAP_MISALIGNED);
    this.leaveUnretired();
    c.end();
    const again = c.loop();
    this.lookUp(kind, 1, false);
    c.if();
    this.hit();
    c.set(this.host).else();
    this.walk(kind, 1, again);
    this.storeVa();
    c.get(HART).i32(access).call(this.imports.atomic).tee(this.host).op(op.i32Eqz).brIf(this.faultLabel);
    c.end().end();
    this.countAccess();
  }

  amo(size: 4 | 8, combine: (old: number) => void): void {
    const c = this.code;
    const old = this.temp(I64, 4);
    this.atomicAddress(TLB_WRITE, size, ACCESS_WRITE);
    c.get(this.host)
      .memory(size === 4 ? op.i64Load32S : op.i64Load)
      .set(old);
    c.get(this.host);
    combine(old);
    c.memory(size === 4 ? op.i64Store32 : op.i64Store);
    this.setX(() => c.get(old));
  }

  loadReserved(size: 4 | 8): void {
    const c = this.code;
    const old = this.temp(I64, 4);
    this.atomicAddress(TLB_READ, size, ACCESS_READ);
    c.get(this.host)
      .memory(size === 4 ? op.i64Load32S : op.i64Load)
      .set(old);
    c.get(HART).get(this.host).memory(op.i32Store, HART_RESERVED);
    c.get(HART).get(old).memory(op.i64Store, HART_RESERVED_VALUE);
    this.setX(() => c.get(old));
  }

  /** Succeeds if the reservation is for this address and the value is still the one seen; ends the reservation either way. */
  storeConditional(size: 4 | 8): void {
    const c = this.code;
    const failed = this.temp(I32, 8);
    this.atomicAddress(TLB_WRITE, size, ACCESS_WRITE);
    c.get(HART).memory(op.i32Load, HART_RESERVED).get(this.host).op(op.i32Ne);
    c.get(HART).memory(op.i64Load, HART_RESERVED_VALUE);
    c.get(this.host)
      .memory(size === 4 ? op.i64Load32S : op.i64Load)
      .op(op.i64Ne, op.i32Or)
      .tee(failed);
    c.op(op.i32Eqz).if();
    c.get(this.host);
    this.x(2);
    c.memory(size === 4 ? op.i64Store32 : op.i64Store).end();
    c.get(HART).i32(0).memory(op.i32Store, HART_RESERVED);
    this.setX(() => c.get(failed).op(op.i64ExtendI32U));
  }

  /** The number of the region to enter next (0: none), where it was found, and whether the next fetch must not look for one. */
  private readonly region = (): number => this.temp(I32, 20);
  private readonly entryAt = (): number => this.temp(I32, 21);
  private readonly noRegion = (): number => this.temp(I32, 22);

  /** With `entryAt` set: goes into the region there if there is one, else counts. HART_PC may change. */
  private enterOrCount(pushPc: () => void): void {
    const c = this.code;
    const regions = this.regions!;
    const n = this.temp(I32, 23);
    c.get(this.entryAt()).memory(op.i32Load).tee(n).i32(0).op(op.i32LtS).if();
    pushPc();
    c.set(this.target).get(n).set(this.region()).br(this.fetchLabel).end();
    c.get(this.entryAt()).get(n).i32(1).op(op.i32Add).tee(n).memory(op.i32Store);
    c.get(n).i32(regions.threshold).op(op.i32Eq).if();
    c.get(HART);
    pushPc();
    c.memory(op.i64Store, HART_PC).get(HART).get(this.entryAt()).call(regions.hot).end();
  }

  /** Runs the region found, if any; then `target` is where it left. */
  private runRegion(): void {
    const c = this.code;
    const result = this.temp(I64, 20);
    const kind = this.temp(I32, 24);
    c.get(this.region()).if();
    c.get(HART).get(HART).memory(op.i64Load, HART_COMPILED).get(BUDGET).op(op.i64ExtendI32U);
    c.get(HART)
      .get(BUDGET)
      .get(this.target)
      .get(this.region())
      .i32(0x7fffffff)
      .op(op.i32And)
      .callIndirect(this.regions!.type);
    c.tee(result).op(op.i32WrapI64).tee(BUDGET).op(op.i64ExtendI32U, op.i64Sub, op.i64Add);
    c.memory(op.i64Store, HART_COMPILED);
    c.get(HART).memory(op.i64Load, HART_PC).set(this.target);
    c.get(result).i64(32).op(op.i64ShrU, op.i32WrapI64).tee(kind).i32(EXIT_BAD_ENTRY).op(op.i32Eq).if();
    c.get(HART).get(HART).memory(op.i32Load, HART_REGION).call(this.regions!.badEntry).end();
    c.get(kind).i32(EXIT_SPLIT).op(op.i32Eq).if();
    this.countSplit();
    c.end();
    c.get(kind).i32(EXIT_MASK).op(op.i32And).i32(1).op(op.i32Sub).i32(2).op(op.i32LtU).set(this.noRegion());
    c.i32(0).set(this.region()).end();
  }

  private countSplit(): void {
    const c = this.code;
    const n = this.temp(I32, 25);
    c.get(HART).get(HART).memory(op.i32Load, HART_SPLITS).i32(1).op(op.i32Add).tee(n).memory(op.i32Store, HART_SPLITS);
    c.get(n)
      .i32(SPLITS_PER_CALL - 1)
      .op(op.i32And, op.i32Eqz)
      .if();
    c.get(HART).get(HART).memory(op.i32Load, HART_REGION).call(this.regions!.split).end();
  }

  /**
   * Goes to pc + imm: within the page by moving the record, else by looking it up. Calls and jumps back may lead into compiled code.
   */
  private jumpRelative(isCall: boolean): void {
    const c = this.code;
    const to = this.host;
    c.get(this.record);
    this.immW();
    c.i32(3).op(op.i32Shl, op.i32Add).tee(to).get(this.base).op(op.i32Sub).i32(PAGE_RECORDS_BYTES).op(op.i32LtU).if();
    if (this.regions) {
      this.immW();
      c.i32(0).op(op.i32LtS);
      if (isCall) c.get(this.record).memory(op.i32Load16U, RECORD_RD).i32(HART_SINK).op(op.i32Ne, op.i32Or);
      c.if();
      c.get(this.base).get(to).get(this.base).op(op.i32Sub).i32(2).op(op.i32ShrU, op.i32Add).i32(PAGE_ENTRIES);
      c.op(op.i32Add).set(this.entryAt());
      this.enterOrCount(() => {
        this.pc();
        this.imm();
        c.op(op.i64Add);
      });
      c.end();
    }
    c.get(to).set(this.record).br(this.nextLabel).end();
    this.pc();
    this.imm();
    c.op(op.i64Add).set(this.target).br(this.fetchLabel);
  }

  branch(condition: () => void): void {
    condition();
    this.code.if();
    this.jumpRelative(false);
    this.code.end();
  }

  jal(): void {
    this.setX(() => this.link());
    this.jumpRelative(true);
  }

  jalr(): void {
    const c = this.code;
    this.x(1);
    this.imm();
    c.op(op.i64Add).i64(-2).op(op.i64And).set(this.target);
    this.setX(() => this.link());
    if (this.regions) {
      this.noteTarget(this.regions);
    }
    c.br(this.fetchLabel);
  }

  /** Tells the JIT where an indirect jump goes, unless it went there the last time; returns go back to their calls. */
  private noteTarget(regions: RegionIndices): void {
    const c = this.code;
    const pc = this.temp(I64, 21);
    const note = this.temp(I64, 22);
    const at = this.temp(I32, 25);
    c.get(this.record)
      .memory(op.i32Load16U, RECORD_RS1)
      .i32(HART_X + 8)
      .op(op.i32Ne)
      .if();
    this.pc();
    c.tee(pc)
      .op(op.i32WrapI64)
      .i32(1)
      .op(op.i32ShrU)
      .i32(TARGET_ENTRIES - 1)
      .op(op.i32And)
      .i32(3)
      .op(op.i32Shl)
      .set(at);
    c.get(this.target).i64(32).op(op.i64Shl).get(pc).i64(0xffffffff).op(op.i64And, op.i64Or).set(note);
    c.get(at).memory(op.i64Load, this.layout.targets).get(note).op(op.i64Ne).if();
    c.get(at).get(note).memory(op.i64Store, this.layout.targets);
    c.get(HART).get(pc).memory(op.i64Store, HART_PC);
    c.get(HART).get(this.target).memory(op.i64Store, HART_SCRATCH);
    c.get(HART).call(regions.noteTarget).end().end();
  }

  trap(cause: number): void {
    this.code.i32(cause);
    if (cause === TRAP_ECALL) this.code.br(this.exitLabel);
    else this.leaveUnretired();
  }

  /** The whole function. */
  emit(): void {
    const c = this.code;
    const cause = this.temp(I32, 9);
    c.get(HART).memory(op.i32Load, HART_TLB).set(this.tlb);
    c.get(HART).memory(op.i64Load, HART_PC).set(this.target);
    const all = c.block(I32);
    this.exitLabel = all;
    this.faultLabel = c.block();
    this.fetchLabel = c.loop();
    if (this.regions) this.runRegion();
    this.fetch();
    this.nextLabel = c.loop();
    c.get(BUDGET).op(op.i32Eqz).if();
    c.i32(TRAP_BUDGET).br(this.exitLabel).end();
    c.get(BUDGET).i32(1).op(op.i32Sub).set(BUDGET);
    c.get(this.record).memory(op.i32Load).set(this.word);
    this.advanceLabel = c.block();
    this.dispatch();
    c.end();
    this.advance();
    c.get(this.record).op(op.i32Add).set(this.record).br(this.nextLabel);
    c.end().end();
    c.op(op.unreachable).end();
    // Page faults come here: HART_VA and HART_ACCESS are set.
    c.i32(TRAP_PAGE_FAULT);
    this.leaveUnretired();
    c.end().set(cause);
    this.storePc();
    if (this.countsAccesses) {
      c.get(HART).get(HART).memory(op.i64Load, HART_ACCESSES).get(this.accesses()).op(op.i64Add);
      c.memory(op.i64Store, HART_ACCESSES);
    }
    c.get(HART).get(BUDGET).memory(op.i32Store, HART_BUDGET).get(cause);
  }

  /** `target` to page, records and record. */
  private fetch(): void {
    const c = this.code;
    // A fault here must find pc: the record stands at the start of a page at `target`.
    c.get(this.target).set(this.pageVa).i32(0).set(this.base).i32(0).set(this.record);
    this.loadEntry(this.target, TLB_EXECUTE);
    c.get(this.entry).i64(28).op(op.i64ShrS).get(this.target).i64(12).op(op.i64ShrU, op.i64Eq).if();
    c.get(this.entry).op(op.i32WrapI64).i32(0xfffff).op(op.i32And).i32(CODE_PAGE_BYTES).op(op.i32Mul);
    c.i32(this.layout.code).op(op.i32Add).set(this.base).else();
    c.get(BUDGET).op(op.i32Eqz).if();
    c.i32(TRAP_BUDGET).br(this.exitLabel).end();
    c.get(HART).get(this.target).memory(op.i64Store, HART_PC);
    c.get(HART).call(this.imports.fetch).tee(this.base).op(op.i32Eqz).if();
    c.i32(TRAP_PAGE_FAULT).br(this.exitLabel).end();
    c.end();
    c.get(this.target).i64(-4096).op(op.i64And).set(this.pageVa);
    c.get(this.target).op(op.i32WrapI64).i32(0xffe).op(op.i32And).i32(3).op(op.i32Shl);
    c.get(this.base).op(op.i32Add).set(this.record);
    if (!this.regions) return;
    c.get(this.noRegion()).op(op.i32Eqz).if();
    c.get(this.base).get(this.target).op(op.i32WrapI64).i32(0xffe).op(op.i32And).i32(1).op(op.i32Shl, op.i32Add);
    c.i32(PAGE_ENTRIES).op(op.i32Add).set(this.entryAt());
    this.enterOrCount(() => c.get(this.target));
    c.end();
    c.i32(0).set(this.noRegion());
  }

  private dispatch(): void {
    const c = this.code;
    const bodies: (() => void)[] = [];
    bodies[OP_EMPTY] = () => this.empty();
    bodies[OP_PAGE_END] = () => this.refetch();
    bodies[OP_CROSSING] = () => this.crossing();
    bodies[OP_ILLEGAL] = () => this.trap(TRAP_ILLEGAL);
    bodies[OP_SLOW] = () => this.slow();
    INSTRUCTIONS.forEach((instruction, index) => {
      bodies[OP_FIRST + index] = () => instruction.emit(this);
    });
    // Blocks nest so that branching to block i ends just before body i.
    const labels = bodies.map(() => c.block()).reverse();
    c.get(this.word).i32(0xff).op(op.i32And).brTable(labels, labels[OP_ILLEGAL]);
    for (const body of bodies) {
      c.end();
      body();
      this.done();
    }
  }

  private uncount(): void {
    this.code.get(BUDGET).i32(1).op(op.i32Add).set(BUDGET);
  }

  private empty(): void {
    this.uncount();
    this.code.get(this.record).call(this.imports.fill).brIf(this.nextLabel);
    this.toPc();
  }

  private refetch(): void {
    this.uncount();
    this.toPc();
  }

  private toPc(): void {
    this.pc();
    this.code.set(this.target).br(this.fetchLabel);
  }

  /** Runs the record from the hart's stub page, placed as the last halfword of this one; all around it leads to a fetch. */
  private crossing(): void {
    const c = this.code;
    this.storePc();
    c.get(HART).call(this.imports.crossing).tee(this.host).op(op.i32Eqz).brIf(this.faultLabel);
    c.get(this.host)
      .tee(this.record)
      .i32(PAGE_RECORDS_BYTES - 16)
      .op(op.i32Sub)
      .set(this.base);
    this.uncount();
    c.br(this.nextLabel);
  }
}

export type CompileModule = (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module;

/**
 * Generates the interpreter; what is returned compiles and instantiates it. `walk` is what createWalker made; with `regions`, it also runs compiled
 * code; with `countsAccesses`, it counts loads, stores and atomics (HART_ACCESSES).
 */
export function createInterpreter(
  memory: WebAssembly.Memory,
  layout: Layout,
  imports: EngineImports & { walk: WebAssembly.ExportValue },
  regions: RegionImports | undefined,
  countsAccesses: boolean,
): (compile: CompileModule) => EngineRun {
  const builder = new ModuleBuilder(layout.pages);
  const one: Signature = { parameters: [I32], results: [I32] };
  const two: Signature = { parameters: [I32, I32], results: [I32] };
  const told: Signature = { parameters: [I32, I32], results: [] };
  const indices = {
    load: builder.importFunction("load", two),
    store: builder.importFunction("store", two),
    atomic: builder.importFunction("atomic", two),
    fetch: builder.importFunction("fetch", one),
    fill: builder.importFunction("fill", one),
    crossing: builder.importFunction("crossing", one),
    slow: builder.importFunction("slow", two),
  };
  const walker = builder.importFunction("walk", WALK_SIGNATURE);
  const regionIndices = regions && {
    threshold: regions.threshold,
    hot: builder.importFunction("hot", told),
    badEntry: builder.importFunction("badEntry", told),
    split: builder.importFunction("split", told),
    noteTarget: builder.importFunction("noteTarget", { parameters: [I32], results: [] }),
    type: builder.type(REGION_SIGNATURE),
  };
  if (regions) builder.importTable("regions");
  builder.function(two, "run", (code) =>
    new InterpreterEmitter(code, indices, layout, walker, regionIndices, countsAccesses).emit(),
  );
  const bytes = builder.finish();
  const e = { memory, ...imports, ...(regions as object | undefined) };
  return (compile) => new WebAssembly.Instance(compile(bytes), { e }).exports.run as EngineRun;
}
