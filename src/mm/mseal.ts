// mseal(2): VMAs that can no longer be unmapped, moved or given other rights (mm/mseal.c). munmap, mremap, mprotect and madvise look at VM_SEALED.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, pageAlign64 } from "../base/numbers.ts";
import { modifyVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { VM_SEALED } from "./vma.ts";

/** 0, -EINVAL (flags, unaligned), -ENOMEM (a hole; nothing is sealed then). */
export function mseal(mm: Mm, addr: number, length: number, flags: number): number {
  if (flags !== 0 || addr % PAGE_SIZE !== 0) return -EINVAL;
  const size = pageAlign64(length);
  const end = addr + size;
  if (size === 0 && length !== 0) return -EINVAL;
  if (end >= 2 ** 64) return -EINVAL;
  if (end === addr) return 0;
  if (!isMappedWhole(mm, addr, end)) return -ENOMEM;
  let vma = mm.vmas.lookup(addr)!;
  let prev = addr > vma.start ? vma : mm.vmas.prev(vma);
  for (let at = addr; ;) {
    const stop = Math.min(vma.end, end);
    if ((vma.flags & VM_SEALED) !== 0) prev = vma;
    else if (vma.window !== null) {
      // A window is never split: sealed as a whole.
      vma.flags |= VM_SEALED;
      prev = vma;
    } else {
      const sealed = (vma.flags | VM_SEALED) >>> 0;
      const changed = modifyVma(prev, vma, at, stop, { flags: sealed });
      if (typeof changed === "number") return changed;
      changed.flags = sealed;
      prev = changed;
    }
    at = Math.max(stop, prev.end);
    if (at >= end) return 0;
    vma = mm.vmas.find(at)!;
  }
}

function isMappedWhole(mm: Mm, start: number, end: number): boolean {
  for (let at = start; at < end;) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) return false;
    at = vma.end;
  }
  return true;
}
