// Floating-point arithmetic of both engines against the exact arithmetic of softfloat.ts: bits and flags, with and without the host's fused
// multiply-add, whichever flags are set before; and that what is exact stays in compiled code.
import { setFlagsFromString } from "node:v8";
import { beforeAll, describe, expect, it } from "vitest";
import { PAGE_SIZE } from "../base/numbers.ts";
import { isRelaxedMultiplyAddFused } from "../wasm/relaxed.ts";
import { encode } from "./isa/encode.ts";
import * as soft from "./isa/softfloat.ts";
import { CODE, DATA, RW, TestMachine } from "./test-machine.ts";
import { TRAP_BREAKPOINT } from "./trap.ts";
import { Random, floatBits } from "./vectors.ts";

const BOX = 0xffffffff00000000n;
const PASSES = 4;
const CASES = 500;
/** Flags that are set before: the fast ways depend on them. */
const INITIAL_FLAGS = [0, soft.FLAG_NX, soft.FLAG_NX | soft.FLAG_UF];
/** Of an entry of the table that the program walks: three operands, the result, the flags. */
const ENTRY_SIZE = 40;
const [POINTER, END, FLAGS, INITIAL] = [10, 11, 12, 13];
const [RESULT, A, B, C] = [0, 1, 2, 3];
const FCSR = 3;

type Width = 32 | 64;
type Engine = "interpreter" | "jit";
type Triple = readonly [bigint, bigint, bigint];

const view = new DataView(new ArrayBuffer(8));

function bitsOf(width: Width, x: number): bigint {
  if (width === 32) {
    view.setFloat32(0, x);
    return BigInt(view.getUint32(0));
  }
  view.setFloat64(0, x);
  return view.getBigUint64(0);
}

function numberOf(width: Width, bits: bigint): number {
  if (width === 32) {
    view.setUint32(0, Number(bits));
    return view.getFloat32(0);
  }
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

const integer = (random: Random, limit: number): number => random.below(2 * limit) - limit;

/** Operands for which sums, products and both together are exact, zeros among them: what programs with small integers in doubles have. */
function exactTriple(random: Random, width: Width): Triple {
  const limit = random.pick([3, 1000]);
  const scale = 2 ** random.pick([0, 0, 0, -10, 10]);
  const [a, b] = [integer(random, limit) * scale, integer(random, limit)];
  const c = random.below(4) === 0 ? -a * b : integer(random, limit) * scale;
  return [bitsOf(width, a), bitsOf(width, b), bitsOf(width, c)];
}

/** Exponents around those below which the error of a product, or the product, underflows. */
const EXPONENTS = {
  32: [-149, -140, -126, -75, -64, -63, 0, 63, 64, 127],
  64: [-1074, -1022, -970, -960, -537, -485, -480, -475, 0, 511, 512, 1023],
};

/** Operands whose results are exact, nearly so, or far from it, down to where errors vanish. */
function hardTriple(random: Random, width: Width): Triple {
  const bits = random.pick([width === 64 ? 26 : 12, width === 64 ? 27 : 13, 8]);
  const one = (): number => integer(random, 2 ** bits) * 2 ** (random.pick(EXPONENTS[width]) - random.below(bits));
  const [a, b] = [one(), one()];
  const near = bitsOf(width, -(a * b)) ^ BigInt(random.below(3) === 0 ? random.below(4) : 0);
  return [bitsOf(width, a), bitsOf(width, b), random.below(2) ? near : bitsOf(width, one())];
}

const anyTriple = (random: Random, width: Width): Triple => [
  floatBits(random, width),
  floatBits(random, width),
  floatBits(random, width),
];

interface Operation {
  readonly name: string;
  readonly expected: (f: soft.Format, triple: Triple) => soft.Result;
}

const negated = (f: soft.Format, bits: bigint): bigint => bits ^ (1n << BigInt(f.width - 1));
const { RNE } = soft;

/** A sign injection: a with the sign that `from` has. */
const injected = (f: soft.Format, a: bigint, from: bigint): soft.Result => {
  const sign = 1n << BigInt(f.width - 1);
  return { bits: (a & (sign - 1n)) | (from & sign), flags: 0 };
};

const OPERATIONS: readonly Operation[] = [
  { name: "fadd", expected: (f, [a, b]) => soft.add(f, a, b, RNE) },
  { name: "fsub", expected: (f, [a, b]) => soft.subtract(f, a, b, RNE) },
  { name: "fmul", expected: (f, [a, b]) => soft.multiply(f, a, b, RNE) },
  { name: "fdiv", expected: (f, [a, b]) => soft.divide(f, a, b, RNE) },
  { name: "fsqrt", expected: (f, [a]) => soft.squareRoot(f, a, RNE) },
  { name: "fmadd", expected: (f, [a, b, c]) => soft.fusedMultiplyAdd(f, a, b, c, RNE) },
  { name: "fmsub", expected: (f, [a, b, c]) => soft.fusedMultiplyAdd(f, a, b, negated(f, c), RNE) },
  { name: "fnmsub", expected: (f, [a, b, c]) => soft.fusedMultiplyAdd(f, negated(f, a), b, c, RNE) },
  { name: "fnmadd", expected: (f, [a, b, c]) => soft.fusedMultiplyAdd(f, negated(f, a), b, negated(f, c), RNE) },
  { name: "fsgnj", expected: (f, [a, b]) => injected(f, a, b) },
  { name: "fsgnjn", expected: (f, [a, b]) => injected(f, a, ~b) },
  { name: "fsgnjx", expected: (f, [a, b]) => injected(f, a, a ^ b) },
  { name: "fmv", expected: (f, [a]) => injected(f, a, a) },
  { name: "fneg", expected: (f, [a]) => injected(f, a, ~a) },
  { name: "fabs", expected: (f, [a]) => injected(f, a, 0n) },
];

/** Instructions whose sources are the same register, by the names that assemblers have for that. */
const SAME_SOURCES: Readonly<Record<string, string>> = { fmv: "fsgnj", fneg: "fsgnjn", fabs: "fsgnjx" };

/** Does the operation for each entry of the table, with fcsr as INITIAL has it before each. */
function program(name: string, width: Width): number[] {
  const letter = width === 64 ? "d" : "s";
  const load = width === 64 ? "fld" : "flw";
  const of = SAME_SOURCES[name];
  const loop = [
    encode(load, { rd: A, rs1: POINTER }),
    encode(load, { rd: B, rs1: POINTER, imm: 8 }),
    encode(load, { rd: C, rs1: POINTER, imm: 16 }),
    encode(`${of ?? name}.${letter}`, { rd: RESULT, rs1: A, rs2: of ? A : B, rs3: C }),
    encode("csrrw", { rd: FLAGS, rs1: INITIAL, imm: FCSR }),
    encode("fsd", { rs1: POINTER, rs2: RESULT, imm: 24 }),
    encode("sd", { rs1: POINTER, rs2: FLAGS, imm: 32 }),
    encode("addi", { rd: POINTER, rs1: POINTER, imm: ENTRY_SIZE }),
  ];
  return [...loop, encode("bne", { rs1: POINTER, rs2: END, imm: -4 * loop.length }), encode("ebreak")];
}

interface Run {
  readonly results: readonly soft.Result[];
  /** Of the instructions of the last passes, how many compiled code did. */
  readonly compiled: number;
}

function run(engine: Engine, name: string, width: Width, initial: number, triples: readonly Triple[]): Run {
  const machine = new TestMachine({ engine, jitThreshold: 2 });
  const table = new BigUint64Array((triples.length * ENTRY_SIZE) / 8);
  triples.forEach((triple, i) => table.set(triple, (i * ENTRY_SIZE) / 8));
  const first = machine.mapFresh(DATA, Math.ceil(table.byteLength / PAGE_SIZE), RW);
  machine.poke(DATA, new Uint8Array(table.buffer));
  machine.load(program(name, width));
  const { hart } = machine;
  const { stats } = machine.hardware;
  let before = { ...stats };
  for (let pass = 0; pass < PASSES; pass++) {
    if (pass === PASSES / 2) before = { ...stats };
    hart.registers.pc = CODE;
    hart.registers.setX(POINTER, BigInt(DATA));
    hart.registers.setX(END, BigInt(DATA + table.byteLength));
    hart.registers.setX(INITIAL, BigInt(initial));
    hart.registers.fcsr = initial;
    expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
  }
  const filled = machine.hardware.ram.u64.subarray((first * PAGE_SIZE) / 8);
  const results = triples.map((_, i) => {
    const entry = (i * ENTRY_SIZE) / 8;
    return { bits: filled[entry + 3], flags: Number(filled[entry + 4]) };
  });
  const compiled = stats.compiled - before.compiled;
  return { results, compiled: compiled / (compiled + stats.interpreted - before.interpreted) };
}

function checkResults(engine: Engine): void {
  describe.each(OPERATIONS)("$name", ({ name, expected }) => {
    it.each([32, 64] as const)("of %i bits: bits and flags", (width) => {
      const random = new Random(width);
      const format = width === 64 ? soft.BINARY64 : soft.BINARY32;
      const triples = Array.from({ length: CASES }, () =>
        random.pick([exactTriple, hardTriple, anyTriple])(random, width),
      );
      for (const initial of INITIAL_FLAGS) {
        const { results } = run(engine, name, width, initial, triples);
        triples.forEach((triple, i) => {
          const { bits, flags } = expected(format, triple);
          const want = { bits: width === 64 ? bits : BOX | bits, flags: flags | initial };
          const text = triple.map((operand) => numberOf(width, operand)).join(", ");
          expect(results[i], `${text}: ${numberOf(width, results[i].bits & ~(width === 64 ? 0n : BOX))}`).toEqual(want);
        });
      }
    });
  });
}

/** Operands for which a quotient, and a root, is exact. */
function divisibleTriple(random: Random, width: Width, name: string): Triple {
  const [x, y] = [integer(random, 1000), 1 + random.below(1000)];
  return [bitsOf(width, name === "fdiv" ? x * y : x * x), bitsOf(width, y), 0n];
}

function checkCompiled(): void {
  it.each(["fadd", "fsub", "fmul", "fmadd", "fmsub", "fnmsub", "fnmadd", "fdiv", "fsqrt"])(
    "%s stays in compiled code as long as it is exact",
    (name) => {
      const triple = name === "fdiv" || name === "fsqrt" ? divisibleTriple : exactTriple;
      for (const width of [32, 64] as const) {
        const random = new Random(1);
        const triples = Array.from({ length: CASES }, () => triple(random, width, name));
        for (const initial of INITIAL_FLAGS)
          expect(run("jit", name, width, initial, triples).compiled, `${width}`).toBeGreaterThan(0.99);
      }
    },
  );
}

describe("in the interpreter", () => checkResults("interpreter"));

describe("in compiled code", () => {
  checkResults("jit");
  checkCompiled();
});

describe("in compiled code with the host's fused multiply-add", () => {
  beforeAll(() => setFlagsFromString("--experimental-wasm-relaxed-simd"));
  it("has it", () => expect(isRelaxedMultiplyAddFused()).toBe(true));
  checkResults("jit");
  checkCompiled();
});
