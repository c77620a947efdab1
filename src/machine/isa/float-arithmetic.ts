// Floating-point arithmetic in WebAssembly's own: the fast paths of the instructions of float.ts that compute.
//
// WebAssembly rounds to nearest even, raises no flags and gives unspecified NaNs. So a fast path holds only if the rounding mode is nearest and the
// result needs no flag: it is shown to be exact, or the flags that it would set are set already (they are sticky), NX and for subnormal results UF. Everything else
// goes the slow way, which as a rule sets them, so that what follows is fast.
import { F32, F64, op } from "../../wasm/assembler.ts";
import { relaxedNegatedMultiplyAdd } from "../../wasm/relaxed.ts";
import type { Emitter } from "./emitter.ts";
import { FLAG_NX, FLAG_UF } from "./softfloat.ts";

export const SINGLE = 0;
export const DOUBLE = 1;
export type Precision = typeof SINGLE | typeof DOUBLE;

export const CANONICAL_NAN_32 = 0x7fc00000n;
const F64_MIN_NORMAL = 2 ** -1022;
export const F32_MIN_NORMAL = 2 ** -126;

/** Takes the slow path if the i32 that was pushed is not 0. */
export function slowIf(e: Emitter): void {
  e.code.if();
  e.slow();
  e.code.end();
}

/** Pushes operand n as f64, whatever its precision. */
export function wide(e: Emitter, p: Precision, n: 1 | 2 | 3): void {
  if (p === DOUBLE) e.fd(n);
  else {
    e.fs(n);
    e.code.op(op.f64PromoteF32);
  }
}

/** Writes the f64 local, which holds a value of precision p exactly. */
export function setWide(e: Emitter, p: Precision, local: number): void {
  if (p === DOUBLE) e.setFd(() => e.code.get(local));
  else e.setFs(() => e.code.get(local).op(op.f32DemoteF64));
}

/** Takes the slow path if the i32 that `likely` pushes is 0, unless the one that `otherwise` pushes is not. */
export function slowUnless(e: Emitter, likely: () => void, otherwise?: () => void): void {
  const c = e.code;
  likely();
  c.op(op.i32Eqz).if();
  if (!otherwise) e.slow();
  else {
    otherwise();
    c.op(op.i32Eqz);
    slowIf(e);
  }
  c.end();
}

/** Takes the slow path unless the f64 differences that are pushed are all zero. One that is NaN is not. */
export function slowUnlessZero(e: Emitter, ...differences: readonly (() => void)[]): void {
  const c = e.code;
  differences.forEach((difference, i) => {
    difference();
    c.op(op.i64ReinterpretF64);
    if (i > 0) c.op(op.i64Or);
  });
  // Without the sign: there are two zeros.
  c.i64(1).op(op.i64Shl).i64(0).op(op.i64Ne);
  slowIf(e);
}

const floorOf = (p: Precision): number => (p === DOUBLE ? F64_MIN_NORMAL : F32_MIN_NORMAL);

const bitsOf = (x: number): bigint => new BigUint64Array(new Float64Array([x]).buffer)[0];

/** Pushes the f64 local's bits as i64 without the sign, doubled: they compare as what they stand for does, NaN above all. */
function pushDoubled(e: Emitter, x: number): void {
  e.code.get(x).op(op.i64ReinterpretF64).i64(1).op(op.i64Shl);
}

/** Pushes 1 if |x| is below infinity: not if it is NaN. */
export function isFinite(e: Emitter, x: number): void {
  pushDoubled(e, x);
  e.code.i64(2n * bitsOf(Infinity)).op(op.i64LtU);
}

/** Pushes 1 if |x| is above `floor`, or it is NaN. */
export function isAbove(e: Emitter, x: number, floor: number): void {
  pushDoubled(e, x);
  e.code.i64(2n * bitsOf(floor)).op(op.i64GtU);
}

/** Pushes 1 if |r| is a normal number of precision p, the smallest excluded: it is the result of an operation that neither overflowed nor came near underflow. */
export function isNormal(e: Emitter, p: Precision, r: number): void {
  const beyond = 2n * bitsOf(floorOf(p)) + 1n;
  pushDoubled(e, r);
  e.code
    .i64(beyond)
    .op(op.i64Sub)
    .i64(2n * bitsOf(Infinity) - beyond)
    .op(op.i64LtU);
}

/** Pushes 1 if one of the locals is zero. */
export function anyZero(e: Emitter, ...locals: readonly number[]): void {
  locals.forEach((local, i) => {
    e.code.get(local).f64(0).op(op.f64Eq);
    if (i > 0) e.code.op(op.i32Or);
  });
}

/** Pushes 1 if r, of which a * b is a part, is finite though a or b is zero. */
export function finiteByZero(e: Emitter, a: number, b: number, r: number): void {
  isFinite(e, r);
  anyZero(e, a, b);
  e.code.op(op.i32And);
}

/** Pushes 1 if all these flags are set already. */
function noted(e: Emitter, flags: number): void {
  e.fcsr();
  e.code.i32(flags).op(op.i32And).i32(flags).op(op.i32Eq);
}

/** Pushes 1 if r is finite, and an inexact result that is subnormal needs no record: what is left is right. */
export function underflowNoted(e: Emitter, r: number): void {
  noted(e, FLAG_UF | FLAG_NX);
  isFinite(e, r);
  e.code.op(op.i32And);
}

/** Emits `inexact` for when NX is set already, and `otherwise` for when it is not; where that is known, the one alone. */
export function ifInexact(e: Emitter, inexact: () => void, otherwise: () => void): void {
  const c = e.code;
  if (e.assumeInexact !== undefined) {
    (e.assumeInexact ? inexact : otherwise)();
    return;
  }
  noted(e, FLAG_NX);
  c.if();
  inexact();
  c.else();
  otherwise();
  c.end();
}

/** Takes the slow path unless NX is set already or the i32 that `exact` pushes is not 0. */
export function slowUnlessExact(e: Emitter, exact: () => void): void {
  ifInexact(
    e,
    () => {},
    () => slowUnless(e, exact),
  );
}

/**
 * Takes the slow path unless r, the sum of a and b rounded to precision p, is a + b. What is nearest to the difference of a sum and its larger summand is exact
 * (Dekker 1971, theorem 4.7), so that it is the other summand only if the sum is exact; which one is larger need not be known if both are looked at.
 */
export function slowUnlessExactSum(e: Emitter, p: Precision, a: number, b: number, r: number): void {
  const c = e.code;
  const sum = p === DOUBLE ? r : e.temp(F64, 5);
  if (p === SINGLE) c.get(a).get(b).op(op.f64Add).set(sum);
  const without = (x: number, y: number) => () => c.get(sum).get(x).op(op.f64Sub).get(y).op(op.f64Sub);
  slowUnlessZero(e, without(a, b), without(b, a), ...(p === DOUBLE ? [] : [() => c.get(r).get(sum).op(op.f64Sub)]));
}

/** Below this, the last bit of a product may be too small for the precision: that of a double is 2^-1074 or more, and that of a product 105 places behind its first. */
export const errorFloorOf = (p: Precision): number => (p === DOUBLE ? 2 ** -960 : 2 ** -100);

/**
 * Takes the slow path unless the f64 in `product` is a * b exactly: fused multiply-add rounds their difference once, to zero only if it is zero or far below what
 * `product` is. If that is small itself, then only unless one of the locals `zeros` is zero. And unless the differences `others` are zero.
 */
export function slowUnlessProduct(
  e: Emitter,
  [a, b, product]: readonly number[],
  zeros: readonly number[],
  ...others: readonly (() => void)[]
): void {
  slowUnlessZero(e, () => relaxedNegatedMultiplyAdd(e.code, F64, a, b, product), ...others);
  slowUnless(
    e,
    () => isAbove(e, product, errorFloorOf(DOUBLE)),
    () => anyZero(e, ...zeros),
  );
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

/** An operation, by precision. */
type Operation = readonly [single: number, double: number];

export const ADD: Operation = [op.f32Add, op.f64Add];
export const SUB: Operation = [op.f32Sub, op.f64Sub];
const MUL: Operation = [op.f32Mul, op.f64Mul];
const DIV: Operation = [op.f32Div, op.f64Div];
const SQRT: Operation = [op.f32Sqrt, op.f64Sqrt];

interface Arithmetic {
  /** Operands and result as f64. */
  readonly sources: readonly number[];
  readonly r: number;
  /** Writes the result. */
  set(): void;
}

/** The common start of what computes with one operand or two. */
function compute(e: Emitter, p: Precision, operation: Operation, count: 1 | 2): Arithmetic {
  const c = e.code;
  e.otherRounding();
  slowIf(e);
  const sources = [0, 1].slice(0, count).map((n) => e.temp(F64, n));
  const r = e.temp(F64, 2);
  if (p === DOUBLE) {
    sources.forEach((source, n) => {
      e.fd((n + 1) as 1 | 2);
      c.set(source);
    });
    for (const source of sources) c.get(source);
    c.op(operation[p]).set(r);
    return { sources, r, set: () => e.setFd(() => c.get(r)) };
  }
  const single = e.temp(F32, 0);
  sources.forEach((source, n) => {
    const local = e.temp(F32, 1 + n);
    e.fs((n + 1) as 1 | 2);
    c.tee(local).op(op.f64PromoteF32).set(source);
  });
  sources.forEach((_, n) => c.get(e.temp(F32, 1 + n)));
  c.op(operation[p]).tee(single).op(op.f64PromoteF32).set(r);
  return { sources, r, set: () => e.setFs(() => c.get(single)) };
}

export function emitAddSub(e: Emitter, p: Precision, operation: Operation): void {
  const c = e.code;
  const { sources, r, set } = compute(e, p, operation, 2);
  endIfExceptional(e, p, sources, r);
  ifInexact(
    e,
    // A subnormal or zero sum is always exact, so there is no lower bound.
    () => slowUnless(e, () => isFinite(e, r)),
    () => {
      const [a, b] = sources;
      if (operation === SUB) c.get(b).op(op.f64Neg).set(b);
      slowUnlessExactSum(e, p, a, b, r);
    },
  );
  set();
}

export function emitMul(e: Emitter, p: Precision): void {
  const { sources, r, set } = compute(e, p, MUL, 2);
  endIfExceptional(e, p, sources, r);
  const [a, b] = sources;
  const slowUnlessInRange = (): void =>
    slowUnless(
      e,
      () => isNormal(e, p, r),
      () => {
        finiteByZero(e, a, b, r);
        underflowNoted(e, r);
        e.code.op(op.i32Or);
      },
    );
  ifInexact(e, slowUnlessInRange, () => {
    if (p === SINGLE) slowUnlessZero(e, () => remainder(e, a, b, r));
    else if (e.isFused) slowUnlessProduct(e, [a, b, r], [a, b]);
    else {
      slowUnlessInRange();
      slowUnless(
        e,
        () => exactProduct(e, a, b),
        () => anyZero(e, r),
      );
    }
  });
  set();
}

/** Pushes the f64 a * b - product, where a * b is exact: always if they are singles. */
function remainder(e: Emitter, a: number, b: number, product: number): void {
  e.code.get(a).get(b).op(op.f64Mul).get(product).op(op.f64Sub);
}

/** Takes the slow path unless r is the quotient or root in hand exactly, which `b` times it shows to be `a`, or normal and NX is set. */
function slowUnlessDivision(e: Emitter, p: Precision, [a, b, r]: readonly number[]): void {
  // Zero by zero is NaN, and no zero.
  const slowUnlessInRange = (): void =>
    slowUnless(
      e,
      () => isNormal(e, p, r),
      () => {
        anyZero(e, a);
        anyZero(e, r);
        e.code.op(op.i32And);
        underflowNoted(e, r);
        e.code.op(op.i32Or);
      },
    );
  ifInexact(e, slowUnlessInRange, () => {
    if (p === SINGLE) slowUnlessZero(e, () => remainder(e, r, b, a));
    else if (e.isFused) slowUnlessProduct(e, [r, b, a], [a]);
    else {
      slowUnlessInRange();
      slowUnless(
        e,
        () => exactProduct(e, r, b),
        () => anyZero(e, r),
      );
      slowUnlessZero(e, () => remainder(e, r, b, a));
    }
  });
}

export function emitDiv(e: Emitter, p: Precision): void {
  const { sources, r, set } = compute(e, p, DIV, 2);
  endIfExceptional(e, p, sources, r);
  // By a zero divisor the quotient is infinite or NaN, and its product NaN.
  slowUnlessDivision(e, p, [...sources, r]);
  set();
}

export function emitSqrt(e: Emitter, p: Precision): void {
  const { sources, r, set } = compute(e, p, SQRT, 1);
  endIfExceptional(e, p, sources, r);
  // The root of a positive number is never subnormal; that of a negative one is NaN.
  slowUnlessDivision(e, p, [...sources, r, r]);
  set();
}

/** Pushes 1 unless one of the operands, which `sources` has as f64, is a signaling NaN. */
export function noneSignaling(e: Emitter, p: Precision, sources: readonly number[]): void {
  const c = e.code;
  sources.forEach((source, i) => {
    const n = (i + 1) as 1 | 2 | 3;
    c.get(source).get(source).op(op.f64Eq);
    if (p === DOUBLE) {
      e.fbits(n);
      c.i64(1n << 51n)
        .op(op.i64And)
        .i64(0)
        .op(op.i64Ne);
    } else {
      e.fs(n);
      c.op(op.i32ReinterpretF32)
        .i32(1 << 22)
        .op(op.i32And)
        .i32(0)
        .op(op.i32Ne);
    }
    c.op(op.i32Or);
    if (i > 0) c.op(op.i32And);
  });
}

/**
 * Ends the instruction if r, its result, is infinite because an operand is, or NaN because one is: without a flag, if it is a quiet one. `invalid`, if given,
 * pushes 1 where r would be NaN even so. Where rare cases are worth their code: programs whose numbers have left their range go on for long.
 */
export function endIfExceptional(
  e: Emitter,
  p: Precision,
  sources: readonly number[],
  r: number,
  invalid?: () => void,
): void {
  if (!e.coversRare) return;
  const c = e.code;
  const any = (pushOne: (source: number) => void): void =>
    sources.forEach((source, i) => {
      pushOne(source);
      if (i > 0) c.op(op.i32Or);
    });
  isFinite(e, r);
  c.op(op.i32Eqz).if();
  c.get(r).get(r).op(op.f64Eq).if();
  any((source) => c.get(source).op(op.f64Abs).f64(Infinity).op(op.f64Eq));
  c.if();
  setWide(e, p, r);
  e.done();
  c.end().else();
  any((source) => c.get(source).get(source).op(op.f64Ne));
  noneSignaling(e, p, sources);
  c.op(op.i32And);
  if (invalid) {
    invalid();
    c.op(op.i32Eqz, op.i32And);
  }
  c.if();
  if (p === DOUBLE) e.setFd(() => c.f64(NaN));
  else e.setFs(() => c.i32(Number(CANONICAL_NAN_32)).op(op.f32ReinterpretI32));
  e.done();
  c.end().end().end();
}
