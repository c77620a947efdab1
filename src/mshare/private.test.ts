// MSHARE_PRIVATE windows: shared until written, then copies that nobody else sees; what goes from the region goes from them.
import { describe, expect, it } from "vitest";
import { PROT_READ } from "../mm/constants.ts";
import type { Mm } from "../mm/mm.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_POPULATE, MSHARE_PRIVATE } from "./abi.ts";
import { detachWindow } from "./attach.ts";
import { GIB, GRANULE, MIB, PAGE, RW, TestWorld } from "./test-world.ts";

const put = (mm: Mm, va: number, text: string): number => copyToUser(mm, va, new TextEncoder().encode(text));
function get(mm: Mm, va: number): string | number {
  const bytes = copyFromUser(mm, va, 1);
  return typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes);
}

describe.each([
  { share: true, place: "the kernel picks" },
  { share: true, place: "odd" },
  { share: false, place: "the kernel picks" },
])("share: $share, place: $place", ({ share, place }) => {
  const attachPrivate = (world: TestWorld, region: Parameters<TestWorld["attach"]>[0], mm: Mm): number =>
    place === "odd"
      ? world.attach(region, mm, {
          addr: 64 * GIB + 37 * GRANULE,
          flags: MSHARE_FIXED | MSHARE_PRIVATE,
          writable: false,
        })
      : world.attach(region, mm, { flags: MSHARE_PRIVATE, writable: false });

  it("shows the region until it writes; then only its own page differs", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const a = world.attach(region, world.mm);
    put(world.mm, a, "a");
    put(world.mm, a + PAGE, "b");
    put(world.mm, a + 3 * GRANULE, "c");
    const mm = world.newMm();
    const b = attachPrivate(world, region, mm);
    expect([get(mm, b), get(mm, b + PAGE), get(mm, b + 3 * GRANULE)]).toEqual(["a", "b", "c"]);
    world.memory.verify();
    expect(put(mm, b, "x")).toBe(0);
    world.memory.verify();
    expect([get(mm, b), get(mm, b + PAGE), get(mm, b + 3 * GRANULE)]).toEqual(["x", "b", "c"]);
    expect(get(world.mm, a)).toBe("a");
    expect(mm.rssAnon).toBe(1);
    put(world.mm, a, "A");
    put(world.mm, a + PAGE, "B");
    put(world.mm, a + 2 * PAGE, "D");
    put(world.mm, a + 3 * GRANULE, "C");
    expect([get(mm, b), get(mm, b + PAGE), get(mm, b + 2 * PAGE), get(mm, b + 3 * GRANULE)]).toEqual([
      "x",
      "B",
      "D",
      "C",
    ]);
    // A page that nobody had touched.
    expect(put(mm, b + 5 * GRANULE, "y")).toBe(0);
    expect(get(world.mm, a + 5 * GRANULE)).toBe("\0");
    expect(get(mm, b + 5 * GRANULE)).toBe("y");
    world.memory.verify();
    // DONTNEED drops the copies.
    expect(mm.madvise(b, PAGE, 4)).toBe(0);
    expect(get(mm, b)).toBe("A");
    expect(mm.rssAnon).toBe(1);
    world.memory.verify();
    expect(detachWindow(mm, b)).toBe(0);
    expect(mm.rssAnon).toBe(0);
    expect(mm.tableBytes).toBe(0);
    expect(region.links).toBe(1 - (share ? 0 : 1));
    world.memory.verify();
    expect(world.end([mm])).toBe(0);
  });

  it("unmap, REMOVE, truncation and protection reach the copies; DONTNEED on the region does not", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const mm = world.newMm();
    const b = attachPrivate(world, region, mm);
    for (let i = 0; i < 5; i++) put(mm, b + i * PAGE, "x");
    expect(mm.rssAnon).toBe(5);
    expect(region.advise(0, PAGE, 4)).toBe(0);
    expect(get(mm, b)).toBe("x");
    expect(region.advise(0, PAGE, 9)).toBe(0);
    expect(get(mm, b)).toBe("\0");
    expect(region.unmap(PAGE, PAGE)).toBe(0);
    expect(world.touch(mm, b + PAGE, "read")).toBe("MAPERR");
    expect(mm.rssAnon).toBe(3);
    expect(region.protect(2 * PAGE, PAGE, PROT_READ)).toBe(0);
    expect(world.touch(mm, b + 2 * PAGE)).toBe("ACCERR");
    expect(get(mm, b + 2 * PAGE)).toBe("x");
    world.memory.verify();
    expect(region.protect(2 * PAGE, PAGE, RW)).toBe(0);
    expect(put(mm, b + 2 * PAGE, "z")).toBe(0);
    expect(mm.rssAnon).toBe(3);
    world.map(region, 3 * PAGE, PAGE);
    expect(get(mm, b + 3 * PAGE)).toBe("\0");
    world.memory.verify();
    region.end();
    expect(mm.rssAnon).toBe(0);
    expect(world.touch(mm, b + 4 * PAGE, "read")).toBe("MAPERR");
    world.memory.verify();
    expect(world.end([mm])).toBe(0);
  });

  it("fork: copies are copy-on-write, the rest stays shared", () => {
    const world = new TestWorld({ share });
    const region = world.region(16 * MIB);
    world.map(region, 0, 16 * MIB);
    const a = world.attach(region, world.mm);
    put(world.mm, a + PAGE, "r");
    const mm = world.newMm();
    const b = attachPrivate(world, region, mm);
    put(mm, b, "p");
    const child = world.fork(mm);
    world.memory.verify();
    expect([get(child, b), get(child, b + PAGE)]).toEqual(["p", "r"]);
    put(child, b, "c");
    expect([get(mm, b), get(child, b), get(world.mm, a)]).toEqual(["p", "c", "\0"]);
    put(mm, b, "q");
    expect([get(mm, b), get(child, b)]).toEqual(["q", "c"]);
    put(world.mm, a + PAGE, "s");
    expect([get(mm, b + PAGE), get(child, b + PAGE)]).toEqual(["s", "s"]);
    put(child, b + 5 * GRANULE, "n");
    expect(get(mm, b + 5 * GRANULE)).toBe("\0");
    world.memory.verify();
    mm.put();
    expect(get(child, b)).toBe("c");
    put(child, b, "d");
    world.memory.verify();
    expect(world.end([child])).toBe(0);
  });

  it("counts as private memory: committed, and what is left after failures adds up", () => {
    for (let fail = 0; fail < 14; fail++) {
      const world = new TestWorld({ share });
      const region = world.region(16 * MIB);
      world.map(region, 0, 16 * MIB);
      const a = world.attach(region, world.mm);
      put(world.mm, a, "a");
      const mm = world.newMm();
      const committed = world.memory.committed();
      const b = attachPrivate(world, region, mm);
      expect(world.memory.committed() - committed).toBe((16 * MIB) / PAGE);
      get(mm, b);
      let left = fail;
      world.memory.failAllocation = (): boolean => left-- <= 0;
      put(mm, b, "b");
      const child = mm.fork();
      if (typeof child !== "number") put(child, b, "c");
      world.memory.failAllocation = null;
      world.memory.verify();
      expect(get(world.mm, a)).toBe("a");
      detachWindow(mm, b);
      expect(world.end(typeof child === "number" ? [mm] : [mm, child])).toBe(0);
    }
  });
});

it("a write unshares one PTE table; its siblings stay linked, also those linked with POPULATE", () => {
  const world = new TestWorld();
  const region = world.region(64 * MIB);
  world.map(region, 0, 64 * MIB);
  const a = world.attach(region, world.mm);
  for (let at = 0; at < 64 * MIB; at += GRANULE) put(world.mm, a + at, "a");
  const zygote = world.newMm();
  const z = world.attach(region, zygote, { flags: MSHARE_PRIVATE | MSHARE_POPULATE });
  const children = Array.from({ length: 100 }, () => world.fork(zygote));
  const before = world.memory.frames.used[4];
  for (const child of children) {
    expect(get(child, z + GRANULE)).toBe("a");
    expect(child.tableBytes).toBe(PAGE);
    put(child, z, "c");
    for (let at = GRANULE; at < 64 * MIB; at += GRANULE) expect(world.touch(child, z + at, "read")).toBe("");
    // Its own: below the root, the one that was split, the PTE table.
    expect(child.tableBytes).toBe(3 * PAGE);
    expect(child.rssAnon).toBe(1);
  }
  expect(world.memory.frames.used[4] - before).toBe(300);
  expect(get(zygote, z)).toBe("a");
  world.memory.verify();
  expect(world.end([zygote, ...children])).toBe(0);
});
