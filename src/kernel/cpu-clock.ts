// CPU-time clocks: what threads and processes have used of a hart, and timers on that (kernel/time/posix-cpu-timers.c). The scheduler calls
// `checkCpuTime` after each turn; setitimer, timer_create, clock_nanosleep and RLIMIT_CPU live on it.
import { NSEC_PER_SEC } from "./clock.ts";
import type { Process, Usage } from "./process.ts";
import { RLIMIT_CPU } from "./rlimit.ts";
import { SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU, SI_KERNEL } from "./siginfo.ts";
import type { Task } from "./task.ts";

/** What is counted: user time only, or user and system time. */
export type CpuTimeKind = "user" | "all";

/** A clock of one thread, or of a whole process (all its threads, gone ones too). */
export interface CpuClock {
  readonly of: Task | Process;
  readonly kind: CpuTimeKind;
}

const isTask = (of: Task | Process): of is Task => "tid" in of;
const timeOf = (usage: Usage, kind: CpuTimeKind): number => usage.utime + (kind === "all" ? usage.stime : 0);

/** Nanoseconds on a CPU clock, up to now. */
export function cpuTime({ of, kind }: CpuClock): number {
  of.kernel.scheduler.account();
  if (isTask(of)) return Math.floor(timeOf(of.usage, kind));
  let ns = timeOf(of.goneUsage, kind);
  for (const task of of.threads.values()) ns += timeOf(task.usage, kind);
  return Math.floor(ns);
}

/** A pending callback on a CPU clock. */
export class CpuTimer {
  readonly clock: CpuClock;
  readonly deadline: number;
  readonly callback: () => void;
  readonly #owner: CpuTimers;

  constructor(owner: CpuTimers, clock: CpuClock, deadline: number, callback: () => void) {
    this.#owner = owner;
    this.clock = clock;
    this.deadline = deadline;
    this.callback = callback;
  }
  cancel(): void {
    this.#owner.remove(this);
  }
}

/** Timers on the CPU clocks of one process and its threads. */
export class CpuTimers {
  #timers: Set<CpuTimer> | null = null;

  /** Calls `callback` once the clock, which is this process's, has reached `deadline` (ns). */
  add(clock: CpuClock, deadline: number, callback: () => void): CpuTimer {
    const timer = new CpuTimer(this, clock, deadline, callback);
    (this.#timers ??= new Set()).add(timer);
    return timer;
  }
  remove(timer: CpuTimer): void {
    this.#timers?.delete(timer);
  }
  get active(): boolean {
    return this.#timers !== null && this.#timers.size > 0;
  }
  run(): void {
    for (const timer of [...(this.#timers ?? [])]) {
      if (cpuTime(timer.clock) < timer.deadline) continue;
      this.#timers?.delete(timer);
      timer.callback();
    }
  }
}

/** After a task's turn: fires what its CPU time has reached. */
export function checkCpuTime(process: Process): void {
  if (process.state !== "alive") return;
  if (process.cpuTimers.active) process.cpuTimers.run();
  checkInterval(process, 1, "user", SIGVTALRM);
  checkInterval(process, 2, "all", SIGPROF);
  if (process.rlimit(RLIMIT_CPU) !== Infinity) checkLimit(process);
}

/** ITIMER_VIRTUAL and ITIMER_PROF (check_cpu_itimer). */
function checkInterval(process: Process, which: 1 | 2, kind: CpuTimeKind, signo: number): void {
  const timer = process.itimers?.[which];
  if (timer === undefined || timer.expires === Infinity) return;
  const now = cpuTime({ of: process, kind });
  if (now < timer.expires) return;
  timer.expires = timer.interval === 0 ? Infinity : timer.expires + timer.interval;
  process.kernel.signals.sendToProcess(process, { signo, code: SI_KERNEL });
}

/** RLIMIT_CPU: SIGXCPU at the soft limit and every second after it, SIGKILL at the hard one. */
function checkLimit(process: Process): void {
  const seconds = cpuTime({ of: process, kind: "all" }) / NSEC_PER_SEC;
  const soft = process.rlimits.soft(RLIMIT_CPU);
  const hard = process.rlimits.hard(RLIMIT_CPU);
  const { signals } = process.kernel;
  if (seconds >= hard) {
    signals.sendToProcess(process, { signo: SIGKILL, code: SI_KERNEL });
  } else if (seconds >= soft) {
    signals.sendToProcess(process, { signo: SIGXCPU, code: SI_KERNEL });
    process.rlimits.set(RLIMIT_CPU, soft + 1, hard);
  }
}
