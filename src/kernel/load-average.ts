// The load averages of /proc/loadavg and sysinfo: how many tasks are runnable, damped over 1, 5 and 15 minutes (kernel/sched/loadavg.c).
// Owned by the scheduler, which tells it what is runnable whenever it looks for work.

/** Nanoseconds between samples (LOAD_FREQ). */
const PERIOD = 5e9;
/** 1/exp(5 s / 1, 5, 15 min) in fixed point (EXP_1, EXP_5, EXP_15). */
const DECAY: readonly number[] = [1884, 2014, 2037];
const FIXED_1 = 2048;

export class LoadAverage {
  readonly #loads = [0, 0, 0];
  #next = PERIOD;
  /** Runnable when it was told last: so it was until now. */
  #active = 0;

  /** It is `now` (ns since boot) and `active` tasks are runnable from now on. */
  advance(now: number, active: number): void {
    if (now >= this.#next) this.#sample(now);
    this.#active = active;
  }

  #sample(now: number): void {
    const periods = Math.floor((now - this.#next) / PERIOD) + 1;
    this.#next += periods * PERIOD;
    for (let i = 0; i < 3; i++) {
      const decay = (DECAY[i] / FIXED_1) ** periods;
      this.#loads[i] = this.#loads[i] * decay + this.#active * (1 - decay);
    }
  }

  /** Over 1, 5 and 15 minutes. */
  averages(): readonly number[] {
    return this.#loads;
  }
}
