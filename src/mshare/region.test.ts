// Regions and windows on bare address spaces: linking at every level, share counts, flushing, the end of owners; with shared and private tables.
import { describe, expect, it } from "vitest";
import { EEXIST, EINVAL, ENOMEM, ENXIO } from "../base/errno.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import type { Mm } from "../mm/mm.ts";
import { MSHARE_FIXED, MSHARE_POPULATE } from "./abi.ts";
import { detachWindow } from "./attach.ts";
import { GIB, GRANULE, MIB, PAGE, TestWorld } from "./test-world.ts";
import { windowOf } from "./usage.ts";

const put = (mm: Mm, va: number, text: string): number => copyToUser(mm, va, new TextEncoder().encode(text));
function get(mm: Mm, va: number, length: number): string | number {
  const bytes = copyFromUser(mm, va, length);
  return typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes);
}

describe("shared tables", () => {
  it("link one entry for a window where the kernel picks the address, however many pages", () => {
    const world = new TestWorld();
    const region = world.region(16 * MIB);
    expect(world.map(region, 0, 16 * MIB)).toBe(0);
    const first = world.attach(region, world.mm);
    expect(first % GRANULE).toBe(0);
    for (let at = 0; at < 16 * MIB; at += PAGE) world.touch(world.mm, first + at);
    expect(region.faults).toBe(4096);
    expect(region.links).toBe(1);
    const sharer = world.newMm();
    const second = world.attach(region, sharer);
    const before = sharer.tableBytes;
    expect(world.touch(sharer, second)).toBe("linked");
    for (let at = 0; at < 16 * MIB; at += PAGE) expect(world.touch(sharer, second + at)).toBe("");
    expect(region.faults).toBe(4096);
    expect(region.links).toBe(2);
    expect(sharer.tableBytes - before).toBe(PAGE);
    // 8 last-level tables, one above them, one below the root.
    expect(region.tableBytes).toBe(10 * PAGE);
    world.memory.verify();
    expect(world.end([sharer])).toBe(0);
  });

  it("a page that one process faults in is there for the others without a link if the table was linked before", () => {
    const world = new TestWorld();
    const region = world.region(GIB);
    world.map(region, 0, GIB);
    const sharer = world.newMm();
    const a = world.attach(region, world.mm);
    const b = world.attach(region, sharer);
    expect(world.touch(world.mm, a)).toBe("minor linked");
    expect(world.touch(sharer, b)).toBe("linked");
    // A new last-level table appears below the entry that both have.
    expect(world.touch(world.mm, a + 512 * MIB)).toBe("minor");
    expect(world.touch(sharer, b + 512 * MIB)).toBe("");
    expect(put(sharer, b + 512 * MIB, "shared")).toBe(0);
    expect(get(world.mm, a + 512 * MIB, 6)).toBe("shared");
    expect(world.end([sharer])).toBe(0);
  });

  it("links 2 MiB entries at odd places, all that exist in reach at once", () => {
    const world = new TestWorld();
    const region = world.region(32 * MIB);
    world.map(region, 0, 32 * MIB);
    const a = world.attach(region, world.mm);
    for (let at = 0; at < 32 * MIB; at += GRANULE) world.touch(world.mm, a + at);
    const sharer = world.newMm();
    const place = 64 * GIB + 37 * GRANULE;
    expect(world.attach(region, sharer, { addr: place, flags: MSHARE_FIXED })).toBe(place);
    expect(world.touch(sharer, place + 5 * GRANULE)).toBe("linked");
    expect(region.links).toBe(1 + 16);
    for (let at = 0; at < 32 * MIB; at += GRANULE) expect(world.touch(sharer, place + at)).toBe("");
    world.memory.verify();
    expect(world.end([sharer])).toBe(0);
  });

  it("a window on a part never reaches beyond it", () => {
    const world = new TestWorld();
    const region = world.region(2 * GIB);
    world.map(region, 0, 2 * GIB);
    const part = world.attach(region, world.mm, { offset: 0, size: GIB + GRANULE });
    expect(world.touch(world.mm, part)).toBe("minor linked");
    expect(world.touch(world.mm, part + GIB)).toBe("minor linked");
    expect(world.touch(world.mm, part + GIB + GRANULE)).toBe("MAPERR");
    const whole = world.attach(region, world.mm);
    world.touch(world.mm, whole + GIB + GRANULE);
    expect(world.mmu.walk(world.mm.root, part + GIB + GRANULE)).toBeUndefined();
    expect(world.end()).toBe(0);
  });

  it("a window at the same offset within a GiB is linked by whole GiBs", () => {
    const world = new TestWorld();
    const region = world.region(128 * GIB);
    world.map(region, 0, 128 * GIB);
    const at = world.attach(region, world.mm, { offset: 3 * GIB, size: 4 * GIB });
    expect(at % GIB).toBe(0);
    world.touch(world.mm, at);
    world.touch(world.mm, at + 3 * GIB);
    expect(region.links).toBe(2);
    const large = world.attach(region, world.mm);
    expect(large % (512 * GIB)).toBe(0);
    world.touch(world.mm, large);
    expect(region.links).toBe(3);
    const own = world.mm.tableBytes;
    world.touch(world.mm, large + 100 * GIB);
    expect(region.links).toBe(3);
    expect(world.mm.tableBytes).toBe(own);
    expect(world.end()).toBe(0);
  });

  it("tables emptied while they are linked go with the last link", () => {
    const world = new TestWorld();
    const region = world.region(64 * MIB);
    world.map(region, 0, 64 * MIB);
    const odd = 64 * GIB + 3 * GRANULE;
    world.attach(region, world.mm, { addr: odd, flags: MSHARE_FIXED });
    for (let at = 0; at < 64 * MIB; at += GRANULE) world.touch(world.mm, odd + at);
    const full = region.tableBytes;
    expect(region.unmap(0, 32 * MIB)).toBe(0);
    expect(region.tableBytes).toBe(full);
    world.memory.verify();
    expect(detachWindow(world.mm, odd)).toBe(0);
    expect(region.links).toBe(0);
    expect(region.tableBytes).toBe(full - 16 * PAGE);
    world.memory.verify();
    expect(world.end()).toBe(0);
  });

  it("MSHARE_POPULATE links what exists", () => {
    const world = new TestWorld();
    const region = world.region(3 * GIB);
    world.map(region, 0, 3 * GIB);
    const a = world.attach(region, world.mm);
    world.touch(world.mm, a);
    world.touch(world.mm, a + 2 * GIB);
    const sharer = world.newMm();
    const b = world.attach(region, sharer, { flags: MSHARE_POPULATE });
    expect(world.touch(sharer, b)).toBe("");
    expect(world.touch(sharer, b + 2 * GIB)).toBe("");
    const odd = 64 * GIB + 37 * GRANULE;
    world.attach(region, sharer, { addr: odd, flags: MSHARE_FIXED | MSHARE_POPULATE });
    expect(world.touch(sharer, odd)).toBe("");
    expect(world.touch(sharer, odd + 2 * GIB)).toBe("");
    expect(world.end([sharer])).toBe(0);
  });

  it("a thousand sharers cost a table each", () => {
    const world = new TestWorld({ memoryBytes: 64 * MIB });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const mms: Mm[] = [];
    for (let i = 0; i < 1000; i++) {
      const mm = world.newMm();
      mms.push(mm);
      const at = world.attach(region, mm);
      expect(world.touch(mm, at + (i % 4096) * PAGE)).toContain("linked");
      expect(mm.tableBytes).toBe(PAGE);
    }
    expect(region.stat().sharers).toBe(1000);
    expect(region.links).toBe(1000);
    world.memory.verify();
    expect(world.end(mms)).toBe(0);
  });

  it("one page in every 2 MiB of 64 GiB costs a sharer what an empty region costs", () => {
    const world = new TestWorld({ memoryBytes: 320 * MIB });
    const count = (populated: boolean): { links: number; tables: number } => {
      const region = world.region(64 * GIB);
      world.map(region, 0, 64 * GIB);
      const a = world.attach(region, world.mm);
      if (populated) for (let at = 0; at < 64 * GIB; at += GRANULE) world.touch(world.mm, a + at);
      const sharer = world.newMm();
      const b = world.attach(region, sharer);
      world.touch(sharer, b);
      const result = { links: windowOf(sharer.vmas.at(0)!)!.links, tables: sharer.tableBytes };
      detachWindow(sharer, b);
      sharer.put();
      detachWindow(world.mm, a);
      region.end();
      return result;
    };
    const empty = count(false);
    const full = count(true);
    expect(empty).toEqual({ links: 1, tables: PAGE });
    expect(full).toEqual({ links: 64, tables: PAGE });
    expect(world.end()).toBe(0);
  });
});

describe.each([true, false])("share: %s", (share) => {
  it("changes are seen by every sharer at once, at whatever address", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const sharer = world.newMm();
    const a = world.attach(region, world.mm);
    const place = 64 * GIB + 37 * GRANULE;
    const b = world.attach(region, sharer, { addr: place, flags: MSHARE_FIXED });
    expect(put(world.mm, a + 5 * PAGE, "hello")).toBe(0);
    expect(get(sharer, b + 5 * PAGE, 5)).toBe("hello");
    expect(region.protect(5 * PAGE, PAGE, 1)).toBe(0);
    expect(world.touch(world.mm, a + 5 * PAGE)).toBe("ACCERR");
    expect(world.touch(sharer, b + 5 * PAGE)).toBe("ACCERR");
    expect(world.touch(sharer, b + 5 * PAGE, "read")).toBe("");
    expect(region.unmap(5 * PAGE, PAGE)).toBe(0);
    expect(world.touch(world.mm, a + 5 * PAGE, "read")).toBe("MAPERR");
    expect(world.touch(sharer, b + 5 * PAGE, "read")).toBe("MAPERR");
    expect(world.map(region, 5 * PAGE, PAGE)).toBe(5 * PAGE);
    expect(get(sharer, b + 5 * PAGE, 1)).toBe("\0");
    expect(world.end([sharer])).toBe(0);
  });

  it("fork copies the window and no tables", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const a = world.attach(region, world.mm);
    put(world.mm, a, "parent");
    const child = world.fork(world.mm);
    expect(child.tableBytes).toBe(0);
    expect(get(child, a, 6)).toBe("parent");
    put(child, a, "child");
    expect(get(world.mm, a, 6)).toBe("childt");
    expect(detachWindow(child, a)).toBe(0);
    expect(get(world.mm, a, 6)).toBe("childt");
    expect(world.end([child])).toBe(0);
  });

  it("the owner's end empties the region; windows stay reserved", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const sharer = world.newMm();
    const b = world.attach(region, sharer);
    put(sharer, b, "here");
    world.mshare.ownerGone(world.owner);
    expect(region.dead).toBe(true);
    expect(world.touch(sharer, b, "read")).toBe("MAPERR");
    expect(world.map(region, 0, PAGE)).toBe(-ENXIO);
    expect(world.attach(region, sharer)).toBe(-ENXIO);
    expect(sharer.mmap({ addr: b, length: PAGE, prot: 3, flags: 0x32, file: null, offset: 0 })).toBe(-EINVAL);
    expect(region.stat()).toMatchObject({ windows: 0, sharers: 0, links: 0, resident: 0, mapped: 0, owner: 0 });
    const child = world.fork(sharer);
    expect(world.touch(child, b, "read")).toBe("MAPERR");
    expect(detachWindow(sharer, b)).toBe(0);
    expect(sharer.mmap({ addr: b, length: PAGE, prot: 3, flags: 0x32, file: null, offset: 0 })).toBe(b);
    expect(world.end([sharer, child])).toBe(0);
    expect(world.mshare.regions.size).toBe(0);
  });

  it("an owner with neither descriptor nor window loses its region", () => {
    const world = new TestWorld({ share });
    const region = world.region(GRANULE);
    world.map(region, 0, GRANULE);
    const a = world.attach(region, world.mm);
    const sharer = world.newMm();
    const b = world.attach(region, sharer);
    put(sharer, b, "x");
    world.owner.descriptors = false;
    region.reconsider();
    expect(region.dead).toBe(false);
    detachWindow(world.mm, a);
    expect(region.dead).toBe(true);
    expect(world.touch(sharer, b, "read")).toBe("MAPERR");
    expect(world.end([sharer])).toBe(0);
  });

  it("a window that reaches the end follows its growth to the end of its slot", () => {
    const world = new TestWorld({ share });
    const region = world.region(GRANULE);
    const a = world.attach(region, world.mm);
    const part = world.attach(region, world.mm, { addr: 64 * GIB, flags: MSHARE_FIXED });
    const pages = world.mm.totalVm;
    expect(region.setSize(2 * GIB)).toBe(0);
    world.map(region, 0, 2 * GIB);
    expect(world.touch(world.mm, a + GIB - PAGE)).toContain("minor");
    expect(world.touch(world.mm, a + GIB)).toBe("MAPERR");
    expect(world.touch(world.mm, part + GRANULE)).toBe("MAPERR");
    expect(world.mm.totalVm - pages).toBe((GIB - GRANULE) / PAGE);
    expect(detachWindow(world.mm, a)).toBe(0);
    expect(detachWindow(world.mm, part)).toBe(0);
    expect(world.mm.totalVm).toBe(0);
    expect(world.end()).toBe(0);
  });

  it("unmapping a window: all of it or nothing", () => {
    const world = new TestWorld({ share });
    const region = world.region(3 * GRANULE);
    const place = 64 * GIB;
    const attach = (): number => world.attach(region, world.mm, { addr: place, flags: MSHARE_FIXED });
    attach();
    expect(world.mm.munmap(place, PAGE)).toBe(-EINVAL);
    expect(world.mm.munmap(place + GRANULE, 2 * GRANULE)).toBe(-EINVAL);
    expect(attach()).toBe(-EEXIST);
    expect(world.mm.mprotect(place, 3 * GRANULE, 1)).toBe(-EINVAL);
    expect(world.mm.mremap(place, 3 * GRANULE, 4 * GRANULE, 1, 0)).toBe(-EINVAL);
    expect(world.mm.munmap(place, 3 * GRANULE)).toBe(0);
    expect(attach()).toBe(place);
    expect(world.mm.munmap(place - GRANULE, 5 * GRANULE)).toBe(0);
    expect(region.windows.size).toBe(0);
    expect(world.end()).toBe(0);
  });

  it("RLIMIT_AS counts the window's size, not its slot", () => {
    const world = new TestWorld({ share });
    const region = world.region(64 * MIB);
    world.mm.limits.as = 64 * MIB - PAGE;
    expect(world.attach(region, world.mm)).toBe(-ENOMEM);
    world.mm.limits.as = 64 * MIB;
    expect(world.attach(region, world.mm)).toBeGreaterThan(0);
    expect(world.mm.totalVm).toBe((64 * MIB) / PAGE);
    expect(world.end()).toBe(0);
  });

  it("failed allocations leave nothing behind", () => {
    for (let fail = 0; fail < 12; fail++) {
      const world = new TestWorld({ share });
      const region = world.region(16 * MIB);
      world.map(region, 0, 16 * MIB);
      let left = fail;
      world.memory.failAllocation = (): boolean => left-- <= 0;
      const a = world.attach(region, world.mm);
      const result = a > 0 ? world.touch(world.mm, a + GRANULE) : "";
      const child = world.mm.fork();
      world.memory.failAllocation = null;
      if (a > 0 && result === "oom") expect(world.touch(world.mm, a + GRANULE)).toMatch(/minor|linked/);
      world.memory.verify();
      expect(world.end(typeof child === "number" ? [] : [child])).toBe(0);
    }
  });
});

describe("flushing", () => {
  it("costs the same however many share, with mask", () => {
    const costs = [1, 64].map((sharers) => {
      const world = new TestWorld();
      const region = world.region(64 * MIB);
      world.map(region, 0, 64 * MIB);
      const mms: Mm[] = [];
      for (let i = 0; i < sharers; i++) {
        const mm = world.newMm();
        mms.push(mm);
        const at = world.attach(region, mm);
        for (let va = at; va < at + 64 * MIB; va += GRANULE) world.touch(mm, va);
      }
      const before = world.memory.stat.tlb_flushes;
      region.protect(0, 64 * MIB, 1);
      const protect = world.memory.stat.tlb_flushes - before;
      region.unmap(0, 64 * MIB);
      const unmap = world.memory.stat.tlb_flushes - before - protect;
      expect(world.end(mms)).toBe(0);
      return [protect, unmap];
    });
    expect(costs[1]).toEqual(costs[0]);
  });
});
