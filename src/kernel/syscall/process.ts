// System calls that make, replace, end and wait for processes and threads, and those about ids, groups and sessions of processes.
import {
  E2BIG,
  EACCES,
  EBADF,
  EAGAIN,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  EPERM,
  ERESTARTNOINTR,
  ESRCH,
} from "../../base/errno.ts";
import { MAX_ARG_STRLEN, PATH_MAX, TASK_SIZE } from "../../base/limits.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { copyFromUser, copyToUser, getUser64, putUser32, readString } from "../../mm/usercopy.ts";
import * as flags from "../clone.ts";
import { type CloneRequest, clone } from "../clone.ts";
import { execve } from "../exec.ts";
import { exitTask, groupExit } from "../exit.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_NONBLOCK } from "../fs/abi.ts";
import { PidFile } from "../fs/pidfd.ts";
import { type Process, ProcessGroup, Session } from "../process.ts";
import { NSIG, SIGCHLD } from "../siginfo.ts";
import type { Task } from "../task.ts";
import type { Wait } from "../wait.ts";
import * as w from "../wait-child.ts";
import {
  type ChildReport,
  type WaitOutcome,
  type WaitRequest,
  lookForChild,
  usageWithChildren,
  waitForChild,
} from "../wait-child.ts";
import { encodeRusage } from "./rusage.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

// exec

/** A vector of strings (argv, envp); a null pointer is an empty one. -EFAULT, -E2BIG. */
function readStrings(task: Task, addr: number): string[] | number {
  const strings: string[] = [];
  if (addr === 0) return strings;
  let total = 0;
  for (let at = addr; ; at += 8) {
    const pointer = getUser64(task.mm, at);
    if (typeof pointer === "number") return pointer;
    if (pointer === 0n) return strings;
    const s = pointer < BigInt(TASK_SIZE) ? readString(task.mm, Number(pointer), MAX_ARG_STRLEN) : -EFAULT;
    if (typeof s === "number") return s === -ENAMETOOLONG ? -E2BIG : s;
    strings.push(s);
    total += s.length + 9;
    // More than there can ever be room for: no need to read on.
    if (total > 8 * 2 ** 20) return -E2BIG;
  }
}

function exec(
  task: Task,
  call: { dirfd: number; path: number; argv: number; env: number; follow: boolean; empty: boolean },
): SyscallResult {
  const path = readString(task.mm, call.path, PATH_MAX);
  if (typeof path === "number") return path;
  const argv = readStrings(task, call.argv);
  if (typeof argv === "number") return argv;
  const env = readStrings(task, call.env);
  if (typeof env === "number") return env;
  const { process } = task;
  if (process.execTask !== null) return -ERESTARTNOINTR;
  return execve(task, { at: { dirfd: call.dirfd, path, follow: call.follow, empty: call.empty }, argv, env });
}

function sysExecve(task: Task, args: Args): SyscallResult {
  return exec(task, {
    dirfd: AT_FDCWD,
    path: args.ptr(0),
    argv: args.ptr(1),
    env: args.ptr(2),
    follow: true,
    empty: false,
  });
}

function sysExecveat(task: Task, args: Args): SyscallResult {
  const bits = args.i32(4);
  if ((bits & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  return exec(task, {
    dirfd: args.i32(0),
    path: args.ptr(1),
    argv: args.ptr(2),
    env: args.ptr(3),
    follow: (bits & AT_SYMLINK_NOFOLLOW) === 0,
    empty: (bits & AT_EMPTY_PATH) !== 0,
  });
}

// clone

/** clone(flags, stack, parent_tid, tls, child_tid): the order of riscv (CLONE_BACKWARDS). */
function sysClone(task: Task, args: Args): SyscallResult {
  const bits = args.u32(0);
  if ((bits & flags.CLONE_PIDFD) !== 0 && (bits & flags.CLONE_PARENT_SETTID) !== 0) return -EINVAL;
  return clone(task, {
    flags: bits & ~flags.CSIGNAL,
    exitSignal: bits & flags.CSIGNAL,
    stack: args.u(1),
    parentTid: args.ptr(2),
    pidfd: args.ptr(2),
    tls: args.u(3),
    childTid: args.ptr(4),
  });
}

const CLONE_ARGS_SIZE_VER0 = 64;
const CLONE_ARGS_SIZE_VER2 = 88;
const CLONE_CLEAR_SIGHAND = 1n << 32n;
const CLONE_INTO_CGROUP = 1n << 33n;
const CLONE_NEWTIME = 0x80n;
const CLONE3_FLAGS = 0xffffffffn | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
const MAX_PID_NS_LEVEL = 32;

function sysClone3(task: Task, args: Args): SyscallResult {
  const size = args.u(1);
  if (size > PAGE_SIZE) return -E2BIG;
  if (size < CLONE_ARGS_SIZE_VER0) return -EINVAL;
  const given = copyFromUser(task.mm, args.ptr(0), size);
  if (typeof given === "number") return given;
  if (given.subarray(CLONE_ARGS_SIZE_VER2).some((byte) => byte !== 0)) return -E2BIG;
  const bytes = new Uint8Array(CLONE_ARGS_SIZE_VER2);
  bytes.set(given.subarray(0, CLONE_ARGS_SIZE_VER2));
  const request = parseClone3(task, new DataView(bytes.buffer), size);
  return typeof request === "number" ? request : clone(task, request);
}

/** copy_clone_args_from_user and clone3_args_valid. */
function parseClone3(task: Task, v: DataView, size: number): CloneRequest | number {
  const word = (i: number): bigint => v.getBigUint64(8 * i, true);
  const number = (i: number): number => Number(word(i));
  const [allFlags, pidfd, childTid, parentTid, exitSignal] = [word(0), number(1), number(2), number(3), word(4)];
  const [stack, stackSize, tls, setTid, setTidSize] = [number(5), number(6), number(7), number(8), number(9)];
  if (setTidSize > MAX_PID_NS_LEVEL) return -EINVAL;
  if ((setTid === 0) !== (setTidSize === 0)) return -EINVAL;
  if (exitSignal > BigInt(NSIG)) return -EINVAL;
  const intoCgroup = (allFlags & CLONE_INTO_CGROUP) !== 0n;
  if (intoCgroup && (number(10) > 0x7fffffff || size < CLONE_ARGS_SIZE_VER2)) return -EINVAL;
  if ((allFlags & ~CLONE3_FLAGS) !== 0n) return -EINVAL;
  const low = Number(allFlags & 0xffffffffn);
  if ((allFlags & (BigInt(flags.CSIGNAL) & ~CLONE_NEWTIME)) !== 0n || (low & flags.CLONE_DETACHED) !== 0)
    return -EINVAL;
  if ((allFlags & CLONE_NEWTIME) !== 0n) return -EINVAL;
  const clear = (allFlags & CLONE_CLEAR_SIGHAND) !== 0n;
  if (clear && (low & flags.CLONE_SIGHAND) !== 0) return -EINVAL;
  if ((low & (flags.CLONE_THREAD | flags.CLONE_PARENT)) !== 0 && exitSignal !== 0n) return -EINVAL;
  if ((stack === 0) !== (stackSize === 0) || stack + stackSize > TASK_SIZE) return -EINVAL;
  let tid = 0;
  if (setTidSize > 0) {
    // One pid namespace: one number at most.
    if (setTidSize > 1) return -EINVAL;
    const wanted = copyFromUser(task.mm, setTid, 4);
    if (typeof wanted === "number") return wanted;
    tid = new DataView(wanted.buffer, wanted.byteOffset).getInt32(0, true);
    if (tid < 1) return -EINVAL;
  }
  return {
    flags: low,
    ...(clear ? { clearSighand: true } : {}),
    exitSignal: Number(exitSignal),
    stack: stack + stackSize,
    tls,
    parentTid,
    childTid,
    pidfd,
    setTid: tid,
    ...(intoCgroup ? { cgroupFd: number(10) } : {}),
  };
}

/** unshare(2): what a task shares with others becomes its own. Namespaces: there is one of each. */
function sysUnshare(task: Task, args: Args): number {
  const bits = args.u32(0);
  const { CLONE_THREAD, CLONE_FS, CLONE_SIGHAND, CLONE_VM, CLONE_FILES } = flags;
  const CLONE_SYSVSEM = 0x40000;
  if ((bits & ~(CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM)) !== 0)
    return -EINVAL;
  const { process } = task;
  if ((bits & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) !== 0 && process.threads.size > 1) return -EINVAL;
  if ((bits & CLONE_VM) !== 0 && task.mm.users > 1) return -EINVAL;
  if ((bits & CLONE_FS) !== 0 && task.fs.users > 1) {
    const own = task.fs.fork();
    task.fs.release();
    task.setFs(own);
  }
  if ((bits & CLONE_FILES) !== 0 && task.files.users > 1) {
    const own = task.files.fork();
    task.files.release();
    task.setFiles(own);
  }
  return 0;
}

// exit

function sysExit(task: Task, args: Args): number {
  const status = (args.i32(0) & 0xff) << 8;
  if (task.trace === null) {
    exitTask(task, status);
  } else {
    // A tracer may want it to stop before.
    task.exitStatus = status;
    task.leaving = task.work = true;
  }
  return 0;
}

function sysExitGroup(task: Task, args: Args): number {
  groupExit(task.process, (args.i32(0) & 0xff) << 8);
  task.work = true;
  return 0;
}

// wait

type Finish = (outcome: WaitOutcome) => number;

/** Runs a wait and hands its outcome to `finish`. */
function waitThen(task: Task, request: WaitRequest, finish: Finish): SyscallResult {
  const outcome = waitForChild(task, request);
  if (outcome === null || typeof outcome === "number" || !("next" in outcome)) return finish(outcome);
  return finishLater(outcome, finish);
}
function* finishLater(outcome: Generator<Wait, WaitOutcome>, finish: Finish): Generator<Wait, number> {
  return finish(yield* outcome);
}

const inGroup =
  (pgid: number): WaitRequest["matches"] =>
  (child) =>
    child.process.group.pgid === pgid;
const anyChild = (): boolean => true;

function sysWait4(task: Task, args: Args): SyscallResult {
  const pid = args.i32(0);
  const statusAt = args.ptr(1);
  const options = args.u32(2);
  const usageAt = args.ptr(3);
  const known = w.WNOHANG | w.WUNTRACED | w.WCONTINUED | w.__WNOTHREAD | w.__WCLONE | w.__WALL;
  if ((options & ~known) !== 0) return -EINVAL;
  if (pid === -(2 ** 31)) return -ESRCH;
  const { pgid } = task.process.group;
  const matches =
    pid === -1
      ? anyChild
      : pid < 0
        ? inGroup(-pid)
        : pid === 0
          ? inGroup(pgid)
          : (child: Task): boolean => child.tid === pid;
  return waitThen(task, { matches, options: options | w.WEXITED }, (outcome) => {
    if (outcome === null) return 0;
    if (typeof outcome === "number") return outcome;
    if (statusAt !== 0 && putUser32(task.mm, statusAt, outcome.status) !== 0) return -EFAULT;
    if (usageAt !== 0 && putUsage(task, usageAt, outcome) !== 0) return -EFAULT;
    return outcome.pid;
  });
}

const putUsage = (task: Task, at: number, { process }: ChildReport): number =>
  copyToUser(task.mm, at, encodeRusage(usageWithChildren(process)));

const P_ALL = 0;
const P_PID = 1;
const P_PGID = 2;
const P_PIDFD = 3;

function sysWaitid(task: Task, args: Args): SyscallResult {
  const [which, id, infoAt, options, usageAt] = [args.i32(0), args.i32(1), args.ptr(2), args.u32(3), args.ptr(4)];
  const changes = w.WEXITED | w.WSTOPPED | w.WCONTINUED;
  if ((options & ~(w.WNOHANG | w.WNOWAIT | changes | w.__WNOTHREAD | w.__WCLONE | w.__WALL)) !== 0) return -EINVAL;
  if ((options & changes) === 0) return -EINVAL;
  const finish: Finish = (outcome) => {
    if (typeof outcome === "number") return outcome;
    if (outcome !== null && usageAt !== 0 && putUsage(task, usageAt, outcome) !== 0) return -EFAULT;
    return infoAt !== 0 ? putChildInfo(task, infoAt, outcome) : 0;
  };
  switch (which) {
    case P_ALL:
      return waitThen(task, { matches: anyChild, options }, finish);
    case P_PID:
      if (id <= 0) return -EINVAL;
      return waitThen(task, { matches: (child) => child.tid === id, options }, finish);
    case P_PGID:
      if (id < 0) return -EINVAL;
      return waitThen(task, { matches: inGroup(id === 0 ? task.process.group.pgid : id), options }, finish);
    case P_PIDFD:
      return waitPidfd(task, id, options, finish);
    default:
      return -EINVAL;
  }
}

function waitPidfd(task: Task, fd: number, options: number, finish: Finish): SyscallResult {
  if (fd < 0) return -EINVAL;
  const file = task.files.io(fd);
  if (!(file instanceof PidFile)) return -EBADF;
  const request = { matches: (child: Task): boolean => child === (file.thread ?? file.process.leader), options };
  if ((file.flags & O_NONBLOCK) === 0) return waitThen(task, request, finish);
  const outcome = lookForChild(task, request);
  return outcome === null && (options & w.WNOHANG) === 0 ? -EAGAIN : finish(outcome);
}

/** The fields that waitid writes, each where siginfo_t has it; the rest of the structure stays as it is. */
function putChildInfo(task: Task, at: number, report: ChildReport | null): number {
  const head = new Uint8Array(12);
  const v = new DataView(head.buffer);
  v.setInt32(0, report === null ? 0 : SIGCHLD, true);
  v.setInt32(8, report?.code ?? 0, true);
  const rest = new Uint8Array(12);
  const r = new DataView(rest.buffer);
  r.setInt32(0, report?.pid ?? 0, true);
  r.setUint32(4, report?.uid ?? 0, true);
  r.setInt32(8, report?.detail ?? 0, true);
  return copyToUser(task.mm, at, head) || copyToUser(task.mm, at + 16, rest);
}

// ids, groups, sessions

function sysSetTidAddress(task: Task, args: Args): number {
  task.clearChildTid = args.ptr(0);
  return task.tid;
}

function sysSetpgid(task: Task, args: Args): number {
  const { kernel, process: caller } = task;
  const pid = args.i32(0) || caller.pid;
  const pgid = args.i32(1) || pid;
  if (pgid < 0) return -EINVAL;
  const process = kernel.process(pid);
  if (process === undefined && kernel.task(pid) !== undefined) return -EINVAL;
  if (process === undefined || (process !== caller && process.parent !== caller)) return -ESRCH;
  if (process !== caller) {
    if (process.session !== caller.session) return -EPERM;
    if (process.didExec) return -EACCES;
  }
  if (process.session.sid === process.pid) return -EPERM;
  let group = kernel.groups.get(pgid);
  if (pgid !== process.pid && (group === undefined || group.session !== caller.session)) return -EPERM;
  if (group === undefined) {
    group = new ProcessGroup(pgid, process.session);
    kernel.groups.set(pgid, group);
  }
  process.joinGroup(group);
  return 0;
}

/** The process that `pid` names, the caller for 0. */
const processOf = (task: Task, pid: number): Process | undefined =>
  pid === 0 ? task.process : task.kernel.task(pid)?.process;

function sysGetpgid(task: Task, args: Args): number {
  return processOf(task, args.i32(0))?.group.pgid ?? -ESRCH;
}

function sysGetsid(task: Task, args: Args): number {
  return processOf(task, args.i32(0))?.session.sid ?? -ESRCH;
}

function sysSetsid(task: Task): number {
  const { process, kernel } = task;
  if (kernel.groups.has(process.pid)) return -EPERM;
  const group = new ProcessGroup(process.pid, new Session(process.pid));
  kernel.groups.set(group.pgid, group);
  process.joinGroup(group);
  return process.pid;
}

function sysGetppid(task: Task): number {
  return task.process.parent?.pid ?? 0;
}

export const processCalls: readonly SyscallEntry[] = [
  { nr: 93, name: "exit", handler: sysExit, args: "int" },
  { nr: 94, name: "exit_group", handler: sysExitGroup, args: "int" },
  { nr: 95, name: "waitid", handler: sysWaitid, args: "int pid ptr hex ptr" },
  { nr: 96, name: "set_tid_address", handler: sysSetTidAddress, args: "ptr" },
  { nr: 97, name: "unshare", handler: sysUnshare, args: "clone" },
  { nr: 154, name: "setpgid", handler: sysSetpgid, args: "pid pid" },
  { nr: 155, name: "getpgid", handler: sysGetpgid, args: "pid" },
  { nr: 156, name: "getsid", handler: sysGetsid, args: "pid" },
  { nr: 157, name: "setsid", handler: sysSetsid, args: "" },
  { nr: 172, name: "getpid", handler: (task) => task.process.pid, args: "" },
  { nr: 173, name: "getppid", handler: sysGetppid, args: "" },
  { nr: 178, name: "gettid", handler: (task) => task.tid, args: "" },
  { nr: 220, name: "clone", handler: sysClone, args: "clone ptr ptr ptr ptr" },
  { nr: 221, name: "execve", handler: sysExecve, args: "path argv envp" },
  { nr: 260, name: "wait4", handler: sysWait4, args: "pid wstatus woptions ptr" },
  { nr: 281, name: "execveat", handler: sysExecveat, args: "dirfd path argv envp atflags" },
  { nr: 435, name: "clone3", handler: sysClone3, args: "cloneargs size" },
];
