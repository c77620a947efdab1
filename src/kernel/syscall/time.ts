// The time family: clocks, sleeping, interval timers and POSIX timers (timerfd is in poll.ts).
import { EINVAL, EOPNOTSUPP, EPERM, ERESTARTNOHAND, ERESTART_RESTARTBLOCK } from "../../base/errno.ts";
import { copyFromUser, copyToUser, putUser32 } from "../../mm/usercopy.ts";
import { CAP_SYS_TIME } from "../creds.ts";
import { CLOCK_MONOTONIC, CLOCK_REALTIME, type ClockSource, clockSource } from "../clock-id.ts";
import { getItimer, setItimer } from "../itimer.ts";
import type { HostTime } from "../ports.ts";
import {
  PosixTimers,
  SIGEV_NONE,
  SIGEV_SIGNAL,
  SIGEV_THREAD,
  SIGEV_THREAD_ID,
  type TimerEvent,
} from "../posix-timer.ts";
import { NSIG, SIGALRM } from "../siginfo.ts";
import type { Task } from "../task.ts";
import {
  isValidTime,
  nsToTime,
  readItimerval,
  readTimerSetting,
  readTimeval,
  readTimespec,
  readValidTimespec,
  timeToNs,
  writeItimerval,
  writeTimerSetting,
  writeTimespec,
  writeTimeval,
} from "../timespec.ts";
import { Wait } from "../wait.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const TIMER_ABSTIME = 1;
/** Times from here on cannot be set (TIME_SETTOD_SEC_MAX: 30 years before the 292 of the kernel's clock end). */
const SETTOD_SEC_MAX = 9223372036 - 30 * 365 * 86400;

// Clocks

function clockGettime(task: Task, args: Args): number {
  const id = args.i32(0);
  const { clock } = task.kernel;
  // The two that everybody asks for, without the table.
  if (id === CLOCK_REALTIME) return writeTimespec(task.mm, args.ptr(1), clock.realtime());
  if (id === CLOCK_MONOTONIC) return writeTimespec(task.mm, args.ptr(1), nsToTime(clock.monotonic()));
  const source = clockSource(task, id);
  if (typeof source === "number") return source;
  return source.readable ? writeTimespec(task.mm, args.ptr(1), source.read()) : -EINVAL;
}

function clockGetres(task: Task, args: Args): number {
  const source = clockSource(task, args.i32(0));
  if (typeof source === "number") return source;
  if (!source.readable) return -EINVAL;
  return args.ptr(1) === 0 ? 0 : writeTimespec(task.mm, args.ptr(1), { sec: 0, nsec: source.resolution });
}

function clockSettime(task: Task, args: Args): number {
  const id = args.i32(0);
  const source = clockSource(task, id);
  if (typeof source === "number") return source;
  const isCpuClock = id < 0;
  if (id !== CLOCK_REALTIME && !isCpuClock) return -EINVAL;
  const time = readTimespec(task.mm, args.ptr(1));
  if (typeof time === "number") return time;
  return isCpuClock ? -EPERM : setRealtime(task, time);
}

function setRealtime(task: Task, time: HostTime): number {
  if (!isValidTime(time) || time.sec >= SETTOD_SEC_MAX) return -EINVAL;
  if (!task.capable(CAP_SYS_TIME)) return -EPERM;
  const { clock } = task.kernel;
  // Not before the system's own start.
  if (timeToNs(time) < clock.monotonic()) return -EINVAL;
  clock.setRealtime(time);
  return 0;
}

function gettimeofday(task: Task, args: Args): number {
  if (args.ptr(0) !== 0) {
    const result = writeTimeval(task.mm, args.ptr(0), task.kernel.clock.realtime());
    if (result !== 0) return result;
  }
  // struct timezone: UTC.
  return args.ptr(1) === 0 ? 0 : copyToUser(task.mm, args.ptr(1), new Uint8Array(8));
}

function settimeofday(task: Task, args: Args): number {
  if (args.ptr(0) === 0 && args.ptr(1) === 0) return 0;
  let time: HostTime | number = 0;
  if (args.ptr(0) !== 0) {
    time = readTimeval(task.mm, args.ptr(0));
    if (typeof time === "number") return time;
    if (!isValidTime(time)) return -EINVAL;
  }
  if (args.ptr(1) !== 0) {
    const zone = copyFromUser(task.mm, args.ptr(1), 8);
    if (typeof zone === "number") return zone;
    if (!task.capable(CAP_SYS_TIME)) return -EPERM;
    const minutes = new DataView(zone.buffer, zone.byteOffset).getInt32(0, true);
    // Only UTC: the kernel's own zone shifts no clock that programs see.
    if (Math.abs(minutes) > 15 * 60) return -EINVAL;
  }
  return typeof time === "number" ? 0 : setRealtime(task, time);
}

const TIMEX_SIZE = 208;
const STA_UNSYNC = 0x40;
const TIME_ERROR = 5;

/** What adjtimex reports: nobody disciplines this clock. */
function timex(now: HostTime): Uint8Array {
  const bytes = new Uint8Array(TIMEX_SIZE);
  const v = new DataView(bytes.buffer);
  const put = (at: number, value: number): void => v.setBigInt64(at, BigInt(value), true);
  put(24, 16_000_000);
  put(32, 16_000_000);
  v.setInt32(40, STA_UNSYNC, true);
  put(48, 2);
  put(56, 1);
  put(64, 32_768_000);
  put(72, now.sec);
  put(80, Math.floor(now.nsec / 1000));
  put(88, 10_000);
  return bytes;
}

function adjust(task: Task, addr: number): number {
  const given = copyFromUser(task.mm, addr, TIMEX_SIZE);
  if (typeof given === "number") return given;
  const modes = new DataView(given.buffer, given.byteOffset).getUint32(0, true);
  // Reading is all there is: as for somebody without CAP_SYS_TIME.
  if (modes !== 0 && modes !== 0xa001) return -EPERM;
  const result = copyToUser(task.mm, addr, timex(task.kernel.clock.realtime()));
  return result === 0 ? TIME_ERROR : result;
}

function clockAdjtime(task: Task, args: Args): number {
  const source = clockSource(task, args.i32(0));
  if (typeof source === "number") return source;
  return source.id === CLOCK_REALTIME ? adjust(task, args.ptr(1)) : -EOPNOTSUPP;
}

// Sleeping

/** Sleeps until base time `deadline` of `clock`. Interrupted: the time left goes to `remaining` (0: nowhere) and the call can go on. */
function* sleep(
  task: Task,
  clock: ClockSource,
  deadline: number,
  options: { remaining: number; absolute: boolean },
): Generator<Wait, number> {
  if (!task.signalPending()) {
    const waiting = new Wait(task, [], {});
    const armed = deadline === Infinity ? null : clock.arm(deadline, () => waiting.end("timeout"));
    yield waiting;
    armed?.cancel();
    if (waiting.reason === "timeout") return 0;
  }
  if (options.absolute) return -ERESTARTNOHAND;
  const left = deadline - clock.now();
  if (left <= 0) return 0;
  if (options.remaining !== 0) {
    const result = writeTimespec(task.mm, options.remaining, nsToTime(left));
    if (result !== 0) return result;
  }
  task.restart = () => sleep(task, clock, deadline, options);
  return -ERESTART_RESTARTBLOCK;
}

function nanosleep(task: Task, args: Args): SyscallResult {
  const time = readValidTimespec(task.mm, args.ptr(0));
  if (typeof time === "number") return time;
  const clock = clockSource(task, CLOCK_MONOTONIC) as ClockSource;
  return sleep(task, clock, clock.now() + timeToNs(time), { remaining: args.ptr(1), absolute: false });
}

function clockNanosleep(task: Task, args: Args): SyscallResult {
  const clock = clockSource(task, args.i32(0));
  if (typeof clock === "number") return clock;
  if (!clock.sleeps) return clock.id < 0 ? -EINVAL : -EOPNOTSUPP;
  const time = readValidTimespec(task.mm, args.ptr(2));
  if (typeof time === "number") return time;
  const absolute = (args.i32(1) & TIMER_ABSTIME) !== 0;
  const deadline = absolute ? clock.toBase(time) : clock.now() + timeToNs(time);
  return sleep(task, clock, deadline, { remaining: args.ptr(3), absolute });
}

// Interval timers

function getitimer(task: Task, args: Args): number {
  const setting = getItimer(task.process, args.i32(0));
  return typeof setting === "number" ? setting : writeItimerval(task.mm, args.ptr(1), setting);
}

function setitimer(task: Task, args: Args): number {
  const nothing: HostTime = { sec: 0, nsec: 0 };
  // A null pointer turns the timer off, as it always did.
  const setting = args.ptr(1) === 0 ? { interval: nothing, value: nothing } : readItimerval(task.mm, args.ptr(1));
  if (typeof setting === "number") return setting;
  const before = setItimer(task.process, args.i32(0), setting);
  if (typeof before === "number") return before;
  return args.ptr(2) === 0 ? 0 : writeItimerval(task.mm, args.ptr(2), before);
}

// POSIX timers

const timersOf = (task: Task): PosixTimers => (task.process.posixTimers ??= new PosixTimers(task.process));

/** struct sigevent: value (8), signo, notify, thread id. undefined if it is not valid (good_sigevent), -EFAULT. */
function readEvent(task: Task, addr: number): TimerEvent | undefined | number {
  const bytes = copyFromUser(task.mm, addr, 64);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const value = v.getBigUint64(0, true);
  const signo = v.getInt32(8, true);
  const notify = v.getInt32(12, true);
  if (notify === SIGEV_NONE) return { notify: "none", signo, value, thread: null };
  if (notify !== SIGEV_SIGNAL && notify !== SIGEV_THREAD && notify !== (SIGEV_THREAD_ID | SIGEV_SIGNAL))
    return undefined;
  if (signo <= 0 || signo > NSIG) return undefined;
  if (notify !== SIGEV_THREAD_ID) return { notify: "signal", signo, value, thread: null };
  const thread = task.kernel.task(v.getInt32(16, true));
  return thread?.process === task.process ? { notify: "signal", signo, value, thread } : undefined;
}

function timerCreate(task: Task, args: Args): number {
  const clock = clockSource(task, args.i32(0));
  if (typeof clock === "number") return clock;
  if (!clock.timers) return -EOPNOTSUPP;
  let event: TimerEvent | undefined;
  if (args.ptr(1) !== 0) {
    const read = readEvent(task, args.ptr(1));
    if (typeof read === "number") return read;
    if (read === undefined) return -EINVAL;
    event = read;
  }
  const timers = timersOf(task);
  const id = timers.create(
    clock,
    (own) => event ?? { notify: "signal", signo: SIGALRM, value: BigInt(own), thread: null },
  );
  if (id < 0) return id;
  const result = putUser32(task.mm, args.ptr(2), id);
  if (result !== 0) timers.delete(id);
  return result;
}

function timerSettime(task: Task, args: Args): number {
  if (args.ptr(2) === 0) return -EINVAL;
  const setting = readTimerSetting(task.mm, args.ptr(2));
  if (typeof setting === "number") return setting;
  const before = timersOf(task).set(args.i32(0), setting, { absolute: (args.i32(1) & TIMER_ABSTIME) !== 0 });
  if (typeof before === "number") return before;
  return args.ptr(3) === 0 ? 0 : writeTimerSetting(task.mm, args.ptr(3), before);
}

function timerGettime(task: Task, args: Args): number {
  const setting = timersOf(task).get(args.i32(0));
  return typeof setting === "number" ? setting : writeTimerSetting(task.mm, args.ptr(1), setting);
}

export const timeCalls: readonly SyscallEntry[] = [
  { nr: 101, name: "nanosleep", handler: nanosleep, args: "timespec ptr" },
  { nr: 102, name: "getitimer", handler: getitimer, args: "itimer ptr" },
  { nr: 103, name: "setitimer", handler: setitimer, args: "itimer itimerval ptr" },
  { nr: 107, name: "timer_create", handler: timerCreate, args: "clock ptr ptr" },
  { nr: 108, name: "timer_gettime", handler: timerGettime, args: "int ptr" },
  { nr: 109, name: "timer_getoverrun", handler: (task, args) => timersOf(task).overrun(args.i32(0)), args: "int" },
  { nr: 110, name: "timer_settime", handler: timerSettime, args: "int hex itimerspec ptr" },
  { nr: 111, name: "timer_delete", handler: (task, args) => timersOf(task).delete(args.i32(0)), args: "int" },
  { nr: 112, name: "clock_settime", handler: clockSettime, args: "clock timespec" },
  { nr: 113, name: "clock_gettime", handler: clockGettime, args: "clock otimespec" },
  { nr: 114, name: "clock_getres", handler: clockGetres, args: "clock otimespec" },
  { nr: 115, name: "clock_nanosleep", handler: clockNanosleep, args: "clock hex timespec ptr" },
  { nr: 169, name: "gettimeofday", handler: gettimeofday, args: "ptr ptr" },
  { nr: 170, name: "settimeofday", handler: settimeofday, args: "ptr ptr" },
  { nr: 171, name: "adjtimex", handler: (task, args) => adjust(task, args.ptr(0)), args: "ptr" },
  { nr: 266, name: "clock_adjtime", handler: clockAdjtime, args: "clock ptr" },
];
