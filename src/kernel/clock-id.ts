// clockid_t: which clock a call means, how it is read, and how timers on it are set (posix-timers.c's clock table). Used by the time calls,
// POSIX timers and timerfd.
import { EINVAL } from "../base/errno.ts";
import type { HostTime } from "./ports.ts";
import { type CpuClock, cpuTime } from "./cpu-clock.ts";
import type { Kernel } from "./kernel.ts";
import type { Task } from "./task.ts";
import { nsToTime, timeToNs } from "./timespec.ts";

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
export const CLOCK_MONOTONIC_RAW = 4;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_REALTIME_ALARM = 8;
export const CLOCK_BOOTTIME_ALARM = 9;
export const CLOCK_TAI = 11;

/** A tick of the coarse clocks: CONFIG_HZ is 250. */
const TICK_NS = 4_000_000;

/** Something that can still be called off. */
export interface Armed {
  cancel(): void;
}

/** A clock as one task sees it. All base times are nanoseconds on the clock that the timers really run on. */
export interface ClockSource {
  readonly id: number;
  /** clock_getres, ns. */
  readonly resolution: number;
  read(): HostTime;
  /** clock_gettime and clock_getres work: the alarm clocks need a real-time clock device (else -EINVAL). */
  readonly readable: boolean;
  /** clock_nanosleep works (else -EOPNOTSUPP). */
  readonly sleeps: boolean;
  /** timer_create works (else -EOPNOTSUPP). */
  readonly timers: boolean;
  /** Now, as a base time. */
  now(): number;
  /** An absolute time of this clock as a base time. */
  toBase(time: HostTime): number;
  /** Calls back when base time `deadline` has passed. */
  arm(deadline: number, callback: () => void): Armed;
}

/** The clock `id`, or -EINVAL. */
export function clockSource(task: Task, id: number): ClockSource | number {
  if (id < 0) return dynamicClock(task, id);
  switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
      return new WallClock(task.kernel, id);
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      return new SteadyClock(task.kernel, id);
    case CLOCK_MONOTONIC_RAW:
      return new SteadyClock(task.kernel, id, "read only");
    case CLOCK_MONOTONIC_COARSE:
      return new CoarseClock(task.kernel, id, "steady");
    case CLOCK_REALTIME_COARSE:
      return new CoarseClock(task.kernel, id, "wall");
    case CLOCK_REALTIME_ALARM:
      return new WallClock(task.kernel, id, "none");
    case CLOCK_BOOTTIME_ALARM:
      return new SteadyClock(task.kernel, id, "none");
    case CLOCK_PROCESS_CPUTIME_ID:
      return new UsageClock(id, { of: task.process, kind: "all" });
    case CLOCK_THREAD_CPUTIME_ID:
      return new UsageClock(id, { of: task, kind: "all" });
    default:
      return -EINVAL;
  }
}

/** The CPU clock of another process or thread: ~pid << 3, 4 for a thread, and what is counted (make_process_cpuclock). */
function dynamicClock(task: Task, id: number): ClockSource | number {
  const pid = ~(id >> 3);
  const which = id & 3;
  if (which === 3) return -EINVAL;
  const kind = which === 1 ? "user" : "all";
  if ((id & 4) !== 0) {
    const target = pid === 0 ? task : task.kernel.task(pid);
    return target === undefined || target.process !== task.process ? -EINVAL : new UsageClock(id, { of: target, kind });
  }
  const target = pid === 0 ? task.process : task.kernel.process(pid);
  return target === undefined ? -EINVAL : new UsageClock(id, { of: target, kind });
}

/** CLOCK_MONOTONIC and those that run with it: there is no suspend. */
class SteadyClock implements ClockSource {
  readonly id: number;
  readonly resolution: number = 1;
  readonly readable: boolean;
  readonly sleeps: boolean;
  readonly timers: boolean;
  protected readonly kernel: Kernel;

  constructor(kernel: Kernel, id: number, use: "all" | "read only" | "none" = "all") {
    this.kernel = kernel;
    this.id = id;
    this.readable = use !== "none";
    this.sleeps = this.timers = use === "all";
  }
  read(): HostTime {
    return nsToTime(this.kernel.clock.monotonic());
  }
  now(): number {
    return this.kernel.clock.monotonic();
  }
  toBase(time: HostTime): number {
    return timeToNs(time);
  }
  arm(deadline: number, callback: () => void): Armed {
    return this.kernel.timers.add(deadline, callback);
  }
}

/** CLOCK_REALTIME and CLOCK_TAI (offset 0, as without a time daemon): timers run on the monotonic clock. */
class WallClock extends SteadyClock {
  override read(): HostTime {
    return this.kernel.clock.realtime();
  }
  override toBase(time: HostTime): number {
    return timeToNs(time) === Infinity ? Infinity : this.kernel.clock.fromRealtime(time);
  }
}

/** The clocks that change with each tick. */
class CoarseClock extends SteadyClock {
  override readonly resolution = TICK_NS;
  readonly #wall: boolean;
  constructor(kernel: Kernel, id: number, base: "steady" | "wall") {
    super(kernel, id, "read only");
    this.#wall = base === "wall";
  }
  override read(): HostTime {
    const { clock } = this.kernel;
    const ns = clock.monotonic();
    const { sec, nsec } = this.#wall ? clock.realtime() : nsToTime(ns);
    return { sec, nsec: nsec - (nsec % TICK_NS) };
  }
}

/** CPU time of a thread or process. */
class UsageClock implements ClockSource {
  readonly id: number;
  readonly resolution = 1;
  readonly readable = true;
  readonly sleeps: boolean;
  readonly timers = true;
  readonly #clock: CpuClock;

  constructor(id: number, clock: CpuClock) {
    this.id = id;
    this.#clock = clock;
    // Nobody can wait for its own CPU time.
    this.sleeps =
      id !== CLOCK_THREAD_CPUTIME_ID && !("tid" in clock.of && clock.of === clock.of.kernel.scheduler.current);
  }
  read(): HostTime {
    return nsToTime(this.now());
  }
  now(): number {
    return cpuTime(this.#clock);
  }
  toBase(time: HostTime): number {
    return timeToNs(time);
  }
  arm(deadline: number, callback: () => void): Armed {
    const { of } = this.#clock;
    const process = "tid" in of ? of.process : of;
    return process.cpuTimers.add(this.#clock, deadline, callback);
  }
}
