// Single-instruction cases for tests: generated from a seed, so that only QEMU's answers need recording (testdata/vectors.gz, written by
// tools/machine-vectors.ts). Used by that tool and by vectors.test.ts; not production code.
import type { Instruction } from "./isa/instruction.ts";
import { encode } from "./isa/encode.ts";
import { INSTRUCTIONS } from "./isa/table.ts";

/** Registers x10..x15 and f10..f15 before the instruction, and fcsr. */
export interface VectorCase {
  readonly name: string;
  readonly word: number;
  readonly fcsr: number;
  readonly x: readonly bigint[];
  readonly f: readonly bigint[];
  readonly rd: number;
  /** True if rd is an FP register. */
  readonly fd: boolean;
}

export const VECTOR_REGISTERS = 6;
export const FIRST_REGISTER = 10;
const CASES_PER_INTEGER_INSTRUCTION = 60;
const CASES_PER_FLOAT_INSTRUCTION = 220;

/** A small seeded generator (mulberry32). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed;
  }

  /** 0 to 2^32 - 1. */
  u32(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(n: number): number {
    return this.u32() % n;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)];
  }
}

const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
];

export function integerValue(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(EDGES);
    case 1:
      return BigInt.asUintN(64, BigInt(random.u32() | 0) >> BigInt(random.below(31)));
    case 2:
      return random.u64() >> BigInt(random.below(64));
    default:
      return random.u64();
  }
}

const PRECISION = { 32: { fraction: 23n, bias: 127 }, 64: { fraction: 52n, bias: 1023 } } as const;

/** Bits of a float: special ones, small integers, halves near powers of two, random patterns with exponents that meet. */
export function floatBits(random: Random, width: 32 | 64): bigint {
  const { fraction, bias } = PRECISION[width];
  const sign = BigInt(random.below(2)) << BigInt(width - 1);
  const at = (exponent: number, low: bigint): bigint => sign | (BigInt(exponent) << fraction) | low;
  const ones = (1n << fraction) - 1n;
  const low = random.u64() & ones;
  const patterns = [
    0n,
    1n,
    ones,
    ones - 1n,
    1n << (fraction - 1n),
    low,
    low & (ones << (fraction - 8n)) & ones,
    low >> (fraction / 2n),
  ];
  switch (random.below(8)) {
    case 0:
      // Zeros, subnormals, infinities, quiet and signaling NaNs.
      return at(random.pick([0, 0, 2 * bias + 1]), random.pick(patterns));
    case 1:
      return at(random.pick([1, 2, 2 * bias, 2 * bias - 1]), random.pick(patterns));
    case 2:
      // Around the limits of integers.
      return at(bias + random.pick([-1, 0, 1, 22, 23, 24, 30, 31, 32, 51, 52, 53, 62, 63, 64]), random.pick(patterns));
    case 3:
      return at(random.below(2 * bias + 2), random.pick(patterns));
    case 4:
      // Exponents whose products come near underflow or overflow.
      return at(
        random.pick([bias >> 1, (bias >> 1) + 1, bias + (bias >> 1), bias - Number(fraction)]),
        random.pick(patterns),
      );
    default:
      return at(bias + random.below(8) - 4, random.pick(patterns));
  }
}

/** An FP register: now a double, now a boxed single, now a badly boxed one. */
function floatRegister(random: Random, single: boolean): bigint {
  if (!single) return floatBits(random, 64);
  const box = random.below(24) === 0 ? random.u64() & 0xffffffff00000000n : 0xffffffff00000000n;
  return box | floatBits(random, 32);
}

const SKIPPED = /^(jal|jalr|beq|bne|blt|bge|bltu|bgeu|auipc|fence|fence\.i|ecall|ebreak|csr.*|lr\..*|sc\..*|amo.*)$/;

function isComputation(instruction: Instruction): boolean {
  return !SKIPPED.test(instruction.name) && !instruction.operands.includes("(");
}

function caseOf(instruction: Instruction, random: Random): VectorCase {
  const has = (token: string): boolean => instruction.tokens.includes(token);
  const single =
    has("fs1") &&
    (/\.s$/.test(instruction.name) || /\.s\.(?!.)/.test(instruction.name) || instruction.name === "fcvt.d.s");
  const register = (): number => FIRST_REGISTER + random.below(VECTOR_REGISTERS);
  const rd = random.below(40) === 0 && has("rd") ? 0 : register();
  const rm = random.pick([0, 1, 2, 3, 4, 7, 7, 7]);
  const word = encode(instruction.name, {
    rd,
    rs1: random.below(30) === 0 && has("rs1") ? 0 : register(),
    rs2: random.below(30) === 0 && has("rs2") ? 0 : register(),
    rs3: register(),
    imm: has("u") ? random.u32() & 0xfffff000 : (random.pick([0, 1, -1, 2047, -2048, random.u32()]) << 20) >> 20,
    rm,
  });
  const fcsr = (random.pick([0, 0, 0, 1, 2, 3, 4]) << 5) | random.pick([0, 0, 1, 1, random.below(32)]);
  const x = Array.from({ length: VECTOR_REGISTERS }, () => integerValue(random));
  const f = Array.from({ length: VECTOR_REGISTERS }, () => floatRegister(random, single));
  if (has("fs3") && random.below(3) === 0) cancel(f, word, single);
  return { name: instruction.name, word, fcsr, x, f, rd, fd: has("fd") };
}

/** Makes the addend of a fused multiply-add nearly cancel the product. */
function cancel(f: bigint[], word: number, single: boolean): void {
  const index = (shift: number): number => ((word >>> shift) & 31) - FIRST_REGISTER;
  const view = new DataView(new ArrayBuffer(8));
  const read = (bits: bigint): number => {
    view.setBigUint64(0, bits);
    return single ? view.getFloat32(4) : view.getFloat64(0);
  };
  const product = read(f[index(15)]) * read(f[index(20)]);
  if (Number.isNaN(product)) return;
  if (single) view.setFloat32(4, -product);
  else view.setFloat64(0, -product);
  f[index(27)] = single ? 0xffffffff00000000n | BigInt(view.getUint32(4)) : view.getBigUint64(0);
}

/** All cases, always the same. */
export function* vectorCases(): Iterable<VectorCase> {
  for (const [n, instruction] of INSTRUCTIONS.filter(isComputation).entries()) {
    const random = new Random(n * 7919 + 17);
    const float = instruction.tokens.some((token) => token.startsWith("f"));
    const count = float ? CASES_PER_FLOAT_INSTRUCTION : CASES_PER_INTEGER_INSTRUCTION;
    for (let i = 0; i < count; i++) yield caseOf(instruction, random);
  }
}
