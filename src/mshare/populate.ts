// MADV_POPULATE_READ and MADV_POPULATE_WRITE on a window: faults pages in one by one, as the process's own accesses would. Owns nothing.
import { EFAULT, EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { SEGV_MAPERR, SIGBUS } from "../mm/constants.ts";
import { permits, presentLeaf } from "../mm/fault.ts";
import type { Mm } from "../mm/mm.ts";

/**
 * Makes pages [start, end) of a window present and reachable by `mm`. 0, -ENOMEM (a hole of the region, or no memory), -EINVAL (not permitted),
 * -EFAULT (beyond a file's end).
 */
export function populateWindow(mm: Mm, start: number, end: number, options: { write: boolean }): number {
  const access = options.write ? ACCESS_WRITE : ACCESS_READ;
  for (let va = start; va < end; va += PAGE_SIZE) {
    if (permits(presentLeaf(mm, va), access)) continue;
    const result = mm.fault(va, access);
    if (result.kind === "oom") return -ENOMEM;
    if (result.kind !== "signal") continue;
    if (result.signo === SIGBUS) return -EFAULT;
    return result.code === SEGV_MAPERR ? -ENOMEM : -EINVAL;
  }
  return 0;
}
