// Which interleavings of a program (test-schedule.ts) are run: every one up to a number of preemptions, or one from a list, or random ones with random programs. Depth-first
// by running again from the start; what has been verified once is not verified again. Not for production code.
import type { TlbControl } from "../mm/memory-manager.ts";
import type { TlbFlush } from "../mm/shootdown.ts";
import { HartMachine } from "./test-harts.ts";
import { type Program, ScheduledRun } from "./test-schedule.ts";

export interface ExploreOptions {
  readonly tlbFlush: TlbFlush;
  readonly share: boolean;
  /** Harts of the machine; 3 by default. */
  readonly harts?: number;
  readonly wrapTlb?: (real: TlbControl) => TlbControl;
  /** Recount memory after each step; without it only what programs see counts. Default: yes. */
  readonly verify?: boolean;
}

/** A step of an interleaving: "1", task 1 on its hart, or "1@2", on hart 2. */
export type Turn = string;

interface Choice {
  readonly enabled: readonly number[];
  readonly taken: number;
  /** Taking another than the task that ran before is a preemption if that one could go on. */
  readonly previous: number;
}

export class Explorer {
  readonly #options: ExploreOptions;
  #machine: HartMachine | null = null;
  #memoryBytes = 0;
  /** Interleavings run, and steps verified. */
  schedules = 0;
  steps = 0;

  constructor(options: ExploreOptions) {
    this.#options = options;
  }

  /** Every interleaving with at most so many preemptions. Throws at the first that fails. */
  every(program: Program, options: { preemptions: number }): void {
    let prefix: number[] = [];
    for (;;) {
      const choices = this.#runFrom(program, prefix, options.preemptions);
      const next = nextPrefix(choices, options.preemptions);
      if (next === null) return;
      prefix = next;
    }
  }

  /** The interleaving that a counterexample prints: "0 0 1 0@2". Tasks that are left over go on in order. */
  replay(program: Program, schedule: string): void {
    const turns = schedule.split(" ").filter((turn) => turn !== "");
    this.follow(program, turns);
  }

  /** As `replay`; turns of tasks that cannot go on are skipped. */
  follow(program: Program, turns: readonly Turn[]): void {
    this.#run(program, (run, log) => {
      const turn = (text: Turn): void => {
        const [task, hart] = text.split("@").map(Number);
        if (!run.enabled().includes(task)) return;
        this.#step(run, log, task, hart);
      };
      turns.forEach(turn);
      for (let enabled = run.enabled(); enabled.length > 0; enabled = run.enabled()) turn(`${enabled[0]}`);
    });
  }

  #runFrom(program: Program, prefix: readonly number[], preemptions: number): Choice[] {
    const choices: Choice[] = [];
    this.#run(program, (run, log) => {
      let previous = -1;
      for (let enabled = run.enabled(); enabled.length > 0; enabled = run.enabled()) {
        const at = choices.length;
        const taken = at < prefix.length ? prefix[at] : order(enabled, previous)[0];
        choices.push({ enabled, taken, previous });
        this.#step(run, log, taken, undefined, at >= prefix.length - 1);
        previous = taken;
      }
    });
    if (preemptionsOf(choices) > preemptions) throw new Error("explorer: too many preemptions");
    return choices;
  }

  #step(run: ScheduledRun, log: Turn[], task: number, hart?: number, verify = true): void {
    log.push(hart === undefined ? `${task}` : `${task}@${hart}`);
    // Harts only enter translations, which the next recount sees.
    if (run.step(task, hart) === "hart" || !verify || this.#options.verify === false) return;
    run.verify();
    this.steps++;
  }

  #run(program: Program, body: (run: ScheduledRun, log: Turn[]) => void): void {
    const log: Turn[] = [];
    this.schedules++;
    try {
      const memoryBytes = program.huge === true ? 6 * 2 ** 20 : 2 ** 20;
      if (this.#machine === null || this.#memoryBytes !== memoryBytes) this.#machine = this.#newMachine(memoryBytes);
      const run = new ScheduledRun(this.#machine, program, { share: this.#options.share });
      body(run, log);
      run.end();
    } catch (error) {
      // What is left in the machine belongs to the failed run.
      this.#machine = null;
      throw this.#failure(program, log, error as Error);
    }
  }

  #failure(program: Program, log: readonly Turn[], error: Error): Error {
    const { share, tlbFlush } = this.#options;
    const lines = [
      `${program.name} (share: ${share}, tlbFlush: ${tlbFlush}): ${error.message}`,
      `  setup:    ${program.setup.join(", ")}`,
      ...program.tasks.map((task, i) => `  task ${i}:   ${task}`),
      `  schedule: ${log.join(" ")}`,
      `  again:    replay(${JSON.stringify(program)}, "${log.join(" ")}")`,
    ];
    return new Error(lines.join("\n"), { cause: error });
  }

  #newMachine(memoryBytes: number): HartMachine {
    const { tlbFlush, harts = 3, wrapTlb } = this.#options;
    this.#memoryBytes = memoryBytes;
    return new HartMachine({ tlbFlush, harts, memoryBytes, ...(wrapTlb && { wrapTlb }) });
  }
}

/** The order in which alternatives are tried: whoever ran before goes on first. */
function order(enabled: readonly number[], previous: number): readonly number[] {
  return enabled.includes(previous) ? [previous, ...enabled.filter((task) => task !== previous)] : enabled;
}

const isPreemption = ({ enabled, previous, taken }: Choice): boolean =>
  taken !== previous && enabled.includes(previous);

const preemptionsOf = (choices: readonly Choice[]): number => choices.filter(isPreemption).length;

/** The choices up to the last one that has an alternative left, with that alternative; null if all have been tried. */
function nextPrefix(choices: readonly Choice[], preemptions: number): number[] | null {
  for (let at = choices.length - 1; at >= 0; at--) {
    const { enabled, previous, taken } = choices[at];
    const before = preemptionsOf(choices.slice(0, at));
    const alternatives = order(enabled, previous);
    for (const task of alternatives.slice(alternatives.indexOf(taken) + 1)) {
      if (before + (isPreemption({ enabled, previous, taken: task }) ? 1 : 0) > preemptions) continue;
      return [...choices.slice(0, at).map((choice) => choice.taken), task];
    }
  }
  return null;
}
