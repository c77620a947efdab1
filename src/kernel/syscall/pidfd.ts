// The pidfd family: pidfd_open, pidfd_send_signal, pidfd_getfd. waitid(P_PIDFD) and clone(CLONE_PIDFD) are in the process family.
import { EBADF, EINVAL, EPERM, ESRCH } from "../../base/errno.ts";
import { O_NONBLOCK } from "../fs/abi.ts";
import { PidFile } from "../fs/pidfd.ts";
import { SubjectDir } from "../fs/procfs/pid.ts";
import { reapMemory } from "../oom.ts";
import type { Process } from "../process.ts";
import { ptraceMayAccess } from "../ptrace.ts";
import { RLIMIT_NOFILE } from "../rlimit.ts";
import { SI_TKILL, SI_USER, type SigInfo } from "../siginfo.ts";
import type { Task } from "../task.ts";
import { isForged, readSigInfo, signalEach, signalProcess, signalTask } from "./signal.ts";
import type { Args, SyscallEntry } from "./table.ts";

const PIDFD_NONBLOCK = O_NONBLOCK;
const PIDFD_THREAD = 0o200;
const PIDFD_SIGNAL_THREAD = 1;
const PIDFD_SIGNAL_THREAD_GROUP = 2;
const PIDFD_SIGNAL_PROCESS_GROUP = 4;

function pidfdOpen(task: Task, args: Args): number {
  const pid = args.i32(0);
  const flags = args.u32(1);
  if ((flags & ~(PIDFD_NONBLOCK | PIDFD_THREAD)) !== 0 || pid <= 0) return -EINVAL;
  const process = task.kernel.process(pid);
  const thread = task.kernel.task(pid);
  if (process === undefined && thread === undefined) return -ESRCH;
  const forThread = (flags & PIDFD_THREAD) !== 0;
  if (forThread ? thread === undefined : process === undefined) return -EINVAL;
  const target = forThread ? { process: thread!.process, thread: thread! } : { process: process! };
  return installPidfd(task, new PidFile(task.kernel, target, flags & PIDFD_NONBLOCK));
}

/** Gives `task` a descriptor (always close-on-exec) for a new pidfd: fd or -EMFILE. */
export function installPidfd(task: Task, file: PidFile): number {
  const fd = task.files.install(file, { cloexec: true, limit: task.process.rlimit(RLIMIT_NOFILE) });
  if (fd < 0) file.put();
  return fd;
}

/** Whom a descriptor stands for: a pidfd, or an open /proc/PID (tgid_pidfd_to_pid). */
function signalTarget(task: Task, fd: number): { process: Process; thread: Task | null; gone: boolean } | undefined {
  const file = task.files.io(fd);
  if (file instanceof PidFile) return file;
  if (!(file?.inode instanceof SubjectDir) || !file.inode.subject.whole) return undefined;
  const { process } = file.inode.subject;
  return { process, thread: null, gone: process.state === "dead" };
}

/** process_mrelease: takes the memory of a process that is dying at once. */
function processMrelease(task: Task, args: Args): number {
  if (args.u32(1) !== 0) return -EINVAL;
  const file = task.files.io(args.i32(0));
  if (!(file instanceof PidFile)) return -EBADF;
  const { mm, exiting } = file.process;
  if (mm === null) return -ESRCH;
  if (!exiting) return -EINVAL;
  reapMemory(mm);
  return 0;
}

function pidfdSendSignal(task: Task, args: Args): number {
  const signo = args.i32(1);
  const flags = args.u32(3);
  const scopes = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP;
  if ((flags & ~scopes) !== 0 || (flags & (flags - 1)) !== 0) return -EINVAL;
  const file = signalTarget(task, args.i32(0));
  if (file === undefined) return -EBADF;
  const toThread = flags === PIDFD_SIGNAL_THREAD || (flags === 0 && file.thread !== null);
  let info: SigInfo = { signo, code: toThread ? SI_TKILL : SI_USER, pid: task.tgid, uid: task.creds.uid };
  if (args.ptr(2) !== 0) {
    const given = readSigInfo(task, args.ptr(2), signo);
    if (typeof given === "number") return given;
    if (new DataView(given.raw!.buffer, given.raw!.byteOffset).getInt32(0, true) !== signo) return -EINVAL;
    const toSelf = file.process === task.process && flags !== PIDFD_SIGNAL_PROCESS_GROUP;
    if (!toSelf && isForged(given)) return -EPERM;
    info = given;
  }
  if (file.gone) return -ESRCH;
  if (flags === PIDFD_SIGNAL_PROCESS_GROUP) {
    const group = task.kernel.groups.get(file.process.pid);
    return group === undefined ? -ESRCH : signalEach(task, [...group.members], info);
  }
  return toThread
    ? signalTask(task, file.thread ?? file.process.leader, info)
    : signalProcess(task, file.process, info);
}

function pidfdGetfd(task: Task, args: Args): number {
  if (args.u32(2) !== 0) return -EINVAL;
  const pidfd = task.files.io(args.i32(0));
  if (!(pidfd instanceof PidFile)) return -EBADF;
  if (pidfd.gone) return -ESRCH;
  const denied = ptraceMayAccess(task, pidfd.process.leader, { creds: "real", attach: true });
  if (denied !== 0) return denied;
  const files = (pidfd.thread ?? pidfd.process.anyTask)?.filesOrNull ?? null;
  if (files === null) return -ESRCH;
  const file = files.get(args.i32(1));
  if (file === undefined) return -EBADF;
  file.get();
  const fd = task.files.install(file, { cloexec: true, limit: task.process.rlimit(RLIMIT_NOFILE) });
  if (fd < 0) file.put();
  return fd;
}

export const pidfdCalls: readonly SyscallEntry[] = [
  { nr: 448, name: "process_mrelease", handler: processMrelease, args: "fd hex" },
  { nr: 424, name: "pidfd_send_signal", handler: pidfdSendSignal, args: "fd sig ptr hex" },
  { nr: 434, name: "pidfd_open", handler: pidfdOpen, args: "pid hex" },
  { nr: 438, name: "pidfd_getfd", handler: pidfdGetfd, args: "fd int hex" },
];
