// Memory shorter than what programs use: pages go to swap and come back right, shared ones once for all who share them.
import { describe, expect, it } from "vitest";
import * as mman from "./constants.ts";
import { FRAME_DIRTY } from "./frame.ts";
import { ShmemObject } from "./object.ts";
import { SwapArea } from "./swap.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

function small(frames = 120, swapPages = 400): TestSpace {
  const space = new TestSpace({ memoryBytes: frames * P, overcommit: 1 });
  if (swapPages > 0) space.memory.swap = new SwapArea("test", swapPages);
  return space;
}

describe("swap", () => {
  it("takes three times as much private memory as there is RAM", () => {
    const space = small();
    space.map(0, 360);
    for (let page = 0; page < 360; page++) expect(space.write(page, page + 1)).toBe("ok");
    expect(space.memory.stat.pswpout).toBeGreaterThan(200);
    expect(space.mm.swapPages + space.mm.rssAnon).toBe(360);
    for (let page = 0; page < 360; page++) expect(space.read(page)).toBe(page + 1);
    expect(space.mm.majorFaults).toBeGreaterThan(200);
    space.mm.munmap(ARENA, 360 * P);
    expect(space.check(space.memory.swap!.used)).toBe(0);
  });

  it("and the same of shared memory, which every process then reads from one slot", () => {
    const space = small();
    space.mapShared(0, 300);
    for (let page = 0; page < 300; page++) space.write(page, page + 7);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("no memory");
    for (let page = 299; page >= 0; page -= 3) expect(space.read(page, child)).toBe(page + 7);
    expect(space.mm.swapPages).toBe(0);
    child.put();
    space.mm.munmap(ARENA, 300 * P);
    expect(space.check(space.memory.swap!.used)).toBe(0);
  });

  it("keeps parent and child apart when both have their pages there", () => {
    const space = small(200);
    space.map(0, 20);
    for (let page = 0; page < 20; page++) space.write(page, page);
    expect(space.mm.madvise(ARENA, 20 * P, mman.MADV_PAGEOUT)).toBe(0);
    expect(space.mm.swapPages).toBe(20);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("no memory");
    expect(space.memory.swap!.used).toBe(20);
    space.write(3, 33, child);
    space.write(4, 44);
    expect([space.read(3), space.read(4, child), space.read(3, child), space.read(4)]).toEqual([3, 4, 33, 44]);
    child.put();
    space.check();
  });

  it("MADV_FREE gives up what is there, but not what a child has", () => {
    const space = small(200);
    space.map(0, 64);
    for (let page = 0; page < 64; page++) space.write(page, 5);
    expect(space.mm.madvise(ARENA, 64 * P, mman.MADV_PAGEOUT)).toBe(0);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("no memory");
    expect(space.mm.madvise(ARENA, 32 * P, mman.MADV_FREE)).toBe(0);
    expect([space.mm.swapPages, child.swapPages, space.memory.swap!.used]).toEqual([32, 64, 64]);
    expect([space.read(31), space.read(32), space.read(31, child)]).toEqual([0, 5, 5]);
    child.put();
    expect(space.check(space.memory.swap!.used)).toBe(31);
  });

  it("gives out of memory when it is full too", () => {
    const space = small(100, 30);
    space.map(0, 300);
    let page = 0;
    while (page < 300 && space.mm.fault(ARENA + page * P, 2).kind === "done") page++;
    expect(page).toBeGreaterThan(100);
    expect(page).toBeLessThan(135);
    expect(space.memory.swap!.used).toBe(30);
    space.check();
  });

  it("leaves locked pages where they are", () => {
    const space = small();
    space.map(0, 300);
    space.mm.capabilities.ipcLock = true;
    expect(space.mm.mlock(ARENA, 10 * P, 0)).toBe(0);
    for (let page = 0; page < 300; page++) space.write(page, page);
    for (let page = 0; page < 10; page++) expect(space.read(page)).toBe(page);
    expect(space.mm.madvise(ARENA, 10 * P, mman.MADV_PAGEOUT)).toBe(-22);
    space.check();
  });

  it("moves with mremap, and what is truncated or punched is gone", () => {
    const space = small(200);
    const object = new ShmemObject(space.memory, 8 * P);
    const file = new TestFile(space.memory, { object });
    space.map(0, 8, { file, flags: mman.MAP_SHARED });
    space.map(20, 2);
    for (let page = 0; page < 8; page++) space.write(page, 100 + page);
    for (let page = 20; page < 22; page++) space.write(page, 100 + page);
    space.mm.madvise(ARENA, 22 * P, mman.MADV_PAGEOUT);
    expect(object.swappedPages).toBe(8);
    expect(object.residentPages).toBe(0);
    expect(space.mm.mremap(ARENA + 20 * P, 2 * P, 2 * P, 3, ARENA + 30 * P)).toBe(ARENA + 30 * P);
    expect(space.check([space.read(30), space.read(31)])).toEqual([120, 121]);
    object.truncate(3 * P + 2);
    object.punch(0, P);
    space.check();
    expect([space.read(0), space.read(1), space.read(2), space.read(3), space.read(4)]).toEqual([
      0,
      101,
      102,
      103,
      "BUS 2",
    ]);
    expect(object.isSwapped(5)).toBe(false);
  });

  it("pages that were only read need none", () => {
    const space = small(200);
    const object = new ShmemObject(space.memory, 4 * P);
    space.map(0, 4, { file: new TestFile(space.memory, { object }), flags: mman.MAP_SHARED });
    for (let page = 0; page < 4; page++) expect(space.read(page)).toBe(0);
    space.mm.madvise(ARENA, 4 * P, mman.MADV_PAGEOUT);
    expect(space.check([object.residentPages, object.swappedPages])).toEqual([0, 0]);
    space.write(1, 5);
    space.mm.madvise(ARENA, 4 * P, mman.MADV_PAGEOUT);
    expect(space.read(1)).toBe(5);
    expect(space.memory.frames.flags[object.pages.get(1)] & FRAME_DIRTY).not.toBe(0);
  });
});
