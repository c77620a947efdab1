// Regions and transparent huge pages. A huge leaf lives in the region's own tables, under links of 1 GiB and more, and is never copied into a process; the
// read-only root has a leaf of its own without W. Where some window links a PTE table the region holds no leaf: one that is there is split, and
// thp-fault.ts and collapse.ts make none. Used by link.ts, view.ts and private.ts.
import { PTE_D, PTE_W } from "../machine/pte.ts";
import { BLOCK_FRAMES, KIND_HUGETLB, KIND_SHMEM } from "../mm/frame.ts";
import type { Mm } from "../mm/mm.ts";
import { ensureTable, pmdWord } from "../mm/page-table.ts";
import { blockOf, hugeLeafWord, installHuge, splitToPages } from "../mm/thp-split.ts";

/** The word of the transparent huge leaf for `va` in the tables of `mm`; 0 if there is none. */
export function thpWord(mm: Mm, va: number): number {
  const word = hugeLeafWord(mm, va);
  const { ram, frames } = mm.memory;
  return word !== 0 && frames.kind[blockOf(ram.u32[word])] !== KIND_HUGETLB ? word : 0;
}

/** A PTE table is about to be linked at `hostVa` of a region: its huge leaf, in both roots, becomes one. False if there is no memory for it. */
export function splitForLink(space: Mm, hostVa: number): boolean {
  const host = space.viewOf ?? space;
  const views = [...host.mirrors].filter(({ mm }) => mm.viewOf === host).map(({ mm }) => mm);
  for (const mm of [host, ...views]) {
    const word = thpWord(mm, hostVa);
    if (word !== 0 && !splitToPages(mm, word)) return false;
  }
  return true;
}

/** Gives the read-only root the huge leaf that the host has at `hostVa`, where the root has nothing yet. False if there is no memory for a table. */
export function copyHugeLeaf(view: Mm, host: Mm, hostVa: number): boolean {
  const { ram, frames } = host.memory;
  if (ensureTable(view, hostVa, 1) === 0) return false;
  const from = thpWord(host, hostVa);
  const to = pmdWord(ram, view.root, hostVa);
  // Making the table may have reclaimed it.
  if (from === 0 || ram.u32[to] !== 0) return true;
  const pmd = ram.u32[from];
  const pfn = blockOf(pmd);
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) frames.refcount[i]++;
  installHuge(view, to, pfn, pmd & 1023 & ~(PTE_W | PTE_D), KIND_SHMEM, null);
  return true;
}
