// Bringing everything back from swap (try_to_unuse), for swapoff.
import { PAGE_SIZE, PMD_SIZE } from "../base/numbers.ts";
import { swapInPage } from "./fault.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { ShmemObject } from "./object.ts";
import { nextTableAddress, readLeaf } from "./page-table.ts";
import { isSwapPte } from "./swap.ts";

/** All pages come back into memory. False if there is no room: then some are back, the rest is where it was. */
export function swapOffAll(memory: MemoryManager): boolean {
  const { swap } = memory;
  if (swap === null) return true;
  // Rather say so than have somebody killed for it.
  memory.dropCaches();
  if (swap.used > memory.frames.free) return false;
  // While it goes on, nothing may be put there: reclaim works with what else there is.
  swap.closed = true;
  const complete =
    [...memory.objects].every((object) => !(object instanceof ShmemObject) || object.swapInAll()) &&
    [...memory.mms].every((mm) => mm.swapPages === 0 || swapInMm(mm));
  if (!complete) swap.closed = false;
  return complete;
}

function swapInMm(mm: Mm): boolean {
  const { ram } = mm.memory;
  for (const vma of mm.vmas) {
    for (let va = nextTableAddress(ram, mm.root, vma.start, vma.end); va < vma.end;) {
      const next = Math.min(va - (va % PMD_SIZE) + PMD_SIZE, vma.end);
      for (; va < next; va += PAGE_SIZE) {
        if (isSwapPte(readLeaf(ram, mm.root, va)) && !swapInPage(vma, va)) return false;
      }
      va = nextTableAddress(ram, mm.root, next, vma.end);
    }
  }
  return true;
}
