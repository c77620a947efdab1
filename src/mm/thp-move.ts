// mremap and huge leaves (mm/huge_memory.c: move_huge_pmd). Used by move-pages.ts only.
import { PMD_SIZE } from "../base/numbers.ts";
import type { Mm } from "./mm.ts";
import { ensureTable, indexOfWord, pmdWord, tableOfWord } from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import { hugeLeafWord, splitHuge } from "./thp-split.ts";

/**
 * If a huge leaf covers `va`, which is in [from, end) and goes to `to`: moves it, if it goes as a whole to a place that is aligned, too. True if it has
 * moved; else it has been split, and its pages are moved one by one.
 */
export function moveHuge(mm: Mm, va: number, from: number, to: number, end: number, gather: Gather): boolean {
  const { ram } = mm.memory;
  if (hugeLeafWord(mm, va) === 0) return false;
  const newVa = va - from + to;
  const aligned = va % PMD_SIZE === 0 && newVa % PMD_SIZE === 0 && va + PMD_SIZE <= end;
  const target = aligned && ensureTable(mm, newVa, 1) !== 0 ? pmdWord(ram, mm.root, newVa) : 0;
  // Making a table may have reclaimed it.
  const word = hugeLeafWord(mm, va);
  if (word === 0) return false;
  if (target === 0 || ram.u32[target] !== 0) {
    splitHuge(mm, word, gather, mm);
    return false;
  }
  ram.u32[target] = ram.u32[word];
  ram.u32[word] = 0;
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
  return true;
}
