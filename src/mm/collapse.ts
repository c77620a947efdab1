// Collapsing: the pages of 2 MiB become one huge page (mm/khugepaged.c of 6.12: hpage_collapse_scan_pmd, collapse_huge_page, collapse_file,
// collapse_pte_mapped_thp). Used by MADV_COLLAPSE, which has no limits, and by khugepaged, which has. Where a window links the page table (mshare) nothing
// is collapsed: a linked table is never replaced by a leaf.
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, PMD_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { ENTRIES, PTE_A, PTE_D, PTE_W, isTable, ptePfn } from "../machine/pte.ts";
import { swapInPage } from "./fault.ts";
import { BLOCK_FRAMES, FRAME_EXCLUSIVE, KIND_ANON, KIND_SHMEM, KIND_ZERO } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { ShmemObject } from "./object.ts";
import {
  PTE_PRESENT,
  ensureTable,
  findTable,
  indexOfWord,
  isEmpty,
  isHugeLeaf,
  pmdWord,
  protectionBits,
  tableOfWord,
} from "./page-table.ts";
import { countRss, zapPages } from "./rmap.ts";
import { isSwapPte } from "./swap.ts";
import { hugeStart } from "./thp.ts";
import { installHuge } from "./thp-split.ts";
import { VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/**
 * What came of 2 MiB (enum scan_result, as far as callers tell them apart). "linked": a region's table that some window links; "not used": too few pages
 * have been, since the A bits were cleared.
 */
export type Collapse =
  | "done"
  | "mapped"
  | "nothing there"
  | "read-only"
  | "not used"
  | "referenced by others"
  | "exceeds a limit"
  | "linked"
  | "no block"
  | "failed";

/** What khugepaged does not go beyond; MADV_COLLAPSE has no limits. */
export interface CollapseLimits {
  readonly maxPtesNone: number;
  readonly maxPtesSwap: number;
  readonly maxPtesShared: number;
}

const ERRORS: Partial<Record<Collapse, number>> = {
  "referenced by others": -EAGAIN,
  linked: -EBUSY,
  "no block": -ENOMEM,
};
/** After these the next 2 MiB are tried all the same. */
const GOES_ON: readonly Collapse[] = ["nothing there", "read-only", "not used", "referenced by others"];

/** MADV_COLLAPSE on [start, end) of a VMA: 0, -EINVAL (cannot have huge pages, nothing to collapse), -ENOMEM, -EAGAIN, -EBUSY (linked by a window). */
export function collapseRange(vma: Vma, start: number, end: number): number {
  if (!vma.mm.memory.thp.allows(vma, "collapse")) return -EINVAL;
  const first = Math.ceil(start / PMD_SIZE) * PMD_SIZE;
  const last = end - (end % PMD_SIZE);
  let collapsed = 0;
  let failure: Collapse = "failed";
  for (let va = first; va < last; va += PMD_SIZE) {
    const result = collapse(vma, va, null);
    if (result === "done" || result === "mapped") collapsed++;
    else {
      failure = result;
      if (!GOES_ON.includes(result)) break;
    }
  }
  return collapsed * PMD_SIZE === last - first ? 0 : (ERRORS[failure] ?? -EINVAL);
}

/** Collapses the 2 MiB at `va`, aligned and inside the VMA, which may have huge pages. */
export function collapse(vma: Vma, va: number, limits: CollapseLimits | null): Collapse {
  if (hugeStart(vma, va) < 0) return "failed";
  if (vma.object === null) return collapsePrivate(vma, va, limits);
  return vma.object instanceof ShmemObject ? collapseObject(vma, vma.object, va, limits) : "failed";
}

/** The level-1 entry for `va`: its word, and what is there. */
function lookUp(mm: Mm, va: number): { word: number; pmd: number } {
  const word = pmdWord(mm.memory.ram, mm.root, va);
  return { word, pmd: word === 0 ? 0 : mm.memory.ram.u32[word] };
}

/** hpage_collapse_scan_pmd: whether the pages of a table may be collapsed. */
function scanPrivate(mm: Mm, table: Pfn, limits: CollapseLimits | null): Collapse {
  const { ram, frames, stat } = mm.memory;
  let [none, swapped, shared, referenced] = [0, 0, 0, 0];
  let writable = false;
  for (let i = 0; i < ENTRIES; i++) {
    const pte = ram.readPte(table, i);
    const pfn = ptePfn(pte);
    if (isSwapPte(pte)) swapped++;
    else if ((pte & PTE_PRESENT) === 0 || frames.kind[pfn] === KIND_ZERO) none++;
    else {
      if ((pte & PTE_W) !== 0) writable = true;
      if ((pte & PTE_A) !== 0) referenced++;
      if (frames.mapcount[pfn] > 1) shared++;
      if (frames.kind[pfn] !== KIND_ANON) return "failed";
      if (frames.refcount[pfn] !== frames.mapcount[pfn]) return "referenced by others";
    }
    if (limits === null) continue;
    if (none > limits.maxPtesNone) stat.thp_scan_exceed_none_pte++;
    else if (swapped > limits.maxPtesSwap) stat.thp_scan_exceed_swap_pte++;
    else if (shared > limits.maxPtesShared) stat.thp_scan_exceed_share_pte++;
    else continue;
    return "exceeds a limit";
  }
  if (!writable) return "read-only";
  const enough = swapped > 0 ? BLOCK_FRAMES / 2 : 1;
  return limits !== null && referenced < enough ? "not used" : "done";
}

/** collapse_huge_page: private memory. */
function collapsePrivate(vma: Vma, va: number, limits: CollapseLimits | null): Collapse {
  const { mm } = vma;
  const { memory } = mm;
  const { ram } = memory;
  const { pmd } = lookUp(mm, va);
  if (isHugeLeaf(pmd)) return "mapped";
  if (!isTable(pmd)) return "nothing there";
  const scanned = scanPrivate(mm, ptePfn(pmd), limits);
  if (scanned !== "done") return scanned;
  const block = takeBlock(mm, KIND_ANON);
  if (block === 0) return "no block";
  const complete = swapInTable(vma, va);
  const table = findTable(ram, mm.root, va);
  if (!complete || !isStillThere(vma, va) || table === 0 || scanPrivate(mm, table, null) !== "done") {
    for (let i = 0; i < BLOCK_FRAMES; i++) memory.frames.put(asPfn(block + i));
    return "failed";
  }
  moveIntoBlock(vma, va, table, block);
  return "done";
}

/** alloc_charge_folio: a block for a collapse, 0 if there is none. */
function takeBlock(mm: Mm, kind: number): Pfn {
  const { memory } = mm;
  const block = memory.allocateBlock(mm, kind);
  if (block === 0) {
    memory.stat.thp_collapse_alloc_failed++;
    return block;
  }
  memory.stat.thp_collapse_alloc++;
  mm.memcg.stat.thpCollapseAlloc++;
  return block;
}

/** hugepage_vma_revalidate: what needed memory may have killed the owner of a region, and so the VMA. */
const isStillThere = (vma: Vma, va: number): boolean => vma.mm.vmas.lookup(va) === vma;

/** Brings the pages of a table back from swap. False if there is no memory. */
function swapInTable(vma: Vma, va: number): boolean {
  const { ram } = vma.mm.memory;
  for (let i = 0; i < ENTRIES; i++) {
    const table = findTable(ram, vma.mm.root, va);
    if (table !== 0 && isSwapPte(ram.readPte(table, i)) && !swapInPage(vma, va + i * PAGE_SIZE)) return false;
  }
  return true;
}

/** Copies what a table maps into the block, which takes its place; the table is kept for the day when it is split. */
function moveIntoBlock(vma: Vma, va: number, table: Pfn, block: Pfn): void {
  const { mm } = vma;
  const { ram, frames } = mm.memory;
  const gather = mm.memory.beginGather();
  mm.noteHighWater();
  const index = vma.pageIndex(va);
  for (let i = 0; i < ENTRIES; i++) {
    const pte = ram.readPte(table, i);
    const to = asPfn(block + i);
    const pfn = ptePfn(pte);
    frames.flags[to] = FRAME_EXCLUSIVE;
    frames.owner[to] = vma.anonVma;
    frames.index[to] = index + i;
    if ((pte & PTE_PRESENT) === 0 || frames.kind[pfn] === KIND_ZERO) ram.zero(to);
    else {
      ram.copy(to, pfn);
      frames.mapcount[pfn]--;
      countRss(mm, KIND_ANON, -1);
      gather.release(pfn);
    }
    if (pte === 0) continue;
    ram.writePte(table, i, 0);
    gather.touch(mm, table, i);
  }
  const word = pmdWord(ram, mm.root, va);
  const write = (vma.flags & VM_WRITE) !== 0 ? PTE_W : 0;
  mm.deposited.push(table);
  installHuge(mm, word, block, protectionBits(vma.flags) | PTE_D | write, KIND_ANON, mm);
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
  gather.finish();
}

/** collapse_file and collapse_pte_mapped_thp: pages of an object, for all who map it; by MADV_COLLAPSE this VMA gets the leaf, else who faults next. */
function collapseObject(vma: Vma, object: ShmemObject, va: number, limits: CollapseLimits | null): Collapse {
  const { mm } = vma;
  const { word, pmd } = lookUp(mm, va);
  if (isHugeLeaf(pmd)) return "mapped";
  const first = vma.pageIndex(va);
  if (isLinked(object, first)) return "linked";
  if (object.huge.has(first)) {
    if (limits !== null && pmd === 0) return word === 0 ? "nothing there" : "done";
    if (!mapsOnly(mm, pmd, object.pages.get(first)) || !retract(vma, va, [vma])) return "failed";
  } else {
    const result = collapsePages(vma, object, first, limits);
    if (result !== "done") return result;
    if (!isStillThere(vma, va) || (!retract(vma, va, object.mappings) && limits === null)) return "failed";
  }
  return limits === null ? installLeaf(vma, object, va, first) : "done";
}

/** Whether a level-1 entry has nothing below it but pages of the block in their places. */
function mapsOnly(mm: Mm, pmd: number, block: Pfn): boolean {
  if (!isTable(pmd)) return true;
  for (let i = 0; i < ENTRIES; i++) {
    const pte = mm.memory.ram.readPte(ptePfn(pmd), i);
    if (pte !== 0 && ((pte & PTE_PRESENT) === 0 || ptePfn(pte) !== block + i)) return false;
  }
  return true;
}

/** What of an object's 512 pages khugepaged finds too many of; a page in swap is not there either. Null: go on. */
function exceeds(memory: MemoryManager, none: number, swapped: number, limits: CollapseLimits): Collapse | null {
  const { stat } = memory;
  if (swapped > limits.maxPtesSwap) stat.thp_scan_exceed_swap_pte++;
  else if (none + swapped > limits.maxPtesNone) stat.thp_scan_exceed_none_pte++;
  else return null;
  return "exceeds a limit";
}

/** The pages of an object from `first` become one huge page, which nobody maps yet; the group of the VMA's mm pays. */
function collapsePages(vma: Vma, object: ShmemObject, first: number, limits: CollapseLimits | null): Collapse {
  const { memory } = object;
  const { frames } = memory;
  let [none, swapped] = [0, 0];
  for (let index = first; index < first + BLOCK_FRAMES; index++) {
    const pfn = object.pages.get(index);
    if (object.isSwapped(index)) swapped++;
    else if (pfn === 0) none++;
    else if (frames.refcount[pfn] !== frames.mapcount[pfn] + 1) return "referenced by others";
  }
  const exceeding = limits === null ? null : exceeds(memory, none, swapped, limits);
  if (exceeding !== null) return exceeding;
  if (none === BLOCK_FRAMES) return "failed";
  const block = takeBlock(vma.mm, KIND_SHMEM);
  if (block === 0) return "no block";
  if (object.huge.collapse(first, block)) return "done";
  for (let i = 0; i < BLOCK_FRAMES; i++) frames.put(asPfn(block + i));
  return "failed";
}

/** Every place where VMAs map the 2 MiB from page `first` of their object: mirrors of their mms included. */
function* places(vmas: Iterable<Vma>, first: number): Generator<{ mm: Mm; va: number }> {
  for (const vma of vmas) {
    const va = vma.addressOf(first);
    if (hugeStart(vma, va) !== va) continue;
    yield { mm: vma.mm, va };
    // What a process has unshared of a region is its own business.
    for (const { mm, start, end, shift, readOnly } of vma.mm.mirrors)
      if (va >= start && va + PMD_SIZE <= end && (mm.viewOf !== null || !readOnly)) yield { mm, va: va + shift };
  }
}

/** Whether somewhere the page table for them is one that another mm links. */
function isLinked(object: ShmemObject, first: number): boolean {
  const { frames } = object.memory;
  for (const { mm, va } of places(object.mappings, first)) {
    const { pmd } = lookUp(mm, va);
    if (isTable(pmd) && frames.refcount[ptePfn(pmd)] > 1) return true;
  }
  return false;
}

/**
 * retract_page_tables: takes the pages that the VMA has at `va` out of the tables of `vmas`, and frees those that are empty then. False if the VMA's own
 * stays.
 */
function retract(vma: Vma, va: number, vmas: Iterable<Vma>): boolean {
  const { memory } = vma.mm;
  const { ram } = memory;
  const first = vma.pageIndex(va);
  const gather = memory.beginGather();
  zapPages(vmas, first, first + BLOCK_FRAMES, gather, "shared only");
  for (const { mm, va: at } of places(vmas, first)) {
    const { word, pmd } = lookUp(mm, at);
    if (!isTable(pmd) || !isEmpty(ram, ptePfn(pmd)) || memory.frames.refcount[ptePfn(pmd)] > 1) continue;
    ram.u32[word] = 0;
    mm.tableBytes -= PAGE_SIZE;
    gather.release(ptePfn(pmd));
  }
  gather.finish();
  return lookUp(vma.mm, va).pmd === 0;
}

/** set_huge_pmd */
function installLeaf(vma: Vma, object: ShmemObject, va: number, first: number): Collapse {
  const { mm } = vma;
  const { ram, frames } = mm.memory;
  if (ensureTable(mm, va, 1) === 0) return "no block";
  const block = object.pages.get(first);
  // Making the table may have reclaimed some of it.
  if (!object.huge.has(first)) return "failed";
  for (let i = block; i < block + BLOCK_FRAMES; i++) frames.refcount[i]++;
  object.huge.markUsed(first);
  const write = (vma.flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) ? PTE_W : 0;
  installHuge(mm, pmdWord(ram, mm.root, va), block, protectionBits(vma.flags) | write, KIND_SHMEM, mm);
  mm.memory.stat.thp_file_mapped++;
  return "done";
}
