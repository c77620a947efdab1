// The JIT's manager: what it compiles, when it lets go, and what it shows.
import { describe, expect, it } from "vitest";
import { encode } from "../isa/encode.ts";
import { CODE, DATA, RW, RX, TestMachine } from "../test-machine.ts";
import { TRAP_BREAKPOINT, TRAP_BUDGET } from "../trap.ts";

const [A0, A1] = [10, 11];
const EBREAK = encode("ebreak");
const RET = encode("jalr", { rs1: 1 });
/** a1 += a0, a0 times; with a load. */
const LOOP = [
  encode("lw", { rd: 12, rs1: 13 }),
  encode("add", { rd: A1, rs1: A1, rs2: A0 }),
  encode("addi", { rd: A0, rs1: A0, imm: -1 }),
  encode("bne", { rs1: A0, rs2: 0, imm: -12 }),
  EBREAK,
];

function looping(options: ConstructorParameters<typeof TestMachine>[0] = {}): TestMachine {
  const machine = new TestMachine({ engine: "jit", jitThreshold: 10, ...options });
  machine.map(DATA, machine.frame(), RW);
  machine.load(LOOP);
  return machine;
}

function run(machine: TestMachine, times: bigint): void {
  const { registers } = machine.hart;
  registers.pc = CODE;
  registers.setX(A0, times);
  registers.setX(13, BigInt(DATA));
  expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
}

describe("the JIT", () => {
  it("compiles a hot loop once, and runs nearly all of it compiled", () => {
    const machine = looping();
    run(machine, 10_000n);
    run(machine, 10_000n);
    const { stats } = machine.hardware;
    expect(stats.regions).toBe(1);
    expect(stats.compiled).toBeGreaterThan(79_000);
    expect(stats.compiled + stats.interpreted).toBe(machine.hart.instret);
    expect(stats.codeBytes).toBeGreaterThan(100);
  });

  it("lets go of a region when its code changes", () => {
    const machine = looping();
    run(machine, 10_000n);
    machine.pokeWords(CODE + 4, [encode("sub", { rd: A1, rs1: A1, rs2: A0 })]);
    expect(machine.hardware.stats.codeBytes).toBe(0);
    machine.hart.registers.setX(A1, 0n);
    run(machine, 1000n);
    expect(machine.hart.registers.x(A1)).toBe(BigInt.asUintN(64, -500_500n));
    expect(machine.hardware.stats.regions).toBe(2);
  });

  it("has all registers of the turn before when a load that begins a turn faults, or the budget ends there", () => {
    // Eight registers that no later turn reads.
    const left = [5, 6, 7, 28, 29, 30, 31, 16];
    const hash = [
      encode("lw", { rd: 12, rs1: 13 }),
      ...left.map((rd, i) => encode("slli", { rd, rs1: i % 2 ? 12 : A1, imm: i + 1 })),
      ...left.map((rs2) => encode("xor", { rd: A1, rs1: A1, rs2 })),
      encode("addi", { rd: 13, rs1: 13, imm: 4 }),
      encode("jal", { rd: 0, imm: -4 * 18 }),
    ];
    const states = (["interpreter", "jit"] as const).map((engine) => {
      const machine = new TestMachine({ engine, jitThreshold: 10 });
      const { hart } = machine;
      const frame = machine.mapFresh(DATA, 1, RW);
      machine.hardware.ram.bytes(frame).forEach((_, i, bytes) => (bytes[i] = (i * i) >> 3));
      machine.load(hash);
      hart.registers.setX(13, BigInt(DATA));
      const seen: string[] = [];
      for (let budget = 1; ; budget = (budget * 7) % 211) {
        const { cause, pc } = hart.run(budget);
        seen.push(`${cause} ${pc} ${Array.from({ length: 32 }, (_, r) => hart.registers.x(r)).join()}`);
        if (cause !== TRAP_BUDGET) return { seen, compiled: machine.hardware.stats.compiled };
      }
    });
    expect(states[1].seen).toEqual(states[0].seen);
    expect(states[0].seen.length).toBeGreaterThan(100);
    expect(states[1].compiled).toBeGreaterThan(10_000);
  });

  it("compiles cold code not at all", () => {
    const machine = looping();
    run(machine, 5n);
    expect(machine.hardware.stats.compiled).toBe(0);
  });

  it("spends a part of the time on compiling: of much code that is lukewarm some stays interpreted, and what is hot is compiled", () => {
    const LOOPS = 2500;
    const lukewarm = [
      encode("lui", { rd: A0, imm: 8192 }),
      encode("addi", { rd: A0, rs1: A0, imm: -1 }),
      encode("bne", { rs1: A0, rs2: 0, imm: -4 }),
      EBREAK,
    ];
    const machine = new TestMachine({ engine: "jit", memoryBytes: 4 * 2 ** 20 });
    const runAt = (pc: number): void => {
      machine.hart.registers.pc = pc;
      expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
    };
    machine.load(Array<number[]>(LOOPS).fill(lukewarm).flat());
    for (let i = 0; i < LOOPS; i++) runAt(CODE + 16 * i);
    const { stats } = machine.hardware;
    expect(stats.regions).toBeGreaterThan(LOOPS / 4);
    expect(stats.regions).toBeLessThan((3 * LOOPS) / 4);

    const hot = CODE + 0x100000;
    machine.load([encode("lui", { rd: A0, imm: 0x2000000 }), ...lukewarm.slice(1)], hot);
    const before = stats.compiled;
    runAt(hot);
    expect(stats.compiled - before).toBeGreaterThan(2 * 0x1f00000);
  });

  it("shows a region: guest code beside WebAssembly", () => {
    const machine = looping();
    let text = "";
    machine.hardware.dumpRegion(CODE + 4, (part) => (text += part));
    // None holds this one.
    const watch = machine.hardware.dumpRegion(CODE + 400, () => expect.unreachable());
    expect(watch?.nearest).toBeUndefined();
    run(machine, 1000n);
    expect(watch?.nearest).toBe(CODE + 12);
    const lines = text.split("\n");
    expect(lines[0]).toMatch(/^region 10000: 4 instructions/);
    expect(lines).toContain("=> 10004  add a1,a1,a0");
    expect(lines.map((line) => line.trim())).toEqual(
      expect.arrayContaining(["10000  lw a2,0(a3)", "10008  addi a0,a0,-1", "i64.add", "i32.load"]),
    );
  });

  it("knows where it is in a function 4 MiB from its caller", () => {
    const FAR = CODE + 2 ** 22 + 256;
    const machine = looping({ memoryBytes: 16 * 2 ** 20 });
    machine.mapFresh(DATA, 64, RW);
    machine.load([encode("ld", { rd: 12, rs1: 13 }), encode("add", { rd: 13, rs1: 13, rs2: 14 }), RET], FAR);
    machine.load([encode("jalr", { rd: 1, rs1: 15 }), encode("addi", { rd: A0, rs1: A0, imm: -1 })]);
    machine.pokeWords(CODE + 8, [encode("bne", { rs1: A0, rs2: 0, imm: -8 }), EBREAK]);
    machine.hart.registers.setX(14, 4096n);
    machine.hart.registers.setX(15, BigInt(FAR));
    // Each call misses the TLB.
    run(machine, 64n);
    expect(machine.hart.registers.x(13)).toBe(BigInt(DATA + 64 * 4096));
    expect(machine.hardware.stats.compiled).toBeGreaterThan(50);
  });

  it("goes on from region to region, in two spaces that have different code at one address", () => {
    const machine = new TestMachine({ engine: "jit", jitThreshold: 10 });
    const spaces = [machine.root, machine.frame()];
    const FUNCTIONS = CODE + 0x1000;
    /** Calls the functions by turns: 24 bytes from one to the next. */
    const caller = [
      encode("add", { rd: 13, rs1: 14 }),
      encode("jalr", { rd: 1, rs1: 13 }),
      encode("addi", { rd: 13, rs1: 13, imm: 24 }),
      encode("bne", { rs1: 13, rs2: 15, imm: -8 }),
      encode("addi", { rd: A0, rs1: A0, imm: -1 }),
      encode("bne", { rs1: A0, rs2: 0, imm: -20 }),
      EBREAK,
    ];
    const adds = (n: number): number[] => [...Array<number>(5).fill(encode("addi", { rd: A1, rs1: A1, imm: n })), RET];
    spaces.forEach((root, space) => {
      const [code, functions] = [machine.frame(), machine.frame()];
      machine.map(CODE, code, RX, 0, root);
      machine.map(FUNCTIONS, functions, RX, 0, root);
      const { ram } = machine.hardware;
      ram.write(code, 0, new Uint8Array(Uint32Array.from(caller).buffer));
      const bodies = [1, 2, 3, 4].flatMap((n) => adds(n + 10 * space));
      ram.write(functions, 0, new Uint8Array(Uint32Array.from(bodies).buffer));
    });
    const { registers } = machine.hart;
    for (const turn of [0, 1, 0, 1, 1, 0]) {
      machine.hart.switchTo(spaces[turn]);
      registers.setX(A1, 0n);
      registers.setX(14, BigInt(FUNCTIONS));
      registers.setX(15, BigInt(FUNCTIONS + 4 * 24));
      registers.pc = CODE;
      registers.setX(A0, 1000n);
      expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
      expect(registers.x(A1)).toBe(turn === 0 ? 50_000n : 250_000n);
    }
    const { stats } = machine.hardware;
    expect(stats.compiled / (stats.compiled + stats.interpreted)).toBeGreaterThan(0.9);
  });

  it("goes through a stub of a procedure linkage table to what it led to last, and back", () => {
    const machine = new TestMachine({ engine: "jit", jitThreshold: 10 });
    const T3 = 28;
    machine.load([
      encode("jal", { rd: 1, imm: 16 }),
      encode("addi", { rd: A0, rs1: A0, imm: -1 }),
      encode("bne", { rs1: A0, rs2: 0, imm: -8 }),
      EBREAK,
      // The stub; what it leads to.
      encode("jalr", { rd: 6, rs1: T3 }),
      encode("addi", { rd: A1, rs1: A1, imm: 3 }),
      RET,
    ]);
    let text = "";
    machine.hardware.dumpRegion(CODE + 20, (part) => (text += part));
    machine.hart.registers.setX(T3, BigInt(CODE + 20));
    run(machine, 10_000n);
    expect(machine.hart.registers.x(A1)).toBe(30_000n);
    expect(machine.hart.registers.x(6)).toBe(BigInt(CODE + 20));
    expect(text).toMatch(/^region 10000: 6 instructions/m);
  });

  it("follows calls of small functions, of large ones not", () => {
    const regionOf = (length: number): string => {
      const machine = new TestMachine({ engine: "jit", jitThreshold: 10 });
      machine.load([
        encode("jal", { rd: 1, imm: 16 }),
        encode("addi", { rd: A0, rs1: A0, imm: -1 }),
        encode("bne", { rs1: A0, rs2: 0, imm: -8 }),
        EBREAK,
        ...Array<number>(length - 1).fill(encode("addi", { rd: A1, rs1: A1, imm: 1 })),
        RET,
      ]);
      let text = "";
      machine.hardware.dumpRegion(CODE, (part) => (text += part));
      run(machine, 10_000n);
      expect(machine.hart.registers.x(A1)).toBe(BigInt(10_000 * (length - 1)));
      return text.split("\n")[0];
    };
    expect(regionOf(60)).toMatch(/^region 10000: 63 instructions/);
    expect(regionOf(61)).toMatch(/^region 10000: 1 instructions/);
  });

  it("leaves an inner loop to itself if control stays in it, and has it in the loop around it if not", () => {
    const regionsOf = (turns: number, times: bigint): string[] => {
      const machine = new TestMachine({ engine: "jit", jitThreshold: 10 });
      machine.load([
        encode("addi", { rd: 12, rs1: 0, imm: turns }),
        encode("add", { rd: A1, rs1: A1, rs2: 12 }),
        encode("addi", { rd: 12, rs1: 12, imm: -1 }),
        encode("bne", { rs1: 12, rs2: 0, imm: -8 }),
        encode("addi", { rd: A0, rs1: A0, imm: -1 }),
        encode("bne", { rs1: A0, rs2: 0, imm: -20 }),
        EBREAK,
      ]);
      const found: string[] = [];
      for (const pc of [CODE, CODE + 4, CODE + 16])
        machine.hardware.dumpRegion(pc, (text) => found.push(text.slice(0, text.indexOf(" instructions"))));
      run(machine, times);
      expect(machine.hart.registers.x(A1)).toBe((times * BigInt(turns * (turns + 1))) / 2n);
      return [...new Set(found)];
    };
    // The loop; what is around it, from two places.
    expect(regionsOf(1000, 100n)).toEqual(["region 10004: 3", "region 10000: 1", "region 10010: 3"]);
    expect(regionsOf(3, 1000n)).toEqual(["region 10004: 3", "region 10000: 6"]);
    expect(regionsOf(20, 1000n)).toEqual(["region 10004: 3", "region 10000: 6", "region 10010: 6"]);
  });

  it("takes accesses apart where a page ends between them each time", () => {
    const machine = new TestMachine({ engine: "jit", jitThreshold: 10 });
    // Frames that do not follow each other.
    const [second, first] = [machine.frame(), machine.frame()];
    machine.map(DATA, first, RW);
    machine.map(DATA + 4096, second, RW);
    machine.load([
      encode("ld", { rd: 12, rs1: 13, imm: -8 }),
      encode("ld", { rd: 14, rs1: 13, imm: 8 }),
      encode("add", { rd: A1, rs1: A1, rs2: 12 }),
      encode("add", { rd: A1, rs1: A1, rs2: 14 }),
      encode("addi", { rd: A0, rs1: A0, imm: -1 }),
      encode("bne", { rs1: A0, rs2: 0, imm: -20 }),
      EBREAK,
    ]);
    machine.pokeWords(DATA + 4096 - 8, [3]);
    machine.pokeWords(DATA + 4096 + 8, [4]);
    const { registers } = machine.hart;
    registers.setX(A0, 100_000n);
    registers.setX(13, BigInt(DATA + 4096));
    expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
    expect(registers.x(A1)).toBe(700_000n);
    const { stats } = machine.hardware;
    expect(stats.regions).toBe(2);
    expect(stats.compiled).toBeGreaterThan(575_000);
  });

  it("takes samples every so many instructions, which change nothing", () => {
    const machine = looping();
    const samples: number[] = [];
    machine.hardware.sample(1000, (hart) => samples.push(hart.registers.pc));
    run(machine, 10_000n);
    expect(samples).toHaveLength(40);
    expect(machine.hart.instret).toBe(40_000);
    expect(samples.every((pc) => pc >= CODE && pc <= CODE + 16)).toBe(true);
    machine.hardware.sample(1, undefined);
  });
});
