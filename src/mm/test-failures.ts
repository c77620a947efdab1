// The sweep of allocation failures: a call is made again and again on the same prepared state, with the first allocation failing, then the second, … until it needs no more;
// and once more with all allocations failing from that one on. Each time: the errno is Linux's, memory adds up, the state is what it was where the call promises
// that, the call works when it is made again, and at the end no frame is missing. Used by the tests of mm and mshare; not for production code.
import { expect } from "vitest";
import { asPfn } from "../base/numbers.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { copyFromUser } from "./usercopy.ts";

/** What a call came to: a number as Linux returns it, or how a fault ended. */
export type Outcome = number | string;

export interface Sweep<S> {
  readonly memory: MemoryManager;
  /** A fresh state; allocations do not fail here. */
  readonly prepare: () => S;
  readonly call: (state: S) => Outcome;
  /** What the call may come to if an allocation fails. It may also succeed: then it was one that it can do without. */
  readonly failures: readonly Outcome[];
  /** What a failed call leaves as it was: text to compare. Null: it may have done a part. */
  readonly unchanged: ((state: S) => string) | null;
  /** What can be read at the end, which must not depend on whether there was a failure on the way. */
  readonly contents: (state: S) => string;
  /** Once more with memory that has no contiguous block left: neither 2 MiB nor a hugetlb page can be made. */
  readonly withoutBlocks?: boolean;
  /** Takes everything down. */
  readonly end: (state: S) => void;
}

/** Runs a sweep; how many allocations the call needed. Throws (expect) with the number of the allocation that failed. */
export function sweepFailures<S>(sweep: Sweep<S>): number {
  const { memory } = sweep;
  const free = memory.frames.free;
  const finish = (state: S): string => {
    const contents = sweep.contents(state);
    sweep.end(state);
    memory.verify();
    expect(memory.frames.free, "frames left").toBe(free);
    expect(memory.swap?.used ?? 0, "swap slots in use").toBe(0);
    expect(memory.committed(), "pages committed").toBe(0);
    return contents;
  };
  const usual = sweep.prepare();
  const result = sweep.call(usual);
  const contents = finish(usual);
  /** The call has come to `found`: that is one of its failures and has changed nothing, and it works when it is made again. */
  const checkFailed = (state: S, before: string | undefined, found: Outcome, what: string): void => {
    expect(sweep.failures, what).toContain(found);
    if (before !== undefined) expect(sweep.unchanged!(state), what).toBe(before);
    expect(sweep.call(state), `${what}, again`).toBe(result);
  };
  if (sweep.withoutBlocks === true) {
    const what = "no contiguous block";
    const state = sweep.prepare();
    const before = sweep.unchanged?.(state);
    const found = withoutBlocks(memory, () => sweep.call(state));
    memory.verify();
    if (found !== result) checkFailed(state, before, found, what);
    expect(finish(state), what).toBe(contents);
  }
  for (let at = 1; ; at++) {
    for (const kind of ["once", "from then on"] as const) {
      const state = sweep.prepare();
      const before = sweep.unchanged?.(state);
      let left = at;
      memory.failAllocation = (): boolean => --left === 0 || (left < 0 && kind === "from then on");
      let found: Outcome;
      try {
        found = sweep.call(state);
      } finally {
        memory.failAllocation = null;
      }
      const what = `allocation ${at} fails, ${kind}`;
      memory.verify();
      if (found !== result) {
        expect(left, what).toBeLessThanOrEqual(0);
        checkFailed(state, before, found, what);
      }
      expect(finish(state), what).toBe(contents);
      if (left > 0) return at - 1;
    }
  }
}

/** Calls while the frame allocator has single frames only. */
function withoutBlocks<T>({ frames }: MemoryManager, call: () => T): T {
  const { allocateBlock, allocateContiguous } = frames;
  frames.allocateBlock = frames.allocateContiguous = () => asPfn(0);
  try {
    return call();
  } finally {
    frames.allocateBlock = allocateBlock;
    frames.allocateContiguous = allocateContiguous;
  }
}

/** What an address space is made of, as text: layout, locks and accounts, but not which pages are present. */
export function layoutOf(mm: Mm): string {
  const vmas = [...mm.vmas].map((vma) => `${vma.start.toString(16)}-${vma.end.toString(16)}:${vma.flags}:${vma.pgoff}`);
  const { totalVm, dataVm, stackVm, lockedVm, defFlags, brk } = mm;
  const counts = { totalVm, dataVm, stackVm, lockedVm, defFlags, brk };
  return `${vmas.join(" ")} ${JSON.stringify(counts)}`;
}

/** The first byte of each page of [start, end), or "-": as the program sees them. */
export function bytesOf(mm: Mm, start: number, end: number): string {
  const seen: string[] = [];
  for (let va = start; va < end; va += 4096) {
    const bytes = copyFromUser(mm, va, 1);
    seen.push(typeof bytes === "number" ? "-" : `${bytes[0]}`);
  }
  return seen.join(" ");
}
