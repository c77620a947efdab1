// khugepaged: looks through address spaces for 2 MiB that small pages map and that may be one huge page, and collapses them (mm/khugepaged.c of 6.12:
// khugepaged_do_scan, khugepaged_scan_mm_slot). Owns its settings (/sys/kernel/mm/transparent_hugepage/khugepaged), the list of address spaces and the
// place where it stands. collapse.ts does the work on each 2 MiB.
//
// Here it is no thread. It has a `deadline`, and the scheduler calls `run` between turns when the system's clock has come to it, so that a run from a
// seed stays the same run; it takes no simulated time. The deadline is no reason to wake a machine that sleeps (a deferrable timer): what it slept through
// is made up for when it wakes, by one full scan at most. As long as no address space is registered there is nothing to do and nothing is done.
//
// A region's host mm is registered by its own VMAs and scanned like any other, though no task runs in it: its group (the owner's) pays. The processes'
// windows are no candidates. Where a window links a page table of the region, the 2 MiB stay small (collapse.ts).
import { PMD_SIZE } from "../base/numbers.ts";
import { type Collapse, type CollapseLimits, collapse } from "./collapse.ts";
import { BLOCK_FRAMES } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import type { Vma } from "./vma.ts";

/** Nanoseconds of a tick (CONFIG_HZ=250): sleeps are whole ticks. With scan_sleep_millisecs 0 Linux does not sleep at all; here one tick passes. */
const TICK = 4e6;

const sleepOf = (millisecs: number): number => Math.max(1, Math.ceil((millisecs * 1e6) / TICK)) * TICK;

export class Khugepaged implements CollapseLimits {
  readonly #memory: MemoryManager;
  /** Kept for those who read it: what is free is never compacted. */
  defrag = true;
  maxPtesNone = BLOCK_FRAMES - 1;
  maxPtesSwap = BLOCK_FRAMES / 8;
  maxPtesShared = BLOCK_FRAMES / 2;
  /** Pages for one scan; a VMA that is passed over counts as one. */
  pagesToScan = BLOCK_FRAMES * 8;
  #scanSleepMillisecs = 10_000;
  #allocSleepMillisecs = 60_000;
  pagesCollapsed = 0;
  fullScans = 0;

  /** When `run` wants to be called, in nanoseconds of CLOCK_MONOTONIC: 0 at once, Infinity not at all. */
  deadline = Infinity;
  /** The thread is there (start_stop_khugepaged). */
  #started: boolean;
  /** Registered address spaces in the order of their turns. One that has ended while it was its turn is still there until the next scan. */
  readonly #mms = new Set<Mm>();
  /** Goes through #mms once; the address space whose turn it is, null before the first; and the next address there. */
  #pass: Iterator<Mm, undefined> = this.#mms.values();
  #current: Mm | null = null;
  #address = 0;
  // Of the scan under way, which may be waiting for memory: pages so far, passes begun, whether it has waited before.
  #progress = 0;
  #passes = 0;
  #hasWaited = false;

  constructor(memory: MemoryManager) {
    this.#memory = memory;
    this.#started = memory.thp.pmdEnabled;
  }

  get scanSleepMillisecs(): number {
    return this.#scanSleepMillisecs;
  }
  set scanSleepMillisecs(value: number) {
    this.#scanSleepMillisecs = value;
    this.#wakeSleeping();
  }
  get allocSleepMillisecs(): number {
    return this.#allocSleepMillisecs;
  }
  set allocSleepMillisecs(value: number) {
    this.#allocSleepMillisecs = value;
    this.#wakeSleeping();
  }
  #wakeSleeping(): void {
    if (this.deadline !== Infinity) this.deadline = 0;
  }

  /** start_stop_khugepaged: `enabled` has been written. */
  startStop(): void {
    const wanted = this.#memory.thp.pmdEnabled;
    if (wanted === this.#started) return;
    this.#started = wanted;
    if (wanted) {
      this.deadline = this.#mms.size > 0 ? 0 : Infinity;
      return;
    }
    this.deadline = Infinity;
    if (this.#current !== null) this.#collect(this.#current);
    this.#current = null;
    this.#endScan();
  }

  /** khugepaged_enter_vma: `vma`, whose flags are or will be `vmFlags`, has come to be or has changed; if it may be collapsed, its mm is registered. */
  enterVma(vma: Vma, vmFlags = vma.flags): void {
    const { mm } = vma;
    if (mm.inKhugepaged || !this.#memory.thp.pmdEnabled) return;
    if (this.#memory.thp.allows(vma, "khugepaged", vmFlags)) this.enter(mm);
  }

  /** __khugepaged_enter */
  enter(mm: Mm): void {
    mm.inKhugepaged = true;
    const wasIdle = this.#mms.size === 0;
    this.#mms.add(mm);
    if (wasIdle && this.#started && this.deadline === Infinity) this.deadline = 0;
  }

  /** khugepaged_fork */
  fork(child: Mm, parent: Mm): void {
    if (parent.inKhugepaged) this.enter(child);
  }

  /** khugepaged_exit: `mm` is about to end. */
  exit(mm: Mm): void {
    if (mm.inKhugepaged && mm !== this.#current) this.#mms.delete(mm);
  }

  /** khugepaged_has_work */
  get #hasWork(): boolean {
    return this.#mms.size > 0 && this.#memory.thp.pmdEnabled;
  }

  /** It is `now` (ns since boot), and `deadline` has come: scans. The next deadline is later than `now`. */
  run(now: number): void {
    const { fullScans } = this;
    let due = this.deadline === 0 ? now : this.deadline;
    do due += this.#scan() === "no block" ? sleepOf(this.allocSleepMillisecs) : this.#sleep;
    while (due <= now && this.fullScans === fullScans);
    this.deadline = due > now ? due : now + this.#sleep;
  }

  /** khugepaged_wait_work: nanoseconds, Infinity if nothing is left to be scanned. */
  get #sleep(): number {
    return this.#hasWork ? sleepOf(this.scanSleepMillisecs) : Infinity;
  }

  /** khugepaged_do_scan. "no block": it goes on later, once. */
  #scan(): "done" | "no block" {
    for (;;) {
      if (this.#current === null) this.#passes++;
      if (!this.#hasWork || this.#passes >= 2) break;
      const result = this.#scanMm();
      if (this.#progress >= this.pagesToScan) break;
      if (result !== "no block") continue;
      if (this.#hasWaited) break;
      this.#hasWaited = true;
      return "no block";
    }
    this.#endScan();
    return "done";
  }

  #endScan(): void {
    this.#progress = 0;
    this.#passes = 0;
    this.#hasWaited = false;
  }

  /** khugepaged_scan_mm_slot: goes on in the address space whose turn it is, and passes the turn on at its end. What the last collapse came to. */
  #scanMm(): Collapse {
    if (this.#current === null) {
      this.#pass = this.#mms.values();
      this.#next();
    }
    const mm = this.#current!;
    this.#progress++;
    let last: Collapse = "failed";
    if (mm.users > 0 && !mm.thpDisabled) {
      for (let vma = mm.vmas.find(this.#address); vma !== null; vma = mm.vmas.find(vma.end)) {
        const result = this.#scanVma(vma);
        if (result === "through") continue;
        last = result;
        if (mm.users > 0) return last;
        break;
      }
    }
    this.#next();
    if (this.#current === null) this.fullScans++;
    this.#collect(mm);
    return last;
  }

  /** The next 2 MiB of a VMA, as many as may be. "through": there are no more; else what the last one came to, and the rest is for another time. */
  #scanVma(vma: Vma): Collapse | "through" {
    const end = vma.end - (vma.end % PMD_SIZE);
    if (!this.#memory.thp.allows(vma, "khugepaged") || this.#address > end) {
      this.#progress++;
      return "through";
    }
    this.#address = Math.max(this.#address, Math.ceil(vma.start / PMD_SIZE) * PMD_SIZE);
    while (this.#address < end) {
      const result = collapse(vma, this.#address, this);
      // A huge page of an object that is there already counts each time, as in Linux.
      if (result === "done" || (result === "mapped" && vma.object !== null)) this.pagesCollapsed++;
      this.#address += PMD_SIZE;
      this.#progress += BLOCK_FRAMES;
      if (result === "no block" || this.#progress >= this.pagesToScan || vma.mm.users === 0) return result;
    }
    return "through";
  }

  /** The turn goes to the next address space; null: all have had theirs. */
  #next(): void {
    this.#current = this.#pass.next().value ?? null;
    this.#address = 0;
  }

  /** collect_mm_slot: forgets an address space that has ended during its turn. */
  #collect(mm: Mm): void {
    if (mm.users === 0) this.#mms.delete(mm);
  }
}
