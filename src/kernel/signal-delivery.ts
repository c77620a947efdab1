// What a task does about its signals on the way back to user mode (get_signal, arch_do_signal_or_restart): end, stop, run a handler, and restart or end
// the system call that was interrupted. Called by trap.ts whenever `task.work` is set; the calls of the signal family use the mask helpers.
import { EFAULT, EINTR, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, ERESTART_RESTARTBLOCK } from "../base/errno.ts";
import { dumpCore } from "./coredump.ts";
import { COREDUMPED, exitTask, groupExit } from "./exit.ts";
import { alarmTaken } from "./itimer.ts";
import {
  JOBCTL_PENDING_MASK,
  JOBCTL_STOP_DEQUEUED,
  JOBCTL_STOP_PENDING,
  JOBCTL_TRAP_MASK,
  signalStop,
} from "./group-stop.ts";
import {
  CORE_SIGNALS,
  IGNORED_BY_DEFAULT,
  SIGALRM,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SI_KERNEL,
  STOP_SIGNALS,
} from "./siginfo.ts";
import { rseqResume } from "./rseq.ts";
import { type SigInfo, type SigSet, nextSignal, sigbit } from "./siginfo.ts";
import { SA_NODEFER, SA_RESETHAND, SA_RESTART, SIG_DFL, SIG_IGN } from "./signal-handlers.ts";
import { popFrame, pushFrame } from "./sigframe.ts";
import type { SyscallResult } from "./syscall/table.ts";
import type { Task } from "./task.ts";
import { exitStop, jobctlTrap, leaveStop, stopAfterCall, stopForSignal } from "./trace-stop.ts";
import type { Wait } from "./wait.ts";

const NR_RESTART_SYSCALL = 128;
const REG_A0 = 10;
const REG_A7 = 17;
const NO_HANDLER = { handler: SIG_DFL, flags: 0, mask: 0n };

/**
 * Does all that is pending. True: the task may run in user mode (then `work` is clear). False: it has exited or stopped and is off the
 * run queue.
 */
export function returnToUser(task: Task): boolean {
  const { process } = task;
  // What a tracer that lets it go on wants it to act on.
  let injected = task.stop === null ? null : leaveStop(task);
  for (;;) {
    if (process.exiting) return leave(task, process.exitStatus);
    if (process.execTask !== null && process.execTask !== task) return leave(task, 0);
    if (task.leaving) return leave(task, task.exitStatus);
    if (task.trace?.callEnded && stopAfterCall(task)) return false;
    if (task.callNr >= 0) prepareRestart(task);
    if (process.continueNotice !== "none") task.kernel.signals.tellContinued(task);
    // SIGKILL comes before all stops (Linux's complete_signal makes the process exit at once).
    if (task.fatalSignalPending()) injected = null;
    else if ((task.jobctl & JOBCTL_PENDING_MASK) !== 0 && injected === null) {
      if ((task.jobctl & JOBCTL_STOP_PENDING) !== 0 && signalStop(task, 0)) return false;
      if ((task.jobctl & JOBCTL_TRAP_MASK) !== 0 && jobctlTrap(task)) return false;
    }
    const info = injected ?? dequeue(task, ~task.sigmask);
    if (info === null) break;
    const { signo } = info;
    if (task.trace !== null && injected === null && signo !== SIGKILL) {
      if (stopForSignal(task, info)) return false;
      continue;
    }
    injected = null;
    task.kernel.strace?.signal(task, info);
    const action = process.handlers.get(signo);
    if (action.handler === SIG_IGN) continue;
    if (action.handler !== SIG_DFL) {
      runHandler(task, info);
      continue;
    }
    const bit = sigbit(signo);
    if ((IGNORED_BY_DEFAULT & bit) !== 0n) continue;
    if ((STOP_SIGNALS & bit) !== 0n) {
      if (signo !== SIGSTOP && process.group.isOrphaned()) continue;
      if (signalStop(task, signo)) return false;
      continue;
    }
    const dumps = (CORE_SIGNALS & bit) !== 0n;
    if (dumps) task.kernel.onFatalSignal?.(task, info);
    groupExit(process, dumps && dumpCore(task, info) ? signo | COREDUMPED : signo);
  }
  if (task.restartCode !== 0) restartCall(task);
  if (task.rseq !== null && !rseqResume(task)) {
    task.kernel.signals.force(task, { signo: SIGSEGV, code: SI_KERNEL, addr: 0 });
    return returnToUser(task);
  }
  if (task.savedSigmask !== null) {
    task.sigmask = task.savedSigmask;
    task.savedSigmask = null;
    // What was held back only by the temporary mask's end comes now.
    if (task.signalPending()) return returnToUser(task);
  }
  task.work = false;
  return true;
}

/** Takes the next pending signal of `set` off the queues: SIGKILL, else the task's own first; null if there is none. */
export function dequeue(task: Task, set: SigSet): SigInfo | null {
  const { process } = task;
  if (task.fatalSignalPending()) set &= sigbit(SIGKILL);
  const own = nextSignal(task.pending.set & set);
  const signo = own !== 0 ? own : nextSignal(process.pending.set & set);
  if (signo === 0) return null;
  if ((STOP_SIGNALS & sigbit(signo)) !== 0n) task.jobctl |= JOBCTL_STOP_DEQUEUED;
  const info = (own !== 0 ? task : process).pending.take(signo);
  if (info.timerId !== undefined) process.posixTimers?.delivered(info);
  else if (signo === SIGALRM && own === 0) alarmTaken(process);
  return info;
}

/** The end of the thread, after a last stop if its tracer wants one. Always false: it does not go on in user mode now. */
function leave(task: Task, status: number): false {
  if (!exitStop(task, status)) exitTask(task, status);
  return false;
}

/** The restart code in a0, if the task comes from a system call that was interrupted; else 0. */
function restartCode(task: Task): number {
  if (task.callNr < 0) return 0;
  const code = -task.regs.signed(REG_A0);
  return code === ERESTARTSYS || code === ERESTARTNOINTR || code === ERESTARTNOHAND || code === ERESTART_RESTARTBLOCK
    ? code
    : 0;
}

/**
 * An interrupted call will be made again: back to the ecall, with the argument that the result has overwritten. Done before signals are looked at, so that a
 * debugger sees it; runHandler takes it back where a handler ends the call (arch_do_signal_or_restart).
 */
function prepareRestart(task: Task): void {
  const { regs } = task;
  const code = restartCode(task);
  task.callNr = -1;
  task.restartCode = code;
  if (code === 0) return;
  task.restartPc = regs.pc;
  regs.setX(REG_A0, (BigInt(task.callA0Hi >>> 0) << 32n) | BigInt(task.callA0Lo >>> 0));
  regs.pc -= 4;
}

/** No handler runs: the call is made again, some by another name. */
function restartCall(task: Task): void {
  const { regs, restartCode, restartPc } = task;
  task.restartCode = 0;
  if (restartCode === ERESTART_RESTARTBLOCK && regs.pc === restartPc - 4) regs.setNumber(REG_A7, NR_RESTART_SYSCALL);
}

/** The call that a handler with `flags` interrupts ends with EINTR, unless it is to be made again (or a debugger has moved pc). */
function endInterruptedCall(task: Task, flags: number): void {
  const { restartCode: code, restartPc, regs } = task;
  task.restartCode = 0;
  if (code === 0 || regs.pc !== restartPc - 4) return;
  if (code === ERESTARTNOINTR || (code === ERESTARTSYS && (flags & SA_RESTART) !== 0)) return;
  regs.setNumber(REG_A0, -EINTR);
  regs.pc = restartPc;
}

function runHandler(task: Task, info: SigInfo): void {
  const { signo } = info;
  const { process } = task;
  const action = process.handlers.get(signo);
  endInterruptedCall(task, action.flags);
  // A handler ends a restartable sequence: its frame must show the abort handler (rseq_signal_deliver).
  if (task.rseq !== null && !rseqResume(task)) {
    task.kernel.signals.force(task, { signo: SIGSEGV, code: SI_KERNEL, addr: 0 });
    return;
  }
  const oldMask = task.savedSigmask ?? task.sigmask;
  if (pushFrame(task, info, action, oldMask) !== 0) {
    // The handler cannot run: SIGSEGV, and without a second chance if that was the signal (force_sigsegv).
    if (signo === SIGSEGV) process.handlers.set(SIGSEGV, NO_HANDLER);
    task.kernel.signals.force(task, { signo: SIGSEGV, code: SI_KERNEL, addr: 0 });
    return;
  }
  task.savedSigmask = null;
  task.sigmask |= action.mask | ((action.flags & SA_NODEFER) !== 0 ? 0n : sigbit(signo));
  if ((action.flags & SA_RESETHAND) !== 0) process.handlers.set(signo, NO_HANDLER);
}

/** rt_sigreturn. */
export function sigreturn(task: Task): number {
  task.restart = null;
  task.callNr = -1; // The frame's registers stand: nothing is a result, nothing is restarted.
  const mask = popFrame(task);
  if (typeof mask === "number") {
    task.kernel.signals.force(task, { signo: SIGSEGV, code: SI_KERNEL, addr: 0 });
    return -EFAULT;
  }
  task.kernel.signals.setMask(task, mask);
  return 0;
}

/**
 * Runs a call under a temporary signal mask (ppoll, pselect6, epoll_pwait, rt_sigsuspend). If it was interrupted the old mask comes back after the
 * handler's frame has been pushed, else at once.
 */
export function withSigmask(task: Task, mask: SigSet | null, call: () => SyscallResult): SyscallResult {
  if (mask === null) return call();
  task.savedSigmask = task.sigmask;
  task.kernel.signals.setMask(task, mask);
  const result = call();
  return typeof result === "number" ? endSigmask(task, result) : waitWithSigmask(task, result);
}
function* waitWithSigmask(task: Task, call: Generator<Wait, number>): Generator<Wait, number> {
  return endSigmask(task, yield* call);
}
function endSigmask(task: Task, result: number): number {
  if (result === -EINTR || result <= -ERESTARTSYS) {
    task.work = true;
  } else if (task.savedSigmask !== null) {
    const old = task.savedSigmask;
    task.savedSigmask = null;
    task.kernel.signals.setMask(task, old);
  }
  return result;
}
