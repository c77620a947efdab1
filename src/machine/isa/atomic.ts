// A: LR, SC and atomic memory operations (unprivileged specification, chapter "A"). Harts take turns, so plain loads and stores are
// atomic; aq and rl mean nothing here.
import { I64, op } from "../../wasm/assembler.ts";
import type { Emitter } from "./emitter.ts";
import { type Instruction, define, funct3 } from "./instruction.ts";

const AMO = 0x2f;
const AMO_MASK = 0xf800707f;
const encoding = (f5: number, size: 4 | 8): number => funct3(AMO, size === 4 ? 2 : 3) | (f5 << 27);

type Combine = (e: Emitter, old: number) => void;

const amo = (name: string, f5: number, size: 4 | 8, combine: Combine): Instruction =>
  define({
    name: `amo${name}.${size === 4 ? "w" : "d"}`,
    mask: AMO_MASK,
    match: encoding(f5, size),
    operands: "rd, rs2, (rs1)",
    emit: (e) => e.amo(size, (old) => combine(e, old)),
  });

const binary =
  (operation: number): Combine =>
  (e, old) => {
    e.code.get(old);
    e.x(2);
    e.code.op(operation);
  };

/** Pushes old if `old COMPARE x[rs2]`, else x[rs2]; word forms compare words, sign- or zero-extended alike. */
const pick =
  (compare: number, size: 4 | 8): Combine =>
  (e, old) => {
    const c = e.code;
    const other = e.temp(I64, 3);
    e.x(2);
    if (size === 4) c.op(op.i64Extend32S);
    c.set(other).get(old).get(other).get(old).get(other).op(compare, op.select);
  };

const both = (name: string, f5: number, combine: (size: 4 | 8) => Combine): Instruction[] => [
  amo(name, f5, 4, combine(4)),
  amo(name, f5, 8, combine(8)),
];

const reserved = (size: 4 | 8): Instruction[] => [
  define({
    name: size === 4 ? "lr.w" : "lr.d",
    mask: 0xf9f0707f,
    match: encoding(2, size),
    operands: "rd, (rs1)",
    emit: (e) => e.loadReserved(size),
  }),
  define({
    name: size === 4 ? "sc.w" : "sc.d",
    mask: AMO_MASK,
    match: encoding(3, size),
    operands: "rd, rs2, (rs1)",
    emit: (e) => e.storeConditional(size),
  }),
];

export const ATOMIC: readonly Instruction[] = [
  ...reserved(4),
  ...reserved(8),
  ...both("swap", 1, () => (e) => e.x(2)),
  ...both("add", 0, () => binary(op.i64Add)),
  ...both("xor", 4, () => binary(op.i64Xor)),
  ...both("and", 12, () => binary(op.i64And)),
  ...both("or", 8, () => binary(op.i64Or)),
  ...both("min", 16, (size) => pick(op.i64LtS, size)),
  ...both("max", 20, (size) => pick(op.i64GtS, size)),
  ...both("minu", 24, (size) => pick(op.i64LtU, size)),
  ...both("maxu", 28, (size) => pick(op.i64GtU, size)),
];
