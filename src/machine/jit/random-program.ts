// Random valid programs that exercise both engines: nested loops, branches, calls, table jumps, words and double words, memory that is
// mapped, unmapped or crosses pages, FP, atomics, CSRs, 16-bit instructions. From a seed; for tests only.
import { encode } from "../isa/encode.ts";
import type { Instruction } from "../isa/instruction.ts";
import { decode, INSTRUCTIONS } from "../isa/table.ts";
import { Random, floatBits, integerValue } from "../vectors.ts";

/** Registers that random instructions may write. */
const POOL = [5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 28, 29, 30];
const [ZERO, RA, DATA_BASE, EDGE_BASE, OUTER, INNER, POINTER] = [0, 1, 8, 9, 20, 21, 22];
const INNER2 = 23;

export interface RandomProgram {
  /** Halfwords. */
  readonly code: Uint16Array;
  readonly x: readonly bigint[];
  readonly f: readonly bigint[];
  readonly fcsr: number;
}

export interface Surroundings {
  /** The address of the program, and of data: two mapped pages, an unmapped one, a read-only one, a mapped one. */
  readonly code: number;
  readonly data: number;
}

const isComputation = (i: Instruction): boolean =>
  !/^(jal|jalr|b|fence|ecall|ebreak|csr|lr|sc|amo|auipc)/.test(i.name) && !i.operands.includes("(");
const INTEGER = INSTRUCTIONS.filter((i) => isComputation(i) && !i.tokens.some((t) => t.startsWith("f")));
const FLOAT = INSTRUCTIONS.filter((i) => isComputation(i) && i.tokens.some((t) => t.startsWith("f")));
const WORDS = INTEGER.filter((i) => /w$|^(and|or|xor|slt)/.test(i.name));
const LOADS = INSTRUCTIONS.filter((i) => /^(l[bhwd]u?|fl[wd])$/.test(i.name));
const STORES = INSTRUCTIONS.filter((i) => /^(s[bhwd]|fs[wd])$/.test(i.name));
const ATOMICS = INSTRUCTIONS.filter((i) => /^(amo|lr|sc)/.test(i.name));
const BRANCHES = ["beq", "bne", "blt", "bge", "bltu", "bgeu"];

class Writer {
  private readonly halves: number[] = [];
  private readonly random: Random;
  private readonly functions: number[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  private get at(): number {
    return this.halves.length * 2;
  }

  private emit(name: string, operands = {}): number {
    const at = this.at;
    const word = encode(name, operands);
    this.halves.push(word & 0xffff, word >>> 16);
    return at;
  }

  private patch(at: number, name: string, operands: object): void {
    const word = encode(name, operands);
    this.halves[at / 2] = word & 0xffff;
    this.halves[at / 2 + 1] = word >>> 16;
  }

  private readonly any = (): number => (this.random.below(12) === 0 ? ZERO : this.random.pick(POOL));
  private readonly anyFloat = (): number => this.random.below(8);

  private computation(from: readonly Instruction[]): void {
    const { random } = this;
    const instruction = random.pick(from);
    const has = (t: string): boolean => instruction.tokens.includes(t);
    this.emit(instruction.name, {
      rd: has("fd") ? this.anyFloat() : this.any(),
      rs1: has("fs1") ? this.anyFloat() : this.any(),
      rs2: has("fs2") ? this.anyFloat() : this.any(),
      rs3: this.anyFloat(),
      imm: has("u") ? random.u32() & 0xfffff000 : (random.u32() << 20) >> 20,
      rm: random.below(20) === 0 ? random.below(5) : has("rd") && has("fs1") && random.below(2) === 0 ? 1 : 7,
    });
  }

  /** A 16-bit instruction that neither jumps nor touches memory nor the reserved registers. */
  private compressed(): void {
    for (;;) {
      const half = this.random.u32() & 0xffff;
      if ((half & 3) === 3) continue;
      const d = decode(half);
      if (!d || d.instruction.ends || d.instruction.operands.includes("(") || d.instruction.tokens.includes("b"))
        continue;
      if (d.rd !== 0 && !POOL.includes(d.rd)) continue;
      this.halves.push(half);
      return;
    }
  }

  private memory(): void {
    const { random } = this;
    const instruction = random.pick(random.below(2) === 0 ? LOADS : STORES);
    let [base, imm] = [DATA_BASE, random.below(2048)];
    switch (random.below(6)) {
      case 0:
        [base, imm] = [EDGE_BASE, random.below(24) - 12];
        break;
      case 1:
        // Somewhere in the five pages, or a little beyond.
        this.emit("lui", { rd: POINTER, imm: random.below(6) * 4096 });
        this.emit("add", { rd: POINTER, rs1: POINTER, rs2: DATA_BASE });
        base = POINTER;
        break;
      case 2: {
        // A pointer that moves with a register.
        const r = random.pick(POOL);
        this.emit("andi", { rd: POINTER, rs1: r, imm: random.pick([0xff, 0x7f8, 0x7f0]) });
        this.emit("add", { rd: POINTER, rs1: POINTER, rs2: DATA_BASE });
        base = POINTER;
        imm = random.below(64);
        break;
      }
      case 3:
        base = random.below(8) === 0 ? random.pick(POOL) : DATA_BASE;
        imm &= ~7;
    }
    const float = instruction.name.startsWith("f");
    this.emit(instruction.name, {
      rd: float ? this.anyFloat() : this.any(),
      rs1: base,
      rs2: float ? this.anyFloat() : this.any(),
      imm,
    });
  }

  private atomic(): void {
    const { random } = this;
    this.emit("addi", { rd: POINTER, rs1: DATA_BASE, imm: random.below(64) * (random.below(10) === 0 ? 4 : 8) });
    this.emit(random.pick(ATOMICS).name, { rd: this.any(), rs1: POINTER, rs2: this.any() });
  }

  private csr(): void {
    const { random } = this;
    const name = random.pick(["csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"]);
    // Mostly fflags: other rounding modes are slow for a long time.
    const imm = random.below(12) === 0 ? random.pick([2, 3, 0xc02]) : 1;
    const rs1 = name.endsWith("i") ? random.below(8) : random.below(2) === 0 ? ZERO : this.any();
    this.emit(name, { rd: this.any(), rs1, imm });
    if (imm === 2 || imm === 3) this.emit("csrrwi", { rd: ZERO, rs1: 0, imm: 2 });
  }

  private forwardBranch(depth: number): void {
    const { random } = this;
    const at = this.emit("addi");
    this.items(1 + random.below(4), depth + 1);
    const imm = this.at - at;
    this.patch(at, random.pick(BRANCHES), { rs1: this.any(), rs2: this.any(), imm });
  }

  /** if-else with a jump over the second arm. */
  private twoArms(depth: number): void {
    const { random } = this;
    const branch = this.emit("addi");
    this.items(1 + random.below(3), depth + 1);
    const jump = this.emit("addi");
    this.patch(branch, random.pick(BRANCHES), { rs1: this.any(), rs2: this.any(), imm: this.at - branch });
    this.items(1 + random.below(3), depth + 1);
    this.patch(jump, "jal", { rd: ZERO, imm: this.at - jump });
  }

  private innerLoop(depth: number, counter: number): void {
    const { random } = this;
    this.emit("addi", { rd: counter, rs1: ZERO, imm: 1 + random.below(12) });
    const start = this.at;
    this.items(1 + random.below(5), depth + 1);
    this.emit("addi", { rd: counter, rs1: counter, imm: -1 });
    this.emit("bne", { rs1: counter, rs2: ZERO, imm: start - this.at });
  }

  private call(): void {
    if (this.functions.length === 0) return;
    const target = this.random.pick(this.functions);
    if (this.random.below(3) === 0) {
      this.emit("auipc", { rd: POINTER, imm: 0 });
      this.emit("addi", { rd: POINTER, rs1: POINTER, imm: 0 });
      const distance = target - (this.at - 8);
      if (distance >= -2048) {
        this.patch(this.at - 4, "addi", { rd: POINTER, rs1: POINTER, imm: distance });
        this.emit("jalr", { rd: RA, rs1: POINTER, imm: this.random.below(2) });
        return;
      }
    }
    this.emit("jal", { rd: RA, imm: target - this.at });
  }

  /** Four arms of a switch, chosen by two bits of a register, each one instruction and a jump to the end. */
  private tableJump(): void {
    const { random } = this;
    this.emit("andi", { rd: POINTER, rs1: random.pick(POOL), imm: 3 });
    this.emit("slli", { rd: POINTER, rs1: POINTER, imm: 3 });
    this.emit("auipc", { rd: INNER2, imm: 0 });
    this.emit("add", { rd: POINTER, rs1: POINTER, rs2: INNER2 });
    this.emit("jalr", { rd: ZERO, rs1: POINTER, imm: 12 });
    for (let arm = 0; arm < 4; arm++) {
      this.computation(WORDS);
      this.emit("jal", { rd: ZERO, imm: (3 - arm) * 8 + 4 });
    }
  }

  items(count: number, depth: number): void {
    const { random } = this;
    for (let i = 0; i < count; i++) {
      const kind = random.below(24);
      if (kind < 5) this.computation(WORDS);
      else if (kind < 8) this.computation(INTEGER);
      else if (kind < 10) this.computation(FLOAT);
      else if (kind < 12) this.compressed();
      else if (kind < 16) this.memory();
      else if (kind === 16) this.atomic();
      else if (kind === 17) this.csr();
      else if (kind === 18 && depth < 3) this.forwardBranch(depth);
      else if (kind === 19 && depth < 3) this.twoArms(depth);
      else if (kind === 20 && depth < 2) this.innerLoop(depth, depth === 0 ? INNER : 24);
      else if (kind === 21) this.call();
      else if (kind === 22) this.tableJump();
      else this.computation(WORDS);
    }
  }

  program(): Uint16Array {
    const { random } = this;
    const jump = this.emit("addi");
    for (let n = random.below(4); n > 0; n--) {
      const at = this.at;
      // Functions do not call, so that ra needs no saving.
      const functions = this.functions.splice(0);
      this.items(1 + random.below(6), 2);
      this.emit("jalr", { rd: ZERO, rs1: RA });
      this.functions.push(...functions, at);
    }
    this.patch(jump, "jal", { rd: ZERO, imm: this.at - jump });
    const start = this.at;
    this.items(4 + random.below(16), 0);
    this.emit("addi", { rd: OUTER, rs1: OUTER, imm: -1 });
    this.emit("beq", { rs1: OUTER, rs2: ZERO, imm: 8 });
    this.emit("jal", { rd: ZERO, imm: start - this.at });
    this.emit("ebreak");
    return Uint16Array.from(this.halves);
  }
}

/** A program of about `rounds` turns through its outer loop; it ends with ebreak. */
export function randomProgram(seed: number, surroundings: Surroundings, rounds: number): RandomProgram {
  const random = new Random(seed);
  const code = new Writer(random).program();
  const x = Array.from({ length: 32 }, (_, i) => (i === 0 ? 0n : integerValue(random)));
  const f = Array.from({ length: 32 }, () =>
    random.below(3) === 0 ? 0xffffffff00000000n | floatBits(random, 32) : floatBits(random, 64),
  );
  x[DATA_BASE] = BigInt(surroundings.data);
  x[EDGE_BASE] = BigInt(surroundings.data + 4096 * random.pick([1, 1, 1, 2, 3]));
  x[OUTER] = BigInt(rounds);
  return { code, x, f, fcsr: random.pick([0, 0, 1, 1, 0x20]) };
}
