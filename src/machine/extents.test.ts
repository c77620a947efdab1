// Loops over pages in compiled code: what extents save, and that they never say more than the page tables do.
import { describe, expect, it } from "vitest";
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { encode } from "./isa/encode.ts";
import { PTE_A, PTE_D, PTE_R } from "./pte.ts";
import { DATA, RW, RWX, TestMachine } from "./test-machine.ts";
import { TRAP_BREAKPOINT, TRAP_PAGE_FAULT } from "./trap.ts";

const [A0, A1, A2, T0] = [10, 11, 12, 5];
const EBREAK = 0x00100073;
const PAGES = 64;

/** A loop over pages: a1 times the load or store at a0, which goes on by a2; compiled after a few turns. */
function walking(operation: "ld" | "sd"): TestMachine {
  const machine = new TestMachine({ engine: "jit", jitThreshold: 4 });
  const access =
    operation === "ld" ? encode("ld", { rd: T0, rs1: A0, imm: 0 }) : encode("sd", { rs1: A0, rs2: A1, imm: 0 });
  machine.load([
    access,
    encode("add", { rd: A0, rs1: A0, rs2: A2 }),
    encode("addi", { rd: A1, rs1: A1, imm: -1 }),
    encode("bne", { rs1: A1, rs2: 0, imm: -12 }),
    EBREAK,
  ]);
  return machine;
}

/** Goes through it: the trap that ends it, and the address that a page fault was at. */
function walk(machine: TestMachine, from: number, times: number, step = PAGE_SIZE): { cause: number; va: number } {
  const { registers } = machine.hart;
  registers.pc = 0x10000;
  registers.setX(A0, BigInt(from));
  registers.setX(A1, BigInt(times));
  registers.setX(A2, BigInt(step));
  const { cause, va } = machine.runToTrap();
  return { cause, va };
}

const entryAt = (machine: TestMachine, page: number): number =>
  machine.hardware.mmu.walk(machine.root, DATA + page * PAGE_SIZE)?.pte ?? 0;

/** The pages that some extent has, by what it is for; those that a TLB has as well are not told from them. */
function cached(machine: TestMachine, write: boolean): Set<number> {
  const entries = [...machine.hardware.mmu.entries()].filter((e) => e.write === write && !e.execute);
  return new Set(entries.map((e) => (e.va - DATA) / PAGE_SIZE));
}

/** Sets an entry as the kernel does, with its flush. */
function change(machine: TestMachine, page: number, pfn: Pfn, permissions: number): void {
  const { table, index } = machine.map(DATA + page * PAGE_SIZE, pfn, permissions);
  if (permissions === 0) machine.hardware.ram.writePte(table, index, 0);
  machine.hardware.mmu.flushLeaf(table, index, 1);
}

describe("extents", () => {
  it.each(["ld", "sd"] as const)("%s: need no walk for pages that were accessed before and follow each other", (op) => {
    const machine = walking(op);
    machine.mapFresh(DATA, PAGES, RW);
    walk(machine, DATA, PAGES);
    // The TLB forgets, but the entries have A and D: a few misses are enough for all.
    machine.hardware.mmu.flushSpace(machine.root);
    const before = machine.hardware.stats.tlbMisses;
    expect(walk(machine, DATA, PAGES).cause).toBe(TRAP_BREAKPOINT);
    expect(machine.hardware.stats.tlbMisses - before).toBeLessThan(PAGES / 4);
    expect(cached(machine, op === "sd").size).toBe(PAGES);
  });

  it("are single pages where the TLB is to enter single pages", () => {
    const machine = new TestMachine({ engine: "jit", jitThreshold: 4, tlbNeighbours: 1 });
    machine.load([encode("ld", { rd: T0, rs1: A0, imm: 0 }), EBREAK]);
    machine.mapFresh(DATA, PAGES, RW);
    for (let turn = 0; turn < 50; turn++) walk(machine, DATA + (turn % 2) * PAGE_SIZE, 1);
    expect(cached(machine, false)).toEqual(new Set([0, 1]));
  });

  it.each([
    ["unmapped", 0],
    ["protected", PTE_R],
  ])("a page that is %s is not passed by a store that comes after the flush", (_, permissions) => {
    const machine = walking("sd");
    const first = machine.mapFresh(DATA, PAGES, RW);
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, PAGES);
    change(machine, 40, (first + 40) as Pfn, permissions);
    expect(cached(machine, true).has(40)).toBe(false);
    const at = DATA + 40 * PAGE_SIZE;
    expect(walk(machine, DATA, PAGES)).toEqual({ cause: TRAP_PAGE_FAULT, va: at });
    expect(walk(machine, DATA + 41 * PAGE_SIZE, PAGES - 41).cause).toBe(TRAP_BREAKPOINT);
  });

  it("a page that gets another frame is found there", () => {
    const machine = walking("sd");
    machine.mapFresh(DATA, PAGES, RW);
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, PAGES);
    const frame = machine.frame();
    change(machine, 10, frame, RW);
    walk(machine, DATA, PAGES);
    expect(machine.hardware.ram.bytes(frame)[0]).toBe(PAGES - 10);
  });

  it("A and D are set for what is accessed, and for nothing else", () => {
    const machine = walking("ld");
    machine.mapFresh(DATA, PAGES, RW);
    for (let turn = 0; turn < 8; turn++) walk(machine, DATA, PAGES / 2, 2 * PAGE_SIZE);
    for (let page = 0; page < PAGES; page++) {
      expect(entryAt(machine, page) & (PTE_A | PTE_D)).toBe(page % 2 === 0 ? PTE_A : 0);
    }
    const stores = walking("sd");
    stores.mapFresh(DATA, PAGES, RW);
    walk(stores, DATA, PAGES / 2, 2 * PAGE_SIZE);
    for (let turn = 0; turn < 8; turn++) walk(stores, DATA, PAGES / 2, 2 * PAGE_SIZE);
    expect(entryAt(stores, 1) & (PTE_A | PTE_D)).toBe(0);
    walk(stores, DATA + PAGE_SIZE, 1);
    expect(entryAt(stores, 1) & (PTE_A | PTE_D)).toBe(PTE_A | PTE_D);
  });

  it("stores into code next to data are noticed", () => {
    const machine = walking("sd");
    machine.mapFresh(DATA, PAGES, RWX);
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, PAGES);
    // Page 20 becomes code, which sets t0 to 1; then it is overwritten with what sets it to 2.
    const { registers } = machine.hart;
    const at = DATA + 20 * PAGE_SIZE;
    const runAt = (): bigint => {
      registers.pc = at;
      expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
      return registers.x(T0);
    };
    machine.pokeWords(at, [encode("addi", { rd: T0, rs1: 0, imm: 1 }), EBREAK]);
    for (let turn = 0; turn < 20; turn++) expect(runAt()).toBe(1n);
    const words = BigInt(encode("addi", { rd: T0, rs1: 0, imm: 2 })) | (BigInt(EBREAK) << 32n);
    registers.pc = 0x10000;
    registers.setX(A0, BigInt(at));
    registers.setX(A1, words);
    registers.setX(A2, 0n);
    machine.hart.run(1);
    expect(runAt()).toBe(2n);
  });

  it.each(["ld", "sd"] as const)("%s: a superpage is one, but for stores not if some of it is code", (op) => {
    const machine = walking(op);
    const first = machine.frame(512);
    for (let i = 1; i < 512; i++) machine.frame();
    machine.map(DATA, first, RWX, 1);
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, 500);
    machine.hardware.mmu.flushSpace(machine.root);
    const before = machine.hardware.stats.tlbMisses;
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, 500);
    expect(machine.hardware.stats.tlbMisses - before).toBeLessThan(20);
    expect(cached(machine, op === "sd").size).toBe(512);
    machine.pokeWords(DATA + 511 * PAGE_SIZE, [EBREAK]);
    machine.hart.registers.pc = DATA + 511 * PAGE_SIZE;
    machine.runToTrap();
    for (let turn = 0; turn < 4; turn++) walk(machine, DATA, 500);
    expect(cached(machine, op === "sd").has(511)).toBe(op === "ld");
  });

  it("are each address space's own, also of more spaces than there is room for", () => {
    const machine = walking("sd");
    const spaces = Array.from({ length: 80 }, () => ({ root: machine.frame(), page: machine.frame() }));
    const code = machine.hardware.mmu.walk(machine.root, 0x10000)!.pte >>> 10;
    for (const { root, page } of spaces) {
      machine.map(0x10000, code as Pfn, 10, 0, root);
      machine.map(DATA, page, RW, 0, root);
    }
    for (let turn = 1; turn <= 3; turn++) {
      for (const [i, { root, page }] of spaces.entries()) {
        machine.hart.switchTo(root);
        walk(machine, DATA, turn * 100 + i, 0);
        machine.hart.registers.setX(A1, BigInt(1000 * turn + i));
        machine.hart.registers.setX(A0, BigInt(DATA));
        machine.hart.registers.pc = 0x10000;
        machine.hart.run(1);
        expect(machine.hardware.ram.u32[page * 1024]).toBe(1000 * turn + i);
      }
    }
    for (const [i, { page }] of spaces.entries()) expect(machine.hardware.ram.u32[page * 1024]).toBe(3000 + i);
  });
});
