// System calls about scheduling: policies, priorities, affinity, CPU numbers (kernel/sched/syscalls.c, kernel/sys.c).
import { E2BIG, EACCES, EFAULT, EINVAL, EPERM, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser32, putUser32 } from "../../mm/usercopy.ts";
import { CAP_SYS_NICE } from "../creds.ts";
import type { Process } from "../process.ts";
import { RLIMIT_NICE, RLIMIT_RTPRIO } from "../rlimit.ts";
import { SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RR } from "../scheduler.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";

const SCHED_DEADLINE = 6;
/** Known by name only, as on a Linux without a BPF scheduler. */
const SCHED_EXT = 7;
const SCHED_RESET_ON_FORK = 0x40000000;
const SCHED_FLAG_RESET_ON_FORK = 1;
const SCHED_FLAG_KEEP_POLICY = 8;
const SCHED_FLAG_KEEP_PARAMS = 16;
const MIN_NICE = -20;
const MAX_NICE = 19;
/** What a task of SCHED_RR may run for (sched_rr_timeslice), and what the fair class reports with one task: its base slice. */
const RR_INTERVAL_NS = 100_000_000;
const FAIR_INTERVAL_NS = 3_000_000;

const isRealtime = (policy: number): boolean => policy === SCHED_FIFO || policy === SCHED_RR;
const isFair = (policy: number): boolean => policy === SCHED_OTHER || policy === SCHED_BATCH || policy === SCHED_IDLE;

/** The task that `pid` names, the caller for 0. */
const find = (task: Task, pid: number): Task | undefined => (pid === 0 ? task : task.kernel.task(pid));

/** The caller may change the target's scheduling: same user, or CAP_SYS_NICE. */
function mayControl(task: Task, target: Task): boolean {
  const { euid } = task.creds;
  return euid === target.creds.euid || euid === target.creds.uid || task.capable(CAP_SYS_NICE);
}

/** RLIMIT_NICE in the units of nice values: what the task may go down to. */
const mayNice = (task: Task, target: Task, nice: number): boolean =>
  nice >= target.sched.nice || 20 - nice <= target.process.rlimit(RLIMIT_NICE) || task.capable(CAP_SYS_NICE);

interface Setting {
  policy: number;
  priority: number;
  nice: number;
  resetOnFork: boolean;
}

/** __sched_setscheduler. */
function apply(task: Task, target: Task, setting: Setting): number {
  const { policy, priority } = setting;
  if (!isFair(policy) && !isRealtime(policy)) return -EINVAL;
  if (priority < 0 || priority > 99 || isRealtime(policy) !== priority > 0) return -EINVAL;
  const old = target.sched;
  if (isFair(policy) && setting.nice < old.nice && !mayNice(task, target, setting.nice)) return -EPERM;
  if (!task.capable(CAP_SYS_NICE)) {
    if (isRealtime(policy)) {
      const limit = target.process.rlimit(RLIMIT_RTPRIO);
      if (policy !== old.policy && limit === 0) return -EPERM;
      if (priority > old.priority && priority > limit) return -EPERM;
    }
    if (!mayControl(task, target)) return -EPERM;
    if (old.resetOnFork && !setting.resetOnFork) return -EPERM;
  }
  target.sched = setting;
  if (isRealtime(policy)) task.kernel.scheduler.realtimeUsed();
  if (target === task || isRealtime(policy)) task.kernel.scheduler.resched = true;
  return 0;
}

function sysSetscheduler(task: Task, args: Args): number {
  const [pid, word, at] = [args.i32(0), args.i32(1), args.ptr(2)];
  if (word < 0) return -EINVAL;
  return setScheduler(task, pid, at, {
    policy: word & ~SCHED_RESET_ON_FORK,
    reset: (word & SCHED_RESET_ON_FORK) !== 0,
  });
}

function setScheduler(task: Task, pid: number, at: number, wanted: { policy: number; reset: boolean } | null): number {
  if (at === 0 || pid < 0) return -EINVAL;
  const priority = getUser32(task.mm, at);
  if (priority < 0) return priority;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  const { nice, policy, resetOnFork } = target.sched;
  return apply(task, target, {
    policy: wanted?.policy ?? policy,
    priority: priority | 0,
    nice,
    resetOnFork: wanted?.reset ?? resetOnFork,
  });
}

function sysGetscheduler(task: Task, args: Args): number {
  const pid = args.i32(0);
  if (pid < 0) return -EINVAL;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  return target.sched.policy | (target.sched.resetOnFork ? SCHED_RESET_ON_FORK : 0);
}

function sysGetparam(task: Task, args: Args): number {
  const [pid, at] = [args.i32(0), args.ptr(1)];
  if (at === 0 || pid < 0) return -EINVAL;
  const target = find(task, pid);
  return target === undefined ? -ESRCH : putUser32(task.mm, at, target.sched.priority);
}

const SCHED_ATTR_SIZE_VER0 = 48;
const SCHED_ATTR_SIZE = 56;

function sysSetattr(task: Task, args: Args): number {
  const [pid, at, flags] = [args.i32(0), args.ptr(1), args.u32(2)];
  if (at === 0 || pid < 0 || flags !== 0) return -EINVAL;
  const size = getUser32(task.mm, at);
  if (size < 0) return size;
  const length = size === 0 ? SCHED_ATTR_SIZE_VER0 : size;
  const given = length < SCHED_ATTR_SIZE_VER0 || length > 4096 ? -E2BIG : copyFromUser(task.mm, at, length);
  if (given === -E2BIG || (typeof given !== "number" && given.subarray(SCHED_ATTR_SIZE).some((byte) => byte !== 0))) {
    return putUser32(task.mm, at, SCHED_ATTR_SIZE) === 0 ? -E2BIG : -EFAULT;
  }
  if (typeof given === "number") return given;
  const v = new DataView(given.buffer, given.byteOffset, given.byteLength);
  const policy = v.getUint32(4, true);
  const bits = v.getUint32(8, true);
  const target = find(task, pid);
  if (
    policy === SCHED_DEADLINE ||
    (bits & ~(SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS)) !== 0
  ) {
    return -EINVAL;
  }
  if (target === undefined) return -ESRCH;
  const keep = (bits & SCHED_FLAG_KEEP_PARAMS) !== 0;
  const nice = Math.min(MAX_NICE, Math.max(MIN_NICE, v.getInt32(16, true)));
  return apply(task, target, {
    policy: (bits & SCHED_FLAG_KEEP_POLICY) !== 0 ? target.sched.policy : policy,
    priority: keep ? target.sched.priority : v.getInt32(20, true),
    nice: keep || !isFair(policy) ? target.sched.nice : nice,
    resetOnFork: (bits & SCHED_FLAG_RESET_ON_FORK) !== 0,
  });
}

function sysGetattr(task: Task, args: Args): number {
  const [pid, at, size, flags] = [args.i32(0), args.ptr(1), args.u32(2), args.u32(3)];
  if (at === 0 || pid < 0 || size > 4096 || size < SCHED_ATTR_SIZE_VER0 || flags !== 0) return -EINVAL;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  const { policy, priority, nice, resetOnFork } = target.sched;
  const bytes = new Uint8Array(Math.min(size, SCHED_ATTR_SIZE));
  const v = new DataView(bytes.buffer);
  v.setUint32(0, bytes.length, true);
  v.setUint32(4, policy, true);
  v.setUint32(8, resetOnFork ? SCHED_FLAG_RESET_ON_FORK : 0, true);
  if (isFair(policy)) v.setInt32(16, nice, true);
  else v.setUint32(20, priority, true);
  return copyToUser(task.mm, at, bytes);
}

/** Bytes of the kernel's CPU mask (nr_cpu_ids rounded to longs). */
const maskBytes = (task: Task): number => Math.ceil(task.kernel.hardware.harts.length / 64) * 8;

function sysSetaffinity(task: Task, args: Args): number {
  const [pid, length, at] = [args.i32(0), args.u32(1), args.ptr(2)];
  const bytes = copyFromUser(task.mm, at, Math.min(length, maskBytes(task)));
  if (typeof bytes === "number") return bytes;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  if (!mayControl(task, target)) return -EPERM;
  let mask = 0n;
  bytes.forEach((byte, i) => (mask |= BigInt(byte) << BigInt(8 * i)));
  mask &= (1n << BigInt(task.kernel.hardware.harts.length)) - 1n;
  if (mask === 0n) return -EINVAL;
  target.affinity = mask;
  task.kernel.scheduler.affinityChanged(target);
  return 0;
}

function sysGetaffinity(task: Task, args: Args): number {
  const [pid, length, at] = [args.i32(0), args.u32(1), args.ptr(2)];
  const size = maskBytes(task);
  if (length * 8 < task.kernel.hardware.harts.length || length % 8 !== 0) return -EINVAL;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  const bytes = new Uint8Array(Math.min(size, length));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number((target.affinity >> BigInt(8 * i)) & 0xffn);
  return copyToUser(task.mm, at, bytes) === 0 ? bytes.length : -EFAULT;
}

function sysYield(task: Task): number {
  task.kernel.scheduler.resched = true;
  return 0;
}

function priorityBound(policy: number, ofRealtime: number): number {
  if (isRealtime(policy)) return ofRealtime;
  return isFair(policy) || policy === SCHED_DEADLINE || policy === SCHED_EXT ? 0 : -EINVAL;
}

function sysRrGetInterval(task: Task, args: Args): number {
  const pid = args.i32(0);
  if (pid < 0) return -EINVAL;
  const target = find(task, pid);
  if (target === undefined) return -ESRCH;
  const { policy } = target.sched;
  const ns = policy === SCHED_RR ? RR_INTERVAL_NS : policy === SCHED_FIFO ? 0 : FAIR_INTERVAL_NS;
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigInt64(8, BigInt(ns), true);
  return copyToUser(task.mm, args.ptr(1), bytes);
}

const PRIO_PROCESS = 0;
const PRIO_PGRP = 1;
const PRIO_USER = 2;

/** The tasks that setpriority and getpriority mean; undefined: no such kind. */
function prioritized(task: Task, which: number, who: number): Task[] | undefined {
  const { kernel, process } = task;
  const threads = (processes: Iterable<Process>): Task[] => [...processes].flatMap((p) => [...p.threads.values()]);
  switch (which) {
    case PRIO_PROCESS: {
      const target = find(task, who);
      return target === undefined ? [] : [target];
    }
    case PRIO_PGRP: {
      const group = who === 0 ? process.group : kernel.groups.get(who);
      return group === undefined ? [] : threads(group.members);
    }
    case PRIO_USER: {
      const uid = who === 0 ? task.creds.uid : who;
      return [...kernel.tasks.values()].filter((other) => other.creds.uid === uid);
    }
    default:
      return undefined;
  }
}

function sysSetpriority(task: Task, args: Args): number {
  const [which, who] = [args.i32(0), args.i32(1)];
  const nice = Math.min(MAX_NICE, Math.max(MIN_NICE, args.i32(2)));
  const targets = prioritized(task, which, who);
  if (targets === undefined) return -EINVAL;
  let result = -ESRCH;
  for (const target of targets) {
    if (!mayControl(task, target)) {
      result = -EPERM;
    } else if (!mayNice(task, target, nice)) {
      result = -EACCES;
    } else {
      if (result === -ESRCH) result = 0;
      target.sched.nice = nice;
    }
  }
  return result;
}

/** 40 to 1 for -20 to 19: user space turns it round. */
function sysGetpriority(task: Task, args: Args): number {
  const targets = prioritized(task, args.i32(0), args.i32(1));
  if (targets === undefined) return -EINVAL;
  return targets.length === 0 ? -ESRCH : Math.max(...targets.map((target) => 20 - target.sched.nice));
}

function sysGetcpu(task: Task, args: Args): number {
  const [cpuAt, nodeAt] = [args.ptr(0), args.ptr(1)];
  if (cpuAt !== 0 && putUser32(task.mm, cpuAt, task.lastHart) !== 0) return -EFAULT;
  return nodeAt !== 0 ? putUser32(task.mm, nodeAt, 0) : 0;
}

export const schedCalls: readonly SyscallEntry[] = [
  { nr: 118, name: "sched_setparam", handler: (t, a) => setScheduler(t, a.i32(0), a.ptr(1), null), args: "pid ptr" },
  { nr: 119, name: "sched_setscheduler", handler: sysSetscheduler, args: "pid int ptr" },
  { nr: 120, name: "sched_getscheduler", handler: sysGetscheduler, args: "pid" },
  { nr: 121, name: "sched_getparam", handler: sysGetparam, args: "pid ptr" },
  { nr: 122, name: "sched_setaffinity", handler: sysSetaffinity, args: "pid size ptr" },
  { nr: 123, name: "sched_getaffinity", handler: sysGetaffinity, args: "pid size ptr" },
  { nr: 124, name: "sched_yield", handler: sysYield, args: "" },
  { nr: 125, name: "sched_get_priority_max", handler: (_t, a) => priorityBound(a.i32(0), 99), args: "int" },
  { nr: 126, name: "sched_get_priority_min", handler: (_t, a) => priorityBound(a.i32(0), 1), args: "int" },
  { nr: 127, name: "sched_rr_get_interval", handler: sysRrGetInterval, args: "pid ptr" },
  { nr: 140, name: "setpriority", handler: sysSetpriority, args: "int int int" },
  { nr: 141, name: "getpriority", handler: sysGetpriority, args: "int int" },
  { nr: 168, name: "getcpu", handler: sysGetcpu, args: "ptr ptr ptr" },
  { nr: 274, name: "sched_setattr", handler: sysSetattr, args: "pid ptr hex" },
  { nr: 275, name: "sched_getattr", handler: sysGetattr, args: "pid ptr uint hex" },
];
