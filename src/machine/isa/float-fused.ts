// Fused multiply-add in WebAssembly: by the host's, where relaxed SIMD is that, else out of sums and products. What fast paths may do: float-arithmetic.ts.
import { F32, F64, op } from "../../wasm/assembler.ts";
import { relaxedMultiplyAdd } from "../../wasm/relaxed.ts";
import type { Emitter } from "./emitter.ts";
import {
  DOUBLE,
  type Precision,
  F32_MIN_NORMAL,
  anyZero,
  endIfExceptional,
  errorFloorOf,
  finiteByZero,
  ifInexact,
  isAbove,
  isFinite,
  isNormal,
  setWide,
  slowIf,
  slowUnless,
  slowUnlessExact,
  slowUnlessExactSum,
  slowUnlessProduct,
  underflowNoted,
  wide,
} from "./float-arithmetic.ts";

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
  isAbove(e, x, 2 ** -400);
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
export function emitFused(e: Emitter, p: Precision, negateProduct: boolean, negateAddend: boolean): void {
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
  c.get(a).get(b).op(op.f64Mul).tee(ph).get(d).op(op.f64Add).set(sh);
  endIfExceptional(e, p, [a, b, d], sh, () => {
    c.get(ph).get(ph).op(op.f64Ne);
    c.get(a).get(a).op(op.f64Eq).get(b).get(b).op(op.f64Eq, op.i32And, op.i32And);
  });
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
    isFinite(e, ph);
    isFinite(e, d);
    c.op(op.i32And, op.i32Eqz);
    slowIf(e);
    c.f64(0).set(pl);
  }
  twoSum(e, ph, d, sh, sl, ah);
  const t = al;
  const error = bh;
  twoSum(e, sl, pl, t, error, bl);
  roundToOdd(e, t, error);
  // An exact zero keeps the sign that the f64 sum gave it: -0 + 0 would lose it.
  const unlessExact = (rounded: () => void): unknown => {
    c.get(sh);
    rounded();
    return c.get(t).f64(0).op(op.f64Eq, op.select);
  };
  if (p === DOUBLE) unlessExact(() => c.get(sh).get(t).op(op.f64Add));
  else {
    twoSum(e, sh, t, a, b, bl);
    roundToOdd(e, a, b);
    unlessExact(() => c.get(a));
    c.op(op.f32DemoteF64, op.f64PromoteF32);
  }
  c.set(d);
  isFinite(e, d);
  isAbove(e, d, p === DOUBLE ? 2 ** -900 : F32_MIN_NORMAL);
  c.get(sh).f64(0).op(op.f64Eq).get(t).f64(0).op(op.f64Eq, op.i32And, op.i32Or, op.i32And, op.i32Eqz);
  slowIf(e);
  slowUnlessExact(e, () => {
    c.get(d).get(sh).op(op.f64Eq).get(t).f64(0).op(op.f64Eq, op.i32And);
  });
  setWide(e, p, d);
}

/**
 * The host's own fused multiply-add. Exact, of doubles: take t, the f64 nearest to r - d. If it is a * b exactly, r is the sum of t and d rounded,
 * and exact if t and d are what is left of it without the other (slowUnlessExactSum), of which the one is how t came about.
 */
function emitRelaxed(e: Emitter, p: Precision, [a, b, d]: readonly number[], r: number): void {
  const c = e.code;
  const single = e.temp(F32, 0);
  if (p === DOUBLE) relaxedMultiplyAdd(c, F64, a, b, d);
  else {
    const singles = [a, b, d].map((source, n) => {
      const local = e.temp(F32, 1 + n);
      c.get(source).op(op.f32DemoteF64).set(local);
      return local;
    });
    relaxedMultiplyAdd(c, F32, singles[0], singles[1], singles[2]);
    c.tee(single).op(op.f64PromoteF32);
  }
  c.set(r);
  ifInexact(
    e,
    () =>
      slowUnless(
        e,
        () => isNormal(e, p, r),
        () => {
          finiteByZero(e, a, b, r);
          // The product and d may also be each other's opposites.
          anyZero(e, r);
          isAbove(e, d, errorFloorOf(p));
          c.op(op.i32And, op.i32Or);
          underflowNoted(e, r);
          c.op(op.i32Or);
        },
      ),
    () => {
      const t = e.temp(F64, 4);
      if (p === DOUBLE) {
        c.get(r).get(d).op(op.f64Sub).set(t);
        slowUnlessProduct(e, [a, b, t], [a, b], () => c.get(r).get(t).op(op.f64Sub).get(d).op(op.f64Sub));
      } else {
        c.get(a).get(b).op(op.f64Mul).set(t);
        slowUnlessExactSum(e, p, t, d, r);
      }
    },
  );
  if (p === DOUBLE) setWide(e, p, r);
  else e.setFs(() => c.get(single));
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
