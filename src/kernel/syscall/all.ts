// The system-call table of one kernel: the entries of all family files, joined. trap.ts dispatches through `handlers`; strace, /proc and the docs read
// `entries`.
import { ENOSYS } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import { dirCalls } from "./dir.ts";
import { fdCalls } from "./fd.ts";
import { fileCalls } from "./file.ts";
import { futexCalls } from "./futex.ts";
import { identityCalls } from "./identity.ts";
import { limitCalls } from "./limits.ts";
import { miscCalls } from "./misc.ts";
import { mmCalls } from "./mm.ts";
import { mountCalls } from "./mount.ts";
import { mshareCalls } from "./mshare.ts";
import { syscallName } from "./names.ts";
import { pidfdCalls } from "./pidfd.ts";
import { pollCalls } from "./poll.ts";
import { messageCalls } from "./msg.ts";
import { processCalls } from "./process.ts";
import { processVmCalls } from "./process-vm.ts";
import { ptraceCalls } from "./ptrace.ts";
import { schedCalls } from "./sched.ts";
import { semCalls } from "./sem.ts";
import { shmCalls } from "./shm.ts";
import { signalCalls } from "./signal.ts";
import { socketCalls } from "./socket.ts";
import { swapCalls } from "./swap.ts";
import type { Handler, SyscallEntry } from "./table.ts";
import { timeCalls } from "./time.ts";

/** All calls that there are. */
export const ALL_CALLS: readonly SyscallEntry[] = [
  ...fileCalls,
  ...dirCalls,
  ...fdCalls,
  ...mountCalls,
  ...mmCalls,
  ...mshareCalls,
  ...processCalls,
  ...processVmCalls,
  ...ptraceCalls,
  ...identityCalls,
  ...limitCalls,
  ...schedCalls,
  ...miscCalls,
  ...swapCalls,
  ...signalCalls,
  ...timeCalls,
  ...futexCalls,
  ...pollCalls,
  ...pidfdCalls,
  ...socketCalls,
  ...shmCalls,
  ...semCalls,
  ...messageCalls,
];

export class SyscallTable {
  /** In the order of their numbers. */
  readonly entries: readonly SyscallEntry[];
  /** By number. */
  readonly handlers: (Handler | undefined)[];
  readonly #kernel: Kernel;
  readonly #reported = new Set<number>();

  constructor(kernel: Kernel, entries: readonly SyscallEntry[]) {
    this.#kernel = kernel;
    this.entries = [...entries].sort((a, b) => a.nr - b.nr);
    this.handlers = new Array<Handler | undefined>(this.entries.at(-1)!.nr + 1).fill(undefined);
    for (const { nr, handler, name } of entries) {
      if (this.handlers[nr] !== undefined) throw new Error(`system call ${name} (${nr}) is in the table twice`);
      this.handlers[nr] = handler;
    }
  }

  /** The entry with this number. */
  entry(nr: number): SyscallEntry | undefined {
    return this.entries.find((entry) => entry.nr === nr);
  }

  /** A call that is not in the table: -ENOSYS, and once for each number that Linux has a call for a line on stderr. */
  unknown(_task: Task, nr: number): number {
    const name = syscallName(nr);
    if (name !== undefined && !this.#reported.has(nr)) {
      this.#reported.add(nr);
      this.#kernel.log(`mshare: system call ${name} (${nr}) is not implemented`);
    }
    return -ENOSYS;
  }
}
