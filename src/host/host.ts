// What a machine runs on: the kernel's ports, and how to let time pass between slices of kernel work. Implemented by node.ts and simulated.ts,
// used by drive.ts.
import type { HostPorts } from "../kernel/ports.ts";

export interface Host {
  readonly ports: HostPorts;
  /** Called with SIGINT, SIGTERM, SIGHUP … that the host's user sends; set by the machine. */
  onSignal: ((signo: number) => void) | null;
  /** Lets the host do its own work: input and signals arrive in here. */
  breathe(): Promise<void>;
  /**
   * The guest has nothing to do for `ns` nanoseconds (Infinity: until something comes from outside): waits so long or until input or a signal
   * arrives. "never": nothing can ever come, and `ns` is Infinity.
   */
  idle(ns: number): Promise<"waited" | "never">;
  /** A program is about to run: takes the terminal and the signals. */
  begin(): void;
  /** It is over: gives them back. */
  end(): void;
}
