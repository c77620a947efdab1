// Exact IEEE 754 arithmetic in integers, for every rounding mode, with flags, as RISC-V specifies it: canonical NaNs, tininess after
// rounding, saturating conversions. The slow path of float.ts; correctness before speed. Pure functions on bit patterns.

export const FLAG_NX = 1;
export const FLAG_UF = 2;
export const FLAG_OF = 4;
export const FLAG_DZ = 8;
export const FLAG_NV = 16;

/** Rounding modes as frm encodes them. */
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;

export interface Format {
  readonly width: number;
  /** Bits of the significand, the hidden one included. */
  readonly precision: number;
  readonly bias: number;
}

export const BINARY32: Format = { width: 32, precision: 24, bias: 127 };
export const BINARY64: Format = { width: 64, precision: 53, bias: 1023 };

/** Bits of the result (for integers: 64, sign-extended), and the flags raised. */
export interface Result {
  readonly bits: bigint;
  readonly flags: number;
}

/** A finite number: (-1)^negative * significand * 2^exponent. */
interface Finite {
  readonly negative: boolean;
  readonly significand: bigint;
  readonly exponent: number;
}

const exponentMask = (f: Format): number => 2 * f.bias + 1;
const fractionBits = (f: Format): number => f.precision - 1;
const signBit = (f: Format): bigint => 1n << BigInt(f.width - 1);
const infinity = (f: Format): bigint => BigInt(exponentMask(f)) << BigInt(fractionBits(f));
const quietBit = (f: Format): bigint => 1n << BigInt(f.precision - 2);
const canonicalNan = (f: Format): bigint => infinity(f) | quietBit(f);
const magnitude = (f: Format, bits: bigint): bigint => bits & (signBit(f) - 1n);
const isNegative = (f: Format, bits: bigint): boolean => (bits & signBit(f)) !== 0n;
const isNan = (f: Format, bits: bigint): boolean => magnitude(f, bits) > infinity(f);
const isSignaling = (f: Format, bits: bigint): boolean => isNan(f, bits) && (bits & quietBit(f)) === 0n;
const isInfinite = (f: Format, bits: bigint): boolean => magnitude(f, bits) === infinity(f);
const isZero = (f: Format, bits: bigint): boolean => magnitude(f, bits) === 0n;
const withSign = (f: Format, negative: boolean, bits: bigint): bigint => (negative ? bits | signBit(f) : bits);

const exact = (bits: bigint): Result => ({ bits, flags: 0 });
const invalid = (f: Format): Result => ({ bits: canonicalNan(f), flags: FLAG_NV });

function unpack(f: Format, bits: bigint): Finite {
  const fraction = bits & ((1n << BigInt(fractionBits(f))) - 1n);
  const biased = Number(magnitude(f, bits) >> BigInt(fractionBits(f)));
  const negative = isNegative(f, bits);
  const bottom = 1 - f.bias - fractionBits(f);
  if (biased === 0) return { negative, significand: fraction, exponent: bottom };
  return { negative, significand: fraction | (1n << BigInt(fractionBits(f))), exponent: bottom + biased - 1 };
}

function bitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

/** Rounds n / 2^shift (shift > 0; `sticky`: a little more than n) to an integer. */
function roundShift(
  n: bigint,
  shift: number,
  sticky: boolean,
  negative: boolean,
  mode: number,
): { n: bigint; inexact: boolean } {
  const s = BigInt(shift);
  const quotient = n >> s;
  const rest = n - (quotient << s);
  const inexact = rest !== 0n || sticky;
  if (!inexact) return { n: quotient, inexact };
  const half = 1n << (s - 1n);
  let up: boolean;
  switch (mode) {
    case RTZ:
      up = false;
      break;
    case RDN:
      up = negative;
      break;
    case RUP:
      up = !negative;
      break;
    case RMM:
      up = rest >= half;
      break;
    default:
      up = rest > half || (rest === half && (sticky || (quotient & 1n) === 1n));
  }
  return { n: up ? quotient + 1n : quotient, inexact };
}

/**
 * Rounds (-1)^negative * n * 2^exponent (n > 0; `sticky`: the true magnitude is a little more than n, by less than one unit of n) to
 * the format. A sticky n must have at least precision + 2 bits.
 */
function round(f: Format, negative: boolean, n: bigint, exponent: number, sticky: boolean, mode: number): Result {
  const bottom = 1 - f.bias - fractionBits(f);
  const length = bitLength(n);
  // The exponent of the last bit kept with unbounded range, and with the range the format has.
  const free = exponent + length - f.precision;
  const last = Math.max(free, bottom);
  const at = (target: number): { n: bigint; inexact: boolean } =>
    target > exponent
      ? roundShift(n, target - exponent, sticky, negative, mode)
      : roundShift(n << BigInt(exponent - target + 1), 1, sticky, negative, mode);
  const rounded = at(last);
  const { inexact } = rounded;
  let significand = rounded.n;
  let unit = last;
  if (bitLength(significand) > f.precision) {
    significand >>= 1n;
    unit++;
  }
  let flags = inexact ? FLAG_NX : 0;
  if (inexact && free < bottom) {
    // Tiny if, rounded with unbounded exponent range, it is still below the smallest normal number.
    const unbounded = at(free);
    if (bitLength(unbounded.n) + free < f.precision + bottom) flags |= FLAG_UF;
  }
  if (significand === 0n) return { bits: withSign(f, negative, 0n), flags };
  const biased = bitLength(significand) < f.precision ? 0 : unit - bottom + 1;
  if (biased >= exponentMask(f)) {
    const toInfinity = mode === RNE || mode === RMM || (mode === RUP && !negative) || (mode === RDN && negative);
    return {
      bits: withSign(f, negative, toInfinity ? infinity(f) : infinity(f) - 1n),
      flags: FLAG_OF | FLAG_NX,
    };
  }
  const fraction = significand & ((1n << BigInt(fractionBits(f))) - 1n);
  return { bits: withSign(f, negative, (BigInt(biased) << BigInt(fractionBits(f))) | fraction), flags };
}

/** The NaN result of an operation with at least one NaN operand. */
function propagate(f: Format, ...operands: bigint[]): Result | undefined {
  if (!operands.some((x) => isNan(f, x))) return undefined;
  return { bits: canonicalNan(f), flags: operands.some((x) => isSignaling(f, x)) ? FLAG_NV : 0 };
}

/** The sum of two finite numbers, rounded once. */
function addFinite(f: Format, a: Finite, b: Finite, mode: number): Result {
  const exponent = Math.min(a.exponent, b.exponent);
  const value = (x: Finite): bigint => {
    const n = x.significand << BigInt(x.exponent - exponent);
    return x.negative ? -n : n;
  };
  const sum = value(a) + value(b);
  if (sum === 0n) {
    // Zeros of one sign keep it; else a zero is positive, or negative when rounding down.
    const negative = a.negative === b.negative ? a.negative : mode === RDN;
    return exact(withSign(f, negative, 0n));
  }
  return round(f, sum < 0n, sum < 0n ? -sum : sum, exponent, false, mode);
}

export function add(f: Format, a: bigint, b: bigint, mode: number): Result {
  const nan = propagate(f, a, b);
  if (nan) return nan;
  if (isInfinite(f, a)) return isInfinite(f, b) && a !== b ? invalid(f) : exact(a);
  if (isInfinite(f, b)) return exact(b);
  return addFinite(f, unpack(f, a), unpack(f, b), mode);
}

export function subtract(f: Format, a: bigint, b: bigint, mode: number): Result {
  return propagate(f, a, b) ?? add(f, a, b ^ signBit(f), mode);
}

export function multiply(f: Format, a: bigint, b: bigint, mode: number): Result {
  const nan = propagate(f, a, b);
  if (nan) return nan;
  const negative = isNegative(f, a) !== isNegative(f, b);
  if (isInfinite(f, a) || isInfinite(f, b)) {
    return isZero(f, a) || isZero(f, b) ? invalid(f) : exact(withSign(f, negative, infinity(f)));
  }
  const [x, y] = [unpack(f, a), unpack(f, b)];
  const product = x.significand * y.significand;
  if (product === 0n) return exact(withSign(f, negative, 0n));
  return round(f, negative, product, x.exponent + y.exponent, false, mode);
}

export function divide(f: Format, a: bigint, b: bigint, mode: number): Result {
  const nan = propagate(f, a, b);
  if (nan) return nan;
  const negative = isNegative(f, a) !== isNegative(f, b);
  if (isInfinite(f, a)) return isInfinite(f, b) ? invalid(f) : exact(withSign(f, negative, infinity(f)));
  if (isInfinite(f, b)) return exact(withSign(f, negative, 0n));
  if (isZero(f, b)) {
    if (isZero(f, a)) return invalid(f);
    return { bits: withSign(f, negative, infinity(f)), flags: FLAG_DZ };
  }
  if (isZero(f, a)) return exact(withSign(f, negative, 0n));
  const [x, y] = [unpack(f, a), unpack(f, b)];
  // Enough quotient bits for any pair, subnormals included.
  const shift = 2 * f.precision + 2;
  const numerator = x.significand << BigInt(shift);
  const quotient = numerator / y.significand;
  const sticky = quotient * y.significand !== numerator;
  return round(f, negative, quotient, x.exponent - y.exponent - shift, sticky, mode);
}

export function squareRoot(f: Format, a: bigint, mode: number): Result {
  const nan = propagate(f, a);
  if (nan) return nan;
  if (isZero(f, a)) return exact(a);
  if (isNegative(f, a)) return invalid(f);
  if (isInfinite(f, a)) return exact(a);
  const x = unpack(f, a);
  let shift = 2 * f.precision + 4;
  if (((x.exponent - shift) & 1) !== 0) shift++;
  const n = x.significand << BigInt(shift);
  let root = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) break;
    root = next;
  }
  return round(f, false, root, (x.exponent - shift) / 2, root * root !== n, mode);
}

/** a * b + c, rounded once. Infinity times zero is invalid even if c is a quiet NaN. */
export function fusedMultiplyAdd(f: Format, a: bigint, b: bigint, c: bigint, mode: number): Result {
  const badProduct = (isInfinite(f, a) && isZero(f, b)) || (isZero(f, a) && isInfinite(f, b));
  const nan = propagate(f, a, b, c);
  if (nan) return badProduct ? invalid(f) : nan;
  if (badProduct) return invalid(f);
  const negative = isNegative(f, a) !== isNegative(f, b);
  if (isInfinite(f, a) || isInfinite(f, b)) {
    if (isInfinite(f, c) && isNegative(f, c) !== negative) return invalid(f);
    return exact(withSign(f, negative, infinity(f)));
  }
  if (isInfinite(f, c)) return exact(c);
  const [x, y] = [unpack(f, a), unpack(f, b)];
  const product = { negative, significand: x.significand * y.significand, exponent: x.exponent + y.exponent };
  return addFinite(f, product, unpack(f, c), mode);
}

/** Total order of numbers for comparisons: -0 just below +0. Not for NaNs. */
const order = (f: Format, bits: bigint): bigint => (isNegative(f, bits) ? -magnitude(f, bits) - 1n : bits);

function extremum(f: Format, a: bigint, b: bigint, first: boolean): Result {
  const flags = isSignaling(f, a) || isSignaling(f, b) ? FLAG_NV : 0;
  if (isNan(f, a)) return { bits: isNan(f, b) ? canonicalNan(f) : b, flags };
  if (isNan(f, b)) return { bits: a, flags };
  return { bits: order(f, a) < order(f, b) === first ? a : b, flags };
}

/** IEEE 754-2019 minimumNumber: -0 is below +0, a NaN loses. */
export const minimum = (f: Format, a: bigint, b: bigint): Result => extremum(f, a, b, true);
export const maximum = (f: Format, a: bigint, b: bigint): Result => extremum(f, a, b, false);

/** 1 or 0. `eq` is quiet (NV for signaling NaNs only), `lt` and `le` signal on every NaN. */
export function compare(f: Format, kind: "eq" | "lt" | "le", a: bigint, b: bigint): Result {
  if (isNan(f, a) || isNan(f, b)) {
    const signals = kind !== "eq" || isSignaling(f, a) || isSignaling(f, b);
    return { bits: 0n, flags: signals ? FLAG_NV : 0 };
  }
  const bothZero = isZero(f, a) && isZero(f, b);
  const [x, y] = bothZero ? [0n, 0n] : [order(f, a), order(f, b)];
  return exact((kind === "eq" ? x === y : kind === "lt" ? x < y : x <= y) ? 1n : 0n);
}

/** To an integer of `width` bits (32 results sign-extended). Out of range and NaN: the nearest bound (NaN: the top), NV. */
export function toInteger(f: Format, a: bigint, width: number, signed: boolean, mode: number): Result {
  const top = signed ? (1n << BigInt(width - 1)) - 1n : (1n << BigInt(width)) - 1n;
  const bottom = signed ? -(1n << BigInt(width - 1)) : 0n;
  const result = (n: bigint, flags: number): Result => ({
    bits: BigInt.asUintN(64, BigInt.asIntN(width, n)),
    flags,
  });
  if (isNan(f, a)) return result(top, FLAG_NV);
  if (isInfinite(f, a)) return result(isNegative(f, a) ? bottom : top, FLAG_NV);
  const x = unpack(f, a);
  let n = x.significand;
  let inexact = false;
  if (x.exponent >= 0) n <<= BigInt(x.exponent);
  else ({ n, inexact } = roundShift(n, -x.exponent, false, x.negative, mode));
  if (x.negative) n = -n;
  if (n > top) return result(top, FLAG_NV);
  if (n < bottom) return result(bottom, FLAG_NV);
  return result(n, inexact ? FLAG_NX : 0);
}

export function fromInteger(f: Format, value: bigint, mode: number): Result {
  if (value === 0n) return exact(0n);
  const negative = value < 0n;
  return round(f, negative, negative ? -value : value, 0, false, mode);
}

/** Between formats. */
export function convert(from: Format, to: Format, a: bigint, mode: number): Result {
  if (isNan(from, a)) return { bits: canonicalNan(to), flags: isSignaling(from, a) ? FLAG_NV : 0 };
  const negative = isNegative(from, a);
  if (isInfinite(from, a)) return exact(withSign(to, negative, infinity(to)));
  if (isZero(from, a)) return exact(withSign(to, negative, 0n));
  const x = unpack(from, a);
  return round(to, negative, x.significand, x.exponent, false, mode);
}

/** The one-hot class of fclass: -inf, -normal, -subnormal, -0, +0, +subnormal, +normal, +inf, signaling NaN, quiet NaN. */
export function classify(f: Format, a: bigint): bigint {
  if (isNan(f, a)) return isSignaling(f, a) ? 1n << 8n : 1n << 9n;
  const negative = isNegative(f, a);
  const pick = (minus: bigint, plus: bigint): bigint => 1n << (negative ? minus : plus);
  if (isInfinite(f, a)) return pick(0n, 7n);
  if (isZero(f, a)) return pick(3n, 4n);
  return magnitude(f, a) >> BigInt(fractionBits(f)) === 0n ? pick(2n, 5n) : pick(1n, 6n);
}
