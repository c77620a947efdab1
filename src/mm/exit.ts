// The end of an address space (mm/mmap.c: exit_mmap): windows unlinked, pages and tables given back, VMAs dropped. Used by Mm.put only.
import { TASK_SIZE } from "../base/limits.ts";
import { PMD_SIZE, asPfn } from "../base/numbers.ts";
import { dispose } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { unmapVma } from "./munmap.ts";
import { freeTables } from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import { VM_ACCOUNT, type Vma } from "./vma.ts";

/** Nobody uses `mm` any more. Its translations are dropped before its frames are freed. */
export function exitMm(mm: Mm): void {
  const { memory } = mm;
  memory.khugepaged.exit(mm);
  mm.noteHighWater();
  const gather = memory.beginGather();
  const vmas = mm.vmas.all;
  for (let i = 0; i < vmas.length; i++) unmapVma(vmas[i], gather);
  const gone = mm.vmas.takeAll();
  for (const vma of gone) if ((vma.flags & VM_ACCOUNT) !== 0) memory.uncommit(vma.pages);
  freeAllTables(mm, gone, gather);
  gather.release(mm.root);
  gather.finishSpace(mm);
  memory.mms.delete(mm);
  mm.root = asPfn(0);
  for (const vma of gone) dispose(vma);
}

/**
 * The tables under all of its VMAs, from the lowest up, neighbours together: a table is let go with the last of those that it is for (free_pgtables).
 * Where other spaces may have linked to tables, some can be left without a VMA: there everything is looked at.
 */
function freeAllTables(mm: Mm, vmas: readonly Vma[], gather: Gather): void {
  if (mm.isLinkable) return freeTables(mm, 0, TASK_SIZE, 0, TASK_SIZE, gather);
  for (let i = 0; i < vmas.length; i++) {
    const { start } = vmas[i];
    while (i + 1 < vmas.length && vmas[i + 1].start - vmas[i].end < PMD_SIZE) i++;
    freeTables(mm, start, vmas[i].end, 0, vmas[i + 1]?.start ?? TASK_SIZE, gather);
  }
}
