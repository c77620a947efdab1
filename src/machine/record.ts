// Decoded instructions as the interpreter reads them: 16-byte records (layout.ts). Owns the numbering of operations: the instruction
// table's, plus a few of the interpreter's own.
import {
  HART_F,
  HART_SINK,
  HART_X,
  RECORD_ADVANCE,
  RECORD_IMM,
  RECORD_INDEX,
  RECORD_OP,
  RECORD_RD,
  RECORD_RM,
  RECORD_RS1,
  RECORD_RS2,
  RECORD_RS3,
} from "./layout.ts";
import type { Decoded } from "./isa/instruction.ts";
import type { Ram } from "./ram.ts";

/** Empty: decode it. */
export const OP_EMPTY = 0;
/** Past the last instruction of a page: look up pc. */
export const OP_PAGE_END = 1;
/** The last halfword of a page starts an instruction of 32 bits. */
export const OP_CROSSING = 2;
export const OP_ILLEGAL = 3;
/** Always out of line (a static rounding mode that WebAssembly lacks). */
export const OP_SLOW = 4;
/** Table index i is operation OP_FIRST + i. */
export const OP_FIRST = 5;

const RNE = 0;
const RTZ = 1;
const DYNAMIC = 7;
/** What fcsr is masked with to find a rounding mode that is not the one wanted: none, or frm. */
const FRM = 0xe0;

export function writePageEnd(ram: Ram, at: number): void {
  ram.u32[at >>> 2] = OP_PAGE_END;
}

export function encodeRecord(ram: Ram, at: number, d: Decoded | "crossing" | undefined): void {
  ram.u8.fill(0, at, at + 16);
  if (d === undefined || d === "crossing") {
    ram.u8[at + RECORD_OP] = d === undefined ? OP_ILLEGAL : OP_CROSSING;
    return;
  }
  const { tokens } = d.instruction;
  const has = (token: string): boolean => tokens.includes(token);
  const rounds = has("rm");
  const truncates = rounds && has("rd") && d.rm === RTZ;
  const fast = !rounds || d.rm === RNE || d.rm === DYNAMIC || truncates;
  ram.u8[at + RECORD_OP] = fast ? OP_FIRST + d.index : OP_SLOW;
  ram.u8[at + RECORD_ADVANCE] = d.length * 8;
  ram.u16[(at + RECORD_RD) >>> 1] = d.fd ? HART_F + 8 * d.rd : d.rd === 0 ? HART_SINK : HART_X + 8 * d.rd;
  ram.u16[(at + RECORD_RS1) >>> 1] = (d.fs1 ? HART_F : HART_X) + 8 * d.rs1;
  ram.u16[(at + RECORD_RS2) >>> 1] = (d.fs2 ? HART_F : HART_X) + 8 * d.rs2;
  ram.u16[(at + RECORD_RS3) >>> 1] = HART_F + 8 * d.rs3;
  ram.i32[(at + RECORD_IMM) >>> 2] = rounds ? (d.rm === DYNAMIC ? FRM : 0) : d.imm;
  // A conversion to integer truncates if (fcsr & imm) ^ rs2 is 0.
  if (rounds && has("rd")) ram.u16[(at + RECORD_RS2) >>> 1] = truncates ? 0 : RTZ << 5;
  ram.u8[at + RECORD_RM] = rounds ? d.rm : d.rs1;
  ram.u8[at + RECORD_INDEX] = d.index;
}
