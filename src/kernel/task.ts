// A task (thread): the unit that the scheduler runs. Owns its registers while it is off a hart, its signal state and what it is waiting for; refers to
// what it shares with others: process, mm, files, fs. Created by clone.ts and boot.ts, taken apart by exit.ts.
import { KernelBug } from "../base/bug.ts";
import type { Hart, RegisterFile } from "../machine/hart.ts";
import type { Mm } from "../mm/mm.ts";
import type { Creds } from "./creds.ts";
import type { FileTable } from "./fs/file.ts";
import type { FsContext } from "./fs-context.ts";
import type { Kernel } from "./kernel.ts";
import { type Process, Usage } from "./process.ts";
import type { Rseq } from "./rseq.ts";
import { type SigInfo, SIGKILL, type SigSet, SignalQueue, sigbit } from "./siginfo.ts";
import { JOBCTL_PENDING_MASK } from "./group-stop.ts";
import { Args } from "./syscall/table.ts";
import type { Trace } from "./trace.ts";
import type { TraceStop } from "./trace-stop.ts";
import { type Wait, WaitQueue } from "./wait.ts";

/** As /proc/PID/stat shows it: running or runnable, sleeping, uninterruptible, stopped, stopped for a tracer, zombie, dead. */
export type TaskState = "R" | "S" | "D" | "T" | "t" | "Z" | "X";

/** sigaltstack(2). flags as given (SS_AUTODISARM); size 0 means disabled. */
export interface AltStack {
  sp: number;
  size: number;
  flags: number;
}

/** SCHED_* policy and parameters. */
export interface SchedParams {
  policy: number;
  priority: number;
  nice: number;
  resetOnFork: boolean;
}

export class Task {
  readonly kernel: Kernel;
  /** Changes once in a life: when a thread that is not the leader calls exec, it takes the leader's. */
  tid: number;
  process: Process;
  /** Registers: the hart's while it runs, its own otherwise. Always the live ones. */
  regs: RegisterFile;
  readonly ownRegs: RegisterFile;
  hart: Hart | null = null;
  readonly args: Args;

  creds: Creds;
  comm = "";
  state: TaskState = "R";
  /** On the run queue or on a hart. */
  queued = false;
  /** What a blocked system call waits for, and the call itself. */
  waiting: Wait | null = null;
  call: Generator<Wait, number> | null = null;
  /** The number of the call being executed (for strace, /proc and restart), and its a0 at entry, both halves. */
  callNr = -1;
  callA0Lo = 0;
  callA0Hi = 0;
  /** Set by calls that return -ERESTART_RESTARTBLOCK: what restart_syscall(2) runs. */
  restart: (() => number | Generator<Wait, number>) | null = null;
  /** Something is to be done before the next guest instruction: signals, exit, stop. Checked on every return to user mode. */
  work = false;

  /** JOBCTL_*: what it has to do with stops (group-stop.ts). */
  jobctl = 0;
  /** Set while another thread traces it. */
  trace: Trace | null = null;
  /** The stop for a tracer that it is in, or has been let out of and not looked at yet. */
  stop: TraceStop | null = null;
  /** Whom it traces; null: it never has. */
  tracees: Set<Task> | null = null;
  /** Its exit has been announced to the tracer (PTRACE_EVENT_EXIT). */
  exitAnnounced = false;
  /** exit(2) has been called: gone before the next instruction, with exitStatus. */
  leaving = false;
  /** The call that a signal interrupted: -ERESTART*, and where it would go on; 0: none, or decided (signal-delivery.ts). */
  restartCode = 0;
  restartPc = 0;

  sigmask: SigSet = 0n;
  /** Put back after the handler or the call has returned (ppoll, sigsuspend). */
  savedSigmask: SigSet | null = null;
  /** Of sigtimedwait: blocked signals that end its wait all the same. */
  waitedFor: SigSet = 0n;
  readonly pending = new SignalQueue();
  altStack: AltStack = { sp: 0, size: 0, flags: 0 };

  /** Futex to clear and wake at exit (set_tid_address), robust list head, rseq area; 0 and null: none. */
  clearChildTid = 0;
  robustList = 0;
  rseq: Rseq | null = null;
  /** Woken when a vfork child has called exec or exited; the child holds its parent's. */
  vforkDone: WaitQueue | null = null;
  /** Woken when this thread has exited (pidfd of threads, exec waiting for others). */
  readonly ended = new WaitQueue();
  /** exit code of this thread, as wait status. */
  exitStatus = 0;

  sched: SchedParams = { policy: 0, priority: 0, nice: 0, resetOnFork: false };
  /** sched_setaffinity: bit n for hart n. */
  affinity: bigint;
  readonly usage = new Usage();
  /** ns on CLOCK_MONOTONIC. */
  startTime = 0;
  noNewPrivs = false;
  keepCaps = false;
  personality = 0;
  parentDeathSignal = 0;
  /** prctl PR_SET_TIMERSLACK, ns. */
  timerSlack = 50000;
  seccomp = 0;
  /** The hart it ran on last: getcpu. */
  lastHart = 0;

  #mm: Mm | null;
  #files: FileTable | null;
  #fs: FsContext | null;

  constructor(init: {
    kernel: Kernel;
    tid: number;
    process: Process;
    regs: RegisterFile;
    /** Null: it never runs guest code (pid 1). */
    mm: Mm | null;
    files: FileTable;
    fs: FsContext;
    creds: Creds;
  }) {
    this.kernel = init.kernel;
    this.tid = init.tid;
    this.process = init.process;
    this.regs = this.ownRegs = init.regs;
    this.#mm = init.mm;
    this.#files = init.files;
    this.#fs = init.fs;
    this.creds = init.creds;
    this.args = new Args(this);
    this.affinity = (1n << BigInt(init.kernel.hardware.harts.length)) - 1n;
    this.startTime = init.kernel.clock.monotonic();
  }

  get tgid(): number {
    return this.process.pid;
  }
  /** Its address space. Only of tasks that have not exited. */
  get mm(): Mm {
    if (this.#mm === null) throw new KernelBug(`task ${this.tid} has no mm any more`);
    return this.#mm;
  }
  /** Its address space, or null after exit: for those who look at other tasks (procfs, kill). */
  get mmOrNull(): Mm | null {
    return this.#mm;
  }
  get files(): FileTable {
    if (this.#files === null) throw new KernelBug(`task ${this.tid} has no files any more`);
    return this.#files;
  }
  get filesOrNull(): FileTable | null {
    return this.#files;
  }
  get fs(): FsContext {
    if (this.#fs === null) throw new KernelBug(`task ${this.tid} has no fs any more`);
    return this.#fs;
  }
  get fsOrNull(): FsContext | null {
    return this.#fs;
  }
  /** For clone, exec, unshare and exit only; they care for the references. */
  setMm(mm: Mm | null): void {
    this.#mm = mm;
  }
  setFiles(files: FileTable | null): void {
    this.#files = files;
  }
  setFs(fs: FsContext | null): void {
    this.#fs = fs;
  }

  get isLeader(): boolean {
    return this.process.leader === this;
  }
  get exited(): boolean {
    return this.state === "Z" || this.state === "X";
  }

  /** Has the capability (CAP_*). */
  capable(capability: number): boolean {
    return this.creds.capable(capability);
  }

  /** A signal that it does not block, or the end of the process, is pending: interruptible waits end. */
  signalPending(): boolean {
    if (this.process.exiting || this.process.execTask !== null) return true;
    return (
      ((this.pending.set | this.process.pending.set) & (~this.sigmask | this.waitedFor)) !== 0n ||
      (this.jobctl & JOBCTL_PENDING_MASK) !== 0
    );
  }
  /** SIGKILL or the end of the process is pending. */
  fatalSignalPending(): boolean {
    if (this.process.exiting || (this.process.execTask !== null && this.process.execTask !== this)) return true;
    return ((this.pending.set | this.process.pending.set) & sigbit(SIGKILL)) !== 0n;
  }

  /** Sends a signal to this thread, as the kernel itself (SI_KERNEL unless `info` says otherwise): SIGPIPE, SIGXFSZ. */
  sendSignal(signo: number, info: Partial<SigInfo> = {}): void {
    this.kernel.signals.sendToTask(this, { code: 0x80, ...info, signo });
  }
}
