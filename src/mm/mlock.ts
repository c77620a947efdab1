// mlock and its family (mm/mlock.c). Nothing is swapped here, so a lock is its accounting, the pages it brings in and the flags that keep VMAs
// apart.
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, pageDown, pageAlign64 } from "../base/numbers.ts";
import { canDoMlock, lockLimit } from "./accounting.ts";
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT } from "./constants.ts";
import { modifyVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { populate } from "./populate.ts";
import { VM_DROPPABLE, VM_LOCKED, VM_LOCKED_MASK, VM_LOCKONFAULT, VM_SPECIAL, type Vma } from "./vma.ts";

/**
 * mlock2(2). 0, -EINVAL (unknown flags), -EPERM (no right to lock anything), -ENOMEM (over the limit, a hole, beyond a file's end), -EAGAIN (no
 * memory for a page).
 */
export function mlock(mm: Mm, addr: number, length: number, flags: number): number {
  if ((flags & ~MLOCK_ONFAULT) !== 0) return -EINVAL;
  if (!canDoMlock(mm)) return -EPERM;
  const start = pageDown(addr);
  const size = pageAlign64(length + (addr - start));
  const limit = lockLimit(mm);
  let locked = size / PAGE_SIZE + mm.lockedVm;
  if (locked > limit && !mm.capabilities.ipcLock) locked -= lockedPages(mm, start, start + size);
  if (locked > limit && !mm.capabilities.ipcLock) return -ENOMEM;
  const vmFlags = VM_LOCKED | ((flags & MLOCK_ONFAULT) !== 0 ? VM_LOCKONFAULT : 0);
  const error = applyLock(mm, start, start + size, vmFlags);
  if (error < 0) return error;
  return posixError(populate(mm, start, size, { ignoreErrors: false }));
}

/** munlock(2). 0, -EINVAL, -ENOMEM (a hole). */
export function munlock(mm: Mm, addr: number, length: number): number {
  const start = pageDown(addr);
  return applyLock(mm, start, start + pageAlign64(length + (addr - start)), 0);
}

/** mlockall(2); "none" is munlockall. 0, -EINVAL, -EPERM, -ENOMEM (over the limit). */
export function mlockall(mm: Mm, flags: number | "none"): number {
  if (flags === "none") {
    lockAll(mm, 0);
    return 0;
  }
  if (flags === 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) !== 0 || flags === MCL_ONFAULT) return -EINVAL;
  if (!canDoMlock(mm)) return -EPERM;
  const limit = lockLimit(mm);
  if ((flags & MCL_CURRENT) !== 0 && mm.totalVm > limit && !mm.capabilities.ipcLock) return -ENOMEM;
  lockAll(mm, flags);
  if ((flags & MCL_CURRENT) !== 0) populate(mm, 0, TASK_SIZE, { ignoreErrors: true });
  return 0;
}

/** __mlock_posix_error_return */
function posixError(error: number): number {
  if (error === -EFAULT) return -ENOMEM;
  return error === -ENOMEM ? -EAGAIN : error;
}

function lockedPages(mm: Mm, start: number, end: number): number {
  let bytes = 0;
  for (let index = mm.vmas.indexAt(start); ; index++) {
    const vma = mm.vmas.at(index);
    if (vma === null || vma.start >= end) return bytes / PAGE_SIZE;
    if ((vma.flags & VM_LOCKED) !== 0) bytes += Math.min(end, vma.end) - Math.max(start, vma.start);
  }
}

/** apply_vma_lock_flags: every VMA of [start, end) gets the lock flags; stops at a hole. */
function applyLock(mm: Mm, start: number, end: number, lockFlags: number): number {
  if (end >= 2 ** 64) return -EINVAL;
  if (end === start) return 0;
  let vma = mm.vmas.lookup(start);
  if (vma === null) return -ENOMEM;
  let prev = start > vma.start ? vma : mm.vmas.prev(vma);
  for (let at = start; at < end; vma = mm.vmas.find(at)) {
    if (vma === null || vma.start > at) return -ENOMEM;
    const stop = Math.min(vma.end, end);
    if (vma.window !== null) {
      const error = lockWindow(mm, vma, at, stop, lockFlags);
      if (error < 0) return error;
      prev = vma;
    } else {
      const changed = lockVma(vma, prev, at, stop, lockFlags);
      if (typeof changed === "number") return changed;
      prev = changed;
    }
    at = Math.max(stop, prev.end);
  }
  return 0;
}

/** The lock falls on the region's pages, not on the VMA. */
function lockWindow(mm: Mm, vma: Vma, start: number, end: number, lockFlags: number): number {
  if (lockFlags === 0) return vma.window!.call(mm, vma, "munlock", start, end, 0);
  return vma.window!.call(mm, vma, "mlock", start, end, (lockFlags & VM_LOCKONFAULT) !== 0 ? MLOCK_ONFAULT : 0);
}

/** mlock_fixup on [start, end) of one VMA: the VMA that has it now, or -errno. */
function lockVma(vma: Vma, prev: Vma | null, start: number, end: number, lockFlags: number): Vma | number {
  const old = vma.flags;
  const flags = ((old & ~VM_LOCKED_MASK) | lockFlags) >>> 0;
  if (flags === old || (old & (VM_SPECIAL | VM_DROPPABLE)) !== 0) return vma;
  const changed = modifyVma(prev, vma, start, end, { flags });
  if (typeof changed === "number") return changed;
  const pages = (end - start) / PAGE_SIZE;
  if ((flags & VM_LOCKED) === 0) vma.mm.lockedVm -= pages;
  else if ((old & VM_LOCKED) === 0) vma.mm.lockedVm += pages;
  changed.flags = flags;
  return changed;
}

/** apply_mlockall_flags: `flags` is MCL_* bits, 0 unlocks all. Windows are passed over. */
function lockAll(mm: Mm, flags: number): void {
  const onFault = (flags & MCL_ONFAULT) !== 0 ? VM_LOCKONFAULT : 0;
  mm.defFlags &= ~VM_LOCKED_MASK;
  if ((flags & MCL_FUTURE) !== 0) {
    mm.defFlags |= VM_LOCKED | onFault;
    if ((flags & MCL_CURRENT) === 0) return;
  }
  const lockFlags = (flags & MCL_CURRENT) !== 0 ? VM_LOCKED | onFault : 0;
  let prev: Vma | null = null;
  let vma = mm.vmas.at(0);
  while (vma !== null) {
    const changed: Vma | number = vma.window !== null ? vma : lockVma(vma, prev, vma.start, vma.end, lockFlags);
    prev = typeof changed === "number" ? vma : changed;
    vma = mm.vmas.find(prev.end);
  }
}
