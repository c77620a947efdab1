// The form of the instruction table: encoding, operands (which are also the assembly text), semantics. Owns the operand notation.
//
// Operand notation: `rd rs1 rs2` integer and `fd fs1 fs2 fs3` FP registers; immediates `i` (I-type), `s`, `b`, `u`, `j`, `sh6`, `sh5`,
// `z` (CSR immediate); `csr`; `rm` (rounding mode). Everything else in the text is punctuation.
import type { Emitter } from "./emitter.ts";

export interface Instruction {
  readonly name: string;
  /** The instruction is this one if (word & mask) === match. */
  readonly mask: number;
  readonly match: number;
  readonly operands: string;
  /** Parsed `operands`. */
  readonly tokens: readonly string[];
  /** Writes WebAssembly that does it. */
  readonly emit: (e: Emitter) => void;
  /** Does it out of line; returns 0 or a trap cause. Present if `emit` may call Emitter.slow. */
  readonly slow?: (s: SlowOperands) => number;
  /** Ends a straight line of code: control never simply goes on to the next instruction. */
  readonly ends: boolean;
}

/** The operands of one instruction that is done out of line. Values of registers as unsigned 64-bit integers. */
export interface SlowOperands {
  /** Register numbers (for CSR immediates rs1 is the immediate). */
  readonly rd: number;
  readonly rs1: number;
  readonly imm: number;
  /** The rounding mode to use, or -1 if the instruction or frm names a reserved one. */
  readonly rounding: number;
  x(source: 1 | 2): bigint;
  f(source: 1 | 2 | 3): bigint;
  setX(value: bigint): void;
  setF(value: bigint): void;
  fcsr: number;
  /** Instructions retired so far on this hart, this one excluded; and the time CSR. */
  readonly instret: number;
  readonly time: bigint;
}

/** Decoded fields of one instruction in memory. */
export interface Decoded {
  instruction: Instruction;
  /** Its 16 or 32 bits. */
  word: number;
  /** Index in the table. */
  index: number;
  /** Bytes: 2 or 4. */
  length: number;
  rd: number;
  rs1: number;
  rs2: number;
  rs3: number;
  /** Sign-extended; for csr instructions the CSR number. */
  imm: number;
  rm: number;
  /** True if rd, rs1, rs2 are FP registers. */
  fd: boolean;
  fs1: boolean;
  fs2: boolean;
}

export interface Definition {
  name: string;
  mask: number;
  match: number;
  operands: string;
  emit: (e: Emitter) => void;
  slow?: (s: SlowOperands) => number;
  ends?: true;
}

export function define(d: Definition): Instruction {
  return {
    name: d.name,
    mask: d.mask >>> 0,
    match: d.match >>> 0,
    operands: d.operands,
    tokens: d.operands.match(/[a-z]+[0-9]*/g) ?? [],
    emit: d.emit,
    ...(d.slow ? { slow: d.slow } : {}),
    ends: d.ends === true,
  };
}

export const OPCODE_MASK = 0x7f;
export const FUNCT3_MASK = 0x707f;
export const FUNCT7_MASK = 0xfe00707f;

/** `opcode` with funct3 in its place. */
export const funct3 = (opcode: number, f3: number): number => opcode | (f3 << 12);
/** `opcode` with funct3 and funct7 in their places. */
export const funct7 = (opcode: number, f3: number, f7: number): number => opcode | (f3 << 12) | (f7 << 25);
