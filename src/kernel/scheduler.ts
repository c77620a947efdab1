// The scheduler: which task runs on which hart, for how many instructions. Deterministic: harts take turns by instruction budgets, tasks go round
// robin, weighted by nice value, realtime policies first. Owns the run queue; wait.ts and signal.ts wake tasks through it.
import type { Hart } from "../machine/hart.ts";
import { NSEC_PER_INSTRUCTION } from "./clock.ts";
import { checkCpuTime } from "./cpu-clock.ts";
import type { Kernel } from "./kernel.ts";
import { LoadAverage } from "./load-average.ts";
import type { Task, TaskState } from "./task.ts";
import { runTask } from "./trap.ts";

/** Instructions that a task of nice 0 runs before the next one's turn. */
const SLICE = 1_000_000;
/** Instructions of one hart's turn while other harts have work too. */
const TURN = 20_000;
/** What a system call or fault takes off the slice, besides its instructions: kernel work takes time as well. */
export const SYSCALL_CHARGE = 500;

export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;
export const SCHED_BATCH = 3;
export const SCHED_IDLE = 5;

/** A hart and what it is doing. */
export interface Cpu {
  readonly hart: Hart;
  readonly index: number;
  task: Task | null;
  /** What is left of the current task's slice. */
  slice: number;
  /** The task is to leave this hart when its turn is over. */
  evict: boolean;
  /** Time spent, in nanoseconds: in user mode, in user mode of tasks with a positive nice value, in the kernel (/proc/stat). */
  readonly time: { user: number; nice: number; system: number };
}

/** Why run() came back. */
export type RunResult = { state: "busy" } | { state: "idle"; until: number } | { state: "done" };

const isRealtime = (task: Task): boolean => task.sched.policy === SCHED_FIFO || task.sched.policy === SCHED_RR;

/** Nice 0 gets a whole slice, 19 a 68th, -20 eighty-eight (sched_prio_to_weight is 1.25 a level; capped here to keep turns short). */
const sliceOf = (task: Task): number => Math.max(10_000, Math.min(8, 1.25 ** -task.sched.nice) * SLICE);

export class Scheduler {
  readonly cpus: readonly Cpu[];
  readonly #kernel: Kernel;
  /** Runnable tasks that are on no hart, in the order in which they get their turn. */
  readonly #queue: Task[] = [];
  /** The current turn is to end after this call or fault: sched_yield, a realtime task woke up. */
  resched = false;
  /** The task whose turn it is: who caused what the kernel does now. Null between turns. */
  current: Task | null = null;
  contextSwitches = 0;
  readonly load = new LoadAverage();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#everywhere = (1n << BigInt(kernel.hardware.harts.length)) - 1n;
    this.cpus = kernel.hardware.harts.map((hart, index) => ({
      hart,
      index,
      task: null,
      slice: 0,
      evict: false,
      time: { user: 0, nice: 0, system: 0 },
    }));
  }

  /** Runnable tasks, those on harts included. */
  get runnable(): number {
    let count = this.#queue.length;
    for (const cpu of this.cpus) if (cpu.task !== null) count++;
    return count;
  }

  /** Makes a task runnable that waited, was stopped, or is new. */
  wake(task: Task): void {
    if (task.queued || task.exited) return;
    task.state = "R";
    task.queued = true;
    this.#queue.push(task);
    if (isRealtime(task)) this.resched = true;
  }

  /** Takes the running task off its hart: it waits, has stopped or exited. */
  suspend(task: Task, state: TaskState): void {
    task.state = state;
    this.#switchOut(task);
    task.queued = false;
  }

  /** The hart that `task` is on. */
  cpuOf(task: Task): Cpu | undefined {
    return this.cpus.find((cpu) => cpu.task === task);
  }

  /** It may run on other harts than before: if it is on one that it must leave, its turn ends. */
  affinityChanged(task: Task): void {
    const cpu = this.cpuOf(task);
    if (cpu !== undefined && !this.#mayRunOn(task, cpu)) {
      if (task === this.current) this.resched = true;
      cpu.evict = true;
    }
  }

  /** Its address space has changed (exec). */
  mmChanged(task: Task): void {
    task.hart?.switchTo(task.mm.root);
  }

  /** Instructions executed by all harts plus what kernel work counts as, divided by harts: simulated time. */
  instructions(): number {
    let sum = this.charged;
    for (const cpu of this.cpus) sum += cpu.hart.instretNow();
    return sum / this.cpus.length;
  }
  /** Sum of the charges of kernel work, in instructions. */
  charged = 0;

  /**
   * Runs tasks until `done`, until nothing can run (idle, with the next deadline or Infinity), or until `hostDeadline` (on the host's clock) has
   * passed: the outermost loop then lets the host breathe.
   */
  run(hostDeadline: number, done: () => boolean): RunResult {
    const { clock, timers, ports, verifier } = this.#kernel;
    const { khugepaged } = this.#kernel.memory;
    for (;;) {
      const now = clock.monotonic();
      this.load.advance(now, this.runnable);
      if (khugepaged.deadline <= now) {
        khugepaged.run(now);
        verifier?.tick();
      }
      timers.run(now);
      if (done()) return { state: "done" };
      let running = 0;
      for (const cpu of this.cpus) if (cpu.task !== null || this.#assign(cpu)) running++;
      if (running === 0) {
        const until = timers.next();
        if (!clock.simulated || until === Infinity) return { state: "idle", until };
        clock.jumpTo(until);
      } else {
        for (const cpu of this.cpus) if (cpu.task !== null) this.#turn(cpu, running > 1);
      }
      if (ports.monotonic() >= hostDeadline) return { state: "busy" };
    }
  }

  /** One hart's turn: what is left of the slice, or less if harts alternate or a timer is near. */
  #turn(cpu: Cpu, alternating: boolean): void {
    const task = cpu.task!;
    const { clock, timers } = this.#kernel;
    this.#accountedTo = clock.monotonic();
    this.#accountedInstret = cpu.hart.instret;
    let budget = alternating ? Math.min(TURN, cpu.slice) : cpu.slice;
    if (clock.simulated) {
      const untilTimer = (timers.next() - this.#accountedTo) / NSEC_PER_INSTRUCTION + 1;
      budget = Math.max(1, Math.min(budget, untilTimer));
    }
    this.resched = false;
    this.current = task;
    this.#currentHart = cpu.hart;
    const left = runTask(task, cpu.hart, Math.floor(budget));
    this.account();
    this.current = null;
    checkCpuTime(task.process);
    const used = budget - left;
    cpu.slice -= used;
    if (cpu.task === task && (cpu.slice <= 0 || this.resched || cpu.evict)) {
      if (this.#queue.length === 0 && !cpu.evict) {
        cpu.slice = sliceOf(task);
      } else {
        task.usage.involuntarySwitches++;
        this.#switchOut(task);
        task.queued = true;
        this.#queue.push(task);
      }
    }
  }

  /** Counts the time of the turn under way as the current task's: in user mode by instructions, the rest in the kernel. */
  account(): void {
    const { current } = this;
    if (current === null) return;
    const { clock } = this.#kernel;
    const now = clock.monotonic();
    const instret = this.#currentHart!.instretNow();
    const elapsed = now - this.#accountedTo;
    const perInstruction = clock.simulated ? NSEC_PER_INSTRUCTION : 2.5;
    const user = Math.min(elapsed, (instret - this.#accountedInstret) * perInstruction);
    current.usage.utime += user;
    current.usage.stime += elapsed - user;
    const { time } = this.cpus[this.#currentHart!.id];
    time[current.sched.nice > 0 ? "nice" : "user"] += user;
    time.system += elapsed - user;
    this.#accountedTo = now;
    this.#accountedInstret = instret;
  }
  #currentHart: Hart | null = null;
  #accountedTo = 0;
  #accountedInstret = 0;

  readonly #everywhere: bigint;

  #mayRunOn(task: Task, cpu: Cpu): boolean {
    return task.affinity === this.#everywhere || ((task.affinity >> BigInt(cpu.index)) & 1n) !== 0n;
  }

  /** Gives an idle hart the next task that may run there. */
  #assign(cpu: Cpu): boolean {
    const queue = this.#queue;
    let at = -1;
    for (let i = 0; i < queue.length; i++) {
      const task = queue[i];
      if (!this.#mayRunOn(task, cpu)) continue;
      if (at < 0) {
        at = i;
        if (!this.#anyRealtime) break;
      } else if (isRealtime(task) && (!isRealtime(queue[at]) || task.sched.priority > queue[at].sched.priority)) at = i;
    }
    if (at < 0) return false;
    const [task] = queue.splice(at, 1);
    this.contextSwitches++;
    cpu.task = task;
    cpu.slice = sliceOf(task);
    task.hart = cpu.hart;
    task.lastHart = cpu.index;
    // It was off its hart: a restartable sequence ends, and the CPU number may be another.
    if (task.rseq !== null) task.work = true;
    cpu.hart.registers.copyFrom(task.ownRegs);
    task.regs = cpu.hart.registers;
    cpu.hart.clearReservation();
    cpu.hart.switchTo(task.mm.root);
    return true;
  }
  #anyRealtime = false;
  /** Some task has a realtime policy from now on: the queue must be searched. */
  realtimeUsed(): void {
    this.#anyRealtime = true;
  }

  #switchOut(task: Task): void {
    const { hart } = task;
    if (hart === null) return;
    task.ownRegs.copyFrom(hart.registers);
    task.regs = task.ownRegs;
    task.hart = null;
    const cpu = this.cpus[hart.id];
    cpu.task = null;
    cpu.evict = false;
  }
}
