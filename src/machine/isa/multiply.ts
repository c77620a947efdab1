// M: multiplication and division (unprivileged specification, chapter "M"). Division by zero and overflow give values, never traps.
import { I64, op } from "../../wasm/assembler.ts";
import type { Emitter } from "./emitter.ts";
import { FUNCT7_MASK, type Instruction, define, funct7 } from "./instruction.ts";

const OP = 0x33;
const OP_32 = 0x3b;

const m = (name: string, opcode: number, f3: number, emit: (e: Emitter) => void): Instruction =>
  define({ name, mask: FUNCT7_MASK, match: funct7(opcode, f3, 1), operands: "rd, rs1, rs2", emit });

/**
 * The high 64 bits of the 128-bit product, from four 32x32 products:
 *   t = ah*bl + (al*bl >> 32);  u = al*bh + low32(t);  high = ah*bh + (t >> 32) + (u >> 32)
 * and for a signed operand the other one is subtracted if it is negative.
 */
function highProduct(e: Emitter, signedA: boolean, signedB: boolean): void {
  const c = e.code;
  const a = e.temp(I64, 0);
  const b = e.temp(I64, 1);
  const t = e.temp(I64, 2);
  const low = (local: number): unknown => c.get(local).i64(0xffffffffn).op(op.i64And);
  const high = (local: number): unknown => c.get(local).i64(32).op(op.i64ShrU);
  e.x(1);
  c.set(a);
  e.x(2);
  c.set(b);
  high(a);
  low(b);
  c.op(op.i64Mul);
  low(a);
  low(b);
  c.op(op.i64Mul).i64(32).op(op.i64ShrU, op.i64Add).set(t);
  e.setX(() => {
    high(a);
    high(b);
    c.op(op.i64Mul);
    high(t);
    c.op(op.i64Add);
    low(a);
    high(b);
    c.op(op.i64Mul);
    low(t);
    c.op(op.i64Add).i64(32).op(op.i64ShrU, op.i64Add);
    if (signedA) c.get(a).i64(63).op(op.i64ShrS).get(b).op(op.i64And, op.i64Sub);
    if (signedB) c.get(b).i64(63).op(op.i64ShrS).get(a).op(op.i64And, op.i64Sub);
  });
}

/** Quotient: all ones for a zero divisor; the dividend on overflow. */
function divide(e: Emitter, divider: number, signed: boolean): void {
  const c = e.code;
  const a = e.temp(I64, 0);
  const b = e.temp(I64, 1);
  e.x(1);
  c.set(a);
  e.x(2);
  c.set(b);
  e.setX(() => {
    c.get(b).op(op.i64Eqz).if(I64);
    c.i64(-1).else();
    if (signed) {
      // -a is right for every a, the most negative one included.
      c.get(b).i64(-1).op(op.i64Eq).if(I64);
      c.i64(0).get(a).op(op.i64Sub).else();
    }
    c.get(a).get(b).op(divider);
    if (signed) c.end();
    c.end();
  });
}

/** Remainder: the dividend for a zero divisor (WebAssembly's rem_s is defined as 0 on overflow). */
function remainder(e: Emitter, divider: number): void {
  const c = e.code;
  const a = e.temp(I64, 0);
  const b = e.temp(I64, 1);
  e.x(1);
  c.set(a);
  e.x(2);
  c.set(b);
  e.setX(() => {
    c.get(b).op(op.i64Eqz).if(I64);
    c.get(a).else().get(a).get(b).op(divider).end();
  });
}

/** The word forms, on operands extended to 64 bits (so there is no overflow), the result's low word sign-extended. */
function word(e: Emitter, extend: number, operation: number, signed: boolean): void {
  const c = e.code;
  const a = e.temp(I64, 0);
  const b = e.temp(I64, 1);
  e.w(1);
  c.op(extend).set(a);
  e.w(2);
  c.op(extend).set(b);
  e.setX(() => {
    c.get(b).op(op.i64Eqz).if(I64);
    if (operation === op.i64DivS || operation === op.i64DivU) c.i64(-1);
    else c.get(a);
    c.else().get(a).get(b).op(operation).end();
    // An unsigned quotient, and -2^31 / -1, must be cut to a word.
    if (!signed || operation === op.i64DivS) c.op(op.i64Extend32S);
  });
}

export const MULTIPLY: readonly Instruction[] = [
  m("mul", OP, 0, (e) =>
    e.setX(() => {
      e.x(1);
      e.x(2);
      e.code.op(op.i64Mul);
    }),
  ),
  m("mulh", OP, 1, (e) => highProduct(e, true, true)),
  m("mulhsu", OP, 2, (e) => highProduct(e, true, false)),
  m("mulhu", OP, 3, (e) => highProduct(e, false, false)),
  m("div", OP, 4, (e) => divide(e, op.i64DivS, true)),
  m("divu", OP, 5, (e) => divide(e, op.i64DivU, false)),
  m("rem", OP, 6, (e) => remainder(e, op.i64RemS)),
  m("remu", OP, 7, (e) => remainder(e, op.i64RemU)),
  m("mulw", OP_32, 0, (e) =>
    e.setW(() => {
      e.w(1);
      e.w(2);
      e.code.op(op.i32Mul);
    }),
  ),
  m("divw", OP_32, 4, (e) => word(e, op.i64ExtendI32S, op.i64DivS, true)),
  m("divuw", OP_32, 5, (e) => word(e, op.i64ExtendI32U, op.i64DivU, false)),
  m("remw", OP_32, 6, (e) => word(e, op.i64ExtendI32S, op.i64RemS, true)),
  m("remuw", OP_32, 7, (e) => word(e, op.i64ExtendI32U, op.i64RemU, false)),
];
