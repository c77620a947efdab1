// The end of an address space (mm/mmap.c: exit_mmap): windows unlinked, pages and tables given back, VMAs dropped. Used by Mm.put only.
import { TASK_SIZE } from "../base/limits.ts";
import { asPfn } from "../base/numbers.ts";
import { accountVm } from "./accounting.ts";
import { dispose } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { unmapVma } from "./munmap.ts";
import { freeTables } from "./page-table.ts";
import { VM_ACCOUNT, VM_LOCKED } from "./vma.ts";

/** Nobody uses `mm` any more. Its translations are dropped before its frames are freed. */
export function exitMm(mm: Mm): void {
  const { memory } = mm;
  mm.noteHighWater();
  const gather = memory.beginGather();
  const vmas = [...mm.vmas];
  for (const vma of vmas) unmapVma(vma, gather);
  for (const vma of vmas) {
    if ((vma.flags & VM_ACCOUNT) !== 0) memory.uncommit(vma.pages);
    if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm -= vma.pages;
    accountVm(mm, vma.flags, -vma.pages);
  }
  mm.vmas.removeRange(0, vmas.length);
  freeTables(mm, 0, TASK_SIZE, 0, TASK_SIZE, gather);
  gather.release(mm.root);
  gather.finishSpace(mm);
  memory.mms.delete(mm);
  mm.root = asPfn(0);
  for (const vma of vmas) dispose(vma);
}
