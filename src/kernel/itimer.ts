// The three interval timers of setitimer(2) (kernel/time/itimer.c): ITIMER_REAL on the monotonic clock, VIRTUAL and PROF on the process's CPU time
// (expired by cpu-clock.ts). alarm(3) of this architecture is ITIMER_REAL too.
import { EINVAL } from "../base/errno.ts";
import { cpuTime } from "./cpu-clock.ts";
import type { IntervalTimer, Process } from "./process.ts";
import { SIGALRM, SI_KERNEL } from "./siginfo.ts";
import { type TimerSetting, nsToTime, timeToNs } from "./timespec.ts";

export const ITIMER_REAL = 0;
export const ITIMER_VIRTUAL = 1;
export const ITIMER_PROF = 2;

const MICROSECOND = 1000;
/** VIRTUAL and PROF never show less than a tick while they run. */
const TICK_NS = 4_000_000;
const OFF = { sec: 0, nsec: 0 };

const off = (): IntervalTimer => ({ interval: 0, expires: Infinity, lastExpiry: 0 });

/** The three of a process, which gets them now if it has none. */
const timersOf = (process: Process): readonly IntervalTimer[] => (process.itimers ??= [off(), off(), off()]);

const now = (process: Process, which: number): number =>
  which === ITIMER_REAL
    ? process.kernel.clock.monotonic()
    : cpuTime({ of: process, kind: which === ITIMER_VIRTUAL ? "user" : "all" });

/** getitimer: interval and time left; -EINVAL. */
export function getItimer(process: Process, which: number): TimerSetting | number {
  const timer = timersOf(process)[which];
  if (timer === undefined) return -EINVAL;
  const interval = nsToTime(timer.interval);
  const least = which === ITIMER_REAL ? MICROSECOND : TICK_NS;
  if (timer.expires === Infinity) return { interval, value: OFF };
  return { interval, value: nsToTime(Math.max(least, timer.expires - now(process, which))) };
}

/** setitimer: what was set before; -EINVAL. A value of zero turns the timer off. */
export function setItimer(process: Process, which: number, setting: TimerSetting): TimerSetting | number {
  const before = getItimer(process, which);
  if (typeof before === "number") return before;
  const timer = timersOf(process)[which]!;
  const value = timeToNs(setting.value);
  timer.interval = timeToNs(setting.interval);
  timer.expires = value === 0 ? Infinity : now(process, which) + value;
  if (which === ITIMER_REAL) {
    if (value === 0) timer.interval = 0;
    armReal(process);
  }
  return before;
}

function armReal(process: Process): void {
  const timer = timersOf(process)[ITIMER_REAL]!;
  process.realTimer?.cancel();
  process.realTimer = null;
  if (timer.expires === Infinity) return;
  process.realTimer = process.kernel.timers.add(timer.expires, () => {
    process.realTimer = null;
    timer.lastExpiry = timer.expires;
    timer.expires = Infinity;
    process.kernel.signals.sendToProcess(process, { signo: SIGALRM, code: SI_KERNEL });
  });
}

/** A SIGALRM of the process as a whole has been taken: a periodic ITIMER_REAL that has expired starts again only now (dequeue_signal). */
export function alarmTaken(process: Process): void {
  const timer = process.itimers?.[ITIMER_REAL];
  if (timer === undefined || process.realTimer !== null || timer.interval === 0) return;
  const at = process.kernel.clock.monotonic();
  const late = Math.max(0, at - timer.lastExpiry);
  timer.expires = timer.lastExpiry + (Math.floor(late / timer.interval) + 1) * timer.interval;
  armReal(process);
}
