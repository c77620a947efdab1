// The kernel's access to user memory: what crosses, where it stops, and what it counts for.
import { describe, expect, it } from "vitest";
import { EFAULT, EINVAL, ENAMETOOLONG } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import * as mman from "./constants.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";
import {
  accessRemote,
  clearUser,
  compareExchangeUser32,
  copyFromUser,
  copyToUser,
  futexKey,
  getUser32,
  getUser64,
  loadUser32,
  putUser32,
  putUser64,
  readString,
  readUser,
  writeUser,
} from "./usercopy.ts";

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i % 251);

describe("copies", () => {
  it("cross pages and stop at the first that faults", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 2);
    const data = bytes(P + 100);
    expect(copyToUser(mm, ARENA + 50, data)).toBe(0);
    expect(copyFromUser(mm, ARENA + 50, data.length)).toEqual(data);
    expect(writeUser(mm, ARENA + 2 * P - 10, data)).toBe(10);
    expect(copyToUser(mm, ARENA + 2 * P - 10, data)).toBe(-EFAULT);
    expect(readUser(mm, ARENA + P, new Uint8Array(2 * P))).toBe(P);
    expect(copyFromUser(mm, ARENA + 2 * P - 1, 2)).toBe(-EFAULT);
    expect(clearUser(mm, ARENA, 2 * P)).toBe(0);
    expect(clearUser(mm, ARENA, 2 * P + 1)).toBe(-EFAULT);
    expect(getUser32(mm, ARENA + 50)).toBe(0);
    space.check();
  });

  it("obey protection, and break copy-on-write", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 1, { prot: mman.PROT_READ });
    expect(putUser32(mm, ARENA, 1)).toBe(-EFAULT);
    expect(getUser32(mm, ARENA)).toBe(0);
    space.map(1, 1);
    putUser32(mm, ARENA + P, 7);
    const child = mm.fork();
    if (typeof child === "number") throw new Error("fork failed");
    putUser32(child, ARENA + P, 8);
    expect([getUser32(mm, ARENA + P), getUser32(child, ARENA + P)]).toEqual([7, 8]);
    child.put();
    space.check();
  });

  it("count as faults of the task that runs", () => {
    const space = new TestSpace();
    space.map(0, 3);
    const usage = { minorFaults: 0, majorFaults: 0 };
    space.memory.taskUsage = usage;
    clearUser(space.mm, ARENA, 3 * P);
    clearUser(space.mm, ARENA, 3 * P);
    expect(usage).toEqual({ minorFaults: 3, majorFaults: 0 });
  });

  it("addresses outside of the user half are -EFAULT", () => {
    const { mm } = new TestSpace();
    for (const addr of [TASK_SIZE, 2 ** 63, 2 ** 64, TASK_SIZE - 2]) {
      expect(copyFromUser(mm, addr, 4)).toBe(-EFAULT);
      expect(copyToUser(mm, addr, bytes(4))).toBe(-EFAULT);
    }
  });
});

describe("words and strings", () => {
  it("32 and 64 bits, aligned or not", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 2);
    for (const at of [ARENA, ARENA + 1, ARENA + P - 3]) {
      expect(putUser32(mm, at, -2)).toBe(0);
      expect(getUser32(mm, at)).toBe(0xfffffffe);
      expect(putUser64(mm, at, -2)).toBe(0);
      expect(getUser64(mm, at)).toBe(2n ** 64n - 2n);
      putUser64(mm, at, 2 ** 40 + 5);
      expect(getUser64(mm, at)).toBe(2n ** 40n + 5n);
      putUser64(mm, at, -(2n ** 63n));
      expect(getUser64(mm, at)).toBe(2n ** 63n);
    }
  });

  it("strings end at NUL, at a fault, or are too long", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 2);
    const text = "x".repeat(20);
    const encoded = new TextEncoder().encode(text);
    copyToUser(mm, ARENA + P - 5, encoded);
    expect(readString(mm, ARENA + P - 5, 100)).toBe(text);
    expect(readString(mm, ARENA + P - 5, 20)).toBe(-ENAMETOOLONG);
    expect(readString(mm, ARENA + P - 5, 21)).toBe(text);
    copyToUser(mm, ARENA + 2 * P - 20, encoded);
    expect(readString(mm, ARENA + 2 * P - 20, 100)).toBe(-EFAULT);
  });
});

describe("futex words", () => {
  it("are compared and exchanged", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 1);
    putUser32(mm, ARENA, 0x80000001);
    expect(loadUser32(mm, ARENA)).toBe(0x80000001);
    expect(compareExchangeUser32(mm, ARENA, 5, 6)).toBe(0x80000001);
    expect(compareExchangeUser32(mm, ARENA, 0x80000001, 6)).toBe(0x80000001);
    expect(loadUser32(mm, ARENA)).toBe(6);
    expect(loadUser32(mm, ARENA + 2)).toBe(-EINVAL);
    expect(compareExchangeUser32(mm, ARENA + P, 0, 1)).toBe(-EFAULT);
  });

  it("of shared memory are the same wherever they are mapped", () => {
    const space = new TestSpace();
    const { mm } = space;
    const file = new TestFile(space.memory, { size: 4 * P });
    space.map(0, 2, { file, flags: mman.MAP_SHARED, page: 1 });
    const other = space.newMm();
    space.map(7, 4, { file, flags: mman.MAP_SHARED, mm: other });
    const both = { shared: true, write: true };
    const key = futexKey(mm, ARENA + P + 8, both);
    expect(key).toEqual({ object: file.object, offset: 2 * P + 8 });
    expect(futexKey(other, ARENA + 9 * P + 8, both)).toEqual(key);
    expect(futexKey(mm, ARENA + P + 8, { shared: false, write: true })).toEqual({ object: mm, offset: ARENA + P + 8 });
    expect(futexKey(mm, ARENA + 2, both)).toBe(-EINVAL);
    expect(futexKey(mm, ARENA + 2 * P, both)).toBe(-EFAULT);
    space.map(20, 1, { file, flags: mman.MAP_SHARED, prot: mman.PROT_READ });
    expect(futexKey(mm, ARENA + 20 * P, both)).toBe(-EFAULT);
    expect(futexKey(mm, ARENA + 20 * P, { shared: true, write: false })).toEqual({ object: file.object, offset: 0 });
  });
});

describe("another program's memory", () => {
  it("a debugger writes into a private copy of read-only memory", () => {
    const space = new TestSpace();
    const { mm } = space;
    const file = new TestFile(space.memory, { size: P });
    file.object.write(0, bytes(P));
    space.map(0, 1, { file, prot: mman.PROT_READ | mman.PROT_EXEC });
    const trap = Uint8Array.of(2, 0x90);
    expect(accessRemote(mm, ARENA + 10, trap, { write: true, force: false })).toBe(0);
    expect(accessRemote(mm, ARENA + 10, trap, { write: true, force: true })).toBe(2);
    space.check();
    expect(copyFromUser(mm, ARENA + 10, 2)).toEqual(trap);
    expect(file.object.read(10, 2)).toEqual(bytes(12).subarray(10));
    // The program itself still may not.
    expect(putUser32(mm, ARENA, 0)).toBe(-EFAULT);
  });

  it("shared memory that is read-only stays so; PROT_NONE memory can be read", () => {
    const space = new TestSpace();
    const { mm } = space;
    space.map(0, 1, { flags: mman.MAP_SHARED, prot: mman.PROT_READ });
    expect(accessRemote(mm, ARENA, bytes(1), { write: true, force: true })).toBe(0);
    space.map(1, 1);
    putUser32(mm, ARENA + P, 9);
    mm.mprotect(ARENA + P, P, mman.PROT_NONE);
    const into = new Uint8Array(4);
    expect(accessRemote(mm, ARENA + P, into, { write: false, force: false })).toBe(0);
    expect(accessRemote(mm, ARENA + P, into, { write: false, force: true })).toBe(4);
    expect(into[0]).toBe(9);
    space.check();
  });
});
