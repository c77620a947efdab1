// Waiting for descriptors: ppoll, pselect6, epoll, and the descriptors that are made to be waited for (eventfd, timerfd, signalfd).
import { EBADF, EFAULT, EINTR, EINVAL, EPERM, ERESTARTNOHAND } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser64 } from "../../mm/usercopy.ts";
import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  type ClockSource,
  clockSource,
} from "../clock-id.ts";
import {
  O_CLOEXEC,
  O_NONBLOCK,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDBAND,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from "../fs/abi.ts";
import { EPOLL_CTL_DEL, EpollFile } from "../fs/epoll.ts";
import { EventFile } from "../fs/eventfd.ts";
import type { OpenFile } from "../fs/file.ts";
import { SignalFile } from "../fs/signalfd.ts";
import { TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET, TimerFile } from "../fs/timerfd.ts";
import { RLIMIT_NOFILE } from "../rlimit.ts";
import { withSigmask } from "../signal-delivery.ts";
import type { Task } from "../task.ts";
import { nsToTime, readTimeout, readTimerSetting, writeTimerSetting, writeTimespec } from "../timespec.ts";
import { type Wait, type WaitQueue, wait } from "../wait.ts";
import { readSigset } from "./signal.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const CAP_WAKE_ALARM = 35;
const POLLFD_SIZE = 8;
/** struct epoll_event on riscv64: events (4), padding, data (8). */
const EPOLL_EVENT_SIZE = 16;
const EPOLL_MAX_EVENTS = Math.floor((2 ** 31 - 1) / EPOLL_EVENT_SIZE);
const EFD_SEMAPHORE = 1;

/** One descriptor that is polled: the file is held until the call ends. */
interface Polled {
  readonly file: OpenFile;
  readonly events: number;
}

/**
 * Waits until `check` counts something, the deadline passes (0) or a signal comes (-ERESTARTNOHAND). Lets go of the files at the end.
 */
function pollFiles(
  task: Task,
  files: readonly Polled[],
  check: () => number,
  deadline: number | undefined,
): SyscallResult {
  const found = check();
  if (found !== 0 || (deadline !== undefined && deadline <= task.kernel.clock.monotonic())) return found;
  return pollWaiting(task, files, check, deadline);
}
function* pollWaiting(
  task: Task,
  files: readonly Polled[],
  check: () => number,
  deadline: number | undefined,
): Generator<Wait, number> {
  const queues: WaitQueue[] = [];
  for (const { file, events } of files) {
    file.get();
    queues.push(...file.pollQueues(events));
  }
  try {
    for (;;) {
      const reason = yield* wait(task, queues, { deadline });
      const found = check();
      if (found !== 0 || reason === "timeout") return found;
      if (reason === "signal") return -ERESTARTNOHAND;
    }
  } finally {
    for (const { file } of files) file.put();
  }
}

/** poll_select_finish: the time left is written back; if that cannot be, an interrupted call is not made again. */
function finishTimed(task: Task, addr: number, deadline: number | undefined, started: number, result: number): number {
  if (addr === 0 || deadline === undefined || deadline === started) return result;
  const left = Math.max(0, deadline - task.kernel.clock.monotonic());
  const written = writeTimespec(task.mm, addr, nsToTime(left));
  return written !== 0 && result === -ERESTARTNOHAND ? -EINTR : result;
}
/** Runs `then` on the result, now or when the call has waited. */
function after(result: SyscallResult, then: (value: number) => number): SyscallResult {
  if (typeof result === "number") return then(result);
  return (function* (): Generator<Wait, number> {
    return then(yield* result);
  })();
}

function ppoll(task: Task, args: Args): SyscallResult {
  const [fdsAt, timeAt] = [args.ptr(0), args.ptr(2)];
  const count = args.u32(1);
  const started = task.kernel.clock.monotonic();
  const deadline = readTimeout(task.mm, task.kernel.clock, timeAt);
  if (deadline !== undefined && deadline < 0) return deadline;
  const mask = readSigset(task, args.ptr(3), args.u(4));
  if (typeof mask === "number") return mask;
  const call = (): SyscallResult => doPoll(task, fdsAt, count, deadline);
  return after(withSigmask(task, mask, call), (value) => finishTimed(task, timeAt, deadline, started, value));
}

function doPoll(task: Task, fdsAt: number, count: number, deadline: number | undefined): SyscallResult {
  if (count > task.process.rlimit(RLIMIT_NOFILE)) return -EINVAL;
  const bytes = copyFromUser(task.mm, fdsAt, count * POLLFD_SIZE);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const polled: (Polled | undefined)[] = [];
  for (let i = 0; i < count; i++) {
    const file = task.files.io(v.getInt32(i * POLLFD_SIZE, true));
    const events = v.getUint16(i * POLLFD_SIZE + 4, true) | POLLERR | POLLHUP;
    polled.push(file === undefined ? undefined : { file, events });
  }
  const check = (): number => {
    let found = 0;
    for (let i = 0; i < count; i++) {
      const entry = polled[i];
      const absent = v.getInt32(i * POLLFD_SIZE, true) < 0 ? 0 : POLLNVAL;
      const ready = entry === undefined ? absent : entry.file.poll() & entry.events;
      v.setUint16(i * POLLFD_SIZE + 6, ready, true);
      if (ready !== 0) found++;
    }
    return found;
  };
  const files = polled.filter((entry) => entry !== undefined);
  return after(pollFiles(task, files, check, deadline), (found) => {
    // revents only: the other fields may have changed meanwhile, and are the program's.
    for (let i = 0; i < count; i++) {
      const revents = bytes.subarray(i * POLLFD_SIZE + 6, i * POLLFD_SIZE + 8);
      if (copyToUser(task.mm, fdsAt + i * POLLFD_SIZE + 6, revents) !== 0) return -EFAULT;
    }
    return found;
  });
}

// select

const READ_SET = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL;
const WRITE_SET = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL;
const EXCEPT_SET = POLLPRI | POLLNVAL;
const SELECT_SETS = [READ_SET, WRITE_SET, EXCEPT_SET];

function pselect6(task: Task, args: Args): SyscallResult {
  const sets = [args.ptr(1), args.ptr(2), args.ptr(3)];
  const timeAt = args.ptr(4);
  const sigmaskAt = args.ptr(5);
  const count = args.i32(0);
  let mask: bigint | null | number = null;
  if (sigmaskAt !== 0) {
    // struct sigset_argpack: the set's address and its size.
    const addr = getUser64(task.mm, sigmaskAt);
    const size = getUser64(task.mm, sigmaskAt + 8);
    if (typeof addr === "number" || typeof size === "number") return -EFAULT;
    mask = readSigset(task, Number(addr), Number(size));
  }
  const started = task.kernel.clock.monotonic();
  const deadline = readTimeout(task.mm, task.kernel.clock, timeAt);
  if (deadline !== undefined && deadline < 0) return deadline;
  if (typeof mask === "number") return mask;
  const call = (): SyscallResult => doSelect(task, count, sets, deadline);
  return after(withSigmask(task, mask, call), (value) => finishTimed(task, timeAt, deadline, started, value));
}

function doSelect(task: Task, n: number, addrs: number[], deadline: number | undefined): SyscallResult {
  if (n < 0) return -EINVAL;
  const count = Math.min(n, task.files.capacity);
  const size = Math.ceil(count / 64) * 8;
  const wanted: (Uint8Array | null)[] = [];
  for (const addr of addrs) {
    const bytes = addr === 0 ? null : copyFromUser(task.mm, addr, size);
    if (typeof bytes === "number") return bytes;
    wanted.push(bytes);
  }
  const results = wanted.map((bytes) => (bytes === null ? null : new Uint8Array(size)));
  const isSet = (bytes: Uint8Array | null, fd: number): boolean =>
    bytes !== null && (bytes[fd >> 3]! & (1 << (fd & 7))) !== 0;
  const polled: (Polled & { fd: number })[] = [];
  for (let fd = 0; fd < count; fd++) {
    let events = 0;
    SELECT_SETS.forEach((set, i) => (events |= isSet(wanted[i]!, fd) ? set : 0));
    if (events === 0) continue;
    const file = task.files.io(fd);
    if (file === undefined) return -EBADF;
    polled.push({ fd, file, events });
  }
  const check = (): number => {
    let found = 0;
    for (const { fd, file } of polled) {
      const ready = file.poll();
      SELECT_SETS.forEach((set, i) => {
        if ((ready & set) === 0 || !isSet(wanted[i]!, fd)) return;
        results[i]![fd >> 3]! |= 1 << (fd & 7);
        found++;
      });
    }
    return found;
  };
  return after(pollFiles(task, polled, check, deadline), (found) => {
    if (found < 0) return found;
    for (const [i, bytes] of results.entries()) {
      if (bytes !== null && copyToUser(task.mm, addrs[i]!, bytes) !== 0) return -EFAULT;
    }
    return found;
  });
}

// epoll

function install(task: Task, file: OpenFile, flags: number): number {
  const options = { cloexec: (flags & O_CLOEXEC) !== 0, limit: task.process.rlimit(RLIMIT_NOFILE) };
  const fd = task.files.install(file, options);
  if (fd < 0) file.put();
  return fd;
}

function epollCreate1(task: Task, args: Args): number {
  const flags = args.i32(0);
  if ((flags & ~O_CLOEXEC) !== 0) return -EINVAL;
  return install(task, new EpollFile(task.kernel.anonInodes, 0), flags);
}

function epollCtl(task: Task, args: Args): number {
  const op = args.i32(1);
  let event = { events: 0, data: 0n };
  if (op !== EPOLL_CTL_DEL) {
    const bytes = copyFromUser(task.mm, args.ptr(3), EPOLL_EVENT_SIZE);
    if (typeof bytes === "number") return bytes;
    const v = new DataView(bytes.buffer, bytes.byteOffset);
    event = { events: v.getUint32(0, true), data: v.getBigUint64(8, true) };
  }
  const epoll = task.files.io(args.i32(0));
  const file = task.files.io(args.i32(2));
  if (epoll === undefined || file === undefined) return -EBADF;
  if (!file.pollable) return -EPERM;
  return epoll instanceof EpollFile ? epoll.control(op, args.i32(2), file, event) : -EINVAL;
}

/** epoll_pwait and epoll_pwait2. `deadline` undefined: wait for ever. */
function epollWait(task: Task, args: Args, deadline: number | undefined): SyscallResult {
  const [at, max] = [args.ptr(1), args.i32(2)];
  const mask = readSigset(task, args.ptr(4), args.u(5));
  if (typeof mask === "number") return mask;
  if (max <= 0 || max > EPOLL_MAX_EVENTS) return -EINVAL;
  const epoll = task.files.io(args.i32(0));
  if (epoll === undefined) return -EBADF;
  if (!(epoll instanceof EpollFile)) return -EINVAL;
  return withSigmask(task, mask, () => collectEvents(task, epoll, at, max, deadline));
}
function collectEvents(
  task: Task,
  epoll: EpollFile,
  at: number,
  max: number,
  deadline: number | undefined,
): SyscallResult {
  const count = giveEvents(task, epoll, at, max);
  if (count !== 0 || (deadline !== undefined && deadline <= task.kernel.clock.monotonic())) return count;
  return waitEvents(task, epoll, at, max, deadline);
}
function* waitEvents(
  task: Task,
  epoll: EpollFile,
  at: number,
  max: number,
  deadline: number | undefined,
): Generator<Wait, number> {
  epoll.get();
  try {
    for (;;) {
      const reason = yield* wait(task, epoll.waiters, { deadline });
      const count = giveEvents(task, epoll, at, max);
      if (count !== 0 || reason === "timeout") return count;
      if (reason === "signal") return -EINTR;
    }
  } finally {
    epoll.put();
  }
}
function giveEvents(task: Task, epoll: EpollFile, at: number, max: number): number {
  const events = epoll.collect(max);
  if (events.length === 0) return 0;
  const out = new Uint8Array(events.length * EPOLL_EVENT_SIZE);
  const v = new DataView(out.buffer);
  events.forEach((event, i) => {
    v.setUint32(i * EPOLL_EVENT_SIZE, event.events, true);
    v.setBigUint64(i * EPOLL_EVENT_SIZE + 8, event.data, true);
  });
  return copyToUser(task.mm, at, out) === 0 ? events.length : -EFAULT;
}

function epollPwait(task: Task, args: Args): SyscallResult {
  const ms = args.i32(3);
  return epollWait(task, args, ms < 0 ? undefined : task.kernel.clock.monotonic() + ms * 1e6);
}
function epollPwait2(task: Task, args: Args): SyscallResult {
  const deadline = readTimeout(task.mm, task.kernel.clock, args.ptr(3));
  return deadline !== undefined && deadline < 0 ? deadline : epollWait(task, args, deadline);
}

// eventfd, signalfd, timerfd

function eventfd2(task: Task, args: Args): number {
  const flags = args.i32(1);
  if ((flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const options = { flags: flags & O_NONBLOCK, semaphore: (flags & EFD_SEMAPHORE) !== 0 };
  return install(task, new EventFile(task.kernel.anonInodes, args.u32(0), options), flags);
}

function signalfd4(task: Task, args: Args): number {
  const [fd, flags] = [args.i32(0), args.i32(3)];
  if (args.u(2) !== 8) return -EINVAL;
  const mask = getUser64(task.mm, args.ptr(1));
  if (typeof mask === "number") return mask;
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  if (fd === -1) return install(task, new SignalFile(task.kernel, mask, flags & O_NONBLOCK), flags);
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  if (!(file instanceof SignalFile)) return -EINVAL;
  file.setMask(mask);
  return fd;
}

function timerfdCreate(task: Task, args: Args): number {
  const [id, flags] = [args.i32(0), args.i32(1)];
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const alarm = id === CLOCK_REALTIME_ALARM || id === CLOCK_BOOTTIME_ALARM;
  if (id !== CLOCK_REALTIME && id !== CLOCK_MONOTONIC && id !== CLOCK_BOOTTIME && !alarm) return -EINVAL;
  if (alarm && !task.capable(CAP_WAKE_ALARM)) return -EPERM;
  const clock = clockSource(task, id) as ClockSource;
  return install(task, new TimerFile(task.kernel, clock, flags & O_NONBLOCK), flags);
}
function timerFile(task: Task, fd: number): TimerFile | number {
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  return file instanceof TimerFile ? file : -EINVAL;
}
function timerfdSettime(task: Task, args: Args): number {
  const flags = args.i32(1);
  const setting = readTimerSetting(task.mm, args.ptr(2));
  if (typeof setting === "number") return setting;
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0) return -EINVAL;
  const file = timerFile(task, args.i32(0));
  if (typeof file === "number") return file;
  const before = file.settime(setting, flags);
  return args.ptr(3) === 0 ? 0 : writeTimerSetting(task.mm, args.ptr(3), before);
}
function timerfdGettime(task: Task, args: Args): number {
  const file = timerFile(task, args.i32(0));
  return typeof file === "number" ? file : writeTimerSetting(task.mm, args.ptr(1), file.gettime());
}

export const pollCalls: readonly SyscallEntry[] = [
  { nr: 19, name: "eventfd2", handler: eventfd2, args: "uint oflags" },
  { nr: 20, name: "epoll_create1", handler: epollCreate1, args: "oflags" },
  { nr: 21, name: "epoll_ctl", handler: epollCtl, args: "fd epollop fd ptr" },
  { nr: 22, name: "epoll_pwait", handler: epollPwait, args: "fd ptr int int sigset size" },
  { nr: 72, name: "pselect6", handler: pselect6, args: "int ptr ptr ptr timespec ptr" },
  { nr: 73, name: "ppoll", handler: ppoll, args: "pollfds uint timespec sigset size" },
  { nr: 74, name: "signalfd4", handler: signalfd4, args: "fd sigset size oflags" },
  { nr: 85, name: "timerfd_create", handler: timerfdCreate, args: "clock oflags" },
  { nr: 86, name: "timerfd_settime", handler: timerfdSettime, args: "fd hex itimerspec ptr" },
  { nr: 87, name: "timerfd_gettime", handler: timerfdGettime, args: "fd ptr" },
  { nr: 441, name: "epoll_pwait2", handler: epollPwait2, args: "fd ptr int timespec sigset size" },
];
