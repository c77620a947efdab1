// mremap(2): growing, shrinking and moving a mapping with its pages (mm/mremap.c of 6.12; copy_vma and vma_merge_extend of mm/vma.c).
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { MAX_MAP_COUNT, TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, alignUp, pageAlign64 } from "../base/numbers.ts";
import { accountVm, mayExpandVm, mlockFutureOk } from "./accounting.ts";
import { cloneAnonVma, unlinkAnonVmas } from "./anon-vma.ts";
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from "./constants.ts";
import { isHugetlb, poolOf } from "./hugetlb-vma.ts";
import { linkVma, mergeNewRange } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { movePages } from "./move-pages.ts";
import { checkSlots, munmap } from "./munmap.ts";
import { populate } from "./populate.ts";
import { hugeArea } from "./thp-area.ts";
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SEALED,
  VM_SHARED,
  Vma,
} from "./vma.ts";

/**
 * The new address, or -EINVAL (flags, unaligned, overlap; private memory cannot be duplicated; a window), -EFAULT (nothing there, or more than one VMA), -ENOMEM
 * (no room, limits), -EAGAIN (locked memory), -EPERM (sealed).
 */
export function mremap(mm: Mm, addr: number, oldSize: number, newSize: number, flags: number, newAddr: number): number {
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
  const mayMove = (flags & MREMAP_MAYMOVE) !== 0;
  if ((flags & MREMAP_FIXED) !== 0 && !mayMove) return -EINVAL;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && (!mayMove || oldSize !== newSize)) return -EINVAL;
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  let oldLength = pageAlign64(oldSize);
  let newLength = pageAlign64(newSize);
  if (newLength === 0) return -EINVAL;
  const vma = mm.vmas.lookup(addr);
  if (vma === null) return -EFAULT;
  if ((vma.flags & VM_SEALED) !== 0) return -EPERM;
  if (isHugetlb(vma)) {
    const { size } = poolOf(vma);
    oldLength = alignUp(oldLength, size);
    newLength = alignUp(newLength, size);
    if (addr % size !== 0 || newAddr % size !== 0 || newLength > oldLength) return -EINVAL;
  }
  if (vma.window !== null) {
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
    return vma.window.call(mm, vma, "mremap", addr, addr + oldLength, newLength);
  }
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) return moveTo(mm, addr, oldLength, newLength, flags, newAddr);
  if (oldLength === newLength) return addr;
  if (oldLength > newLength) {
    const error = munmap(mm, addr + newLength, oldLength - newLength);
    return error < 0 ? error : addr;
  }
  return grow(mm, addr, oldLength, newLength, flags);
}

/** vma_to_resize: the VMA, if it may become `newLength`; or -errno. */
function checkResize(mm: Mm, addr: number, oldLength: number, newLength: number, flags: number): Vma | number {
  const vma = mm.vmas.lookup(addr);
  if (vma === null) return -EFAULT;
  if (vma.window !== null) return -EINVAL;
  if (oldLength === 0 && (vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return -EINVAL;
  const fixedSize = (vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && fixedSize) return -EINVAL;
  if (oldLength > vma.end - addr) return -EFAULT;
  if (newLength === oldLength) return vma;
  if (vma.pageIndex(addr) + newLength / PAGE_SIZE >= 2 ** 64) return -EINVAL;
  if (fixedSize) return -EFAULT;
  if (!mlockFutureOk(mm, vma.flags, newLength - oldLength)) return -EAGAIN;
  if (!mayExpandVm(mm, vma.flags, (newLength - oldLength) / PAGE_SIZE)) return -ENOMEM;
  return vma;
}

function grow(mm: Mm, addr: number, oldLength: number, newLength: number, flags: number): number {
  const vma = checkResize(mm, addr, oldLength, newLength, flags);
  if (typeof vma === "number") return vma;
  const locked = (vma.flags & VM_LOCKED) !== 0;
  const more = newLength - oldLength;
  let result = -ENOMEM;
  if (oldLength === vma.end - addr && isExpandable(vma, more)) {
    result = expand(mm, vma, more) < 0 ? -ENOMEM : addr;
  } else if ((flags & MREMAP_MAYMOVE) !== 0) {
    const contents = { object: vma.object ?? ("private" as const), offset: vma.pageIndex(addr) * PAGE_SIZE };
    const target = hugeArea(mm, newLength, contents);
    result = target < 0 ? target : move(mm, vma, addr, oldLength, newLength, target, flags);
  }
  if (result >= 0 && locked) populate(mm, result + oldLength, more, { ignoreErrors: true });
  return result;
}

/** vma_expandable: nothing is in the way of `more` bytes above the VMA. */
function isExpandable(vma: Vma, more: number): boolean {
  const { mm } = vma;
  const end = vma.end + more;
  if (end > TASK_SIZE || mm.vmas.intersection(vma.end, end) !== null) return false;
  return checkSlots(mm, vma.end, end) === 0;
}

/** Lets the VMA grow upwards by `more` bytes, perhaps into its neighbour (vma_merge_extend). 0 or -ENOMEM. */
function expand(mm: Mm, vma: Vma, more: number): number {
  const pages = more / PAGE_SIZE;
  const accounted = (vma.flags & VM_ACCOUNT) !== 0;
  if (accounted && !mm.memory.commit(pages)) return -ENOMEM;
  const { end, flags } = vma;
  const merged = mergeNewRange({
    mm,
    start: end,
    end: end + more,
    flags,
    pgoff: vma.pageIndex(end),
    file: vma.file,
    anonVma: vma.anonVma,
    anonName: vma.anonName,
    prev: vma,
    next: mm.vmas.next(vma),
  });
  if (merged === null) {
    if (accounted) mm.memory.uncommit(pages);
    return -ENOMEM;
  }
  accountVm(mm, flags, pages);
  if ((flags & VM_LOCKED) !== 0) mm.lockedVm += pages;
  mm.noteHighWater();
  return 0;
}

/** mremap_to: MREMAP_FIXED and MREMAP_DONTUNMAP. */
function moveTo(mm: Mm, addr: number, oldLength: number, newLength: number, flags: number, newAddr: number): number {
  if (newAddr % PAGE_SIZE !== 0) return -EINVAL;
  if (newLength > TASK_SIZE || newAddr > TASK_SIZE - newLength) return -EINVAL;
  if (addr + oldLength > newAddr && newAddr + newLength > addr) return -EINVAL;
  if (mm.vmas.size + 2 >= MAX_MAP_COUNT - 3) return -ENOMEM;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if (fixed) {
    const slots = checkSlots(mm, newAddr, newAddr + newLength);
    if (slots < 0) return slots;
    const error = munmap(mm, newAddr, newLength);
    if (error < 0) return error;
  }
  let length = oldLength;
  if (oldLength > newLength) {
    const error = munmap(mm, addr + newLength, oldLength - newLength);
    if (error < 0) return error;
    length = newLength;
  }
  const vma = checkResize(mm, addr, length, newLength, flags);
  if (typeof vma === "number") return vma;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && !mayExpandVm(mm, vma.flags, length / PAGE_SIZE)) return -ENOMEM;
  const target = mm.getUnmappedArea({ addr: newAddr, length: newLength, fixed });
  if (target < 0) return target;
  const locked = (vma.flags & VM_LOCKED) !== 0 && (flags & MREMAP_DONTUNMAP) === 0;
  const result = move(mm, vma, addr, length, newLength, target, flags);
  if (result >= 0 && locked && newLength > length)
    populate(mm, result + length, newLength - length, { ignoreErrors: true });
  return result;
}

/** move_vma: the range with its pages gets new addresses. */
function move(
  mm: Mm,
  vma: Vma,
  addr: number,
  oldLength: number,
  newLength: number,
  newAddr: number,
  flags: number,
): number {
  if (mm.vmas.size >= MAX_MAP_COUNT - 3) return -ENOMEM;
  const { flags: vmFlags } = vma;
  const keeps = (flags & MREMAP_DONTUNMAP) !== 0;
  const accounted = (vmFlags & VM_ACCOUNT) !== 0;
  const pages = newLength / PAGE_SIZE;
  // What the old range was charged for moves along, unless that stays mapped.
  const kept = accounted && !keeps ? oldLength / PAGE_SIZE : 0;
  if (accounted && !mm.memory.commit(pages - kept)) return -ENOMEM;

  const copy = copyVma(vma, addr, newAddr, newLength, { keeps });
  if (!movePages(mm, addr, newAddr, oldLength)) {
    // No memory for page tables: what has moved goes back (its old tables are still there), and the new range is unmapped instead.
    movePages(mm, newAddr, addr, oldLength);
    if (copy.hugetlb !== null) copy.hugetlb = { map: null, unmapped: false };
    accountVm(mm, vmFlags, pages);
    if ((vmFlags & VM_LOCKED) !== 0) mm.lockedVm += pages;
    mm.memory.uncommit(-kept);
    munmap(mm, newAddr, newLength);
    return -ENOMEM;
  }
  const { hiwaterVm } = mm;
  accountVm(mm, vmFlags, pages);
  if (keeps) {
    vma.flags = (vma.flags & ~VM_LOCKED_MASK) >>> 0;
    if (vma.start === addr && vma.end === addr + oldLength) unlinkAnonVmas(vma);
    mm.noteHighWater();
    return newAddr;
  }
  // The copy may have merged with the VMA it came from.
  const old = addr >= copy.start && addr < copy.end ? copy : vma;
  if (old.hugetlb !== null) unmapHugeSource(mm, old, addr, oldLength);
  else unmapSource(mm, old, addr, oldLength, { accounted });
  mm.hiwaterVm = hiwaterVm;
  if ((vmFlags & VM_LOCKED) !== 0) mm.lockedVm += pages;
  mm.noteHighWater();
  return newAddr;
}

/** Unmaps what has been moved away. What it was charged for has moved too: only the remaining pieces stay accounted. */
function unmapSource(mm: Mm, old: Vma, addr: number, length: number, options: { accounted: boolean }): void {
  // Nothing to unmap: mremap of size 0 duplicates.
  if (length === 0) return;
  if (!options.accounted) {
    munmap(mm, addr, length);
    return;
  }
  const pieces = { below: old.start < addr, above: old.end > addr + length };
  old.flags = (old.flags & ~VM_ACCOUNT) >>> 0;
  if (munmap(mm, addr, length) < 0) {
    old.flags = (old.flags | VM_ACCOUNT) >>> 0;
    mm.memory.uncommit(-length / PAGE_SIZE);
    return;
  }
  const index = mm.vmas.indexAt(addr);
  const below = mm.vmas.at(index - 1);
  const above = mm.vmas.at(index);
  if (pieces.below && below !== null) below.flags = (below.flags | VM_ACCOUNT) >>> 0;
  if (pieces.above && above !== null) above.flags = (above.flags | VM_ACCOUNT) >>> 0;
}

/** As unmapSource, of a hugetlb VMA: the moved part's reservations have moved along, what remains on either side keeps its own. */
function unmapHugeSource(mm: Mm, old: Vma, addr: number, length: number): void {
  const { start, end, hugetlb } = old;
  old.hugetlb = { map: null, unmapped: false };
  munmap(mm, addr, length);
  for (const vma of [mm.vmas.lookup(start), mm.vmas.lookup(end - 1)])
    if (vma !== null && vma.object === old.object && vma.hugetlb !== null) vma.hugetlb = hugetlb;
}

/**
 * copy_vma: a VMA at `newAddr` that shows what `vma` shows at `addr`; merged with its new neighbours if they agree. `keeps`: not with the one that it is
 * copied from (as riscv64 Linux 6.12.117 does; 6.18 merges those too).
 */
function copyVma(vma: Vma, addr: number, newAddr: number, length: number, { keeps }: { keeps: boolean }): Vma {
  const { mm } = vma;
  // Anonymous memory that has no pages yet takes the numbering of its new place: it may merge there.
  const fresh = vma.file === null && vma.anonVma === null;
  const pgoff = fresh ? newAddr / PAGE_SIZE : vma.pageIndex(addr);
  const index = mm.vmas.indexAt(newAddr);
  const neighbour = (at: number): Vma | null => {
    const other = mm.vmas.at(at);
    return keeps && other === vma ? null : other;
  };
  const merged = mergeNewRange({
    mm,
    start: newAddr,
    end: newAddr + length,
    flags: vma.flags,
    pgoff,
    file: vma.file,
    anonVma: vma.anonVma,
    anonName: vma.anonName,
    prev: neighbour(index - 1),
    next: neighbour(index),
  });
  if (merged !== null) return merged;
  const copy = new Vma(mm, newAddr, newAddr + length, vma.flags, pgoff, vma.file);
  copy.name = vma.name;
  copy.anonName = vma.anonName;
  copy.anonVma = vma.anonVma;
  copy.hugetlb = vma.hugetlb;
  cloneAnonVma(copy, vma);
  linkVma(copy);
  return copy;
}
