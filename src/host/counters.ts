// What a machine has done, in numbers: read off the kernel at one moment. report/ makes tables and JSON of them; ratios and tests use them too.
import type { Kernel } from "../kernel/kernel.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { KIND_TABLE } from "../mm/frame.ts";

/** All sizes in bytes; counts since the machine was made. */
export interface Counters {
  /** Page tables of all address spaces, regions included: now, and the most there ever were. */
  tableBytes: number;
  tableBytesPeak: number;
  /** Of regions alone, their most: the tables that exist once however many processes share them. */
  regionTableBytesPeak: number;
  /** Faults that made a page present, and those that had to wait for the host. */
  minorFaults: number;
  majorFaults: number;
  /** Faults that only linked a process's tables to a region's. */
  links: number;
  /** Of the minor faults, those taken in a region's address space. */
  regionFaults: number;
  copiedPages: number;
  /** Operations that took translations away; flushes sent for them; harts that held something; translations dropped. */
  shootdowns: number;
  flushes: number;
  hartsInterrupted: number;
  translationsDropped: number;
  /** Walks of page tables; and, where they are counted (else 0), pages that loads, stores and atomics went to, and those that needed no walk. */
  tlbMisses: number;
  memoryAccesses: number;
  tlbHits: number;
  /** Guest instructions of all harts, and those of them that compiled code ran. */
  instructions: number;
  compiledInstructions: number;
  /** Regions of guest code compiled, bytes of WebAssembly of those alive, milliseconds that it took. */
  compiledRegions: number;
  codeBytes: number;
  compileMs: number;
  contextSwitches: number;
  /** Processes and threads made. */
  forks: number;
  /** Guest RAM, and how much of it is in use now. */
  memoryBytes: number;
  usedBytes: number;
}

/** Reads the counters. */
export function readCounters(kernel: Kernel): Counters {
  kernel.mshare.noteTables();
  const { memory, hardware, scheduler } = kernel;
  const { stat, frames } = memory;
  const instructions = hardware.harts.reduce((sum, hart) => sum + hart.instretNow(), 0);
  return {
    tableBytes: memory.tableBytes,
    tableBytesPeak: frames.peak[KIND_TABLE] * PAGE_SIZE,
    regionTableBytesPeak: kernel.mshare.tableBytesPeak,
    minorFaults: stat.pgfault,
    majorFaults: stat.pgmajfault,
    links: stat.links,
    regionFaults: stat.host_faults,
    copiedPages: stat.cow_copies,
    shootdowns: stat.shootdowns,
    flushes: stat.tlb_flushes,
    hartsInterrupted: stat.tlb_harts,
    translationsDropped: stat.tlb_entries,
    tlbMisses: hardware.stats.tlbMisses,
    memoryAccesses: hardware.stats.memoryAccesses,
    tlbHits: hardware.stats.tlbHits,
    instructions,
    compiledInstructions: hardware.stats.compiled,
    compiledRegions: hardware.stats.regions,
    codeBytes: hardware.stats.codeBytes,
    compileMs: hardware.stats.compileMs,
    contextSwitches: scheduler.contextSwitches,
    forks: kernel.forks,
    memoryBytes: frames.total * PAGE_SIZE,
    usedBytes: (frames.total - frames.free) * PAGE_SIZE,
  };
}
