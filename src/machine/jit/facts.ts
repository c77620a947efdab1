// What the JIT wants to know of each instruction of the table, found once. Knows names; the rest of the JIT asks by Decoded.index.
import type { Decoded, Instruction } from "../isa/instruction.ts";
import { INSTRUCTIONS } from "../isa/table.ts";

export interface Facts {
  readonly rd: boolean;
  readonly rs1: boolean;
  readonly rs2: boolean;
  readonly fd: boolean;
  readonly fs1: boolean;
  readonly fs2: boolean;
  readonly fs3: boolean;
  /** Has a rounding mode. */
  readonly rounds: boolean;
  readonly isCsr: boolean;
  readonly isBranch: boolean;
  /** Left to the interpreter: traps, and what always takes the slow path. */
  readonly isInterpreted: boolean;
  /** The result is always a sign-extended word; a single, boxed by the emitter. */
  readonly givesWord: boolean;
  readonly givesSingle: boolean;
  /** Moves a pointer within the object it points to, more often than not. */
  readonly isSteady: boolean;
  /** Loads or stores at x[rs1] + imm. */
  readonly access: "load" | "store" | undefined;
  /** Whether it may be left to the interpreter, if it is no such access. */
  readonly mayLeave: boolean;
  /** Bytes that it accesses so. */
  readonly size: number;
}

/** Results that are sign-extended words whatever the operands. */
const ALWAYS_WORDS = new Set(
  (
    "lui addiw slliw srliw sraiw addw subw sllw srlw sraw lb lh lw lbu lhu slt sltu slti sltiu mulw divw divuw remw remuw " +
    "feq.s flt.s fle.s feq.d flt.d fle.d fcvt.w.s fcvt.wu.s fcvt.w.d fcvt.wu.d fmv.x.w lr.w sc.w sc.d " +
    "csrrw csrrs csrrc csrrwi csrrsi csrrci " +
    "amoswap.w amoadd.w amoxor.w amoand.w amoor.w amomin.w amomax.w amominu.w amomaxu.w"
  ).split(" "),
);
const SINGLES = /^(flw|f(add|sub|mul|div|sqrt|madd|msub|nmadd|nmsub|min|max|sgnjn?|sgnjx)\.s|fcvt\.s\..*|fmv\.w\.x)$/;

const SIZES: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, d: 8 };

function factsOf({ name, tokens, operands }: Instruction): Facts {
  const has = (token: string): boolean => tokens.includes(token);
  const isAccess = /[is]\(rs1\)$/.test(operands) && name !== "jalr";
  return {
    rd: has("rd"),
    rs1: has("rs1"),
    rs2: has("rs2"),
    fd: has("fd"),
    fs1: has("fs1"),
    fs2: has("fs2"),
    fs3: has("fs3"),
    rounds: has("rm"),
    isCsr: has("csr"),
    isBranch: has("b"),
    isInterpreted: /^(ecall|ebreak|fclass\..)$/.test(name),
    givesWord: ALWAYS_WORDS.has(name),
    givesSingle: SINGLES.test(name),
    mayLeave: tokens.some((token) => /^(f[ds][123]?|rm|csr)$/.test(token)) || /^(amo|lr|sc)/.test(name),
    isSteady: /^(addi|add|sub|lui|auipc)$/.test(name),
    size: isAccess ? SIZES[/^f?[ls]([bhwd])/.exec(name)![1]] : 0,
    access: !isAccess ? undefined : has("s") ? "store" : "load",
  };
}

const FACTS: readonly Facts[] = INSTRUCTIONS.map(factsOf);

export const facts = (d: Decoded): Facts => FACTS[d.index];
