// Locks whose owner is in the futex word (FUTEX_LOCK_PI and relatives): the kernel hands the lock from the owner to the next waiter, also when the
// owner dies. Priorities are not inherited: the scheduler gives every task turns, so a low priority owner always gets on. Part of FutexTable.
import { EAGAIN, EDEADLK, EINVAL, EPERM, ERESTARTNOINTR, ESRCH, ETIMEDOUT } from "../base/errno.ts";
import type { Mm } from "../mm/mm.ts";
import { compareExchangeUser32, loadUser32 } from "../mm/usercopy.ts";
import type { FutexTable } from "./futex.ts";
import { FUTEX_BITSET_MATCH_ANY, type FutexKey, type FutexQueue, FutexWaiter, type FutexWord } from "./futex-queue.ts";
import type { Task } from "./task.ts";
import { Wait } from "./wait.ts";

export const FUTEX_WAITERS = 0x80000000;
export const FUTEX_OWNER_DIED = 0x40000000;
export const FUTEX_TID_MASK = 0x3fffffff;

export class PiLocks {
  readonly #table: FutexTable;
  /** Locks that others wait for, by their owner. */
  readonly #held = new Map<Task, Set<FutexQueue>>();

  constructor(table: FutexTable) {
    this.#table = table;
  }

  /**
   * FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI: 0 with the lock, -EDEADLK if the caller has it, -ESRCH if its owner is gone, -EAGAIN (try), -ETIMEDOUT,
   * -ERESTARTNOINTR on a signal.
   */
  lock(
    task: Task,
    word: FutexWord,
    options: { deadline?: number | undefined; try?: true },
  ): number | Generator<Wait, number> {
    const key = this.#table.key(task.mm, word, "write");
    if (typeof key === "number") return key;
    for (;;) {
      const value = loadUser32(task.mm, word.addr);
      if (value < 0) return value;
      if ((value & FUTEX_TID_MASK) === task.tid) return -EDEADLK;
      const queue = this.#table.find(key);
      if (queue !== undefined && queue.owner === null) return -EINVAL;
      if (queue === undefined && (value & FUTEX_TID_MASK) === 0) {
        if (exchange(task.mm, word.addr, value, (value & FUTEX_OWNER_DIED) | task.tid)) return 0;
        continue;
      }
      const owner = queue?.owner ?? task.kernel.task(value & FUTEX_TID_MASK);
      if (owner === undefined || owner.exited) return -ESRCH;
      if (options.try) return -EAGAIN;
      if (!exchange(task.mm, word.addr, value, value | FUTEX_WAITERS)) continue;
      return this.#sleep(task, key, word.addr, owner, options.deadline);
    }
  }
  *#sleep(task: Task, key: FutexKey, addr: number, owner: Task, deadline: number | undefined): Generator<Wait, number> {
    if (task.signalPending()) return -ERESTARTNOINTR;
    const waiter = new FutexWaiter(task, FUTEX_BITSET_MATCH_ANY, addr);
    this.#setOwner(this.#table.enqueue(key, waiter), owner);
    waiter.wait = new Wait(task, [], { deadline });
    yield waiter.wait;
    if (waiter.woken) return 0;
    this.#table.dequeue(waiter);
    return waiter.wait.reason === "timeout" ? -ETIMEDOUT : -ERESTARTNOINTR;
  }

  /** FUTEX_UNLOCK_PI: 0, or -EPERM if the caller has not got the lock. */
  unlock(task: Task, word: FutexWord): number {
    const key = this.#table.key(task.mm, word, "write");
    if (typeof key === "number") return key;
    for (;;) {
      const value = loadUser32(task.mm, word.addr);
      if (value < 0) return value;
      if ((value & FUTEX_TID_MASK) !== task.tid) return -EPERM;
      const queue = this.#table.find(key);
      if (queue !== undefined) {
        if (queue.owner === null) return -EINVAL;
        this.#pass(queue, 0);
        return 0;
      }
      if (exchange(task.mm, word.addr, value, 0)) return 0;
    }
  }

  /** A task ends: its locks go to those who wait for them, marked (exit_pi_state_list). */
  ownerExits(task: Task): void {
    for (const queue of [...(this.#held.get(task) ?? [])]) this.#pass(queue, FUTEX_OWNER_DIED);
  }

  /** The last waiter of `queue` has gone. */
  abandoned(queue: FutexQueue): void {
    this.#setOwner(queue, null);
  }

  /** The first waiter becomes the owner. */
  #pass(queue: FutexQueue, mark: number): void {
    const [next] = queue.waiters;
    const { task, lockAddr } = next!;
    this.#setOwner(queue, task);
    const value = loadUser32(task.mm, lockAddr!);
    // The word cannot be written any more (unmapped): the waiter finds out by itself.
    if (value >= 0) {
      const owned = (FUTEX_WAITERS | task.tid | mark | (value & FUTEX_OWNER_DIED)) >>> 0;
      compareExchangeUser32(task.mm, lockAddr!, value, owned);
    }
    this.#table.release(next!);
  }

  #setOwner(queue: FutexQueue, owner: Task | null): void {
    if (queue.owner === owner) return;
    if (queue.owner !== null) {
      const locks = this.#held.get(queue.owner)!;
      locks.delete(queue);
      if (locks.size === 0) this.#held.delete(queue.owner);
    }
    queue.owner = owner;
    if (owner === null) return;
    let locks = this.#held.get(owner);
    if (locks === undefined) this.#held.set(owner, (locks = new Set()));
    locks.add(queue);
  }
}

/** Replaces `old` by `value`: false if the word holds something else by now. */
const exchange = (mm: Mm, addr: number, old: number, value: number): boolean =>
  compareExchangeUser32(mm, addr, old, value >>> 0) === old;
