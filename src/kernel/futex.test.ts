// Futex queues without programs: who is woken, in which order, and through which address. guest/tests/futex.c compares the call with Linux.
import { beforeEach, describe, expect, test } from "vitest";
import { EAGAIN, EFAULT, EINVAL, ETIMEDOUT } from "../base/errno.ts";
import { MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import type { Mm } from "../mm/mm.ts";
import { getUser32, putUser32 } from "../mm/usercopy.ts";
import { bootFiles } from "../testing/files.ts";
import { FUTEX_BITSET_MATCH_ANY, type FutexWord } from "./futex-queue.ts";
import type { FutexTable } from "./futex.ts";
import type { Kernel } from "./kernel.ts";
import type { Task } from "./task.ts";
import type { Wait } from "./wait.ts";

const MAP_ANONYMOUS = 0x20;
let kernel: Kernel;
let task: Task;
let futexes: FutexTable;
/** Two processes that share a page, at `one` and `two`, and have private memory at `own`, which is the same address in both. */
let mms: [Mm, Mm];
let one: number;
let two: number;
let own: number;

beforeEach(() => {
  ({ kernel, task } = bootFiles());
  ({ futexes } = kernel);
  mms = [kernel.memory.newMm() as Mm, kernel.memory.newMm() as Mm];
  const shared = kernel.memory.newAnonymousFile(4096, "whole");
  if (typeof shared === "number") throw new Error("no memory");
  const map = (mm: Mm, addr: number, kind: "shared" | "private"): number =>
    mm.mmap({
      addr,
      length: 4096,
      prot: PROT_READ | PROT_WRITE,
      flags: kind === "shared" ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
      file: kind === "shared" ? shared : null,
      offset: 0,
    });
  for (const mm of mms) mm.mmapBase = 2 ** 40;
  one = map(mms[0], 0x10000000, "shared");
  two = map(mms[1], 0x20000000, "shared");
  own = map(mms[0], 0x30000000, "private");
  map(mms[1], 0x30000000, "private");
});

const shared = (addr: number): FutexWord => ({ addr, shared: true });
const local = (addr: number): FutexWord => ({ addr, shared: false });

/** A task of `mm` that waits; its result once it has one. */
function waiter(mm: Mm, word: FutexWord, options: { bitset?: number; deadline?: number } = {}): { result?: number } {
  task.setMm(mm);
  const { bitset = FUTEX_BITSET_MATCH_ANY, deadline } = options;
  const call = futexes.wait(task, word, 0, { bitset, deadline }) as Generator<Wait, number>;
  const state: { result?: number } = {};
  const wait = call.next().value as Wait;
  const end = wait.end.bind(wait);
  wait.end = (reason) => {
    const ended = end(reason);
    if (ended) state.result = call.next().value as number;
    return ended;
  };
  return state;
}

describe("waiting", () => {
  test("only for the expected value, at an aligned word that is there", () => {
    task.setMm(mms[0]);
    const options = { bitset: 1, deadline: undefined };
    putUser32(mms[0], one, 5);
    expect(futexes.wait(task, shared(one), 4, options)).toBe(-EAGAIN);
    expect(futexes.wait(task, shared(one + 2), 5, options)).toBe(-EINVAL);
    expect(futexes.wait(task, shared(0x1000), 5, options)).toBe(-EFAULT);
    expect(futexes.wait(task, local(0x1000), 5, options)).toBe(-EFAULT);
    expect(futexes.wait(task, shared(one), 5, { ...options, bitset: 0 })).toBe(-EINVAL);
  });
  test("ends with its time limit, and then is on no queue", () => {
    const timed = waiter(mms[0], shared(one), { deadline: kernel.clock.monotonic() + 1000 });
    kernel.clock.jumpTo(kernel.clock.monotonic() + 2000);
    kernel.timers.run(kernel.clock.monotonic());
    expect(timed.result).toBe(-ETIMEDOUT);
    expect(futexes.wake(mms[0], shared(one), 9)).toBe(0);
  });
});

describe("waking", () => {
  test("first come, first woken; no more than asked for, but one for 0", () => {
    const waiters = [1, 2, 3, 4].map(() => waiter(mms[0], local(own)));
    expect(futexes.wake(mms[0], local(own), 2)).toBe(2);
    expect(waiters.map(({ result }) => result)).toEqual([0, 0, undefined, undefined]);
    expect(futexes.wake(mms[0], local(own), 0)).toBe(1);
    expect(futexes.wake(mms[0], local(own), 9)).toBe(1);
    expect(futexes.wake(mms[0], local(own), 9)).toBe(0);
  });
  test("bitsets select", () => {
    const [a, b] = [waiter(mms[0], local(own), { bitset: 1 }), waiter(mms[0], local(own), { bitset: 6 })];
    expect(futexes.wake(mms[0], local(own), 9, 8)).toBe(0);
    expect(futexes.wake(mms[0], local(own), 9, 2)).toBe(1);
    expect([a.result, b.result]).toEqual([undefined, 0]);
  });
  test("a shared word is one word at any address; private memory is not shared by its address", () => {
    const across = waiter(mms[1], shared(two + 8));
    expect(futexes.wake(mms[0], shared(one + 4), 9)).toBe(0);
    expect(futexes.wake(mms[0], shared(one + 8), 9)).toBe(1);
    expect(across.result).toBe(0);
    const alone = waiter(mms[0], local(own));
    expect(futexes.wake(mms[1], local(own), 9)).toBe(0);
    expect(futexes.wake(mms[1], shared(own), 9)).toBe(0);
    // FUT_OFF_MMSHARED: the two kinds of key do not meet.
    expect(futexes.wake(mms[0], shared(own), 9)).toBe(0);
    expect(futexes.wake(mms[0], local(own), 9)).toBe(1);
    expect(alone.result).toBe(0);
  });
});

describe("requeueing", () => {
  test("wakes some, moves some, leaves the rest", () => {
    const waiters = [1, 2, 3, 4, 5].map(() => waiter(mms[0], shared(one)));
    const counts = { wake: 1, move: 2 };
    expect(futexes.requeue(mms[0], shared(one), shared(one + 4), counts, 1)).toBe(-EAGAIN);
    expect(futexes.requeue(mms[0], shared(one), shared(one + 4), counts, 0)).toBe(3);
    expect(futexes.wake(mms[1], shared(two + 4), 9)).toBe(2);
    expect(waiters.map(({ result }) => result)).toEqual([0, 0, 0, undefined, undefined]);
    expect(futexes.wake(mms[1], shared(two), 9)).toBe(2);
  });
  test("wakeOp: one word is changed, both are woken if its old value says so", () => {
    const waiters = [waiter(mms[0], shared(one)), waiter(mms[0], shared(one + 4))];
    // FUTEX_OP(ADD, 3, LT, -1): the old value 0 is not less.
    const addThree = (1 << 28) | (2 << 24) | (3 << 12) | 0xfff;
    const words: [FutexWord, FutexWord] = [shared(one), shared(one + 4)];
    expect(futexes.wakeOp(mms[0], ...words, { first: 9, second: 9 }, addThree)).toBe(1);
    expect(getUser32(mms[0], one + 4)).toBe(3);
    // FUTEX_OP(ANDN, 1, EQ, 3)
    expect(futexes.wakeOp(mms[0], ...words, { first: 9, second: 9 }, (3 << 28) | (1 << 12) | 3)).toBe(1);
    expect(getUser32(mms[0], one + 4)).toBe(2);
    expect(waiters.map(({ result }) => result)).toEqual([0, 0]);
  });
});
