// timerfd and epoll without programs, on a clock that the test moves. guest/tests/poll-calls.c compares the calls with Linux.
import { beforeEach, describe, expect, test } from "vitest";
import { EAGAIN, ECANCELED, EINVAL, ENOENT } from "../../base/errno.ts";
import { bootFiles } from "../../testing/files.ts";
import { CLOCK_MONOTONIC, CLOCK_REALTIME, type ClockSource, clockSource } from "../clock-id.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import { nsToTime, timeToNs } from "../timespec.ts";
import { O_NONBLOCK, POLLIN } from "./abi.ts";
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollFile } from "./epoll.ts";
import { EventFile } from "./eventfd.ts";
import { TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET, TimerFile } from "./timerfd.ts";

let kernel: Kernel;
let task: Task;
beforeEach(() => ({ kernel, task } = bootFiles()));

function pass(ns: number): void {
  kernel.clock.jumpTo(kernel.clock.monotonic() + ns);
  kernel.timers.run(kernel.clock.monotonic());
}
const timerFile = (id: number): TimerFile => new TimerFile(kernel, clockSource(task, id) as ClockSource, O_NONBLOCK);
function ticks(file: TimerFile): number {
  const bytes = file.read(task, 8);
  if (typeof bytes === "number") return bytes;
  if (!(bytes instanceof Uint8Array)) throw new Error("the read waits");
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}
const setting = (
  value: number,
  interval: number,
): { value: ReturnType<typeof nsToTime>; interval: ReturnType<typeof nsToTime> } => ({
  value: nsToTime(value),
  interval: nsToTime(interval),
});

describe("timerfd", () => {
  test("once", () => {
    const file = timerFile(CLOCK_MONOTONIC);
    file.settime(setting(1000, 0), 0);
    expect(ticks(file)).toBe(-EAGAIN);
    expect(timeToNs(file.gettime().value)).toBe(1000);
    pass(400);
    expect(timeToNs(file.gettime().value)).toBe(600);
    pass(600);
    expect(file.poll()).toBe(POLLIN);
    expect(ticks(file)).toBe(1);
    pass(5000);
    expect(ticks(file)).toBe(-EAGAIN);
    expect(timeToNs(file.gettime().value)).toBe(0);
  });
  test("periodic: what nobody read is counted, and the rhythm is kept", () => {
    const file = timerFile(CLOCK_MONOTONIC);
    file.settime(setting(1000, 100), 0);
    pass(1350);
    expect(ticks(file)).toBe(4);
    expect(timeToNs(file.gettime().value)).toBe(50);
    pass(50);
    expect(ticks(file)).toBe(1);
    const before = file.settime(setting(0, 0), 0);
    expect(timeToNs(before.interval)).toBe(100);
    pass(1000);
    expect(ticks(file)).toBe(-EAGAIN);
  });
  test("absolute on CLOCK_REALTIME; told when the clock is set", () => {
    const file = timerFile(CLOCK_REALTIME);
    const { sec, nsec } = kernel.clock.realtime();
    const at = { value: { sec: sec + 5, nsec }, interval: { sec: 0, nsec: 0 } };
    file.settime(at, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    pass(4e9);
    expect(ticks(file)).toBe(-EAGAIN);
    kernel.clock.setRealtime({ sec: sec + 100, nsec: 0 });
    expect(file.poll()).toBe(POLLIN);
    expect(ticks(file)).toBe(-ECANCELED);
    file.put();
    expect(kernel.clock.setListeners.size).toBe(0);
  });
});

describe("epoll", () => {
  const event = (events: number, data = 1n): { events: number; data: bigint } => ({ events, data });
  test("level, edge and oneshot", () => {
    const epoll = new EpollFile(kernel.anonInodes, 0);
    const file = new EventFile(kernel.anonInodes, 0, { flags: O_NONBLOCK, semaphore: false });
    const add = (): unknown => file.write(task, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
    expect(epoll.control(EPOLL_CTL_MOD, 5, file, event(POLLIN))).toBe(-ENOENT);
    expect(epoll.control(EPOLL_CTL_ADD, 5, file, event(POLLIN))).toBe(0);
    expect(epoll.collect(8)).toEqual([]);
    add();
    expect(epoll.collect(8)).toHaveLength(1);
    expect(epoll.collect(8)).toHaveLength(1);
    epoll.control(EPOLL_CTL_MOD, 5, file, event(POLLIN | (2 ** 31)));
    expect(epoll.collect(8)).toHaveLength(1);
    expect(epoll.collect(8)).toEqual([]);
    add();
    expect(epoll.collect(8)).toHaveLength(1);
    epoll.control(EPOLL_CTL_MOD, 5, file, event(POLLIN | (2 ** 30)));
    expect(epoll.collect(8)).toHaveLength(1);
    add();
    expect(epoll.collect(8)).toEqual([]);
    expect(epoll.control(EPOLL_CTL_DEL, 5, file, event(0))).toBe(0);
    expect(epoll.control(9, 5, file, event(0))).toBe(-EINVAL);
  });
  test("those that are ready take turns", () => {
    const epoll = new EpollFile(kernel.anonInodes, 0);
    for (let fd = 0; fd < 3; fd++) {
      const file = new EventFile(kernel.anonInodes, 1, { flags: O_NONBLOCK, semaphore: false });
      epoll.control(EPOLL_CTL_ADD, fd, file, event(POLLIN, BigInt(fd)));
    }
    const seen = [1, 2, 3].map(() => epoll.collect(1)[0]?.data);
    expect(seen).toEqual([0n, 1n, 2n]);
  });
  test("a file that goes takes its items along", () => {
    const epoll = new EpollFile(kernel.anonInodes, 0);
    const file = new EventFile(kernel.anonInodes, 1, { flags: O_NONBLOCK, semaphore: false });
    epoll.control(EPOLL_CTL_ADD, 5, file, event(POLLIN));
    expect(epoll.poll()).not.toBe(0);
    file.put();
    expect(epoll.poll()).toBe(0);
    expect(epoll.fdinfo()).toBe("");
  });
});
