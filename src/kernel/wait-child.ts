// Waiting for children and tracees (kernel/exit.c: do_wait): which of them qualify, what each has to report, and the wait itself. wait4 and waitid
// (syscall/process.ts) are its callers.
import { ECHILD, ERESTARTSYS } from "../base/errno.ts";
import { COREDUMPED, exitStatusOf, reap, reapTracee } from "./exit.ts";
import { JOBCTL_LISTENING } from "./group-stop.ts";
import type { Process, Usage } from "./process.ts";
import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  CLD_TRAPPED,
  SIGCHLD,
  SIGCONT,
} from "./siginfo.ts";
import type { Task } from "./task.ts";
import { parentTask } from "./trace.ts";
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

/** Which children and tracees, and which of their changes (W*). */
export interface WaitRequest {
  /** By a process's first thread, or by a thread that is traced. */
  readonly matches: (task: Task) => boolean;
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
  /** Whose usage it is (usageWithChildren). */
  readonly process: Process;
}

/** A report; null: nothing yet and WNOHANG; -ECHILD without a child that qualifies; -ERESTARTSYS. */
export type WaitOutcome = ChildReport | null | number;

/** One look at the children and tracees, without waiting: null if some qualify but none has anything to report. */
export function lookForChild(task: Task, request: WaitRequest): WaitOutcome {
  const { process } = task;
  const alone = (request.options & __WNOTHREAD) !== 0;
  let some = false;
  for (const child of process.children) {
    if (alone && parentTask(child) !== task) continue;
    const report = consider(child.leader, request, { tracing: false });
    if (report === "nothing") continue;
    some = true;
    if (report !== "later") return report;
  }
  for (const thread of alone ? [task] : process.threads.values()) {
    if (thread.tracees === null) continue;
    for (const tracee of thread.tracees) {
      const report = consider(tracee, request, { tracing: true });
      if (report === "nothing") continue;
      some = true;
      if (report !== "later") return report;
    }
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

/** A report; "later": there may be one some time; "nothing": not one to wait for (wait_consider_task). */
function consider(task: Task, request: WaitRequest, as: { tracing: boolean }): ChildReport | "later" | "nothing" {
  const { options, matches } = request;
  const { process, trace } = task;
  if (task.state === "X" || !matches(task) || !(as.tracing || isEligible(process, options))) return "nothing";
  // Traced by its parent: what it reports is a tracee's.
  const tracing = as.tracing || (trace !== null && trace.tracer.process === process.parent);
  let left: "later" | "nothing" = "later";
  if (task.state === "Z") {
    // A leader whose threads live, or have not been waited for, is no zombie yet; one that is traced is its tracer's.
    const delayed = task.isLeader && (process.state === "alive" || process.hasTracedZombies);
    if (!delayed && (tracing || trace === null))
      return (options & WEXITED) === 0 ? "nothing" : exitReport(task, options);
    if (tracing && (options & (WCONTINUED | WEXITED)) === 0) left = "nothing";
  }
  return stopReport(task, options, tracing) ?? continueReport(task, options) ?? left;
}

/** What a thread has to say: the status as wait4 stores it, code and detail as waitid does. */
const reportOf = (task: Task, status: number, code: number, detail: number): ChildReport => ({
  pid: task.tid,
  uid: task.creds.uid,
  process: task.process,
  status,
  code,
  detail,
});

/** wait_task_zombie. */
function exitReport(task: Task, options: number): ChildReport {
  const status = exitStatusOf(task);
  const signo = status & 0x7f;
  const killed = (status & COREDUMPED) !== 0 ? CLD_DUMPED : CLD_KILLED;
  const report = reportOf(task, status, signo === 0 ? CLD_EXITED : killed, signo === 0 ? (status >> 8) & 0xff : signo);
  if ((options & WNOWAIT) === 0) {
    if (task.trace !== null) reapTracee(task);
    else reap(task.process);
  }
  return report;
}

/** wait_task_stopped: a tracer sees the thread's own stops, whatever the options; a parent those of the process. */
function stopReport(task: Task, options: number, tracing: boolean): ChildReport | null {
  const { process, stop } = task;
  const keep = (options & WNOWAIT) !== 0;
  let detail = 0;
  if (tracing) {
    if (task.state !== "t" || stop === null || (task.jobctl & JOBCTL_LISTENING) !== 0) return null;
    detail = stop.code;
    if (!keep) stop.code = 0;
  } else {
    if ((options & WUNTRACED) === 0 || !process.stopComplete) return null;
    detail = process.stopSignal;
    if (!keep) process.stopSignal = 0;
  }
  if (detail === 0) return null;
  return reportOf(task, (detail << 8) | 0x7f, tracing ? CLD_TRAPPED : CLD_STOPPED, detail);
}

/** wait_task_continued. */
function continueReport(task: Task, options: number): ChildReport | null {
  const { process } = task;
  if ((options & WCONTINUED) === 0 || !process.continueUnreported) return null;
  if ((options & WNOWAIT) === 0) process.continueUnreported = false;
  return reportOf(task, 0xffff, CLD_CONTINUED, SIGCONT);
}

/** RUSAGE_BOTH; also of a process that has been reaped. */
export function usageWithChildren(process: Process): Usage {
  const usage = process.usage();
  usage.add(process.childrenUsage);
  return usage;
}
