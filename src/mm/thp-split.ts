// Huge leaves, once they are there: entering, taking away, taking apart (mm/huge_memory.c: __split_huge_pmd_locked, zap_huge_pmd). A leaf of private
// memory has a page table deposited for it in its mm, so that it can be taken apart without memory; a leaf of an object is just taken out then, and its
// pages are faulted in again one by one. Used by everything in mm that meets a leaf: rmap, fork, mprotect, mremap, madvise, reclaim; and by mshare.
import { PAGE_SIZE, PMD_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { ENTRIES, PTE_D, PTE_V, PTE_W, makePte } from "../machine/pte.ts";
import { BLOCK_FRAMES, FRAME_DIRTY, KIND_ANON, KIND_ZERO } from "./frame.ts";
import type { Mm } from "./mm.ts";
import { indexOfWord, isHugeLeaf, newTable, pageOfHugeLeaf, pmdWord, tableOfWord } from "./page-table.ts";
import { countRss } from "./rmap.ts";
import type { Gather } from "./shootdown.ts";
import type { Vma } from "./vma.ts";

/** Sets aside a page table for a leaf that is about to be entered (pgtable_trans_huge_deposit). False if there is no memory. */
export function depositTable(mm: Mm): boolean {
  const table = newTable(mm);
  if (table === 0) return false;
  mm.deposited.push(table);
  mm.tableBytes += PAGE_SIZE;
  return true;
}

/** Frees a deposited table that is not needed. */
export function dropDeposit(mm: Mm, gather: Gather): void {
  mm.tableBytes -= PAGE_SIZE;
  gather.release(mm.deposited.pop()!);
}

/** Enters a leaf at `word` for 512 frames from `pfn`, each of which has a reference for it. */
export function installHuge(mm: Mm, word: number, pfn: Pfn, bits: number, kind: number, rss: Mm | null): void {
  const { ram, frames } = mm.memory;
  ram.u32[word] = makePte(pfn, bits);
  if (kind === KIND_ZERO) return;
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) frames.mapcount[i]++;
  frames.countLeaf(pfn, 1);
  if (rss !== null) countRss(rss, kind, BLOCK_FRAMES);
}

/** The frame that a leaf maps first. */
export const blockOf = (pmd: number): Pfn => asPfn(pmd >>> 10);

/** Whether a leaf has a table deposited for it. */
const hasDeposit = (kind: number): boolean => kind === KIND_ANON || kind === KIND_ZERO;

/** Takes the leaf at `word` out; its pages are counted off `rss` (null: they were not counted). */
export function zapHuge(mm: Mm, word: number, gather: Gather, rss: Mm | null): void {
  const { ram, frames } = mm.memory;
  const pmd = ram.u32[word];
  const pfn = blockOf(pmd);
  const kind = frames.kind[pfn];
  ram.u32[word] = 0;
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
  if (hasDeposit(kind)) dropDeposit(mm, gather);
  if (kind === KIND_ZERO) return;
  const dirty = (pmd & PTE_D) !== 0 && kind !== KIND_ANON ? FRAME_DIRTY : 0;
  frames.countLeaf(pfn, -1);
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) {
    frames.flags[i] |= dirty;
    frames.mapcount[i]--;
    gather.release(asPfn(i));
  }
  if (rss !== null) countRss(rss, kind, -BLOCK_FRAMES);
}

/**
 * __split_huge_pmd: a leaf of private memory becomes a table of 512 entries with the same rights; that of an object is taken out (counted off `rss`, as by
 * zapHuge).
 */
export function splitHuge(mm: Mm, word: number, gather: Gather, rss: Mm | null): void {
  const { ram, frames, stat, zeroPage } = mm.memory;
  const pmd = ram.u32[word];
  const pfn = blockOf(pmd);
  const kind = frames.kind[pfn];
  stat.thp_split_pmd++;
  if (!hasDeposit(kind)) {
    rss?.noteHighWater();
    zapHuge(mm, word, gather, rss);
    return;
  }
  const table = mm.deposited.pop()!;
  const zero = kind === KIND_ZERO ? makePte(zeroPage, pmd & 1023 & ~(PTE_W | PTE_D)) : 0;
  for (let i = 0; i < ENTRIES; i++) ram.writePte(table, i, zero !== 0 ? zero : pageOfHugeLeaf(pmd, i));
  ram.u32[word] = makePte(table, PTE_V);
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
  if (kind === KIND_ANON) frames.countLeaf(pfn, -1);
}

/**
 * A leaf of an object becomes a table of 512 entries with the same rights, so that nothing needs to be faulted in again: for tables that are about to be
 * linked. False if there is no memory for the table.
 */
export function splitToPages(mm: Mm, word: number): boolean {
  const { ram, frames, stat } = mm.memory;
  const table = newTable(mm);
  if (table === 0) return false;
  const pmd = ram.u32[word];
  const gather = mm.memory.beginGather();
  // Making the table may have reclaimed the page.
  if (!isHugeLeaf(pmd)) {
    gather.release(table);
    gather.finish();
    return true;
  }
  stat.thp_split_pmd++;
  for (let i = 0; i < ENTRIES; i++) ram.writePte(table, i, pageOfHugeLeaf(pmd, i));
  mm.tableBytes += PAGE_SIZE;
  ram.u32[word] = makePte(table, PTE_V);
  frames.countLeaf(blockOf(pmd), -1);
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
  gather.finish();
  return true;
}

/** The word of the leaf that covers `va` in the tables of `mm`, or 0 if something else does. */
export function hugeLeafWord(mm: Mm, va: number): number {
  const { ram } = mm.memory;
  const word = pmdWord(ram, mm.root, va);
  return word !== 0 && isHugeLeaf(ram.u32[word]) ? word : 0;
}

/** vma_adjust_trans_huge: a VMA is about to begin or end at `va`; a leaf that reaches over it is split, in mirrors of the mm as well. */
export function splitAtBoundary(vma: Vma, va: number): void {
  if (va % PMD_SIZE === 0) return;
  const { mm } = vma;
  const word = hugeLeafWord(mm, va);
  if (word === 0 && mm.mirrors.size === 0) return;
  const gather = mm.memory.beginGather();
  if (word !== 0) splitHuge(mm, word, gather, mm);
  for (const mirror of mm.mirrors) {
    if (va < mirror.start || va >= mirror.end) continue;
    const other = hugeLeafWord(mirror.mm, va + mirror.shift);
    if (other !== 0) splitHuge(mirror.mm, other, gather, null);
  }
  gather.finish();
}

/** Whether one leaf is all that refers to the 512 frames from `pfn`: the sharers of a fork are gone. */
export function isExclusiveBlock(mm: Mm, pfn: Pfn): boolean {
  const { frames } = mm.memory;
  for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) if (frames.refcount[i] !== 1) return false;
  return true;
}
