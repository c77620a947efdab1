// System V IPC without programs: ids and keys, attachments and their count, operations that happen all or not at all. guest/tests/sysvipc.c compares
// the calls with Linux.
import { beforeEach, describe, expect, test } from "vitest";
import { E2BIG, EAGAIN, EEXIST, EFBIG, EINVAL, ENOENT, ENOMSG, ERANGE } from "../base/errno.ts";
import { bootFiles } from "../testing/files.ts";
import { IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE } from "./ipc.ts";
import type { Kernel } from "./kernel.ts";
import type { Message } from "./msg.ts";
import type { SemSet } from "./sem.ts";
import type { Segment } from "./shm.ts";
import type { Task } from "./task.ts";

let kernel: Kernel;
let task: Task;
beforeEach(() => {
  ({ kernel, task } = bootFiles());
  const mm = kernel.memory.newMm();
  if (typeof mm === "number") throw new Error("no memory");
  mm.mmapBase = 2 ** 40;
  task.setMm(mm);
});

describe("shared memory", () => {
  test("keys and ids: the first is 0, a place that is used again has another id", () => {
    const { shm } = kernel;
    expect(shm.get(task, 7, 100, 0)).toBe(-ENOENT);
    expect(shm.get(task, IPC_PRIVATE, 100, 0o600)).toBe(0);
    expect(shm.get(task, 7, 100, IPC_CREAT | 0o600)).toBe(1);
    expect(shm.get(task, 7, 0, 0)).toBe(1);
    expect(shm.get(task, 7, 101, 0)).toBe(-EINVAL);
    expect(shm.get(task, 7, 100, IPC_CREAT | IPC_EXCL)).toBe(-EEXIST);
    shm.remove(shm.segments.find(1) as Segment);
    expect(shm.segments.find(1)).toBe(-EINVAL);
    expect(shm.get(task, 7, 100, IPC_CREAT | 0o600)).toBe(32768 + 1);
    expect(shm.segments.find(1)).toBe(-EINVAL);
  });
  test("mappings are counted, and the last one takes a removed segment along", () => {
    const { shm } = kernel;
    const free = kernel.memory.usage().free;
    const id = shm.get(task, IPC_PRIVATE, 10000, 0o600);
    const at = shm.attach(task, id, 0, 0);
    const segment = shm.segments.find(id) as Segment;
    expect(segment.attached).toBe(1);
    task.mm.munmap(at + 4096, 4096);
    expect(segment.attached).toBe(2);
    const child = task.mm.fork();
    if (typeof child === "number") throw new Error("no memory");
    expect(segment.attached).toBe(4);
    shm.remove(segment);
    expect(shm.segments.find(id)).toBe(segment);
    expect(shm.detach(task, at)).toBe(0);
    expect(shm.detach(task, at)).toBe(-EINVAL);
    expect(segment.attached).toBe(2);
    child.put();
    expect(shm.segments.find(id)).toBe(-EINVAL);
    expect(shm.totals()).toEqual({ pages: 0, resident: 0 });
    // What is left are page tables of the process.
    expect(free - kernel.memory.usage().free).toBeLessThanOrEqual(3);
  });
});

describe("semaphores", () => {
  const op = (num: number, by: number, flags = IPC_NOWAIT): { num: number; op: number; flags: number } => ({
    num,
    op: by,
    flags,
  });
  test("all or nothing", () => {
    const { semaphores } = kernel;
    const id = semaphores.get(task, IPC_PRIVATE, 3, 0o600);
    const set = semaphores.sets.find(id) as SemSet;
    const operate = (...ops: ReturnType<typeof op>[]): unknown => semaphores.operate(task, id, ops, undefined);
    expect(operate(op(0, 2), op(1, 1))).toBe(0);
    expect(operate(op(0, -1), op(1, -2))).toBe(-EAGAIN);
    expect([...set.values]).toEqual([2, 1, 0]);
    expect(operate(op(0, -2), op(0, 0), op(2, 5))).toBe(0);
    expect([...set.values]).toEqual([0, 1, 5]);
    expect(operate(op(1, 32767))).toBe(-ERANGE);
    expect(operate(op(3, 1))).toBe(-EFBIG);
    // Taking more than there is waits; a change that suffices ends that.
    const call = semaphores.operate(task, id, [op(0, -1, 0)], undefined) as Generator<unknown, number>;
    expect(call.next().done).toBe(false);
    expect(set.waiting(0, "grow")).toBe(1);
    expect(operate(op(0, 1))).toBe(0);
    expect(call.next()).toEqual({ done: true, value: 0 });
    expect(set.values[0]).toBe(0);
  });
});

describe("messages", () => {
  test("are picked by type", () => {
    const { messages } = kernel;
    const id = messages.get(task, IPC_PRIVATE, 0o600);
    for (const type of [3, 1, 4, 1, 5]) {
      expect(messages.send(task, id, { type, text: new Uint8Array(type) }, 0)).toBe(0);
    }
    const receive = (type: number, size = 10): unknown => {
      let got = 0;
      const take = (message: Message): number => (got = message.type);
      const result = messages.receive(task, id, { size, type, flags: IPC_NOWAIT }, take);
      return got || result;
    };
    expect(receive(4)).toBe(4);
    expect(receive(-3)).toBe(1);
    expect(receive(0, 2)).toBe(-E2BIG);
    expect(receive(0)).toBe(3);
    expect(receive(2)).toBe(-ENOMSG);
    expect(receive(-9)).toBe(1);
    expect(messages.totals()).toEqual({ queues: 1, messages: 1, bytes: 5 });
  });
});
