// rmap walks: where a frame is mapped (rmap_walk). A page of an object is found through the VMAs that map the object, a private page through its AnonVma; both also
// in the mirrors of those VMAs' mms, which are the views of regions and the tables of --no-share. One visit per entry, however many processes link to its table.
import type { Pfn } from "../base/numbers.ts";
import { AnonVma } from "./anon-vma.ts";
import type { Mm } from "./mm.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { isTable, ptePfn } from "../machine/pte.ts";
import { PTE_PRESENT, indexOfWord, leafIndex, pageOfHugeLeaf, pmdWord, tableOfWord } from "./page-table.ts";
import type { Vma } from "./vma.ts";

/** An entry that maps the frame: of a level-0 table, or a huge leaf (`huge`) in a level-1 table. */
export interface Mapping {
  /** Whose tables hold it, and the VMA by whose rules it is there (of the host, for windows). */
  readonly mm: Mm;
  readonly vma: Vma;
  readonly table: Pfn;
  readonly index: number;
  readonly va: number;
  readonly huge: boolean;
  /** The mm that counts the page in its RSS; null: nobody does. */
  readonly rss: Mm | null;
}

/** All entries that map `pfn`. Nothing is allocated or freed while the result is in use. */
export function mappingsOf(memory: MemoryManager, pfn: Pfn): Mapping[] {
  const found: Mapping[] = [];
  const { frames } = memory;
  const owner = frames.owner[pfn];
  if (owner === null || frames.mapcount[pfn] === 0) return found;
  const index = frames.index[pfn];
  const isPrivate = owner instanceof AnonVma;
  const vmas: Iterable<Vma> = isPrivate ? owner.vmas : owner.mappings;
  for (const vma of vmas) {
    if (index < vma.pgoff || index >= vma.pgoff + vma.pages) continue;
    const va = vma.addressOf(index);
    add(found, memory, pfn, vma, vma.mm, va, vma.mm);
    for (const { mm, start, end, shift } of vma.mm.mirrors) {
      // Copies of a private window are counted by their process, what the region has by nobody but its host.
      if (va >= start && va < end) add(found, memory, pfn, vma, mm, va + shift, isPrivate ? mm : null);
    }
  }
  return found;
}

function add(found: Mapping[], memory: MemoryManager, pfn: Pfn, vma: Vma, mm: Mm, va: number, rss: Mm | null): void {
  const { ram } = memory;
  const word = pmdWord(ram, mm.root, va);
  const pmd = word === 0 ? 0 : ram.u32[word];
  const huge = !isTable(pmd);
  const table = huge ? tableOfWord(word) : ptePfn(pmd);
  const index = huge ? indexOfWord(word) : leafIndex(va);
  const pte = huge ? pageOfHugeLeaf(pmd, leafIndex(va)) : ram.readPte(table, index);
  if ((pte & PTE_PRESENT) === 0 || pte >>> 10 !== pfn) return;
  // A window's tables are reached through every process that links them, but belong to one mm.
  if (found.some((other) => other.table === table && other.index === index)) return;
  found.push({ mm, vma, table, index, va, huge, rss });
}
