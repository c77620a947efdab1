// Fault-around (mm/memory.c: do_fault_around; mm/filemap.c: filemap_map_pages): a read fault in a mapping of an object also enters the pages around it
// that the object holds. Used by fault.ts only.
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { FAULT_AROUND_PAGES } from "./constants.ts";
import { FRAME_FALLOCATED } from "./frame.ts";
import type { Mm } from "./mm.ts";
import { countRss } from "./rmap.ts";
import type { Vma } from "./vma.ts";

/**
 * Enters what the object of `vma` holds around entry `index` of `table`, which stands for page `vmaOffset` of the VMA, with `bits`; the pages count for
 * `rss`. Entries that are there stay. Every exec and fork comes here with 16 pages at a time: no calls but the one that looks a page up.
 */
export function mapAround(
  space: Mm,
  vma: Vma,
  vmaOffset: number,
  table: Pfn,
  index: number,
  bits: number,
  rss: Mm | null,
): void {
  const { ram, frames } = space.memory;
  const { u32 } = ram;
  const object = vma.object!;
  const first = Math.max(index - (index % FAULT_AROUND_PAGES), index - vmaOffset);
  // What is beyond the VMA, the table or the object's end is not entered.
  const inVma = vma.pages - vmaOffset;
  const inObject = Math.ceil(object.size / PAGE_SIZE) - vma.pgoff - vmaOffset;
  const end = Math.min(first + FAULT_AROUND_PAGES, 512, index + Math.min(inVma, inObject));
  const shift = vma.pgoff + vmaOffset - index;
  let kind = 0;
  let mapped = 0;
  for (let i = first; i < end; i++) {
    const word = (table << 10) + 2 * i;
    if (u32[word] !== 0) continue;
    const pfn = object.pages.get(i + shift);
    if (pfn === 0 || (frames.flags[pfn] & FRAME_FALLOCATED) !== 0) continue;
    u32[word] = ((pfn << 10) | bits) >>> 0;
    frames.refcount[pfn]++;
    frames.mapcount[pfn]++;
    // That of all pages of the object.
    kind = frames.kind[pfn];
    mapped++;
  }
  if (rss !== null && mapped > 0) countRss(rss, kind, mapped);
}
