// The stops of a traced thread (kernel/signal.c: ptrace_stop and who calls it): for signals, system calls, events, group stops. There are two places to
// stop in: on the way back to user mode (signal-delivery.ts looks at what is left when the tracer lets it go on), and within a system call,
// where the call's generator waits.
import { ENOSYS } from "../base/errno.ts";
import {
  JOBCTL_LISTENING,
  JOBCTL_STOP_DEQUEUED,
  JOBCTL_STOP_PENDING,
  JOBCTL_STOP_SIGMASK,
  JOBCTL_TRAP_NOTIFY,
  JOBCTL_TRAP_STOP,
  clearJobctl,
  participate,
} from "./group-stop.ts";
import { CLD_STOPPED, CLD_TRAPPED, NSIG, SIGTRAP, SI_KERNEL, SI_USER, type SigInfo, sigbit } from "./siginfo.ts";
import type { SyscallResult } from "./syscall/table.ts";
import type { Task } from "./task.ts";
import {
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_EXIT,
  PTRACE_EVENT_STOP,
  PTRACE_O_TRACESYSGOOD,
  isReparented,
} from "./trace.ts";
import { Wait } from "./wait.ts";

const REG_A0 = 10;
const REG_A7 = 17;

/** ptrace_message of system-call stops. */
export const EVENTMSG_SYSCALL_ENTRY = 1;
export const EVENTMSG_SYSCALL_EXIT = 2;

/** A stop under way, or one that has ended and not been looked at. */
export interface TraceStop {
  /** What the tracer has yet to be told by wait (0: it has been), then the signal that it lets the thread go on with. */
  code: number;
  /** What PTRACE_GETSIGINFO shows; null in a group stop without PTRACE_SEIZE. */
  info: SigInfo | null;
  /** What PTRACE_GETEVENTMSG shows. */
  readonly message: number;
  /** SIGKILL ends it; not the last stop before a thread is gone. */
  readonly killable: boolean;
  readonly resume: () => void;
  /** Looks at `code` when the thread runs again: the signal to act on, if any. Only of stops on the way to user mode. */
  readonly after: (stop: TraceStop) => SigInfo | null;
}

/** What a stop is to be. */
interface StopRequest {
  readonly code: number;
  readonly why: typeof CLD_STOPPED | typeof CLD_TRAPPED;
  readonly message?: number;
  readonly info: SigInfo | null;
  readonly after?: (stop: TraceStop) => SigInfo | null;
  readonly killable?: boolean;
}

const goOn = (): null => null;

/** The bookkeeping of a stop and its announcement, with the thread in state t. */
function announce(task: Task, request: StopRequest): void {
  const { signals } = task.kernel;
  const { info, why } = request;
  const groupDone = why === CLD_STOPPED && (task.jobctl & JOBCTL_STOP_PENDING) !== 0 && participate(task);
  clearJobctl(task, JOBCTL_TRAP_STOP);
  if (info !== null && info.code >> 8 === PTRACE_EVENT_STOP) clearJobctl(task, JOBCTL_TRAP_NOTIFY);
  signals.notifyTracer(task, why);
  if (groupDone && isReparented(task)) signals.notifyStop(task, CLD_STOPPED);
}

/** The thread has been let go: forgets the stop and returns it. */
function endStop(task: Task): TraceStop {
  const stop = task.stop!;
  task.stop = null;
  task.jobctl &= ~JOBCTL_LISTENING;
  if (task.signalPending()) task.work = true;
  return stop;
}

/** Stops on the way to user mode. False: not traced, or it is to die; then what `after` says counts at once. */
export function stopOnReturn(task: Task, request: StopRequest): boolean {
  const { scheduler } = task.kernel;
  if (task.trace === null) return false;
  if (request.killable !== false && task.fatalSignalPending()) return false;
  task.stop = {
    code: request.code,
    info: request.info,
    message: request.message ?? 0,
    killable: request.killable ?? true,
    after: request.after ?? goOn,
    resume: () => scheduler.wake(task),
  };
  task.work = true;
  scheduler.suspend(task, "t");
  announce(task, request);
  return true;
}

/** After a stop on the way to user mode: the signal to act on, if any. */
export function leaveStop(task: Task): SigInfo | null {
  const stop = endStop(task);
  return stop.after(stop);
}

/** Waits for a tracer. */
class TraceWait extends Wait {
  override readonly state = "t" as const;
  constructor(task: Task) {
    super(task, [], { uninterruptible: true });
  }
}

/** Stops within a system call; returns the signal that the tracer gives (0: none, or it could not stop). */
function* stopInCall(task: Task, request: StopRequest): Generator<Wait, number> {
  if (task.trace === null || task.fatalSignalPending()) return 0;
  const waiting = new TraceWait(task);
  task.stop = {
    code: request.code,
    info: request.info,
    message: request.message ?? 0,
    killable: true,
    after: goOn,
    resume: () => waiting.end("woken"),
  };
  // The state is set when the generator has yielded; who is told now looks later.
  announce(task, request);
  yield waiting;
  return endStop(task).code;
}

/** ptrace_notify's siginfo. */
const notification = (task: Task, code: number, signo = SIGTRAP): SigInfo => ({
  signo,
  code,
  pid: task.tid,
  uid: task.creds.uid,
});

// Signals

/** A signal is about to be delivered: the tracer is asked first. False: the thread is to die instead. */
export function stopForSignal(task: Task, info: SigInfo): boolean {
  task.jobctl |= JOBCTL_STOP_DEQUEUED;
  return stopOnReturn(task, {
    code: info.signo,
    why: CLD_TRAPPED,
    info,
    after: (stop) => afterSignal(task, stop),
  });
}

/** What the tracer made of it (ptrace_signal): nothing, the same or another signal. */
function afterSignal(task: Task, stop: TraceStop): SigInfo | null {
  const { code } = stop;
  if (code === 0 || code > NSIG) return null;
  const info = code === stop.info!.signo ? stop.info! : fromTracer(task, code);
  if ((task.sigmask & sigbit(code)) === 0n && !task.fatalSignalPending()) return info;
  task.pending.add(info);
  return null;
}

function fromTracer(task: Task, signo: number): SigInfo {
  const parent = task.trace?.tracer ?? task.process.parent?.leader;
  return { signo, code: SI_USER, pid: parent?.tgid ?? 0, uid: parent?.creds.uid ?? 0 };
}

/** A group stop is in force, or the tracer has attached or interrupted (do_jobctl_trap). False: it is to die. */
export function jobctlTrap(task: Task): boolean {
  const { process, trace } = task;
  let signo = task.jobctl & JOBCTL_STOP_SIGMASK;
  if (trace === null || !trace.seized) return stopOnReturn(task, { code: signo, why: CLD_STOPPED, info: null });
  if (process.groupStopCount === 0 && !process.stopComplete) signo = SIGTRAP;
  const code = signo | (PTRACE_EVENT_STOP << 8);
  return stopOnReturn(task, { code, why: CLD_STOPPED, info: notification(task, code, signo) });
}

// System calls

const callCode = (task: Task): number => SIGTRAP | ((task.trace!.options & PTRACE_O_TRACESYSGOOD) !== 0 ? 0x80 : 0);

/** The tracer lets the thread go on with a signal: it gets it in addition (ptrace_report_syscall). */
function sendAlong(task: Task, code: number): void {
  if (code > 0 && code <= NSIG) task.kernel.signals.sendToTask(task, { signo: code, code: SI_KERNEL, pid: 0, uid: 0 });
}

/**
 * A call of a thread whose tracer wants to see calls. At its stop a0 is -ENOSYS, as Linux has it from entry on; which call it will be is read again
 * afterwards, its first argument is the one that the program gave.
 */
export function* tracedCall(task: Task, dispatch: (nr: number) => SyscallResult): Generator<Wait, number> {
  const { regs } = task;
  const emulated = task.trace!.syscalls === "emulate";
  const a0 = regs.x(REG_A0);
  regs.setNumber(REG_A0, -ENOSYS);
  const code = callCode(task);
  const message = EVENTMSG_SYSCALL_ENTRY;
  const signo = yield* stopInCall(task, { code, why: CLD_TRAPPED, message, info: notification(task, code) });
  sendAlong(task, signo);
  const nr = task.regs.signed(REG_A7);
  if (emulated || nr < 0 || task.fatalSignalPending()) {
    // No call: the registers stand as they are.
    task.callNr = -1;
    return 0;
  }
  task.regs.setX(REG_A0, a0);
  task.callNr = nr;
  const result = dispatch(nr);
  return typeof result === "number" ? result : yield* result;
}

/** The call of `task` has ended; its registers hold the result. False: it is to die. */
export function stopAfterCall(task: Task): boolean {
  task.trace!.callEnded = false;
  const code = callCode(task);
  const after = (stop: TraceStop): null => {
    sendAlong(task, stop.code);
    return null;
  };
  const message = EVENTMSG_SYSCALL_EXIT;
  return stopOnReturn(task, { code, why: CLD_TRAPPED, message, info: notification(task, code), after });
}

// Events

/** PTRACE_EVENT_* within a call, if the tracer wants it. */
export function* eventStop(task: Task, event: number, message: number): Generator<Wait, void> {
  if (task.trace === null || !task.trace.wants(event)) return;
  const a0 = task.regs.x(REG_A0);
  if (event !== PTRACE_EVENT_EXEC) task.regs.setNumber(REG_A0, -ENOSYS);
  const code = SIGTRAP | (event << 8);
  yield* stopInCall(task, { code, why: CLD_TRAPPED, message, info: notification(task, code) });
  if (event !== PTRACE_EVENT_EXEC) task.regs.setX(REG_A0, a0);
}

/** A program has been loaded: the event, or without it the SIGTRAP of old. `oldTid`: what the thread was called before. */
export function* execStop(task: Task, oldTid: number): Generator<Wait, number> {
  const { trace } = task;
  if (trace?.wants(PTRACE_EVENT_EXEC)) yield* eventStop(task, PTRACE_EVENT_EXEC, oldTid);
  else if (trace !== null && !trace.seized) {
    task.kernel.signals.sendToTask(task, { signo: SIGTRAP, code: SI_USER, pid: task.tgid, uid: task.creds.uid });
  }
  return 0;
}

/** The last stop of a thread that is leaving with `status`, registers and memory still there. False: nobody wants to know, or has been told. */
export function exitStop(task: Task, status: number): boolean {
  if (task.trace === null || task.exitAnnounced || !task.trace.wants(PTRACE_EVENT_EXIT)) return false;
  task.exitAnnounced = true;
  const code = SIGTRAP | (PTRACE_EVENT_EXIT << 8);
  const info = notification(task, code);
  return stopOnReturn(task, { code, why: CLD_TRAPPED, message: status, info, killable: !task.process.exiting });
}
