// Huge pages in regions, without a kernel: where windows must lie, views, private copies; shared and private tables give the same. guest/tests/abi-hugetlb.c
// asks for the rest.
import { describe, expect, test } from "vitest";
import { MAP_HUGETLB } from "../mm/constants.ts";
import { getUser32, putUser32 } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { GIB, GRANULE, TestWorld } from "./test-world.ts";

describe.each([true, false])("shared tables: %s", (share) => {
  const world = (pages: number): TestWorld => {
    const made = new TestWorld({ share });
    made.memory.hugetlb.defaultPool.setMax(pages);
    return made;
  };

  test("a window is linked above the leaves, or refused", () => {
    const w = world(3);
    const region = w.region(GIB);
    const odd = w.attach(region, w.mm, { addr: 0x30_0020_0000, flags: MSHARE_FIXED });
    expect(w.map(region, 0, GRANULE, { flags: MAP_HUGETLB })).toBe(-16);
    w.mm.munmap(odd, GIB);
    expect(w.map(region, 0, 2 * GRANULE, { flags: MAP_HUGETLB })).toBe(0);
    expect(w.attach(region, w.mm, { addr: 0x30_0020_0000, flags: MSHARE_FIXED })).toBe(-22);
    const at = w.attach(region, w.mm);
    const other = w.newMm();
    const there = w.attach(region, other);
    expect(w.touch(w.mm, at)).toContain("minor");
    putUser32(w.mm, at + 4096, 7);
    expect(getUser32(other, there + 4096)).toBe(7);
    expect(region.stat().resident).toBe(GRANULE);
    expect(region.unmap(0, 4096)).toBe(-22);
    expect(region.unmap(0, GRANULE)).toBe(0);
    expect(w.touch(other, there)).toBe("MAPERR");
    w.memory.verify();
    w.memory.hugetlb.defaultPool.setMax(0);
    expect(w.end([other]) - w.memory.hugetlb.totalFrames).toBe(0);
  });

  test("a view does not write, a private window copies whole pages from the pool", () => {
    const w = world(2);
    const region = w.region(GIB);
    w.map(region, 0, GRANULE, { flags: MAP_HUGETLB });
    const at = w.attach(region, w.mm);
    const view = w.attach(region, w.mm, { flags: MSHARE_RDONLY });
    const own = w.attach(region, w.mm, { flags: MSHARE_PRIVATE });
    putUser32(w.mm, at + 8192, 5);
    expect([getUser32(w.mm, view + 8192), getUser32(w.mm, own + 8192)]).toEqual([5, 5]);
    expect(w.touch(w.mm, view)).toBe("ACCERR");
    expect(putUser32(w.mm, own, 1)).toBe(0);
    expect([getUser32(w.mm, at), getUser32(w.mm, own + 8192)]).toEqual([0, 5]);
    expect(w.mm.hugetlbPages).toBe(512);
    const child = w.fork(w.mm);
    w.memory.verify();
    expect(w.touch(child, own)).toBe("BUS");
    child.put();
    region.unmap(0, GRANULE);
    expect(w.touch(w.mm, own, "read")).toBe("MAPERR");
    expect(w.memory.hugetlb.defaultPool.free).toBe(2);
    w.memory.verify();
    expect(w.end() - w.memory.hugetlb.totalFrames).toBe(0);
  });
});
