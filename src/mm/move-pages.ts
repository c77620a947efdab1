// Moving page-table entries to other addresses of the same mm (mm/mremap.c: move_page_tables). Used by mremap only.
import { PAGE_SIZE, PMD_SIZE } from "../base/numbers.ts";
import { moveHugetlb } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { ensureTable, findTable, leafIndex, nextMappedAddress } from "./page-table.ts";
import { zapMirrors } from "./rmap.ts";
import { moveHuge } from "./thp-move.ts";

/**
 * Moves the entries of [from, from + length) to `to`, where there are none. False if a table could not be had: then a part has been moved.
 * Mirrors lose their entries and fault again.
 */
export function movePages(mm: Mm, from: number, to: number, length: number): boolean {
  const { ram } = mm.memory;
  const end = from + length;
  const gather = mm.memory.beginGather();
  let complete = moveHugetlb(mm, from, to, length, gather);
  for (let va = nextMappedAddress(ram, mm.root, from, end); complete && va < end;) {
    if (moveHuge(mm, va, from, to, end, gather)) {
      va = nextMappedAddress(ram, mm.root, va + PMD_SIZE, end);
      continue;
    }
    const table = findTable(ram, mm.root, va);
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    for (const stop = table === 0 ? va : Math.min(next, end); va < stop; va += PAGE_SIZE) {
      const index = leafIndex(va);
      const pte = ram.readPte(table, index);
      if (pte === 0) continue;
      const target = ensureTable(mm, va - from + to, 0);
      if (target === 0) {
        complete = false;
        break;
      }
      // Making a table may have reclaimed this page.
      if (ram.readPte(table, index) !== pte) continue;
      ram.writePte(table, index, 0);
      gather.touch(mm, table, index);
      ram.writePte(target, leafIndex(va - from + to), pte);
    }
    va = nextMappedAddress(ram, mm.root, next, end);
  }
  zapMirrors(mm, from, end, gather, "and private copies");
  gather.finish();
  return complete;
}
