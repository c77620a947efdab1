// Forgetting which pages have been used (fs/proc/task_mmu.c: clear_refs_write): the A bits of an address space. Of a window on a region the bits are those of
// the tables that all its sharers use: cleared for one, they are cleared for all. Asked by procfs.
import { PAGE_SIZE, PMD_SIZE } from "../base/numbers.ts";
import { PTE_A, ptePfn } from "../machine/pte.ts";
import type { Mm } from "./mm.ts";
import {
  PTE_PRESENT,
  indexOfWord,
  isHugeLeaf,
  leafIndex,
  nextMappedAddress,
  pmdWord,
  tableOfWord,
} from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import type { Vma } from "./vma.ts";

/** Which memory: all, private anonymous memory, mappings of objects. */
export type RefsOf = "all" | "anonymous" | "mapped";

/** Clears the A bits, and tells the TLBs so that the next use sets them again. */
export function clearReferenced(mm: Mm, which: RefsOf): void {
  const gather = mm.memory.beginGather();
  for (const vma of mm.vmas) {
    const mapped = vma.object !== null || vma.window !== null;
    if (which === "all" || (which === "mapped") === mapped) clearVma(vma, gather);
  }
  gather.finish();
}

function clearVma(vma: Vma, gather: Gather): void {
  const { mm, window, start, end } = vma;
  if (window === null || !window.shared) return clearRange(mm, start, end, gather);
  // The region's tables, reached or not, with those of its view, and what a private window has instead of them.
  const { host, hostStart } = window;
  clearRange(host, hostStart, hostStart + end - start, gather);
  for (const mirror of host.mirrors) {
    if (mirror.mm.viewOf === host) clearRange(mirror.mm, hostStart, hostStart + end - start, gather);
  }
  if (vma.isPrivate) clearRange(mm, start, end, gather);
}

function clearRange(mm: Mm, start: number, end: number, gather: Gather): void {
  const { ram } = mm.memory;
  const { u32 } = ram;
  for (let va = nextMappedAddress(ram, mm.root, start, end); va < end;) {
    const next = Math.min(end, va - (va % PMD_SIZE) + PMD_SIZE);
    const word = pmdWord(ram, mm.root, va);
    if (isHugeLeaf(u32[word])) {
      ram.writePte(tableOfWord(word), indexOfWord(word), u32[word] & ~PTE_A);
      gather.touch(mm, tableOfWord(word), indexOfWord(word));
    } else {
      const table = ptePfn(u32[word]);
      for (; va < next; va += PAGE_SIZE) {
        const pte = ram.readPte(table, leafIndex(va));
        if ((pte & PTE_PRESENT) === 0 || (pte & PTE_A) === 0) continue;
        ram.writePte(table, leafIndex(va), pte & ~PTE_A);
        gather.touch(mm, table, leafIndex(va));
      }
    }
    va = nextMappedAddress(ram, mm.root, next, end);
  }
}
