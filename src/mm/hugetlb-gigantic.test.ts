// Pages of 1 GiB, in a machine that has room for two. What is expected was recorded on Linux 6.12 (guest/tests/hugetlb-gigantic.c asks it the same and more). Nothing
// is touched but a few bytes, no page is used twice and freed frames are not poisoned: the host needs no memory for the rest.
import { describe, expect, test } from "vitest";
import { GIB_FRAMES, GiganticSpace } from "./test-gigantic.ts";
import { PMD_SIZE, PUD_SIZE } from "../base/numbers.ts";
import { isTable, ptePfn } from "../machine/pte.ts";
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import { HugetlbObject } from "./hugetlb-object.ts";
import type { Mm } from "./mm.ts";
import { entryWord, findHugeLeaf } from "./page-table.ts";
import { ARENA, P, TestFile } from "./test-space.ts";
import { getUser32, putUser32 } from "./usercopy.ts";

describe("a pool of 1 GiB pages", () => {
  test("grows as far as whole GiB are free, and shrinks", () => {
    const s = new GiganticSpace();
    const { free } = s.memory.frames;
    s.pool.setMax(5);
    expect(s.counts).toEqual([2, 2, 0, 0]);
    expect(s.memory.frames.free).toBe(free - 2 * GIB_FRAMES);
    expect(s.pool.setOvercommit(1)).toBe(-22);
    s.pool.setMax(0);
    expect(s.counts).toEqual([0, 0, 0, 0]);
    expect(s.memory.frames.free).toBe(free);
  });

  test("demote: free pages that are not reserved become 512 of 2 MiB each", () => {
    const s = new GiganticSpace(2);
    const { free } = s.memory.frames;
    const small = s.memory.hugetlb.defaultPool;
    s.huge(0, 1);
    s.pool.demote(5, small);
    expect(s.counts).toEqual([1, 1, 1, 0]);
    expect([small.total, small.free, small.max, s.pool.max]).toEqual([512, 512, 512, 1]);
    expect(s.store(0, P, 1)).toBe("ok");
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    const at = s.mm.mmap({ addr: 0, length: 2 * PMD_SIZE, prot: PROT_READ | PROT_WRITE, flags, file: null, offset: 0 });
    expect([putUser32(s.mm, at, 7), getUser32(s.mm, at), getUser32(s.mm, at + P)]).toEqual([0, 7, 0]);
    s.check();
    expect([small.free, small.reserved]).toEqual([511, 1]);
    small.setMax(0);
    s.check();
    expect([small.total, small.surplus]).toEqual([2, 2]);
    s.mm.put();
    s.pool.setMax(0);
    s.check();
    expect([small.total, s.memory.frames.free]).toEqual([0, free + 2 * GIB_FRAMES + 1]);
  });

  test("one is taken by the first write, mapped by one leaf, and given back; in use it becomes surplus", () => {
    const s = new GiganticSpace(1);
    expect(s.huge(0, 1)).toBe(ARENA);
    expect(s.counts).toEqual([1, 1, 1, 0]);
    expect(s.huge(1, 1)).toBe(-12);
    expect(s.store(0, 0, 1)).toBe("ok");
    expect(s.counts).toEqual([1, 0, 0, 0]);
    const tables = s.mm.tableBytes;
    expect([s.store(0, PUD_SIZE / 2, 2), s.store(0, PUD_SIZE - 4, 3)]).toEqual(["ok", "ok"]);
    expect([s.load(0, 0), s.load(0, PUD_SIZE / 2), s.load(0, PUD_SIZE - 4), s.load(0, P)]).toEqual([1, 2, 3, 0]);
    // A root and one table below it.
    expect([s.mm.tableBytes, s.mm.hugetlbPages, s.mm.rss]).toEqual([tables, GIB_FRAMES, 0]);
    expect(tables).toBe(P);
    const { ram } = s.memory;
    const word = entryWord(ram, s.mm.root, ARENA, 2);
    expect(isTable(ram.u32[word])).toBe(false);
    expect(ptePfn(ram.u32[word]) % GIB_FRAMES).toBe(0);
    const last = findHugeLeaf(ram, s.mm.root, ARENA + PUD_SIZE - P);
    expect(last).toEqual({ word, pfn: ptePfn(ram.u32[word]) + GIB_FRAMES - 1 });

    expect(s.mm.munmap(ARENA, PUD_SIZE / 2)).toBe(-22);
    expect(s.mm.mprotect(ARENA, 2 ** 21, PROT_READ)).toBe(-22);
    expect(s.mm.madvise(ARENA, 2 ** 21, MADV_DONTNEED)).toBe(0);
    expect(s.load(0, 0)).toBe(1);
    expect(s.mm.mprotect(ARENA, PUD_SIZE, PROT_READ)).toBe(0);
    expect([s.store(0, 0, 9), s.load(0, 0)]).toEqual(["SEGV 2", 1]);
    s.pool.setMax(0);
    expect(s.counts).toEqual([1, 0, 0, 1]);
    expect(s.mm.munmap(ARENA, PUD_SIZE)).toBe(0);
    expect(s.counts).toEqual([0, 0, 0, 0]);
  });

  test("none left: ENOMEM where it is to be reserved, else SIGBUS, also for a child's copy", () => {
    const s = new GiganticSpace(1);
    s.huge(0, 1);
    s.store(0, 0, 1);
    expect(s.huge(1, 1)).toBe(-12);
    expect(s.huge(1, 1, MAP_PRIVATE | MAP_NORESERVE)).toBe(ARENA + PUD_SIZE);
    expect([s.load(1, 0), s.store(1, 0, 1)]).toEqual(["BUS 2", "BUS 2"]);
    const child = s.check(s.mm.fork() as Mm);
    expect([s.load(0, 0, child), s.store(0, 0, 2, child)]).toEqual([1, "BUS 2"]);
    child.put();
    expect([s.store(0, 0, 5), s.load(0, 0)]).toEqual(["ok", 5]);
    s.mm.put();
    expect(s.counts).toEqual([1, 1, 0, 0]);
  });

  test("a file's page is one memory for all who map it", () => {
    const s = new GiganticSpace(1);
    const file = new TestFile(s.memory, { object: new HugetlbObject(s.pool, 0) });
    expect(file.object.truncate(2 ** 21)).toBe(-22);
    expect(file.object.truncate(PUD_SIZE)).toBe(0);
    const other = s.newMm();
    expect(s.huge(0, 1, MAP_SHARED, { file })).toBe(ARENA);
    expect(s.huge(3, 1, MAP_SHARED, { file, mm: other })).toBe(ARENA + 3 * PUD_SIZE);
    expect(s.counts).toEqual([1, 1, 1, 0]);
    expect(s.store(0, 300 * 2 ** 20, 7)).toBe("ok");
    expect(s.load(3, 300 * 2 ** 20, other)).toBe(7);
    const child = s.check(s.mm.fork() as Mm);
    s.store(0, 600 * 2 ** 20, 8, child);
    expect([s.load(0, 600 * 2 ** 20), s.load(3, 600 * 2 ** 20, other)]).toEqual([8, 8]);
    expect(s.memory.hugetlb.mapped).toBe(3);
    for (const mm of [child, other, s.mm]) mm.put();
    expect(s.counts).toEqual([1, 0, 0, 0]);
    file.object.release();
    expect(s.counts).toEqual([1, 1, 0, 0]);
  });
});
