// The MMU by the privileged specification's chapter "Sv48": walks, A and D, faults, superpages; and what flushes must and must not drop.
import { beforeEach, describe, expect, it } from "vitest";
import { encode } from "./isa/encode.ts";
import { PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, makePte } from "./pte.ts";
import { CODE, DATA, RW, RX, TestMachine } from "./test-machine.ts";
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, TRAP_BREAKPOINT, TRAP_PAGE_FAULT, type Trap } from "./trap.ts";

const A0 = 10;
const A1 = 11;
const LOAD = [encode("ld", { rd: A0, rs1: A1 }), encode("ebreak")];
const STORE = [encode("sd", { rs2: A0, rs1: A1 }), encode("ebreak")];

let machine: TestMachine;
const registers = (): TestMachine["hart"]["registers"] => machine.hart.registers;

beforeEach(() => {
  machine = new TestMachine({ memoryBytes: 16 * 2 ** 20 });
});

function run(words: readonly number[], va: bigint): Trap {
  machine.load(words);
  registers().setX(A1, va);
  return { ...machine.runToTrap() };
}

const fault = (va: number, access: number, pc = CODE): object =>
  expect.objectContaining({ cause: TRAP_PAGE_FAULT, va, access, pc });
const done = expect.objectContaining({ cause: TRAP_BREAKPOINT });

describe("translation", () => {
  it("reads through 4 KiB leaves and sets A, not D", () => {
    const pfn = machine.frame();
    const { table, index } = machine.map(DATA, pfn, RW);
    machine.hardware.ram.u64[(pfn * 4096 + 8) / 8] = 0x1122334455667788n;
    expect(run(LOAD, BigInt(DATA + 8))).toEqual(done);
    expect(registers().x(A0)).toBe(0x1122334455667788n);
    expect(machine.hardware.ram.readPte(table, index)).toBe(makePte(pfn, PTE_V | PTE_U | RW | PTE_A));
  });

  it("writes and sets A and D", () => {
    const pfn = machine.frame();
    const { table, index } = machine.map(DATA, pfn, RW);
    registers().setX(A0, 42n);
    expect(run(STORE, BigInt(DATA))).toEqual(done);
    expect(machine.hardware.ram.u64[(pfn * 4096) / 8]).toBe(42n);
    expect(machine.hardware.ram.readPte(table, index)).toBe(makePte(pfn, PTE_V | PTE_U | RW | PTE_A | PTE_D));
  });

  it("sets D on a write after a read has cached the page", () => {
    const pfn = machine.frame();
    const { table, index } = machine.map(DATA, pfn, RW);
    run(LOAD, BigInt(DATA));
    run(STORE, BigInt(DATA));
    expect(machine.hardware.ram.readPte(table, index) & PTE_D).toBe(PTE_D);
  });

  it.each([
    ["2 MiB", 1, 512],
    ["1 GiB", 2, 262144],
  ] as const)("uses %s leaves, and refuses misaligned ones", (_name, level, frames) => {
    const { ram } = machine.hardware;
    const aligned = Math.ceil(ram.firstPfn / frames) * frames;
    const va = 2 ** 39 + 2 ** 31;
    machine.map(va, aligned as never, RW, level);
    if (aligned + 3 < ram.endPfn) {
      ram.u64[((aligned + 2) * 4096 + 16) / 8] = 77n;
      expect(run(LOAD, BigInt(va + 2 * 4096 + 16))).toEqual(done);
      expect(registers().x(A0)).toBe(77n);
    }
    machine.map(va + 2 ** 32, (ram.firstPfn | 1) as never, RW, level);
    expect(run(LOAD, BigInt(va + 2 ** 32))).toEqual(fault(va + 2 ** 32, ACCESS_READ));
  });

  it("faults where nothing is mapped, at each level, with nothing changed", () => {
    machine.map(DATA, machine.frame(), RW);
    registers().setX(A0, 5n);
    for (const va of [DATA + 4096, 2 ** 22, 2 ** 31, 2 ** 40, 2 ** 46]) {
      expect(run(LOAD, BigInt(va))).toEqual(fault(va, ACCESS_READ));
      expect(run(STORE, BigInt(va))).toEqual(fault(va, ACCESS_WRITE));
      expect(registers().x(A0)).toBe(5n);
    }
  });

  it.each([
    ["no R", PTE_X, LOAD, ACCESS_READ],
    ["no W", PTE_R, STORE, ACCESS_WRITE],
    ["W without R is reserved", PTE_W, STORE, ACCESS_WRITE],
    ["W without R is reserved for reads too", PTE_W | PTE_X, LOAD, ACCESS_READ],
  ])("permissions: %s", (_name, permissions, words, access) => {
    machine.map(DATA, machine.frame(), permissions);
    expect(run(words, BigInt(DATA))).toEqual(fault(DATA, access));
  });

  it("needs U, and V", () => {
    const { table, index } = machine.map(DATA, machine.frame(), RW);
    const { ram } = machine.hardware;
    const pte = ram.readPte(table, index);
    ram.writePte(table, index, pte & ~PTE_U);
    expect(run(LOAD, BigInt(DATA))).toEqual(fault(DATA, ACCESS_READ));
    ram.writePte(table, index, pte & ~PTE_V);
    expect(run(LOAD, BigInt(DATA))).toEqual(fault(DATA, ACCESS_READ));
  });

  it("needs X to execute", () => {
    machine.map(DATA, machine.frame(), RW);
    registers().pc = DATA;
    expect({ ...machine.runToTrap() }).toEqual(fault(DATA, ACCESS_EXECUTE, DATA));
  });

  it.each([2n ** 47n, 2n ** 63n, 2n ** 64n - 8n, 2n ** 48n + BigInt(DATA), 2n ** 32n * 0xffff8000n])(
    "faults at the non-canonical or upper-half address %i",
    (va) => {
      machine.map(DATA, machine.frame(), RW);
      expect(run(LOAD, va)).toEqual(fault(Number(va), ACCESS_READ));
    },
  );

  it("faults on an address beyond the user half that has the tag bits of a cached one", () => {
    machine.map(DATA, machine.frame(), RW);
    run(LOAD, BigInt(DATA));
    for (let bit = 40n; bit < 64n; bit++) {
      const va = BigInt(DATA) + (1n << bit);
      expect(run(LOAD, va)).toEqual(fault(Number(va), ACCESS_READ));
    }
  });
});

describe("accesses that cross a page", () => {
  beforeEach(() => {
    machine.map(DATA, machine.frame(), RW);
  });

  it("read and write both pages", () => {
    machine.frame();
    machine.map(DATA + 4096, machine.frame(), RW);
    registers().setX(A0, 0x0102030405060708n);
    for (let offset = 4089; offset < 4096; offset++) {
      expect(run(STORE, BigInt(DATA + offset))).toEqual(done);
      registers().setX(A0, 0n);
      expect(run(LOAD, BigInt(DATA + offset))).toEqual(done);
      expect(registers().x(A0)).toBe(0x0102030405060708n);
    }
  });

  it("fault at the first byte of the page that is missing, storing nothing", () => {
    registers().setX(A0, -1n);
    expect(run(STORE, BigInt(DATA + 4092))).toEqual(fault(DATA + 4096, ACCESS_WRITE));
    expect(run(LOAD, BigInt(DATA + 4092))).toEqual(fault(DATA + 4096, ACCESS_READ));
    expect(run(LOAD, BigInt(DATA - 4))).toEqual(fault(DATA - 4, ACCESS_READ));
    const leaf = machine.hardware.mmu.walk(machine.root, DATA)!;
    expect(machine.hardware.ram.u32[((leaf.pte >>> 10) * 4096 + 4092) / 4]).toBe(0);
  });

  it("an instruction on two pages faults at the second, then runs", () => {
    const first = machine.frame();
    machine.map(CODE, first, RX);
    const word = encode("addi", { rd: A0, rs1: 0, imm: 7 });
    machine.poke(CODE + 4094, new Uint8Array([word, word >> 8]));
    registers().pc = CODE + 4094;
    expect({ ...machine.runToTrap() }).toEqual(fault(CODE + 4096, ACCESS_EXECUTE, CODE + 4094));
    machine.map(CODE + 4096, machine.frame(), RX);
    machine.poke(CODE + 4096, new Uint8Array([word >> 16, word >> 24]));
    machine.pokeWords(CODE + 4098, [encode("ebreak")]);
    expect({ ...machine.runToTrap() }).toEqual(expect.objectContaining({ cause: TRAP_BREAKPOINT, pc: CODE + 4098 }));
    expect(registers().x(A0)).toBe(7n);
  });
});

describe("flushes", () => {
  const cached = (): number[] =>
    [...machine.hardware.mmu.entries()].filter((e) => !e.execute && !e.write).map((e) => e.va);

  it("flushLeaf drops what came from the entries, and nothing else", () => {
    for (let i = 0; i < 4; i++) machine.map(DATA + i * 4096, machine.frame(), RW);
    for (let i = 0; i < 4; i++) run(LOAD, BigInt(DATA + i * 4096));
    const leaf = machine.hardware.mmu.walk(machine.root, DATA)!;
    expect(machine.hardware.mmu.flushLeaf(leaf.table, leaf.index + 1, 2)).toEqual({ harts: 1, entries: 2 });
    expect(cached()).toEqual([DATA, DATA + 3 * 4096]);
    machine.hardware.ram.writePte(leaf.table, leaf.index + 1, 0);
    expect(run(LOAD, BigInt(DATA + 4096))).toEqual(fault(DATA + 4096, ACCESS_READ));
  });

  it("flushLeaf of a table shared by two spaces drops both, on every hart", () => {
    machine = new TestMachine({ harts: 2 });
    machine.map(DATA, machine.frame(), RW);
    machine.load(LOAD);
    const second = machine.frame();
    const { ram, mmu, harts } = machine.hardware;
    for (let i = 0; i < 512; i++) ram.writePte(second, i, ram.readPte(machine.root, i));
    harts[1].switchTo(second);
    for (const hart of harts) {
      hart.registers.pc = CODE;
      hart.registers.setX(A1, BigInt(DATA));
      expect(hart.run(10).cause).toBe(TRAP_BREAKPOINT);
    }
    const leaf = mmu.walk(machine.root, DATA)!;
    expect(mmu.flushLeaf(leaf.table, leaf.index, 1)).toEqual({ harts: 2, entries: 2 });
    expect(mmu.flushLeaf(leaf.table, leaf.index, 1)).toEqual({ harts: 0, entries: 0 });
  });

  it("counts what needed no walk, page by page", () => {
    machine = new TestMachine({ memoryBytes: 16 * 2 ** 20, countAccesses: true });
    machine.mapFresh(DATA, 2, RW);
    const { stats } = machine.hardware;
    // Load and store: the second finds the page for reads only.
    run(LOAD, BigInt(DATA));
    run(LOAD, BigInt(DATA + 8));
    run(STORE, BigInt(DATA));
    expect(stats).toMatchObject({ memoryAccesses: 3, tlbHits: 1 });
    // Across into the second page: both are walked for.
    run(LOAD, BigInt(DATA + 4092));
    expect(stats).toMatchObject({ memoryAccesses: 5, tlbHits: 1 });
    // A fault is no access.
    run(LOAD, BigInt(DATA + 2 * 4096));
    expect(stats).toMatchObject({ memoryAccesses: 5, tlbHits: 1 });
  });

  it("flushLeaf of a superpage drops all that it mapped", () => {
    const aligned = Math.ceil(machine.hardware.ram.firstPfn / 512) * 512;
    const { table, index } = machine.map(2 ** 30, aligned as never, RW, 1);
    const { stats } = machine.hardware.mmu;
    // One of them is that of the code, which is put there anew each time.
    const missesOfLoad = (page: bigint): number => {
      const before = stats.tlbMisses;
      run(LOAD, 2n ** 30n + page * 4096n);
      return stats.tlbMisses - before;
    };
    expect(missesOfLoad(0n)).toBe(2);
    // The same 64 KiB: one large entry, as it were, which is kept as 16.
    expect(missesOfLoad(5n)).toBe(1);
    expect(missesOfLoad(16n)).toBe(2);
    expect(machine.hardware.mmu.flushLeaf(table, index, 1)).toEqual({ harts: 1, entries: 32 });
  });

  it("flushLeaves drops what came from the entries of many tables, and nothing else", () => {
    const at = (table: number, page: number): number => 2 ** 30 + table * 2 ** 21 + page * 4096;
    for (let table = 0; table < 8; table++) {
      for (const page of [3, 7]) {
        machine.map(at(table, page), machine.frame(), RW);
        run(LOAD, BigInt(at(table, page)));
      }
    }
    const { mmu } = machine.hardware;
    const tables = Array.from({ length: 7 }, (_, table) => mmu.walk(machine.root, at(table, 3))!.table);
    const before = cached().length;
    // Entry 3 of six tables, and of the seventh both, named one by one.
    const ranges = [...tables.map((): [number, number] => [0, 3]), [5, 7] as [number, number]];
    expect(mmu.flushLeaves([...tables, tables[6]], ranges)).toEqual({ harts: 7, entries: 8 });
    expect(mmu.flushLeaves([...tables, tables[6]], ranges)).toEqual({ harts: 0, entries: 0 });
    expect(cached().length).toBe(before - 8);
    expect(cached()).toEqual(expect.arrayContaining([at(0, 7), at(5, 7), at(7, 3), at(7, 7)]));
    expect(cached()).not.toEqual(expect.arrayContaining([at(6, 7)]));
  });

  it("flushSpace drops one space only; switching back keeps translations", () => {
    machine.map(DATA, machine.frame(), RW);
    run(LOAD, BigInt(DATA));
    const second = machine.frame();
    const { ram, mmu } = machine.hardware;
    for (let i = 0; i < 512; i++) ram.writePte(second, i, ram.readPte(machine.root, i));
    machine.hart.switchTo(second);
    registers().pc = CODE;
    machine.runToTrap();
    const misses = mmu.stats.tlbMisses;
    machine.hart.switchTo(machine.root);
    registers().pc = CODE;
    machine.runToTrap();
    expect(mmu.stats.tlbMisses).toBe(misses);
    // A read and an execute translation each.
    expect(mmu.flushSpace(second)).toEqual({ harts: 1, entries: 2 });
    expect(cached()).toEqual([DATA]);
    mmu.releaseSpace(machine.root);
    expect([...mmu.entries()]).toEqual([]);
  });

  it("keeps more spaces than it has slots correct", () => {
    const { ram } = machine.hardware;
    machine.load(LOAD);
    const roots = Array.from({ length: 200 }, (_, i) => {
      const root = machine.frame();
      machine.map(CODE, (machine.hardware.mmu.walk(machine.root, CODE)!.pte >>> 10) as never, RX, 0, root);
      const pfn = machine.frame();
      machine.map(DATA, pfn, RW, 0, root);
      ram.u64[(pfn * 4096) / 8] = BigInt(i);
      return root;
    });
    for (let round = 0; round < 2; round++) {
      roots.forEach((root, i) => {
        machine.hart.switchTo(root);
        registers().pc = CODE;
        registers().setX(A1, BigInt(DATA));
        expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
        expect(registers().x(A0)).toBe(BigInt(i));
      });
    }
  });
});
