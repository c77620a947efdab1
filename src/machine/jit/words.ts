// Which instructions give a sign-extended 32-bit word, so that the JIT keeps their results in i32 locals. Knows names, nothing else.
// Measured: narrowing made SHA-256 1.3 times as fast (V8 finds rotates, and extensions go away).
import { op } from "../../wasm/assembler.ts";
import type { Decoded } from "../isa/instruction.ts";
import { INSTRUCTIONS } from "../isa/table.ts";
import { facts } from "./facts.ts";

/** On words these do in 32 bits what they do in 64: the result, or the condition, is the same word. */
const BY_NAME: Readonly<Record<string, number>> = {
  and: op.i32And,
  or: op.i32Or,
  xor: op.i32Xor,
  andi: op.i32And,
  ori: op.i32Or,
  xori: op.i32Xor,
  slt: op.i32LtS,
  sltu: op.i32LtU,
  slti: op.i32LtS,
  sltiu: op.i32LtU,
  beq: op.i32Eq,
  bne: op.i32Ne,
  blt: op.i32LtS,
  bge: op.i32GeS,
  bltu: op.i32LtU,
  bgeu: op.i32GeU,
};

const ON_WORDS: readonly (number | undefined)[] = INSTRUCTIONS.map(({ name }) => BY_NAME[name]);

/** Whether a register is in a set of words (bit i for x[i]); x[0] always is one. */
export const isWordIn = (words: number, register: number): boolean => (((words | 1) >>> register) & 1) !== 0;

/** Loads of words and less as i32 loads. */
export const WORD_LOADS: ReadonlyMap<number, number> = new Map([
  [op.i64Load8S, op.i32Load8S],
  [op.i64Load8U, op.i32Load8U],
  [op.i64Load16S, op.i32Load16S],
  [op.i64Load16U, op.i32Load16U],
  [op.i64Load32S, op.i32Load],
]);

/** A copy of x[rs] (0: of zero): the number of rs, else undefined. */
export function copied(d: Decoded): number | undefined {
  const { name } = d.instruction;
  if (name === "addi" && d.imm === 0) return d.rs1;
  if (name !== "add") return undefined;
  return d.rs1 === 0 ? d.rs2 : d.rs2 === 0 ? d.rs1 : undefined;
}

/** Whether it is an and with a mask without sign bit, whose result is a word whatever the other operand. */
const isMask = (d: Decoded, operation: number): boolean => operation === op.i32And && d.imm >= 0 && !facts(d).rs2;

/** The i32 opcode that does the instruction on words, if its sources are among `words` (bit i for x[i]). */
export function wordOperation(d: Decoded, words: number): number | undefined {
  const operation = ON_WORDS[d.index];
  if (operation === undefined) return undefined;
  if (isMask(d, operation)) return operation;
  if (!isWordIn(words, d.rs1)) return undefined;
  return facts(d).rs2 && !isWordIn(words, d.rs2) ? undefined : operation;
}

/** Results that are words without sign whatever the operands. */
const WITHOUT_SIGN = new Set("lbu lhu slt sltu slti sltiu feq.s flt.s fle.s feq.d flt.d fle.d sc.w sc.d".split(" "));

/** Whether the result is a word without sign, given the registers that hold one. */
export function isWithoutSign(d: Decoded, among: number): boolean {
  const { name } = d.instruction;
  const [first, second] = [isWordIn(among, d.rs1), isWordIn(among, d.rs2)];
  const source = copied(d);
  if (source !== undefined) return isWordIn(among, source);
  switch (name) {
    case "addi":
      return d.rs1 === 0 && d.imm >= 0;
    case "lui":
    case "andi":
      return d.imm >= 0 || (name === "andi" && first);
    case "ori":
    case "xori":
      return d.imm >= 0 && first;
    case "srliw":
      return d.imm > 0 || first;
    case "sraiw":
      return first;
    case "addiw":
      return d.imm === 0 && first;
    case "and":
      return first || second;
    case "or":
    case "xor":
      return first && second;
    default:
      return WITHOUT_SIGN.has(name);
  }
}

/** Some register that never is among words. */
const NEVER = 1;

/** Registers that must hold words (bit i for x[i]) for the integer result to be one: 0 if it always is, x[0] if never. */
export function wordCondition(d: Decoded): number {
  const { name } = d.instruction;
  if (facts(d).givesWord || (name === "addi" && d.rs1 === 0)) return 0;
  if ((name === "srai" && d.imm >= 32) || (name === "srli" && d.imm > 32)) return 0;
  const source = copied(d);
  if (source !== undefined) return (1 << source) & ~1;
  const operation = ON_WORDS[d.index];
  if (operation === undefined) return NEVER;
  if (isMask(d, operation)) return 0;
  return ((1 << d.rs1) | (facts(d).rs2 ? 1 << d.rs2 : 0)) & ~1;
}
