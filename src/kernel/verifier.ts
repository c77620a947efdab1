// When memory is recounted (MemoryManager.verify): after every call and fault in small machines, every thousandth in large ones, at each process's
// exit (of crowds, not at each one's: a recount looks at all of them) and at the end of a run. trap.ts ticks it; it is null in kernels that do not verify.
import { PAGE_SIZE } from "../base/numbers.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";

/** Up to this much RAM every call and fault is followed by a recount. */
const SMALL = 32 * 2 ** 20;
const LARGE_INTERVAL = 1000;
/** Address spaces from which on exits are checked like calls. */
const CROWD = 64;

export class Verifier {
  readonly #memory: MemoryManager;
  readonly #interval: number;
  #left: number;
  /** Recounts so far. */
  checks = 0;

  constructor(memory: MemoryManager) {
    this.#memory = memory;
    this.#interval = memory.ram.frameCount * PAGE_SIZE <= SMALL ? 1 : LARGE_INTERVAL;
    this.#left = this.#interval;
  }

  /** A call or fault has been dealt with. */
  tick(): void {
    if (--this.#left > 0) return;
    this.#left = this.#interval;
    this.check();
  }

  /** A process has ended. */
  exited(): void {
    if (this.#memory.mms.size < CROWD) this.check();
    else this.tick();
  }

  /** Recounts now; throws KernelBug with what is wrong. */
  check(): void {
    this.checks++;
    this.#memory.verify();
  }
}
