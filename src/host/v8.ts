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

/** Releases whose tiers, inlining and flag for branch hints were measured. */
const isMeasured = /^11\./.test(process.versions.v8);

/** Lets V8 hear which branches of WebAssembly are seldom taken, where that is behind a flag. Measured: see docs/speed.md. */
export function allowBranchHints(): void {
  if (isMeasured) setFlagsFromString("--experimental-wasm-branch-hinting");
}

/** Whether `compileUnoptimized` keeps V8 from optimizing here. */
export const canStayUnoptimized = isMeasured;

/** With these, functions are compiled at once, by V8's baseline compiler, and do not count how much they run. */
const BASELINE_ONLY = ["wasm-dynamic-tiering", "wasm-tier-up", "wasm-lazy-compilation"];

/**
 * Compiles a module that V8 never optimizes. For the interpreter: each turn of its loop counts as all of it, so that V8 would begin after a millisecond
 * or two, and a short program would share the processors with the optimizer for 80 ms, and at its end wait for it.
 */
export function compileUnoptimized(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  if (!canStayUnoptimized) return new WebAssembly.Module(bytes);
  for (const flag of BASELINE_ONLY) setFlagsFromString(`--no-${flag}`);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const flag of BASELINE_ONLY) setFlagsFromString(`--${flag}`);
  }
}

/** A custom section without content, named "o". */
const SECTION = [0, 2, 1, 0x6f];

/** Compiles a module as usual that compileUnoptimized may have compiled before. V8 has one code for modules of the same bytes: this gets a section more. */
export function compileOptimized(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  const longer = new Uint8Array(bytes.length + SECTION.length);
  longer.set(bytes);
  longer.set(SECTION, bytes.length);
  return new WebAssembly.Module(longer);
}

/**
 * Lets V8 put less of what a function calls into it, so that what is hot is optimized sooner. For programs of ours: what an application does for long
 * may be slower. Measured, by turns: the second and third thousand forks of a process take 0.8 to 0.9 of the time, getppid 1.03 times, others the same.
 */
export function inlineLess(): void {
  if (!isMeasured) return;
  setFlagsFromString("--max-inlined-bytecode-size=100");
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=300");
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
