// Resource limits: numbers, defaults and the table that a process has. The calls are in syscall/limits.ts; the families ask `soft()`.

import type { Mm } from "../mm/mm.ts";
import { CAP_IPC_LOCK } from "./creds.ts";
import type { Process } from "./process.ts";
import type { Task } from "./task.ts";

export const RLIMIT_CPU = 0;
export const RLIMIT_FSIZE = 1;
export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_CORE = 4;
export const RLIMIT_RSS = 5;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIMIT_LOCKS = 10;
export const RLIMIT_SIGPENDING = 11;
export const RLIMIT_MSGQUEUE = 12;
export const RLIMIT_NICE = 13;
export const RLIMIT_RTPRIO = 14;
export const RLIMIT_RTTIME = 15;
export const RLIM_NLIMITS = 16;

/** Soft and hard limits; Infinity is RLIM_INFINITY. */
export class Rlimits {
  // Never changed but replaced: most forks share them for good.
  #soft: readonly number[];
  #hard: readonly number[];

  private constructor(soft: readonly number[], hard: readonly number[]) {
    this.#soft = soft;
    this.#hard = hard;
  }

  /** Those of init (INIT_RLIMITS); `maxThreads` depends on the size of memory (set_max_threads). */
  static initial(maxThreads: number): Rlimits {
    const soft = new Array<number>(RLIM_NLIMITS).fill(Infinity);
    const hard = new Array<number>(RLIM_NLIMITS).fill(Infinity);
    const set = (which: number, s: number, h: number): void => {
      soft[which] = s;
      hard[which] = h;
    };
    set(RLIMIT_STACK, 8 << 20, Infinity);
    set(RLIMIT_CORE, 0, Infinity);
    set(RLIMIT_NPROC, maxThreads >> 1, maxThreads >> 1);
    set(RLIMIT_NOFILE, 1024, 4096);
    set(RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
    set(RLIMIT_SIGPENDING, maxThreads >> 1, maxThreads >> 1);
    set(RLIMIT_MSGQUEUE, 819200, 819200);
    set(RLIMIT_NICE, 0, 0);
    set(RLIMIT_RTPRIO, 0, 0);
    return new Rlimits(soft, hard);
  }

  soft(which: number): number {
    return this.#soft[which]!;
  }
  hard(which: number): number {
    return this.#hard[which]!;
  }
  set(which: number, soft: number, hard: number): void {
    this.#soft = this.#soft.with(which, soft);
    this.#hard = this.#hard.with(which, hard);
  }
  clone(): Rlimits {
    return new Rlimits(this.#soft, this.#hard);
  }
}

/** Tells an address space what its process's limits and the capabilities of `task` are: after exec, setrlimit and changes of credentials. */
export function applyMemoryLimits(mm: Mm, process: Process, task: Task): void {
  mm.limits.as = process.rlimit(RLIMIT_AS);
  mm.limits.data = process.rlimit(RLIMIT_DATA);
  mm.limits.stack = process.rlimit(RLIMIT_STACK);
  mm.limits.memlock = process.rlimit(RLIMIT_MEMLOCK);
  mm.capabilities.ipcLock = task.capable(CAP_IPC_LOCK);
}
