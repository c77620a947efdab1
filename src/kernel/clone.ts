// New tasks: fork, vfork, clone, clone3 (kernel/fork.c: copy_process, kernel_clone). What a child shares with its parent and what it gets of its own.
// The argument checks of clone3 are with the call (syscall/process.ts); those of the flags are here.
import { EAGAIN, EEXIST, EFAULT, EINVAL, EOPNOTSUPP, EPERM, ERESTARTNOINTR } from "../base/errno.ts";
import { PID_MAX } from "../base/limits.ts";
import { RegisterFile } from "../machine/hart.ts";
import type { Mm } from "../mm/mm.ts";
import { putUser32 } from "../mm/usercopy.ts";
import type { Cgroup } from "./cgroup.ts";
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE } from "./creds.ts";
import { cgroupOfDescriptor } from "./fs/cgroupfs.ts";
import { PidFile } from "./fs/pidfd.ts";
import { joinGroupStop } from "./group-stop.ts";
import { Process } from "./process.ts";
import { RLIMIT_NOFILE, RLIMIT_NPROC } from "./rlimit.ts";
import { SIGCHLD } from "./siginfo.ts";
import type { SyscallResult } from "./syscall/table.ts";
import { Task } from "./task.ts";
import {
  PTRACE_EVENT_CLONE,
  PTRACE_EVENT_FORK,
  PTRACE_EVENT_VFORK,
  PTRACE_EVENT_VFORK_DONE,
  inheritTrace,
  unlink,
} from "./trace.ts";
import { eventStop } from "./trace-stop.ts";
import { type Wait, WaitQueue, wait } from "./wait.ts";

export const CSIGNAL = 0xff;
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_PTRACE = 0x2000;
export const CLONE_VFORK = 0x4000;
export const CLONE_PARENT = 0x8000;
export const CLONE_THREAD = 0x10000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_SETTLS = 0x80000;
export const CLONE_PARENT_SETTID = 0x100000;
export const CLONE_CHILD_CLEARTID = 0x200000;
export const CLONE_DETACHED = 0x400000;
export const CLONE_UNTRACED = 0x800000;
export const CLONE_CHILD_SETTID = 0x1000000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
/** There is one namespace of each kind. */
const CLONE_NEW =
  CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

const REG_SP = 2;
const REG_TP = 4;
const REG_A0 = 10;

/** struct kernel_clone_args. */
export interface CloneRequest {
  /** The low 32 bits, without the exit signal. */
  readonly flags: number;
  /** CLONE_CLEAR_SIGHAND (above bit 31). */
  readonly clearSighand?: true;
  readonly exitSignal: number;
  /** The child's stack pointer; 0: the parent's. */
  readonly stack: number;
  readonly tls: number;
  readonly parentTid: number;
  readonly childTid: number;
  /** Where the pidfd goes. */
  readonly pidfd: number;
  /** The tid that the child shall have; 0: any. */
  readonly setTid?: number;
  /** CLONE_INTO_CGROUP: a descriptor of the control group where the child starts, instead of its parent's. */
  readonly cgroupFd?: number;
}

/** clone: the child's tid, or -errno. vfork waits. */
export function clone(task: Task, request: CloneRequest): SyscallResult {
  const error = checkFlags(task, request.flags) || checkLimits(task);
  if (error !== 0) return error;
  if (task.signalPending()) return -ERESTARTNOINTR;
  const cgroup = chooseCgroup(task, request);
  if (typeof cgroup === "number") return cgroup;
  const child = copyTask(task, request, cgroup);
  if (typeof child === "number") return child;
  const pidfd = (request.flags & CLONE_PIDFD) !== 0 ? givePidfd(task, child, request.pidfd) : 0;
  if (pidfd < 0) {
    abandon(child);
    return pidfd;
  }
  if ((request.flags & CLONE_PARENT_SETTID) !== 0) putUser32(task.mm, request.parentTid, child.tid);
  task.kernel.forks++;
  const { tid } = child;
  const vfork = (request.flags & CLONE_VFORK) !== 0;
  if (vfork) child.vforkDone = new WaitQueue();
  task.kernel.scheduler.wake(child);
  if (task.trace !== null) return tracedClone(task, child, request);
  return vfork ? waitForVfork(task, child, child.vforkDone!, tid) : tid;
}

/** The event of ptrace(2) that a call is. */
function eventOf({ flags, exitSignal }: CloneRequest): number {
  if ((flags & CLONE_VFORK) !== 0) return PTRACE_EVENT_VFORK;
  return exitSignal !== SIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK;
}

/** The rest of a traced caller's call: its tracer is told of the child, and when a vfork is over. */
function* tracedClone(task: Task, child: Task, request: CloneRequest): Generator<Wait, number> {
  const { tid, vforkDone } = child;
  if ((request.flags & CLONE_UNTRACED) === 0) yield* eventStop(task, eventOf(request), tid);
  if (vforkDone === null) return tid;
  yield* waitForVfork(task, child, vforkDone, tid);
  yield* eventStop(task, PTRACE_EVENT_VFORK_DONE, tid);
  return tid;
}

/** wait_for_vfork_done: until the child has let go of the memory. Only a fatal signal ends it earlier. */
function* waitForVfork(task: Task, child: Task, done: WaitQueue, tid: number): Generator<Wait, number> {
  while (child.vforkDone === done) {
    if ((yield* wait(task, done, { uninterruptible: true })) === "signal") {
      child.vforkDone = null;
      break;
    }
  }
  return tid;
}

function checkFlags(task: Task, flags: number): number {
  const has = (bits: number): boolean => (flags & bits) !== 0;
  if (has(CLONE_NEW)) return -EINVAL;
  if (has(CLONE_THREAD) && !has(CLONE_SIGHAND)) return -EINVAL;
  if (has(CLONE_SIGHAND) && !has(CLONE_VM)) return -EINVAL;
  if (has(CLONE_PARENT) && task.process === task.kernel.init) return -EINVAL;
  return has(CLONE_PIDFD) && has(CLONE_DETACHED) ? -EINVAL : 0;
}

/** RLIMIT_NPROC, which root is free of. */
function checkLimits(task: Task): number {
  const limit = task.process.rlimit(RLIMIT_NPROC);
  const { uid } = task.creds;
  if (limit === Infinity || uid === 0 || task.capable(CAP_SYS_RESOURCE) || task.capable(CAP_SYS_ADMIN)) return 0;
  let owned = 0;
  for (const other of task.kernel.tasks.values()) if (other.creds.uid === uid) owned++;
  return owned >= limit ? -EAGAIN : 0;
}

/** The group where the child starts: its parent's, or the one asked for. -EBADF, -EACCES, -EBUSY, -ENODEV, -EOPNOTSUPP, -EAGAIN (pids.max). */
function chooseCgroup(task: Task, request: CloneRequest): Cgroup | number {
  const { cgroups } = task.kernel;
  let group = task.process.cgroup;
  if (request.cgroupFd !== undefined) {
    const wanted = cgroupOfDescriptor(task, request.cgroupFd);
    if (typeof wanted === "number") return wanted;
    if (wanted !== group && (request.flags & CLONE_THREAD) !== 0) return -EOPNOTSUPP;
    group = wanted;
    const error = cgroups.mayHold(group);
    if (error < 0) return error;
  }
  return cgroups.mayFork(group) || group;
}

/** The id for the child: a free one, or the one asked for. */
function chooseTid(task: Task, wanted: number): number {
  const { kernel } = task;
  if (wanted === 0) return kernel.allocatePid() || -EAGAIN;
  if (wanted < 1 || wanted >= PID_MAX) return -EINVAL;
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  return kernel.tasks.has(wanted) || kernel.processes.has(wanted) || kernel.groups.has(wanted) ? -EEXIST : wanted;
}

/** copy_process: a task with all that it shares or inherits, known to the kernel, not yet runnable. */
function copyTask(task: Task, request: CloneRequest, cgroup: Cgroup): Task | number {
  const { kernel } = task;
  const { flags } = request;
  const tid = chooseTid(task, request.setTid ?? 0);
  if (tid < 0) return tid;
  const mm: Mm | number = (flags & CLONE_VM) !== 0 ? task.mm.get() : task.mm.fork();
  if (typeof mm === "number") return mm;
  const process = (flags & CLONE_THREAD) !== 0 ? task.process : copyProcess(task, tid, request, cgroup);
  const regs = RegisterFile.create();
  regs.copyFrom(task.regs);
  const child = new Task({
    kernel,
    tid,
    process,
    regs,
    mm,
    files: (flags & CLONE_FILES) !== 0 ? task.files.retain() : task.files.fork(),
    fs: (flags & CLONE_FS) !== 0 ? task.fs.retain() : task.fs.fork(),
    creds: task.creds.clone(),
  });
  inherit(child, task, flags);
  regs.setNumber(REG_A0, 0);
  if (request.stack !== 0) regs.setNumber(REG_SP, request.stack);
  if ((flags & CLONE_SETTLS) !== 0) regs.setNumber(REG_TP, request.tls);
  if (process !== task.process) process.leader = child;
  process.threads.set(tid, child);
  kernel.tasks.set(tid, child);
  joinCgroup(child, request);
  if ((flags & CLONE_CHILD_SETTID) !== 0) putUser32(mm, request.childTid, tid);
  if ((flags & CLONE_CHILD_CLEARTID) !== 0) child.clearChildTid = request.childTid;
  if ((flags & CLONE_THREAD) !== 0) joinGroupStop(child, task);
  const wanted = (flags & CLONE_UNTRACED) === 0 && task.trace?.wants(eventOf(request));
  if (wanted || (flags & CLONE_PTRACE) !== 0) inheritTrace(child, task);
  return child;
}

/** The child is in its group from now on, and if it has memory of its own, that is charged there. */
function joinCgroup(child: Task, request: CloneRequest): void {
  const { kernel, process } = child;
  if ((request.flags & CLONE_THREAD) !== 0) kernel.cgroups.noteTasks(process.cgroup);
  else kernel.cgroups.enter(process, process.cgroup);
  if ((request.flags & CLONE_VM) === 0) child.mm.memcg = process.cgroup.memcg;
}

/** A new thread group. */
function copyProcess(task: Task, pid: number, request: CloneRequest, cgroup: Cgroup): Process {
  const { process, kernel } = task;
  const { flags } = request;
  const sibling = (flags & CLONE_PARENT) !== 0;
  const handlers = (flags & CLONE_SIGHAND) !== 0 ? process.handlers : process.handlers.clone();
  if (request.clearSighand) handlers.resetForExec();
  const parent = sibling ? process.parent : process;
  const child = new Process(kernel, pid, parent, process.group, handlers, process.rlimits.clone());
  child.cgroup = cgroup;
  child.exitSignal = sibling ? process.exitSignal : request.exitSignal;
  child.maker = sibling ? process.maker : task;
  child.dumpable = process.dumpable;
  child.coredumpFilter = process.coredumpFilter;
  child.oomScoreAdj = process.oomScoreAdj;
  child.oomScoreAdjMin = process.oomScoreAdjMin;
  child.setExecutable(process.exe);
  child.auxv = process.auxv;
  kernel.processes.set(pid, child);
  return child;
}

/** What a new task takes over from the one that made it. */
function inherit(child: Task, task: Task, flags: number): void {
  child.comm = task.comm;
  child.sigmask = task.sigmask;
  child.affinity = task.affinity;
  child.lastHart = task.lastHart;
  child.noNewPrivs = task.noNewPrivs;
  child.keepCaps = task.keepCaps;
  child.personality = task.personality;
  child.timerSlack = task.timerSlack;
  child.seccomp = task.seccomp;
  child.sched = { ...task.sched };
  if (task.sched.resetOnFork)
    child.sched = { policy: 0, priority: 0, nice: Math.max(0, task.sched.nice), resetOnFork: false };
  // The alternate stack is the parent's memory: a child in the same memory must not use it, unless the parent sleeps.
  if ((flags & (CLONE_VM | CLONE_VFORK)) !== CLONE_VM) child.altStack = { ...task.altStack };
  if ((flags & CLONE_VM) === 0 && task.rseq !== null) {
    child.rseq = { ...task.rseq, cpu: -1 };
    child.work = true;
  }
}

/** A descriptor for the child: of its process, or with CLONE_THREAD of the thread. */
function givePidfd(task: Task, child: Task, address: number): number {
  const target = child.isLeader ? { process: child.process } : { process: child.process, thread: child };
  const file = new PidFile(task.kernel, target, 0);
  const fd = task.files.install(file, { cloexec: true, limit: task.process.rlimit(RLIMIT_NOFILE) });
  if (fd < 0) {
    file.put();
    return fd;
  }
  if (putUser32(task.mm, address, fd) === 0) return fd;
  task.files.close(fd);
  return -EFAULT;
}

/** The child never was: it has run nothing. */
function abandon(child: Task): void {
  const { process, kernel } = child;
  child.state = "X";
  unlink(child);
  process.threads.delete(child.tid);
  kernel.tasks.delete(child.tid);
  const mm = child.mmOrNull;
  child.setMm(null);
  mm?.put();
  child.files.release();
  child.fs.release();
  child.state = "X";
  if (process.leader !== child) return;
  kernel.processes.delete(process.pid);
  kernel.cgroups.leave(process);
  process.parent?.children.delete(process);
  process.group.members.delete(process);
  process.setExecutable(null);
  process.state = "dead";
}
