// timerfd(2): a timer that is read (fs/timerfd.c). As with POSIX timers, a periodic one is set again when somebody looks. Made by syscall/poll.ts.
import { EAGAIN, ECANCELED, EINVAL, ERESTARTSYS } from "../../base/errno.ts";
import type { Armed, ClockSource } from "../clock-id.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_ALARM } from "../clock-id.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import { type TimerSetting, nsToTime, timeToNs } from "../timespec.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import { O_RDWR, POLLIN } from "./abi.ts";
import { AnonFile } from "./anon.ts";
import type { ReadResult } from "./file.ts";

export const TFD_TIMER_ABSTIME = 1;
export const TFD_TIMER_CANCEL_ON_SET = 2;

export class TimerFile extends AnonFile {
  readonly #clock: ClockSource;
  readonly #kernel: Kernel;
  readonly #queue = new WaitQueue();
  /** ns; 0: once. */
  #interval = 0;
  /** Base time of the next or last expiry. */
  #expires = 0;
  #armed: Armed | null = null;
  /** Expired and, if periodic, not set again yet. */
  #expired = false;
  #ticks = 0;
  #settimeFlags = 0;
  /** The clock was set while the timer was one that wants to know; told to the next reader. */
  #canceled = false;
  readonly #clockWasSet = (): void => {
    this.#canceled = true;
    this.#queue.wake();
  };

  constructor(kernel: Kernel, clock: ClockSource, flags: number) {
    super(kernel.anonInodes, "[timerfd]", O_RDWR | flags);
    this.#kernel = kernel;
    this.#clock = clock;
  }
  protected override release(): void {
    this.#armed?.cancel();
    this.#kernel.clock.setListeners.delete(this.#clockWasSet);
  }

  /** timerfd_settime: what was set before. */
  settime(setting: TimerSetting, flags: number): TimerSetting {
    const before = this.gettime();
    this.#armed?.cancel();
    this.#armed = null;
    this.#expired = this.#canceled = false;
    this.#ticks = 0;
    this.#settimeFlags = flags;
    this.#interval = timeToNs(setting.interval);
    const listeners = this.#kernel.clock.setListeners;
    listeners.delete(this.#clockWasSet);
    const isWall = this.#clock.id === CLOCK_REALTIME || this.#clock.id === CLOCK_REALTIME_ALARM;
    const absolute = (flags & TFD_TIMER_ABSTIME) !== 0;
    if (isWall && absolute && (flags & TFD_TIMER_CANCEL_ON_SET) !== 0) listeners.add(this.#clockWasSet);
    const value = timeToNs(setting.value);
    if (value === 0) return before;
    this.#expires = absolute ? this.#clock.toBase(setting.value) : this.#clock.now() + value;
    this.#arm();
    return before;
  }
  /** timerfd_gettime: interval and time left. */
  gettime(): TimerSetting {
    if (this.#expired && this.#interval !== 0) this.#runOn();
    const left = this.#armed === null ? 0 : Math.max(0, this.#expires - this.#clock.now());
    return { interval: nsToTime(this.#interval), value: nsToTime(left) };
  }

  #arm(): void {
    if (this.#expires === Infinity) {
      this.#armed = { cancel: () => undefined };
      return;
    }
    this.#armed = this.#clock.arm(this.#expires, () => {
      this.#armed = null;
      this.#expired = true;
      this.#ticks++;
      this.#queue.wake();
    });
  }
  /** Counts what has passed since it expired and sets it again. */
  #runOn(): void {
    const late = Math.max(0, this.#clock.now() - this.#expires);
    const times = Math.floor(late / this.#interval) + 1;
    this.#expires += times * this.#interval;
    this.#ticks += times - 1;
    this.#expired = false;
    this.#arm();
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    if (length < 8) return -EINVAL;
    if (this.#ticks > 0 || this.#canceled) return this.#take();
    return this.nonblocking ? -EAGAIN : this.#readWaiting(task);
  }
  *#readWaiting(task: Task): Generator<Wait, ReadResult> {
    while (this.#ticks === 0 && !this.#canceled) {
      if ((yield* wait(task, this.#queue)) === "signal") return -ERESTARTSYS;
    }
    return this.#take();
  }
  #take(): ReadResult {
    if (this.#canceled) {
      this.#canceled = false;
      this.#ticks = 0;
      return -ECANCELED;
    }
    if (this.#expired && this.#interval !== 0) this.#runOn();
    this.#expired = false;
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, BigInt(this.#ticks), true);
    this.#ticks = 0;
    return out;
  }

  /** noop_llseek */
  override seek(): number {
    return 0;
  }
  override poll(): number {
    return this.#ticks > 0 || this.#canceled ? POLLIN : 0;
  }
  override pollQueues(): WaitQueue[] {
    return [this.#queue];
  }
  override fdinfo(): string {
    const left = this.#armed === null ? 0 : Math.max(0, this.#expires - this.#clock.now());
    const pair = (ns: number): string => {
      const { sec, nsec } = nsToTime(ns);
      return `(${sec}, ${nsec})`;
    };
    return (
      `clockid: ${this.#clock.id}\nticks: ${this.#ticks}\nsettime flags: 0${this.#settimeFlags.toString(8)}\n` +
      `it_value: ${pair(left)}\nit_interval: ${pair(this.#interval)}\n`
    );
  }
}
