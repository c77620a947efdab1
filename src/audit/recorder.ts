// Audits a machine of ours while it runs, at the moment when its page tables take most: whenever a process is about to end and there are more tables than at
// the last audit, it is taken again. So the audit shows all sharers, though nobody is left when the program is over.
import type { Kernel } from "../kernel/kernel.ts";
import { auditHost } from "./audit.ts";
import { GuestProc } from "./guest-proc.ts";
import type { AuditResult } from "./result.ts";
import { snapshotHeader, snapshotObjects, snapshotProcess } from "./snapshot.ts";

/** How much more tables there must be for another audit: bounds their number. */
const GROWTH = 1.02;

export interface Recording {
  readonly result: AuditResult;
  /** The lines of its snapshot. */
  readonly lines: readonly string[];
  /** Page tables of all address spaces and regions at that moment, counted by the machine itself: bytes. */
  readonly tableBytes: number;
}

export class AuditRecorder {
  readonly #kernel: Kernel;
  readonly #source: GuestProc;
  #recording: Recording | undefined = undefined;

  /** Begins at once; at most one at a time on a kernel. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#source = new GuestProc(kernel);
    kernel.beforeExit = () => this.#consider();
  }

  /** The audit at the peak. Undefined if no process has ended yet. */
  get recording(): Recording | undefined {
    return this.#recording;
  }

  #consider(): void {
    const { memory } = this.#kernel;
    const { tableBytes } = memory;
    if (this.#recording !== undefined && tableBytes < this.#recording.tableBytes * GROWTH) return;
    const lines: string[] = [];
    const result = auditHost(this.#source, {
      onScan: (scan) => lines.push(snapshotProcess(scan)),
      onCollected: (collector) => lines.push(...snapshotObjects(collector.extents())),
      now: () => new Date(this.#kernel.clock.realtime().sec * 1000),
    });
    this.#recording = { result, lines: [snapshotHeader(result), ...lines], tableBytes };
  }
}
