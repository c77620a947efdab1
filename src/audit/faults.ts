// Minor faults between two audits, and how many of them shared page tables would have spared.
//
// /proc counts a process's faults but not where they were. They are laid to where its resident memory grew in the same time; of what grew in
// shareable objects, the part that was new to the host had to be faulted in by somebody, the rest had been mapped by another process before.
import { SHAREABLE } from "./collect.ts";
import type { AuditResult, Faults } from "./result.ts";

/** Resident bytes, each page once, of the objects that several processes share. */
function sharedOnce(result: AuditResult): number {
  let sum = 0;
  for (const row of result.objects)
    if (row.kind !== "unattributed" && SHAREABLE.has(row.kind) && row.sharers > 1) sum += row.resident;
  return sum;
}

/** Faults in the `seconds` (> 0) between two audits of the same host. Processes that began since count from their beginning. */
export function faultsBetween(before: AuditResult, after: AuditResult, seconds: number): Faults {
  const old = new Map(before.processes.map((process) => [process.pid, process]));
  let faults = 0;
  let inShared = 0;
  let grownShared = 0;
  for (const process of after.processes) {
    const known = old.get(process.pid);
    // A number that was given to another process in between starts from nothing as well.
    const was =
      known !== undefined && known.minorFaults <= process.minorFaults
        ? known
        : { minorFaults: 0, resident: 0, shareable: 0 };
    const count = process.minorFaults - was.minorFaults;
    const grown = Math.max(0, process.resident - was.resident);
    const shared = Math.min(grown, Math.max(0, process.shareable - was.shareable));
    faults += count;
    grownShared += shared;
    if (grown > 0) inShared += (count * shared) / grown;
  }
  const newToHost = Math.max(0, sharedOnce(after) - sharedOnce(before));
  const repeated = grownShared > 0 ? Math.max(0, 1 - newToHost / grownShared) : 0;
  return { seconds, minorPerSecond: faults / seconds, sparedPerSecond: (inShared * repeated) / seconds };
}
