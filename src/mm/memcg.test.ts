// Memory groups: charges, limits, reclaim, removal, moving; every step is followed by the recount.
import { expect, test } from "vitest";
import { asPfn } from "../base/numbers.ts";
import { ACCESS_WRITE } from "../machine/trap.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "./constants.ts";
import { KIND_ANON, KIND_SHMEM, KIND_TABLE } from "./frame.ts";
import type { MemoryGroup } from "./memcg.ts";
import { memoryStat } from "./memcg-stat.ts";
import type { Mm } from "./mm.ts";
import { SwapArea } from "./swap.ts";
import { TestSpace } from "./test-space.ts";

const PAGE = 4096;

function make(options: { swapPages?: number } = {}) {
  const space = new TestSpace();
  const { memory, mm } = space;
  if (options.swapPages !== undefined) memory.swap = new SwapArea("test", options.swapPages);
  const group = (parent: MemoryGroup = memory.groups.root): MemoryGroup => {
    const made = memory.groups.create(parent);
    if (typeof made === "number") throw new Error("no group");
    return made;
  };
  return { space, memory, mm, group };
}

function map(mm: Mm, pages: number, sharing: "shared" | "private" = "private"): number {
  const flags = MAP_ANONYMOUS | (sharing === "shared" ? MAP_SHARED : MAP_PRIVATE);
  return mm.mmap({ addr: 0, length: pages * PAGE, prot: PROT_READ | PROT_WRITE, flags, file: null, offset: 0 });
}

/** Writes to each page; the outcomes that were not "done". */
function touch(mm: Mm, addr: number, pages: number): string[] {
  const bad: string[] = [];
  for (let i = 0; i < pages; i++) {
    const { kind } = mm.fault(addr + i * PAGE, ACCESS_WRITE);
    if (kind !== "done") bad.push(kind);
    mm.memory.verify();
  }
  return bad;
}

test("the group of the address space pays for pages and tables, and gets them back", () => {
  const { memory, mm, group } = make();
  const a = group();
  const b = group(a);
  mm.memcg = b;
  const addr = map(mm, 20);
  const shared = map(mm, 10, "shared");
  touch(mm, addr, 20);
  touch(mm, shared, 10);
  expect(b.frames[KIND_ANON]).toBe(20);
  expect(b.frames[KIND_SHMEM]).toBe(10);
  const tables = b.frames[KIND_TABLE];
  expect(tables).toBeGreaterThan(0);
  expect([b.memory.usage, a.memory.usage]).toEqual([30 + tables, 30 + tables]);
  expect(memoryStat(memory, a).get("pagetables")).toBe(tables * PAGE);
  expect(memoryStat(memory, a).get("anon")).toBe(20 * PAGE);
  mm.munmap(addr, 20 * PAGE);
  mm.munmap(shared, 10 * PAGE);
  memory.verify();
  expect(a.memory.usage).toBe(0);
  expect(a.memory.watermark).toBe(30 + tables);
});

test("without groups nothing is charged", () => {
  const { memory, mm } = make();
  touch(mm, map(mm, 5), 5);
  expect(memory.frames.group.every((id) => id === 0)).toBe(true);
  expect(memory.groups.active).toBe(false);
});

test("at the limit: reclaim within the group first", () => {
  const { memory, mm, group } = make({ swapPages: 1000 });
  const [a, other] = [group(), group()];
  const neighbour = memory.newMm(other) as Mm;
  const theirs = map(neighbour, 30);
  touch(neighbour, theirs, 30);
  mm.memcg = a;
  a.memory.max = 40;
  expect(touch(mm, map(mm, 100), 100)).toEqual([]);
  expect(a.memory.usage).toBeLessThanOrEqual(40);
  expect(a.swap.usage).toBeGreaterThanOrEqual(60);
  expect(a.events.max).toBeGreaterThan(0);
  expect(a.events.oom).toBe(0);
  expect(other.swap.usage).toBe(0);
  expect(neighbour.rssAnon).toBe(30);
  expect(a.stat.pswpout).toBe(memory.stat.pswpout);
  mm.put();
  neighbour.put();
  memory.verify();
  expect([a.memory.usage, a.swap.usage]).toEqual([0, 0]);
});

test("with nothing to reclaim the OOM handler is asked, of the group whose limit it is", () => {
  const { memory, mm, group } = make();
  const a = group();
  const b = group(a);
  mm.memcg = b;
  a.memory.max = 10;
  const asked: MemoryGroup[] = [];
  memory.groups.onOom = (over) => {
    asked.push(over);
    return "kill-current";
  };
  const bad = touch(mm, map(mm, 20), 20);
  expect(bad).toContain("oom");
  expect(new Set(asked)).toEqual(new Set([a]));
  expect(a.events.oom).toBe(bad.length);
  expect(b.events.oom).toBe(0);
  expect(a.memory.usage).toBe(10);
});

test("for a huge page nothing is reclaimed and nobody killed", () => {
  const { memory, mm, group } = make({ swapPages: 1000 });
  const a = group();
  mm.memcg = a;
  touch(mm, map(mm, 50), 50);
  a.memory.max = 511;
  memory.groups.onOom = () => {
    throw new Error("the OOM killer is asked");
  };
  expect(memory.groups.charge(a, KIND_ANON, 512, mm)).toBe(null);
  expect([a.frames[KIND_ANON], a.swap.usage, a.events.max]).toEqual([50, 0, 0]);
});

test("swap.max keeps pages in memory", () => {
  const { memory, mm, group } = make({ swapPages: 1000 });
  const a = group();
  mm.memcg = a;
  const addr = map(mm, 50);
  touch(mm, addr, 50);
  a.swap.max = 7;
  expect(memory.groups.reclaim(a, 50)).toBe(7);
  memory.verify();
  expect(a.swap.usage).toBe(7);
  expect(a.events.swapMax).toBeGreaterThan(0);
  // Back in memory they are charged to the group of the slot, also if the address space is another's now.
  mm.memcg = group();
  touch(mm, addr, 50);
  expect([a.swap.usage, a.frames[KIND_ANON]]).toEqual([0, 50]);
});

test("a removed group stays, with its charges, until the last is gone", () => {
  const { memory, mm, group } = make({ swapPages: 100 });
  const a = group();
  const b = group(a);
  mm.memcg = b;
  const addr = map(mm, 10);
  touch(mm, addr, 10);
  memory.groups.reclaim(b, 4);
  const { usage } = b.memory;
  mm.memcg = a;
  memory.groups.remove(b);
  memory.verify();
  expect(b.forgotten).toBe(false);
  expect([a.memory.usage, a.swap.usage]).toEqual([usage, 4]);
  // What was swapped out comes back to the address space's group.
  touch(mm, addr, 10);
  expect(a.frames[KIND_ANON]).toBe(4);
  mm.put();
  memory.verify();
  expect(b.forgotten).toBe(true);
  expect(a.stat.pgfault).toBeGreaterThan(0);
  expect(a.memory.usage).toBe(0);
  memory.groups.remove(a);
  expect(memory.groups.active).toBe(false);
});

test("memory.min and memory.low keep reclaim away", () => {
  const { memory, mm, group } = make({ swapPages: 1000 });
  const [a, b] = [group(), group()];
  mm.memcg = a;
  touch(mm, map(mm, 30), 30);
  const other = memory.newMm(b) as Mm;
  touch(other, map(other, 30), 30);
  a.min = 1000;
  expect(memory.groups.reclaim(memory.groups.root, 100)).toBe(30);
  expect([a.frames[KIND_ANON], b.frames[KIND_ANON]]).toEqual([30, 0]);
  a.min = 0;
  a.low = 1000;
  // Only low protects now: it is broken when there is nothing else.
  expect(memory.groups.reclaim(memory.groups.root, 5)).toBe(5);
  expect(a.events.low).toBe(1);
  // A group's own protection does not count when it is the one that must give.
  a.min = 1000;
  expect(memory.groups.reclaim(a, 5)).toBe(5);
  memory.verify();
});

test("memory.high is kept as far as reclaim gets", () => {
  const { memory, mm, group } = make({ swapPages: 1000 });
  const a = group();
  mm.memcg = a;
  a.high = 20;
  touch(mm, map(mm, 60), 60);
  expect(a.memory.usage).toBeLessThanOrEqual(21);
  expect(a.events.high).toBeGreaterThan(0);
  memory.swap!.closed = true;
  expect(touch(mm, map(mm, 60), 60)).toEqual([]);
  expect(a.memory.usage).toBeGreaterThan(60);
});

test("moving charges is all or nothing", () => {
  const { memory, mm, group } = make();
  const top = group();
  const [a, b] = [group(top), group(top)];
  mm.memcg = a;
  touch(mm, map(mm, 20), 20);
  const pfns = [...memory.frames.group.keys()].filter((pfn) => memory.frames.group[pfn] === a.id).map(asPfn);
  const usage = a.memory.usage;
  b.memory.max = usage - 1;
  expect(memory.groups.move(b, pfns, [])).toBe(false);
  expect(a.memory.usage).toBe(usage);
  b.memory.max = usage;
  // The group above both is full, which does not matter.
  top.memory.max = usage;
  expect(memory.groups.move(b, pfns, [])).toBe(true);
  memory.verify();
  expect([a.memory.usage, b.memory.usage, top.memory.usage]).toEqual([0, usage, usage]);
  // From and to the root.
  expect(memory.groups.move(memory.groups.root, pfns, [])).toBe(true);
  memory.verify();
  expect(top.memory.usage).toBe(0);
  expect(memory.groups.move(a, pfns, [])).toBe(true);
  memory.verify();
  expect(a.memory.usage).toBe(usage);
});
