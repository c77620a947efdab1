// F and D (unprivileged specification, chapters "F" and "D"): encodings, the fast paths that WebAssembly's arithmetic allows (those that compute are in
// float-arithmetic.ts and float-fused.ts), and for all else the exact arithmetic of softfloat.ts.
import { F32, F64, I64, op } from "../../wasm/assembler.ts";
import { TRAP_ILLEGAL } from "../trap.ts";
import {
  ADD,
  CANONICAL_NAN_32,
  DOUBLE,
  type Precision,
  SINGLE,
  SUB,
  anyZero,
  emitAddSub,
  emitDiv,
  emitMul,
  emitSqrt,
  ifInexact,
  isNormal,
  noneSignaling,
  setWide,
  slowIf,
  slowUnless,
  slowUnlessExact,
  slowUnlessZero,
  underflowNoted,
  wide,
} from "./float-arithmetic.ts";
import { emitFused } from "./float-fused.ts";
import * as soft from "./softfloat.ts";
import type { Emitter } from "./emitter.ts";
import { FUNCT3_MASK, FUNCT7_MASK, type Instruction, type SlowOperands, define, funct3 } from "./instruction.ts";

const LOAD_FP = 0x07;
const STORE_FP = 0x27;
const OP_FP = 0x53;
const f64Min = 0xa4;
const f64Max = 0xa5;
const BOX = 0xffffffff00000000n;

const format = (p: Precision): soft.Format => (p === DOUBLE ? soft.BINARY64 : soft.BINARY32);
const letter = (p: Precision): string => (p === DOUBLE ? "d" : "s");

/** An FP source as bits of the precision: a single that is not NaN-boxed is the canonical NaN. */
function source(s: SlowOperands, p: Precision, n: 1 | 2 | 3): bigint {
  const bits = s.f(n);
  if (p === DOUBLE) return bits;
  return (bits & BOX) === BOX ? bits & 0xffffffffn : CANONICAL_NAN_32;
}

function setResult(s: SlowOperands, p: Precision, r: soft.Result): number {
  s.setF(p === DOUBLE ? r.bits : BOX | r.bits);
  s.fcsr |= r.flags;
  return 0;
}

function setInteger(s: SlowOperands, r: soft.Result): number {
  s.setX(r.bits);
  s.fcsr |= r.flags;
  return 0;
}

/** A slow path that rounds: reserved modes are illegal instructions. */
const rounded =
  (run: (s: SlowOperands) => number) =>
  (s: SlowOperands): number =>
    s.rounding < 0 ? TRAP_ILLEGAL : run(s);

const arithmetic = (
  name: string,
  f5: number,
  p: Precision,
  emit: (e: Emitter) => void,
  run: (f: soft.Format, a: bigint, b: bigint, rounding: number) => soft.Result,
): Instruction =>
  define({
    name: `${name}.${letter(p)}`,
    mask: 0xfe00007f,
    match: OP_FP | (p << 25) | (f5 << 27),
    operands: "fd, fs1, fs2, rm",
    emit,
    slow: rounded((s) => setResult(s, p, run(format(p), source(s, p, 1), source(s, p, 2), s.rounding))),
  });

/** ±(a*b) ± c. */
function fused(name: string, opcode: number, p: Precision, negateProduct: boolean, negateAddend: boolean): Instruction {
  return define({
    name: `${name}.${letter(p)}`,
    mask: 0x0600007f,
    match: opcode | (p << 25),
    operands: "fd, fs1, fs2, fs3, rm",
    emit: (e) => emitFused(e, p, negateProduct, negateAddend),
    slow: rounded((s) => {
      const f = format(p);
      const sign = 1n << BigInt(f.width - 1);
      const a = source(s, p, 1) ^ (negateProduct ? sign : 0n);
      const c = source(s, p, 3) ^ (negateAddend ? sign : 0n);
      return setResult(s, p, soft.fusedMultiplyAdd(f, a, source(s, p, 2), c, s.rounding));
    }),
  });
}

/** Sign injection: fd = fs1 with a sign made of both: of the second, of its opposite, of the two together. */
function signInjection(name: string, f3: number, p: Precision): Instruction {
  return define({
    name: `${name}.${letter(p)}`,
    mask: FUNCT7_MASK,
    match: funct3(OP_FP, f3) | (p << 25) | (0x04 << 27),
    operands: "fd, fs1, fs2",
    emit: p === DOUBLE ? (e) => emitSignDouble(e, f3) : (e) => emitSignSingle(e, f3),
  });
}

function emitSignDouble(e: Emitter, f3: number): void {
  const c = e.code;
  if (e.hasSameSources) {
    e.setFd(() => {
      e.fd(1);
      if (f3 !== 0) c.op(f3 === 1 ? op.f64Neg : op.f64Abs);
    });
    return;
  }
  e.setFbits(() => {
    e.fbits(1);
    if (f3 !== 2) c.i64(0x7fffffffffffffffn).op(op.i64And);
    e.fbits(2);
    c.i64(-0x8000000000000000n).op(op.i64And);
    if (f3 === 1) c.i64(-0x8000000000000000n).op(op.i64Xor);
    c.op(f3 === 2 ? op.i64Xor : op.i64Or);
  });
}

function emitSignSingle(e: Emitter, f3: number): void {
  const c = e.code;
  const sign = 0x80000000 | 0;
  e.setFs(() => {
    e.fs(1);
    if (e.hasSameSources) {
      if (f3 !== 0) c.op(f3 === 1 ? op.f32Neg : op.f32Abs);
      return;
    }
    c.op(op.i32ReinterpretF32);
    if (f3 !== 2) c.i32(0x7fffffff).op(op.i32And);
    e.fs(2);
    c.op(op.i32ReinterpretF32).i32(sign).op(op.i32And);
    if (f3 === 1) c.i32(sign).op(op.i32Xor);
    c.op(f3 === 2 ? op.i32Xor : op.i32Or, op.f32ReinterpretI32);
  });
}

const minMax = (name: string, f3: number, p: Precision): Instruction =>
  define({
    name: `${name}.${letter(p)}`,
    mask: FUNCT7_MASK,
    match: funct3(OP_FP, f3) | (p << 25) | (0x05 << 27),
    operands: "fd, fs1, fs2",
    emit: (e) => {
      const c = e.code;
      const r = e.temp(F64, 0);
      // NaN in, NaN out here; RISC-V wants the other operand, so that is done the slow way.
      wide(e, p, 1);
      wide(e, p, 2);
      c.op(f3 === 0 ? f64Min : f64Max).tee(r);
      c.get(r).op(op.f64Ne);
      slowIf(e);
      setWide(e, p, r);
    },
    slow: (s) => {
      const [a, b] = [source(s, p, 1), source(s, p, 2)];
      return setResult(s, p, f3 === 0 ? soft.minimum(format(p), a, b) : soft.maximum(format(p), a, b));
    },
  });

const comparison = (name: string, f3: number, p: Precision, compare: number): Instruction =>
  define({
    name: `${name}.${letter(p)}`,
    mask: FUNCT7_MASK,
    match: funct3(OP_FP, f3) | (p << 25) | (0x14 << 27),
    operands: "rd, fs1, fs2",
    emit: (e) => {
      const c = e.code;
      const a = e.temp(F64, 0);
      const b = e.temp(F64, 1);
      wide(e, p, 1);
      c.set(a);
      wide(e, p, 2);
      c.set(b);
      c.get(a).get(a).op(op.f64Ne).get(b).get(b).op(op.f64Ne, op.i32Or);
      // Less than and its like signal for every NaN.
      if (e.coversRare && f3 === 2) {
        noneSignaling(e, p, [a, b]);
        c.op(op.i32Eqz, op.i32And);
      }
      slowIf(e);
      e.setX(() => c.get(a).get(b).op(compare, op.i64ExtendI32U));
    },
    slow: (s) => {
      const kind = f3 === 2 ? "eq" : f3 === 1 ? "lt" : "le";
      return setInteger(s, soft.compare(format(p), kind, source(s, p, 1), source(s, p, 2)));
    },
  });

/** fcvt.{w,wu,l,lu}.{s,d}: to an integer. */
function toInteger(name: string, kind: number, p: Precision): Instruction {
  const signed = (kind & 1) === 0;
  const width = kind < 2 ? 32 : 64;
  // Bounds (exclusive) within which truncation fits; doubles outside go the slow way.
  const top = signed ? 2 ** (width - 1) : 2 ** width;
  const bottom = signed ? (width === 32 ? -(2 ** 31) - 1 : -(2 ** 63)) : -1;
  return define({
    name: `fcvt.${name}.${letter(p)}`,
    mask: 0xfff0007f,
    match: OP_FP | (p << 25) | (kind << 20) | (0x18 << 27),
    operands: "rd, fs1, rm",
    emit: (e) => {
      const c = e.code;
      const a = e.temp(F64, 0);
      const t = e.temp(F64, 1);
      const truncates = e.temp(0x7f, 0);
      // C's casts truncate (RTZ); lrint and llround use the others.
      e.otherTruncation();
      c.set(truncates);
      c.get(truncates);
      e.otherRounding();
      c.op(op.i32And);
      slowIf(e);
      wide(e, p, 1);
      c.tee(a).op(op.f64Trunc).get(a).op(op.f64Nearest).get(truncates).op(op.i32Eqz, op.select).set(t);
      c.get(t).f64(top).op(op.f64Lt).get(t).f64(bottom).op(op.f64Gt, op.i32And, op.i32Eqz);
      slowIf(e);
      slowUnlessExact(e, () => c.get(t).get(a).op(op.f64Eq));
      e.setX(() => {
        c.get(t);
        if (width === 64) c.op(signed ? op.i64TruncF64S : op.i64TruncF64U);
        else c.op(signed ? op.i64TruncF64S : op.i64TruncF64U, op.i64Extend32S);
      });
    },
    slow: rounded((s) => setInteger(s, soft.toInteger(format(p), source(s, p, 1), width, signed, s.rounding))),
  });
}

/** fcvt.{s,d}.{w,wu,l,lu}: from an integer. */
function fromInteger(name: string, kind: number, p: Precision): Instruction {
  const signed = (kind & 1) === 0;
  const width = kind < 2 ? 32 : 64;
  return define({
    name: `fcvt.${letter(p)}.${name}`,
    mask: 0xfff0007f,
    match: OP_FP | (p << 25) | (kind << 20) | (0x1a << 27),
    operands: "fd, rs1, rm",
    emit: (e) => {
      const c = e.code;
      if (p === DOUBLE && width === 32) {
        // Always exact: only a reserved rounding mode must be told apart.
        e.otherRounding();
        slowIf(e);
        e.setFd(() => {
          e.w(1);
          c.op(signed ? op.f64ConvertI32S : op.f64ConvertI32U);
        });
        return;
      }
      const a = e.temp(I64, 0);
      e.otherRounding();
      slowIf(e);
      if (width === 32) {
        e.w(1);
        c.op(signed ? op.i64ExtendI32S : op.i64ExtendI32U).set(a);
      } else {
        e.x(1);
        c.set(a);
      }
      // Exact if the magnitude is below 2^53 or 2^24: the only case that is shown exact here.
      const bits = p === DOUBLE ? 53 : 24;
      slowUnlessExact(e, () => {
        c.get(a);
        if (signed) c.i64(1n << BigInt(bits)).op(op.i64Add);
        c.i64((signed ? 2n : 1n) << BigInt(bits)).op(op.i64LtU);
      });
      const convert = p === DOUBLE ? [op.f64ConvertI64S, op.f64ConvertI64U] : [op.f32ConvertI64S, op.f32ConvertI64U];
      const value = (): unknown => c.get(a).op(signed || width === 32 ? convert[0] : convert[1]);
      if (p === DOUBLE) e.setFd(value);
      else e.setFs(value);
    },
    slow: rounded((s) => {
      const x = s.x(1);
      const value = signed ? BigInt.asIntN(width, x) : BigInt.asUintN(width, x);
      return setResult(s, p, soft.fromInteger(format(p), value, s.rounding));
    }),
  });
}

const classify = (p: Precision): Instruction =>
  define({
    name: `fclass.${letter(p)}`,
    mask: 0xfff0707f,
    match: funct3(OP_FP, 1) | (p << 25) | (0x1c << 27),
    operands: "rd, fs1",
    emit: (e) => e.slow(),
    slow: (s) => {
      s.setX(soft.classify(format(p), source(s, p, 1)));
      return 0;
    },
  });

/** Everything that exists in both precisions. */
function precision(p: Precision): Instruction[] {
  const size = p === DOUBLE ? 8 : 4;
  const width = p === DOUBLE ? 3 : 2;
  const suffix = p === DOUBLE ? "d" : "w";
  return [
    define({
      name: `fl${suffix}`,
      mask: FUNCT3_MASK,
      match: funct3(LOAD_FP, width),
      operands: "fd, i(rs1)",
      emit: (e) => e.load(p === DOUBLE ? op.f64Load : op.f32Load, size, p === DOUBLE ? "d" : "s"),
    }),
    define({
      name: `fs${suffix}`,
      mask: FUNCT3_MASK,
      match: funct3(STORE_FP, width),
      operands: "fs2, s(rs1)",
      emit: (e) => e.store(p === DOUBLE ? op.i64Store : op.i64Store32, size, () => e.fbits(2)),
    }),
    arithmetic("fadd", 0x00, p, (e) => emitAddSub(e, p, ADD), soft.add),
    arithmetic("fsub", 0x01, p, (e) => emitAddSub(e, p, SUB), soft.subtract),
    arithmetic("fmul", 0x02, p, (e) => emitMul(e, p), soft.multiply),
    arithmetic("fdiv", 0x03, p, (e) => emitDiv(e, p), soft.divide),
    define({
      name: `fsqrt.${letter(p)}`,
      mask: 0xfff0007f,
      match: OP_FP | (p << 25) | (0x0b << 27),
      operands: "fd, fs1, rm",
      emit: (e) => emitSqrt(e, p),
      slow: rounded((s) => setResult(s, p, soft.squareRoot(format(p), source(s, p, 1), s.rounding))),
    }),
    fused("fmadd", 0x43, p, false, false),
    fused("fmsub", 0x47, p, false, true),
    fused("fnmsub", 0x4b, p, true, false),
    fused("fnmadd", 0x4f, p, true, true),
    signInjection("fsgnj", 0, p),
    signInjection("fsgnjn", 1, p),
    signInjection("fsgnjx", 2, p),
    minMax("fmin", 0, p),
    minMax("fmax", 1, p),
    comparison("feq", 2, p, op.f64Eq),
    comparison("flt", 1, p, op.f64Lt),
    comparison("fle", 0, p, op.f64Le),
    toInteger("w", 0, p),
    toInteger("wu", 1, p),
    toInteger("l", 2, p),
    toInteger("lu", 3, p),
    fromInteger("w", 0, p),
    fromInteger("wu", 1, p),
    fromInteger("l", 2, p),
    fromInteger("lu", 3, p),
    classify(p),
  ];
}

export const FLOAT: readonly Instruction[] = [
  ...precision(SINGLE),
  ...precision(DOUBLE),
  define({
    name: "fcvt.s.d",
    mask: 0xfff0007f,
    match: OP_FP | (0 << 25) | (1 << 20) | (0x08 << 27),
    operands: "fd, fs1, rm",
    emit: (e) => {
      const c = e.code;
      const a = e.temp(F64, 0);
      const r = e.temp(F64, 1);
      e.otherRounding();
      slowIf(e);
      e.fd(1);
      c.tee(a).op(op.f32DemoteF64, op.f64PromoteF32).set(r);
      ifInexact(
        e,
        () =>
          slowUnless(
            e,
            () => isNormal(e, SINGLE, r),
            () => {
              anyZero(e, a);
              underflowNoted(e, r);
              c.op(op.i32Or);
            },
          ),
        () => slowUnlessZero(e, () => c.get(r).get(a).op(op.f64Sub)),
      );
      setWide(e, SINGLE, r);
    },
    slow: rounded((s) =>
      setResult(s, SINGLE, soft.convert(soft.BINARY64, soft.BINARY32, source(s, DOUBLE, 1), s.rounding)),
    ),
  }),
  define({
    name: "fcvt.d.s",
    mask: 0xfff0007f,
    match: OP_FP | (1 << 25) | (0 << 20) | (0x08 << 27),
    operands: "fd, fs1, rm",
    emit: (e) => {
      const c = e.code;
      const a = e.temp(F32, 0);
      e.otherRounding();
      slowIf(e);
      e.fs(1);
      c.tee(a).get(a).op(op.f32Ne);
      slowIf(e);
      e.setFd(() => c.get(a).op(op.f64PromoteF32));
    },
    slow: rounded((s) =>
      setResult(s, DOUBLE, soft.convert(soft.BINARY32, soft.BINARY64, source(s, SINGLE, 1), s.rounding)),
    ),
  }),
  define({
    name: "fmv.x.w",
    mask: 0xfff0707f,
    match: OP_FP | (0x1c << 27),
    operands: "rd, fs1",
    emit: (e) =>
      e.setX(() => {
        e.fbits(1);
        e.code.op(op.i64Extend32S);
      }),
  }),
  define({
    name: "fmv.x.d",
    mask: 0xfff0707f,
    match: OP_FP | (1 << 25) | (0x1c << 27),
    operands: "rd, fs1",
    emit: (e) => e.setX(() => e.fbits(1)),
  }),
  define({
    name: "fmv.w.x",
    mask: 0xfff0707f,
    match: OP_FP | (0x1e << 27),
    operands: "fd, rs1",
    emit: (e) =>
      e.setFs(() => {
        e.w(1);
        e.code.op(op.f32ReinterpretI32);
      }),
  }),
  define({
    name: "fmv.d.x",
    mask: 0xfff0707f,
    match: OP_FP | (1 << 25) | (0x1e << 27),
    operands: "fd, rs1",
    emit: (e) => e.setFbits(() => e.x(1)),
  }),
];
