// Job control, thread by thread (kernel/signal.c: do_signal_stop and the JOBCTL_ bits): how a process stops as a whole, and what a traced thread,
// which stops for its tracer instead, counts for in that. Used by signal-delivery.ts, signal.ts, clone, exit and the ptrace files.
import { CLD_STOPPED } from "./siginfo.ts";
import type { Task } from "./task.ts";

/** The signal of the group stop that a thread takes part in. */
export const JOBCTL_STOP_SIGMASK = 0xffff;
/** A stop signal was taken off the queue and no SIGCONT has come since. */
export const JOBCTL_STOP_DEQUEUED = 1 << 16;
/** It is to stop for the group. */
export const JOBCTL_STOP_PENDING = 1 << 17;
/** It counts in groupStopCount. */
export const JOBCTL_STOP_CONSUME = 1 << 18;
/** It is to stop for its tracer: attached, interrupted, or a group stop is in force. */
export const JOBCTL_TRAP_STOP = 1 << 19;
/** It is to stop for its tracer because a group stop has begun or ended (PTRACE_SEIZE only). */
export const JOBCTL_TRAP_NOTIFY = 1 << 20;
/** PTRACE_LISTEN: stopped, but the tracer wants to hear of the next change. */
export const JOBCTL_LISTENING = 1 << 22;

export const JOBCTL_TRAP_MASK = JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY;
/** What a thread looks at before it returns to user mode. */
export const JOBCTL_PENDING_MASK = JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK;

/** Sets bits, and with them perhaps the signal of the stop; not of a thread that is dying (task_set_jobctl_pending). */
export function setJobctl(task: Task, mask: number): boolean {
  if (task.exited || task.fatalSignalPending()) return false;
  if ((mask & JOBCTL_STOP_SIGMASK) !== 0) task.jobctl &= ~JOBCTL_STOP_SIGMASK;
  task.jobctl |= mask;
  task.work = true;
  return true;
}

/** task_clear_jobctl_pending. */
export function clearJobctl(task: Task, mask: number): void {
  task.jobctl &= ~((mask & JOBCTL_STOP_PENDING) !== 0 ? mask | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED : mask);
}

/** The thread has stopped or is leaving: true if with that the whole process has, for the first time (task_participate_group_stop). */
export function participate(task: Task): boolean {
  const { process } = task;
  const counts = (task.jobctl & JOBCTL_STOP_CONSUME) !== 0;
  clearJobctl(task, JOBCTL_STOP_PENDING);
  if (!counts) return false;
  if (process.groupStopCount > 0) process.groupStopCount--;
  if (process.groupStopCount > 0 || process.stopComplete) return false;
  process.stopComplete = true;
  process.continueUnreported = false;
  return true;
}

/**
 * do_signal_stop: begins a group stop with `signo`, or (0) takes part in the one under way. True: the thread is parked. False: nothing to stop for,
 * or it is traced and stops for its tracer first.
 */
export function signalStop(task: Task, signo: number): boolean {
  const { process, kernel } = task;
  if ((task.jobctl & JOBCTL_STOP_PENDING) === 0) {
    if ((task.jobctl & JOBCTL_STOP_DEQUEUED) === 0 || process.exiting || process.execTask !== null) return false;
    begin(task, signo);
  }
  if (task.trace !== null) {
    setJobctl(task, JOBCTL_TRAP_STOP);
    return false;
  }
  const complete = participate(task);
  kernel.scheduler.suspend(task, "T");
  if (complete) kernel.signals.notifyStop(task, CLD_STOPPED);
  return true;
}

function begin(task: Task, signo: number): void {
  const { process, kernel } = task;
  if (!process.stopComplete) process.stopSignal = signo;
  process.groupStopCount = 0;
  for (const thread of process.threads.values()) {
    if (thread !== task && thread.state === "T") continue;
    if (!setJobctl(thread, signo | JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME)) continue;
    process.groupStopCount++;
    if (thread.trace?.seized) trapNotify(thread);
    else if (thread !== task) kernel.signals.interrupt(thread);
  }
}

/** Tells the tracer of a seized thread that a group stop has begun or ended (ptrace_trap_notify). */
export function trapNotify(task: Task): void {
  setJobctl(task, JOBCTL_TRAP_NOTIFY);
  kick(task, { resume: (task.jobctl & JOBCTL_LISTENING) !== 0 });
}

/** Makes a thread look at its bits; `resume`: also if it is stopped for its tracer (ptrace_signal_wake_up). */
export function kick(task: Task, options: { resume: boolean }): void {
  task.work = true;
  if (task.state === "t") {
    if (options.resume) task.stop?.resume();
  } else {
    task.kernel.signals.interrupt(task);
  }
}

/** SIGCONT: threads run on; traced ones stay where they are, and those that were seized tell (prepare_signal). */
export function continueGroup(task: Task): void {
  const { process, kernel } = task;
  for (const thread of process.threads.values()) {
    clearJobctl(thread, JOBCTL_STOP_PENDING);
    if (thread.trace?.seized) trapNotify(thread);
    else if (thread.state === "T") kernel.scheduler.wake(thread);
  }
  if (!process.stopComplete && process.groupStopCount === 0) return;
  process.continueNotice = process.stopComplete ? "continued" : "stopped";
  process.stopComplete = false;
  process.groupStopCount = process.stopSignal = 0;
  process.continueUnreported = true;
}

/** A new thread joins the group stop that its maker, which a tracer lets run, is a part of (task_join_group_stop). */
export function joinGroupStop(child: Task, maker: Task): void {
  const { process } = maker;
  let mask = (maker.jobctl & JOBCTL_STOP_SIGMASK) | JOBCTL_STOP_PENDING;
  if (process.groupStopCount > 0) {
    process.groupStopCount++;
    mask |= JOBCTL_STOP_CONSUME;
  } else if (!process.stopComplete) {
    return;
  }
  setJobctl(child, mask);
}
