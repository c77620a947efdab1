// The free lists of frames: nothing is handed out twice or lost, pages of a table follow each other, and blocks become whole again.
import { describe, expect, it } from "vitest";
import { type Pfn, asPfn } from "../base/numbers.ts";
import { createHardware } from "../machine/hardware.ts";
import { Random } from "../machine/vectors.ts";
import { seedsOf } from "../testing/seeds.ts";
import { BLOCK_FRAMES, FrameAllocator, KIND_ANON, KIND_FILE, KIND_TABLE } from "./frame.ts";

const MIB = 2 ** 20;

/** An allocator of so many MiB, and a table of page tables in its RAM, whose entries point to leaf tables. */
function allocator(mib: number): { frames: FrameAllocator; upper: Pfn; addTable(index: number): Pfn } {
  const { ram } = createHardware({ memoryBytes: mib * MIB, harts: 1 });
  const frames = new FrameAllocator(ram);
  const upper = frames.allocate(KIND_TABLE);
  ram.zero(upper);
  const addTable = (index: number): Pfn => {
    const table = frames.allocate(KIND_TABLE);
    ram.u32[upper * 1024 + 2 * index] = (table << 10) | 1;
    return table;
  };
  return { frames, upper, addTable };
}

/** A frame for an entry of a table, as fault.ts asks for it. */
function privateFrame(frames: FrameAllocator, upper: Pfn, table: Pfn, tableIndex: number, index: number): Pfn {
  if (frames.homeFrame(table, index) === 0) frames.giveHome(table, upper * 1024 + 2 * tableIndex, 8);
  return frames.allocate(KIND_ANON, frames.homeFrame(table, index));
}

describe("homes", () => {
  it("pages of a table have frames in the order of their entries, whatever order they come in", () => {
    const { frames, upper, addTable } = allocator(64);
    const table = addTable(3);
    const order = [17, 511, 0, 16, 300];
    const got = order.map((index) => privateFrame(frames, upper, table, 3, index));
    got.forEach((pfn, i) => expect(pfn - got[0]).toBe(order[i] - order[0]));
    // Others get frames elsewhere, while there are enough.
    const block = got[0] >> 9;
    for (let n = 0; n < 1000; n++) expect(frames.allocate(KIND_FILE) >> 9).not.toBe(block);
  });

  it("tables near each other have homes as far apart as their entries", () => {
    const { frames, upper, addTable } = allocator(64);
    const [first, third, second] = [addTable(10), addTable(12), addTable(11)];
    const at = privateFrame(frames, upper, first, 10, 0);
    expect(privateFrame(frames, upper, third, 12, 0) - at).toBe(2 * BLOCK_FRAMES);
    expect(privateFrame(frames, upper, second, 11, 5) - at).toBe(BLOCK_FRAMES + 5);
  });

  it("a frame that another has is replaced by any", () => {
    const { frames, upper, addTable } = allocator(64);
    const table = addTable(0);
    const pfn = privateFrame(frames, upper, table, 0, 7);
    expect(privateFrame(frames, upper, table, 0, 7)).not.toBe(pfn);
    expect(frames.allocate(KIND_ANON, pfn)).not.toBe(pfn);
  });

  it("are given while more than half of the blocks are whole, and lent out when memory is short", () => {
    const { frames, upper, addTable } = allocator(16);
    const homes = new Set<number>();
    for (let index = 0; index < 40; index++) {
      const table = addTable(8 * index);
      frames.giveHome(table, upper * 1024 + 16 * index, 1);
      const wanted = frames.homeFrame(table, 0);
      if (wanted !== 0) homes.add(wanted >> 9);
    }
    expect(homes.size).toBeGreaterThan(1);
    expect(homes.size).toBeLessThan(6);
    let taken = 0;
    while (frames.allocate(KIND_FILE) !== 0) taken++;
    expect(frames.free).toBe(0);
    expect(taken).toBeGreaterThan(16 * 256 - 100);
  });

  it("there are none in a machine that is smaller than one", () => {
    const { frames, upper, addTable } = allocator(1);
    const table = addTable(0);
    const before = frames.free;
    const pfn = privateFrame(frames, upper, table, 0, 5);
    expect(frames.homeFrame(table, 5)).toBe(0);
    expect(frames.free).toBe(before - 1);
    frames.put(pfn);
    expect(frames.free).toBe(before);
  });

  it("are whole blocks again when their pages are gone, and anybody's when their table is", () => {
    const { frames, upper, addTable } = allocator(64);
    const table = addTable(1);
    const pfn = privateFrame(frames, upper, table, 1, 9);
    frames.put(table);
    expect(frames.allocate(KIND_FILE, pfn + 1)).toBe(pfn + 1);
    frames.put(pfn);
    frames.put(asPfn(pfn + 1));
    let blocks = 0;
    while (frames.allocateBlock(KIND_ANON) !== 0) blocks++;
    expect(blocks * BLOCK_FRAMES).toBe(frames.used[KIND_ANON]);
    expect(frames.free).toBeLessThan(2 * BLOCK_FRAMES);
  });

  it.each(seedsOf("FRAMES", 8))("hand out each frame once, whatever comes and goes: seed %i", (seed) => {
    const random = new Random(seed);
    const { frames, upper, addTable } = allocator(24);
    const tables = new Map<number, Pfn>();
    const held: Pfn[] = [];
    const mine = new Set<number>();
    const hold = (pfn: Pfn): void => {
      if (pfn === 0) return;
      expect(mine.has(pfn)).toBe(false);
      mine.add(pfn);
      held.push(pfn);
    };
    const total = frames.free + 1;
    for (let step = 0; step < 6000; step++) {
      const what = random.below(100);
      if (what < 50) {
        const index = random.below(12);
        let table = tables.get(index);
        if (table === undefined) {
          if (frames.free < 2) continue;
          tables.set(index, (table = addTable(index)));
        }
        hold(privateFrame(frames, upper, table, index, random.below(512)));
      } else if (what < 65) hold(frames.allocate(KIND_FILE, random.below(2) * random.below(frames.total)));
      else if (what < 67) {
        const first = frames.allocateBlock(KIND_ANON);
        if (first !== 0) for (let i = 0; i < BLOCK_FRAMES; i++) hold(asPfn(first + i));
      } else if (what < 69) {
        const [index] = [...tables.keys()].slice(random.below(tables.size || 1));
        if (index === undefined) continue;
        frames.put(tables.get(index)!);
        frames.ram.u32[upper * 1024 + 2 * index] = 0;
        tables.delete(index);
      } else {
        for (let n = random.below(what < 72 ? held.length + 1 : 3); n > 0 && held.length > 0; n--) {
          const [pfn] = held.splice(random.below(held.length), 1);
          mine.delete(pfn);
          frames.put(pfn);
        }
      }
      expect(frames.free).toBe(total - 1 - held.length - tables.size);
    }
    for (const pfn of held) frames.put(pfn);
    for (const table of tables.values()) frames.put(table);
    frames.put(upper);
    // All of it can be had again: block by block, and what is in no whole block one by one.
    let got = 0;
    while (frames.allocateBlock(KIND_ANON) !== 0) got += BLOCK_FRAMES;
    while (frames.allocate(KIND_ANON) !== 0) got++;
    expect(got).toBe(total);
  });
});
