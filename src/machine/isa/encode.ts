// The table backwards: instructions as 32-bit words from a name and operands. For tests, fuzzers and small programs (signal trampolines).
import type { Instruction } from "./instruction.ts";
import { INSTRUCTIONS } from "./table.ts";

/** Operands; what is left out is 0 (rm: dynamic). Registers are numbers 0 to 31, integer or FP as the instruction has it. */
export interface Operands {
  rd?: number;
  rs1?: number;
  rs2?: number;
  rs3?: number;
  imm?: number;
  rm?: number;
}

const BY_NAME = new Map(INSTRUCTIONS.map((instruction) => [instruction.name, instruction]));

/** The instruction called `name` (lower case, as assemblers write it); throws if there is none. */
export function instructionNamed(name: string): Instruction {
  const instruction = BY_NAME.get(name);
  if (!instruction) throw new Error(`no instruction ${name}`);
  return instruction;
}

function immediateBits(token: string, n: number): number {
  switch (token) {
    case "i":
    case "csr":
      return n << 20;
    case "s":
      return ((n >> 5) << 25) | ((n & 31) << 7);
    case "b":
      return (((n >> 12) & 1) << 31) | (((n >> 5) & 63) << 25) | (((n >> 1) & 15) << 8) | (((n >> 11) & 1) << 7);
    case "u":
      return n & 0xfffff000;
    case "j":
      return (((n >> 20) & 1) << 31) | (((n >> 1) & 1023) << 21) | (((n >> 11) & 1) << 20) | (((n >> 12) & 255) << 12);
    case "sh6":
      return (n & 63) << 20;
    case "sh5":
      return (n & 31) << 20;
    default:
      return 0;
  }
}

/** Encodes one instruction, e.g. `encode("addi", { rd: 10, rs1: 0, imm: 1 })`. */
export function encode(name: string, operands: Operands = {}): number {
  const { match, tokens } = instructionNamed(name);
  let word = match;
  for (const token of tokens) {
    if (token === "rd" || token === "fd") word |= (operands.rd ?? 0) << 7;
    else if (token === "rs1" || token === "fs1" || token === "z") word |= (operands.rs1 ?? 0) << 15;
    else if (token === "rs2" || token === "fs2") word |= (operands.rs2 ?? 0) << 20;
    else if (token === "fs3") word |= (operands.rs3 ?? 0) << 27;
    else if (token === "rm") word |= (operands.rm ?? 7) << 12;
    else word |= immediateBits(token, operands.imm ?? 0);
  }
  return word >>> 0;
}
