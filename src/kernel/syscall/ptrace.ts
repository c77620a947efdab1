// ptrace(2), as Linux 6.12 has it on riscv64: there is no single step and no user area, registers are read as sets. Who traces whom is in trace.ts, the stops
// are in trace-stop.ts; memory is reached through mm's door for remote access, windows on regions included.
import { EFAULT, EINVAL, EIO, ESRCH } from "../../base/errno.ts";
import { TASK_SIZE } from "../../base/limits.ts";
import { accessRemote, copyFromUser, copyToUser, getUser64, putUser64 } from "../../mm/usercopy.ts";
import { CAP_SYS_PTRACE } from "../creds.ts";
import { JOBCTL_LISTENING, JOBCTL_TRAP_NOTIFY, JOBCTL_TRAP_STOP, kick, setJobctl } from "../group-stop.ts";
import { REGSETS } from "../regset.ts";
import { NSIG, SIGKILL, SIGTRAP, SI_USER, type SigInfo, UNBLOCKABLE, encodeSigInfo } from "../siginfo.ts";
import type { Task } from "../task.ts";
import { PTRACE_EVENT_STOP, PTRACE_O_MASK, type Trace, attach, checkOptions, detach, traceMe } from "../trace.ts";
import { EVENTMSG_SYSCALL_ENTRY } from "../trace-stop.ts";
import { readSigInfo } from "./signal.ts";
import type { Args, SyscallEntry } from "./table.ts";

const PTRACE_TRACEME = 0;
const PTRACE_PEEKTEXT = 1;
const PTRACE_PEEKDATA = 2;
const PTRACE_POKETEXT = 4;
const PTRACE_POKEDATA = 5;
const PTRACE_CONT = 7;
const PTRACE_KILL = 8;
const PTRACE_ATTACH = 16;
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_SYSEMU = 31;
const PTRACE_SETOPTIONS = 0x4200;
const PTRACE_GETEVENTMSG = 0x4201;
const PTRACE_GETSIGINFO = 0x4202;
const PTRACE_SETSIGINFO = 0x4203;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SETREGSET = 0x4205;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_LISTEN = 0x4208;
const PTRACE_PEEKSIGINFO = 0x4209;
const PTRACE_GETSIGMASK = 0x420a;
const PTRACE_SETSIGMASK = 0x420b;
const PTRACE_GET_SYSCALL_INFO = 0x420e;
const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;

const PTRACE_PEEKSIGINFO_SHARED = 1;
const SIGSET_SIZE = 8;

/** A request about a tracee, `addr` and `data` as the caller gave them (unsigned; exact below 2^53). 0 or more, or -errno. */
type Request = (task: Task, child: Task, addr: number, data: number) => number;

function ptrace(task: Task, args: Args): number {
  const request = args.s(0);
  if (request === PTRACE_TRACEME) return traceMe(task);
  const child = task.kernel.task(args.i32(1));
  if (child === undefined) return -ESRCH;
  const addr = args.u(2);
  const data = args.u(3);
  if (request === PTRACE_ATTACH) return attach(task, child, null);
  if (request === PTRACE_SEIZE) return seize(task, child, addr, data);
  const anyState = request === PTRACE_KILL || request === PTRACE_INTERRUPT;
  if (child.trace?.tracer !== task || !(anyState || isStopped(child))) return -ESRCH;
  const handler = REQUESTS.get(request);
  return handler === undefined ? -EIO : handler(task, child, addr, data);
}

/** In a stop that requests may be made in (ptrace_freeze_traced). */
const isStopped = (child: Task): boolean =>
  child.state === "t" && child.stop !== null && (child.jobctl & JOBCTL_LISTENING) === 0;

/** ptrace_attach has its own errno for what PTRACE_SETOPTIONS calls EINVAL. */
function seize(task: Task, child: Task, addr: number, options: number): number {
  if (addr !== 0 || options > PTRACE_O_MASK || (options & ~PTRACE_O_MASK) !== 0) return -EIO;
  return checkOptions(task, options) || attach(task, child, { options });
}

/** Some word of the tracee's memory, as PTRACE_PEEK* and POKE* reach it (ptrace_access_vm). */
function access(task: Task, child: Task, addr: number, bytes: Uint8Array, write: boolean): number {
  const mm = child.mmOrNull;
  if (mm === null || (child.process.dumpable !== 1 && !task.capable(CAP_SYS_PTRACE))) return -EIO;
  if (!(addr < TASK_SIZE)) return -EIO;
  return accessRemote(mm, addr, bytes, { write, force: true }) === bytes.length ? 0 : -EIO;
}

function peek(task: Task, child: Task, addr: number, data: number): number {
  const word = new Uint8Array(8);
  return access(task, child, addr, word, false) || copyToUser(task.mm, data, word);
}

/** Runs on with signal `data` (ptrace_resume). */
function resume(child: Task, data: number, syscalls: Trace["syscalls"]): number {
  if (data > NSIG) return -EIO;
  child.trace!.syscalls = syscalls;
  child.stop!.code = data;
  child.stop!.resume();
  return 0;
}

function setOptions(task: Task, child: Task, _addr: number, data: number): number {
  const error = checkOptions(task, data);
  if (error === 0) child.trace!.options = data;
  return error;
}

function getSigInfo(task: Task, child: Task, _addr: number, data: number): number {
  const { info } = child.stop!;
  return info === null ? -EINVAL : copyToUser(task.mm, data, encodeSigInfo(info));
}

function setSigInfo(task: Task, child: Task, _addr: number, data: number): number {
  const given = readSigInfo(task, data, 0);
  if (typeof given === "number") return given;
  if (child.stop!.info === null) return -EINVAL;
  const signo = new DataView(given.raw!.buffer, given.raw!.byteOffset).getInt32(0, true);
  child.stop!.info = { ...given, signo };
  return 0;
}

/** Signals that wait, from number `off` on: how many were stored (ptrace_peek_siginfo). */
function peekSigInfo(task: Task, child: Task, addr: number, data: number): number {
  const bytes = copyFromUser(task.mm, addr, 16);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const [off, flags, count] = [Number(v.getBigUint64(0, true)), v.getUint32(8, true), v.getInt32(12, true)];
  if ((flags & ~PTRACE_PEEKSIGINFO_SHARED) !== 0 || count < 0) return -EINVAL;
  const queue: readonly SigInfo[] = (flags !== 0 ? child.process.pending : child.pending).infos;
  let stored = 0;
  for (; stored < count && off + stored < queue.length; stored++) {
    const error = copyToUser(task.mm, data + 128 * stored, encodeSigInfo(queue[off + stored]));
    if (error !== 0) return stored > 0 ? stored : error;
  }
  return stored;
}

function getSigMask(task: Task, child: Task, addr: number, data: number): number {
  if (addr !== SIGSET_SIZE) return -EINVAL;
  return putUser64(task.mm, data, child.savedSigmask ?? child.sigmask);
}

function setSigMask(task: Task, child: Task, addr: number, data: number): number {
  if (addr !== SIGSET_SIZE) return -EINVAL;
  const set = getUser64(task.mm, data);
  if (typeof set === "number") return set;
  child.sigmask = set & ~UNBLOCKABLE;
  child.savedSigmask = null;
  return 0;
}

/** PTRACE_GETREGSET and PTRACE_SETREGSET: `data` is an iovec whose length becomes what was transferred. */
function regset(task: Task, child: Task, type: number, data: number, { write }: { write: boolean }): number {
  const iovec = copyFromUser(task.mm, data, 16);
  if (typeof iovec === "number") return iovec;
  const v = new DataView(iovec.buffer, iovec.byteOffset);
  const [base, length] = [Number(v.getBigUint64(0, true)), Number(v.getBigUint64(8, true))];
  const set = REGSETS.find((candidate) => candidate.type === type);
  if (set === undefined || length % 8 !== 0) return -EINVAL;
  const count = Math.min(length, set.size);
  if (write) {
    const bytes = copyFromUser(task.mm, base, count);
    if (typeof bytes === "number") return bytes;
    set.write(child.regs, bytes);
  } else if (copyToUser(task.mm, base, set.read(child.regs).subarray(0, count)) !== 0) return -EFAULT;
  return putUser64(task.mm, data + 8, count);
}

/** A new stop, unless the tracee is in one (PTRACE_INTERRUPT). */
function interrupt(_task: Task, child: Task): number {
  if (!child.trace!.seized) return -EIO;
  if (setJobctl(child, JOBCTL_TRAP_STOP)) kick(child, { resume: (child.jobctl & JOBCTL_LISTENING) !== 0 });
  return 0;
}

/** Stays in its group stop, but is to tell when that ends. */
function listen(_task: Task, child: Task): number {
  const { info } = child.stop!;
  if (!child.trace!.seized || info === null || info.code >> 8 !== PTRACE_EVENT_STOP) return -EIO;
  child.jobctl |= JOBCTL_LISTENING;
  if ((child.jobctl & JOBCTL_TRAP_NOTIFY) !== 0) kick(child, { resume: true });
  return 0;
}

const SYSCALL_INFO_ENTRY = 1;
const SYSCALL_INFO_EXIT = 2;
const AUDIT_ARCH_RISCV64 = 0xc00000f3;
/** Where the part begins that depends on the kind of stop, and where each kind ends. */
const INFO_UNION = 24;
const ENTRY_END = 80;
const EXIT_END = 33;

/** struct ptrace_syscall_info; only with PTRACE_O_TRACESYSGOOD does it say more than where the program is. Returns its size. */
function syscallInfo(task: Task, child: Task, size: number, data: number): number {
  const bytes = new Uint8Array(ENTRY_END);
  const v = new DataView(bytes.buffer);
  const { regs } = child;
  const { info, message } = child.stop!;
  v.setUint32(4, AUDIT_ARCH_RISCV64, true);
  v.setBigUint64(8, BigInt(regs.pc), true);
  v.setBigUint64(16, regs.x(2), true);
  let end = INFO_UNION;
  if (info !== null && info.code === (SIGTRAP | 0x80)) {
    if (message === EVENTMSG_SYSCALL_ENTRY) {
      bytes[0] = SYSCALL_INFO_ENTRY;
      v.setBigUint64(24, regs.x(17), true);
      v.setBigUint64(32, (BigInt(child.callA0Hi >>> 0) << 32n) | BigInt(child.callA0Lo >>> 0), true);
      for (let i = 1; i < 6; i++) v.setBigUint64(32 + 8 * i, regs.x(10 + i), true);
      end = ENTRY_END;
    } else {
      bytes[0] = SYSCALL_INFO_EXIT;
      v.setBigUint64(24, regs.x(10), true);
      bytes[32] = BigInt.asIntN(64, regs.x(10)) < 0n && BigInt.asIntN(64, regs.x(10)) >= -4095n ? 1 : 0;
      end = EXIT_END;
    }
  }
  return copyToUser(task.mm, data, bytes.subarray(0, Math.min(size, end))) || end;
}

/** struct ptrace_rseq_configuration. Returns its size. */
function rseqConfiguration(task: Task, child: Task, size: number, data: number): number {
  const bytes = new Uint8Array(24);
  const v = new DataView(bytes.buffer);
  if (child.rseq !== null) {
    v.setBigUint64(0, BigInt(child.rseq.address), true);
    v.setUint32(8, child.rseq.length, true);
    v.setUint32(12, child.rseq.signature, true);
  }
  return copyToUser(task.mm, data, bytes.subarray(0, Math.min(size, bytes.length))) || bytes.length;
}

function poke(task: Task, child: Task, addr: number, data: bigint): number {
  const word = new Uint8Array(8);
  new DataView(word.buffer).setBigUint64(0, data, true);
  return access(task, child, addr, word, true);
}
/** All 64 bits count. */
const pokeCall: Request = (task, child, addr) => poke(task, child, addr, task.args.big(3));

function kill(task: Task, child: Task): number {
  const info = { signo: SIGKILL, code: SI_USER, pid: task.tgid, uid: task.creds.uid };
  task.kernel.signals.sendToTask(child, info);
  return 0;
}

/** By number. What riscv64 has not — PEEKUSR, GETREGS, SINGLESTEP — and filters of seccomp, which is not built, are EIO. */
const REQUESTS: ReadonlyMap<number, Request> = new Map<number, Request>([
  [PTRACE_PEEKTEXT, peek],
  [PTRACE_PEEKDATA, peek],
  [PTRACE_POKETEXT, pokeCall],
  [PTRACE_POKEDATA, pokeCall],
  [PTRACE_CONT, (_task, child, _addr, data) => resume(child, data, "run")],
  [PTRACE_SYSCALL, (_task, child, _addr, data) => resume(child, data, "trace")],
  [PTRACE_SYSEMU, (_task, child, _addr, data) => resume(child, data, "emulate")],
  [PTRACE_KILL, kill],
  [PTRACE_DETACH, (_task, child, _addr, data) => (data > NSIG ? -EIO : (detach(child, data), 0))],
  [PTRACE_SETOPTIONS, setOptions],
  [PTRACE_GETEVENTMSG, (task, child, _addr, data) => putUser64(task.mm, data, child.stop!.message)],
  [PTRACE_GETSIGINFO, getSigInfo],
  [PTRACE_SETSIGINFO, setSigInfo],
  [PTRACE_GETREGSET, (task, child, addr, data) => regset(task, child, addr, data, { write: false })],
  [PTRACE_SETREGSET, (task, child, addr, data) => regset(task, child, addr, data, { write: true })],
  [PTRACE_INTERRUPT, interrupt],
  [PTRACE_LISTEN, listen],
  [PTRACE_PEEKSIGINFO, peekSigInfo],
  [PTRACE_GETSIGMASK, getSigMask],
  [PTRACE_SETSIGMASK, setSigMask],
  [PTRACE_GET_SYSCALL_INFO, syscallInfo],
  [PTRACE_GET_RSEQ_CONFIGURATION, rseqConfiguration],
]);

export const ptraceCalls: readonly SyscallEntry[] = [
  { nr: 117, name: "ptrace", handler: ptrace, args: "ptrace pid ptr ptr" },
];
