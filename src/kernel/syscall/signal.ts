// The signal family: actions, masks, sending, waiting, the alternate stack, rt_sigreturn and restart_syscall. What signals do is in signal.ts
// (sending) and signal-delivery.ts (arriving).
import { EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTNOHAND, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser64, putUser64 } from "../../mm/usercopy.ts";
import { altStackFlags, onAltStack, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK } from "../sigframe.ts";
import {
  type SigInfo,
  type SigSet,
  type SignalQueue,
  NSIG,
  SIGINFO_SIZE,
  SIGRTMIN,
  SI_TKILL,
  SI_USER,
  UNBLOCKABLE,
  encodeSigInfo,
  sigbit,
} from "../siginfo.ts";
import { dequeue, sigreturn, withSigmask } from "../signal-delivery.ts";
import { SA_KNOWN } from "../signal-handlers.ts";
import { mayKill } from "../signal.ts";
import type { Process } from "../process.ts";
import { RLIMIT_SIGPENDING } from "../rlimit.ts";
import type { AltStack, Task } from "../task.ts";
import { readTimeout } from "../timespec.ts";
import { type Wait, wait } from "../wait.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const SIGSET_SIZE = 8;
/** struct sigaction as the kernel of riscv64 has it: handler, flags, mask; no restorer. */
const SIGACTION_SIZE = 24;
const MINSIGSTKSZ = 2048;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;

/** The signal set at `addr`; null for a null pointer, -EINVAL for a wrong size (of a set that is there), -EFAULT. */
export function readSigset(task: Task, addr: number, size: number): SigSet | null | number {
  if (addr === 0) return null;
  return size === SIGSET_SIZE ? getUser64(task.mm, addr) : -EINVAL;
}

function rtSigaction(task: Task, args: Args): number {
  const signo = args.i32(0);
  if (args.u(3) !== SIGSET_SIZE) return -EINVAL;
  const given = args.ptr(1) === 0 ? null : copyFromUser(task.mm, args.ptr(1), SIGACTION_SIZE);
  if (typeof given === "number") return given;
  if (signo < 1 || signo > NSIG || (given !== null && (sigbit(signo) & UNBLOCKABLE) !== 0n)) return -EINVAL;
  const { process, kernel } = task;
  const old = process.handlers.get(signo);
  if (given !== null) {
    const v = new DataView(given.buffer, given.byteOffset);
    process.handlers.set(signo, {
      handler: Number(v.getBigUint64(0, true)),
      flags: (v.getUint32(8, true) & SA_KNOWN) >>> 0,
      mask: v.getBigUint64(16, true) & ~UNBLOCKABLE,
    });
    kernel.signals.actionChanged(process, signo);
  }
  if (args.ptr(2) === 0) return 0;
  const out = new Uint8Array(SIGACTION_SIZE);
  const v = new DataView(out.buffer);
  v.setBigUint64(0, BigInt(old.handler), true);
  v.setUint32(8, old.flags, true);
  v.setBigUint64(16, old.mask, true);
  return copyToUser(task.mm, args.ptr(2), out);
}

function rtSigprocmask(task: Task, args: Args): number {
  if (args.u(3) !== SIGSET_SIZE) return -EINVAL;
  const old = task.sigmask;
  if (args.ptr(1) !== 0) {
    const set = getUser64(task.mm, args.ptr(1));
    if (typeof set === "number") return set;
    const how = args.i32(0);
    if (how !== SIG_BLOCK && how !== SIG_UNBLOCK && how !== SIG_SETMASK) return -EINVAL;
    task.kernel.signals.setMask(task, how === SIG_BLOCK ? old | set : how === SIG_UNBLOCK ? old & ~set : set);
  }
  return args.ptr(2) === 0 ? 0 : putUser64(task.mm, args.ptr(2), old);
}

function rtSigpending(task: Task, args: Args): number {
  const size = args.u(1);
  if (size > SIGSET_SIZE) return -EINVAL;
  const bytes = new Uint8Array(SIGSET_SIZE);
  new DataView(bytes.buffer).setBigUint64(0, (task.pending.set | task.process.pending.set) & task.sigmask, true);
  return copyToUser(task.mm, args.ptr(0), bytes.subarray(0, size));
}

function rtSigtimedwait(task: Task, args: Args): SyscallResult {
  if (args.u(3) !== SIGSET_SIZE) return -EINVAL;
  const these = getUser64(task.mm, args.ptr(0));
  if (typeof these === "number") return these;
  const deadline = readTimeout(task.mm, task.kernel.clock, args.ptr(2));
  if (deadline !== undefined && deadline < 0) return deadline;
  const set = these & ~UNBLOCKABLE;
  const infoAt = args.ptr(1);
  const info = dequeue(task, set);
  if (info !== null) return takeWaited(task, info, infoAt);
  if (deadline !== undefined && deadline <= task.kernel.clock.monotonic()) return -EAGAIN;
  return sigtimedwait(task, set, deadline, infoAt);
}
function* sigtimedwait(task: Task, set: SigSet, deadline: number | undefined, infoAt: number): Generator<Wait, number> {
  task.waitedFor = set;
  const reason = yield* wait(task, [], { deadline });
  task.waitedFor = 0n;
  const info = dequeue(task, set);
  if (info !== null) return takeWaited(task, info, infoAt);
  return reason === "timeout" ? -EAGAIN : -EINTR;
}
function takeWaited(task: Task, info: SigInfo, infoAt: number): number {
  const result = infoAt === 0 ? 0 : copyToUser(task.mm, infoAt, encodeSigInfo(info));
  return result === 0 ? info.signo : result;
}

function rtSigsuspend(task: Task, args: Args): SyscallResult {
  const set = args.u(1) === SIGSET_SIZE ? getUser64(task.mm, args.ptr(0)) : -EINVAL;
  if (typeof set === "number") return set;
  return withSigmask(task, set, () => untilSignal(task));
}
function* untilSignal(task: Task): Generator<Wait, number> {
  while ((yield* wait(task, [])) !== "signal");
  return -ERESTARTNOHAND;
}

function sigaltstack(task: Task, args: Args): number {
  const given = args.ptr(0) === 0 ? null : copyFromUser(task.mm, args.ptr(0), 24);
  if (typeof given === "number") return given;
  const old = task.altStack;
  const sp = task.regs.unsigned(2);
  if (given !== null) {
    const result = setAltStack(task, given, sp);
    if (result !== 0) return result;
  }
  if (args.ptr(1) === 0) return 0;
  const out = new Uint8Array(24);
  const v = new DataView(out.buffer);
  v.setBigUint64(0, BigInt(old.sp), true);
  v.setUint32(8, altStackFlags(old, sp), true);
  v.setBigUint64(16, BigInt(old.size), true);
  return copyToUser(task.mm, args.ptr(1), out);
}
function setAltStack(task: Task, given: Uint8Array, sp: number): number {
  const v = new DataView(given.buffer, given.byteOffset);
  const flags = v.getUint32(8, true);
  const wanted: AltStack = {
    sp: Number(v.getBigUint64(0, true)),
    size: Number(v.getBigUint64(16, true)),
    flags: (flags & SS_AUTODISARM) >>> 0,
  };
  if (onAltStack(task.altStack, sp)) return -EPERM;
  const mode = (flags & ~SS_AUTODISARM) >>> 0;
  if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return -EINVAL;
  if (mode === SS_DISABLE) {
    task.altStack = { sp: 0, size: 0, flags: wanted.flags };
    return 0;
  }
  if (wanted.size < MINSIGSTKSZ) return -ENOMEM;
  task.altStack = wanted;
  return 0;
}

// Sending

const validSignal = (signo: number): boolean => signo >= 0 && signo <= NSIG;

/** What kill(2) says about its sender. */
const fromSender = (task: Task, signo: number, code: number): SigInfo => ({
  signo,
  code,
  pid: task.tgid,
  uid: task.creds.uid,
});

/** Checks and sends to a process: 0, -EPERM, -EINVAL, -EAGAIN. Signal 0 only checks. */
export function signalProcess(task: Task, target: Process, info: SigInfo): number {
  const allowed = maySend(task, target.leader, info, target.pending);
  if (allowed === 0 && info.signo !== 0) task.kernel.signals.sendToProcess(target, info);
  return allowed;
}
/** The same to one thread. */
export function signalTask(task: Task, target: Task, info: SigInfo): number {
  const allowed = maySend(task, target, info, target.pending);
  if (allowed === 0 && info.signo !== 0) task.kernel.signals.sendToTask(target, info);
  return allowed;
}
/** 0, -EINVAL, -EPERM, or -EAGAIN for a realtime signal when as many wait as RLIMIT_SIGPENDING allows. */
function maySend(task: Task, target: Task, info: SigInfo, queue: SignalQueue): number {
  if (!validSignal(info.signo)) return -EINVAL;
  if (!mayKill(task, target, info.signo)) return -EPERM;
  return info.signo >= SIGRTMIN && queue.length >= target.process.rlimit(RLIMIT_SIGPENDING) ? -EAGAIN : 0;
}
/** To each of several processes: 0 if one got it, else the last error; -ESRCH for none. */
export function signalEach(task: Task, targets: Iterable<Process>, info: SigInfo): number {
  let result = -ESRCH;
  let success = false;
  for (const target of targets) {
    result = signalProcess(task, target, info);
    if (result === 0) success = true;
  }
  return success ? 0 : result;
}

/** Any thread's id names its process here. */
const processById = (task: Task, pid: number): Process | undefined =>
  task.kernel.process(pid) ?? task.kernel.task(pid)?.process;

function kill(task: Task, args: Args): number {
  const pid = args.i32(0);
  const info = fromSender(task, args.i32(1), SI_USER);
  if (pid > 0) {
    const target = processById(task, pid);
    return target === undefined ? -ESRCH : signalProcess(task, target, info);
  }
  if (pid === -1) return killAll(task, info);
  const group = pid === 0 ? task.process.group : task.kernel.groups.get(-pid);
  return group === undefined ? -ESRCH : signalEach(task, [...group.members], info);
}
/** kill(-1): everybody but init and the caller. */
function killAll(task: Task, info: SigInfo): number {
  let result = 0;
  let count = 0;
  for (const target of [...task.kernel.processes.values()]) {
    if (target === task.process || target === task.kernel.init) continue;
    const sent = signalProcess(task, target, info);
    count++;
    if (sent !== -EPERM) result = sent;
  }
  return count === 0 ? -ESRCH : result;
}

/** tkill, tgkill, rt_tgsigqueueinfo: to thread `tid`, which must be in group `tgid` (undefined: any). */
function toThread(task: Task, tgid: number | undefined, tid: number, info: SigInfo): number {
  const target = task.kernel.task(tid);
  if (target === undefined || (tgid !== undefined && target.tgid !== tgid)) return -ESRCH;
  return signalTask(task, target, info);
}
function tkill(task: Task, args: Args): number {
  if (args.i32(0) <= 0) return -EINVAL;
  return toThread(task, undefined, args.i32(0), fromSender(task, args.i32(1), SI_TKILL));
}
function tgkill(task: Task, args: Args): number {
  if (args.i32(0) <= 0 || args.i32(1) <= 0) return -EINVAL;
  return toThread(task, args.i32(0), args.i32(1), fromSender(task, args.i32(2), SI_TKILL));
}

/** The siginfo that a program sends along, as signal `signo`; -EFAULT. */
export function readSigInfo(task: Task, addr: number, signo: number): SigInfo | number {
  const raw = copyFromUser(task.mm, addr, SIGINFO_SIZE);
  if (typeof raw === "number") return raw;
  const v = new DataView(raw.buffer, raw.byteOffset);
  return {
    signo,
    errno: v.getInt32(4, true),
    code: v.getInt32(8, true),
    pid: v.getInt32(16, true),
    uid: v.getUint32(20, true),
    value: v.getBigUint64(24, true),
    raw,
  };
}
/** Only to itself may a program claim to be the kernel or kill(2). */
export const isForged = (info: SigInfo): boolean => info.code >= 0 || info.code === SI_TKILL;

function rtSigqueueinfo(task: Task, args: Args): number {
  const pid = args.i32(0);
  const info = readSigInfo(task, args.ptr(2), args.i32(1));
  if (typeof info === "number") return info;
  if (isForged(info) && task.tid !== pid) return -EPERM;
  const target = processById(task, pid);
  return target === undefined ? -ESRCH : signalProcess(task, target, info);
}
function rtTgsigqueueinfo(task: Task, args: Args): number {
  const info = readSigInfo(task, args.ptr(3), args.i32(2));
  if (typeof info === "number") return info;
  if (args.i32(0) <= 0 || args.i32(1) <= 0) return -EINVAL;
  if (isForged(info) && task.tid !== args.i32(1)) return -EPERM;
  return toThread(task, args.i32(0), args.i32(1), info);
}

/** Goes on with the call that a signal without handler has interrupted. */
function restartSyscall(task: Task): SyscallResult {
  const { restart } = task;
  task.restart = null;
  return restart === null ? -EINTR : restart();
}

export const signalCalls: readonly SyscallEntry[] = [
  { nr: 128, name: "restart_syscall", handler: restartSyscall, args: "" },
  { nr: 129, name: "kill", handler: kill, args: "pid sig" },
  { nr: 130, name: "tkill", handler: tkill, args: "tid sig" },
  { nr: 131, name: "tgkill", handler: tgkill, args: "pid tid sig" },
  { nr: 132, name: "sigaltstack", handler: sigaltstack, args: "ptr ptr" },
  { nr: 133, name: "rt_sigsuspend", handler: rtSigsuspend, args: "sigset size" },
  { nr: 134, name: "rt_sigaction", handler: rtSigaction, args: "sig sigaction osigaction size" },
  { nr: 135, name: "rt_sigprocmask", handler: rtSigprocmask, args: "how sigset osigset size" },
  { nr: 136, name: "rt_sigpending", handler: rtSigpending, args: "ptr size" },
  { nr: 137, name: "rt_sigtimedwait", handler: rtSigtimedwait, args: "sigset ptr timespec size" },
  { nr: 138, name: "rt_sigqueueinfo", handler: rtSigqueueinfo, args: "pid sig ptr" },
  { nr: 139, name: "rt_sigreturn", handler: sigreturn, args: "" },
  { nr: 240, name: "rt_tgsigqueueinfo", handler: rtTgsigqueueinfo, args: "pid tid sig ptr" },
];
