// brk(2): the heap between startBrk and brk (mm/mmap.c: sys_brk, do_brk_flags).
import { PAGE_SIZE, pageUp } from "../base/numbers.ts";
import { accountVm, mayExpandVm, mlockFutureOk } from "./accounting.ts";
import { linkVma, mergeNewRange } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { unmapRange } from "./munmap.ts";
import { populate } from "./populate.ts";
import {
  STACK_GUARD_GAP,
  VM_ACCOUNT,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
  Vma,
} from "./vma.ts";
import { MAX_MAP_COUNT } from "../base/limits.ts";

const DATA_FLAGS = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT;

/** Moves the break to `addr` if that is possible. Returns the break as it is then: no errno, as the system call. */
export function setBrk(mm: Mm, addr: number): number {
  if (addr < mm.startBrk) return mm.brk;
  // check_data_rlimit
  if (addr - mm.startBrk + (mm.endData - mm.startData) > mm.limits.data) return mm.brk;
  const newBrk = pageUp(addr);
  const oldBrk = pageUp(mm.brk);
  if (newBrk < oldBrk) {
    const heap = mm.vmas.find(newBrk);
    if (heap === null || heap.start >= oldBrk || unmapRange(mm, newBrk, oldBrk) < 0) return mm.brk;
  } else if (newBrk > oldBrk) {
    if (!expandBrk(mm, oldBrk, newBrk - oldBrk)) return mm.brk;
  }
  mm.brk = addr;
  if (newBrk > oldBrk && (mm.defFlags & VM_LOCKED) !== 0) populate(mm, oldBrk, newBrk - oldBrk, { ignoreErrors: true });
  return addr;
}

function expandBrk(mm: Mm, start: number, length: number): boolean {
  const end = start + length;
  if (mm.getUnmappedArea({ addr: start, length, fixed: true }) < 0) return false;
  const flags = DATA_FLAGS | mm.defFlags;
  const pages = length / PAGE_SIZE;
  if (!mlockFutureOk(mm, mm.defFlags, length)) return false;
  // A page and a stack's guard gap stay free above the heap; a window's slot stays its own.
  const above = mm.vmas.intersection(start, end + PAGE_SIZE + STACK_GUARD_GAP);
  if (above !== null && end + PAGE_SIZE > above.startGap) return false;
  const below = mm.vmas.at(mm.vmas.indexAt(start) - 1);
  if (below !== null && below.endGap > start) return false;
  if (!mayExpandVm(mm, flags, pages) || mm.vmas.size > MAX_MAP_COUNT || !mm.memory.commit(pages)) return false;
  const range = {
    mm,
    start,
    end,
    flags,
    pgoff: start / PAGE_SIZE,
    file: null,
    anonVma: null,
    anonName: null,
    prev: below,
    next: null,
  };
  if (mergeNewRange(range) === null) linkVma(new Vma(mm, start, end, flags, start / PAGE_SIZE, null));
  accountVm(mm, flags, pages);
  if ((flags & VM_LOCKED) !== 0) mm.lockedVm += pages;
  mm.noteHighWater();
  return true;
}
