// V8's flags that the machine profits from, where this process runs on Node: each only for the releases in which it was measured; and V8's threads.
import { readdirSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { setFlagsFromString } from "node:v8";
import { isRelaxedMultiplyAddFused } from "../wasm/relaxed.ts";

/** Releases of V8 that have relaxed SIMD behind a flag; later ones have it without. */
const RELEASES_WITH_FLAG = /^(10|11)\./;

/** Lets WebAssembly use the processor's fused multiply-add, which the JIT then does. Measured: n-body 3.6 times as fast. */
export function allowRelaxedMultiplyAdd(): void {
  if (!RELEASES_WITH_FLAG.test(process.versions.v8) || isRelaxedMultiplyAddFused()) return;
  setFlagsFromString("--experimental-wasm-relaxed-simd");
}

/** Releases that know branch hints behind a flag; and those whose budget is measured. */
const RELEASES_WITH_HINTS = /^11\./;
const RELEASES_WITH_BUDGET = /^11\./;

/** Lets V8 hear which branches of WebAssembly are seldom taken, where that is behind a flag. Measured: see docs/speed.md. */
export function allowBranchHints(): void {
  if (RELEASES_WITH_HINTS.test(process.versions.v8)) setFlagsFromString("--experimental-wasm-branch-hinting");
}

/** What V8 lets a WebAssembly function do before it optimizes it, about in bytes executed: by default, and at most. */
const BUDGET = 1_800_000;
const LONGEST_BUDGET = 2 ** 31 - 1;

/**
 * Makes something; V8 optimizes the WebAssembly that is compiled meanwhile only after it has run for a millisecond or two. For the interpreter:
 * each turn of its loop counts as all of it, so that V8 would begin at once, and a short program's end would wait 0.1 s for the optimizer.
 */
export function optimizedLate<T>(make: () => T): T {
  if (!RELEASES_WITH_BUDGET.test(process.versions.v8)) return make();
  setFlagsFromString(`--wasm-tiering-budget=${LONGEST_BUDGET}`);
  try {
    return make();
  } finally {
    setFlagsFromString(`--wasm-tiering-budget=${BUDGET}`);
  }
}

/** The nice value of threads that give way. */
const NICE = 10;

/**
 * Makes the threads that this process has now, V8's own, give way to the main thread, which runs guests: V8 optimizes code in four at once, and on
 * two processors they took 20 to 40 % of the main thread's time from it. For programs of ours, before anything else starts threads: an application
 * that uses the library has threads of its own. Measured on two processors, by the clock: perl 1.2 to 1.3 times as fast. Linux only.
 */
export function optimizeInBackground(): void {
  if (process.platform !== "linux") return;
  for (const name of readdirSync("/proc/self/task")) {
    const thread = Number(name);
    // One that has ended meanwhile needs no priority.
    try {
      if (thread !== process.pid && getPriority(thread) < NICE) setPriority(thread, NICE);
    } catch {}
  }
}
