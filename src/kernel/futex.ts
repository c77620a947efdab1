// Futexes: words in user memory on which threads wait (kernel/futex). One FutexTable per kernel; the futex calls, robust lists and thread exit use
// it. A word is known by the page object it lies in, so that processes — in mshare windows at other addresses too — meet at the same queue.
import { EAGAIN, EFAULT, EINVAL, ENOSYS, ERESTARTSYS, ETIMEDOUT } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import type { Mm } from "../mm/mm.ts";
import { compareExchangeUser32, futexKey, loadUser32, putUser32 } from "../mm/usercopy.ts";
import { PiLocks } from "./futex-pi.ts";
import { FUTEX_BITSET_MATCH_ANY, type FutexKey, FutexQueue, FutexWaiter, type FutexWord } from "./futex-queue.ts";
import type { Task } from "./task.ts";
import { Wait } from "./wait.ts";

export class FutexTable {
  /** By object, then by offset; queues exist while somebody is on them. */
  readonly #queues = new Map<object, Map<number, FutexQueue>>();
  readonly locks = new PiLocks(this);

  /** The identity of a word; -EINVAL if it is not aligned, -EFAULT if it is not there (or cannot be written, for `write`). */
  key(mm: Mm, word: FutexWord, access: "read" | "write" = "read"): FutexKey | number {
    const { addr, shared } = word;
    if (addr % 4 !== 0) return -EINVAL;
    if (addr > TASK_SIZE - 4) return -EFAULT;
    const key = futexKey(mm, addr, { shared, write: access === "write" });
    // Private memory: a call that says "private" and one that does not do not meet (FUT_OFF_MMSHARED).
    return typeof key !== "number" && shared && key.object === mm ? { object: mm, offset: key.offset + 2 } : key;
  }

  /** The queue of a key, if somebody waits there. */
  find(key: FutexKey): FutexQueue | undefined {
    return this.#queues.get(key.object)?.get(key.offset);
  }
  /** Puts `waiter` on the queue of `key`. */
  enqueue(key: FutexKey, waiter: FutexWaiter): FutexQueue {
    let byOffset = this.#queues.get(key.object);
    if (byOffset === undefined) this.#queues.set(key.object, (byOffset = new Map()));
    let queue = byOffset.get(key.offset);
    if (queue === undefined) byOffset.set(key.offset, (queue = new FutexQueue(key)));
    queue.add(waiter);
    return queue;
  }
  /** Takes `waiter` off its queue, if it is on one. */
  dequeue(waiter: FutexWaiter): void {
    const { queue } = waiter;
    if (queue === null) return;
    waiter.queue = null;
    queue.waiters.splice(queue.waiters.indexOf(waiter), 1);
    if (queue.waiters.length > 0) return;
    this.locks.abandoned(queue);
    const { object, offset } = queue.key;
    const byOffset = this.#queues.get(object)!;
    byOffset.delete(offset);
    if (byOffset.size === 0) this.#queues.delete(object);
  }
  /** Takes `waiter` off its queue because of a wake and lets its task run. */
  release(waiter: FutexWaiter): void {
    this.dequeue(waiter);
    waiter.woken = true;
    waiter.wait?.end("woken");
  }

  /**
   * FUTEX_WAIT: sleeps while the word is `expected`. 0 when woken, -EAGAIN if the word is something else, -ETIMEDOUT, -ERESTARTSYS on a
   * signal (the caller makes it restart with the same deadline), -EINVAL, -EFAULT. `deadline` in ns on CLOCK_MONOTONIC.
   */
  wait(
    task: Task,
    word: FutexWord,
    expected: number,
    options: { bitset: number; deadline: number | undefined },
  ): number | Generator<Wait, number> {
    if (options.bitset === 0) return -EINVAL;
    const key = this.key(task.mm, word);
    if (typeof key === "number") return key;
    const value = loadUser32(task.mm, word.addr);
    if (value < 0) return value;
    if (value !== expected) return -EAGAIN;
    return this.#sleep(task, key, options.bitset, options.deadline);
  }
  *#sleep(task: Task, key: FutexKey, bitset: number, deadline: number | undefined): Generator<Wait, number> {
    if (task.signalPending()) return -ERESTARTSYS;
    const waiter = new FutexWaiter(task, bitset);
    this.enqueue(key, waiter);
    waiter.wait = new Wait(task, [], { deadline });
    yield waiter.wait;
    if (waiter.woken) return 0;
    this.dequeue(waiter);
    return waiter.wait.reason === "timeout" ? -ETIMEDOUT : -ERESTARTSYS;
  }

  /**
   * futex_waitv: sleeps until one of several words is woken: its index. -EAGAIN if one of them is not what is expected; else as wait().
   */
  waitMultiple(
    task: Task,
    words: readonly (FutexWord & { expected: number })[],
    deadline: number | undefined,
  ): number | Generator<Wait, number> {
    const keys: FutexKey[] = [];
    for (const word of words) {
      const key = this.key(task.mm, word);
      if (typeof key === "number") return key;
      keys.push(key);
    }
    for (const word of words) {
      const value = loadUser32(task.mm, word.addr);
      if (value < 0) return value;
      if (value !== word.expected) return -EAGAIN;
    }
    return this.#sleepMultiple(task, keys, deadline);
  }
  *#sleepMultiple(task: Task, keys: readonly FutexKey[], deadline: number | undefined): Generator<Wait, number> {
    if (task.signalPending()) return -ERESTARTSYS;
    const wait = new Wait(task, [], { deadline });
    const waiters = keys.map((key) => {
      const waiter = new FutexWaiter(task, FUTEX_BITSET_MATCH_ANY);
      this.enqueue(key, waiter);
      waiter.wait = wait;
      return waiter;
    });
    yield wait;
    let woken = -1;
    waiters.forEach((waiter, i) => {
      if (waiter.woken) woken = i;
      else this.dequeue(waiter);
    });
    if (woken >= 0) return woken;
    return wait.reason === "timeout" ? -ETIMEDOUT : -ERESTARTSYS;
  }

  /** FUTEX_WAKE: wakes up to `count` waiters (at least one) whose bitset meets `bitset`. How many, or -errno. */
  wake(mm: Mm, word: FutexWord, count: number, bitset = FUTEX_BITSET_MATCH_ANY): number {
    if (bitset === 0) return -EINVAL;
    const key = this.key(mm, word);
    return typeof key === "number" ? key : this.wakeKey(key, count, bitset);
  }
  /** The same by key. */
  wakeKey(key: FutexKey, count: number, bitset = FUTEX_BITSET_MATCH_ANY): number {
    let woken = 0;
    for (const waiter of [...(this.find(key)?.waiters ?? [])]) {
      if (waiter.pi) return -EINVAL;
      if ((waiter.bitset & bitset) === 0) continue;
      this.release(waiter);
      if (++woken >= count) break;
    }
    return woken;
  }

  /**
   * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE: wakes up to `wake` waiters of `from` and moves up to `move` others to `to`, if the word at `from` is
   * `expected` (undefined: whatever it is). Woken and moved together, or -errno.
   */
  requeue(
    mm: Mm,
    from: FutexWord,
    to: FutexWord,
    counts: { wake: number; move: number },
    expected: number | undefined,
  ): number {
    if (counts.wake < 0 || counts.move < 0) return -EINVAL;
    const source = this.key(mm, from);
    if (typeof source === "number") return source;
    const target = this.key(mm, to);
    if (typeof target === "number") return target;
    if (expected !== undefined) {
      const value = loadUser32(mm, from.addr);
      if (value < 0) return value;
      if (value !== expected) return -EAGAIN;
    }
    let done = 0;
    for (const waiter of [...(this.find(source)?.waiters ?? [])]) {
      if (done - counts.wake >= counts.move) break;
      if (waiter.pi) return -EINVAL;
      if (++done <= counts.wake) {
        this.release(waiter);
      } else {
        this.dequeue(waiter);
        this.enqueue(target, waiter);
      }
    }
    return done;
  }

  /**
   * FUTEX_WAKE_OP: changes the word at `second` as `operation` says, wakes `counts.first` waiters of `first`, and `counts.second` of `second` if
   * its old value compares as asked.
   */
  wakeOp(
    mm: Mm,
    first: FutexWord,
    second: FutexWord,
    counts: { first: number; second: number },
    operation: number,
  ): number {
    const key1 = this.key(mm, first);
    if (typeof key1 === "number") return key1;
    const key2 = this.key(mm, second, "write");
    if (typeof key2 === "number") return key2;
    const also = atomicOp(mm, second.addr, operation);
    if (typeof also === "number") return also;
    const woken = this.wakeKey(key1, counts.first);
    if (woken < 0 || !also) return woken;
    const more = this.wakeKey(key2, counts.second);
    return more < 0 ? more : woken + more;
  }

  /** A thread that was cloned with CLONE_CHILD_CLEARTID ends: 0 into the word, one waiter woken (pthread_join). */
  clearTid(task: Task, addr: number): void {
    putUser32(task.mm, addr, 0);
    this.wake(task.mm, { addr, shared: true }, 1);
  }
}

/** futex_atomic_op_inuser: performs the operation on the word; whether the old value satisfies the comparison, or -errno. */
function atomicOp(mm: Mm, addr: number, encoded: number): boolean | number {
  const op = (encoded >>> 28) & 7;
  const comparison = (encoded >>> 24) & 15;
  let operand = (encoded << 8) >> 20;
  const compared = (encoded << 20) >> 20;
  if (((encoded >>> 28) & 8) !== 0) operand = 1 << (operand & 31);
  if (op > 4) return -ENOSYS;
  let old: number;
  do {
    old = loadUser32(mm, addr);
    if (old < 0) return old;
    const value =
      op === 0
        ? operand
        : op === 1
          ? old + operand
          : op === 2
            ? old | operand
            : op === 3
              ? old & ~operand
              : old ^ operand;
    const seen = compareExchangeUser32(mm, addr, old, value >>> 0);
    if (seen < 0) return seen;
    if (seen === old) break;
  } while (true);
  const signed = old | 0;
  switch (comparison) {
    case 0:
      return signed === compared;
    case 1:
      return signed !== compared;
    case 2:
      return signed < compared;
    case 3:
      return signed >= compared;
    case 4:
      return signed <= compared;
    case 5:
      return signed > compared;
    default:
      return -ENOSYS;
  }
}
