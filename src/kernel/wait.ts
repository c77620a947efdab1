// Waiting: queues of tasks that wait for something, and the one generator by which a system call waits.
// Every kind of file, futexes, wait4, signals and timers own WaitQueues; only system-call handlers (running as generators) wait on them.
//
//   for (;;) {
//     const n = tryRead();
//     if (n !== -EAGAIN || nonblocking) return n;
//     if ((yield* wait(task, pipe.readers)) === "signal") return -ERESTARTSYS;
//   }
import type { Task, TaskState } from "./task.ts";
import type { Timer } from "./timer.ts";

/** Why a wait ended. */
export type WakeReason = "woken" | "timeout" | "signal";

export interface WaitOptions {
  /** Nanoseconds on CLOCK_MONOTONIC (Clock.monotonic()); undefined: no time limit. A deadline in the past times out at once. */
  deadline?: number | undefined;
  /** Only a fatal signal ends the wait (TASK_KILLABLE). */
  uninterruptible?: true;
}

/** Something on a queue: a waiting task, or a listener such as an epoll item. */
export interface QueueEntry {
  /** The queue was woken. True if this used up one of the wakeups that were asked for. */
  onWake(): boolean;
}

/** A list of those who want to know (wait_queue_head_t), woken in the order in which they came. */
export class WaitQueue {
  /** Made for the first one: every process and thread has several queues, and most are never waited on. */
  #entries: Set<QueueEntry> | null = null;

  /** Wakes up to `count` waiters (default: all). Listeners are always told and do not count. Returns how many were woken. */
  wake(count = Infinity): number {
    if (this.#entries === null || this.#entries.size === 0) return 0;
    let woken = 0;
    for (const entry of [...this.#entries]) {
      if (entry.onWake() && ++woken >= count) break;
    }
    return woken;
  }

  /** Somebody waits or listens. */
  get active(): boolean {
    return this.#entries !== null && this.#entries.size > 0;
  }

  add(entry: QueueEntry): void {
    (this.#entries ??= new Set()).add(entry);
  }
  remove(entry: QueueEntry): void {
    this.#entries?.delete(entry);
  }
}

/** One wait of one task: what a blocked handler yields. The scheduler resumes the handler when `reason` is set. */
export class Wait implements QueueEntry {
  readonly task: Task;
  readonly uninterruptible: boolean;
  /** The state of the task while it waits. */
  readonly state: TaskState;
  /** Undefined while waiting. */
  reason: WakeReason | undefined = undefined;
  readonly #queues: readonly WaitQueue[];
  #timer: Timer | null = null;

  constructor(task: Task, queues: readonly WaitQueue[], options: WaitOptions) {
    this.task = task;
    this.uninterruptible = options.uninterruptible === true;
    this.state = this.uninterruptible ? "D" : "S";
    this.#queues = queues;
    for (const queue of queues) queue.add(this);
    if (options.deadline !== undefined && options.deadline !== Infinity) {
      this.#timer = task.kernel.timers.add(options.deadline, () => this.end("timeout"));
    }
  }

  onWake(): boolean {
    return this.end("woken");
  }

  /** Ends the wait: the task becomes runnable. False if it had ended before. */
  end(reason: WakeReason): boolean {
    if (this.reason !== undefined) return false;
    this.reason = reason;
    for (const queue of this.#queues) queue.remove(this);
    this.#timer?.cancel();
    this.#timer = null;
    this.task.kernel.scheduler.wake(this.task);
    return true;
  }
}

/**
 * Waits until one of `queues` is woken, the deadline passes, or a signal comes. "signal" also if one is pending already (then nothing
 * was waited for). A wakeup is a hint: the caller looks again at what it waits for.
 */
export function* wait(
  task: Task,
  queues: WaitQueue | readonly WaitQueue[],
  options: WaitOptions = {},
): Generator<Wait, WakeReason> {
  if (options.uninterruptible ? task.fatalSignalPending() : task.signalPending()) return "signal";
  const waiting = new Wait(task, queues instanceof WaitQueue ? [queues] : queues, options);
  yield waiting;
  return waiting.reason!;
}
