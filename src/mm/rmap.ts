// From an object's pages to the page-table entries that map them, and removing entries (mm/rmap.c, zap_pte_range, unmap_mapping_range).
// The only place where leaf entries of present pages are taken away for good; munmap, madvise, truncate and exit come here.
import { PAGE_SIZE, PMD_SIZE, type Pfn } from "../base/numbers.ts";
import { PTE_D } from "../machine/pte.ts";
import { FRAME_DIRTY, KIND_ANON, KIND_FILE, KIND_HUGETLB, KIND_SHMEM, KIND_ZERO } from "./frame.ts";
import { zapHugetlb } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import type { MemoryObject } from "./object.ts";
import {
  PTE_PRESENT,
  findTable,
  indexOfWord,
  isHugeLeaf,
  leafIndex,
  nextMappedAddress,
  nextTableAddress,
  pmdWord,
  tableAt,
} from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import { isSwapPte, swapSlot } from "./swap.ts";
import { splitHuge, zapHuge } from "./thp-split.ts";
import { VM_SHARED, type Vma } from "./vma.ts";

/** Which pages a zap takes: all, or (punching a hole) only the object's own, leaving private copies. */
export type ZapMode = "and private copies" | "shared only";

/** Counts a page that `mm` maps now (+1) or no longer (-1). `kind` is the frame's. */
export function countRss(mm: Mm, kind: number, delta: number): void {
  if (kind === KIND_ANON) mm.rssAnon += delta;
  else if (kind === KIND_FILE) mm.rssFile += delta;
  else if (kind === KIND_SHMEM) mm.rssShmem += delta;
}

/** Counts all pages of `counts`, which are by kind, as countRss does; then the counts are zero again. */
export function countPages(mm: Mm, counts: Int32Array, change: 1 | -1): void {
  mm.rssAnon += change * counts[KIND_ANON];
  mm.rssFile += change * counts[KIND_FILE];
  mm.rssShmem += change * counts[KIND_SHMEM];
  counts.fill(0);
}

/** Takes the swap entry at `word` out, with its slot. */
export function zapSwapEntry(mm: Mm, word: number): void {
  const { ram, swap } = mm.memory;
  swap!.put(swapSlot(ram.u32[word]));
  ram.u32[word] = 0;
  mm.swapPages--;
}

/** Takes all pages of [start, end) of a VMA out of the page tables, and out of the mirrors of its mm. */
export function zapRange(
  vma: Vma,
  start: number,
  end: number,
  gather: Gather,
  mode: ZapMode = "and private copies",
): void {
  const mm = vma.mm;
  zapTables(mm, start, end, gather, mode, mm);
  if (mm.mirrors.size > 0) zapMirrors(mm, start, end, gather, mode);
}

/** Empties what the mirrors of `mm` show of [start, end). */
export function zapMirrors(mm: Mm, start: number, end: number, gather: Gather, mode: ZapMode): void {
  for (const mirror of mm.mirrors) {
    const from = Math.max(start, mirror.start);
    const to = Math.min(end, mirror.end);
    if (from < to) zapTables(mirror.mm, from + mirror.shift, to + mirror.shift, gather, mode, null);
  }
}

/** Empties [start, end) of the tables of `mm`; pages are counted off `rss`, which is `mm` (null: only private copies were counted). */
export function zapTables(mm: Mm, start: number, end: number, gather: Gather, mode: ZapMode, rss: Mm | null): void {
  const { ram, frames } = mm.memory;
  const { u32 } = ram;
  if (rss !== null) rss.noteHighWater();
  const { counts } = gather;
  if (mm.memory.hugetlb.mapped > 0) zapHugetlb(mm, start, end, gather, mode, rss);
  for (let va = nextMappedAddress(ram, mm.root, start, end); va < end;) {
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    const word = pmdWord(ram, mm.root, va);
    if (isHugeLeaf(u32[word])) zapLeaf(mm, word, Math.min(next, end) - va, gather, mode, rss);
    const table = tableAt(u32[word]);
    const from = (table << 10) + 2 * leafIndex(va);
    const to = table === 0 ? 0 : from + (2 * (Math.min(next, end) - va)) / PAGE_SIZE;
    let first = 0;
    let last = 0;
    for (let word = from; word < to; word += 2) {
      const pte = u32[word];
      if (pte === 0) continue;
      if ((pte & PTE_PRESENT) === 0) {
        if (mode !== "shared only" && isSwapPte(pte)) zapSwapEntry(mm, word);
        continue;
      }
      const pfn = (pte >>> 10) as Pfn;
      const kind = frames.kind[pfn];
      if (mode === "shared only" && kind === KIND_ANON) continue;
      u32[word] = 0;
      if (first === 0) first = word;
      last = word;
      if (kind === KIND_ZERO) continue;
      if ((pte & PTE_D) !== 0 && kind !== KIND_ANON) frames.flags[pfn] |= FRAME_DIRTY;
      frames.mapcount[pfn]--;
      counts[kind]++;
      // Only the last reference has to wait for the flush.
      if (frames.refcount[pfn] > 1) frames.refcount[pfn]--;
      else gather.release(pfn);
    }
    if (first !== 0) gather.touch(mm, table, indexOfWord(first), indexOfWord(last));
    va = nextMappedAddress(ram, mm.root, next, end);
  }
  if (rss === null) counts[KIND_FILE] = counts[KIND_SHMEM] = 0;
  countPages(mm, counts, -1);
}

/** zap_huge_pmd: `bytes` of a huge leaf go. If that is a part only, it is split first: what is left to do is in a table then, if anything. */
function zapLeaf(mm: Mm, word: number, bytes: number, gather: Gather, mode: ZapMode, rss: Mm | null): void {
  const { ram, frames } = mm.memory;
  const kind = frames.kind[ram.u32[word] >>> 10];
  if (kind === KIND_HUGETLB || (mode === "shared only" && kind === KIND_ANON)) return;
  if (bytes === PMD_SIZE) zapHuge(mm, word, gather, rss);
  else splitHuge(mm, word, gather, rss);
}

/** unmap_mapping_range: takes pages [first, end) of an object out of every address space that maps them. */
export function unmapMappingRange(object: MemoryObject, first: number, end: number, mode: ZapMode): void {
  if (object.mappings.size === 0) return;
  const gather = object.memory.beginGather();
  zapPages(object.mappings, first, end, gather, mode);
  gather.finish();
}

/** Takes pages [first, end) of their object out of the page tables of `vmas`. */
export function zapPages(vmas: Iterable<Vma>, first: number, end: number, gather: Gather, mode: ZapMode): void {
  for (const vma of vmas) {
    const low = Math.max(first, vma.pgoff);
    const high = Math.min(end, vma.pgoff + vma.pages);
    if (low < high) zapRange(vma, vma.addressOf(low), vma.addressOf(high), gather, mode);
  }
}

/**
 * Moves the D bits that shared mappings have set on pages [first, end) of an object to the frames, so that they can be written out; the next
 * store through such a mapping sets D again.
 */
export function collectDirty(object: MemoryObject, first: number, end: number): void {
  const gather = object.memory.beginGather();
  for (const vma of object.mappings) {
    if ((vma.flags & VM_SHARED) === 0) continue;
    const low = Math.max(first, vma.pgoff);
    const high = Math.min(end, vma.pgoff + vma.pages);
    if (low >= high) continue;
    cleanTables(vma.mm, vma.addressOf(low), vma.addressOf(high), gather);
    for (const mirror of vma.mm.mirrors) {
      const from = Math.max(vma.addressOf(low), mirror.start);
      const to = Math.min(vma.addressOf(high), mirror.end);
      if (from < to) cleanTables(mirror.mm, from + mirror.shift, to + mirror.shift, gather);
    }
  }
  gather.finish();
}

function cleanTables(mm: Mm, start: number, end: number, gather: Gather): void {
  const { ram, frames } = mm.memory;
  for (let va = nextTableAddress(ram, mm.root, start, end); va < end;) {
    const table = findTable(ram, mm.root, va);
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    const stop = leafIndex(va) + (Math.min(next, end) - va) / PAGE_SIZE;
    for (let index = leafIndex(va); index < stop; index++) {
      const pte = ram.readPte(table, index);
      if ((pte & PTE_PRESENT) === 0 || (pte & PTE_D) === 0 || frames.kind[pte >>> 10] === KIND_ANON) continue;
      frames.flags[pte >>> 10] |= FRAME_DIRTY;
      ram.writePte(table, index, pte & ~PTE_D);
      gather.touch(mm, table, index);
    }
    va = nextTableAddress(ram, mm.root, next, end);
  }
}
