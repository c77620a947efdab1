// Harts and their registers. A Hart runs guest code through an engine until a trap; the kernel reads and writes its registers between
// runs. Owns the hart structs in the machine's memory (layout.ts).
import { type Pfn, asPfn } from "../base/numbers.ts";
import type { EngineRun } from "./interpreter.ts";
import {
  HART_ACCESS,
  HART_BUDGET,
  HART_EXTENTS,
  HART_F,
  HART_FCSR,
  HART_PC,
  HART_RESERVED,
  HART_ROOT,
  HART_TLB,
  HART_VA,
  HART_X,
  REGISTER_BYTES,
} from "./layout.ts";
import type { Tlb } from "./tlb.ts";
import { TRAP_BUDGET, TRAP_ECALL, TRAP_ILLEGAL, type Trap } from "./trap.ts";

export {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  TRAP_BREAKPOINT,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_ILLEGAL,
  TRAP_MISALIGNED,
  TRAP_PAGE_FAULT,
  type Trap,
} from "./trap.ts";

const TWO_32 = 2 ** 32;

/** 32 integer and 32 FP registers, pc and fcsr: those of a hart, live, or a saved set. Register 0 reads 0; do not write it. */
export class RegisterFile {
  private readonly u32: Uint32Array;
  #u64: BigUint64Array | null = null;

  /** `offset`: a multiple of 8. Use RegisterFile.create for a saved set. */
  constructor(buffer: ArrayBufferLike, offset: number) {
    this.u32 = new Uint32Array(buffer, offset, REGISTER_BYTES / 4);
  }

  /** The same as 64-bit words: made when it is first needed, as most tasks live without. */
  private get u64(): BigUint64Array {
    return (this.#u64 ??= new BigUint64Array(this.u32.buffer, this.u32.byteOffset, REGISTER_BYTES / 8));
  }

  /** A set outside the machine's memory, all zero. */
  static create(): RegisterFile {
    return new RegisterFile(new ArrayBuffer(REGISTER_BYTES), 0);
  }

  /** x[i] as an unsigned 64-bit integer. */
  x(i: number): bigint {
    return this.u64[HART_X / 8 + i];
  }

  /** Sets x[i] modulo 2^64. */
  setX(i: number, value: bigint): void {
    this.u64[HART_X / 8 + i] = value;
  }

  /** The low and high word of x[i], unsigned. */
  lo(i: number): number {
    return this.u32[HART_X / 4 + 2 * i];
  }

  hi(i: number): number {
    return this.u32[HART_X / 4 + 2 * i + 1];
  }

  /** x[i] as an unsigned number: exact below 2^53. */
  unsigned(i: number): number {
    return this.hi(i) * TWO_32 + this.lo(i);
  }

  /** x[i] as a signed number: exact within 2^53. */
  signed(i: number): number {
    return (this.hi(i) | 0) * TWO_32 + this.lo(i);
  }

  /** Sets x[i] to an integer within 2^53, sign-extended. */
  setNumber(i: number, n: number): void {
    this.u32[HART_X / 4 + 2 * i] = n;
    this.u32[HART_X / 4 + 2 * i + 1] = Math.floor(n / TWO_32);
  }

  /** The address of the next instruction. */
  get pc(): number {
    return this.u32[HART_PC / 4 + 1] * TWO_32 + this.u32[HART_PC / 4];
  }

  set pc(value: number) {
    this.u32[HART_PC / 4] = value & ~1;
    this.u32[HART_PC / 4 + 1] = value / TWO_32;
  }

  /** The bits of f[i] (a single is NaN-boxed). */
  f(i: number): bigint {
    return this.u64[HART_F / 8 + i];
  }

  setF(i: number, bits: bigint): void {
    this.u64[HART_F / 8 + i] = bits;
  }

  /** fflags in bits 0 to 4, frm in 5 to 7. */
  get fcsr(): number {
    return this.u32[HART_FCSR / 4];
  }

  set fcsr(value: number) {
    this.u32[HART_FCSR / 4] = value & 0xff;
  }

  copyFrom(other: RegisterFile): void {
    this.u32.set(other.u32);
  }
}

/** What harts of one machine share. */
export interface HartContext {
  readonly buffer: ArrayBufferLike;
  readonly tlb: Tlb;
  run: EngineRun;
  /** Called when a budget has ended: a moment to put another engine in the place of `run`. */
  ended: () => void;
  /** The 16 or 32 bits of the instruction at HART_PC, for the trap record. */
  instructionAt(hart: number): number;
  /** The hart that ran last, whose reservation another one's stores may break. */
  last: Hart | undefined;
  /** Whom to tell every so many instructions where a hart is. */
  sampling: { readonly interval: number; readonly take: (hart: Hart) => void } | undefined;
}

export class Hart {
  readonly id: number;
  readonly registers: RegisterFile;
  /** Instructions retired, total. An ecall counts; an instruction that faults or is illegal does not. */
  instret = 0;
  private readonly offset: number;
  private readonly context: HartContext;
  private readonly u32: Uint32Array;
  private space: Pfn = asPfn(0);
  /** The budget of the run under way; 0 between runs. */
  private running = 0;
  private readonly trap: Trap = { cause: TRAP_BUDGET, pc: 0, va: 0, access: 0, instruction: 0 };

  /** For createHardware. */
  constructor(id: number, offset: number, context: HartContext) {
    this.id = id;
    this.offset = offset;
    this.context = context;
    this.u32 = new Uint32Array(context.buffer);
    this.registers = new RegisterFile(context.buffer, offset);
  }

  /** The root table of the current address space; 0 before the first switchTo. */
  get root(): Pfn {
    return this.space;
  }

  /** Instructions retired when `left` of the budget of the run under way remain. */
  instretWith(left: number): number {
    return this.instret + this.running - left;
  }

  /** Instructions retired as of the last time that the engine told; exact between runs. */
  instretNow(): number {
    return this.instretWith(this.u32[(this.offset + HART_BUDGET) >>> 2]);
  }

  /** Writes satp. Flushes nothing. */
  switchTo(root: Pfn): void {
    if (root === this.space) return;
    this.space = root;
    this.u32[(this.offset + HART_ROOT) >>> 2] = root;
    this.u32[(this.offset + HART_TLB) >>> 2] = 0;
  }

  /** Forgets the reservation of LR, as hardware may at any time. */
  clearReservation(): void {
    this.u32[(this.offset + HART_RESERVED) >>> 2] = 0;
  }

  /** In pieces of the sampling interval; HART_BUDGET as after one run. */
  private runSampled(budget: number, sampling: NonNullable<HartContext["sampling"]>): number {
    const { u32, offset, context } = this;
    const at = (offset + HART_BUDGET) >>> 2;
    for (let left = budget; ;) {
      const phase = (this.instret + budget - left) % sampling.interval;
      const piece = Math.min(left, sampling.interval - phase);
      this.running = budget - left + piece;
      const cause = context.run(offset, piece);
      left -= piece - u32[at];
      if (cause !== TRAP_BUDGET || left === 0) {
        u32[at] = left;
        this.running = budget;
        return cause;
      }
      sampling.take(this);
    }
  }

  /**
   * Executes `budget` (0 to 2^31 - 1) instructions from pc on, or fewer if a trap comes first. The result is one reused object.
   * Needs an address space (switchTo).
   */
  run(budget: number): Trap {
    const { context, offset, u32, trap } = this;
    if (context.last !== this) {
      context.last?.clearReservation();
      context.last = this;
    }
    // The slot stays the hart's until it has another space; the room for its extents another hart's may get.
    const slot = u32[(offset + HART_TLB) >>> 2] || context.tlb.slotFor(this.id, this.space);
    u32[(offset + HART_TLB) >>> 2] = slot;
    u32[(offset + HART_EXTENTS) >>> 2] = context.tlb.extentsFor(slot);
    u32[(offset + HART_BUDGET) >>> 2] = budget;
    this.running = budget;
    const cause = context.sampling ? this.runSampled(budget, context.sampling) : context.run(offset, budget);
    this.instret += budget - u32[(offset + HART_BUDGET) >>> 2];
    this.running = 0;
    u32[(offset + HART_BUDGET) >>> 2] = 0;
    trap.cause = cause;
    trap.pc = this.registers.pc;
    if (cause === TRAP_BUDGET) context.ended();
    else if (cause > TRAP_ECALL) {
      trap.va = u32[(offset + HART_VA + 4) >>> 2] * TWO_32 + u32[(offset + HART_VA) >>> 2];
      trap.access = u32[(offset + HART_ACCESS) >>> 2];
      trap.instruction = cause === TRAP_ILLEGAL ? context.instructionAt(offset) : 0;
    }
    return trap;
  }
}
