// /proc/PID/status, stat, statm, limits, io and the like: what fs/proc/array.c and base.c print about a task.

import { PAGE_SIZE, pageDown, pageUp } from "../../../base/numbers.ts";
import type { Mm } from "../../../mm/mm.ts";
import {
  RLIMIT_AS,
  RLIMIT_CORE,
  RLIMIT_CPU,
  RLIMIT_DATA,
  RLIMIT_FSIZE,
  RLIMIT_LOCKS,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_RSS,
  RLIMIT_RTPRIO,
  RLIMIT_RTTIME,
  RLIMIT_SIGPENDING,
  RLIMIT_STACK,
} from "../../rlimit.ts";
import { SCHED_FIFO, SCHED_RR } from "../../scheduler.ts";
import { SIG_DFL, SIG_IGN } from "../../signal-handlers.ts";
import { NSIG, type SigSet, sigbit } from "../../siginfo.ts";
import type { Task } from "../../task.ts";
import { bitmap, bitmapList, hex, mangle, statusKb, ticks } from "./format.ts";

const STATE_NAMES = {
  R: "R (running)",
  S: "S (sleeping)",
  D: "D (disk sleep)",
  T: "T (stopped)",
  t: "t (tracing stop)",
  Z: "Z (zombie)",
  X: "X (dead)",
} as const;

// Task flags that stat shows (include/linux/sched.h).
const PF_EXITING = 0x4;
const PF_POSTCOREDUMP = 0x8;
const PF_FORKNOEXEC = 0x40;
const PF_NOFREEZE = 0x8000;
const PF_RANDOMIZE = 0x400000;

/** RLIM_INFINITY as an unsigned long. */
const UNLIMITED = "18446744073709551615";

/** Signals with an action of their own, and ignored ones. */
function actions(task: Task): { ignored: SigSet; caught: SigSet } {
  let ignored = 0n;
  let caught = 0n;
  for (let signo = 1; signo <= NSIG; signo++) {
    const { handler } = task.process.handlers.get(signo);
    if (handler === SIG_IGN) ignored |= sigbit(signo);
    else if (handler !== SIG_DFL) caught |= sigbit(signo);
  }
  return { ignored, caught };
}

/** Threads of the process; a zombie leader counts. */
const threadCount = (task: Task): number => Math.max(1, task.process.threads.size);

const parentPid = (task: Task): number => task.process.parent?.pid ?? 0;

/** Size of the program text in bytes: VmExe. */
const textBytes = (mm: Mm): number => {
  const text = pageUp(mm.endCode) - pageDown(mm.startCode);
  return Math.min(text, mm.execVm * PAGE_SIZE);
};

const rssPages = (mm: Mm): number => mm.rssAnon + mm.rssFile + mm.rssShmem;

/** The Vm* and Rss* lines (task_mem). `mshareBytes`: what the windows show. */
function memoryLines(mm: Mm, mshareBytes: number): string {
  const pages = (name: string, count: number): string => statusKb(name, (count * PAGE_SIZE) / 1024);
  const text = textBytes(mm);
  return (
    pages("VmPeak", Math.max(mm.hiwaterVm, mm.totalVm)) +
    pages("VmSize", mm.totalVm) +
    pages("VmLck", mm.lockedVm) +
    pages("VmPin", 0) +
    pages("VmHWM", Math.max(mm.hiwaterRss, rssPages(mm))) +
    pages("VmRSS", rssPages(mm)) +
    pages("RssAnon", mm.rssAnon) +
    pages("RssFile", mm.rssFile) +
    pages("RssShmem", mm.rssShmem) +
    statusKb("RssMshare", mshareBytes / 1024) +
    pages("VmData", mm.dataVm) +
    pages("VmStk", mm.stackVm) +
    statusKb("VmExe", text / 1024) +
    statusKb("VmLib", mm.execVm * (PAGE_SIZE / 1024) - text / 1024) +
    statusKb("VmPTE", mm.tableBytes / 1024) +
    pages("VmSwap", mm.swapPages) +
    pages("HugetlbPages", mm.hugetlbPages) +
    `CoreDumping:\t0\nTHP_enabled:\t${mm.thpDisabled ? 0 : 1}\n` +
    "untag_mask:\t0xffffffffffffffff\n"
  );
}

function signalLines(task: Task): string {
  const { kernel, process } = task;
  let queued = 0;
  for (const other of kernel.processes.values()) {
    if (other.leader.creds.uid !== task.creds.uid) continue;
    queued += other.pending.length;
    for (const thread of other.threads.values()) queued += thread.pending.length;
  }
  const limit = process.rlimit(RLIMIT_SIGPENDING);
  const { ignored, caught } = actions(task);
  const set = (name: string, bits: SigSet): string => `${name}:\t${hex(bits, 16)}\n`;
  return (
    `Threads:\t${threadCount(task)}\nSigQ:\t${queued}/${limit === Infinity ? UNLIMITED : limit}\n` +
    set("SigPnd", task.pending.set) +
    set("ShdPnd", process.pending.set) +
    set("SigBlk", task.sigmask) +
    set("SigIgn", ignored) +
    set("SigCgt", caught)
  );
}

/** /proc/PID/status, also of one thread (PID/task/TID). */
export function statusText(task: Task): string {
  const { creds, process, kernel } = task;
  const mm = task.mmOrNull;
  const cpus = kernel.hardware.harts.length;
  const ids = (name: string, ...values: number[]): string => `${name}:\t${values.join("\t")}\n`;
  const caps = (name: string, bits: bigint): string => `${name}:\t${hex(bits, 16)}\n`;
  const umask = task.fsOrNull === null ? "" : `Umask:\t${task.fsOrNull.umask.toString(8).padStart(4, "0")}\n`;
  return (
    `Name:\t${mangle(task.comm, "\n\\").replaceAll("\\134", "\\\\").replaceAll("\\012", "\\n")}\n${umask}` +
    `State:\t${STATE_NAMES[task.state]}\n` +
    ids("Tgid", task.tgid) +
    ids("Ngid", 0) +
    ids("Pid", task.tid) +
    ids("PPid", parentPid(task)) +
    ids("TracerPid", task.trace?.tracer.tid ?? 0) +
    ids("Uid", creds.uid, creds.euid, creds.suid, creds.fsuid) +
    ids("Gid", creds.gid, creds.egid, creds.sgid, creds.fsgid) +
    ids("FDSize", task.filesOrNull?.capacity ?? 0) +
    `Groups:\t${creds.groups.join(" ")} \n` +
    ids("NStgid", task.tgid) +
    ids("NSpid", task.tid) +
    ids("NSpgid", process.group.pgid) +
    ids("NSsid", process.session.sid) +
    ids("Kthread", 0) +
    (mm === null ? "" : memoryLines(mm, kernel.mshare.rssOf(mm))) +
    signalLines(task) +
    caps("CapInh", creds.inheritable) +
    caps("CapPrm", creds.permitted) +
    caps("CapEff", creds.effective) +
    caps("CapBnd", creds.bounding) +
    caps("CapAmb", creds.ambient) +
    ids("NoNewPrivs", Number(task.noNewPrivs)) +
    ids("Seccomp", task.seccomp) +
    "Seccomp_filters:\t0\nSpeculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunsupported\n" +
    `Cpus_allowed:\t${bitmap(task.affinity, cpus)}\nCpus_allowed_list:\t${bitmapList(task.affinity, cpus)}\n` +
    "Mems_allowed:\t1\nMems_allowed_list:\t0\n" +
    ids("voluntary_ctxt_switches", task.usage.voluntarySwitches) +
    ids("nonvoluntary_ctxt_switches", task.usage.involuntarySwitches)
  );
}

/** Which numbers stat gives: of the whole process or of one thread; addresses only to those who may inspect it. */
export interface StatOptions {
  readonly whole: boolean;
  readonly permitted: boolean;
}

function taskFlags(task: Task): number {
  let flags = PF_RANDOMIZE;
  if (!task.process.didExec) flags |= PF_FORKNOEXEC;
  if (task.exited) flags |= PF_EXITING | PF_POSTCOREDUMP | PF_NOFREEZE;
  return flags;
}

/** /proc/PID/stat: 52 fields (do_task_stat). */
export function statText(task: Task, { whole, permitted }: StatOptions): string {
  const { process, sched } = task;
  const mm = task.mmOrNull;
  task.kernel.scheduler.account();
  const usage = whole ? process.usage() : task.usage;
  const children = process.childrenUsage;
  const { tty } = process.session;
  const { ignored, caught } = actions(task);
  const realtime = sched.policy === SCHED_FIFO || sched.policy === SCHED_RR;
  const rss = process.rlimit(RLIMIT_RSS);
  const legacy = (set: SigSet): number => Number(set & 0x7fffffffn);
  const address = (value: number): number => (permitted && mm !== null ? value : 0);
  const code = (value: number): number => (mm === null ? 0 : permitted ? value : 1);
  const waits = permitted && task.state !== "R" && !task.exited;
  const fields: (number | string)[] = [
    task.tid,
    `(${task.comm})`,
    task.state,
    parentPid(task),
    process.group.pgid,
    process.session.sid,
    tty?.device ?? 0,
    tty === null ? -1 : (tty.foreground?.pgid ?? -1),
    taskFlags(task),
    usage.minorFaults,
    children.minorFaults,
    usage.majorFaults,
    children.majorFaults,
    ticks(usage.utime),
    ticks(usage.stime),
    ticks(children.utime),
    ticks(children.stime),
    realtime ? -1 - sched.priority : 20 + sched.nice,
    sched.nice,
    threadCount(task),
    0,
    ticks(task.startTime),
    mm === null ? 0 : mm.totalVm * PAGE_SIZE,
    mm === null ? 0 : rssPages(mm),
    rss === Infinity ? UNLIMITED : rss,
    code(mm?.startCode ?? 0),
    code(mm?.endCode ?? 0),
    address(mm?.startStack ?? 0),
    0,
    0,
    legacy(task.pending.set),
    legacy(task.sigmask),
    legacy(ignored),
    legacy(caught),
    Number(waits),
    0,
    0,
    task.isLeader ? process.exitSignal : -1,
    task.lastHart,
    realtime ? sched.priority : 0,
    sched.policy,
    0,
    0,
    0,
    address(mm?.startData ?? 0),
    address(mm?.endData ?? 0),
    address(mm?.startBrk ?? 0),
    address(mm?.argStart ?? 0),
    address(mm?.argEnd ?? 0),
    address(mm?.envStart ?? 0),
    address(mm?.envEnd ?? 0),
    permitted ? (task.isLeader && process.state !== "alive" ? process.exitStatus : task.exitStatus) : 0,
  ];
  return `${fields.join(" ")}\n`;
}

/** /proc/PID/statm: size, resident, shared, text, lib, data, dirty in pages. */
export function statmText(task: Task): string {
  const mm = task.mmOrNull;
  if (mm === null) return "0 0 0 0 0 0 0\n";
  const text = (pageUp(mm.endCode) - pageDown(mm.startCode)) / PAGE_SIZE;
  return `${mm.totalVm} ${rssPages(mm)} ${mm.rssFile + mm.rssShmem} ${text} 0 ${mm.dataVm + mm.stackVm} 0\n`;
}

const LIMITS: readonly [name: string, which: number, unit: string][] = [
  ["Max cpu time", RLIMIT_CPU, "seconds"],
  ["Max file size", RLIMIT_FSIZE, "bytes"],
  ["Max data size", RLIMIT_DATA, "bytes"],
  ["Max stack size", RLIMIT_STACK, "bytes"],
  ["Max core file size", RLIMIT_CORE, "bytes"],
  ["Max resident set", RLIMIT_RSS, "bytes"],
  ["Max processes", RLIMIT_NPROC, "processes"],
  ["Max open files", RLIMIT_NOFILE, "files"],
  ["Max locked memory", RLIMIT_MEMLOCK, "bytes"],
  ["Max address space", RLIMIT_AS, "bytes"],
  ["Max file locks", RLIMIT_LOCKS, "locks"],
  ["Max pending signals", RLIMIT_SIGPENDING, "signals"],
  ["Max msgqueue size", RLIMIT_MSGQUEUE, "bytes"],
  ["Max nice priority", RLIMIT_NICE, ""],
  ["Max realtime priority", RLIMIT_RTPRIO, ""],
  ["Max realtime timeout", RLIMIT_RTTIME, "us"],
];

/** /proc/PID/limits. */
export function limitsText(task: Task): string {
  const { rlimits } = task.process;
  const line = (name: string, soft: string, hard: string): string =>
    `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} `;
  const value = (limit: number): string => (limit === Infinity ? "unlimited" : String(limit));
  let text = `${line("Limit", "Soft Limit", "Hard Limit")}${"Units".padEnd(10)}\n`;
  for (const [name, which, unit] of LIMITS) {
    text += line(name, value(rlimits.soft(which)), value(rlimits.hard(which)));
    text += unit === "" ? "\n" : `${unit.padEnd(10)}\n`;
  }
  return text;
}

/** /proc/PID/oom_score (proc_oom_score, oom_badness): 0 to 2000. */
export function oomScore(task: Task): number {
  const { mm } = task.process;
  const total = task.kernel.memory.frames.total;
  const adj = task.process.oomScoreAdj;
  if (mm === null || adj === -1000) return 0;
  const points = rssPages(mm) + mm.tableBytes / PAGE_SIZE + (adj * total) / 1000;
  return Math.max(0, Math.trunc(((1000 + Math.trunc((points * 1000) / total)) * 2) / 3));
}
