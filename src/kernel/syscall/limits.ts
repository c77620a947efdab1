// System calls about resource limits and resource usage (kernel/sys.c).
import { EFAULT, EINVAL, EPERM, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { NSEC_PER_SEC, USER_HZ } from "../clock.ts";
import { CAP_SYS_RESOURCE } from "../creds.ts";
import type { Process } from "../process.ts";
import { RLIMIT_NOFILE, RLIM_NLIMITS, applyMemoryLimits } from "../rlimit.ts";
import type { Task } from "../task.ts";
import { encodeRusage } from "./rusage.ts";
import type { Args, SyscallEntry } from "./table.ts";

/** fs.nr_open: RLIMIT_NOFILE cannot be higher. */
const NR_OPEN = 1048576;
const RLIM_INFINITY = 2n ** 64n - 1n;

interface Limit {
  readonly soft: number;
  readonly hard: number;
}

function encodeLimit(process: Process, which: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const v = new DataView(bytes.buffer);
  [process.rlimits.soft(which), process.rlimits.hard(which)].forEach((value, i) =>
    v.setBigUint64(8 * i, value === Infinity ? RLIM_INFINITY : BigInt(value), true),
  );
  return bytes;
}

function decodeLimit(task: Task, at: number): Limit | number {
  const bytes = copyFromUser(task.mm, at, 16);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const [soft, hard] = [0, 8].map((offset) => {
    const value = v.getBigUint64(offset, true);
    return value === RLIM_INFINITY ? Infinity : Number(value);
  });
  return { soft, hard };
}

/** do_prlimit's second half. */
function setLimit(task: Task, process: Process, which: number, limit: Limit): number {
  const { rlimits } = process;
  if (limit.soft > limit.hard) return -EINVAL;
  if (which === RLIMIT_NOFILE && limit.hard > NR_OPEN) return -EPERM;
  if (limit.hard > rlimits.hard(which) && !task.capable(CAP_SYS_RESOURCE)) return -EPERM;
  rlimits.set(which, limit.soft, limit.hard);
  const { mm, anyTask } = process;
  if (mm !== null && anyTask !== null) applyMemoryLimits(mm, process, anyTask);
  return 0;
}

function sysGetrlimit(task: Task, args: Args): number {
  const which = args.u32(0);
  if (which >= RLIM_NLIMITS) return -EINVAL;
  return copyToUser(task.mm, args.ptr(1), encodeLimit(task.process, which));
}

function sysSetrlimit(task: Task, args: Args): number {
  const which = args.u32(0);
  const limit = decodeLimit(task, args.ptr(1));
  if (typeof limit === "number") return limit;
  return which >= RLIM_NLIMITS ? -EINVAL : setLimit(task, task.process, which, limit);
}

/** check_prlimit_permission: the same user in every respect, or CAP_SYS_RESOURCE. */
function mayLimit(task: Task, target: Task): boolean {
  if (task === target || task.capable(CAP_SYS_RESOURCE)) return true;
  const { uid, gid } = task.creds;
  const other = target.creds;
  return (
    [other.uid, other.euid, other.suid].every((id) => id === uid) &&
    [other.gid, other.egid, other.sgid].every((id) => id === gid)
  );
}

function sysPrlimit64(task: Task, args: Args): number {
  const [pid, which, newAt, oldAt] = [args.i32(0), args.u32(1), args.ptr(2), args.ptr(3)];
  const limit = newAt === 0 ? null : decodeLimit(task, newAt);
  if (typeof limit === "number") return limit;
  const target = pid === 0 ? task : task.kernel.task(pid);
  if (target === undefined) return -ESRCH;
  if (!mayLimit(task, target)) return -EPERM;
  if (which >= RLIM_NLIMITS) return -EINVAL;
  const old = encodeLimit(target.process, which);
  const error = limit === null ? 0 : setLimit(task, target.process, which, limit);
  if (error !== 0) return error;
  return oldAt === 0 ? 0 : copyToUser(task.mm, oldAt, old);
}

const RUSAGE_SELF = 0;
const RUSAGE_CHILDREN = -1;
const RUSAGE_THREAD = 1;

function sysGetrusage(task: Task, args: Args): number {
  const who = args.i32(0);
  const { process } = task;
  if (who !== RUSAGE_SELF && who !== RUSAGE_CHILDREN && who !== RUSAGE_THREAD) return -EINVAL;
  let usage = who === RUSAGE_CHILDREN ? process.childrenUsage : process.usage();
  if (who === RUSAGE_THREAD) {
    const { maxRss } = usage;
    usage = Object.assign(usage, task.usage, { maxRss });
  }
  return copyToUser(task.mm, args.ptr(1), encodeRusage(usage));
}

function sysTimes(task: Task, args: Args): number {
  const ticks = (ns: number): bigint => BigInt(Math.floor((ns / NSEC_PER_SEC) * USER_HZ));
  const { process } = task;
  if (args.ptr(0) !== 0) {
    const own = process.usage();
    const children = process.childrenUsage;
    const bytes = new Uint8Array(32);
    const v = new DataView(bytes.buffer);
    [own.utime, own.stime, children.utime, children.stime].forEach((ns, i) => v.setBigInt64(8 * i, ticks(ns), true));
    if (copyToUser(task.mm, args.ptr(0), bytes) !== 0) return -EFAULT;
  }
  return Number(ticks(task.kernel.clock.monotonic()));
}

export const limitCalls: readonly SyscallEntry[] = [
  { nr: 153, name: "times", handler: sysTimes, args: "ptr" },
  { nr: 163, name: "getrlimit", handler: sysGetrlimit, args: "uint ptr" },
  { nr: 164, name: "setrlimit", handler: sysSetrlimit, args: "uint ptr" },
  { nr: 165, name: "getrusage", handler: sysGetrusage, args: "int ptr" },
  { nr: 261, name: "prlimit64", handler: sysPrlimit64, args: "pid rlimit rlim orlim" },
];
