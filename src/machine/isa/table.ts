// The one table of all instructions, and the decoder made from it. Both engines, the disassembler and the tests start here.
import { ATOMIC } from "./atomic.ts";
import { BASE } from "./base.ts";
import { expandCompressed } from "./compressed.ts";
import { FLOAT } from "./float.ts";
import type { Decoded, Instruction } from "./instruction.ts";
import { MULTIPLY } from "./multiply.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

export const INSTRUCTIONS: readonly Instruction[] = [...BASE, ...MULTIPLY, ...ATOMIC, ...SYSTEM_INSTRUCTIONS, ...FLOAT];

const FUNCT3 = 0x7000;

/** Table indices by major opcode and funct3 (bits 2 to 6, and 12 to 14 above them): what a decoder must try. */
const CANDIDATES: readonly (readonly number[])[] = candidates();

function candidates(): number[][] {
  const found: number[][] = Array.from({ length: 256 }, () => []);
  INSTRUCTIONS.forEach(({ mask, match }, index) => {
    for (let f3 = 0; f3 < FUNCT3 + 1; f3 += 0x1000) {
      if ((f3 & mask) === (match & mask & FUNCT3)) found[((match >>> 2) & 31) | (f3 >>> 7)].push(index);
    }
  });
  return found;
}

/** The table index of a 32-bit instruction, or -1. */
export function findInstruction(word: number): number {
  if ((word & 3) !== 3) return -1;
  for (const index of CANDIDATES[((word >>> 2) & 31) | ((word & FUNCT3) >>> 7)]) {
    const { mask, match } = INSTRUCTIONS[index];
    if ((word & mask) >>> 0 === match) return index;
  }
  return -1;
}

function immediate(token: string, word: number): number {
  switch (token) {
    case "i":
      return word >> 20;
    case "s":
      return ((word >> 25) << 5) | ((word >>> 7) & 31);
    case "b":
      return (
        ((word >> 31) << 12) | (((word >>> 7) & 1) << 11) | (((word >>> 25) & 63) << 5) | (((word >>> 8) & 15) << 1)
      );
    case "u":
      return word & 0xfffff000;
    case "j":
      return (
        ((word >> 31) << 20) |
        (((word >>> 12) & 255) << 12) |
        (((word >>> 20) & 1) << 11) |
        (((word >>> 21) & 1023) << 1)
      );
    case "sh6":
      return (word >>> 20) & 63;
    case "sh5":
      return (word >>> 20) & 31;
    case "csr":
      return word >>> 20;
    default:
      return 0;
  }
}

/** What of its operands the decoders need to know of an instruction. */
interface Shape {
  readonly immediate: string;
  /** Masks of rd, rs1 and rs2: 31 where they are registers, else 0; and whether these are floating-point ones. */
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly fd: boolean;
  readonly fs1: boolean;
  readonly fs2: boolean;
}

/** The shapes, by table index. */
export const SHAPES: readonly Shape[] = INSTRUCTIONS.map((instruction) => {
  const has = (token: string): boolean => instruction.tokens.includes(token);
  const mask = (...tokens: string[]): number => (tokens.some(has) ? 31 : 0);
  return {
    immediate: ["i", "s", "b", "u", "j", "sh6", "sh5", "csr"].find(has) ?? "",
    fd: has("fd"),
    fs1: has("fs1"),
    fs2: has("fs2"),
    rs1: mask("rs1", "fs1", "z"),
    rs2: mask("rs2", "fs2"),
    rd: mask("rd", "fd"),
  };
});

/** The instruction whose first 16 bits are in the low half of `word`, in 32 bits; what findInstruction does not find if it is not a legal one. */
export const expand = (word: number): number => ((word & 3) === 3 ? word : expandCompressed(word & 0xffff));

/** The immediate of a 32-bit instruction, sign-extended, or its CSR number. */
export const immediateOf = (index: number, full: number): number => immediate(SHAPES[index].immediate, full);

/**
 * Decodes the instruction whose first 16 bits are in the low half of `word` (the high half matters for 32-bit ones only).
 * Undefined: not a legal instruction.
 */
export function decode(word: number): Decoded | undefined {
  const length = (word & 3) === 3 ? 4 : 2;
  const full = expand(word);
  const index = findInstruction(full);
  if (index < 0) return undefined;
  const shape = SHAPES[index];
  return {
    instruction: INSTRUCTIONS[index],
    word: length === 4 ? word >>> 0 : word & 0xffff,
    index,
    length,
    rd: (full >>> 7) & shape.rd,
    rs1: (full >>> 15) & shape.rs1,
    rs2: (full >>> 20) & shape.rs2,
    rs3: full >>> 27,
    imm: immediateOf(index, full),
    rm: (full >>> 12) & 7,
    fd: shape.fd,
    fs1: shape.fs1,
    fs2: shape.fs2,
  };
}
