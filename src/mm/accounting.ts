// What VMAs count for (mm/mmap.c, mm/util.c): VmSize, VmData, VmStk, VmExe and the limits on them. Pure bookkeeping on an Mm.
import { PAGE_SIZE } from "../base/numbers.ts";
import type { Mm } from "./mm.ts";
import { VM_EXEC, VM_GROWSDOWN, VM_LOCKED, VM_NORESERVE, VM_SHARED, VM_WRITE } from "./vma.ts";

/** vm_stat_account: `pages` (may be negative) of a VMA with these flags come or go. */
export function accountVm(mm: Mm, flags: number, pages: number): void {
  mm.totalVm += pages;
  // is_exec_mapping, is_stack_mapping, is_data_mapping.
  if ((flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) === VM_EXEC) mm.execVm += pages;
  else if ((flags & VM_GROWSDOWN) !== 0) mm.stackVm += pages;
  else if (isData(flags)) mm.dataVm += pages;
}

const isData = (flags: number): boolean => (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;

/** may_expand_vm: RLIMIT_AS and RLIMIT_DATA allow `pages` more. */
export function mayExpandVm(mm: Mm, flags: number, pages: number): boolean {
  if (mm.totalVm + pages > Math.floor(mm.limits.as / PAGE_SIZE)) return false;
  return !isData(flags) || mm.dataVm + pages <= Math.floor(mm.limits.data / PAGE_SIZE);
}

/** can_do_mlock: the caller may lock anything at all. */
export function canDoMlock(mm: Mm): boolean {
  return mm.limits.memlock !== 0 || mm.capabilities.ipcLock;
}

/** How many pages RLIMIT_MEMLOCK lets the address space itself lock. */
export const lockLimit = (mm: Mm): number => Math.floor(mm.limits.memlock / PAGE_SIZE) - mm.lockedElsewhere();

/** mlock_future_ok: RLIMIT_MEMLOCK allows `bytes` more if the flags say that they will be locked. */
export function mlockFutureOk(mm: Mm, flags: number, bytes: number): boolean {
  if ((flags & VM_LOCKED) === 0 || mm.capabilities.ipcLock) return true;
  return bytes / PAGE_SIZE + mm.lockedVm <= lockLimit(mm);
}

/** accountable_mapping: private writable memory is committed. */
export function isAccountable(flags: number): boolean {
  return (flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) === VM_WRITE;
}
