// The end of tasks and processes: exit, exit_group, fatal signals; zombies, orphans, reaping (kernel/exit.c). Called by trap.ts through
// signal-delivery.ts, by the exit calls and by exec (which ends the other threads).
import { KernelBug } from "../base/bug.ts";
import { robustExit } from "./futex-robust.ts";
import type { Process } from "./process.ts";
import { CLD_EXITED, CLD_KILLED, NSIG, SIGCHLD, SIGCONT, SIGHUP, SI_KERNEL, SI_USER } from "./siginfo.ts";
import { SA_NOCLDWAIT, SIG_IGN } from "./signal-handlers.ts";
import type { Task } from "./task.ts";

/** Ends all threads of a process; `status` is the wait status (code << 8, or a signal). The first call decides. */
export function groupExit(process: Process, status: number): void {
  if (process.exiting || process.state !== "alive") return;
  process.exiting = true;
  process.exitStatus = status;
  for (const task of process.threads.values()) process.kernel.signals.interrupt(task);
}

/** Ends one thread, which is the current one. `status` as for groupExit. */
export function exitTask(task: Task, status: number): void {
  const { kernel, process } = task;
  if (task.exited) throw new KernelBug(`task ${task.tid} exits twice`);
  task.exitStatus = status;
  kernel.strace?.exited(task, status);
  task.call = null;
  task.waiting = null;
  const last = process.threads.size === 1;
  if (last) {
    kernel.beforeExit?.(process);
    process.posixTimers?.deleteAll();
    process.posixTimers = null;
    for (const timer of process.itimers) timer.expires = Infinity;
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
  kernel.scheduler.suspend(task, task.isLeader ? "Z" : "X");
  if (!task.isLeader) kernel.tasks.delete(task.tid);
  if (last) endProcess(process, status);
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

/** The last thread has gone, with `status`: a zombie for the parent, new parents for the children. */
function endProcess(process: Process, status: number): void {
  const { kernel } = process;
  if (!process.exiting) process.exitStatus = status;
  process.state = "zombie";
  process.stopSignal = 0;
  process.setExecutable(null);
  kernel.cgroups.leave(process);
  leadSessionOut(process);
  for (const hook of kernel.processExitHooks) hook(process);
  reparentChildren(process);
  hangUpOrphans(process.group, process.parent, process);
  process.ended.wake();
  notifyParent(process);
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
    if (child.state === "zombie") notifyParent(child);
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
  const { kernel } = process;
  const parent = process.parent;
  if (parent === null) throw new KernelBug("init has exited");
  const status = process.exitStatus;
  const signo = process.exitSignal;
  const action = parent.handlers.get(SIGCHLD);
  const unwanted = signo === SIGCHLD && (action.handler === SIG_IGN || (action.flags & SA_NOCLDWAIT) !== 0);
  // clone(2) takes any number for the exit signal: one that is no signal is not sent.
  if (signo !== 0 && signo <= NSIG && !(unwanted && action.handler === SIG_IGN)) {
    const killed = (status & 0x7f) !== 0;
    const code = killed ? CLD_KILLED : CLD_EXITED;
    kernel.signals.sendToProcess(
      parent,
      kernel.signals.childInfo(process, code, killed ? status & 0x7f : status >> 8, signo),
    );
  }
  if (unwanted || parent === kernel.init) reap(process);
  parent.childChanged.wake();
}

/** A zombie goes for good: its id is free again, its usage becomes its parent's. */
export function reap(process: Process): void {
  const { kernel, parent } = process;
  if (process.state !== "zombie") throw new KernelBug(`process ${process.pid} is reaped while it is ${process.state}`);
  process.state = "dead";
  process.leader.state = "X";
  if (parent !== null) {
    parent.children.delete(process);
    parent.childrenUsage.add(process.usage());
    parent.childrenUsage.add(process.childrenUsage);
  }
  const { group } = process;
  group.members.delete(process);
  if (group.members.size === 0) kernel.groups.delete(group.pgid);
  kernel.processes.delete(process.pid);
  kernel.tasks.delete(process.leader.tid);
  kernel.onReap?.(process);
}
