// What every engine must do to the instruction: control flow, traps, budgets, atomics across harts, CSRs, changed code.
import { beforeEach, describe, expect, it } from "vitest";
import { encode } from "./isa/encode.ts";
import type { Engine } from "./hardware.ts";
import { CODE, DATA, RW, RWX, RX, TestMachine } from "./test-machine.ts";
import {
  ACCESS_WRITE,
  TRAP_BREAKPOINT,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_ILLEGAL,
  TRAP_MISALIGNED,
  TRAP_PAGE_FAULT,
} from "./trap.ts";

const [RA, T0, A0, A1, A2, A3] = [1, 5, 10, 11, 12, 13];
const EBREAK = encode("ebreak");
const ENGINES: Engine[] = ["interpreter", "jit"];

describe.each(ENGINES)("%s", (engine) => {
  let machine: TestMachine;
  const x = (i: number): bigint => machine.hart.registers.x(i);
  const setX = (i: number, value: bigint): void => machine.hart.registers.setX(i, value);

  beforeEach(() => {
    machine = new TestMachine({ engine, harts: 2 });
  });

  /** A loop of 3 instructions, a0 times: a1 += a0. */
  const LOOP = [
    encode("add", { rd: A1, rs1: A1, rs2: A0 }),
    encode("addi", { rd: A0, rs1: A0, imm: -1 }),
    encode("bne", { rs1: A0, rs2: 0, imm: -8 }),
    EBREAK,
  ];

  describe("budgets", () => {
    it.each([1, 2, 3, 7, 1000, 299_999, 300_000, 300_001])("ends after exactly %i instructions", (budget) => {
      machine.load(LOOP);
      setX(A0, 100_000n);
      setX(A1, 0n);
      let ran = 0;
      for (;;) {
        const trap = machine.hart.run(budget);
        if (trap.cause === TRAP_BREAKPOINT) break;
        expect(trap.cause).toBe(TRAP_BUDGET);
        ran += budget;
        expect(machine.hart.instret).toBe(ran);
        if (budget < 1000 && ran > 1000) break;
        const iterations = Math.floor(ran / 3);
        const within = ran % 3;
        expect(machine.hart.registers.pc).toBe(ran === 300_000 ? CODE + 12 : CODE + 4 * within);
        expect(x(A0)).toBe(BigInt(100_000 - iterations - (within === 2 ? 1 : 0)));
      }
      if (budget >= 1000) expect(machine.hart.instret).toBe(300_000);
    });

    it("a budget of 0 does nothing", () => {
      machine.load(LOOP);
      setX(A0, 5n);
      expect(machine.hart.run(0).cause).toBe(TRAP_BUDGET);
      expect(machine.hart.registers.pc).toBe(CODE);
      expect(machine.hart.instret).toBe(0);
    });

    it("is the same from run to run", () => {
      machine.load(LOOP);
      for (let round = 0; round < 2; round++) {
        setX(A0, 50_000n);
        setX(A1, 0n);
        machine.hart.registers.pc = CODE;
        expect(machine.runToTrap(777).cause).toBe(TRAP_BREAKPOINT);
        expect(x(A1)).toBe((50_000n * 50_001n) / 2n);
        expect(machine.hart.instret).toBe(150_000 * (round + 1));
      }
    });
  });

  describe("control flow", () => {
    it.each([
      ["beq", 5n, 5n, true],
      ["beq", 5n, 6n, false],
      ["bne", 5n, 6n, true],
      ["blt", -1n, 0n, true],
      ["blt", 0n, -1n, false],
      ["bltu", 0n, -1n, true],
      ["bltu", -1n, 0n, false],
      ["bge", 0n, 0n, true],
      ["bge", -(2n ** 63n), 2n ** 63n - 1n, false],
      ["bgeu", -(2n ** 63n), 2n ** 63n - 1n, true],
    ])("%s %i, %i: %s", (name, a, b, taken) => {
      machine.load([encode(name, { rs1: A0, rs2: A1, imm: 8 }), EBREAK, EBREAK]);
      setX(A0, a);
      setX(A1, b);
      expect(machine.runToTrap().pc).toBe(taken ? CODE + 8 : CODE + 4);
    });

    it("jal and jalr link, jalr clears bit 0 and reads rs1 before writing rd", () => {
      machine.load([
        encode("jal", { rd: RA, imm: 8 }),
        EBREAK,
        encode("auipc", { rd: RA, imm: 0 }),
        encode("jalr", { rd: RA, rs1: RA, imm: 13 }),
        EBREAK,
      ]);
      const trap = machine.runToTrap();
      expect(trap.pc).toBe(CODE + 20);
      machine.load([encode("jal", { rd: RA, imm: 8 }), EBREAK, EBREAK]);
      machine.runToTrap();
      expect(x(RA)).toBe(BigInt(CODE + 4));
    });

    it("goes on to the next page, and jumps across pages, in 16 and 32 bit instructions", () => {
      machine.map(CODE, machine.frame(), RX);
      machine.frame();
      machine.map(CODE + 4096, machine.frame(), RX);
      const nop = new Uint8Array([1, 0]);
      for (let at = 4080; at < 4096; at += 2) machine.poke(CODE + at, nop);
      machine.pokeWords(CODE + 4096, [encode("jal", { rd: 0, imm: -4096 })]);
      machine.pokeWords(CODE, [EBREAK]);
      machine.hart.registers.pc = CODE + 4080;
      expect(machine.runToTrap().pc).toBe(CODE);
      expect(machine.hart.instret).toBe(9);
    });
  });

  describe("traps", () => {
    it("ecall counts and stays at its pc; ebreak does not count", () => {
      machine.load([encode("ecall"), EBREAK]);
      expect({ ...machine.runToTrap() }).toMatchObject({ cause: TRAP_ECALL, pc: CODE });
      expect(machine.hart.instret).toBe(1);
      machine.hart.registers.pc = CODE + 4;
      expect({ ...machine.runToTrap() }).toMatchObject({ cause: TRAP_BREAKPOINT, pc: CODE + 4 });
      expect(machine.hart.instret).toBe(1);
    });

    it.each([0, 0xffffffff, 0x0000, 0x9c61, encode("csrrw", { rd: A0, rs1: A1, imm: 0x100 })])(
      "illegal: %i",
      (word) => {
        machine.load([word]);
        expect({ ...machine.runToTrap() }).toMatchObject({
          cause: TRAP_ILLEGAL,
          pc: CODE,
          instruction: (word & 3) === 3 ? word : word & 0xffff,
        });
      },
    );

    it("a write to a read-only CSR and a reserved rounding mode are illegal", () => {
      for (const word of [
        encode("csrrw", { rd: 0, rs1: A0, imm: 0xc00 }),
        encode("fadd.d", { rm: 5 }),
        encode("fadd.d", { rm: 6 }),
      ]) {
        machine.load([word]);
        expect(machine.runToTrap().cause).toBe(TRAP_ILLEGAL);
      }
      machine.hart.registers.fcsr = 5 << 5;
      machine.load([encode("fadd.d", { rm: 7 })]);
      expect(machine.runToTrap().cause).toBe(TRAP_ILLEGAL);
    });

    it("a fault in a loop is precise: registers, pc and count; and the instruction can go on", () => {
      // Stores ascending words over two pages, the second of which is missing.
      machine.map(DATA, machine.frame(), RW);
      machine.load([
        encode("sw", { rs1: A0, rs2: A1 }),
        encode("addi", { rd: A1, rs1: A1, imm: 3 }),
        encode("addi", { rd: A0, rs1: A0, imm: 4 }),
        encode("bne", { rs1: A0, rs2: A2, imm: -12 }),
        EBREAK,
      ]);
      setX(A0, BigInt(DATA));
      setX(A1, 0n);
      setX(A2, BigInt(DATA + 8192));
      expect({ ...machine.runToTrap() }).toMatchObject({
        cause: TRAP_PAGE_FAULT,
        va: DATA + 4096,
        access: ACCESS_WRITE,
        pc: CODE,
      });
      expect(machine.hart.instret).toBe(4096);
      expect(x(A0)).toBe(BigInt(DATA + 4096));
      expect(x(A1)).toBe(3072n);
      machine.map(DATA + 4096, machine.frame(), RW);
      expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
      expect(machine.hart.instret).toBe(8192);
    });
  });

  describe("loads and stores", () => {
    it.each([
      ["lb", 0xfffffffffffffff1n],
      ["lbu", 0xf1n],
      ["lh", 0xffffffffffffe2f1n],
      ["lhu", 0xe2f1n],
      ["lw", 0xffffffffc4d3e2f1n],
      ["lwu", 0xc4d3e2f1n],
      ["ld", 0x8897a6b5c4d3e2f1n],
    ])("%s extends", (name, value) => {
      machine.map(DATA, machine.frame(), RW);
      machine.pokeWords(DATA + 16, [0xc4d3e2f1, 0x8897a6b5]);
      machine.load([encode(name, { rd: A0, rs1: A1, imm: -16 }), EBREAK]);
      setX(A1, BigInt(DATA + 32));
      machine.runToTrap();
      expect(x(A0)).toBe(value);
    });

    it("stores write their width only, also misaligned", () => {
      const pfn = machine.frame();
      machine.map(DATA, pfn, RW);
      const bytes = machine.hardware.ram.bytes(pfn);
      for (const [name, size] of [
        ["sb", 1],
        ["sh", 2],
        ["sw", 4],
        ["sd", 8],
      ] as const) {
        machine.hardware.ram.fill(pfn, 0xee);
        machine.load([encode(name, { rs2: A0, rs1: A1, imm: 3 }), EBREAK]);
        setX(A0, 0x0807060504030201n);
        setX(A1, BigInt(DATA));
        machine.runToTrap();
        const expected = Array.from({ length: 16 }, (_, i) => (i >= 3 && i < 3 + size ? i - 2 : 0xee));
        expect([...bytes.subarray(0, 16)]).toEqual(expected);
      }
    });
  });

  describe("atomics", () => {
    const signed = (n: bigint, size: number): bigint => BigInt.asIntN(8 * size, n);
    const unsigned = (n: bigint, size: number): bigint => BigInt.asUintN(8 * size, n);
    const operations: Record<string, (a: bigint, b: bigint, size: number) => bigint> = {
      amoswap: (_a, b) => b,
      amoadd: (a, b) => a + b,
      amoxor: (a, b) => a ^ b,
      amoand: (a, b) => a & b,
      amoor: (a, b) => a | b,
      amomin: (a, b, size) => (signed(a, size) < signed(b, size) ? a : b),
      amomax: (a, b, size) => (signed(a, size) > signed(b, size) ? a : b),
      amominu: (a, b, size) => (unsigned(a, size) < unsigned(b, size) ? a : b),
      amomaxu: (a, b, size) => (unsigned(a, size) > unsigned(b, size) ? a : b),
    };
    const values = [
      0n,
      1n,
      0x7fffffffn,
      0x80000000n,
      0xffffffffn,
      2n ** 63n - 1n,
      2n ** 63n,
      2n ** 64n - 1n,
      0x123456789abcdefn,
    ];

    it.each(Object.keys(operations))("%s", (name) => {
      const pfn = machine.frame();
      machine.map(DATA, pfn, RW);
      const { u64 } = machine.hardware.ram;
      for (const size of [4, 8]) {
        machine.load([encode(`${name}.${size === 4 ? "w" : "d"}`, { rd: A0, rs1: A1, rs2: A2 }), EBREAK]);
        for (const a of values) {
          for (const b of values) {
            u64[(pfn * 4096) / 8] = a;
            setX(A1, BigInt(DATA));
            setX(A2, b);
            machine.hart.registers.pc = CODE;
            machine.runToTrap();
            expect(x(A0)).toBe(BigInt.asUintN(64, signed(a, size)));
            const low = unsigned(operations[name](a, b, size), size);
            expect(u64[(pfn * 4096) / 8]).toBe(size === 8 ? low : ((a >> 32n) << 32n) | low);
          }
        }
      }
    });

    it("a misaligned one traps, a read-only page faults as a write", () => {
      machine.map(DATA, machine.frame(), RX);
      machine.load([encode("amoadd.d", { rd: A0, rs1: A1, rs2: A2 })]);
      setX(A1, BigInt(DATA + 4));
      expect({ ...machine.runToTrap() }).toMatchObject({ cause: TRAP_MISALIGNED, va: DATA + 4 });
      setX(A1, BigInt(DATA + 8));
      expect({ ...machine.runToTrap() }).toMatchObject({ cause: TRAP_PAGE_FAULT, va: DATA + 8, access: ACCESS_WRITE });
      expect(machine.hart.instret).toBe(0);
    });

    const LR_SC = [
      encode("lr.d", { rd: A0, rs1: A1 }),
      encode("addi", { rd: A2, rs1: A0, imm: 1 }),
      encode("sc.d", { rd: A3, rs2: A2, rs1: A1 }),
      EBREAK,
    ];

    it("sc succeeds after lr, fails without, and ends the reservation", () => {
      machine.map(DATA, machine.frame(), RW);
      machine.load(LR_SC);
      setX(A1, BigInt(DATA));
      machine.runToTrap();
      expect(x(A3)).toBe(0n);
      machine.hart.registers.pc = CODE + 8;
      machine.runToTrap();
      expect(x(A3)).toBe(1n);
      machine.load([encode("ld", { rd: A0, rs1: A1 }), EBREAK]);
      machine.runToTrap();
      expect(x(A0)).toBe(1n);
    });

    it("sc fails after another hart stored, even the same value", () => {
      machine.map(DATA, machine.frame(), RW);
      machine.load(LR_SC);
      machine.load([encode("sd", { rs1: A1, rs2: A2 }), EBREAK], CODE + 256);
      const [first, second] = machine.hardware.harts;
      first.registers.pc = CODE;
      first.registers.setX(A1, BigInt(DATA));
      first.run(1);
      second.registers.pc = CODE + 256;
      second.registers.setX(A1, BigInt(DATA));
      second.registers.setX(A2, 0n);
      second.run(10);
      first.run(10);
      expect(first.registers.x(A3)).toBe(1n);
    });

    it("two harts counting with lr/sc in small turns lose nothing", () => {
      machine.map(DATA, machine.frame(), RW);
      machine.load([
        encode("lr.w", { rd: A0, rs1: A1 }),
        encode("addiw", { rd: A0, rs1: A0, imm: 1 }),
        encode("sc.w", { rd: A3, rs2: A0, rs1: A1 }),
        encode("bne", { rs1: A3, rs2: 0, imm: -12 }),
        encode("addi", { rd: A2, rs1: A2, imm: -1 }),
        encode("bne", { rs1: A2, rs2: 0, imm: -20 }),
        EBREAK,
      ]);
      const { harts } = machine.hardware;
      for (const hart of harts) {
        hart.registers.pc = CODE;
        hart.registers.setX(A1, BigInt(DATA));
        hart.registers.setX(A2, 500n);
      }
      const ended = [false, false];
      for (let turn = 0; !ended[0] || !ended[1]; turn++) {
        const id = turn % 2;
        if (!ended[id] && harts[id].run(1 + (turn % 13)).cause === TRAP_BREAKPOINT) ended[id] = true;
      }
      const leaf = machine.hardware.mmu.walk(machine.root, DATA)!;
      expect(machine.hardware.ram.u32[((leaf.pte >>> 10) * 4096) / 4]).toBe(1000);
    });
  });

  describe("CSRs", () => {
    it("fflags, frm and fcsr are views of one register", () => {
      machine.load([
        encode("csrrwi", { rd: A0, rs1: 0x15, imm: 1 }),
        encode("csrrwi", { rd: A1, rs1: 2, imm: 2 }),
        encode("csrrs", { rd: A2, rs1: 0, imm: 3 }),
        encode("csrrci", { rd: A3, rs1: 5, imm: 3 }),
        EBREAK,
      ]);
      machine.hart.registers.fcsr = 0x61;
      machine.runToTrap();
      expect([A0, A1, A2, A3].map(x)).toEqual([1n, 3n, 0x55n, 0x55n]);
      expect(machine.hart.registers.fcsr).toBe(0x50);
    });

    it("instret counts the instructions before; time is readTime", () => {
      machine.hardware.readTime = () => 123456789012345n;
      machine.load([
        encode("addi"),
        encode("csrrs", { rd: A0, imm: 0xc02 }),
        encode("addi"),
        encode("csrrs", { rd: A1, imm: 0xc00 }),
        encode("csrrs", { rd: A2, imm: 0xc01 }),
        EBREAK,
      ]);
      machine.runToTrap(1000);
      expect([A0, A1, A2].map(x)).toEqual([1n, 3n, 123456789012345n]);
      machine.hart.registers.pc = CODE;
      for (let i = 0; i < 5; i++) machine.hart.run(1);
      expect([A0, A1].map(x)).toEqual([6n, 8n]);
    });
  });

  describe("changed code", () => {
    const li = (imm: number): number => encode("addi", { rd: A0, rs1: 0, imm });

    it("a program that writes its next instruction runs what it wrote", () => {
      machine.map(CODE, machine.frame(), RWX);
      machine.load([
        encode("sw", { rs1: A1, rs2: A2, imm: 8 }),
        encode("fence.i"),
        li(1),
        encode("addi", { rd: T0, rs1: T0, imm: 1 }),
        encode("bne", { rs1: T0, rs2: A3, imm: -16 }),
        EBREAK,
      ]);
      for (let round = 0; round < 3; round++) {
        setX(A1, BigInt(CODE));
        setX(A2, BigInt(li(round + 2)));
        setX(T0, 0n);
        setX(A3, 100n);
        machine.hart.registers.pc = CODE;
        machine.runToTrap();
        expect(x(A0)).toBe(BigInt(round + 2));
      }
    });

    it("stores through another mapping and by the kernel are seen, also from a loop that ran hot", () => {
      const pfn = machine.frame();
      machine.map(CODE, pfn, RX);
      machine.map(DATA, pfn, RW);
      machine.load([...LOOP.slice(0, 3), li(1), EBREAK]);
      for (let round = 1; round < 5; round++) {
        setX(A0, 60_000n);
        machine.hart.registers.pc = CODE;
        machine.runToTrap();
        expect(x(A0)).toBe(BigInt(round));
        if (round % 2 === 0) machine.pokeWords(CODE + 12, [li(round + 1)]);
        else {
          machine.load([encode("sw", { rs1: A1, rs2: A2 }), EBREAK], CODE + 512);
          setX(A1, BigInt(DATA + 12));
          setX(A2, BigInt(li(round + 1)));
          expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
        }
      }
    });

    it("two spaces that map different code at one address each run their own", () => {
      const other = machine.frame();
      const frames = [machine.frame(), machine.frame()];
      machine.map(CODE, frames[0], RX);
      machine.map(CODE, frames[1], RX, 0, other);
      const { ram } = machine.hardware;
      frames.forEach((frame, i) =>
        ram.write(frame, 0, new Uint8Array(Uint32Array.from([...LOOP.slice(0, 3), li(i + 7), EBREAK]).buffer)),
      );
      for (let round = 0; round < 6; round++) {
        machine.hart.switchTo(round % 2 ? other : machine.root);
        setX(A0, 30_000n);
        machine.hart.registers.pc = CODE;
        machine.runToTrap();
        expect(x(A0)).toBe(BigInt((round % 2) + 7));
      }
    });

    it("one frame at two addresses computes pc-relative values of each", () => {
      const pfn = machine.frame();
      machine.map(CODE, pfn, RX);
      machine.map(CODE + 0x100000, pfn, RX);
      machine.load([...LOOP.slice(0, 3), encode("auipc", { rd: A0, imm: 0 }), EBREAK]);
      for (let round = 0; round < 6; round++) {
        const at = CODE + (round % 2) * 0x100000;
        setX(A0, 30_000n);
        machine.hart.registers.pc = at;
        machine.runToTrap();
        expect(x(A0)).toBe(BigInt(at + 12));
      }
    });

    it("more pages of code than the cache holds all run", () => {
      machine = new TestMachine({ engine, memoryBytes: 16 * 2 ** 20 });
      const pages = 1500;
      for (let i = 0; i < pages; i++) {
        machine.map(2 ** 30 + i * 4096, machine.frame(), RX);
        machine.pokeWords(2 ** 30 + i * 4096, [
          encode("addi", { rd: A0, rs1: A0, imm: i % 2000 }),
          encode("lui", { rd: T0, imm: 4096 }),
          i === pages - 1 ? EBREAK : encode("jal", { rd: 0, imm: 4088 }),
        ]);
      }
      for (let round = 0; round < 2; round++) {
        setX(A0, 0n);
        machine.hart.registers.pc = 2 ** 30;
        machine.runToTrap();
        expect(x(A0)).toBe(BigInt((pages * (pages - 1)) / 2));
      }
    });
  });
});
