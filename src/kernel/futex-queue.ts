// Who waits for a futex word: the queue of one word and those on it. Owned by FutexTable (futex.ts), shared with futex-pi.ts.
import { SCHED_FIFO, SCHED_RR } from "./scheduler.ts";
import type { Task } from "./task.ts";
import type { Wait } from "./wait.ts";

/** All bits of a FUTEX_WAIT_BITSET mask. */
export const FUTEX_BITSET_MATCH_ANY = 0xffffffff;

/** Where a word is, and whether the caller promises that only this process uses it (FUTEX_PRIVATE_FLAG). */
export interface FutexWord {
  readonly addr: number;
  readonly shared: boolean;
}

/** What a queue is found by. */
export interface FutexKey {
  readonly object: object;
  readonly offset: number;
}

/** One task (or one of several words of a task, futex_waitv) on a queue. */
export class FutexWaiter {
  readonly task: Task;
  readonly bitset: number;
  /** Set for those who wait for a PI lock: the word's address. The owner passes the lock on (futex-pi.ts); plain wakes must not touch them. */
  readonly lockAddr: number | undefined;
  /** Off the queue because of a wake (a timeout or signal takes it off by itself). */
  woken = false;
  /** The queue it is on now: FUTEX_REQUEUE moves it. */
  queue: FutexQueue | null = null;
  /** Its sleep, once it sleeps. */
  wait: Wait | null = null;

  constructor(task: Task, bitset: number, lockAddr?: number) {
    this.task = task;
    this.bitset = bitset;
    this.lockAddr = lockAddr;
  }
  get pi(): boolean {
    return this.lockAddr !== undefined;
  }
}

/** Those who wait for one word: realtime tasks by priority, others in the order in which they came. */
export class FutexQueue {
  readonly key: FutexKey;
  readonly waiters: FutexWaiter[] = [];
  /** Of a PI lock: who holds it. */
  owner: Task | null = null;
  constructor(key: FutexKey) {
    this.key = key;
  }
  add(waiter: FutexWaiter): void {
    const priority = realtimePriority(waiter.task);
    let at = this.waiters.length;
    while (at > 0 && realtimePriority(this.waiters[at - 1]!.task) < priority) at--;
    this.waiters.splice(at, 0, waiter);
    waiter.queue = this;
  }
}

const realtimePriority = ({ sched }: Task): number =>
  sched.policy === SCHED_FIFO || sched.policy === SCHED_RR ? sched.priority : 0;
