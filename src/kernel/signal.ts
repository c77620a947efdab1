// Sending signals: from kill and friends, from the kernel (faults, terminals, timers, children). What happens when one arrives — handler,
// default action — is signal-delivery.ts. One Signals per kernel; everyone who has a reason sends through it.
import { CAP_KILL } from "./creds.ts";
import type { Process, ProcessGroup } from "./process.ts";
import {
  CLD_CONTINUED,
  CLD_STOPPED,
  IGNORED_BY_DEFAULT,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  STOP_SIGNALS,
  UNBLOCKABLE,
} from "./siginfo.ts";
import { SIGSTOP, type SigInfo, type SigSet, sigbit } from "./siginfo.ts";
import { SA_NOCLDSTOP, SIG_DFL, SIG_IGN } from "./signal-handlers.ts";
import { USER_HZ } from "./clock.ts";
import { continueGroup } from "./group-stop.ts";
import type { Kernel } from "./kernel.ts";
import type { Task } from "./task.ts";
import { isReparented } from "./trace.ts";
import { WaitQueue } from "./wait.ts";

const ticks = (ns: number): number => Math.floor((ns / 1e9) * USER_HZ);

/** Whether `sender` may send `signo` to `target` (check_kill_permission). */
export function mayKill(sender: Task, target: Task, signo: number): boolean {
  if (sender.process === target.process || sender.capable(CAP_KILL)) return true;
  const { uid, euid } = sender.creds;
  const { uid: targetUid, suid } = target.creds;
  if (euid === suid || euid === targetUid || uid === suid || uid === targetUid) return true;
  return signo === SIGCONT && sender.process.session === target.process.session;
}

export class Signals {
  readonly #kernel: Kernel;
  /** Woken when a thread of a process that is in exec has exited. */
  readonly threadGone = new WaitQueue();
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** To one thread (tkill, faults). False if it is ignored. */
  sendToTask(task: Task, info: SigInfo): boolean {
    if (task.exited || !this.#prepare(task.process, task, info.signo)) return false;
    if (!task.pending.add(info)) return true;
    task.process.signalArrived.wake();
    if (this.#wants(task, info.signo)) this.#notify(task, info.signo);
    return true;
  }

  /** To a process: any thread that does not block the signal takes it. False if it is ignored. */
  sendToProcess(process: Process, info: SigInfo): boolean {
    if (process.state !== "alive") return false;
    const main = process.anyTask;
    if (main === null || !this.#prepare(process, main, info.signo)) return false;
    if (!process.pending.add(info)) return true;
    process.signalArrived.wake();
    const taker = this.#taker(process, main, info.signo);
    if (taker !== undefined) this.#notify(taker, info.signo);
    return true;
  }
  /** complete_signal: the main thread if it does not block the signal, else any that does not. */
  #taker(process: Process, main: Task, signo: number): Task | undefined {
    if (this.#wants(main, signo)) return main;
    for (const task of process.threads.values()) if (this.#wants(task, signo)) return task;
    return undefined;
  }

  /** To all members of a process group. */
  sendToGroup(group: ProcessGroup, info: SigInfo): void {
    for (const process of [...group.members]) this.sendToProcess(process, info);
  }

  /** For what a thread itself did (a fault): cannot be blocked or ignored; then it is fatal. */
  force(task: Task, info: SigInfo): void {
    const bit = sigbit(info.signo);
    const blocked = (task.sigmask & bit) !== 0n;
    if (blocked || task.process.handlers.get(info.signo).handler === SIG_IGN) {
      task.process.handlers.set(info.signo, { handler: SIG_DFL, flags: 0, mask: 0n });
      task.sigmask &= ~bit;
    }
    task.pending.add(info);
    task.process.signalArrived.wake();
    this.#notify(task, info.signo);
  }

  /** Sets the mask of blocked signals; those that are pending and no longer blocked are taken before the task runs on. */
  setMask(task: Task, mask: SigSet): void {
    const newlyBlocked = mask & ~task.sigmask;
    task.sigmask = mask & ~UNBLOCKABLE;
    if (task.signalPending()) task.work = true;
    this.retarget(task, newlyBlocked);
  }

  /** `task` will not take `signals` any more: those that are pending for its process are for other threads (retarget_shared_pending). */
  retarget(task: Task, signals: SigSet): void {
    const left = task.process.pending.set & signals;
    if (left === 0n) return;
    for (const other of task.process.threads.values()) {
      if (other !== task && (left & ~other.sigmask) !== 0n) this.interrupt(other);
    }
  }

  /** An action was set to ignore (or to a default that ignores): what is pending goes (do_sigaction). */
  actionChanged(process: Process, signo: number): void {
    if (!this.isIgnored(process, signo)) return;
    process.pending.flush(sigbit(signo));
    for (const task of process.threads.values()) task.pending.flush(sigbit(signo));
  }

  /** The action now set discards `signo`. */
  isIgnored(process: Process, signo: number): boolean {
    const { handler } = process.handlers.get(signo);
    return handler === SIG_IGN || (handler === SIG_DFL && (IGNORED_BY_DEFAULT & sigbit(signo)) !== 0n);
  }

  /** Tells the parent that the process of `task` has stopped or runs again (do_notify_parent_cldstop). */
  notifyStop(task: Task, code: number): void {
    this.#notifyStop(task.process.parent, task.process.leader, code);
  }
  /** Tells the tracer of `task` that it has stopped or runs again. */
  notifyTracer(task: Task, code: number): void {
    this.#notifyStop(task.trace?.tracer.process ?? null, task, code);
  }
  #notifyStop(parent: Process | null, task: Task, code: number): void {
    if (parent === null) return;
    const { handler, flags } = parent.handlers.get(SIGCHLD);
    if (handler !== SIG_IGN && (flags & SA_NOCLDSTOP) === 0) {
      const stopped = code === CLD_STOPPED ? task.process.stopSignal : (task.stop?.code ?? 0) & 0x7f;
      this.sendToProcess(parent, this.childInfo(task, code, code === CLD_CONTINUED ? SIGCONT : stopped));
    }
    parent.childChanged.wake();
  }

  /** The first thread to run after a SIGCONT tells of it: the parent, and the leader's tracer. */
  tellContinued(task: Task): void {
    const { process } = task;
    const why = process.continueNotice === "continued" ? CLD_CONTINUED : CLD_STOPPED;
    process.continueNotice = "none";
    this.notifyStop(task, why);
    if (isReparented(process.leader)) this.notifyTracer(process.leader, why);
  }

  /** SIGCHLD's siginfo about a thread, as its parent or tracer sees it. */
  childInfo(task: Task, code: number, status: number, signo = SIGCHLD): SigInfo {
    const usage = task.isLeader ? task.process.usage() : task.usage;
    return {
      signo,
      code,
      pid: task.tid,
      uid: task.creds.uid,
      status,
      utime: ticks(usage.utime),
      stime: ticks(usage.stime),
    };
  }

  /** prepare_signal: stop and continue signals cancel each other. False if the signal is to be dropped. */
  #prepare(process: Process, task: Task, signo: number): boolean {
    // On its way out anyway: the signal is dropped.
    if (process.exiting) return false;
    const bit = sigbit(signo);
    if ((bit & STOP_SIGNALS) !== 0n) this.#flushAll(process, sigbit(SIGCONT));
    if (signo === SIGCONT) {
      this.#flushAll(process, STOP_SIGNALS);
      continueGroup(task);
    }
    // pid 1 of this system runs no guest code: nothing can be delivered to it.
    if (process === this.#kernel.init) return false;
    const blocked =
      (task.sigmask & bit) !== 0n || ((task.savedSigmask ?? 0n) & bit) !== 0n || (task.waitedFor & bit) !== 0n;
    if (blocked || signo === SIGKILL || signo === SIGSTOP || task.trace !== null) return true;
    return !this.isIgnored(process, signo);
  }

  #flushAll(process: Process, signals: SigSet): void {
    process.pending.flush(signals);
    for (const task of process.threads.values()) task.pending.flush(signals);
  }

  /** Whether `task` would take the signal: it does not block it and is not stopped (wants_signal). */
  #wants(task: Task, signo: number): boolean {
    if ((task.state === "t" || task.state === "T") && signo !== SIGKILL) return false;
    return (sigbit(signo) & (~task.sigmask | task.waitedFor)) !== 0n;
  }

  #notify(task: Task, signo: number): void {
    if (signo === SIGKILL) {
      for (const thread of task.process.threads.values()) this.interrupt(thread);
    } else {
      this.interrupt(task);
    }
  }

  /** Makes a task look at its signals: ends an interruptible wait, or any wait and stop if the task is to die. */
  interrupt(task: Task): void {
    task.work = true;
    const fatal = task.fatalSignalPending();
    const { waiting } = task;
    if (waiting !== null && (fatal || !waiting.uninterruptible)) waiting.end("signal");
    if (!fatal) return;
    if (task.state === "T" || (task.state === "t" && task.stop?.killable)) this.#kernel.scheduler.wake(task);
  }
}
