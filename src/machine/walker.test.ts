// The walk that generated code does: which translations one TLB miss enters besides its own, and that it changes nothing for them. What they may be
// is the privileged specification's word on translations that were not asked for: valid, allowed, with A and D set already.
import { beforeEach, describe, expect, it } from "vitest";
import { asPfn } from "../base/numbers.ts";
import { encode } from "./isa/encode.ts";
import { PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, makePte, ptePfn } from "./pte.ts";
import { DATA, RW, RX, TestMachine } from "./test-machine.ts";
import { ACCESS_READ, TRAP_BREAKPOINT, TRAP_PAGE_FAULT } from "./trap.ts";
import { Random } from "./vectors.ts";

const A1 = 11;
const PAGE = 4096;
const LOAD = [encode("lb", { rd: 0, rs1: A1 }), encode("ebreak")];
const STORE = [encode("sb", { rs2: 0, rs1: A1 }), encode("ebreak")];
/** What a page that was written has. */
const USED = RW | PTE_A | PTE_D;

let machine: TestMachine;

/** Maps `pages` pages that were accessed, from DATA on: the first entries of a leaf table. */
function mapUsed(pages: number, flags = USED): void {
  machine.mapFresh(DATA, pages, flags);
}

function access(words: readonly number[], page: number, hart = machine.hart): void {
  machine.load(words);
  const { registers } = hart;
  registers.pc = machine.hart.registers.pc;
  registers.setX(A1, BigInt(DATA + page * PAGE));
  expect(hart.run(100).cause).toBe(TRAP_BREAKPOINT);
}

const read = (...pages: number[]): void => pages.forEach((page) => access(LOAD, page));
const write = (...pages: number[]): void => pages.forEach((page) => access(STORE, page));

/** The pages from DATA on with a translation of a kind, in order. */
function cached(kind: "read" | "write"): number[] {
  const ofKind = [...machine.hardware.mmu.entries()].filter((e) => !e.execute && e.write === (kind === "write"));
  return ofKind.map((e) => (e.va - DATA) / PAGE).sort((a, b) => a - b);
}

const leafTable = (): ReturnType<typeof machine.frame> => machine.hardware.mmu.walk(machine.root, DATA)!.table;
const entriesOf = (table = leafTable()): number[] =>
  Array.from({ length: 512 }, (_, i) => machine.hardware.ram.readPte(table, i));
const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

beforeEach(() => {
  machine = new TestMachine({ memoryBytes: 16 * 2 ** 20 });
});

describe("misses one after the other", () => {
  it("enter the pages that follow, each miss more", () => {
    mapUsed(512);
    read(0);
    expect(cached("read")).toEqual([0]);
    let misses = 1;
    for (let page = 1; page < 512; page++) {
      if (cached("read").includes(page)) continue;
      misses++;
      const before = cached("read").length;
      read(page);
      expect(cached("read").length - before).toBeGreaterThan(before / 2);
      expect(cached("read")).toEqual(range(0, cached("read").length - 1));
    }
    expect(misses).toBeLessThan(10);
  });

  it("may leave out a few pages, not many", () => {
    mapUsed(512);
    read(100, 104);
    expect(cached("read").length).toBeGreaterThan(2);
    expect(cached("read").slice(0, 2)).toEqual([100, 104]);
    read(300, 310, 290, 200, 199);
    expect(cached("read").filter((page) => page > 180)).toEqual([199, 200, 290, 300, 310]);
  });

  it("of reads and of writes go their own ways, and a write enters writes", () => {
    mapUsed(512);
    for (const page of [0, 1]) {
      read(page);
      write(256 + page);
    }
    expect(cached("write")).toEqual([256, 257, 258, 259, 260]);
    expect(cached("read")).toEqual([0, 1, 2, 3, 4, 256, 257]);
  });

  it.each([2, 3, 8, 64])("enter at most %i pages if that is the limit", (tlbNeighbours) => {
    machine = new TestMachine({ memoryBytes: 16 * 2 ** 20, tlbNeighbours });
    mapUsed(512);
    for (let page = 0; page < 400;) {
      const before = cached("read").length;
      read(page);
      page = cached("read").length;
      expect(page - before).toBeLessThanOrEqual(tlbNeighbours);
    }
    const before = cached("read").length;
    read(before);
    expect(cached("read").length - before).toBe(tlbNeighbours);
  });

  it("enter one page each if the limit is 1", () => {
    machine = new TestMachine({ memoryBytes: 16 * 2 ** 20, tlbNeighbours: 1 });
    mapUsed(32);
    for (let page = 0; page < 32; page++) {
      write(page);
      expect([cached("read"), cached("write")]).toEqual([range(0, page), range(0, page)]);
    }
  });

  it("end with the leaf table, and go on in the next", () => {
    mapUsed(1024);
    read(508, 509);
    expect(cached("read")).toEqual([508, 509, 510, 511]);
    read(512);
    expect(cached("read")).toEqual(range(508, 512 + 11));
    read(1023);
    expect(cached("read").at(-1)).toBe(1023);
  });

  it("do not reach into a superpage, which enters its 64 KiB as ever", () => {
    mapUsed(512);
    machine.map(DATA + 2 ** 21, asPfn(Math.ceil(machine.frame() / 512) * 512), USED, 1);
    read(510, 511);
    expect(cached("read")).toEqual([510, 511]);
    read(512 + 20);
    expect(cached("read")).toEqual([510, 511, ...range(512 + 16, 512 + 31)]);
  });

  it("are refused: 0 and more than a leaf table has", () => {
    for (const tlbNeighbours of [0, 513, NaN])
      expect(() => new TestMachine({ tlbNeighbours })).toThrow("1 to 512 are possible");
  });
});

describe("a page that follows is not entered, nor one after it, and its entry stays as it is", () => {
  const never = makePte(asPfn(1), USED | PTE_V | PTE_U);
  const flaws: [string, (pte: number) => number][] = [
    ["absent", () => 0],
    ["not valid", (pte) => pte & ~PTE_V],
    ["not accessed yet", (pte) => pte & ~PTE_A],
    ["the kernel's", (pte) => pte & ~PTE_U],
    ["only to be executed", (pte) => (pte & ~(PTE_R | PTE_W)) | PTE_X],
    ["reserved: W without R", (pte) => pte & ~PTE_R],
    ["outside of RAM", () => never],
  ];
  const flawsOfWrites: typeof flaws = [
    ["clean", (pte) => pte & ~PTE_D],
    ["copied when it is written", (pte) => pte & ~PTE_W],
    ["not accessed but dirty", (pte) => pte & ~PTE_A],
  ];
  const spoil = (spoiler: (pte: number) => number): number[] => {
    const { ram } = machine.hardware;
    mapUsed(32);
    ram.writePte(leafTable(), 3, spoiler(ram.readPte(leafTable(), 3)));
    return entriesOf();
  };

  it.each(flaws)("reading: %s", (_what, spoiler) => {
    const before = spoil(spoiler);
    read(0, 1);
    expect(cached("read")).toEqual([0, 1, 2]);
    expect(entriesOf()).toEqual(before);
  });

  it.each([...flaws, ...flawsOfWrites])("writing: %s", (_what, spoiler) => {
    const before = spoil(spoiler);
    write(0, 1);
    expect(cached("write")).toEqual([0, 1, 2]);
    expect(entriesOf()).toEqual(before);
  });

  it.each(flawsOfWrites.slice(0, 2))("but reading does not mind: %s", (_what, spoiler) => {
    const before = spoil(spoiler);
    read(0, 1);
    expect(cached("read")).toEqual([0, 1, 2, 3, 4]);
    expect(entriesOf()).toEqual(before);
  });

  it("writing: a frame with decoded code, which is kept", () => {
    mapUsed(32);
    const { ram, mmu } = machine.hardware;
    const alias = 2 ** 30;
    const frame = ptePfn(mmu.walk(machine.root, DATA + 3 * PAGE)!.pte);
    machine.map(alias, frame, RX);
    machine.load([encode("ebreak")], alias);
    expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
    write(0, 1);
    expect(cached("write")).toEqual([0, 1, 2]);
    expect(ram.hasCode[frame]).toBe(1);
    write(3);
    expect(ram.hasCode[frame]).toBe(0);
  });
});

it("code that is decoded from a page with a write translation of a neighbour's miss takes that away", () => {
  mapUsed(32);
  write(0, 1);
  expect(cached("write")).toContain(2);
  const frame = ptePfn(machine.hardware.mmu.walk(machine.root, DATA + 2 * PAGE)!.pte);
  const alias = 2 ** 30;
  machine.map(alias, frame, RX);
  machine.load([encode("ebreak")], alias);
  expect(machine.runToTrap().cause).toBe(TRAP_BREAKPOINT);
  expect(cached("write")).not.toContain(2);
  expect(cached("write")).toContain(3);
});

describe("flushes", () => {
  it("flushLeaf drops neighbours like others, exactly", () => {
    mapUsed(32);
    write(0, 1);
    const { mmu, ram } = machine.hardware;
    const table = leafTable();
    // Writes of 1, 2 and 3, and the read of 1.
    expect(mmu.flushLeaf(table, 1, 3)).toEqual({ harts: 1, entries: 4 });
    expect([cached("read"), cached("write")]).toEqual([[0], [0, 4]]);
    ram.writePte(table, 3, 0);
    machine.load(LOAD);
    machine.hart.registers.setX(A1, BigInt(DATA + 3 * PAGE));
    expect({ ...machine.runToTrap() }).toMatchObject({
      cause: TRAP_PAGE_FAULT,
      va: DATA + 3 * PAGE,
      access: ACCESS_READ,
    });
    expect(mmu.flushLeaf(table, 0, 512).entries).toBe(3);
    expect(mmu.flushLeaf(table, 0, 512)).toEqual({ harts: 0, entries: 0 });
  });

  it("flushLeaves and flushSpace as well", () => {
    mapUsed(600);
    const { mmu } = machine.hardware;
    read(0, 1, 512, 513);
    const second = mmu.walk(machine.root, DATA + 512 * PAGE)!.table;
    expect(
      mmu.flushLeaves(
        [leafTable(), second],
        [
          [2, 3],
          [0, 511],
        ],
      ),
    ).toMatchObject({ harts: 2 });
    expect(cached("read")).toEqual([0, 1, 4]);
    mmu.flushSpace(machine.root);
    expect([...mmu.entries()]).toEqual([]);
  });

  it("flushLeaf finds the neighbours of every hart that shares the table", () => {
    machine = new TestMachine({ memoryBytes: 16 * 2 ** 20, harts: 2 });
    mapUsed(32);
    for (const hart of machine.hardware.harts) for (const page of [0, 1]) access(LOAD, page, hart);
    expect(cached("read")).toHaveLength(10);
    expect(machine.hardware.mmu.flushLeaf(leafTable(), 4, 1)).toEqual({ harts: 2, entries: 2 });
  });
});

describe("random entries and accesses", () => {
  /** Pages that two leaf tables map, half of each. */
  const [FIRST, PAGES] = [256, 512];
  const LACKS = [PTE_A, PTE_D, PTE_W, PTE_R | PTE_W, PTE_U, PTE_V];

  it.each([1, 2, 3, 4])("seed %i: every translation is one that an access would find with nothing to set", (seed) => {
    const random = new Random(seed);
    machine.mapFresh(DATA, FIRST + PAGES, USED);
    const { ram, mmu } = machine.hardware;
    const places = range(FIRST, FIRST + PAGES - 1).map((page) => mmu.walk(machine.root, DATA + page * PAGE)!);
    const spoil = ({ table, index, pte }: (typeof places)[0]): void =>
      ram.writePte(table, index, random.below(8) === 0 ? pte & ~random.pick(LACKS) : pte);
    const entries = (): number[] => places.map(({ table, index }) => ram.readPte(table, index));
    places.forEach(spoil);
    let page = 0;
    for (let n = 0; n < 400; n++) {
      page = random.below(8) === 0 ? random.below(PAGES) : (page + random.below(3)) % PAGES;
      const changed = random.pick(places);
      spoil(changed);
      mmu.flushLeaf(changed.table, changed.index, 1);
      const before = entries();
      machine.load(random.pick([LOAD, STORE]));
      machine.hart.registers.setX(A1, BigInt(DATA + (FIRST + page) * PAGE));
      machine.runToTrap();
      // Nothing but the entry of the page that was accessed.
      before[page] = entries()[page];
      expect(entries()).toEqual(before);
      const wrong = [...mmu.entries()].filter((entry) => {
        const need = PTE_V | PTE_U | PTE_A | (entry.execute ? PTE_X : PTE_R) | (entry.write ? PTE_W | PTE_D : 0);
        const leaf = mmu.walk(entry.root, entry.va);
        const hasPlace = leaf?.table === entry.table && leaf.index === entry.index && ptePfn(leaf.pte) === entry.pfn;
        return !hasPlace || (leaf.pte & need) !== need || (entry.write && ram.hasCode[entry.pfn] !== 0);
      });
      expect(wrong).toEqual([]);
    }
  });
});
