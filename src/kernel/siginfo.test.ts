// Signal sets, queues and siginfo as user space sees it: layouts from include/uapi/asm-generic/siginfo.h, the order from kernel/signal.c.
import { describe, expect, test } from "vitest";
import {
  SIGCHLD,
  SIGKILL,
  SIGSEGV,
  SIGTERM,
  SIGUSR1,
  SI_QUEUE,
  SI_TIMER,
  SI_USER,
  SignalQueue,
  encodeSigInfo,
} from "./siginfo.ts";
import { nextSignal, sigset } from "./siginfo.ts";

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset);

describe("nextSignal", () => {
  test("the lowest one, those of faults before all others", () => {
    expect(nextSignal(0n)).toBe(0);
    expect(nextSignal(sigset(SIGTERM, SIGUSR1))).toBe(SIGUSR1);
    expect(nextSignal(sigset(SIGUSR1, SIGSEGV))).toBe(SIGSEGV);
    expect(nextSignal(sigset(64))).toBe(64);
    expect(nextSignal(sigset(33, 64))).toBe(33);
    expect(nextSignal(sigset(32))).toBe(32);
  });
});

describe("SignalQueue", () => {
  test("standard signals merge, realtime ones queue in order", () => {
    const queue = new SignalQueue();
    expect(queue.add({ signo: SIGTERM, code: SI_USER, pid: 1 })).toBe(true);
    expect(queue.add({ signo: SIGTERM, code: SI_USER, pid: 2 })).toBe(false);
    queue.add({ signo: 40, code: SI_QUEUE, value: 1n });
    queue.add({ signo: 40, code: SI_QUEUE, value: 2n });
    expect(queue.length).toBe(3);
    expect(queue.take(SIGTERM).pid).toBe(1);
    expect(queue.take(40).value).toBe(1n);
    expect(queue.set).toBe(sigset(40));
    expect(queue.take(40).value).toBe(2n);
    expect(queue.set).toBe(0n);
  });
  test("each timer's signal is its own, standard or not", () => {
    const queue = new SignalQueue();
    queue.add({ signo: SIGUSR1, code: SI_TIMER, timerId: 0 });
    expect(queue.add({ signo: SIGUSR1, code: SI_TIMER, timerId: 1 })).toBe(true);
    expect(queue.hasTimer(1)?.timerId).toBe(1);
    queue.flush(sigset(SIGUSR1, SIGKILL));
    expect(queue.length).toBe(0);
    expect(queue.hasTimer(1)).toBeUndefined();
  });
});

describe("encodeSigInfo", () => {
  test("kill, fault, child, timer, queue", () => {
    const kill = view(encodeSigInfo({ signo: SIGTERM, code: SI_USER, pid: 7, uid: 1000 }));
    expect([kill.getInt32(0, true), kill.getInt32(8, true), kill.getInt32(16, true), kill.getInt32(20, true)]).toEqual([
      15, 0, 7, 1000,
    ]);
    const fault = view(encodeSigInfo({ signo: SIGSEGV, code: 1, addr: 0x7fff12345678 }));
    expect(fault.getBigUint64(16, true)).toBe(0x7fff12345678n);
    const child = view(encodeSigInfo({ signo: SIGCHLD, code: 1, pid: 9, uid: 0, status: 3, utime: 4, stime: 5 }));
    expect([child.getInt32(16, true), child.getInt32(24, true)]).toEqual([9, 3]);
    expect([child.getBigInt64(32, true), child.getBigInt64(40, true)]).toEqual([4n, 5n]);
    const timer = view(encodeSigInfo({ signo: 34, code: SI_TIMER, timerId: 2, overrun: 6, value: -1n }));
    expect([timer.getInt32(16, true), timer.getInt32(20, true)]).toEqual([2, 6]);
    expect(timer.getBigUint64(24, true)).toBe(0xffffffffffffffffn);
    const raw = new Uint8Array(128).fill(0xaa);
    const queued = encodeSigInfo({ signo: 34, code: SI_QUEUE, raw });
    expect(view(queued).getInt32(0, true)).toBe(34);
    expect(queued[127]).toBe(0xaa);
    expect(raw[0]).toBe(0xaa);
  });
});
