// madvise and huge leaves: MADV_FREE, MADV_COLD, MADV_PAGEOUT (mm/huge_memory.c: madvise_free_huge_pmd; mm/madvise.c:
// madvise_cold_or_pageout_pte_range). Used by madvise.ts only.
import { PAGE_SIZE, PMD_SIZE, asPfn } from "../base/numbers.ts";
import { PTE_A, PTE_D } from "../machine/pte.ts";
import { MADV_PAGEOUT } from "./constants.ts";
import { BLOCK_FRAMES, FRAME_LAZYFREE, KIND_ANON, KIND_SHMEM, KIND_ZERO } from "./frame.ts";
import { mappingsOf } from "./mappings.ts";
import type { Mm } from "./mm.ts";
import { indexOfWord, leafIndex, tableOfWord } from "./page-table.ts";
import { pageOut } from "./reclaim.ts";
import type { Gather } from "./shootdown.ts";
import { blockOf, hugeLeafWord, splitHuge } from "./thp-split.ts";
import type { Vma } from "./vma.ts";

/**
 * MADV_FREE of `bytes` of a leaf. All of it, and nobody else has it: clean and lazily free as it is; a part: it is split, and its pages are looked at one
 * by one.
 */
export function freeHugeLazily(mm: Mm, word: number, bytes: number, gather: Gather): void {
  const { ram, frames } = mm.memory;
  const pmd = ram.u32[word];
  const pfn = blockOf(pmd);
  if (frames.kind[pfn] !== KIND_ANON) return;
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) if (frames.mapcount[i] !== 1) return;
  if (bytes < PMD_SIZE) {
    splitHuge(mm, word, gather, mm);
    return;
  }
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) frames.flags[i] |= FRAME_LAZYFREE;
  if ((pmd & (PTE_A | PTE_D)) === 0) return;
  ram.u32[word] = pmd & ~(PTE_A | PTE_D);
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
}

/**
 * MADV_COLD and MADV_PAGEOUT of `bytes` at `va` of a leaf, if nobody else maps it. A part of it is split for either; MADV_PAGEOUT splits in any case, and the
 * pages of an object, which are not in the tables then, go from here.
 */
export function ageHuge(vma: Vma, va: number, bytes: number, advice: number): void {
  const { mm } = vma;
  const { memory } = mm;
  const word = hugeLeafWord(mm, va);
  const first = blockOf(memory.ram.u32[word]);
  const kind = memory.frames.kind[first];
  if (kind === KIND_ZERO || mappingsOf(memory, first).some((mapping) => mapping.vma !== vma)) return;
  if (advice !== MADV_PAGEOUT && bytes === PMD_SIZE) {
    memory.ram.u32[word] &= ~PTE_A;
    return;
  }
  const gather = memory.beginGather();
  splitHuge(mm, word, gather, mm);
  for (const mirror of mm.mirrors) {
    const other = va >= mirror.start && va < mirror.end ? hugeLeafWord(mirror.mm, va + mirror.shift) : 0;
    if (other !== 0) splitHuge(mirror.mm, other, gather, null);
  }
  gather.finish();
  if (advice !== MADV_PAGEOUT || kind !== KIND_SHMEM) return;
  const from = first + leafIndex(va);
  for (let pfn = from; pfn < from + bytes / PAGE_SIZE; pfn++) pageOut(memory, asPfn(pfn));
}
