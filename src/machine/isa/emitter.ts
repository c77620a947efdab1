// What the semantics of an instruction may ask of an engine: operands, results, memory, control. Each engine that compiles instructions
// (interpreter, JIT) implements it; the instruction table is written against it and knows nothing else.
import type { Code, ValueType } from "../../wasm/assembler.ts";

/** Where a loaded value goes: an integer register (i64 on the stack), or an FP register as double (f64) or boxed single (f32). */
export type LoadTarget = "x" | "d" | "s";

/** One of the CSR instructions. */
export interface CsrAccess {
  readonly kind: "swap" | "set" | "clear";
  readonly immediate: boolean;
}

export interface Emitter {
  readonly code: Code;

  /** Whether WebAssembly's relaxed multiply-add rounds once here (wasm/relaxed.ts). */
  readonly isFused: boolean;

  /** Whether the flag NX is set already, so that inexact results need no record; undefined: found out as the instruction runs. */
  readonly assumeInexact: boolean | undefined;

  /** Whether rare cases are worth their code, which there is once (an interpreter); else they go the slow way. */
  readonly coversRare: boolean;

  /** Whether source registers 1 and 2 are known to be the same. */
  readonly hasSameSources: boolean;

  /** A scratch local, the same one for the same type and number everywhere in the function. */
  temp(type: ValueType, number: number): number;

  /** Pushes integer source register 1 or 2 as i64. */
  x(source: 1 | 2): void;
  /** Pushes its low word as i32. */
  w(source: 1 | 2): void;
  /** Writes rd with the i64 that `value` pushes (x0: thrown away). */
  setX(value: () => void): void;
  /** Writes rd with the i32 that `value` pushes, sign-extended. */
  setW(value: () => void): void;
  /** Pushes the immediate as i64, or its low word as i32. */
  imm(): void;
  immW(): void;
  /** Pushes pc, or the address of the next instruction in memory, as i64. */
  pc(): void;
  link(): void;

  /** Pushes FP source register 1 to 3: its bits (i64), as double (f64), as single (f32: canonical NaN unless NaN-boxed). */
  fbits(source: 1 | 2 | 3): void;
  fd(source: 1 | 2 | 3): void;
  fs(source: 1 | 2 | 3): void;
  setFbits(value: () => void): void;
  setFd(value: () => void): void;
  /** Writes a single, NaN-boxed. */
  setFs(value: () => void): void;
  /** Pushes fcsr as i32. */
  fcsr(): void;
  /** Pushes an i32 that is not 0 unless the instruction rounds to nearest, ties to even. */
  otherRounding(): void;
  /** Pushes an i32 that is not 0 unless the instruction rounds towards zero. */
  otherTruncation(): void;
  /** Does the whole instruction out of line (Instruction.slow) and goes to its end. */
  slow(): void;
  /**
   * Accesses the CSR in imm: rd = old value; writes `combine(old, operand)`, where the operand is x[rs1] or, `immediate`, the number
   * rs1. An engine may do all of it out of line.
   */
  csr(access: CsrAccess): void;
  /** Goes on with the next instruction: the end of this one. */
  done(): void;

  /** Loads `size` bytes at x[rs1] + imm with the given load opcode. */
  load(opcode: number, size: number, target: LoadTarget): void;
  /** Stores what `value` pushes with the given store opcode at x[rs1] + imm. */
  store(opcode: number, size: number, value: () => void): void;
  /** rd = old value at x[rs1]; stores what `combine` pushes, which finds the old value (i64, sign-extended) in local `old`. */
  amo(size: 4 | 8, combine: (old: number) => void): void;
  loadReserved(size: 4 | 8): void;
  storeConditional(size: 4 | 8): void;

  /** Jumps to pc + imm if the i32 that `condition` pushes is not 0. */
  branch(condition: () => void): void;
  jal(): void;
  jalr(): void;
  /** Leaves the engine with a trap; pc stays at this instruction. */
  trap(cause: number): void;
}
