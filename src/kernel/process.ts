// Processes (thread groups), process groups and sessions: what the threads of a program share apart from memory and files.
// Owned by the Kernel; created by clone and boot, taken apart by exit.ts, reaped by wait (syscall/wait.ts).
import type { Mm } from "../mm/mm.ts";
import type { Cgroup } from "./cgroup.ts";
import { DEFAULT_FILTER } from "./core-segments.ts";
import { CpuTimers } from "./cpu-clock.ts";
import type { OpenFile } from "./fs/file.ts";
import type { Kernel } from "./kernel.ts";
import type { PosixTimers } from "./posix-timer.ts";
import type { Rlimits } from "./rlimit.ts";
import { SignalQueue } from "./siginfo.ts";
import type { SignalHandlers } from "./signal-handlers.ts";
import type { Task } from "./task.ts";
import type { Timer } from "./timer.ts";
import { WaitQueue } from "./wait.ts";

/** What the process core needs of a terminal; kernel/fs's tty implements it. */
export interface ControllingTerminal {
  /** Device number, for tty_nr in /proc/PID/stat. */
  readonly device: number;
  /** The group that may read and gets ^C; null if there is none. */
  foreground: ProcessGroup | null;
  /** Its session's leader has exited: the terminal belongs to no session any more, further reads see the end. */
  disassociate(): void;
}

/** A session: process groups under one leader, perhaps with a terminal. */
export class Session {
  readonly sid: number;
  tty: ControllingTerminal | null = null;
  constructor(sid: number) {
    this.sid = sid;
  }
}

/** A process group (job). Lives while it has members; zombies count. */
export class ProcessGroup {
  readonly pgid: number;
  readonly session: Session;
  readonly members = new Set<Process>();
  constructor(pgid: number, session: Session) {
    this.pgid = pgid;
    this.session = session;
  }
  /**
   * No member has a parent in another group of the same session: nobody could continue it (is_current_pgrp_orphaned).
   * `without`: a process that counts as gone.
   */
  isOrphaned(without?: Process): boolean {
    for (const process of this.members) {
      if (process === without || process.state !== "alive" || process.parent === null || process.parent.pid === 1)
        continue;
      const parent = process.parent.group;
      if (parent !== this && parent.session === this.session) return false;
    }
    return true;
  }
  get hasStopped(): boolean {
    for (const process of this.members) if (process.stopComplete) return true;
    return false;
  }
}

/** Resource usage in the units of /proc and getrusage: times in nanoseconds, faults and switches as counts, maxRss in pages. */
export class Usage {
  utime = 0;
  stime = 0;
  minorFaults = 0;
  majorFaults = 0;
  voluntarySwitches = 0;
  involuntarySwitches = 0;
  inBlocks = 0;
  outBlocks = 0;
  // /proc/PID/io: bytes that read and write calls moved, and how many such calls there were.
  readChars = 0;
  writeChars = 0;
  readCalls = 0;
  writeCalls = 0;
  maxRss = 0;

  add(other: Usage): void {
    this.utime += other.utime;
    this.stime += other.stime;
    this.minorFaults += other.minorFaults;
    this.majorFaults += other.majorFaults;
    this.voluntarySwitches += other.voluntarySwitches;
    this.involuntarySwitches += other.involuntarySwitches;
    this.inBlocks += other.inBlocks;
    this.outBlocks += other.outBlocks;
    this.readChars += other.readChars;
    this.writeChars += other.writeChars;
    this.readCalls += other.readCalls;
    this.writeCalls += other.writeCalls;
    this.maxRss = Math.max(this.maxRss, other.maxRss);
  }
}

/** One of the three interval timers of setitimer: nanoseconds. */
export interface IntervalTimer {
  /** Reload value; 0: once. */
  interval: number;
  /** ITIMER_REAL: deadline on CLOCK_MONOTONIC; the others: on the process's own CPU clock. Infinity: off. */
  expires: number;
  /** ITIMER_REAL: when it went off last. */
  lastExpiry: number;
}

const NO_BYTES = new Uint8Array(0);

export class Process {
  readonly kernel: Kernel;
  /** The thread group id, and the tid of its first thread. */
  readonly pid: number;
  /** Stays after the leader's exit, until the whole group is a zombie. */
  leader!: Task;
  /** Live threads by tid, in order of creation. */
  readonly threads = new Map<number, Task>();
  /** Threads other than the leader that have exited and whose tracers have not waited for them. */
  tracedZombies: Set<Task> | null = null;
  parent: Process | null;
  /** The thread of the parent that made it. */
  maker: Task | null = null;
  readonly children = new Set<Process>();
  group: ProcessGroup;
  /** Its control group, of which it is a member while it is alive: CgroupTree keeps it. */
  cgroup: Cgroup;
  /** "zombie": all threads have exited, the parent has not waited. "dead": reaped. */
  state: "alive" | "zombie" | "dead" = "alive";
  /** Sent to the parent at the end (SIGCHLD; clone may choose). 0: none. */
  exitSignal = 0;
  /** As wait4 gives it: exit code << 8, or the signal. Valid once `exiting` or a zombie. */
  exitStatus = 0;
  /** exit_group, a fatal signal or exec is taking all other threads down. */
  exiting = false;
  /** During exec in a threaded process: the thread that goes on. */
  execTask: Task | null = null;

  handlers: SignalHandlers;
  /** Signals sent to the process as a whole. */
  readonly pending = new SignalQueue();
  /** Woken whenever a signal is queued for any of its threads (signalfd). */
  readonly signalArrived = new WaitQueue();
  /** Job control (group-stop.ts): the signal of the stop that the parent has yet to be told of by wait; whether it has yet to see a continue. */
  stopSignal = 0;
  continueUnreported = false;
  /** A stop is in force: all threads have stopped, and no SIGCONT has come. */
  stopComplete = false;
  /** How many threads have yet to take part in the stop that has begun. */
  groupStopCount = 0;
  /** SIGCONT has ended a stop, or one that was not complete: the parent is told when a thread runs on. */
  continueNotice: "none" | "continued" | "stopped" = "none";

  rlimits: Rlimits;
  /** Of threads that are gone; live ones are added on top by usage(). */
  readonly goneUsage = new Usage();
  readonly childrenUsage = new Usage();
  /** Children change state: woken for wait4 (wait_chldexit). */
  readonly childChanged = new WaitQueue();
  /** The process has become a zombie: pidfd pollers. */
  readonly ended = new WaitQueue();
  /** ITIMER_REAL, VIRTUAL, PROF; null until one is set. */
  itimers: readonly IntervalTimer[] | null = null;
  /** The host of ITIMER_REAL. */
  realTimer: Timer | null = null;
  posixTimers: PosixTimers | null = null;
  /** Timers on the CPU time of the process and its threads. */
  readonly cpuTimers = new CpuTimers();
  /** ns on CLOCK_MONOTONIC. */
  readonly startTime: number;
  childSubreaper = false;
  /** The program that exec loaded, held open (/proc/PID/exe), and its auxiliary vector (/proc/PID/auxv). */
  exe: OpenFile | null = null;
  auxv: Uint8Array = NO_BYTES;
  dumpable = 1;
  /** Which kinds of memory its core file holds (core-segments.ts). */
  coredumpFilter = DEFAULT_FILTER;
  oomScoreAdj = 0;
  /** How low it may set that itself: what somebody with CAP_SYS_RESOURCE set last. */
  oomScoreAdjMin = 0;
  /** Has called exec since fork (setpgid by the parent then fails). */
  didExec = false;
  /** Marks of other rooms (mshare's owner object, POSIX locks), keyed by them; null until there is one. */
  attachments: Map<string, unknown> | null = null;

  constructor(
    kernel: Kernel,
    pid: number,
    parent: Process | null,
    group: ProcessGroup,
    handlers: SignalHandlers,
    rlimits: Rlimits,
  ) {
    this.kernel = kernel;
    this.pid = pid;
    this.parent = parent;
    this.group = group;
    this.cgroup = kernel.cgroups.root;
    this.handlers = handlers;
    this.rlimits = rlimits;
    this.startTime = kernel.clock.monotonic();
    parent?.children.add(this);
    group.members.add(this);
  }

  get session(): Session {
    return this.group.session;
  }
  /** The address space of its threads; null once all have exited. */
  get mm(): Mm | null {
    for (const task of this.threads.values()) if (task.mmOrNull !== null) return task.mmOrNull;
    return null;
  }
  /** Some live thread: the leader if it lives. */
  get anyTask(): Task | null {
    if (this.leader.state !== "Z" && this.leader.state !== "X") return this.leader;
    for (const task of this.threads.values()) return task;
    return null;
  }
  get hasTracedZombies(): boolean {
    return this.tracedZombies !== null && this.tracedZombies.size > 0;
  }
  /** Usage of the whole thread group, its children not included. */
  usage(): Usage {
    const sum = new Usage();
    sum.add(this.goneUsage);
    for (const task of this.threads.values()) sum.add(task.usage);
    const mm = this.mm;
    if (mm !== null) sum.maxRss = Math.max(sum.maxRss, mm.hiwaterRss, mm.rssAnon + mm.rssFile + mm.rssShmem);
    return sum;
  }
  /** Soft limit `which` (RLIMIT_*); Infinity for none. */
  rlimit(which: number): number {
    return this.rlimits.soft(which);
  }
  /** exec and fork: what the process runs from now on; takes a reference. Null: it has ended. */
  setExecutable(file: OpenFile | null): void {
    file?.get();
    if (file?.inode) file.inode.executors++;
    if (this.exe?.inode) this.exe.inode.executors--;
    this.exe?.put();
    this.exe = file;
  }
  /** Leaves a mark of another room. */
  attach(key: string, mark: unknown): void {
    (this.attachments ??= new Map()).set(key, mark);
  }
  /** Moves to another process group; empty groups vanish. */
  joinGroup(group: ProcessGroup): void {
    if (group === this.group) return;
    this.group.members.delete(this);
    if (this.group.members.size === 0) this.kernel.groups.delete(this.group.pgid);
    this.group = group;
    group.members.add(this);
  }
}
