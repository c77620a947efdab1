// Decoded instructions as the interpreter reads them: 16-byte records (layout.ts). Owns the numbering of operations: the instruction
// table's, plus a few of the interpreter's own.
import {
  HART_F,
  HART_SINK,
  HART_X,
  RECORD_ADVANCE,
  RECORD_INDEX,
  RECORD_OP,
  RECORD_RD,
  RECORD_RM,
  RECORD_RS3,
} from "./layout.ts";
import { INSTRUCTIONS, SHAPES, expand, findInstruction, immediateOf } from "./isa/table.ts";
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

/** What the records of an instruction have in common. Code that runs for the first time is decoded here, which must be quick: no objects are made. */
interface Template {
  readonly ends: boolean;
  readonly rounds: boolean;
  /** Whether it has an integer result. */
  readonly hasRd: boolean;
  /** Where register 0 of each operand is in the hart struct. */
  readonly rdBase: number;
  readonly rs1Base: number;
  readonly rs2Base: number;
}

const bank = (isFloat: boolean): number => (isFloat ? HART_F : HART_X);

const TEMPLATES: readonly Template[] = INSTRUCTIONS.map(({ tokens, ends }, index) => {
  const { fd, fs1, fs2 } = SHAPES[index];
  return {
    ends,
    rounds: tokens.includes("rm"),
    hasRd: tokens.includes("rd"),
    rdBase: bank(fd),
    rs1Base: bank(fs1),
    rs2Base: bank(fs2),
  };
});

/** Writes a record as its four words. */
function write({ u32 }: Ram, at: number, w0: number, w1: number, w2: number, w3: number): void {
  const to = at >>> 2;
  u32[to] = w0;
  u32[to + 1] = w1;
  u32[to + 2] = w2;
  u32[to + 3] = w3;
}

/** A record of the last halfword of a page, where an instruction of 32 bits starts. */
export function writeCrossing(ram: Ram, at: number): void {
  write(ram, at, OP_CROSSING, 0, 0, 0);
}

/**
 * Writes the record of the instruction whose first 16 bits are in the low half of `word`. Returns its length in bytes; 0 if a straight line of code
 * ends with it.
 */
export function encodeRecord(ram: Ram, at: number, word: number): number {
  const full = expand(word);
  const index = findInstruction(full);
  if (index < 0) {
    write(ram, at, OP_ILLEGAL, 0, 0, 0);
    return 0;
  }
  const t = TEMPLATES[index];
  const shape = SHAPES[index];
  const length = (word & 3) === 3 ? 4 : 2;
  const rd = (full >>> 7) & shape.rd;
  const rs1 = (full >>> 15) & shape.rs1;
  const rdAt = rd === 0 && t.rdBase === HART_X ? HART_SINK : t.rdBase + 8 * rd;
  const rs1At = t.rs1Base + 8 * rs1;
  const rs3At = HART_F + 8 * (full >>> 27);
  if (t.rounds) {
    const rm = (full >>> 12) & 7;
    const truncates = t.hasRd && rm === RTZ;
    const operation = rm === RNE || rm === DYNAMIC || truncates ? OP_FIRST + index : OP_SLOW;
    // A conversion to integer truncates if (fcsr & imm) ^ rs2 is 0.
    const rs2At = !t.hasRd ? t.rs2Base + 8 * ((full >>> 20) & shape.rs2) : truncates ? 0 : RTZ << 5;
    write(
      ram,
      at,
      first(operation, length, rdAt),
      rs1At | (rs2At << 16),
      rm === DYNAMIC ? FRM : 0,
      last(rs3At, rm, index),
    );
  } else {
    const rs2At = t.rs2Base + 8 * ((full >>> 20) & shape.rs2);
    write(
      ram,
      at,
      first(OP_FIRST + index, length, rdAt),
      rs1At | (rs2At << 16),
      immediateOf(index, full),
      last(rs3At, rs1, index),
    );
  }
  return t.ends ? 0 : length;
}

const first = (operation: number, length: number, rdAt: number): number =>
  (operation << (8 * RECORD_OP)) | ((length * 8) << (8 * RECORD_ADVANCE)) | (rdAt << (8 * RECORD_RD));

const last = (rs3At: number, rm: number, index: number): number =>
  (rs3At << (8 * (RECORD_RS3 - 12))) | (rm << (8 * (RECORD_RM - 12))) | (index << (8 * (RECORD_INDEX - 12)));
