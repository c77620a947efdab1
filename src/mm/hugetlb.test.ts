// hugetlb pools and mappings. What is expected was recorded on Linux 6.12 (guest/tests/hugetlb-map.c asks it the same and more); verify() recounts after each step.
import { describe, expect, test } from "vitest";
import { PMD_SIZE } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import {
  MADV_DONTNEED,
  MADV_PAGEOUT,
  MADV_REMOVE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_HUGE_1GB,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import { HugetlbObject } from "./hugetlb-object.ts";
import type { Mm } from "./mm.ts";
import { ARENA, TestFile, TestSpace } from "./test-space.ts";
import { getUser32, putUser32 } from "./usercopy.ts";

const M2 = PMD_SIZE;
const RW = PROT_READ | PROT_WRITE;

class HugeSpace extends TestSpace {
  constructor(pages: number) {
    super({ memoryBytes: 64 * 2 ** 20 });
    this.pool.setMax(pages);
    this.check();
  }
  get pool() {
    return this.memory.hugetlb.defaultPool;
  }
  /** total, free, reserved, surplus. */
  get counts(): number[] {
    this.check();
    const { total, free, reserved, surplus } = this.pool;
    return [total, free, reserved, surplus];
  }
  huge(first: number, count: number, flags = MAP_PRIVATE, mm = this.mm): number {
    const request = { addr: ARENA + first * M2, length: count * M2, prot: RW, file: null, offset: 0 };
    return mm.mmap({ ...request, flags: flags | MAP_FIXED | MAP_ANONYMOUS | MAP_HUGETLB });
  }
  store(page: number, value: number, mm = this.mm): string {
    const va = ARENA + page * M2 + 8192;
    const done = putUser32(mm, va, value) === 0;
    this.check();
    return done ? "ok" : this.fault(va, ACCESS_WRITE, mm);
  }
  load(page: number, mm = this.mm): number | string {
    const value = getUser32(mm, ARENA + page * M2 + 8192);
    this.check();
    return value >= 0 ? value : this.fault(ARENA + page * M2 + 8192, ACCESS_READ, mm);
  }
  fork(parent = this.mm): Mm {
    const child = parent.fork();
    if (typeof child === "number") throw new Error("no memory for a fork");
    return this.check(child);
  }
}

describe("the pool", () => {
  test("grows, shrinks to what is in use or reserved, which becomes surplus", () => {
    const s = new HugeSpace(3);
    const { free } = s.memory.frames;
    s.huge(0, 2);
    s.store(0, 1);
    s.pool.setMax(0);
    expect(s.counts).toEqual([2, 1, 1, 2]);
    expect(s.pool.max).toBe(0);
    s.store(1, 1);
    expect(s.counts).toEqual([2, 0, 0, 2]);
    expect(s.mm.munmap(ARENA, M2)).toBe(0);
    expect(s.counts).toEqual([1, 0, 0, 1]);
    s.mm.munmap(ARENA + M2, M2);
    expect(s.counts).toEqual([0, 0, 0, 0]);
    expect(s.memory.frames.free).toBeGreaterThanOrEqual(free + 3 * 512);
  });

  test("stops growing where memory has no whole block left", () => {
    const s = new HugeSpace(1000);
    expect(s.pool.total).toBeGreaterThan(20);
    expect(s.pool.total).toBeLessThan(32);
    expect(s.pool.max).toBe(s.pool.total);
    s.pool.setMax(0);
    expect(s.counts).toEqual([0, 0, 0, 0]);
  });

  test("overcommits up to its limit, for reservations and on demand", () => {
    const s = new HugeSpace(0);
    expect(s.huge(0, 1)).toBe(-12);
    expect(s.pool.setOvercommit(2)).toBe(0);
    expect(s.huge(0, 2)).toBe(ARENA);
    expect(s.counts).toEqual([2, 2, 2, 2]);
    expect(s.huge(2, 1)).toBe(-12);
    s.store(0, 1);
    expect(s.counts).toEqual([2, 1, 1, 2]);
    s.mm.munmap(ARENA, 2 * M2);
    expect(s.counts).toEqual([0, 0, 0, 0]);
    s.huge(0, 3, MAP_PRIVATE | MAP_NORESERVE);
    expect([s.store(0, 1), s.store(1, 1), s.store(2, 1)]).toEqual(["ok", "ok", "BUS 2"]);
    s.mm.madvise(ARENA, M2, MADV_DONTNEED);
    expect(s.counts).toEqual([1, 0, 0, 1]);
    s.mm.put();
    expect(s.counts).toEqual([0, 0, 0, 0]);
  });

  test("has no 1 GiB pages in 64 MiB", () => {
    const s = new HugeSpace(1);
    s.memory.hugetlb.pools[1].setMax(1);
    expect(s.memory.hugetlb.pools[1].total).toBe(0);
    expect(s.memory.hugetlb.pools[1].setOvercommit(1)).toBe(-22);
    expect(s.huge(1, 1, MAP_PRIVATE | MAP_HUGE_1GB)).toBe(-22);
    expect(
      s.mm.mmap({
        addr: 0,
        length: M2,
        prot: RW,
        file: null,
        offset: 0,
        flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB,
      }),
    ).toBe(-12);
  });
});

describe("mappings", () => {
  test("private: reserved at mmap, taken by the first access, given back by DONTNEED and munmap", () => {
    const s = new HugeSpace(6);
    expect(s.huge(0, 3)).toBe(ARENA);
    expect(s.counts).toEqual([6, 6, 3, 0]);
    expect(s.load(0)).toBe(0);
    expect(s.counts).toEqual([6, 5, 2, 0]);
    s.store(1, 7);
    expect(s.counts).toEqual([6, 4, 1, 0]);
    expect(s.mm.hugetlbPages).toBe(1024);
    expect(s.mm.rss).toBe(0);
    expect(s.mm.munmap(ARENA, 4096)).toBe(-22);
    expect(s.mm.mprotect(ARENA, 4096, PROT_READ)).toBe(-22);
    expect(s.mm.mprotect(ARENA, 4096, RW)).toBe(0);
    expect(s.mm.mprotect(ARENA + M2, M2, PROT_READ)).toBe(0);
    expect([s.store(1, 8), s.load(1)]).toEqual(["SEGV 2", 7]);
    s.mm.mprotect(ARENA + M2, M2, RW);
    expect([s.store(1, 8), s.load(1)]).toEqual(["ok", 8]);
    expect(s.mm.madvise(ARENA, 4096, MADV_DONTNEED)).toBe(0);
    expect(s.mm.madvise(ARENA + 4096, M2, MADV_DONTNEED)).toBe(-22);
    expect(s.counts).toEqual([6, 4, 1, 0]);
    expect(s.mm.madvise(ARENA, M2, MADV_DONTNEED)).toBe(0);
    expect(s.counts).toEqual([6, 5, 2, 0]);
    expect(s.mm.madvise(ARENA, M2, MADV_PAGEOUT)).toBe(-22);
    expect(s.mm.mlock(ARENA + 2 * M2, 4096, 0)).toBe(0);
    expect(s.counts).toEqual([6, 4, 1, 0]);
    expect(s.mm.lockedVm).toBe(0);
    const present = s.mm.mincore(ARENA, 3 * M2) as Uint8Array;
    expect([present[0], present[511], present[512], present[1535]]).toEqual([0, 0, 1, 1]);
    s.mm.munmap(ARENA, 3 * M2);
    expect(s.counts).toEqual([6, 6, 0, 0]);
  });

  test("shared: DONTNEED keeps the page, REMOVE takes it", () => {
    const s = new HugeSpace(6);
    s.huge(0, 2, MAP_SHARED);
    expect(s.counts).toEqual([6, 6, 2, 0]);
    s.store(0, 3);
    s.mm.madvise(ARENA, M2, MADV_DONTNEED);
    expect(s.counts).toEqual([6, 5, 1, 0]);
    expect(s.load(0)).toBe(3);
    expect(s.mm.madvise(ARENA, M2, MADV_REMOVE)).toBe(0);
    expect(s.counts).toEqual([6, 6, 1, 0]);
    expect(s.load(0)).toBe(0);
    expect(s.counts).toEqual([6, 5, 1, 0]);
    const child = s.fork();
    s.store(1, 9);
    expect(s.load(1, child)).toBe(9);
    child.put();
    s.mm.munmap(ARENA, M2);
    s.mm.munmap(ARENA + M2, M2);
    expect(s.counts).toEqual([6, 6, 0, 0]);
  });

  test("fork: the child's copies are not paid for by the parent's reservation", () => {
    const s = new HugeSpace(6);
    s.huge(0, 2);
    s.store(0, 1);
    const child = s.fork();
    expect(s.load(0, child)).toBe(1);
    expect(s.store(1, 4, child)).toBe("ok");
    expect(s.counts).toEqual([6, 4, 1, 0]);
    expect(s.store(0, 5, child)).toBe("ok");
    expect(s.counts).toEqual([6, 3, 1, 0]);
    s.store(0, 6);
    expect(s.counts).toEqual([6, 3, 1, 0]);
    expect([s.load(0), s.load(0, child)]).toEqual([6, 5]);
    s.store(1, 6);
    expect(s.counts).toEqual([6, 2, 0, 0]);
    child.put();
    expect(s.counts).toEqual([6, 4, 0, 0]);
    s.mm.put();
    expect(s.counts).toEqual([6, 6, 0, 0]);
  });

  test("fork: where no page is left, the maker of the mapping takes the child's", () => {
    const s = new HugeSpace(1);
    s.huge(0, 1);
    s.store(0, 1);
    const child = s.fork();
    expect(s.load(0, child)).toBe(1);
    expect(s.store(0, 6)).toBe("ok");
    expect([s.load(0, child), s.store(0, 2, child)]).toEqual(["BUS 2", "BUS 2"]);
    child.put();
    const other = s.fork();
    expect([s.store(0, 2, other), s.load(0, other)]).toEqual(["BUS 2", 6]);
    other.put();
    s.mm.munmap(ARENA, M2);
    expect(s.counts).toEqual([1, 1, 0, 0]);
  });

  test("mremap: whole pages move with their reservations; growing is refused", () => {
    const s = new HugeSpace(5);
    const both = MREMAP_MAYMOVE | MREMAP_FIXED;
    s.huge(0, 3);
    s.store(0, 1);
    s.store(1, 2);
    expect(s.mm.mremap(ARENA, 3 * M2, 4 * M2, MREMAP_MAYMOVE, 0)).toBe(-22);
    expect(s.mm.mremap(ARENA + 4096, M2, M2, MREMAP_MAYMOVE, 0)).toBe(-22);
    expect(s.mm.mremap(ARENA, 4096, 4096, 0, 0)).toBe(ARENA);
    expect(s.mm.mremap(ARENA, M2, M2, both, ARENA + 9 * M2 + 4096)).toBe(-22);
    expect(s.mm.mremap(ARENA + M2, 2 * M2, 2 * M2, both, ARENA + 8 * M2)).toBe(ARENA + 8 * M2);
    expect(s.counts).toEqual([5, 3, 1, 0]);
    expect([s.load(8), s.load(1)]).toEqual([2, "SEGV 1"]);
    s.store(9, 3);
    expect(s.counts).toEqual([5, 2, 0, 0]);
    expect(s.mm.mremap(ARENA + 8 * M2, 2 * M2, M2, 0, 0)).toBe(ARENA + 8 * M2);
    expect(s.counts).toEqual([5, 3, 0, 0]);
    // The middle of three: its neighbours keep their reservations (Linux 6.12 loses them).
    s.huge(16, 3);
    s.mm.mremap(ARENA + 17 * M2, M2, M2, both, ARENA + 24 * M2);
    s.mm.munmap(ARENA + 24 * M2, M2);
    expect(s.counts).toEqual([5, 3, 2, 0]);
    s.mm.put();
    expect(s.counts).toEqual([5, 5, 0, 0]);
  });

  test("a file: truncation and holes unmap private copies too", () => {
    const s = new HugeSpace(6);
    const file = new TestFile(s.memory, { object: new HugetlbObject(s.pool, 0) });
    expect(file.object.truncate(4096)).toBe(-22);
    expect(file.object.truncate(2 * M2)).toBe(0);
    const map = (first: number, flags: number): number =>
      s.mm.mmap({ addr: ARENA + first * M2, length: 2 * M2, prot: RW, flags: flags | MAP_FIXED, file, offset: 0 });
    expect(map(0, MAP_SHARED)).toBe(ARENA);
    expect(map(4, MAP_PRIVATE)).toBe(ARENA + 4 * M2);
    expect(s.counts).toEqual([6, 6, 4, 0]);
    s.store(0, 1);
    expect(s.load(4)).toBe(1);
    s.store(4, 2);
    expect([s.load(0), s.load(4)]).toEqual([1, 2]);
    expect(s.counts).toEqual([6, 4, 2, 0]);
    file.object.punch(0, M2);
    expect([s.load(0), s.load(4)]).toEqual([0, 0]);
    expect(s.store(5, 5)).toBe("ok");
    file.object.truncate(M2);
    expect([s.load(1), s.load(5)]).toEqual(["BUS 2", "BUS 2"]);
    s.mm.put();
    file.object.release();
    expect(s.counts).toEqual([6, 6, 0, 0]);
  });
});
