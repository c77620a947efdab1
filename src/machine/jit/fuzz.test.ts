// Random programs through both engines: all registers, pc, traps, instruction counts, memory and its page tables must be the same at every stop,
// whatever the budgets and though the tables change between. MSHARE_FUZZ=FIRST,COUNT runs other seeds.
import { describe, expect, it } from "vitest";
import { decode } from "../isa/table.ts";
import { disassemble } from "../isa/disassemble.ts";
import { CODE, RW, RX, TestMachine } from "../test-machine.ts";
import type { Pfn } from "../../base/numbers.ts";
import { PTE_A, PTE_D, PTE_R, PTE_W } from "../pte.ts";
import { TRAP_BREAKPOINT, TRAP_BUDGET } from "../trap.ts";
import { Random } from "../vectors.ts";
import { type RandomProgram, randomProgram } from "./random-program.ts";

const DATA = 0x400000;
const [FIRST, COUNT] = (process.env.MSHARE_FUZZ ?? "1,15").split(",").map(Number);
const ROUNDS = 300;

/** What the pages of data may be: readable and writable most often. */
const PERMISSIONS = [RW, RW, RW, PTE_R, 0];
const PAGES = 5;

class Run {
  readonly machine: TestMachine;
  readonly frames: Pfn[] = [];

  constructor(engine: "interpreter" | "jit", program: RandomProgram, harts: number, countAccesses: boolean) {
    this.machine = new TestMachine({ engine, harts, memoryBytes: 4 * 2 ** 20, jitThreshold: 3, countAccesses });
    const { machine } = this;
    for (const [i, permissions] of [RW, RW, 0, PTE_R, RW].entries()) {
      const frame = machine.frame();
      this.frames.push(frame);
      if (permissions !== 0) machine.map(DATA + i * 4096, frame, permissions);
    }
    // The program starts so that it crosses a page.
    const start = CODE + 4096 - 62;
    machine.map(CODE, machine.frame(), RX);
    machine.frame();
    for (let page = CODE + 4096; page < start + program.code.length * 2 + 4; page += 4096) {
      machine.map(page, machine.frame(), RX);
    }
    machine.poke(start, new Uint8Array(program.code.buffer));
    const { registers } = machine.hart;
    registers.pc = start;
    program.x.forEach((value, i) => i > 0 && registers.setX(i, value));
    program.f.forEach((value, i) => registers.setF(i, value));
    registers.fcsr = program.fcsr;
  }

  /** Runs to an instruction count in slices; instructions that trap are skipped. The traps seen, and whether the program ended. */
  runTo(instret: number, slice: () => number, log: string[]): boolean {
    const { hart } = this.machine;
    while (hart.instret < instret) {
      const trap = hart.run(Math.min(slice(), instret - hart.instret));
      if (trap.cause === TRAP_BREAKPOINT) return true;
      if (trap.cause === TRAP_BUDGET) continue;
      log.push(`${trap.cause} ${trap.pc.toString(16)} ${trap.va.toString(16)} ${trap.access} at ${hart.instret}`);
      hart.registers.pc = trap.pc + this.lengthAt(trap.pc);
    }
    return false;
  }

  private lengthAt(pc: number): number {
    return (this.halfAt(pc) & 3) === 3 ? 4 : 2;
  }

  private halfAt(va: number): number {
    const { mmu, ram } = this.machine.hardware;
    const leaf = mmu.walk(this.machine.root, va)!;
    return ram.u16[((leaf.pte >>> 10) * 4096 + (va % 4096)) >>> 1];
  }

  state(): string[] {
    const { registers, instret } = this.machine.hart;
    const pc = registers.pc;
    const word = this.halfAt(pc) | (this.halfAt(pc + 2) << 16);
    return [
      `pc ${pc.toString(16)} instret ${instret} fcsr ${registers.fcsr.toString(16)} ${decode(word) ? disassemble(word, pc) : "?"}`,
      ...Array.from({ length: 32 }, (_, i) => `x${i} ${registers.x(i).toString(16)}`),
      ...Array.from({ length: 32 }, (_, i) => `f${i} ${registers.f(i).toString(16)}`),
    ];
  }

  /** Maps a page of data to any of their frames, or not at all, as the kernel does: the entry, then the flush. */
  remap(page: number, frame: number, permissions: number): void {
    const { machine, frames } = this;
    const va = DATA + page * 4096;
    const { table, index } = machine.map(va, frames[frame], permissions);
    if (permissions === 0) machine.hardware.ram.writePte(table, index, 0);
    machine.hardware.mmu.flushLeaf(table, index, 1);
  }

  /** Loads, stores and atomics done, if they are counted. */
  accesses(): number {
    return this.machine.hardware.stats.memoryAccesses;
  }

  /** The entries for the pages of data, A and D included. */
  entries(): (number | undefined)[] {
    return this.frames.map((_, page) => this.machine.hardware.mmu.walk(this.machine.root, DATA + page * 4096)?.pte);
  }

  /** Throws if a hart may use a translation that the tables do not give. */
  checkTranslations(): void {
    for (const { va, pfn, write } of this.machine.hardware.mmu.entries()) {
      const pte = this.machine.hardware.mmu.walk(this.machine.root, va)?.pte ?? 0;
      const need = PTE_A | (write ? PTE_W | PTE_D : 0);
      if (pte >>> 10 !== pfn || (pte & need) !== need) throw new Error(`stale translation of ${va.toString(16)}`);
    }
  }

  memory(): Uint8Array[] {
    return this.frames.map((frame) => this.machine.hardware.ram.bytes(frame));
  }
}

describe("both engines do the same", () => {
  let [compiled, total] = [0, 0];
  it.each(Array.from({ length: COUNT }, (_, i) => FIRST + i))("seed %i", (seed) => {
    const program = randomProgram(seed, { code: CODE, data: DATA }, ROUNDS);
    // Compiled code of a machine with one hart knows where the extents are.
    const harts = 1 + (seed % 2);
    // What is counted makes other code.
    const counts = seed % 3 === 0;
    const runs = [new Run("interpreter", program, harts, counts), new Run("jit", program, harts, counts)];
    const random = new Random(seed);
    const slices = [() => 1 + random.below(100_000), random.below(2) ? () => 1 + random.below(700) : () => 50_000];
    for (let stop = 0, ended = false; !ended && stop < 400_000;) {
      stop += 1 + random.below(random.below(3) === 0 ? 200 : 20_000);
      const logs: string[][] = [[], []];
      const ends = runs.map((run, i) => run.runTo(stop, slices[i], logs[i]));
      expect(logs[1]).toEqual(logs[0]);
      expect(runs[1].state()).toEqual(runs[0].state());
      expect(ends[1]).toBe(ends[0]);
      expect(runs[1].accesses()).toBe(runs[0].accesses());
      expect(runs[1].entries()).toEqual(runs[0].entries());
      runs[1].checkTranslations();
      ended = ends[0];
      if (random.below(2) === 0) continue;
      const [page, frame] = [random.below(PAGES), random.below(PAGES)];
      const permissions = PERMISSIONS[random.below(PERMISSIONS.length)];
      // Most often the frame that follows those of its neighbours.
      const target = random.below(4) === 0 ? frame : page;
      for (const run of runs) run.remap(page, target, permissions);
    }
    expect(runs[1].memory()).toEqual(runs[0].memory());
    compiled += runs[1].machine.hardware.stats.compiled;
    total += runs[1].machine.hart.instret;
  });

  it("a good part of it was compiled", () => {
    expect(compiled / total).toBeGreaterThan(0.4);
  });
});
