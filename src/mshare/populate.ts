// MADV_POPULATE_READ and MADV_POPULATE_WRITE on a window: faults pages in one by one, as the process's own accesses would. Owns nothing.
import { EFAULT, EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { SEGV_MAPERR, SIGBUS } from "../mm/constants.ts";
import { permits, presentLeaf } from "../mm/page-table.ts";
import type { Mm } from "../mm/mm.ts";
import { allowsPopulate } from "../mm/populate.ts";
import type { MshareWindow } from "./window.ts";

/**
 * Makes pages [start, end) of a window present and reachable by its process. 0, -ENOMEM (a hole of the region, or no memory), -EINVAL (not permitted),
 * -EFAULT (beyond a file's end).
 */
export function populateWindow(window: MshareWindow, start: number, end: number, access: number): number {
  const { host, mm, hostStart, slotStart } = window;
  const shift = slotStart - hostStart;
  for (let va = start; va < end;) {
    const hostVma = host.vmas.lookup(va - shift);
    if (hostVma === null) return -ENOMEM;
    if (!allowsPopulate(hostVma, access)) return -EINVAL;
    const stop = Math.min(end, hostVma.end + shift);
    for (; va < stop; va += PAGE_SIZE) {
      const error = populatePage(mm, va, access);
      if (error !== 0) return error;
    }
  }
  return 0;
}

function populatePage(mm: Mm, va: number, access: number): number {
  if (permits(presentLeaf(mm, va), access)) return 0;
  const result = mm.fault(va, access);
  if (result.kind === "oom") return -ENOMEM;
  if (result.kind !== "signal") return 0;
  if (result.signo === SIGBUS) return -EFAULT;
  return result.code === SEGV_MAPERR ? -ENOMEM : -EINVAL;
}
