// Splitting and merging of VMAs as mm/vma.c does it. The expectations are what /proc/self/maps shows on Linux 6.12 after the same calls.
import { describe, expect, it } from "vitest";
import { EACCES, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import * as mman from "./constants.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

const R = mman.PROT_READ;
const RW = mman.PROT_READ | mman.PROT_WRITE;

describe("new mappings", () => {
  it("join equal neighbours on both sides", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.map(2, 1);
    expect(space.maps()).toEqual(["+0 +1 rw-p", "+2 +3 rw-p"]);
    space.map(1, 1);
    expect(space.maps()).toEqual(["+0 +3 rw-p"]);
    space.map(3, 1, { prot: R });
    expect(space.maps()).toEqual(["+0 +3 rw-p", "+3 +4 r--p"]);
  });

  it("bridge two faulted neighbours only if they share an anon_vma", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.map(2, 1);
    space.write(0);
    space.write(2);
    // The two were faulted apart from each other: their anon_vmas differ, so the new page joins the left one only.
    space.map(1, 1);
    expect(space.maps()).toEqual(["+0 +2 rw-p", "+2 +3 rw-p"]);

    const one = new TestSpace();
    one.map(0, 3);
    one.write(0);
    one.mm.munmap(ARENA + P, P);
    one.map(1, 1);
    expect(one.check(one.maps())).toEqual(["+0 +3 rw-p"]);
  });

  it("of files join if the offsets follow each other", () => {
    const space = new TestSpace();
    const file = new TestFile(space.memory, { size: 8 * P });
    space.map(0, 2, { file, page: 3 });
    space.map(2, 2, { file, page: 5 });
    expect(space.maps()).toEqual(["+0 +4 rw-p 3"]);
    space.map(4, 1, { file, page: 0 });
    expect(space.maps()).toEqual(["+0 +4 rw-p 3", "+4 +5 rw-p 0"]);
    expect(file.references).toBe(2);
    space.mm.munmap(ARENA, 8 * P);
    expect(file.references).toBe(0);
  });

  it("shared anonymous ones never join: each has a file of its own", () => {
    const space = new TestSpace();
    space.mapShared(0, 1);
    space.mapShared(1, 1);
    expect(space.maps()).toEqual(["+0 +1 rw-s 0", "+1 +2 rw-s 0"]);
  });

  it("MAP_STACK keeps them apart from others (no huge pages there)", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.map(1, 1, { flags: mman.MAP_PRIVATE | mman.MAP_STACK });
    expect(space.maps()).toEqual(["+0 +1 rw-p", "+1 +2 rw-p"]);
  });

  it("a neighbour that inherited its anon_vma over fork does not take an unfaulted range", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.write(0);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("fork failed");
    space.map(1, 1, { mm: child });
    expect(space.maps(child)).toEqual(["+0 +1 rw-p", "+1 +2 rw-p"]);
    space.map(1, 1);
    expect(space.maps()).toEqual(["+0 +2 rw-p"]);
    child.put();
    space.check();
  });
});

describe("mprotect", () => {
  it("splits and joins again", () => {
    const space = new TestSpace();
    space.map(0, 5);
    for (let page = 0; page < 5; page++) space.write(page, page);
    expect(space.mm.mprotect(ARENA + P, 2 * P, R)).toBe(0);
    expect(space.check(space.maps())).toEqual(["+0 +1 rw-p", "+1 +3 r--p", "+3 +5 rw-p"]);
    expect(space.mm.mprotect(ARENA + 3 * P, P, R)).toBe(0);
    expect(space.check(space.maps())).toEqual(["+0 +1 rw-p", "+1 +4 r--p", "+4 +5 rw-p"]);
    expect(space.mm.mprotect(ARENA + P, 3 * P, RW)).toBe(0);
    expect(space.check(space.maps())).toEqual(["+0 +5 rw-p"]);
    expect([0, 1, 2, 3, 4].map((page) => space.read(page))).toEqual([0, 1, 2, 3, 4]);
  });

  it("changes what comes before a hole, and says ENOMEM", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.map(2, 1);
    expect(space.mm.mprotect(ARENA, 3 * P, R)).toBe(-ENOMEM);
    expect(space.maps()).toEqual(["+0 +1 r--p", "+2 +3 rw-p"]);
  });

  it("commits private memory that becomes writable, once", () => {
    const space = new TestSpace();
    space.map(0, 4, { prot: R });
    expect(space.memory.committed()).toBe(0);
    space.mm.mprotect(ARENA, 4 * P, RW);
    expect(space.check(space.memory.committed())).toBe(4);
    // No page yet: the commitment can be given back.
    space.mm.mprotect(ARENA, 4 * P, R);
    expect(space.check(space.memory.committed())).toBe(0);
  });
});

describe("a mapping over others", () => {
  it("cuts them", () => {
    const space = new TestSpace();
    space.map(0, 6);
    space.write(0, 5);
    space.write(5, 6);
    space.map(2, 2, { prot: R });
    expect(space.maps()).toEqual(["+0 +2 rw-p", "+2 +4 r--p", "+4 +6 rw-p"]);
    expect([space.read(0), space.read(2), space.read(5)]).toEqual([5, 0, 6]);
    expect(space.mm.totalVm).toBe(6);
  });

  it("does not come where the file refuses: sealed against writing", () => {
    const space = new TestSpace();
    const file = new TestFile(space.memory, { size: P });
    file.sealed = true;
    space.map(0, 1);
    expect(space.map(0, 1, { file, flags: mman.MAP_SHARED })).toBe(-EPERM);
    expect(space.maps()).toEqual(["+0 +1 rw-p"]);
    expect(space.map(0, 1, { file, flags: mman.MAP_SHARED, prot: R })).toBe(ARENA);
    expect(space.mm.mprotect(ARENA, P, RW)).toBe(-EACCES);
  });
});

describe("madvise", () => {
  it("splits by flags, names and joins", () => {
    const space = new TestSpace();
    space.map(0, 3);
    expect(space.mm.madvise(ARENA + P, P, mman.MADV_DONTFORK)).toBe(0);
    expect(space.maps().length).toBe(3);
    expect(space.mm.madvise(ARENA, 3 * P, mman.MADV_DOFORK)).toBe(0);
    expect(space.maps()).toEqual(["+0 +3 rw-p"]);
    expect(space.mm.setAnonName(ARENA, P, "heap")).toBe(0);
    expect(space.maps()).toEqual(["+0 +1 rw-p", "+1 +3 rw-p"]);
    expect(space.mm.setAnonName(ARENA, 3 * P, null)).toBe(0);
    expect(space.maps()).toEqual(["+0 +3 rw-p"]);
  });

  it("goes on over holes and says ENOMEM at the end", () => {
    const space = new TestSpace();
    space.map(0, 1);
    space.map(2, 1);
    space.write(0, 1);
    space.write(2, 1);
    expect(space.mm.madvise(ARENA, 3 * P, mman.MADV_DONTNEED)).toBe(-ENOMEM);
    expect([space.read(0), space.read(2)]).toEqual([0, 0]);
    expect(space.mm.madvise(ARENA, P, 9999)).toBe(-EINVAL);
    expect(space.mm.madvise(ARENA + 1, P, mman.MADV_NORMAL)).toBe(-EINVAL);
    expect(space.mm.madvise(ARENA, 0, mman.MADV_DONTNEED)).toBe(0);
  });

  it("REMOVE takes pages from everyone, DONTNEED from one", () => {
    const space = new TestSpace();
    space.mapShared(0, 2);
    space.write(0, 7);
    expect(space.mm.madvise(ARENA, P, mman.MADV_DONTNEED)).toBe(0);
    expect(space.read(0)).toBe(7);
    expect(space.mm.madvise(ARENA, P, mman.MADV_REMOVE)).toBe(0);
    expect(space.read(0)).toBe(0);
    space.map(4, 1);
    expect(space.mm.madvise(ARENA + 4 * P, P, mman.MADV_REMOVE)).toBe(-EINVAL);
  });
});
