// F and D (unprivileged specification, chapters "F" and "D"): encodings, the fast paths that WebAssembly's arithmetic allows, and for all
// else the exact arithmetic of softfloat.ts.
//
// WebAssembly rounds to nearest even, raises no flags and gives unspecified NaNs. So a fast path holds only if the rounding mode is
// nearest, the result is finite and far from underflow, and its inexactness needs no record: NX is already set (it is sticky) or the
// result is shown to be exact. Everything else goes the slow way, which as a rule sets NX, so that what follows is fast.
//
// Long because F and D are one table: each line is read beside its twin of the other width.
import { F32, F64, I64, op } from "../../wasm/assembler.ts";
import { relaxedMultiplyAdd } from "../../wasm/relaxed.ts";
import { TRAP_ILLEGAL } from "../trap.ts";
import { FLAG_NX } from "./softfloat.ts";
import * as soft from "./softfloat.ts";
import type { Emitter } from "./emitter.ts";
import { FUNCT3_MASK, FUNCT7_MASK, type Instruction, type SlowOperands, define, funct3 } from "./instruction.ts";

const LOAD_FP = 0x07;
const STORE_FP = 0x27;
const OP_FP = 0x53;
const SINGLE = 0;
const DOUBLE = 1;
type Precision = typeof SINGLE | typeof DOUBLE;

const F64_MIN_NORMAL = 2 ** -1022;
const F32_MIN_NORMAL = 2 ** -126;
const f64Min = 0xa4;
const f64Max = 0xa5;
const BOX = 0xffffffff00000000n;
const CANONICAL_NAN_32 = 0x7fc00000n;

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

/** Takes the slow path if the i32 that was pushed is not 0. */
function slowIf(e: Emitter): void {
  e.code.if();
  e.slow();
  e.code.end();
}

/** Pushes operand n as f64, whatever its precision. */
function wide(e: Emitter, p: Precision, n: 1 | 2 | 3): void {
  if (p === DOUBLE) e.fd(n);
  else {
    e.fs(n);
    e.code.op(op.f64PromoteF32);
  }
}

/** Writes the f64 local, which holds a value of precision p exactly. */
function setWide(e: Emitter, p: Precision, local: number): void {
  if (p === DOUBLE) e.setFd(() => e.code.get(local));
  else e.setFs(() => e.code.get(local).op(op.f32DemoteF64));
}

/** Rounds the f64 in `from` to precision p, into `to`. */
function roundTo(e: Emitter, p: Precision, from: number, to: number): void {
  e.code.get(from);
  if (p === SINGLE) e.code.op(op.f32DemoteF64, op.f64PromoteF32);
  e.code.set(to);
}

/** Takes the slow path unless |r| is below infinity and, if `floor` is not 0, above it. */
function slowUnlessNormal(e: Emitter, r: number, floor: number): void {
  const c = e.code;
  c.get(r).op(op.f64Abs).f64(Infinity).op(op.f64Lt);
  if (floor > 0) c.get(r).op(op.f64Abs).f64(floor).op(op.f64Gt, op.i32And);
  c.op(op.i32Eqz);
  slowIf(e);
}

/** Takes the slow path unless NX is set already or the i32 that `exact` pushes is not 0. */
function slowUnlessExact(e: Emitter, exact: () => void): void {
  const c = e.code;
  e.fcsr();
  c.i32(FLAG_NX).op(op.i32And, op.i32Eqz).if();
  exact();
  c.op(op.i32Eqz);
  slowIf(e);
  c.end();
}

/** Pushes 1 if r is exactly a + b: Knuth's two-sum finds no error. The f64 sum is exact then, and r is it. */
function exactSum(e: Emitter, a: number, b: number, sum: number, r: number): void {
  const c = e.code;
  const t = e.temp(F64, 4);
  // t = sum - a;  error = (a - (sum - t)) + (b - t)
  c.get(sum).get(a).op(op.f64Sub).set(t);
  c.get(a).get(sum).get(t).op(op.f64Sub, op.f64Sub).get(b).get(t).op(op.f64Sub, op.f64Add).f64(0).op(op.f64Eq);
  c.get(r).get(sum).op(op.f64Eq, op.i32And);
}

/**
 * Pushes 1 if the f64 product of a and b is surely exact: their significands' trailing zeros leave no more than 53 bits of product.
 * (One that is exact by a hair is not recognized, and goes the slow way.)
 */
function exactProduct(e: Emitter, a: number, b: number): void {
  const c = e.code;
  const zeros = (x: number): unknown =>
    c.get(x).op(op.i64ReinterpretF64).i64(0x10000000000000n).op(op.i64Or, op.i64Ctz);
  zeros(a);
  zeros(b);
  c.op(op.i64Add).i64(53).op(op.i64GeU);
}

const floorOf = (p: Precision): number => (p === DOUBLE ? F64_MIN_NORMAL : F32_MIN_NORMAL);

interface Operands {
  readonly p: Precision;
  readonly a: number;
  readonly b: number;
  /** The f64 result, and it rounded to the precision. */
  readonly wide: number;
  readonly r: number;
}

/** Loads two operands as f64, computes, rounds: the common start of add, sub, mul and div. */
function binaryStart(e: Emitter, p: Precision, operation: number): Operands {
  const o = {
    p,
    a: e.temp(F64, 0),
    b: e.temp(F64, 1),
    wide: e.temp(F64, 2),
    r: p === DOUBLE ? e.temp(F64, 2) : e.temp(F64, 3),
  };
  e.otherRounding();
  slowIf(e);
  wide(e, p, 1);
  e.code.set(o.a);
  wide(e, p, 2);
  e.code.set(o.b);
  e.code.get(o.a).get(o.b).op(operation).set(o.wide);
  if (p === SINGLE) roundTo(e, p, o.wide, o.r);
  return o;
}

function emitAddSub(e: Emitter, p: Precision, operation: typeof op.f64Add | typeof op.f64Sub): void {
  const c = e.code;
  const o = binaryStart(e, p, operation);
  // A subnormal or zero sum is always exact, so there is no lower bound.
  slowUnlessNormal(e, o.r, 0);
  slowUnlessExact(e, () => {
    if (operation === op.f64Sub) c.get(o.b).op(op.f64Neg).set(o.b);
    exactSum(e, o.a, o.b, o.wide, o.r);
  });
  setWide(e, p, o.r);
}

function emitMul(e: Emitter, p: Precision): void {
  const c = e.code;
  const o = binaryStart(e, p, op.f64Mul);
  // Zero times a finite number is exact; else the result must be normal.
  c.get(o.r).op(op.f64Abs).f64(Infinity).op(op.f64Lt);
  c.get(o.r).op(op.f64Abs).f64(floorOf(p)).op(op.f64Gt);
  c.get(o.a).f64(0).op(op.f64Eq, op.i32Or);
  c.get(o.b).f64(0).op(op.f64Eq, op.i32Or, op.i32And, op.i32Eqz);
  slowIf(e);
  slowUnlessExact(e, () => {
    if (p === SINGLE) c.get(o.r).get(o.wide).op(op.f64Eq);
    else {
      exactProduct(e, o.a, o.b);
      c.get(o.r).f64(0).op(op.f64Eq, op.i32Or);
    }
  });
  setWide(e, p, o.r);
}

function emitDiv(e: Emitter, p: Precision): void {
  const c = e.code;
  const o = binaryStart(e, p, op.f64Div);
  slowUnlessNormal(e, o.r, floorOf(p));
  // A zero divisor gives infinity or NaN, and is gone. Exact: quotient * divisor is exact and is the dividend.
  slowUnlessExact(e, () => {
    exactProduct(e, o.r, o.b);
    c.get(o.r).get(o.b).op(op.f64Mul).get(o.a).op(op.f64Eq, op.i32And);
  });
  setWide(e, p, o.r);
}

function emitSqrt(e: Emitter, p: Precision): void {
  const c = e.code;
  const a = e.temp(F64, 0);
  const r = e.temp(F64, 3);
  e.otherRounding();
  slowIf(e);
  wide(e, p, 1);
  c.tee(a).op(op.f64Sqrt);
  if (p === SINGLE) c.op(op.f32DemoteF64, op.f64PromoteF32);
  c.set(r);
  // The root of a positive number is never subnormal; NaN and infinity go the slow way, zero with them.
  slowUnlessNormal(e, r, floorOf(p));
  slowUnlessExact(e, () => {
    exactProduct(e, r, r);
    c.get(r).get(r).op(op.f64Mul).get(a).op(op.f64Eq, op.i32And);
  });
  setWide(e, p, r);
}

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

/** Splits the f64 in `x` into high and low halves of 26 bits (Dekker; |x| must be below 2^995). */
function split(e: Emitter, x: number, high: number, low: number): void {
  const c = e.code;
  c.get(x).f64(134217729).op(op.f64Mul).tee(high);
  c.get(high).get(x).op(op.f64Sub, op.f64Sub).set(high);
  c.get(x).get(high).op(op.f64Sub).set(low);
}

/** Pushes 1 if x is zero or 2^-400 < |x| < 2^400. */
function moderate(e: Emitter, x: number): void {
  const c = e.code;
  c.get(x)
    .op(op.f64Abs)
    .f64(2 ** -400)
    .op(op.f64Gt);
  c.get(x)
    .op(op.f64Abs)
    .f64(2 ** 400)
    .op(op.f64Lt, op.i32And);
  c.get(x).f64(0).op(op.f64Eq, op.i32Or);
}

/**
 * Fused multiply-add. Single: the product is exact in f64; the sum is rounded to odd in f64, then to single (Boldo and Melquiond 2008).
 * Double, factors and addend of moderate size: product as ph + pl exactly (Dekker), then ph + c = sh + sl exactly, then the result is
 * sh + (sl + pl) where the inner sum is rounded to odd so that the outer rounding is the only one.
 */
function emitFused(e: Emitter, p: Precision, negateProduct: boolean, negateAddend: boolean): void {
  const c = e.code;
  const [a, b, d, ph, pl] = [0, 1, 2, 3, 4].map((n) => e.temp(F64, n));
  const [sh, sl, ah, al, bh, bl] = [5, 6, 7, 8, 9, 10].map((n) => e.temp(F64, n));
  e.otherRounding();
  slowIf(e);
  wide(e, p, 1);
  if (negateProduct) c.op(op.f64Neg);
  c.set(a);
  wide(e, p, 2);
  c.set(b);
  wide(e, p, 3);
  if (negateAddend) c.op(op.f64Neg);
  c.set(d);
  if (e.isFused) {
    emitRelaxed(e, p, [a, b, d], ph);
    return;
  }
  c.get(a).get(b).op(op.f64Mul).set(ph);
  if (p === DOUBLE) {
    moderate(e, a);
    moderate(e, b);
    c.op(op.i32And);
    moderate(e, d);
    c.op(op.i32And, op.i32Eqz);
    slowIf(e);
    split(e, a, ah, al);
    split(e, b, bh, bl);
    // pl = ((ah*bh - ph) + ah*bl + al*bh) + al*bl
    c.get(ah).get(bh).op(op.f64Mul).get(ph).op(op.f64Sub);
    c.get(ah).get(bl).op(op.f64Mul, op.f64Add).get(al).get(bh).op(op.f64Mul, op.f64Add);
    c.get(al).get(bl).op(op.f64Mul, op.f64Add).set(pl);
  } else {
    c.get(ph).op(op.f64Abs).f64(Infinity).op(op.f64Lt);
    c.get(d).op(op.f64Abs).f64(Infinity).op(op.f64Lt, op.i32And, op.i32Eqz);
    slowIf(e);
    c.f64(0).set(pl);
  }
  twoSum(e, ph, d, sh, sl, ah);
  const t = al;
  const error = bh;
  twoSum(e, sl, pl, t, error, bl);
  roundToOdd(e, t, error);
  // An exact zero keeps the sign that the f64 sum gave it: -0 + 0 would lose it.
  if (p === DOUBLE) c.get(sh).get(sh).get(t).op(op.f64Add).get(t).f64(0).op(op.f64Eq, op.select).set(d);
  else {
    twoSum(e, sh, t, a, b, bl);
    roundToOdd(e, a, b);
    c.get(a).op(op.f32DemoteF64, op.f64PromoteF32).set(d);
  }
  c.get(d).op(op.f64Abs).f64(Infinity).op(op.f64Lt);
  c.get(d)
    .op(op.f64Abs)
    .f64(p === DOUBLE ? 2 ** -900 : F32_MIN_NORMAL)
    .op(op.f64Gt);
  c.get(sh).f64(0).op(op.f64Eq).get(t).f64(0).op(op.f64Eq, op.i32And, op.i32Or, op.i32And, op.i32Eqz);
  slowIf(e);
  slowUnlessExact(e, () => {
    c.get(d).get(sh).op(op.f64Eq).get(t).f64(0).op(op.f64Eq, op.i32And);
  });
  setWide(e, p, d);
}

/** The host's own fused multiply-add. Nothing is known about its exactness, unless a factor is zero. */
function emitRelaxed(e: Emitter, p: Precision, [a, b, d]: readonly number[], r: number): void {
  const c = e.code;
  if (p === DOUBLE) relaxedMultiplyAdd(c, F64, a, b, d);
  else {
    const singles = [a, b, d].map((wideLocal, n) => {
      const local = e.temp(F32, 1 + n);
      c.get(wideLocal).op(op.f32DemoteF64).set(local);
      return local;
    });
    relaxedMultiplyAdd(c, F32, singles[0], singles[1], singles[2]);
    c.op(op.f64PromoteF32);
  }
  c.set(r);
  const zeroFactor = (): void => {
    c.get(a).f64(0).op(op.f64Eq).get(b).f64(0).op(op.f64Eq, op.i32Or);
  };
  c.get(r).op(op.f64Abs).f64(floorOf(p)).op(op.f64Gt);
  zeroFactor();
  c.op(op.i32Or).get(r).op(op.f64Abs).f64(Infinity).op(op.f64Lt, op.i32And, op.i32Eqz);
  slowIf(e);
  slowUnlessExact(e, zeroFactor);
  setWide(e, p, r);
}

/** high + low = a + b exactly (Knuth). */
function twoSum(e: Emitter, a: number, b: number, high: number, low: number, t: number): void {
  const c = e.code;
  c.get(a).get(b).op(op.f64Add).set(high);
  c.get(high).get(a).op(op.f64Sub).set(t);
  c.get(a).get(high).get(t).op(op.f64Sub, op.f64Sub).get(b).get(t).op(op.f64Sub, op.f64Add).set(low);
}

/** Makes `x`, the nearest to x + error, that sum rounded to odd: an inexact even significand moves one unit towards the error. */
function roundToOdd(e: Emitter, x: number, error: number): void {
  const c = e.code;
  c.get(error).f64(0).op(op.f64Ne).get(x).op(op.i64ReinterpretF64).i64(1).op(op.i64And, op.i64Eqz, op.i32And).if();
  // One unit up in magnitude if error and x have the same sign, else down.
  c.get(x).op(op.i64ReinterpretF64);
  c.i64(1).i64(-1);
  c.get(error).op(op.i64ReinterpretF64).get(x).op(op.i64ReinterpretF64, op.i64Xor).i64(0).op(op.i64GeS, op.select);
  c.op(op.i64Add, op.f64ReinterpretI64).set(x);
  c.end();
}

/** Sign injection: fd = fs1 with a sign made of both. */
function signInjection(name: string, f3: number, p: Precision): Instruction {
  const sign = p === DOUBLE ? -0x8000000000000000n : 0x80000000n;
  const magnitude = p === DOUBLE ? 0x7fffffffffffffffn : 0x7fffffffn;
  return define({
    name: `${name}.${letter(p)}`,
    mask: FUNCT7_MASK,
    match: funct3(OP_FP, f3) | (p << 25) | (0x04 << 27),
    operands: "fd, fs1, fs2",
    emit: (e) => {
      const c = e.code;
      const bits = (n: 1 | 2): void => {
        if (p === DOUBLE) e.fbits(n);
        else {
          e.fs(n);
          c.op(op.i32ReinterpretF32, op.i64ExtendI32U);
        }
      };
      e.setFbits(() => {
        bits(1);
        if (f3 !== 2) c.i64(magnitude).op(op.i64And);
        bits(2);
        c.i64(sign).op(op.i64And);
        if (f3 === 1) c.i64(sign).op(op.i64Xor);
        c.op(f3 === 2 ? op.i64Xor : op.i64Or);
        if (p === SINGLE) c.i64(BOX).op(op.i64Or);
      });
    },
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
    arithmetic("fadd", 0x00, p, (e) => emitAddSub(e, p, op.f64Add), soft.add),
    arithmetic("fsub", 0x01, p, (e) => emitAddSub(e, p, op.f64Sub), soft.subtract),
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
      c.set(a);
      roundTo(e, SINGLE, a, r);
      slowUnlessNormal(e, r, F32_MIN_NORMAL);
      slowUnlessExact(e, () => c.get(r).get(a).op(op.f64Eq));
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
      e.setFbits(() => {
        e.x(1);
        e.code.i64(BOX).op(op.i64Or);
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
