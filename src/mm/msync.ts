// msync(2) (mm/msync.c).
import { EBUSY, EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, pageAlign64 } from "../base/numbers.ts";
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from "./constants.ts";
import type { Mm } from "./mm.ts";
import { VM_LOCKED, VM_SHARED } from "./vma.ts";

/** 0, -EINVAL (flags, unaligned), -ENOMEM (a hole; what is mapped has been written), -EBUSY (MS_INVALIDATE of locked memory), -EIO. */
export function msync(mm: Mm, addr: number, length: number, flags: number): number {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || addr % PAGE_SIZE !== 0) return -EINVAL;
  if ((flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0) return -EINVAL;
  const end = addr + pageAlign64(length);
  if (end >= 2 ** 64) return -ENOMEM;
  let holes = 0;
  for (let at = addr; at < end;) {
    const vma = mm.vmas.find(at);
    if (vma === null) return -ENOMEM;
    if (at < vma.start) {
      if (flags === MS_ASYNC || vma.start >= end) return -ENOMEM;
      at = vma.start;
      holes = -ENOMEM;
    }
    if ((flags & MS_INVALIDATE) !== 0 && (vma.flags & VM_LOCKED) !== 0) return -EBUSY;
    const stop = Math.min(end, vma.end);
    if (vma.window !== null) {
      const error = vma.window.call(mm, vma, "msync", at, stop, flags);
      if (error < 0) return error;
    } else if ((flags & MS_SYNC) !== 0 && vma.object !== null && (vma.flags & VM_SHARED) !== 0) {
      const from = vma.pageIndex(at) * PAGE_SIZE;
      const error = vma.object.sync(from, from + stop - at);
      if (error < 0) return error;
    }
    at = vma.end;
  }
  return holes;
}
