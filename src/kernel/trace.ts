// Who traces whom (kernel/ptrace.c: ptrace_link, ptrace_unlink, attach, detach, the tracer's exit). The stops of a traced thread are in trace-stop.ts, the
// requests in syscall/ptrace.ts, what waiting tracers see in wait-child.ts.
import { EINVAL, EPERM } from "../base/errno.ts";
import { CAP_SYS_ADMIN, CAP_SYS_PTRACE } from "./creds.ts";
import { exitNotified, reapTracee } from "./exit.ts";
import { JOBCTL_STOP_PENDING, JOBCTL_TRAP_MASK, JOBCTL_TRAP_STOP, clearJobctl, kick, setJobctl } from "./group-stop.ts";
import type { Process } from "./process.ts";
import { ptraceMayAccess } from "./ptrace.ts";
import { SIGKILL, SIGSTOP, SI_KERNEL, SI_USER } from "./siginfo.ts";
import type { Task } from "./task.ts";
import { jobctlTrap } from "./trace-stop.ts";
import { yamaMayTraceMe } from "./yama.ts";

// PTRACE_O_*: bit n for event n, bit 0 for TRACESYSGOOD.
export const PTRACE_O_TRACESYSGOOD = 1;
export const PTRACE_O_EXITKILL = 1 << 20;
export const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;
export const PTRACE_O_MASK = 0xff | PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP;

export const PTRACE_EVENT_FORK = 1;
export const PTRACE_EVENT_VFORK = 2;
export const PTRACE_EVENT_CLONE = 3;
export const PTRACE_EVENT_EXEC = 4;
export const PTRACE_EVENT_VFORK_DONE = 5;
export const PTRACE_EVENT_EXIT = 6;
export const PTRACE_EVENT_STOP = 128;

/** That a thread is traced, and how. */
export class Trace {
  readonly tracer: Task;
  /** By PTRACE_SEIZE. */
  readonly seized: boolean;
  /** The tracer had CAP_SYS_PTRACE when it attached: set-user-ID programs gain their rights all the same. */
  readonly capable: boolean;
  /** PTRACE_O_*. */
  options: number;
  /** Stop at the beginning and end of system calls (PTRACE_SYSCALL), or at the beginning only and do not make them (PTRACE_SYSEMU). */
  syscalls: "run" | "trace" | "emulate" = "run";
  /** A system call has ended and the tracer is to be told. */
  callEnded = false;

  constructor(tracer: Task, how: { seized: boolean; options: number }) {
    this.tracer = tracer;
    this.seized = how.seized;
    this.options = how.options;
    this.capable = tracer.capable(CAP_SYS_PTRACE);
  }
  /** The tracer wants to be told of `event` (PTRACE_EVENT_*). */
  wants(event: number): boolean {
    return (this.options & (1 << event)) !== 0;
  }
}

/** Traced by somebody who is not its parent's process (ptrace_reparented). */
export const isReparented = (task: Task): boolean =>
  task.trace !== null && task.trace.tracer.process !== task.process.parent;

function link(task: Task, tracer: Task, how: { seized: boolean; options: number }): void {
  task.trace = new Trace(tracer, how);
  (tracer.tracees ??= new Set()).add(task);
}

/** The thread is nobody's tracee any more: if it was stopped for the tracer, it runs on or takes part in the group's stop. */
export function unlink(task: Task): void {
  const { trace, process } = task;
  if (trace === null) return;
  trace.tracer.tracees?.delete(task);
  task.trace = null;
  clearJobctl(task, JOBCTL_TRAP_MASK);
  if (task.exited) return;
  if (process.stopComplete || process.groupStopCount > 0) task.jobctl |= JOBCTL_STOP_PENDING;
  if ((task.jobctl & JOBCTL_STOP_PENDING) !== 0 || task.state === "t") kick(task, { resume: true });
}

/** check_ptrace_options: 0, -EINVAL or -EPERM. */
export function checkOptions(task: Task, options: number): number {
  if (options > PTRACE_O_MASK || (options & ~PTRACE_O_MASK) !== 0) return -EINVAL;
  if ((options & PTRACE_O_SUSPEND_SECCOMP) === 0) return 0;
  return task.capable(CAP_SYS_ADMIN) && task.seccomp === 0 ? 0 : -EPERM;
}

/** PTRACE_ATTACH, or with options PTRACE_SEIZE. 0 or -EPERM. */
export function attach(tracer: Task, task: Task, seize: { options: number } | null): number {
  const { kernel, process } = task;
  if (process === tracer.process || process === kernel.init) return -EPERM;
  const denied = ptraceMayAccess(tracer, task, { creds: "real", attach: true });
  if (denied !== 0) return denied;
  if (task.exited || task.trace !== null) return -EPERM;
  link(task, tracer, { seized: seize !== null, options: seize?.options ?? 0 });
  if (seize === null) kernel.signals.sendToTask(task, { signo: SIGSTOP, code: SI_KERNEL, pid: 0, uid: 0 });
  // ptrace_set_stopped: one that is stopped already stops for the tracer at once.
  if (task.state === "T" && setJobctl(task, JOBCTL_TRAP_STOP)) jobctlTrap(task);
  return 0;
}

/** The thread that made a process, or another one of the parent (real_parent). */
export function parentTask(process: Process): Task | null {
  const { maker, parent } = process;
  if (maker !== null && !maker.exited && maker.process === parent) return maker;
  return parent?.anyTask ?? null;
}

/** PTRACE_TRACEME. 0 or -EPERM. */
export function traceMe(task: Task): number {
  if (task.trace !== null) return -EPERM;
  const tracer = parentTask(task.process);
  if (tracer !== null && yamaMayTraceMe(tracer) !== 0) return -EPERM;
  // pid 1 of this system waits for nobody's stops.
  if (tracer !== null && task.process.parent !== task.kernel.init) link(task, tracer, { seized: false, options: 0 });
  return 0;
}

/** A new thread or process of a traced one, which its tracer wants too (ptrace_init_task). */
export function inheritTrace(child: Task, maker: Task): void {
  const { trace } = maker;
  if (trace === null) return;
  link(child, trace.tracer, trace);
  child.work = true;
  if (trace.seized) setJobctl(child, JOBCTL_TRAP_STOP);
  else child.pending.add({ signo: SIGSTOP, code: SI_USER, pid: 0, uid: 0 });
}

/** PTRACE_DETACH: the thread goes on with signal `signo` (0: none). */
export function detach(task: Task, signo: number): void {
  if (task.stop !== null) task.stop.code = signo;
  release(task);
}

/** __ptrace_detach: a zombie becomes its parent's business. */
function release(task: Task): void {
  const reparented = isReparented(task);
  unlink(task);
  if (task.state !== "Z") return;
  if (!task.isLeader) reapTracee(task);
  else if (reparented || task.process.parent === task.kernel.init) exitNotified(task.process);
}

/** exit_ptrace: the tracer ends; whom it traced run on, or die if it wanted that (PTRACE_O_EXITKILL). */
export function releaseTracees(tracer: Task): void {
  for (const task of [...(tracer.tracees ?? [])]) {
    if ((task.trace!.options & PTRACE_O_EXITKILL) !== 0) {
      task.kernel.signals.sendToTask(task, { signo: SIGKILL, code: SI_KERNEL, pid: 0, uid: 0 });
    }
    release(task);
  }
}
