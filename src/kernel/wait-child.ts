// Waiting for children (kernel/exit.c: do_wait): which of them qualify, what each has to report, and the wait itself. wait4 and waitid
// (syscall/process.ts) are its callers.
import { ECHILD, ERESTARTSYS } from "../base/errno.ts";
import { reap } from "./exit.ts";
import { type Process, Usage } from "./process.ts";
import { CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD, SIGCONT } from "./siginfo.ts";
import type { Task } from "./task.ts";
import { type Wait, wait } from "./wait.ts";

export const WNOHANG = 1;
export const WUNTRACED = 2;
export const WSTOPPED = WUNTRACED;
export const WEXITED = 4;
export const WCONTINUED = 8;
export const WNOWAIT = 0x01000000;
export const __WNOTHREAD = 0x20000000;
export const __WALL = 0x40000000;
export const __WCLONE = 0x80000000;

/** Which children, and which of their changes (W*). */
export interface WaitRequest {
  readonly matches: (child: Process) => boolean;
  readonly options: number;
}

/** What one child has to say. */
export interface ChildReport {
  readonly pid: number;
  readonly uid: number;
  /** As wait4 stores it. */
  readonly status: number;
  /** As waitid's siginfo has it: CLD_*, and the exit code or the signal. */
  readonly code: number;
  readonly detail: number;
  readonly usage: Usage;
}

/** A report; null: nothing yet and WNOHANG; -ECHILD without a child that qualifies; -ERESTARTSYS. */
export type WaitOutcome = ChildReport | null | number;

/** One look at the children, without waiting: null if some qualify but none has anything to report. */
export function lookForChild(task: Task, request: WaitRequest): WaitOutcome {
  let some = false;
  for (const child of task.process.children) {
    if (!request.matches(child) || !isEligible(child, request.options)) continue;
    some = true;
    const report = reportOf(child, request.options);
    if (report !== null) return report;
  }
  return some ? null : -ECHILD;
}

/** do_wait. */
export function waitForChild(task: Task, request: WaitRequest): WaitOutcome | Generator<Wait, WaitOutcome> {
  const outcome = lookForChild(task, request);
  return outcome !== null || (request.options & WNOHANG) !== 0 ? outcome : sleepForChild(task, request);
}

function* sleepForChild(task: Task, request: WaitRequest): Generator<Wait, WaitOutcome> {
  for (;;) {
    if ((yield* wait(task, task.process.childChanged)) === "signal") return -ERESTARTSYS;
    const outcome = lookForChild(task, request);
    if (outcome !== null) return outcome;
  }
}

/** eligible_child: __WCLONE wants those that do not send SIGCHLD, and only those; __WALL all. */
function isEligible(child: Process, options: number): boolean {
  if ((options & __WALL) !== 0) return true;
  return (child.exitSignal !== SIGCHLD) === ((options & __WCLONE) !== 0);
}

function reportOf(child: Process, options: number): ChildReport | null {
  const keep = (options & WNOWAIT) !== 0;
  const { pid } = child;
  const { uid } = child.leader.creds;
  if (child.state === "zombie") {
    if ((options & WEXITED) === 0) return null;
    const usage = usageWithChildren(child);
    const status = child.exitStatus;
    if (!keep) reap(child);
    const signal = status & 0x7f;
    return signal === 0
      ? { pid, uid, status, code: CLD_EXITED, detail: (status >> 8) & 0xff, usage }
      : { pid, uid, status, code: CLD_KILLED, detail: signal, usage };
  }
  if ((options & WUNTRACED) !== 0 && child.stopSignal !== 0 && child.stopComplete && child.stopUnreported) {
    const signal = child.stopSignal;
    if (!keep) child.stopUnreported = false;
    const usage = usageWithChildren(child);
    return { pid, uid, status: (signal << 8) | 0x7f, code: CLD_STOPPED, detail: signal, usage };
  }
  if ((options & WCONTINUED) !== 0 && child.continueUnreported) {
    if (!keep) child.continueUnreported = false;
    const usage = usageWithChildren(child);
    return { pid, uid, status: 0xffff, code: CLD_CONTINUED, detail: SIGCONT, usage };
  }
  return null;
}

/** RUSAGE_BOTH. */
function usageWithChildren(process: Process): Usage {
  const usage = process.usage();
  usage.add(process.childrenUsage);
  return usage;
}
