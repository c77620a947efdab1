// fork and huge leaves (mm/huge_memory.c: copy_huge_pmd). Used by fork.ts only.
import { PTE_A, PTE_W } from "../machine/pte.ts";
import { BLOCK_FRAMES, FRAME_EXCLUSIVE, KIND_ANON, KIND_ZERO } from "./frame.ts";
import type { Mm } from "./mm.ts";
import { ensureTable, indexOfWord, isHugeLeaf, pmdWord, tableOfWord } from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import { blockOf, depositTable, dropDeposit, installHuge } from "./thp-split.ts";

/**
 * Gives the child the leaf at `va` of the parent, read-only on both sides; pages of objects are found again by a fault. "split": there are small pages
 * instead by now.
 */
export function forkHuge(child: Mm, parent: Mm, va: number, gather: Gather): "done" | "split" | "no memory" {
  const { ram, frames } = parent.memory;
  const word = pmdWord(ram, parent.root, va);
  const first = frames.kind[blockOf(ram.u32[word])];
  if (first !== KIND_ANON && first !== KIND_ZERO) return "done";
  if (ensureTable(child, va, 1) === 0 || !depositTable(child)) return "no memory";
  let pmd = ram.u32[word];
  if (!isHugeLeaf(pmd)) {
    // Making tables has had it reclaimed.
    dropDeposit(child, gather);
    return "split";
  }
  if ((pmd & PTE_W) !== 0) {
    pmd = (pmd & ~PTE_W) >>> 0;
    ram.u32[word] = pmd;
    gather.touch(parent, tableOfWord(word), indexOfWord(word));
  }
  const pfn = blockOf(pmd);
  const kind = frames.kind[pfn];
  if (kind === KIND_ANON) {
    for (let i = pfn; i < pfn + BLOCK_FRAMES; i++) {
      frames.flags[i] &= ~FRAME_EXCLUSIVE;
      frames.refcount[i]++;
    }
  }
  // The child has not used it yet.
  installHuge(child, pmdWord(ram, child.root, va), pfn, pmd & 1023 & ~PTE_A, kind, child);
  return "done";
}
