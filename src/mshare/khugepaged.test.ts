// khugepaged and regions, without a kernel: a region's host mm is scanned like any address space; its leaves are seen by all windows, and tables that windows
// link stay. guest/tests/abi-thp.c has the same from programs.
import { describe, expect, test } from "vitest";
import type { MemoryGroup } from "../mm/memcg.ts";
import { fullScan } from "../mm/test-space.ts";
import { getUser32, putUser32 } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { thpWord } from "./huge.ts";
import { GIB, GRANULE, TestWorld } from "./test-world.ts";

/** A window here links page tables: it is 2 MiB off a multiple of 1 GiB. */
const ODD = 0x30_0020_0000;

describe.each([true, false])("shared tables: %s", (share) => {
  const world = (): TestWorld => {
    const made = new TestWorld({ share });
    made.memory.thp.enabled = "always";
    made.memory.khugepaged.startStop();
    return made;
  };

  test("small pages of a region become a huge page, for its windows and views too", () => {
    const w = world();
    const { khugepaged, stat, frames } = w.memory;
    const region = w.region(GIB);
    w.map(region, 0, GRANULE);
    const at = w.attach(region, w.mm);
    const other = w.newMm();
    const view = w.attach(region, other, { flags: MSHARE_RDONLY });
    const own = w.attach(region, other, { flags: MSHARE_PRIVATE });
    putUser32(w.mm, at + 4096, 5);
    putUser32(other, own + 8192, 6);
    expect(getUser32(other, view + 4096)).toBe(5);
    // Neither its mm nor the processes' are known: shmem was "never" when it was mapped.
    expect(khugepaged.deadline).toBe(Infinity);
    w.memory.thp.setShmemEnabled("always");
    w.map(region, 2 * GRANULE, GRANULE);
    expect([region.host, w.mm, other].map((mm) => mm.inKhugepaged)).toEqual([true, false, false]);
    fullScan(w.memory);
    w.memory.verify();
    expect([frames.shmemHuge, stat.thp_collapse_alloc]).toEqual([1, 1]);
    expect([getUser32(w.mm, at + 4096), getUser32(other, view + 4096)]).toEqual([5, 5]);
    const [space, va] = share ? [region.host, region.host.vmas.at(0)!.start] : [w.mm, at];
    expect(thpWord(space, va)).not.toBe(0);
    // Beside its copy the private window has small entries.
    expect([getUser32(other, own + 4096), getUser32(other, own + 8192)]).toEqual([5, 6]);
    putUser32(w.mm, at + 12288, 7);
    expect([getUser32(other, view + 12288), getUser32(other, own + 12288)]).toEqual([7, 7]);
    w.memory.verify();
    fullScan(w.memory);
    w.memory.verify();
    expect(w.end([other])).toBe(0);
    expect(khugepaged.deadline).not.toBe(0);
    khugepaged.run(khugepaged.deadline);
    expect(khugepaged.deadline).toBe(Infinity);
  });

  test("where a window links the page table it stays, until the window goes", () => {
    const w = world();
    const region = w.region(GIB);
    const at = w.attach(region, w.mm);
    const odd = w.attach(region, w.mm, { addr: ODD, flags: MSHARE_FIXED });
    w.map(region, 0, GRANULE);
    putUser32(w.mm, at, 1);
    expect(getUser32(w.mm, odd)).toBe(1);
    w.memory.thp.setShmemEnabled("always");
    fullScan(w.memory, region.host);
    w.memory.verify();
    expect(w.memory.frames.shmemHuge).toBe(share ? 0 : 1);
    w.mm.munmap(odd, GIB);
    fullScan(w.memory);
    w.memory.verify();
    expect([w.memory.frames.shmemHuge, getUser32(w.mm, at)]).toEqual([1, 1]);
    expect(w.end()).toBe(0);
  });

  test("the region's group pays, whoever runs", () => {
    const w = world();
    const { groups } = w.memory;
    const group = groups.create(groups.root) as MemoryGroup;
    w.owner.memcg = group;
    const region = w.region(GIB);
    w.map(region, 0, GRANULE);
    const at = w.attach(region, w.mm);
    putUser32(w.mm, at, 1);
    w.memory.thp.setShmemEnabled("always");
    const before = group.memory.usage;
    fullScan(w.memory, region.host);
    expect(group.memory.usage - before).toBeGreaterThan(500);
    expect(group.stat.thpCollapseAlloc).toBe(1);
    w.memory.verify();
    expect(w.end()).toBe(0);
  });
});
