// mremap, brk, stacks, locks: the cases that are easy to get wrong. Expectations from the man pages and Linux 6.12.
import { describe, expect, it } from "vitest";
import { EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "./constants.ts";
import { setupStack } from "./stack.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

const MOVE = mman.MREMAP_MAYMOVE;
const FIXED = MOVE | mman.MREMAP_FIXED;

describe("mremap", () => {
  it("grows in place, into its neighbour too", () => {
    const space = new TestSpace();
    space.map(0, 1);
    expect(space.mm.mremap(ARENA, P, 3 * P, 0, 0)).toBe(ARENA);
    space.check();
    expect(space.maps()).toEqual(["+0 +3 rw-p"]);
    space.map(4, 1);
    expect(space.mm.mremap(ARENA, 3 * P, 5 * P, 0, 0)).toBe(-ENOMEM);
    expect(space.mm.mremap(ARENA, 3 * P, 4 * P, 0, 0)).toBe(ARENA);
    expect(space.maps()).toEqual(["+0 +5 rw-p"]);
    expect(space.mm.mremap(ARENA, 5 * P, 2 * P, 0, 0)).toBe(ARENA);
    expect(space.check(space.maps())).toEqual(["+0 +2 rw-p"]);
  });

  it("moves pages with their contents", () => {
    const space = new TestSpace();
    space.map(0, 3);
    for (let page = 0; page < 3; page++) space.write(page, 10 + page);
    const { allocated } = space.memory.frames;
    expect(space.mm.mremap(ARENA + P, P, 2 * P, FIXED, ARENA + 8 * P)).toBe(ARENA + 8 * P);
    space.check();
    expect(space.maps()).toEqual(["+0 +1 rw-p", "+2 +3 rw-p", "+8 +10 rw-p"]);
    expect([space.read(0), space.read(2), space.read(8), space.read(9)]).toEqual([10, 12, 11, 0]);
    expect(space.memory.frames.allocated).toBe(allocated);
    expect(space.memory.committed()).toBe(4);
  });

  it("moved faulted memory keeps its numbering and joins only where that continues", () => {
    const space = new TestSpace();
    space.map(0, 2);
    space.write(0, 1);
    space.write(1, 2);
    expect(space.mm.mremap(ARENA + P, P, P, FIXED, ARENA + 5 * P)).toBe(ARENA + 5 * P);
    expect(space.mm.mremap(ARENA + 5 * P, P, P, FIXED, ARENA + P)).toBe(ARENA + P);
    expect(space.check(space.maps())).toEqual(["+0 +2 rw-p"]);
    // Unfaulted memory takes the numbers of its new place.
    space.map(10, 1);
    expect(space.mm.mremap(ARENA + 10 * P, P, P, FIXED, ARENA + 2 * P)).toBe(ARENA + 2 * P);
    expect(space.check(space.maps())).toEqual(["+0 +3 rw-p"]);
  });

  it("DONTUNMAP leaves the old range empty", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.write(0, 3);
    expect(space.mm.mremap(ARENA, P, P, FIXED | mman.MREMAP_DONTUNMAP, ARENA + 4 * P)).toBe(ARENA + 4 * P);
    space.check();
    expect([space.read(0), space.read(4)]).toEqual([0, 3]);
    expect(space.mm.totalVm).toBe(2);
    expect(space.memory.committed()).toBe(2);
  });

  it("what DONTUNMAP copies merges with its neighbours, but not with the VMA that it comes from", () => {
    const space = new TestSpace();
    const copy = (from: number, to: number): string[] => {
      expect(space.mm.mremap(ARENA + from * P, P, P, FIXED | mman.MREMAP_DONTUNMAP, ARENA + to * P)).toBe(
        ARENA + to * P,
      );
      return space.check(space.maps());
    };
    space.map(0, 12);
    expect(copy(9, 10)).toEqual(["+0 +10 rw-p", "+10 +12 rw-p"]);
    expect(copy(10, 12)).toEqual(["+0 +10 rw-p", "+10 +12 rw-p", "+12 +13 rw-p"]);
    expect(copy(0, 13)).toEqual(["+0 +10 rw-p", "+10 +12 rw-p", "+12 +14 rw-p"]);
  });

  it("size 0 duplicates shared memory, not private", () => {
    const space = new TestSpace();
    space.mapShared(0, 1);
    space.write(0, 6);
    expect(space.mm.mremap(ARENA, 0, P, FIXED, ARENA + 4 * P)).toBe(ARENA + 4 * P);
    space.check();
    expect(space.read(4)).toBe(6);
    space.map(8, 1);
    expect(space.mm.mremap(ARENA + 8 * P, 0, P, FIXED, ARENA + 12 * P)).toBe(-EINVAL);
  });

  it("checks its arguments in Linux's order", () => {
    const { mm, map } = ((space: TestSpace) => ({ mm: space.mm, map: space.map.bind(space) }))(new TestSpace());
    map(0, 2);
    expect(mm.mremap(ARENA, P, P, 8, 0)).toBe(-EINVAL);
    expect(mm.mremap(ARENA, P, P, mman.MREMAP_FIXED, ARENA + 8 * P)).toBe(-EINVAL);
    expect(mm.mremap(ARENA, P, 2 * P, MOVE | mman.MREMAP_DONTUNMAP, 0)).toBe(-EINVAL);
    expect(mm.mremap(ARENA + 1, P, P, MOVE, 0)).toBe(-EINVAL);
    expect(mm.mremap(ARENA, P, 0, MOVE, 0)).toBe(-EINVAL);
    expect(mm.mremap(ARENA + 5 * P, P, P, MOVE, 0)).toBe(-EFAULT);
    expect(mm.mremap(ARENA, 3 * P, 4 * P, MOVE, 0)).toBe(-EFAULT);
    expect(mm.mremap(ARENA, 2 * P, 2 * P, FIXED, ARENA + P)).toBe(-EINVAL);
    expect(mm.mremap(ARENA, P, P, FIXED, ARENA + 8 * P + 1)).toBe(-EINVAL);
  });

  it("undoes a move when page tables cannot be had", () => {
    for (let fail = 0; fail < 3; fail++) {
      const space = new TestSpace();
      space.map(0, 1);
      space.write(0, 8);
      let left = fail;
      space.memory.failAllocation = (): boolean => left-- <= 0;
      const far = ARENA + 2 ** 39;
      const result = space.mm.mremap(ARENA, P, P, FIXED, far);
      space.memory.failAllocation = null;
      space.check();
      expect(result).toBe(-ENOMEM);
      expect(space.read(0)).toBe(8);
      expect(space.mm.totalVm).toBe(1);
    }
  });
});

describe("brk", () => {
  it("grows and shrinks within RLIMIT_DATA and below what is mapped above", () => {
    const space = new TestSpace();
    const { mm } = space;
    mm.startBrk = mm.brk = ARENA + 100;
    expect(mm.setBrk(0)).toBe(ARENA + 100);
    expect(mm.setBrk(ARENA + 3 * P + 1)).toBe(ARENA + 3 * P + 1);
    expect(space.check(space.maps())).toEqual(["+1 +4 rw-p"]);
    space.write(3, 1);
    expect(mm.setBrk(ARENA + 2 * P)).toBe(ARENA + 2 * P);
    expect(space.check(space.maps())).toEqual(["+1 +2 rw-p"]);
    space.map(8, 1);
    expect(mm.setBrk(ARENA + 8 * P)).toBe(ARENA + 2 * P);
    expect(mm.setBrk(ARENA + 7 * P)).toBe(ARENA + 7 * P);
    mm.limits.data = 4 * P;
    expect(mm.setBrk(ARENA + 7 * P + 1)).toBe(ARENA + 7 * P);
    expect(mm.setBrk(ARENA + 100)).toBe(ARENA + 100);
    expect(space.check(space.maps())).toEqual(["+8 +9 rw-p"]);
  });
});

describe("stacks", () => {
  it("grow on a fault down to the limit and keep their distance", () => {
    const space = new TestSpace();
    const { mm } = space;
    const top = TASK_SIZE - P;
    mm.limits.stack = 64 * P;
    expect(setupStack(mm, top, 2 * P, { executable: false })).toBe(0);
    space.check();
    const [stack] = [...mm.vmas];
    expect(stack.pages).toBe(34);
    expect(space.fault(top - 50 * P, ACCESS_WRITE)).toBe("done");
    space.check();
    expect(stack.pages).toBe(50);
    expect(mm.stackVm).toBe(50);
    expect(space.fault(top - 65 * P, ACCESS_READ)).toBe("SEGV 1");
    const below = top - 60 * P;
    const flags = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_FIXED;
    mm.mmap({ addr: below - P, length: P, prot: mman.PROT_READ, flags, file: null, offset: 0 });
    expect(space.fault(top - 55 * P, ACCESS_WRITE)).toBe("SEGV 1");
  });
});

describe("limits", () => {
  it("RLIMIT_AS and RLIMIT_DATA", () => {
    const space = new TestSpace();
    space.mm.limits.as = 4 * P;
    expect(space.map(0, 5)).toBe(-ENOMEM);
    expect(space.map(0, 4)).toBe(ARENA);
    // Replacing needs no more.
    expect(space.map(0, 4)).toBe(ARENA);
    space.mm.limits.as = Infinity;
    space.mm.limits.data = 4 * P;
    expect(space.map(8, 1)).toBe(-ENOMEM);
    expect(space.map(8, 1, { prot: mman.PROT_READ })).toBe(ARENA + 8 * P);
    expect(space.mm.mprotect(ARENA + 8 * P, P, mman.PROT_READ | mman.PROT_WRITE)).toBe(-ENOMEM);
  });

  it("overcommit: 0 refuses the absurd, 1 nothing, 2 keeps to the limit", () => {
    const absurd = { memoryBytes: 8 * 2 ** 20 };
    expect(new TestSpace({ ...absurd, overcommit: 0 }).map(0, 4096)).toBe(-ENOMEM);
    expect(new TestSpace({ ...absurd, overcommit: 1 }).map(0, 4096)).toBe(ARENA);
    const strict = new TestSpace({ ...absurd, overcommit: 2 });
    const limit = strict.memory.commitLimit();
    expect(strict.map(0, limit + 1)).toBe(-ENOMEM);
    expect(strict.map(0, limit)).toBe(ARENA);
    expect(strict.map(limit, 1, { flags: mman.MAP_PRIVATE | mman.MAP_NORESERVE })).toBe(-ENOMEM);
  });
});

describe("mlock", () => {
  it("brings pages in, counts them and keeps to RLIMIT_MEMLOCK", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 4);
    mm.limits.memlock = 2 * P;
    expect(mm.mlock(ARENA, 3 * P, 0)).toBe(-ENOMEM);
    expect(mm.mlock(ARENA + 100, P, 0)).toBe(0);
    expect(space.check([mm.lockedVm, mm.rssAnon])).toEqual([2, 2]);
    // Locked already: not counted twice.
    expect(mm.mlock(ARENA, 2 * P, 0)).toBe(0);
    expect(space.map(8, 1, { flags: mman.MAP_PRIVATE | mman.MAP_LOCKED })).toBe(-EAGAIN);
    expect(mm.msync(ARENA, P, mman.MS_INVALIDATE)).toBe(-EBUSY);
    expect(mm.munlock(ARENA, 4 * P)).toBe(0);
    // What was faulted does not join unfaulted memory again (is_mergeable_anon_vma, until Linux 6.16).
    expect([mm.lockedVm, space.maps()]).toEqual([0, ["+0 +2 rw-p", "+2 +4 rw-p"]]);
    mm.limits.memlock = 0;
    expect(mm.mlock(ARENA, P, 0)).toBe(-EPERM);
  });

  it("fails on what cannot be read, and beyond the end of a file", () => {
    const space = new TestSpace();
    space.map(0, 1, { prot: mman.PROT_NONE });
    expect(space.mm.mlock(ARENA, P, 0)).toBe(-ENOMEM);
    const file = new TestFile(space.memory, { size: P });
    space.map(2, 2, { file, flags: mman.MAP_SHARED });
    expect(space.mm.mlock(ARENA + 2 * P, 2 * P, 0)).toBe(-ENOMEM);
    expect(space.mm.mlock(ARENA + 2 * P, 2 * P, mman.MLOCK_ONFAULT)).toBe(0);
    expect(space.mm.mlock(ARENA + 10 * P, P, 0)).toBe(-ENOMEM);
  });
});

describe("mseal", () => {
  it("keeps mappings as they are", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 3, { prot: mman.PROT_READ });
    expect(mm.mseal(ARENA + P, 3 * P, 0)).toBe(-ENOMEM);
    expect(mm.mseal(ARENA + P, P, 0)).toBe(0);
    expect(space.maps()).toEqual(["+0 +1 r--p", "+1 +2 r--p", "+2 +3 r--p"]);
    expect(mm.munmap(ARENA, 3 * P)).toBe(-EPERM);
    expect(mm.mprotect(ARENA + P, P, mman.PROT_NONE)).toBe(-EPERM);
    expect(mm.mremap(ARENA + P, P, P, FIXED, ARENA + 9 * P)).toBe(-EPERM);
    expect(mm.madvise(ARENA + P, P, mman.MADV_DONTNEED)).toBe(-EPERM);
    expect(mm.munmap(ARENA, P)).toBe(0);
    space.check();
  });
});
