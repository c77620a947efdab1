// Hugetlb mappings (mm/hugetlb.c): what differs for a VMA with VM_HUGETLB in mmap, split, close, munmap, mprotect, fork and mremap. Each leaf lies in a table of the
// level that the pool's page size says, in the mm's own tables and in its mirrors. Faults are hugetlb-fault.ts. Called by the files of those calls.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn, alignDown } from "../base/numbers.ts";
import { ENTRIES, LEVEL_SIZE, PTE_A, PTE_D, PTE_W, ROOT_LEVEL, isTable, pteIndex, ptePfn } from "../machine/pte.ts";
import { AnonVma } from "./anon-vma.ts";
import { FRAME_EXCLUSIVE, KIND_HUGETLB } from "./frame.ts";
import type { HugetlbObject } from "./hugetlb-object.ts";
import { ReserveMap, giveTo, reservePages } from "./hugetlb-reserve.ts";
import type { HugePool } from "./hugetlb.ts";
import type { Mm } from "./mm.ts";
import { PTE_PRESENT, ensureTable, isHugeLeaf, protectionBits } from "./page-table.ts";
import type { ZapMode } from "./rmap.ts";
import type { Gather } from "./shootdown.ts";
import { VM_HUGETLB, VM_MAYSHARE, VM_MAYWRITE, VM_NORESERVE, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/** An entry that maps a hugetlb page. */
export interface HugetlbLeaf {
  readonly table: Pfn;
  readonly index: number;
  readonly level: number;
  readonly va: number;
  readonly pte: number;
  /** The page's first frame. */
  readonly head: Pfn;
}

/** The file of a hugetlb VMA (or of what is to become one); undefined for others. */
export function hugetlbOf(vma: Pick<Vma, "object">): HugetlbObject | undefined {
  return vma.object?.kind === "hugetlb" ? (vma.object as HugetlbObject) : undefined;
}

export const isHugetlb = (vma: Vma): boolean => (vma.flags & VM_HUGETLB) !== 0;

/** The pool of a hugetlb VMA. */
export const poolOf = (vma: Vma): HugePool => (vma.object as HugetlbObject).pool;

/** The number of the huge page in its file that shows at `va` of a hugetlb VMA (vma_hugecache_offset). */
export const hugeIndexOf = (vma: Vma, va: number): number => Math.floor(vma.pageIndex(va) / poolOf(vma).frames);

/** All hugetlb leaves whose first address is in [start, end) of the tables of `mm`. A snapshot. */
export function hugetlbLeaves(mm: Mm, start: number, end: number): HugetlbLeaf[] {
  const found: HugetlbLeaf[] = [];
  if (mm.memory.hugetlb.mapped > 0) collect(found, mm, mm.root, ROOT_LEVEL, 0, start, end);
  return found;
}

/** Those under `table`, which starts at `base`. */
function collect(
  found: HugetlbLeaf[],
  mm: Mm,
  table: Pfn,
  level: number,
  base: number,
  start: number,
  end: number,
): void {
  const { ram, frames } = mm.memory;
  const size = LEVEL_SIZE[level];
  const first = Math.max(0, Math.floor((start - base) / size));
  const last = Math.min(ENTRIES, Math.ceil((end - base) / size));
  for (let index = first; index < last; index++) {
    const pte = ram.readPte(table, index);
    const va = base + index * size;
    if (isTable(pte)) {
      if (level > 1) collect(found, mm, ptePfn(pte), level - 1, va, start, end);
    } else if (va >= start && isHugeLeaf(pte) && frames.kind[pte >>> 10] === KIND_HUGETLB)
      found.push({ table, index, level, va, pte, head: ptePfn(pte) });
  }
}

/** A private copy, of a mapping or of a private window. */
export const isPrivateHuge = (mm: Mm, head: Pfn): boolean => mm.memory.frames.owner[head] instanceof AnonVma;

/** hugetlbfs_file_mmap: reserves what the new VMA may need. 0, -EINVAL (file offset), -ENOMEM (too few pages). The VMA is in no tree yet. */
export function openHugetlb(vma: Vma): number {
  const object = vma.object as HugetlbObject;
  const { frames, size } = object.pool;
  if (vma.pgoff % frames !== 0) return -EINVAL;
  const from = vma.pgoff / frames;
  const to = from + (vma.end - vma.start) / size;
  let map: ReserveMap | null = null;
  if ((vma.flags & VM_NORESERVE) === 0 && !object.isSegment) {
    const isShared = (vma.flags & VM_MAYSHARE) !== 0;
    if (!(isShared ? object.reserve(from, to) : reservePages(object, to - from))) return -ENOMEM;
    if (!isShared) map = new ReserveMap();
  }
  vma.hugetlb = { map, unmapped: false };
  if ((vma.flags & VM_WRITE) !== 0) object.extend(to * size);
  return 0;
}

/** hugetlb_vm_op_close: the VMA is gone; what it reserved and did not use is given back. */
export function closeHugetlb(vma: Vma): void {
  const map = vma.hugetlb?.map ?? null;
  if (map === null) return;
  const object = vma.object as HugetlbObject;
  const from = hugeIndexOf(vma, vma.start);
  const unused = map.missing(from, from + (vma.end - vma.start) / object.pool.size);
  if (unused > 0) object.pool.unreserve(giveTo(object.subpool, unused));
}

/** hugetlb_vm_op_split: whether a hugetlb VMA may be cut at `address`: not inside a page. */
export const maySplit = (vma: Vma, address: number): boolean => !isHugetlb(vma) || address % poolOf(vma).size === 0;

/** One more leaf maps a page (its reference is there already), or one less; `rss` counts it, null: nobody. */
export function countHugetlb(mm: Mm, head: Pfn, pool: HugePool, change: 1 | -1, rss: Mm | null): void {
  mm.memory.frames.mapcount[head] += change;
  mm.memory.hugetlb.mapped += change;
  if (rss !== null) rss.hugetlbPages += change * pool.frames;
}

/** Empties [start, end) of the tables of `mm` of hugetlb leaves (__unmap_hugepage_range); `rss` as in zapTables. */
export function zapHugetlb(mm: Mm, start: number, end: number, gather: Gather, mode: ZapMode, rss: Mm | null): void {
  for (const leaf of hugetlbLeaves(mm, start, end)) {
    const isPrivate = isPrivateHuge(mm, leaf.head);
    if (mode === "shared only" && isPrivate) continue;
    zapLeaf(mm, leaf, gather, rss ?? (isPrivate && mm.viewOf === null ? mm : null));
  }
}

/** Takes one leaf away. */
export function zapLeaf(mm: Mm, leaf: HugetlbLeaf, gather: Gather, rss: Mm | null): void {
  const { memory } = mm;
  const { head, table, index, va } = leaf;
  const pool = memory.hugetlb.poolOf(head)!;
  memory.ram.writePte(table, index, 0);
  gather.touch(mm, table, index);
  countHugetlb(mm, head, pool, -1, rss);
  if (pool.surplus === 0 && memory.frames.mapcount[head] === 0 && isPrivateHuge(mm, head))
    restoreReservation(mm, va, head);
  gather.release(head);
}

/** A private page of the process that made the mapping: it may have another one there. */
function restoreReservation(mm: Mm, va: number, head: Pfn): void {
  const vma = mm.vmas.lookup(va);
  const map = vma?.hugetlb?.map ?? null;
  if (vma === null || map === null) return;
  mm.memory.hugetlb.restoreReserve(head);
  const index = hugeIndexOf(vma, va);
  map.delete(index, index + 1);
}

/** hugetlb_change_protection on the tables of `mm` that show [start, end) of a VMA at these addresses. */
export function protectHugetlb(
  mm: Mm,
  vma: Vma,
  start: number,
  end: number,
  gather: Gather,
  options: { readonly readOnly: boolean },
): void {
  const canWrite = (vma.flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED) && !options.readOnly;
  const bits = protectionBits(vma.flags) | (canWrite ? PTE_W : 0);
  for (const { table, index, pte } of hugetlbLeaves(mm, start, end)) {
    const changed = ((pte & ~1023) | bits | (pte & (PTE_A | PTE_D))) >>> 0;
    if (changed === pte) continue;
    mm.memory.ram.writePte(table, index, changed);
    gather.touch(mm, table, index);
  }
}

/** copy_hugetlb_page_range: the pages of a VMA of `parent` in [start, end) are the child's as well, copy-on-write. False: no memory for tables. */
export function copyHugetlb(child: Mm, source: Vma, gather: Gather): boolean {
  const parent = source.mm;
  const { frames } = parent.memory;
  const cow = (source.flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
  for (const leaf of hugetlbLeaves(parent, source.start, source.end)) {
    if (!shareLeaf(parent, child, leaf, gather, { cow })) return false;
    child.hugetlbPages += poolOf(source).frames;
    if (isPrivateHuge(parent, leaf.head)) frames.flags[leaf.head] &= ~FRAME_EXCLUSIVE;
  }
  return true;
}

/** Lets a leaf of `parent` show in `child` at the same address, write-protected on both sides with `cow`. */
export function shareLeaf(
  parent: Mm,
  child: Mm,
  leaf: HugetlbLeaf,
  gather: Gather,
  options: { cow: boolean },
): boolean {
  const { ram, frames, hugetlb } = parent.memory;
  const target = ensureTable(child, leaf.va, leaf.level);
  if (target === 0) return false;
  let { pte } = leaf;
  if (options.cow && (pte & PTE_W) !== 0) {
    pte = (pte & ~PTE_W) >>> 0;
    ram.writePte(leaf.table, leaf.index, pte);
    gather.touch(parent, leaf.table, leaf.index);
  }
  ram.writePte(target, leaf.index, pte);
  frames.refcount[leaf.head]++;
  frames.mapcount[leaf.head]++;
  hugetlb.mapped++;
  return true;
}

/** move_hugetlb_page_tables: false if a table could not be had; then a part has been moved. Mirrors are the caller's business. */
export function moveHugetlb(mm: Mm, from: number, to: number, length: number, gather: Gather): boolean {
  const { ram } = mm.memory;
  for (const { table, index, level, va, pte } of hugetlbLeaves(mm, from, from + length)) {
    const target = ensureTable(mm, va - from + to, level);
    if (target === 0) return false;
    ram.writePte(table, index, 0);
    gather.touch(mm, table, index);
    ram.writePte(target, pteIndex(va - from + to, level), pte);
  }
  return true;
}

/** Whether a leaf maps the page at `va` (for mincore: the file's own pages do not count). */
export function isHugetlbPresent(mm: Mm, va: number, pool: HugePool): boolean {
  const base = alignDown(va, pool.size);
  const leaves = hugetlbLeaves(mm, base, base + PAGE_SIZE);
  return leaves.length > 0 && (leaves[0].pte & PTE_PRESENT) !== 0;
}
