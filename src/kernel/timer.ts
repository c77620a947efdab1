// Timers: a heap of deadlines on CLOCK_MONOTONIC. Owned by the kernel; fired by the scheduler between slices.

/** A pending callback. */
export class Timer {
  /** Nanoseconds on CLOCK_MONOTONIC. */
  readonly deadline: number;
  /** Order among equal deadlines: first come, first fired. */
  readonly order: number;
  #callback: (() => void) | null;

  constructor(deadline: number, order: number, callback: () => void) {
    this.deadline = deadline;
    this.order = order;
    this.#callback = callback;
  }
  get active(): boolean {
    return this.#callback !== null;
  }
  /** The callback will not be called. */
  cancel(): void {
    this.#callback = null;
  }
  /** Called by TimerQueue: at most once. */
  fire(): void {
    const callback = this.#callback;
    this.#callback = null;
    callback?.();
  }
}

const before = (a: Timer, b: Timer): boolean =>
  a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);

/** A binary heap; cancelled timers are dropped when they come to the top, or when they are the majority. */
export class TimerQueue {
  #heap: Timer[] = [];
  #order = 0;
  #sweepAt = 64;

  /** Calls `callback` when `deadline` (ns, CLOCK_MONOTONIC) has passed: in the kernel's loop, never inside this call. */
  add(deadline: number, callback: () => void): Timer {
    const timer = new Timer(deadline, this.#order++, callback);
    if (this.#heap.length >= this.#sweepAt) this.#sweep();
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1);
    return timer;
  }

  /** The next deadline, or Infinity. */
  next(): number {
    while (this.#heap.length > 0 && !this.#heap[0]!.active) this.#pop();
    return this.#heap.length > 0 ? this.#heap[0]!.deadline : Infinity;
  }

  /** Fires all timers whose deadline is not after `now`. */
  run(now: number): void {
    while (this.next() <= now) this.#pop().fire();
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((timer) => timer.active);
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#down(i);
    this.#sweepAt = Math.max(64, 2 * this.#heap.length);
  }

  #pop(): Timer {
    const top = this.#heap[0]!;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#down(0);
    }
    return top;
  }

  #up(i: number): void {
    const heap = this.#heap;
    const timer = heap[i]!;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(timer, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = timer;
  }

  #down(i: number): void {
    const heap = this.#heap;
    const timer = heap[i]!;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, timer)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = timer;
  }
}
