// A host that is made up: its clock goes by how often it is asked, its randomness comes from a seed, its input is a script. For tests and for
// runs with a seed: the same seed and script give the same run, to the byte.
import type { HostInput, HostPorts } from "../kernel/ports.ts";
import { SeededRandom } from "../kernel/random.ts";
import type { Host } from "./host.ts";
import { FunctionOutput } from "./streams.ts";

export interface SimulatedHostOptions {
  seed: number;
  /**
   * What comes in, piece by piece: each when the guest has nothing else to do. So a script can be a conversation. At its end the input ends
   * (a terminal hangs up).
   */
  stdin?: readonly Uint8Array[] | undefined;
  /** Standard input and output are a terminal of this size. */
  terminal?: { columns: number; rows: number } | undefined;
  onStdout: (bytes: Uint8Array) => void;
  onStderr: (bytes: Uint8Array) => void;
  log: (line: string) => void;
}

/** Nanoseconds that pass each time somebody looks at the clock. */
const TICK = 1000;
/** The epoch of simulated hosts: 2026-01-01 00:00:00 UTC. */
const EPOCH = 1_767_225_600;

class ScriptedInput implements HostInput {
  onReady: (() => void) | null = null;
  readonly terminal: { columns: number; rows: number } | null;
  readonly #script: Uint8Array[];
  #now: Uint8Array = new Uint8Array(0);
  #ended = false;

  constructor(script: readonly Uint8Array[], terminal: { columns: number; rows: number } | null) {
    this.#script = [...script];
    this.terminal = terminal;
  }
  get available(): number {
    return this.#ended ? Math.max(1, this.#now.length) : this.#now.length;
  }
  read(length: number): Uint8Array | "eof" | undefined {
    if (this.#now.length === 0) return this.#ended ? "eof" : undefined;
    const bytes = this.#now.subarray(0, length);
    this.#now = this.#now.subarray(bytes.length);
    return bytes;
  }
  /** The next piece arrives, or the end. False if that has been. */
  advance(): boolean {
    if (this.#ended) return false;
    if (this.#now.length > 0) return true;
    const next = this.#script.shift();
    if (next === undefined) this.#ended = true;
    else this.#now = next;
    this.onReady?.();
    return true;
  }
}

export class SimulatedHost implements Host {
  readonly ports: HostPorts;
  onSignal: ((signo: number) => void) | null = null;
  readonly #input: ScriptedInput;
  #now = 0;

  constructor(options: SimulatedHostOptions) {
    const random = new SeededRandom(options.seed);
    const output = (take: (bytes: Uint8Array) => void): HostPorts["stdout"] => {
      const terminal = options.terminal ?? null;
      const to = new FunctionOutput(take);
      return { terminal, write: (bytes) => to.write(bytes) };
    };
    this.#input = new ScriptedInput(options.stdin ?? [], options.terminal ?? null);
    this.ports = {
      monotonic: () => (this.#now += TICK),
      realtime: () => ({ sec: EPOCH + Math.floor(this.#now / 1e9), nsec: this.#now % 1e9 }),
      random: (bytes) => random.fill(bytes),
      stdin: this.#input,
      stdout: output(options.onStdout),
      stderr: output(options.onStderr),
      onResize: null,
      log: options.log,
    };
  }

  async breathe(): Promise<void> {}

  async idle(ns: number): Promise<"waited" | "never"> {
    if (this.#input.advance()) return "waited";
    if (ns === Infinity) return "never";
    this.#now += ns;
    return "waited";
  }
  begin(): void {}
  end(): void {}
}
