// Zicsr as user mode sees it: fflags, frm, fcsr, cycle, time, instret. Every other CSR is an illegal instruction.
import { TRAP_ILLEGAL } from "../trap.ts";
import { FUNCT3_MASK, type Instruction, type SlowOperands, define, funct3 } from "./instruction.ts";

const SYSTEM = 0x73;
const FFLAGS = 0x001;
const FRM = 0x002;
const FCSR = 0x003;
const CYCLE = 0xc00;
const TIME = 0xc01;
const INSTRET = 0xc02;

function readCsr(s: SlowOperands): bigint | undefined {
  switch (s.imm) {
    case FFLAGS:
      return BigInt(s.fcsr & 0x1f);
    case FRM:
      return BigInt(s.fcsr >>> 5);
    case FCSR:
      return BigInt(s.fcsr);
    case CYCLE:
    case INSTRET:
      return BigInt(s.instret);
    case TIME:
      return s.time;
    default:
      return undefined;
  }
}

function writeCsr(s: SlowOperands, value: number): boolean {
  switch (s.imm) {
    case FFLAGS:
      s.fcsr = (s.fcsr & 0xe0) | (value & 0x1f);
      return true;
    case FRM:
      s.fcsr = (s.fcsr & 0x1f) | ((value & 7) << 5);
      return true;
    case FCSR:
      s.fcsr = value & 0xff;
      return true;
    default:
      return false;
  }
}

/** One of the six: `combine(old, operand)` is what is written; set and clear with x0 or 0 do not write at all. */
function csr(name: string, f3: number, combine: (old: number, operand: number) => number): Instruction {
  const fromRegister = f3 < 4;
  const alwaysWrites = (f3 & 3) === 1;
  return define({
    name,
    mask: FUNCT3_MASK,
    match: funct3(SYSTEM, f3),
    operands: fromRegister ? "rd, csr, rs1" : "rd, csr, z",
    emit: (e) => e.csr({ kind: alwaysWrites ? "swap" : (f3 & 3) === 2 ? "set" : "clear", immediate: !fromRegister }),
    slow: (s) => {
      const old = readCsr(s);
      if (old === undefined) return TRAP_ILLEGAL;
      const operand = fromRegister ? Number(s.x(1) & 0xffn) : s.rs1;
      if (alwaysWrites || s.rs1 !== 0) {
        if (!writeCsr(s, combine(Number(old & 0xffn), operand))) return TRAP_ILLEGAL;
      }
      s.setX(old);
      return 0;
    },
  });
}

export const SYSTEM_INSTRUCTIONS: readonly Instruction[] = [
  csr("csrrw", 1, (_old, operand) => operand),
  csr("csrrs", 2, (old, operand) => old | operand),
  csr("csrrc", 3, (old, operand) => old & ~operand),
  csr("csrrwi", 5, (_old, operand) => operand),
  csr("csrrsi", 6, (old, operand) => old | operand),
  csr("csrrci", 7, (old, operand) => old & ~operand),
];
