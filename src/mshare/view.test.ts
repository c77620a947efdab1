// Read-only windows: the MMU denies writing whatever the objects allow, changes are seen at once, a page counts once. PASSTHROUGH windows.
import { describe, expect, it } from "vitest";
import { EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { PROT_NONE, PROT_READ } from "../mm/constants.ts";
import { MSHARE_FIXED, MSHARE_PASSTHROUGH, MSHARE_POPULATE, MSHARE_RDONLY, MSHARE_SEAL_MAP } from "./abi.ts";
import { detachWindow } from "./attach.ts";
import { GIB, GRANULE, MIB, PAGE, RW, TestWorld } from "./test-world.ts";

describe.each([true, false])("share: %s", (share) => {
  it("a read-only window shows everything and writes nothing", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const a = world.attach(region, world.mm);
    const reader = world.newMm();
    const b = world.attach(region, reader, { flags: MSHARE_RDONLY, writable: false });
    expect(world.touch(world.mm, a)).toContain("minor");
    expect(world.touch(reader, b, "read")).not.toBe("");
    expect(world.touch(reader, b)).toBe("ACCERR");
    expect(world.touch(reader, b + PAGE)).toBe("ACCERR");
    // A page that the reader brings in: the writer may write it.
    expect(world.touch(reader, b + 5 * PAGE, "read")).toContain("minor");
    expect(world.touch(reader, b + 5 * PAGE)).toBe("ACCERR");
    world.touch(world.mm, a + 5 * PAGE);
    expect(world.touch(reader, b + 5 * PAGE, "read")).toBe("");
    expect(world.touch(reader, b + 5 * PAGE)).toBe("ACCERR");
    expect(region.stat().resident).toBe(2 * PAGE);
    world.memory.verify();
    // Rights that come and go never bring W.
    region.protect(0, 16 * MIB, PROT_NONE);
    expect(world.touch(reader, b, "read")).toBe("ACCERR");
    region.protect(0, 16 * MIB, RW);
    world.memory.verify();
    expect(world.touch(reader, b, "read")).toBe("");
    expect(world.touch(reader, b)).toBe("ACCERR");
    expect(world.touch(world.mm, a)).toBe("");
    region.unmap(0, PAGE);
    expect(world.touch(reader, b, "read")).toBe("MAPERR");
    world.map(region, 0, PAGE);
    expect(world.touch(reader, b, "read")).toContain("minor");
    world.memory.verify();
    const child = world.fork(reader);
    expect(world.touch(child, b, "read")).not.toContain("ERR");
    expect(world.touch(child, b)).toBe("ACCERR");
    expect(world.end([reader, child])).toBe(0);
  });

  it("the region's end empties the view", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const reader = world.newMm();
    const b = world.attach(region, reader, { flags: MSHARE_RDONLY });
    for (let at = 0; at < 16 * MIB; at += 16 * PAGE) world.touch(reader, b + at, "read");
    region.end();
    expect(world.touch(reader, b, "read")).toBe("MAPERR");
    world.memory.verify();
    expect(world.end([reader])).toBe(0);
  });

  it("PASSTHROUGH: calls on a part act on the region", () => {
    const world = new TestWorld({ share });
    const region = world.region(4 * GRANULE);
    world.map(region, 0, 4 * GRANULE);
    const place = 64 * GIB;
    world.attach(region, world.mm, { addr: place, flags: MSHARE_FIXED | MSHARE_PASSTHROUGH });
    const other = world.newMm();
    const b = world.attach(region, other);
    world.touch(other, b + PAGE);
    expect(world.mm.mprotect(place + PAGE, PAGE, PROT_READ)).toBe(0);
    expect(world.touch(other, b + PAGE)).toBe("ACCERR");
    expect(world.mm.munmap(place + PAGE, PAGE)).toBe(0);
    expect(world.touch(other, b + PAGE, "read")).toBe("MAPERR");
    expect(world.mm.mprotect(place, 2 * PAGE, PROT_READ)).toBe(-ENOMEM);
    world.touch(other, b + 2 * PAGE);
    expect(world.mm.madvise(place + 2 * PAGE, PAGE, 9)).toBe(0);
    expect(world.touch(other, b + 2 * PAGE)).toContain("minor");
    region.addSeals(MSHARE_SEAL_MAP);
    expect(world.mm.munmap(place + 3 * PAGE, PAGE)).toBe(-EPERM);
    expect(world.mm.mremap(place, PAGE, 2 * PAGE, 1, 0)).toBe(-EINVAL);
    expect(world.mm.munmap(place, 4 * GRANULE)).toBe(0);
    expect(region.windows.size).toBe(1);
    expect(world.end([other])).toBe(0);
  });
});

it("the second reader of a table finds it built, and the view goes with its last window", () => {
  const world = new TestWorld();
  const region = world.region(16 * MIB);
  world.map(region, 0, 16 * MIB);
  const a = world.attach(region, world.mm);
  for (let at = 0; at < 16 * MIB; at += PAGE) world.touch(world.mm, a + at);
  const [first, second, third] = [world.newMm(), world.newMm(), world.newMm()];
  const b = world.attach(region, first, { flags: MSHARE_RDONLY });
  for (let at = 0; at < 16 * MIB; at += GRANULE) expect(world.touch(first, b + at, "read")).not.toBe("");
  expect(world.touch(first, b + 7 * PAGE, "read")).toBe("");
  const c = world.attach(region, second, { flags: MSHARE_RDONLY });
  expect(world.touch(second, c, "read")).toBe("linked");
  for (let at = 0; at < 16 * MIB; at += PAGE) expect(world.touch(second, c + at, "read")).toBe("");
  const d = world.attach(region, third, { flags: MSHARE_RDONLY | MSHARE_POPULATE });
  expect(world.touch(third, d + GRANULE, "read")).toBe("");
  expect(region.stat().viewTableBytes).toBe(10 * PAGE);
  expect(region.stat().tableBytes).toBe(10 * PAGE);
  expect(region.stat().resident).toBe(16 * MIB);
  detachWindow(second, c);
  detachWindow(first, b);
  world.memory.verify();
  detachWindow(third, d);
  expect(region.stat().viewTableBytes).toBe(0);
  world.memory.verify();
  expect(world.end([first, second, third])).toBe(0);
});
