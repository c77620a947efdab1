// madvise(2) and the naming of anonymous memory, which walk VMAs in the same way (mm/madvise.c of 6.12).
import { EACCES, EAGAIN, EBADF, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { PAGE_SIZE, PMD_SIZE, type Pfn, alignDown, pageAlign64 } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { PTE_A, PTE_D } from "../machine/pte.ts";
import * as mman from "./constants.ts";
import { FRAME_DIRTY, FRAME_LAZYFREE, KIND_ANON, KIND_FILE } from "./frame.ts";
import { isHugetlb, poolOf } from "./hugetlb-vma.ts";
import { mappingsOf } from "./mappings.ts";
import { modifyVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { PTE_PRESENT, findTable, leafIndex, nextMappedAddress, readLeaf } from "./page-table.ts";
import { madvisePopulate } from "./populate.ts";
import { pageOut } from "./reclaim.ts";
import { zapRange, zapSwapEntry } from "./rmap.ts";
import { isSwapPte } from "./swap.ts";
import { collapseRange } from "./collapse.ts";
import { ageHuge, freeHugeLazily } from "./thp-advice.ts";
import { hugeLeafWord } from "./thp-split.ts";
import {
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEALED,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
  VM_WRITE,
  type Vma,
} from "./vma.ts";
import { AnonymousFile } from "./vm-file.ts";

/** What a visit did: the VMA to go on behind, null (go on at the end of the range visited), or -errno. */
type Visit = Vma | null | number;

const DISCARDS: ReadonlySet<number> = new Set([
  mman.MADV_FREE,
  mman.MADV_DONTNEED,
  mman.MADV_DONTNEED_LOCKED,
  mman.MADV_REMOVE,
  mman.MADV_DONTFORK,
  mman.MADV_WIPEONFORK,
]);

function isKnown(advice: number): boolean {
  return (
    (advice >= mman.MADV_NORMAL && advice <= mman.MADV_DONTNEED) ||
    (advice >= mman.MADV_FREE && advice <= mman.MADV_COLLAPSE)
  );
}

/**
 * 0, -EINVAL (unknown advice, unaligned, does not apply to this memory), -ENOMEM (a hole; the rest has been done), -EAGAIN (too many VMAs),
 * -EACCES (REMOVE without a shared writable mapping), -EPERM (sealed), -EFAULT (POPULATE_* beyond a file's end).
 */
export function madvise(mm: Mm, addr: number, length: number, advice: number): number {
  if (!isKnown(advice)) return -EINVAL;
  const end = checkedEnd(addr, length);
  if (end <= addr) return end === addr ? 0 : end;
  if (advice === mman.MADV_POPULATE_READ) return madvisePopulate(mm, addr, end, ACCESS_READ);
  if (advice === mman.MADV_POPULATE_WRITE) return madvisePopulate(mm, addr, end, ACCESS_WRITE);
  return walkVmas(mm, addr, end, (vma, prev, low, high) => adviseVma(vma, prev, low, high, advice));
}

/** prctl(PR_SET_VMA_ANON_NAME): 0, -EINVAL, -EBADF (file mappings have names), -ENOMEM (a hole), -EAGAIN. */
export function setAnonName(mm: Mm, addr: number, length: number, name: string | null): number {
  const end = checkedEnd(addr, length);
  if (end <= addr) return end === addr ? 0 : end;
  return walkVmas(mm, addr, end, (vma, prev, low, high) => {
    if (vma.window !== null || (vma.file !== null && !(vma.file instanceof AnonymousFile))) return -EBADF;
    return updateVma(vma, prev, low, high, vma.flags, name);
  });
}

/** The end of the range, `addr` for an empty one, or -EINVAL. */
function checkedEnd(addr: number, length: number): number {
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  const size = pageAlign64(length);
  if (size === 0 && length !== 0) return -EINVAL;
  return addr + size >= 2 ** 64 ? -EINVAL : addr + size;
}

/** madvise_walk_vmas: visits all VMAs of [start, end); holes make it -ENOMEM at the end. */
function walkVmas(
  mm: Mm,
  start: number,
  end: number,
  visit: (vma: Vma, prev: Vma | null, start: number, end: number) => Visit,
): number {
  let vma = mm.vmas.find(start);
  let prev = vma === null ? null : start > vma.start ? vma : mm.vmas.prev(vma);
  let holes = 0;
  for (let at = start; ;) {
    if (vma === null) return -ENOMEM;
    if (at < vma.start) {
      holes = -ENOMEM;
      at = vma.start;
      if (at >= end) return holes;
    }
    const stop = Math.min(vma.end, end);
    const visited: Visit = visit(vma, prev, at, stop);
    if (typeof visited === "number") return visited;
    prev = visited;
    at = prev !== null && stop < prev.end ? prev.end : stop;
    if (at >= end) return holes;
    vma = mm.vmas.find(prev !== null ? prev.end : at);
  }
}

/** madvise_vma_behavior */
function adviseVma(vma: Vma, prev: Vma | null, start: number, end: number, advice: number): Visit {
  if (isSealedAgainst(vma, advice)) return -EPERM;
  if (vma.window !== null) {
    const error = vma.window.call(vma.mm, vma, "madvise", start, end, advice);
    return error < 0 ? error : vma;
  }
  switch (advice) {
    case mman.MADV_REMOVE:
      return remove(vma, start, end);
    case mman.MADV_WILLNEED:
      return vma;
    case mman.MADV_COLLAPSE: {
      const error = collapseRange(vma, start, end);
      return error < 0 ? error : vma;
    }
    case mman.MADV_COLD:
    case mman.MADV_PAGEOUT:
      if ((vma.flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB)) !== 0) return -EINVAL;
      age(vma, start, end, advice);
      return vma;
    case mman.MADV_FREE:
    case mman.MADV_DONTNEED:
    case mman.MADV_DONTNEED_LOCKED:
      return discard(vma, start, end, advice);
  }
  const flags = advisedFlags(vma, advice);
  return flags < 0 ? flags : updateVma(vma, prev, start, end, flags, vma.anonName);
}

/** can_modify_vma_madv: sealed read-only anonymous memory keeps its contents. */
function isSealedAgainst(vma: Vma, advice: number): boolean {
  if ((vma.flags & VM_SEALED) === 0 || !DISCARDS.has(advice)) return false;
  return vma.file === null && vma.window === null && (vma.flags & (VM_SHARED | VM_WRITE)) === 0;
}

/** The VMA's flags with the advice applied, or -EINVAL. */
function advisedFlags(vma: Vma, advice: number): number {
  const { flags } = vma;
  switch (advice) {
    case mman.MADV_NORMAL:
      return (flags & ~(VM_RAND_READ | VM_SEQ_READ)) >>> 0;
    case mman.MADV_SEQUENTIAL:
      return ((flags & ~VM_RAND_READ) | VM_SEQ_READ) >>> 0;
    case mman.MADV_RANDOM:
      return ((flags & ~VM_SEQ_READ) | VM_RAND_READ) >>> 0;
    case mman.MADV_DONTFORK:
      return (flags | VM_DONTCOPY) >>> 0;
    case mman.MADV_DOFORK:
      return (flags & VM_IO) !== 0 ? -EINVAL : (flags & ~VM_DONTCOPY) >>> 0;
    case mman.MADV_WIPEONFORK:
      return vma.file !== null || (flags & VM_SHARED) !== 0 ? -EINVAL : (flags | VM_WIPEONFORK) >>> 0;
    case mman.MADV_KEEPONFORK:
      return (flags & VM_DROPPABLE) !== 0 ? -EINVAL : (flags & ~VM_WIPEONFORK) >>> 0;
    case mman.MADV_DONTDUMP:
      return (flags | VM_DONTDUMP) >>> 0;
    case mman.MADV_DODUMP:
      return (flags & (isHugetlb(vma) ? VM_DROPPABLE : VM_SPECIAL | VM_DROPPABLE)) !== 0
        ? -EINVAL
        : (flags & ~VM_DONTDUMP) >>> 0;
    case mman.MADV_MERGEABLE:
      return (flags & (VM_SHARED | VM_SPECIAL)) !== 0 ? flags : (flags | VM_MERGEABLE) >>> 0;
    case mman.MADV_UNMERGEABLE:
      return (flags & ~VM_MERGEABLE) >>> 0;
    case mman.MADV_HUGEPAGE: {
      const advised = ((flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE) >>> 0;
      vma.mm.memory.khugepaged.enterVma(vma, advised);
      return advised;
    }
    case mman.MADV_NOHUGEPAGE:
      return ((flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE) >>> 0;
    default:
      return -EINVAL;
  }
}

/** madvise_update_vma */
function updateVma(
  vma: Vma,
  prev: Vma | null,
  start: number,
  end: number,
  flags: number,
  anonName: string | null,
): Visit {
  if (flags === vma.flags && anonName === vma.anonName) return vma;
  const changed = modifyVma(prev, vma, start, end, { flags, anonName });
  if (typeof changed === "number") return changed === -ENOMEM ? -EAGAIN : changed;
  changed.flags = flags;
  changed.anonName = anonName;
  return changed;
}

/** MADV_REMOVE: punches a hole into the object. */
function remove(vma: Vma, start: number, end: number): Visit {
  if ((vma.flags & VM_LOCKED) !== 0 || vma.object === null) return -EINVAL;
  if ((vma.flags & (VM_SHARED | VM_MAYWRITE)) !== (VM_SHARED | VM_MAYWRITE)) return -EACCES;
  if (vma.file!.writeSealed()) return -EPERM;
  const offset = vma.pageIndex(start) * PAGE_SIZE;
  vma.object.punch(offset, offset + end - start);
  return null;
}

function discard(vma: Vma, start: number, end: number, advice: number): Visit {
  if (isHugetlb(vma)) return discardHuge(vma, start, end, advice);
  const forbidden = advice === mman.MADV_DONTNEED_LOCKED ? VM_PFNMAP : VM_PFNMAP | VM_LOCKED;
  if ((vma.flags & forbidden) !== 0) return -EINVAL;
  if (advice === mman.MADV_FREE && vma.object !== null) return -EINVAL;
  if (advice === mman.MADV_FREE) {
    freeLazily(vma, start, end);
    return vma;
  }
  const gather = vma.mm.memory.beginGather();
  // A shared mapping has no copies of its own; those of private windows on a region stay.
  zapRange(vma, start, end, gather, (vma.flags & VM_SHARED) !== 0 ? "shared only" : "and private copies");
  gather.finish();
  return vma;
}

/** As discard; no page is dropped of which only a part is in the range. */
function discardHuge(vma: Vma, start: number, end: number, advice: number): Visit {
  const { size } = poolOf(vma);
  if (advice === mman.MADV_FREE || start % size !== 0) return -EINVAL;
  const gather = vma.mm.memory.beginGather();
  zapRange(vma, start, alignDown(end, size), gather);
  gather.finish();
  return vma;
}

/**
 * MADV_COLD and MADV_PAGEOUT: pages that only this VMA maps have not been used lately, or leave memory at once. Dirty pages of files stay, as in
 * Linux (only its kswapd writes them); without swap so do private and written shmem pages.
 */
function age(vma: Vma, start: number, end: number, advice: number): void {
  const { mm } = vma;
  const { memory } = mm;
  const { ram, frames } = memory;
  for (let va = nextMappedAddress(ram, mm.root, start, end); va < end;) {
    const next = Math.min(va - (va % PMD_SIZE) + PMD_SIZE, end);
    if (hugeLeafWord(mm, va) !== 0) ageHuge(vma, va, next - va, advice);
    for (; va < next; va += PAGE_SIZE) {
      const pte = readLeaf(ram, mm.root, va);
      const pfn = (pte >>> 10) as Pfn;
      if ((pte & PTE_PRESENT) === 0 || frames.mapcount[pfn] === 0) continue;
      const mappings = mappingsOf(memory, pfn);
      if (mappings.some((mapping) => mapping.vma !== vma)) continue;
      if (advice === mman.MADV_COLD) {
        for (const { table, index } of mappings) ram.writePte(table, index, ram.readPte(table, index) & ~PTE_A);
        continue;
      }
      const dirty = (pte & PTE_D) !== 0 || (frames.flags[pfn] & FRAME_DIRTY) !== 0;
      const goes = (frames.kind[pfn] !== KIND_FILE || !dirty) && pageOut(memory, pfn, mappings);
      if (!goes && frames.kind[pfn] !== KIND_ANON) unmapPage(vma, va);
    }
    va = nextMappedAddress(ram, mm.root, next, end);
  }
}

/** A page of an object that stays in memory is not mapped any more (try_to_unmap comes before the attempt to write it out). */
function unmapPage(vma: Vma, va: number): void {
  const gather = vma.mm.memory.beginGather();
  zapRange(vma, va, va + PAGE_SIZE, gather);
  gather.finish();
}

/**
 * MADV_FREE: marks pages that only this mm has; they may be taken when memory is short, unless they are written first. Nothing in memory is
 * taken before that, so its contents stay readable, as they mostly do in Linux; what is in swap goes at once.
 */
function freeLazily(vma: Vma, start: number, end: number): void {
  const { mm } = vma;
  const { ram, frames } = mm.memory;
  const gather = mm.memory.beginGather();
  for (let va = nextMappedAddress(ram, mm.root, start, end); va < end;) {
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    const word = hugeLeafWord(mm, va);
    if (word !== 0) freeHugeLazily(mm, word, Math.min(next, end) - va, gather);
    const table = findTable(ram, mm.root, va);
    const stop = table === 0 ? 0 : leafIndex(va) + (Math.min(next, end) - va) / PAGE_SIZE;
    for (let index = leafIndex(va); index < stop; index++) {
      const pte = ram.readPte(table, index);
      if (isSwapPte(pte)) zapSwapEntry(mm, (table << 10) + 2 * index);
      if ((pte & PTE_PRESENT) === 0) continue;
      const pfn = (pte >>> 10) as Pfn;
      if (frames.kind[pfn] !== KIND_ANON || frames.mapcount[pfn] !== 1) continue;
      frames.flags[pfn] |= FRAME_LAZYFREE;
      // Clean, so that a later write shows; and not used lately.
      if ((pte & (PTE_A | PTE_D)) === 0) continue;
      ram.writePte(table, index, pte & ~(PTE_A | PTE_D));
      gather.touch(mm, table, index);
    }
    va = nextMappedAddress(ram, mm.root, next, end);
  }
  gather.finish();
}
