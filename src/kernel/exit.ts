// The end of tasks and processes: exit, exit_group, fatal signals; zombies, orphans, reaping (kernel/exit.c). Called by trap.ts through
// signal-delivery.ts, by the exit calls and by exec (which ends the other threads).
import { KernelBug } from "../base/bug.ts";
import { robustExit } from "./futex-robust.ts";
import { JOBCTL_PENDING_MASK, JOBCTL_STOP_PENDING, clearJobctl, participate } from "./group-stop.ts";
import type { Process } from "./process.ts";
import {
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  NSIG,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SI_KERNEL,
  SI_USER,
} from "./siginfo.ts";
import { SA_NOCLDWAIT, SIG_IGN } from "./signal-handlers.ts";
import type { Task } from "./task.ts";
import { isReparented, releaseTracees, unlink } from "./trace.ts";

/** In a wait status: a core file was written. */
export const COREDUMPED = 0x80;

/** Ends all threads of a process; `status` is the wait status (code << 8, or a signal). The first call decides. */
export function groupExit(process: Process, status: number): void {
  if (process.exiting || process.state !== "alive") return;
  process.exiting = true;
  process.exitStatus = status;
  process.stopComplete = false;
  process.groupStopCount = process.stopSignal = 0;
  for (const task of process.threads.values()) {
    clearJobctl(task, JOBCTL_PENDING_MASK);
    process.kernel.signals.interrupt(task);
  }
}

/** Ends one thread, which is the current one. `status` as for groupExit. */
export function exitTask(task: Task, status: number): void {
  const { kernel, process } = task;
  if (task.exited) throw new KernelBug(`task ${task.tid} exits twice`);
  task.exitStatus = status;
  kernel.strace?.exited(task, status);
  task.call = null;
  task.waiting = null;
  task.stop = null;
  if ((task.jobctl & JOBCTL_STOP_PENDING) !== 0 && participate(task)) kernel.signals.notifyStop(task, CLD_STOPPED);
  task.jobctl = 0;
  const last = process.threads.size === 1;
  if (last) {
    // Its status is that of all (synchronize_group_exit).
    if (!process.exiting) process.exitStatus = status;
    process.exiting = true;
    kernel.beforeExit?.(process);
    process.posixTimers?.deleteAll();
    process.posixTimers = null;
    process.itimers = null;
    process.realTimer?.cancel();
  }
  releaseMm(task);
  task.files.release();
  task.setFiles(null);
  task.fs.release();
  task.setFs(null);

  kernel.scheduler.account();
  process.threads.delete(task.tid);
  kernel.signals.retarget(task, ~task.sigmask);
  process.goneUsage.add(task.usage);
  releaseTracees(task);
  if (task.isLeader || task.trace !== null) kernel.scheduler.suspend(task, "Z");
  else {
    kernel.scheduler.suspend(task, "X");
    kernel.tasks.delete(task.tid);
  }
  if (task.trace !== null) {
    // A traced thread is a zombie until its tracer has waited for it.
    if (!task.isLeader) (process.tracedZombies ??= new Set()).add(task);
    if (!task.isLeader || !last) tellParent(task, SIGCHLD);
  }
  if (last) endProcess(process);
  task.ended.wake();
  if (process.execTask !== null) process.execTask.kernel.signals.threadGone.wake();
}

/** mm_release and exit_mm: what a task does to its memory at exit or exec — robust futexes, the tid word, a vforking parent. */
export function releaseMm(task: Task): void {
  const mm = task.mmOrNull;
  if (mm === null) return;
  robustExit(task);
  mm.noteHighWater();
  task.process.goneUsage.maxRss = Math.max(task.process.goneUsage.maxRss, mm.hiwaterRss);
  if (task.clearChildTid !== 0) {
    if (mm.users > 1) task.kernel.futexes.clearTid(task, task.clearChildTid);
    task.clearChildTid = 0;
  }
  task.setMm(null);
  task.vforkDone?.wake();
  task.vforkDone = null;
  mm.put();
}

/** The last thread has gone: a zombie for the parent, new parents for the children. */
function endProcess(process: Process): void {
  const { kernel } = process;
  process.state = "zombie";
  process.setExecutable(null);
  kernel.cgroups.leave(process);
  leadSessionOut(process);
  for (const hook of kernel.processExitHooks) hook(process);
  reparentChildren(process);
  hangUpOrphans(process.group, process.parent, process);
  process.ended.wake();
  exitNotified(process);
}

/** A zombie process whose threads have all been waited for tells its tracer, or its parent, who may not care (exit_notify, zap_leader). */
export function exitNotified(process: Process): void {
  const { leader } = process;
  if (process.state !== "zombie" || process.hasTracedZombies) return;
  if (leader.trace === null) notifyParent(process);
  else tellParent(leader, isReparented(leader) ? SIGCHLD : process.exitSignal);
}

/** A zombie that its tracer has waited for: a thread is gone for good, a process is its parent's to wait for now. */
export function reapTracee(task: Task): void {
  const { process, kernel } = task;
  const reparented = isReparented(task);
  unlink(task);
  if (task.isLeader) {
    if (reparented) exitNotified(process);
    else reap(process);
    return;
  }
  process.tracedZombies?.delete(task);
  task.state = "X";
  kernel.tasks.delete(task.tid);
  if (process.execTask !== null) kernel.signals.threadGone.wake();
  exitNotified(process);
}

/** A session leader ends: its terminal is taken away, the foreground job is hung up (disassociate_ctty). */
function leadSessionOut(process: Process): void {
  const { session, kernel } = process;
  const { tty } = session;
  if (session.sid !== process.pid || tty === null) return;
  const { foreground } = tty;
  session.tty = null;
  if (foreground !== null) {
    kernel.signals.sendToGroup(foreground, { signo: SIGHUP, code: SI_KERNEL });
    kernel.signals.sendToGroup(foreground, { signo: SIGCONT, code: SI_KERNEL });
  }
  tty.disassociate();
}

/** The nearest living ancestor that takes in orphans, or pid 1 (find_new_reaper). */
function reaperFor(process: Process): Process {
  for (let p = process.parent; p !== null; p = p.parent) {
    if (p.childSubreaper && p.state === "alive") return p;
  }
  return process.kernel.init;
}

function reparentChildren(process: Process): void {
  const { kernel } = process;
  const reaper = reaperFor(process);
  for (const child of [...process.children]) {
    process.children.delete(child);
    child.parent = reaper;
    reaper.children.add(child);
    for (const task of child.threads.values()) {
      if (task.parentDeathSignal !== 0) {
        kernel.signals.sendToTask(task, { signo: task.parentDeathSignal, code: SI_USER, pid: process.pid, uid: 0 });
      }
    }
    // Children that were cloned with another exit signal tell their new parent in the usual way.
    child.exitSignal = SIGCHLD;
    if (child.state === "zombie" && child.leader.trace === null) exitNotified(child);
    else hangUpOrphans(child.group, process, null);
  }
}

/**
 * `connection`, in another group of the session, has ceased to be the parent of somebody in `group`. If nobody else outside cares for the group
 * and it has stopped members, they get SIGHUP and SIGCONT (kill_orphaned_pgrp).
 */
function hangUpOrphans(group: Process["group"], connection: Process | null, without: Process | null): void {
  if (connection === null || connection.group === group || connection.session !== group.session) return;
  if (!group.hasStopped || !group.isOrphaned(without ?? undefined)) return;
  const { signals } = [...group.members][0].kernel;
  signals.sendToGroup(group, { signo: SIGHUP, code: SI_KERNEL });
  signals.sendToGroup(group, { signo: SIGCONT, code: SI_KERNEL });
}

/** SIGCHLD, and reaping at once if the parent does not care (do_notify_parent). */
function notifyParent(process: Process): void {
  const { kernel, parent, exitSignal } = process;
  if (parent === null) throw new KernelBug("init has exited");
  const action = parent.handlers.get(SIGCHLD);
  const unwanted = exitSignal === SIGCHLD && (action.handler === SIG_IGN || (action.flags & SA_NOCLDWAIT) !== 0);
  const signo = unwanted && action.handler === SIG_IGN ? 0 : exitSignal;
  if (unwanted || parent === kernel.init) {
    sendExit(process.leader, parent, signo);
    reap(process);
    parent.childChanged.wake();
  } else {
    tellParent(process.leader, signo);
  }
}

/** Tells the tracer of a zombie, or its parent, with `signo`. */
function tellParent(task: Task, signo: number): void {
  const parent = task.trace?.tracer.process ?? task.process.parent!;
  sendExit(task, parent, signo);
  parent.childChanged.wake();
}

/** The signal of an exit. clone(2) takes any number for it: one that is no signal is not sent. */
function sendExit(task: Task, parent: Process, signo: number): void {
  if (signo === 0 || signo > NSIG) return;
  const status = exitStatusOf(task);
  const killed = status & 0x7f;
  const code = killed === 0 ? CLD_EXITED : (status & COREDUMPED) !== 0 ? CLD_DUMPED : CLD_KILLED;
  const { signals } = task.kernel;
  signals.sendToProcess(parent, signals.childInfo(task, code, killed || (status >> 8) & 0xff, signo));
}

/** The wait status of a thread that has exited: that of the process if it ended as a whole. */
export function exitStatusOf(task: Task): number {
  return task.process.exiting ? task.process.exitStatus : task.exitStatus;
}

/** A zombie goes for good: its id is free again, its usage becomes its parent's. */
export function reap(process: Process): void {
  const { kernel, parent } = process;
  if (process.state !== "zombie") throw new KernelBug(`process ${process.pid} is reaped while it is ${process.state}`);
  process.state = "dead";
  unlink(process.leader);
  process.leader.state = "X";
  if (parent !== null) {
    parent.children.delete(process);
    // All of it: no thread is left.
    parent.childrenUsage.add(process.goneUsage);
    parent.childrenUsage.add(process.childrenUsage);
  }
  const { group } = process;
  group.members.delete(process);
  if (group.members.size === 0) kernel.groups.delete(group.pgid);
  kernel.processes.delete(process.pid);
  kernel.tasks.delete(process.leader.tid);
  kernel.onReap?.(process);
}
