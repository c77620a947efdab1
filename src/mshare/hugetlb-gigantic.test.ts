// Pages of 1 GiB in regions: the leaf is the region's, and windows link the table that it lies in, at an entry of 512 GiB. As src/mm/hugetlb-gigantic.test.ts, no
// more than a few bytes are touched.
import { describe, expect, test } from "vitest";
import { asPfn } from "../base/numbers.ts";
import { isTable, pteIndex, ptePfn } from "../machine/pte.ts";
import { MAP_HUGETLB, MAP_HUGE_1GB, MAP_NORESERVE } from "../mm/constants.ts";
import { entryWord } from "../mm/page-table.ts";
import { GIB_FRAMES, GIGANTIC_MEMORY } from "../mm/test-gigantic.ts";
import { getUser32, putUser32 } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { GIB, GRANULE, TestWorld } from "./test-world.ts";

const FLAGS = MAP_HUGETLB | MAP_HUGE_1GB;

describe.each([true, false])("shared tables: %s", (share) => {
  const world = (): TestWorld => {
    const made = new TestWorld({ share, memoryBytes: GIGANTIC_MEMORY, verify: false });
    made.memory.hugetlb.pools[1].setMax(1);
    return made;
  };
  /** Lets go of everything; the page is free again, and no frame is missing. */
  const end = (w: TestWorld, ...mms: Parameters<TestWorld["end"]>): void => {
    const missing = w.end(...mms);
    const pool = w.memory.hugetlb.pools[1];
    expect([pool.free, pool.reserved, missing]).toEqual([1, 0, GIB_FRAMES]);
  };

  test("a page is one memory for all windows, which link the table above it", () => {
    const w = world();
    const { ram, frames, hugetlb } = w.memory;
    const pool = hugetlb.pools[1];
    const region = w.region(2 * GIB);
    expect(w.map(region, GIB, GIB, { flags: FLAGS })).toBe(GIB);
    expect([pool.free, pool.reserved]).toEqual([1, 1]);
    const at = w.attach(region, w.mm);
    const other = w.newMm();
    const there = w.attach(region, other);
    expect(w.touch(w.mm, at + GIB)).toBe(share ? "minor linked" : "minor");
    expect([pool.free, pool.reserved]).toEqual([0, 0]);
    for (const offset of [0, 300 * 2 ** 20, GIB - 4]) {
      expect(putUser32(w.mm, at + GIB + offset, offset / 4 + 1)).toBe(0);
      expect(getUser32(other, there + GIB + offset)).toBe(offset / 4 + 1);
    }
    expect(putUser32(other, there + GIB + 12, 5)).toBe(0);
    expect(getUser32(w.mm, at + GIB + 12)).toBe(5);
    w.memory.verify();
    expect(region.stat().resident).toBe(GIB);

    const [space, va] = share ? [region.host, region.host.vmas.at(0)!.start] : [w.mm, at + GIB];
    const word = entryWord(ram, space.root, va, 2);
    expect([isTable(ram.u32[word]), ptePfn(ram.u32[word]) % GIB_FRAMES]).toEqual([false, 0]);
    const tables = [w.mm, other].map((mm, i) => ptePfn(ram.readPte(mm.root, pteIndex([at, there][i], 3))));
    if (share) {
      // The region's own, of which there is one, and which the processes do not pay for.
      expect(tables).toEqual([word >>> 10, word >>> 10]);
      expect(frames.refcount[asPfn(word >>> 10)]).toBe(3);
      expect([w.mm.tableBytes, other.tableBytes, hugetlb.mapped]).toEqual([0, 0, 1]);
    } else {
      expect(tables[0]).not.toBe(tables[1]);
      expect(hugetlb.mapped).toBe(2);
    }
    expect(region.unmap(GIB, GRANULE)).toBe(-22);
    expect(region.unmap(GIB, GIB)).toBe(0);
    expect([w.touch(w.mm, at + GIB), w.touch(other, there + GIB)]).toEqual(["MAPERR", "MAPERR"]);
    end(w, [other]);
  });

  test("none left: ENOMEM where it is to be reserved, else SIGBUS", () => {
    const w = world();
    const region = w.region(3 * GIB);
    expect(w.map(region, 0, GIB, { flags: FLAGS })).toBe(0);
    expect(w.map(region, GIB, GIB, { flags: FLAGS })).toBe(-12);
    expect(w.map(region, GIB, GIB, { flags: FLAGS | MAP_NORESERVE })).toBe(GIB);
    const at = w.attach(region, w.mm);
    expect(w.touch(w.mm, at + GIB)).toBe("BUS");
    expect(putUser32(w.mm, at, 1)).toBe(0);
    expect(w.touch(w.mm, at + GIB, "read")).toBe("BUS");
    w.memory.verify();
    end(w);
  });

  test("a view does not write; a private window has no page for a copy", () => {
    const w = world();
    const region = w.region(GIB);
    w.map(region, 0, GIB, { flags: FLAGS });
    const at = w.attach(region, w.mm);
    const view = w.attach(region, w.mm, { flags: MSHARE_RDONLY });
    const own = w.attach(region, w.mm, { flags: MSHARE_PRIVATE });
    expect(putUser32(w.mm, at + GIB - 8, 6)).toBe(0);
    expect([getUser32(w.mm, view + GIB - 8), getUser32(w.mm, own + GIB - 8)]).toEqual([6, 6]);
    expect([w.touch(w.mm, view + 64), w.touch(w.mm, own + 64)]).toEqual(["ACCERR", "BUS"]);
    w.memory.verify();
    end(w);
  });

  test("a window that cannot be linked that high", () => {
    const w = world();
    const region = w.region(GIB);
    const odd = w.attach(region, w.mm, { addr: 0x180_0000_0000 + GIB, flags: MSHARE_FIXED });
    expect(odd).toBe(0x180_0000_0000 + GIB);
    expect(w.map(region, 0, GIB, { flags: FLAGS })).toBe(-16);
    w.mm.munmap(odd, GIB);
    expect(w.map(region, 0, GIB, { flags: FLAGS })).toBe(0);
    expect(w.attach(region, w.mm, { addr: odd, flags: MSHARE_FIXED })).toBe(-22);
    end(w);
  });
});
