// POSIX timers of one process (timer_create and relatives, kernel/time/posix-timers.c). A periodic timer is started again when its signal is
// taken, not before: what passed meanwhile is the overrun count. signal-delivery.ts calls `delivered` for that.
import { EAGAIN, EINVAL } from "../base/errno.ts";
import type { Armed, ClockSource } from "./clock-id.ts";
import type { Process } from "./process.ts";
import { RLIMIT_SIGPENDING } from "./rlimit.ts";
import { type SigInfo, SI_TIMER } from "./siginfo.ts";
import type { Task } from "./task.ts";
import { type TimerSetting, nsToTime, timeToNs } from "./timespec.ts";

export const SIGEV_SIGNAL = 0;
export const SIGEV_NONE = 1;
export const SIGEV_THREAD = 2;
export const SIGEV_THREAD_ID = 4;
/** Overrun counts stop here (DELAYTIMER_MAX). */
const OVERRUN_MAX = 2 ** 31 - 1;
/** An ignored signal throttles its timer to one tick. */
const IGNORED_INTERVAL_NS = 4_000_000;

/** What a timer does when it expires. */
export interface TimerEvent {
  readonly notify: "signal" | "none";
  readonly signo: number;
  readonly value: bigint;
  /** SIGEV_THREAD_ID: the thread that gets it. */
  readonly thread: Task | null;
}

class PosixTimer {
  readonly id: number;
  readonly clock: ClockSource;
  readonly event: TimerEvent;
  /** ns; 0: once. */
  interval = 0;
  /** Base time of the next (or last) expiry; meaningless while it is off. */
  expires = 0;
  armed: Armed | null = null;
  /** Its signal is queued: started again when that is taken. */
  pending = false;
  round = 0;
  overrun = 0;
  lastOverrun = 0;

  constructor(id: number, clock: ClockSource, event: TimerEvent) {
    this.id = id;
    this.clock = clock;
    this.event = event;
  }

  /** Moves `expires` beyond now by whole intervals: how many (hrtimer_forward). */
  forward(): number {
    const late = this.clock.now() - this.expires;
    if (late < 0) return 0;
    const times = Math.floor(late / this.interval) + 1;
    this.expires += times * this.interval;
    return times;
  }
}

export class PosixTimers {
  readonly #process: Process;
  readonly #timers = new Map<number, PosixTimer>();
  #nextId = 0;

  constructor(process: Process) {
    this.#process = process;
  }

  /** A new timer, off: its id, or -EAGAIN. `event` undefined: SIGALRM with the id as its value. */
  create(clock: ClockSource, eventFor: (id: number) => TimerEvent): number {
    if (this.#timers.size >= this.#process.rlimit(RLIMIT_SIGPENDING)) return -EAGAIN;
    const id = this.#nextId++;
    this.#timers.set(id, new PosixTimer(id, clock, eventFor(id)));
    return id;
  }
  /** 0 or -EINVAL. */
  delete(id: number): number {
    const timer = this.#timers.get(id);
    if (timer === undefined) return -EINVAL;
    this.#stop(timer);
    this.#timers.delete(id);
    return 0;
  }
  /** exec and exit. */
  deleteAll(): void {
    for (const timer of this.#timers.values()) this.#stop(timer);
    this.#timers.clear();
  }

  /** timer_settime: what was set before, or -EINVAL. */
  set(id: number, setting: TimerSetting, options: { absolute: boolean }): TimerSetting | number {
    const timer = this.#timers.get(id);
    if (timer === undefined) return -EINVAL;
    const before = this.#remaining(timer);
    this.#stop(timer);
    timer.round++;
    timer.pending = false;
    timer.overrun = timer.lastOverrun = 0;
    timer.interval = timeToNs(setting.interval);
    const value = timeToNs(setting.value);
    if (value === 0) {
      timer.interval = 0;
      return before;
    }
    timer.expires = options.absolute ? timer.clock.toBase(setting.value) : timer.clock.now() + value;
    this.#start(timer);
    return before;
  }
  /** timer_gettime; -EINVAL. */
  get(id: number): TimerSetting | number {
    const timer = this.#timers.get(id);
    return timer === undefined ? -EINVAL : this.#remaining(timer);
  }
  /** timer_getoverrun; -EINVAL. */
  overrun(id: number): number {
    const timer = this.#timers.get(id);
    return timer === undefined ? -EINVAL : timer.lastOverrun;
  }

  /** A signal of one of these timers has been taken: the count goes into `info`, a periodic timer runs on. */
  delivered(info: SigInfo): void {
    const timer = this.#timers.get(info.timerId!);
    if (timer === undefined || info.timerRound !== timer.round || !timer.pending) return;
    timer.pending = false;
    if (timer.interval === 0) return;
    timer.overrun += timer.forward() - 1;
    timer.lastOverrun = Math.min(OVERRUN_MAX, Math.max(0, timer.overrun));
    timer.overrun = 0;
    info.overrun = Math.min(OVERRUN_MAX, (info.overrun ?? 0) + timer.lastOverrun);
    this.#start(timer);
  }

  #start(timer: PosixTimer): void {
    if (timer.event.notify === "none" || timer.expires === Infinity) {
      // Nothing happens: the time left is worked out when asked for.
      timer.armed = { cancel: () => undefined };
      return;
    }
    timer.armed = timer.clock.arm(timer.expires, () => this.#expire(timer));
  }
  #stop(timer: PosixTimer): void {
    timer.armed?.cancel();
    timer.armed = null;
  }

  #expire(timer: PosixTimer): void {
    timer.armed = null;
    const { signals } = this.#process.kernel;
    const { signo, value, thread } = timer.event;
    const queued = (thread ?? this.#process).pending.hasTimer(timer.id);
    if (queued !== undefined) {
      queued.overrun = (queued.overrun ?? 0) + 1;
      timer.pending = true;
      return;
    }
    const info: SigInfo = { signo, code: SI_TIMER, timerId: timer.id, timerRound: timer.round, overrun: 0, value };
    timer.pending = true;
    const sent = thread === null ? signals.sendToProcess(this.#process, info) : signals.sendToTask(thread, info);
    if (sent || timer.interval === 0) return;
    // Ignored: goes on by itself.
    timer.pending = false;
    timer.forward();
    timer.expires = Math.max(timer.expires, timer.clock.now() + IGNORED_INTERVAL_NS);
    this.#start(timer);
  }

  /** common_timer_get: interval and time left. */
  #remaining(timer: PosixTimer): TimerSetting {
    const interval = nsToTime(timer.interval);
    const silent = timer.event.notify === "none";
    if (timer.interval === 0 && timer.armed === null) return { interval, value: { sec: 0, nsec: 0 } };
    if (timer.interval !== 0 && (timer.pending || silent)) timer.overrun += timer.forward();
    const left = timer.expires - timer.clock.now();
    const never = silent ? 0 : 1;
    return { interval, value: left > 0 ? nsToTime(left) : { sec: 0, nsec: never } };
  }
}
