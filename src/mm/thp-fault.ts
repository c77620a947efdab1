// Faults that huge pages answer (mm/huge_memory.c: do_huge_pmd_anonymous_page, do_huge_pmd_wp_page; mm/memory.c: do_set_pmd). Called by fault.ts where
// there is no page table yet; what it does not answer is left to small pages.
import { PMD_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W } from "../machine/pte.ts";
import { ACCESS_WRITE } from "../machine/trap.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import {
  BLOCK_FRAMES,
  FRAME_DIRTY,
  FRAME_EXCLUSIVE,
  FRAME_LAZYFREE,
  KIND_ANON,
  KIND_SHMEM,
  KIND_ZERO,
} from "./frame.ts";
import type { Mm } from "./mm.ts";
import { ShmemObject } from "./object.ts";
import { ensureTable, findTable, isHugeLeaf, pmdWord, protectionBits } from "./page-table.ts";
import { bringInHuge, isInHugePage } from "./shmem-huge.ts";
import { hugeStart, isThpDisabled } from "./thp.ts";
import { blockOf, depositTable, installHuge, isExclusiveBlock, splitHuge } from "./thp-split.ts";
import { VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/** The page is there / small pages are to be used / no memory for a table. */
export type HugeFault = "done" | "small" | "oom";

/** As resolvePage in fault.ts, for an address that no level-0 table covers. */
export function hugeFault(space: Mm, va: number, vma: Vma, shift: number, access: number, rss: Mm | null): HugeFault {
  const { ram } = space.memory;
  const word = pmdWord(ram, space.root, va);
  if (word !== 0 && isHugeLeaf(ram.u32[word])) return presentHuge(space, word, vma, access, rss);
  if (vma.object === null) return shift === 0 ? anonymousHuge(space, va, vma, access, rss) : "small";
  return vma.object instanceof ShmemObject ? sharedHuge(space, va, vma, shift, access, rss) : "small";
}

/** do_huge_pmd_anonymous_page: the huge zero page for a read, 2 MiB of its own for a write. */
function anonymousHuge(space: Mm, va: number, vma: Vma, access: number, rss: Mm | null): HugeFault {
  const { memory } = space;
  const { thp, stat, ram, frames } = memory;
  if (hugeStart(vma, va) < 0 || !thp.allows(vma, "fault")) return "small";
  const anonVma = prepareAnonVma(vma, vma.mm.vmas.prev(vma), vma.mm.vmas.next(vma));
  memory.khugepaged.enterVma(vma);
  const zero = (access & ACCESS_WRITE) === 0 && thp.useZeroPage;
  const pfn = zero ? thp.zeroBlock() : memory.allocateBlock(space, KIND_ANON);
  if (pfn === 0) {
    stat.thp_fault_fallback++;
    return "small";
  }
  if (!zero) {
    const index = vma.pageIndex(va - (va % PMD_SIZE));
    for (let i = 0; i < BLOCK_FRAMES; i++) {
      ram.zero(asPfn(pfn + i));
      frames.flags[pfn + i] = FRAME_EXCLUSIVE;
      frames.owner[pfn + i] = anonVma;
      frames.index[pfn + i] = index + i;
    }
  }
  const table = ensureTable(space, va, 1);
  const word = table === 0 ? 0 : pmdWord(ram, space.root, va);
  if (word === 0 || !depositTable(space)) {
    if (!zero) putBlock(space, pfn);
    return "oom";
  }
  if (zero) {
    installHuge(space, word, pfn, protectionBits(vma.flags), KIND_ZERO, rss);
    return "done";
  }
  stat.thp_fault_alloc++;
  space.memcg.stat.thpFaultAlloc++;
  const write = (vma.flags & VM_WRITE) !== 0 ? PTE_W : 0;
  installHuge(space, word, pfn, protectionBits(vma.flags) | PTE_D | write, KIND_ANON, rss);
  return "done";
}

/** Frees a block that has not been mapped. */
function putBlock(space: Mm, pfn: Pfn): void {
  for (let i = 0; i < BLOCK_FRAMES; i++) space.memory.frames.put(asPfn(pfn + i));
}

/** shmem_fault and do_set_pmd: 2 MiB of an object, if it has a huge page there or may get one. Private writes are copied page by page. */
function sharedHuge(space: Mm, va: number, vma: Vma, shift: number, access: number, rss: Mm | null): HugeFault {
  const { memory } = space;
  const { ram, stat, frames } = memory;
  const object = vma.object as ShmemObject;
  const isShared = (vma.flags & VM_SHARED) !== 0;
  const write = (access & ACCESS_WRITE) !== 0;
  if (write && !isShared) return "small";
  const index = vma.pageIndex(va + shift);
  if (!isInHugePage(object, index)) bringInHuge(object, index, vma);
  if (!isInHugePage(object, index) || isThpDisabled(vma) || !isSuitable(space, va, vma, shift)) return "small";
  // Of a region: some window links the PTE table of the read-only root here.
  if (isLinkedInMirror(space, va)) return "small";
  if (ensureTable(space, va, 1) === 0) return "oom";
  const word = pmdWord(ram, space.root, va);
  // Making the table may have reclaimed some of it.
  if (!isInHugePage(object, index)) return "small";
  const pfn = object.pages.get(index - (index % BLOCK_FRAMES));
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) {
    frames.refcount[i]++;
    if (write) frames.flags[i] |= FRAME_DIRTY;
  }
  object.huge.markUsed(index);
  // Shared pages of shmem are mapped writable at once.
  const writable = isShared && (vma.flags & VM_WRITE) !== 0 ? PTE_W : 0;
  const bits = protectionBits(vma.flags) | writable | (write ? PTE_D : 0);
  installHuge(space, word, asPfn(pfn), bits, KIND_SHMEM, rss);
  stat.thp_file_mapped++;
  return "done";
}

/** The 2 MiB lie in the VMA, aligned; and where private tables show a region (--no-share), in the window as well, which must not be a private one. */
function isSuitable(space: Mm, va: number, vma: Vma, shift: number): boolean {
  if (hugeStart(vma, va + shift) < 0 || shift % PMD_SIZE !== 0) return false;
  if (space === vma.mm) return true;
  const window = space.vmas.lookup(va);
  const start = va - (va % PMD_SIZE);
  if (window === null || (window.flags & VM_SHARED) === 0) return false;
  return start >= window.start && start + PMD_SIZE <= window.end;
}

/** Whether another root of `space` has a page table for `va` that others link (mshare). */
function isLinkedInMirror(space: Mm, va: number): boolean {
  const { frames, ram } = space.memory;
  for (const { mm, start, end, shift } of space.mirrors) {
    if (va < start || va >= end) continue;
    const table = findTable(ram, mm.root, va + shift);
    if (table !== 0 && frames.refcount[table] > 1) return true;
  }
  return false;
}

/** huge_pmd_set_accessed, do_huge_pmd_wp_page: a leaf that is there. A write to what others have too takes it apart; the page is copied alone. */
function presentHuge(space: Mm, word: number, vma: Vma, access: number, rss: Mm | null): HugeFault {
  const { ram, frames, stat } = space.memory;
  const pmd = ram.u32[word];
  const write = (access & ACCESS_WRITE) !== 0;
  if (!write || (pmd & PTE_W) !== 0) {
    ram.u32[word] = pmd | PTE_A | (write ? PTE_D : 0);
    return "done";
  }
  const pfn = blockOf(pmd);
  if (frames.kind[pfn] === KIND_ANON && (isMarkedExclusive(space, pfn) || isExclusiveBlock(space, pfn))) {
    for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) {
      frames.flags[i] = (frames.flags[i] | FRAME_EXCLUSIVE) & ~FRAME_LAZYFREE;
      frames.owner[i] = vma.anonVma;
    }
    ram.u32[word] = pmd | PTE_A | PTE_D | ((vma.flags & VM_WRITE) !== 0 ? PTE_W : 0);
    stat.pgreuse++;
    return "done";
  }
  const gather = space.memory.beginGather();
  splitHuge(space, word, gather, rss);
  gather.finish();
  return "small";
}

const isMarkedExclusive = (space: Mm, pfn: Pfn): boolean => (space.memory.frames.flags[pfn] & FRAME_EXCLUSIVE) !== 0;
