// The futex family: futex(2) with its operations, futex_waitv and the calls of the newer interface, robust lists.
import { EINVAL, ENOSYS, EPERM, ERESTARTSYS, ERESTART_RESTARTBLOCK, ESRCH } from "../../base/errno.ts";
import { copyFromUser, putUser64 } from "../../mm/usercopy.ts";
import { CAP_SYS_PTRACE } from "../creds.ts";
import { FUTEX_BITSET_MATCH_ANY, type FutexWord } from "../futex-queue.ts";
import { ROBUST_LIST_HEAD_SIZE } from "../futex-robust.ts";
import type { Task } from "../task.ts";
import { readValidTimespec, timeToNs } from "../timespec.ts";
import type { Wait } from "../wait.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const FUTEX_REQUEUE = 3;
const FUTEX_CMP_REQUEUE = 4;
const FUTEX_WAKE_OP = 5;
const FUTEX_LOCK_PI = 6;
const FUTEX_UNLOCK_PI = 7;
const FUTEX_TRYLOCK_PI = 8;
const FUTEX_WAIT_BITSET = 9;
const FUTEX_WAKE_BITSET = 10;
const FUTEX_LOCK_PI2 = 13;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;
const FUTEX_CMD_MASK = ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);

// The flags of futex_waitv and the calls numbered 454 to 456.
const FUTEX2_SIZE_MASK = 3;
const FUTEX2_SIZE_U32 = 2;
const FUTEX2_PRIVATE = 128;
const FUTEX_WAITV_MAX = 128;
const WAITV_SIZE = 24;

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

/** The deadline at `addr` on one of the two clocks, in ns on CLOCK_MONOTONIC; undefined for none; -EFAULT, -EINVAL. */
function readDeadline(
  task: Task,
  addr: number,
  clock: "relative" | typeof CLOCK_REALTIME | typeof CLOCK_MONOTONIC,
): { deadline: number | undefined } | number {
  if (addr === 0) return { deadline: undefined };
  const time = readValidTimespec(task.mm, addr);
  if (typeof time === "number") return time;
  const ns = timeToNs(time);
  const { clock: clocks } = task.kernel;
  if (clock === "relative") return { deadline: clocks.monotonic() + ns };
  if (clock === CLOCK_MONOTONIC || ns === Infinity) return { deadline: ns };
  return { deadline: clocks.fromRealtime(time) };
}

function futex(task: Task, args: Args): SyscallResult {
  const op = args.i32(1);
  const command = op & FUTEX_CMD_MASK;
  const realtime = (op & FUTEX_CLOCK_REALTIME) !== 0;
  let deadline: number | undefined;
  const timed =
    command === FUTEX_WAIT || command === FUTEX_WAIT_BITSET || command === FUTEX_LOCK_PI || command === FUTEX_LOCK_PI2;
  if (timed) {
    const clock =
      command === FUTEX_WAIT ? "relative" : realtime || command === FUTEX_LOCK_PI ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    const read = readDeadline(task, args.ptr(3), clock);
    if (typeof read === "number") return read;
    deadline = read.deadline;
  }
  if (realtime && command !== FUTEX_WAIT_BITSET && command !== FUTEX_LOCK_PI2) return -ENOSYS;
  const shared = (op & FUTEX_PRIVATE_FLAG) === 0;
  const word = { addr: args.ptr(0), shared };
  const second = { addr: args.ptr(4), shared };
  const { futexes } = task.kernel;
  switch (command) {
    case FUTEX_WAIT:
      return waitRestartable(task, word, args.u32(2), { bitset: FUTEX_BITSET_MATCH_ANY, deadline });
    case FUTEX_WAIT_BITSET:
      return waitRestartable(task, word, args.u32(2), { bitset: args.u32(5), deadline });
    case FUTEX_WAKE:
      return futexes.wake(task.mm, word, args.i32(2));
    case FUTEX_WAKE_BITSET:
      return futexes.wake(task.mm, word, args.i32(2), args.u32(5));
    case FUTEX_REQUEUE:
      return futexes.requeue(task.mm, word, second, { wake: args.i32(2), move: args.i32(3) }, undefined);
    case FUTEX_CMP_REQUEUE:
      return futexes.requeue(task.mm, word, second, { wake: args.i32(2), move: args.i32(3) }, args.u32(5));
    case FUTEX_WAKE_OP:
      return futexes.wakeOp(task.mm, word, second, { first: args.i32(2), second: args.i32(3) }, args.u32(5));
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return futexes.locks.lock(task, word, { deadline });
    case FUTEX_TRYLOCK_PI:
      return futexes.locks.lock(task, word, { try: true });
    case FUTEX_UNLOCK_PI:
      return futexes.locks.unlock(task, word);
    default:
      return -ENOSYS;
  }
}

/** A wait that a signal interrupts goes on afterwards: without a time limit as a new call, else with what is left of it (futex_wait_restart). */
function waitRestartable(
  task: Task,
  word: FutexWord,
  expected: number,
  options: { bitset: number; deadline: number | undefined },
): SyscallResult {
  const result = task.kernel.futexes.wait(task, word, expected, options);
  if (typeof result === "number" || options.deadline === undefined) return result;
  return (function* (): Generator<Wait, number> {
    const outcome = yield* result;
    if (outcome !== -ERESTARTSYS) return outcome;
    task.restart = () => waitRestartable(task, word, expected, options);
    return -ERESTART_RESTARTBLOCK;
  })();
}

/** Flags of the newer interface: 32-bit words only. */
const validFlags = (flags: number): boolean =>
  (flags & ~(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE)) === 0 && (flags & FUTEX2_SIZE_MASK) === FUTEX2_SIZE_U32;

/** An array of struct futex_waitv; -EFAULT, -EINVAL. */
function readWaiters(task: Task, addr: number, count: number): (FutexWord & { expected: number })[] | number {
  const bytes = copyFromUser(task.mm, addr, count * WAITV_SIZE);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const words: (FutexWord & { expected: number })[] = [];
  for (let at = 0; at < count * WAITV_SIZE; at += WAITV_SIZE) {
    const flags = v.getUint32(at + 16, true);
    if (!validFlags(flags) || v.getUint32(at + 20, true) !== 0 || v.getUint32(at + 4, true) !== 0) return -EINVAL;
    words.push({
      expected: v.getUint32(at, true),
      addr: Number(v.getBigUint64(at + 8, true)),
      shared: (flags & FUTEX2_PRIVATE) === 0,
    });
  }
  return words;
}

function readClockDeadline(task: Task, addr: number, clockId: number): { deadline: number | undefined } | number {
  if (addr !== 0 && clockId !== CLOCK_REALTIME && clockId !== CLOCK_MONOTONIC) return -EINVAL;
  return readDeadline(task, addr, clockId === CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

function futexWaitv(task: Task, args: Args): SyscallResult {
  const count = args.u32(1);
  if (args.u32(2) !== 0 || count === 0 || count > FUTEX_WAITV_MAX || args.ptr(0) === 0) return -EINVAL;
  const time = readClockDeadline(task, args.ptr(3), args.i32(4));
  if (typeof time === "number") return time;
  const words = readWaiters(task, args.ptr(0), count);
  return typeof words === "number" ? words : task.kernel.futexes.waitMultiple(task, words, time.deadline);
}

function futexWake(task: Task, args: Args): number {
  const flags = args.u32(3);
  if (!validFlags(flags) || args.u(1) > 0xffffffff) return -EINVAL;
  const word = { addr: args.ptr(0), shared: (flags & FUTEX2_PRIVATE) === 0 };
  // Here 0 means none (FLAGS_STRICT); the address is looked at first.
  const key = task.kernel.futexes.key(task.mm, word);
  if (args.u32(1) === 0) return -EINVAL;
  if (typeof key === "number") return key;
  return args.i32(2) === 0 ? 0 : task.kernel.futexes.wake(task.mm, word, args.i32(2), args.u32(1));
}

function futexWait(task: Task, args: Args): SyscallResult {
  const flags = args.u32(3);
  if (!validFlags(flags) || args.u(1) > 0xffffffff || args.u(2) > 0xffffffff) return -EINVAL;
  const time = readClockDeadline(task, args.ptr(4), args.i32(5));
  if (typeof time === "number") return time;
  const word = { addr: args.ptr(0), shared: (flags & FUTEX2_PRIVATE) === 0 };
  return task.kernel.futexes.wait(task, word, args.u32(1), { bitset: args.u32(2), deadline: time.deadline });
}

function futexRequeue(task: Task, args: Args): number {
  if (args.u32(1) !== 0 || args.ptr(0) === 0) return -EINVAL;
  const words = readWaiters(task, args.ptr(0), 2);
  if (typeof words === "number") return words;
  const [from, to] = words as [FutexWord & { expected: number }, FutexWord];
  return task.kernel.futexes.requeue(task.mm, from, to, { wake: args.i32(2), move: args.i32(3) }, from.expected);
}

function setRobustList(task: Task, args: Args): number {
  if (args.u(1) !== ROBUST_LIST_HEAD_SIZE) return -EINVAL;
  task.robustList = args.ptr(0);
  return 0;
}

function getRobustList(task: Task, args: Args): number {
  const pid = args.i32(0);
  const target = pid === 0 ? task : task.kernel.task(pid);
  if (target === undefined) return -ESRCH;
  const { creds } = target;
  const { uid, gid } = task.creds;
  const same = uid === creds.euid && uid === creds.suid && uid === creds.uid && gid === creds.egid && gid === creds.gid;
  if (target.process !== task.process && !same && !task.capable(CAP_SYS_PTRACE)) return -EPERM;
  return putUser64(task.mm, args.ptr(2), ROBUST_LIST_HEAD_SIZE) || putUser64(task.mm, args.ptr(1), target.robustList);
}

export const futexCalls: readonly SyscallEntry[] = [
  { nr: 98, name: "futex", handler: futex, args: "ptr futex futexarg futexarg futexarg futexarg" },
  { nr: 99, name: "set_robust_list", handler: setRobustList, args: "ptr size" },
  { nr: 100, name: "get_robust_list", handler: getRobustList, args: "tid ptr ptr" },
  { nr: 449, name: "futex_waitv", handler: futexWaitv, args: "ptr uint hex timespec clock" },
  { nr: 454, name: "futex_wake", handler: futexWake, args: "ptr hex int hex" },
  { nr: 455, name: "futex_wait", handler: futexWait, args: "ptr hex hex hex timespec clock" },
  { nr: 456, name: "futex_requeue", handler: futexRequeue, args: "ptr hex int int" },
];
