// exec: replaces what a process runs (fs/exec.c, fs/binfmt_elf.c). In order: find and check the program (exec-open.ts; errors go to the caller), end the
// other threads, then — no way back — take the new address space, load (exec-load.ts, exec-stack.ts) and reset what exec resets.
import { E2BIG, EAGAIN } from "../base/errno.ts";
import type { Mm } from "../mm/mm.ts";
import { setupStack } from "../mm/stack.ts";
import type { Creds } from "./creds.ts";
import { type Aslr, type Loaded, loadProgram, pickMmapBase, pickStackTop, randomizeBrk } from "./exec-load.ts";
import { type ExecPath, type OpenedProgram, openProgram } from "./exec-open.ts";
import { fillStack, stringBytes } from "./exec-stack.ts";
import { groupExit, releaseMm } from "./exit.ts";
import { MAY_READ, S_ISGID, S_ISUID } from "./fs/abi.ts";
import { MNT_NOSUID } from "./fs/inode.ts";
import { permission } from "./fs/permission.ts";
import { ET_DYN } from "./elf.ts";
import type { Process } from "./process.ts";
import { countRegionLocks } from "./mshare-boot.ts";
import { RLIMIT_STACK, applyMemoryLimits } from "./rlimit.ts";
import { SIGCHLD, SIGSEGV } from "./siginfo.ts";
import type { Task } from "./task.ts";
import { unlink } from "./trace.ts";
import { execStop } from "./trace-stop.ts";
import type { SyscallResult } from "./syscall/table.ts";
import { type Wait, wait } from "./wait.ts";

/** _STK_LIM / 4 * 3 and ARG_MAX: between them, a quarter of the stack limit is what strings and pointers may take. */
const MAX_STRINGS = 6 * 2 ** 20;
const MIN_STRINGS = 131072;

const ADDR_NO_RANDOMIZE = 0x0040000;
/** What a set-user-ID program does not inherit (PER_CLEAR_ON_SETID). */
const PER_CLEAR_ON_SETID = 0x0400000 | 0x0100000 | ADDR_NO_RANDOMIZE | 0x0200000;
const SECURE_NOROOT = 1;

const REG_SP = 2;
const REG_A0 = 10;

export interface ExecRequest {
  readonly at: ExecPath;
  readonly argv: readonly string[];
  readonly env: readonly string[];
}

/** bprm_stack_limits: 0 or -E2BIG. */
function checkSizes(
  task: Task,
  strings: { filename: string; argv: readonly string[]; env: readonly string[] },
): number {
  const quarter = Math.floor(task.process.rlimit(RLIMIT_STACK) / 4);
  const limit = Math.max(MIN_STRINGS, Math.min(MAX_STRINGS, quarter));
  const pointers = (Math.max(strings.argv.length, 1) + strings.env.length) * 8;
  return limit <= pointers || stringBytes(strings) - 8 > limit - pointers ? -E2BIG : 0;
}

/** execve(2). On success the registers are the new program's. */
export function execve(task: Task, request: ExecRequest): SyscallResult {
  const opened = openProgram(task, request.at, request.argv);
  if (typeof opened === "number") return opened;
  const strings = { filename: opened.filename, argv: opened.argv, env: request.env };
  const mm = checkSizes(task, strings) === 0 ? task.kernel.memory.newMm() : -E2BIG;
  if (typeof mm === "number") {
    opened.release();
    return mm;
  }
  mm.thpDisabled = task.mm.thpDisabled;
  const program: Program = { opened, env: request.env, mm };
  const { process } = task;
  return process.threads.size > 1 || process.hasTracedZombies
    ? execThreaded(task, program)
    : commit(task, program, task.tid);
}

/** Everything that the point of no return needs. */
interface Program {
  readonly opened: OpenedProgram;
  readonly env: readonly string[];
  readonly mm: Mm;
}

/** de_thread: the other threads end first; then the one that called exec is the leader. */
function* execThreaded(task: Task, program: Program): Generator<Wait, number> {
  const { process, kernel } = task;
  process.execTask = task;
  for (const thread of process.threads.values()) if (thread !== task) kernel.signals.interrupt(thread);
  while (othersRemain(process) && !process.exiting) {
    // SIGKILL ends it, with threads left that a tracer has not waited for.
    if ((yield* wait(task, kernel.signals.threadGone, { uninterruptible: true })) === "signal") break;
  }
  process.execTask = null;
  if (process.exiting || othersRemain(process)) {
    program.opened.release();
    program.mm.put();
    return -EAGAIN;
  }
  const { tid } = task;
  if (!task.isLeader) takeLeadership(task, process);
  const result = commit(task, program, tid);
  return typeof result === "number" ? result : yield* result;
}

/** Threads, or zombies of threads that a tracer has not waited for. */
const othersRemain = (process: Process): boolean => process.threads.size > 1 || process.hasTracedZombies;

function takeLeadership(task: Task, process: Process): void {
  const { tasks } = task.kernel;
  const { leader } = process;
  const tracer = leader.trace?.tracer.process;
  leader.state = "X";
  unlink(leader);
  // It may be waited for, and is no more.
  tracer?.childChanged.wake();
  tasks.delete(task.tid);
  process.threads.delete(task.tid);
  task.tid = process.pid;
  tasks.set(task.tid, task);
  process.threads.set(task.tid, task);
  process.leader = task;
}

/** begin_new_exec and what follows. The result only matters to strace: the registers are new. `oldTid`: what the thread was called. */
function commit(task: Task, program: Program, oldTid: number): SyscallResult {
  const { process, kernel } = task;
  const { opened, mm } = program;
  if (task.files.users > 1) {
    const own = task.files.fork();
    task.files.release();
    task.setFiles(own);
  }
  const { creds, secure } = credsFor(task, opened);
  if (secure) {
    task.personality &= ~PER_CLEAR_ON_SETID;
    task.parentDeathSignal = 0;
  }
  process.dumpable = mayDump(task, creds, opened) ? 1 : 0;
  task.creds = creds;
  task.keepCaps = false;
  releaseMm(task);
  task.setMm(mm);
  kernel.scheduler.mmChanged(task);
  resetTask(task, opened);

  const error = loadInto(task, mm, program, { secure });
  opened.release();
  task.callNr = -1;
  if (error === 0) return task.trace === null ? 0 : execStop(task, oldTid);
  groupExit(process, SIGSEGV);
  return error;
}

/** What exec resets in the task and its process. */
function resetTask(task: Task, opened: OpenedProgram): void {
  const { process } = task;
  process.posixTimers?.deleteAll();
  process.posixTimers = null;
  process.handlers = process.handlers.clone();
  process.handlers.resetForExec();
  task.altStack = { sp: 0, size: 0, flags: 0 };
  task.rseq = null;
  task.robustList = 0;
  task.clearChildTid = 0;
  task.restart = null;
  task.comm = opened.comm;
  task.files.closeOnExec();
  process.setExecutable(opened.file);
  process.exitSignal = SIGCHLD;
  process.didExec = true;
  task.hart?.clearReservation();
}

/** Maps the program into `mm`, fills the stack and points the registers at it. 0 or -errno. */
export function loadInto(
  task: Task,
  mm: Mm,
  program: { opened: OpenedProgram; env: readonly string[] },
  options: { secure: boolean },
): number {
  const { kernel, process, regs } = task;
  const { opened } = program;
  const aslr: Aslr = (task.personality & ADDR_NO_RANDOMIZE) !== 0 ? null : kernel.random;
  applyMemoryLimits(mm, process, task);
  countRegionLocks(mm, process);
  pickMmapBase(mm, process.rlimit(RLIMIT_STACK), aslr);
  const strings = { filename: opened.filename, argv: opened.argv, env: program.env };
  const top = pickStackTop(aslr);
  const stack = setupStack(mm, top, stringBytes(strings), { executable: opened.program.image.executableStack });
  if (stack !== 0) return stack;
  const loaded = loadProgram(mm, opened.program, opened.interpreter, aslr);
  if (typeof loaded === "number") return loaded;
  const vdso = kernel.vdso.map(mm);
  if (vdso !== 0) return vdso;
  const sp = startStack(task, mm, top, { strings, loaded, aslr, secure: options.secure });
  if (sp < 0) return sp;
  if (aslr !== null) {
    const pie = opened.program.image.type === ET_DYN && opened.interpreter === null;
    randomizeBrk(mm, { pie, random: aslr });
  }
  // start_thread: the integer registers stay as the caller left them, but for these and a0, the result.
  for (let i = 0; i < 32; i++) regs.setF(i, 0n);
  regs.fcsr = 0;
  regs.setNumber(REG_A0, 0);
  regs.pc = loaded.pc;
  regs.setNumber(REG_SP, sp);
  return 0;
}

function startStack(
  task: Task,
  mm: Mm,
  top: number,
  values: {
    strings: { filename: string; argv: readonly string[]; env: readonly string[] };
    loaded: Loaded;
    aslr: Aslr;
    secure: boolean;
  },
): number {
  const random = new Uint8Array(16);
  task.kernel.random.fill(random);
  const { strings, loaded, aslr, secure } = values;
  const filled = fillStack(mm, top, strings, { loaded, creds: task.creds, secure, random, align: aslr });
  if (typeof filled === "number") return filled;
  task.process.auxv = filled.auxv;
  return filled.sp;
}

/** The program's owner may look into it: the ids are plain, nothing was gained, and the caller may read the file (set_dumpable, would_dump). */
function mayDump(task: Task, creds: Creds, opened: OpenedProgram): boolean {
  const old = task.creds;
  if (creds.euid !== creds.uid || creds.egid !== creds.gid) return false;
  if (creds.euid !== old.euid || creds.egid !== old.egid || creds.fsuid !== old.fsuid) return false;
  if (creds.fsgid !== old.fsgid || (creds.permitted & ~old.permitted) !== 0n) return false;
  const { path } = opened.file;
  return path === null || permission(task, path, MAY_READ) === 0;
}

/** The credentials of the new program: set-ID bits and what root gets (bprm_fill_uid, cap_bprm_creds_from_file). */
function credsFor(task: Task, opened: OpenedProgram): { creds: Creds; secure: boolean } {
  const old = task.creds;
  const creds = old.clone();
  const { inode, path } = opened.file;
  const watched = task.trace !== null && !task.trace.capable;
  const mayGain = !task.noNewPrivs && !watched && inode !== null && ((path?.mount.flags ?? 0) & MNT_NOSUID) === 0;
  if (mayGain && (inode.mode & S_ISUID) !== 0) creds.euid = inode.uid;
  if (mayGain && (inode.mode & (S_ISGID | 0o010)) === (S_ISGID | 0o010)) creds.egid = inode.gid;
  // __is_setuid: also if the caller was like that before.
  const setId = creds.euid !== old.uid || creds.egid !== old.gid;

  let effective = false;
  creds.permitted = 0n;
  if ((creds.securebits & SECURE_NOROOT) === 0 && (creds.euid === 0 || creds.uid === 0)) {
    creds.permitted = creds.bounding | creds.inheritable;
    effective = creds.euid === 0;
  }
  if (setId) creds.ambient = 0n;
  creds.permitted |= creds.ambient;
  creds.effective = effective ? creds.permitted : creds.ambient;
  creds.suid = creds.fsuid = creds.euid;
  creds.sgid = creds.fsgid = creds.egid;
  const gained = creds.uid !== 0 && effective;
  return { creds, secure: setId || gained };
}
