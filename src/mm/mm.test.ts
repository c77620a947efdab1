// Address spaces from end to end: mapping, faults, copy-on-write over fork, exit without leaks.
import { describe, expect, it } from "vitest";
import { EACCES, EEXIST, EINVAL, ENOMEM } from "../base/errno.ts";
import * as mman from "./constants.ts";
import type { Mm } from "./mm.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

const fork = (space: TestSpace): Mm => {
  const child = space.mm.fork();
  if (typeof child === "number") throw new Error("fork failed");
  space.check();
  return child;
};

describe("anonymous memory", () => {
  it("reads as zeros, keeps what is written, and is gone after munmap", () => {
    const space = new TestSpace();
    expect(space.map(0, 4)).toBe(ARENA);
    expect(space.read(1)).toBe(0);
    expect(space.mm.rssAnon).toBe(0);
    expect(space.write(1, 42)).toBe("ok");
    expect(space.read(1)).toBe(42);
    expect(space.mm.rssAnon).toBe(1);
    expect(space.mm.munmap(ARENA + P, 2 * P)).toBe(0);
    expect(space.check(space.maps())).toEqual(["+0 +1 rw-p", "+3 +4 rw-p"]);
    expect(space.read(1)).toBe("SEGV 1");
    expect(space.mm.rssAnon).toBe(0);
  });

  it("refuses what the protection does not allow", () => {
    const space = new TestSpace();
    space.map(0, 1, { prot: mman.PROT_READ });
    expect(space.read(0)).toBe(0);
    expect(space.write(0)).toBe("SEGV 2");
    expect(space.mm.mprotect(ARENA, P, mman.PROT_NONE)).toBe(0);
    expect(space.read(0)).toBe("SEGV 2");
    expect(space.mm.mprotect(ARENA, P, mman.PROT_READ | mman.PROT_WRITE)).toBe(0);
    expect(space.write(0, 3)).toBe("ok");
    expect(space.mm.mprotect(ARENA, P, mman.PROT_READ)).toBe(0);
    expect(space.read(0)).toBe(3);
    expect(space.write(0)).toBe("SEGV 2");
  });

  it("gives every frame back at exit", () => {
    const space = new TestSpace();
    const free = space.memory.frames.free;
    const mm = space.newMm();
    space.map(0, 600, { mm });
    for (let page = 0; page < 600; page += 7) space.write(page, page, mm);
    mm.put();
    space.check();
    expect(space.memory.frames.free).toBe(free);
    expect(space.memory.committed()).toBe(0);
  });
});

describe("fork", () => {
  it("shares pages until one side writes", () => {
    const space = new TestSpace();
    space.map(0, 2);
    space.write(0, 1);
    const child = fork(space);
    expect(child.rssAnon).toBe(1);
    const used = space.memory.frames.free;
    expect(space.write(0, 2, child)).toBe("ok");
    expect(space.memory.frames.free).toBe(used - 1);
    expect(space.read(0)).toBe(1);
    expect(space.read(0, child)).toBe(2);
    // The parent is the only one left with the old page: no copy.
    const { cow_copies } = space.memory.stat;
    expect(space.write(0, 3)).toBe("ok");
    expect(space.memory.stat.cow_copies).toBe(cow_copies);
    expect(space.read(0, child)).toBe(2);
    child.put();
    space.check();
  });

  it("shares shared memory, leaves out DONTFORK and wipes WIPEONFORK", () => {
    const space = new TestSpace();
    space.mapShared(0, 1);
    space.map(2, 1);
    space.map(4, 1);
    for (const page of [0, 2, 4]) space.write(page, 9);
    expect(space.mm.madvise(ARENA + 2 * P, P, mman.MADV_DONTFORK)).toBe(0);
    expect(space.mm.madvise(ARENA + 4 * P, P, mman.MADV_WIPEONFORK)).toBe(0);
    const child = fork(space);
    expect(space.read(0, child)).toBe(9);
    space.write(0, 10, child);
    expect(space.read(0)).toBe(10);
    expect(space.read(2, child)).toBe("SEGV 1");
    expect(space.read(4, child)).toBe(0);
    expect(space.read(4)).toBe(9);
    child.put();
    space.check();
  });
});

describe("files", () => {
  it("maps them shared and private", () => {
    const space = new TestSpace();
    const file = new TestFile(space.memory, { size: 3 * P - 100 });
    file.object.write(P, new Uint8Array([7, 0, 0, 0]));
    space.map(0, 4, { file, flags: mman.MAP_SHARED });
    space.map(8, 4, { file });
    expect(space.read(1)).toBe(7);
    expect(space.read(9)).toBe(7);
    space.write(9, 8);
    expect(space.read(1)).toBe(7);
    space.write(0, 5);
    expect(space.read(8)).toBe(5);
    expect(space.read(3)).toBe("BUS 2");
    expect(space.write(11)).toBe("BUS 2");
    file.object.truncate(P);
    space.check();
    expect(space.read(9)).toBe("BUS 2");
    expect(space.read(8)).toBe(5);
  });

  it("checks rights as Linux does", () => {
    const space = new TestSpace();
    const readOnly = new TestFile(space.memory, { size: P, writable: false });
    const shared = mman.MAP_SHARED;
    expect(space.map(0, 1, { file: readOnly, flags: shared })).toBe(-EACCES);
    expect(space.map(0, 1, { file: readOnly, flags: shared, prot: mman.PROT_READ })).toBe(ARENA);
    expect(space.mm.mprotect(ARENA, P, mman.PROT_READ | mman.PROT_WRITE)).toBe(-EACCES);
    const writeOnly = new TestFile(space.memory, { size: P, readable: false });
    expect(space.map(1, 1, { file: writeOnly, flags: shared })).toBe(-EACCES);
  });
});

describe("placement", () => {
  const anon = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS;
  const request = { prot: mman.PROT_READ, file: null, offset: 0 };

  it("goes down from mmapBase and fills the highest hole", () => {
    const { mm } = new TestSpace();
    const a = mm.mmap({ ...request, addr: 0, length: 3 * P, flags: anon });
    expect(a).toBe(mm.mmapBase - 3 * P);
    const b = mm.mmap({ ...request, addr: 0, length: P, flags: anon, prot: mman.PROT_NONE });
    expect(b).toBe(a - P);
    mm.munmap(a + P, P);
    expect(mm.mmap({ ...request, addr: 0, length: P, flags: anon })).toBe(a + P);
  });

  it("takes hints that are free, keeps a stack's guard gap, and refuses FIXED_NOREPLACE over something", () => {
    const { mm } = new TestSpace();
    expect(mm.mmap({ ...request, addr: ARENA + 5, length: P, flags: anon })).toBe(ARENA);
    expect(mm.mmap({ ...request, addr: ARENA, length: P, flags: anon })).toBe(mm.mmapBase - P);
    const noReplace = anon | mman.MAP_FIXED_NOREPLACE;
    expect(mm.mmap({ ...request, addr: ARENA, length: P, flags: noReplace })).toBe(-EEXIST);
    expect(mm.mmap({ ...request, addr: ARENA + 1, length: P, flags: anon | mman.MAP_FIXED })).toBe(-EINVAL);
    const stack = ARENA + 2 ** 30;
    expect(mm.mmap({ ...request, addr: stack, length: P, flags: anon | mman.MAP_GROWSDOWN | mman.MAP_FIXED })).toBe(
      stack,
    );
    expect(mm.mmap({ ...request, addr: stack - P, length: P, flags: anon })).not.toBe(stack - P);
    expect(mm.mmap({ ...request, addr: stack - 257 * P, length: P, flags: anon })).toBe(stack - 257 * P);
    expect(mm.mmap({ ...request, addr: 0, length: 2 ** 48, flags: anon })).toBe(-ENOMEM);
  });
});
