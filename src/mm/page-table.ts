// Sv48 page tables of an mm: finding, making and freeing tables, and the leaf entries in them. Leaves that other parts call; decides nothing about
// pages or VMAs. The walks that fork, exit and faults take make no calls of their own: V8 runs them unoptimized at first, where each call costs 0.1 µs. A leaf is an entry of a level-0 table (4 KiB) or a huge one of a level-1 table (2 MiB). mm's fault, zap, fork and mremap use it, and mshare links with it. Every table but the root is counted in `mm.tableBytes`.
import {
  ENTRIES,
  LEVEL_SIZE,
  PTE_A,
  PTE_G,
  PTE_R,
  PTE_RWX,
  PTE_U,
  PTE_V,
  PTE_X,
  ROOT_LEVEL,
  isTable,
  makePte,
  ptePfn,
} from "../machine/pte.ts";
import type { Ram } from "../machine/ram.ts";
import { KernelBug } from "../base/bug.ts";
import { PAGE_SIZE, PMD_SIZE, PUD_SIZE, PGD_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { KIND_TABLE } from "./frame.ts";
import type { Mm } from "./mm.ts";
import type { Gather } from "./shootdown.ts";
import { VM_ACCESS_FLAGS, VM_EXEC, VM_READ, VM_WRITE } from "./vma.ts";

/**
 * A page that is mapped but that nobody may touch (PROT_NONE): not valid for hardware, marked by a bit that user pages do not use otherwise,
 * as riscv Linux does. A leaf entry is present if it has any bit of PTE_PRESENT.
 */
export const PTE_PROT_NONE = PTE_G;
export const PTE_PRESENT = PTE_V | PTE_PROT_NONE;

/** vm_page_prot without W: the entry's bits for a VMA with these flags (protection_map of arch/riscv: W implies R; X alone is X alone). */
export function protectionBits(vmFlags: number): number {
  if ((vmFlags & VM_ACCESS_FLAGS) === 0) return PTE_PROT_NONE | PTE_U | PTE_A;
  let bits = PTE_V | PTE_U | PTE_A;
  if ((vmFlags & (VM_READ | VM_WRITE)) !== 0) bits |= PTE_R;
  if ((vmFlags & VM_EXEC) !== 0) bits |= PTE_X;
  return bits;
}

// The word index of entry i of table t is (t << 10) + 2 * i; a pointer entry's own "t << 10" is the entry without its low ten bits.
const wordOf = (pointer: number, index: number): number => (pointer & ~1023) + 2 * index;

/** `(entry & TABLE_MASK) === PTE_V`: the entry points to a table (isTable). */
const TABLE_MASK = PTE_V | PTE_RWX;

/** The level-0 table that covers `va`, or 0 if there is none. Follows links into tables of other mms. */
export function findTable(ram: Ram, root: Pfn, va: number): Pfn {
  const word = pmdWord(ram, root, va);
  return word === 0 ? (0 as Pfn) : tableAt(ram.u32[word]);
}

/** The table that an entry points to, or 0. */
export const tableAt = (entry: number): Pfn => ((entry & TABLE_MASK) === PTE_V ? entry >>> 10 : 0) as Pfn;

/** Index of `va` in its level-0 table. */
export const leafIndex = (va: number): number => (va % PMD_SIZE) >>> 12;

/** The word (index into `ram.u32`) of the level-1 entry that covers `va`, or 0 if there is no level-1 table. Follows links. */
export function pmdWord(ram: Ram, root: Pfn, va: number): number {
  const u32 = ram.u32;
  const high = Math.floor(va / PUD_SIZE);
  const pgd = u32[(root << 10) + 2 * (high >>> 9)];
  if ((pgd & TABLE_MASK) !== PTE_V) return 0;
  const pud = u32[(pgd & ~1023) + 2 * (high & 511)];
  return (pud & TABLE_MASK) === PTE_V ? (pud & ~1023) + 2 * ((va - high * PUD_SIZE) >>> 21) : 0;
}

/** The table that a word is in, and the index of its entry there. */
export const tableOfWord = (word: number): Pfn => asPfn(word >>> 10);
export const indexOfWord = (word: number): number => (word & 1023) >>> 1;

/** Whether a level-1 entry maps 2 MiB itself (present, or PROT_NONE as PTE_PROT_NONE says). */
export const isHugeLeaf = (pmd: number): boolean => (pmd & PTE_PRESENT) !== 0 && !isTable(pmd);

/** The word of the leaf entry that maps `va`, a page's or a huge one; 0 if there is none and no table for one. Follows links. */
export function leafWord(ram: Ram, root: Pfn, va: number): number {
  const word = pmdWord(ram, root, va);
  const pmd = word === 0 ? 0 : ram.u32[word];
  if (isTable(pmd)) return wordOf(pmd, leafIndex(va));
  return isHugeLeaf(pmd) ? word : 0;
}

/** What a level-0 entry for page `index` (0 to 511, of 1 GiB 262143) of a huge leaf would be: its rights, A and D, the frame of that page. */
export const pageOfHugeLeaf = (pmd: number, index: number): number => (pmd | (index << 10)) >>> 0;

/** The word of the entry of a level (1 or 2) that covers `va`, or 0 if there is no table of that level. Follows links. */
export function entryWord(ram: Ram, root: Pfn, va: number, level: number): number {
  if (level === 1) return pmdWord(ram, root, va);
  const high = Math.floor(va / PUD_SIZE);
  const pgd = ram.u32[(root << 10) + 2 * (high >>> 9)];
  return isTable(pgd) ? wordOf(pgd, high & 511) : 0;
}

/** Index of `va` among the 4 KiB pages of the 1 GiB it is in. */
const indexInGigabyte = (va: number): number => (va % PUD_SIZE) / PAGE_SIZE;

/** The word of the huge leaf (2 MiB or 1 GiB) that covers `va`, and the frame of its page at `va`; null if there is none. Follows links. */
export function findHugeLeaf(ram: Ram, root: Pfn, va: number): { word: number; pfn: Pfn } | null {
  for (const level of [1, 2]) {
    const word = entryWord(ram, root, va, level);
    if (word === 0 || !isHugeLeaf(ram.u32[word])) continue;
    const index = level === 1 ? leafIndex(va) : Math.floor(indexInGigabyte(va));
    return { word, pfn: ptePfn(pageOfHugeLeaf(ram.u32[word], index)) };
  }
  return null;
}

/** The leaf entry for `va`, 0 if there is none. Of a huge leaf: as `pageOfHugeLeaf` gives it. Follows links. */
export function readLeaf(ram: Ram, root: Pfn, va: number): number {
  const word = pmdWord(ram, root, va);
  if (word === 0) {
    const upper = entryWord(ram, root, va, 2);
    const pud = upper === 0 ? 0 : ram.u32[upper];
    return isHugeLeaf(pud) ? pageOfHugeLeaf(pud, Math.floor(indexInGigabyte(va))) : 0;
  }
  const pmd = ram.u32[word];
  if (isTable(pmd)) return ram.u32[wordOf(pmd, leafIndex(va))];
  return isHugeLeaf(pmd) ? pageOfHugeLeaf(pmd, leafIndex(va)) : 0;
}

/** The present leaf entry at `va` of the process's view (through links), or 0. */
export function presentLeaf(mm: Mm, va: number): number {
  const pte = readLeaf(mm.memory.ram, mm.root, va);
  return (pte & PTE_PRESENT) !== 0 ? pte : 0;
}

/** Whether a leaf entry lets the access through as it is. */
export function permits(pte: number, access: number): boolean {
  if ((pte & PTE_V) === 0) return false;
  // ACCESS_READ, WRITE, EXECUTE are 1, 2, 4; PTE_R, W, X are 2, 4, 8.
  return (pte & (access << 1)) === access << 1;
}

/** The first address in [va, end) that a level-0 table covers, or `end`. Skips what has no tables at the highest level possible. */
export function nextTableAddress(ram: Ram, root: Pfn, va: number, end: number): number {
  va = nextMappedAddress(ram, root, va, end);
  while (va < end && findTable(ram, root, va) === 0) va = nextMappedAddress(ram, root, nextPmd(va), end);
  return va;
}

/** The first address that the next level-1 entry covers. */
const nextPmd = (va: number): number => va - (va % PMD_SIZE) + PMD_SIZE;

/** The first address in [va, end) that a level-0 table or a huge leaf covers, or `end`. */
export function nextMappedAddress(ram: Ram, root: Pfn, va: number, end: number): number {
  const u32 = ram.u32;
  while (va < end) {
    const high = Math.floor(va / PUD_SIZE);
    const pgd = u32[(root << 10) + 2 * (high >>> 9)];
    if ((pgd & TABLE_MASK) !== PTE_V) {
      va = (Math.floor(va / PGD_SIZE) + 1) * PGD_SIZE;
      continue;
    }
    const pud = u32[(pgd & ~1023) + 2 * (high & 511)];
    if ((pud & TABLE_MASK) === PTE_V) {
      for (let i = (va - high * PUD_SIZE) >>> 21; i < ENTRIES; i++) {
        if (u32[(pud & ~1023) + 2 * i] === 0) continue;
        const found = Math.max(va, high * PUD_SIZE + i * PMD_SIZE);
        return found < end ? found : end;
      }
    }
    va = (high + 1) * PUD_SIZE;
  }
  return end;
}

/** A page and the entry that maps it; "huge": as `pageOfHugeLeaf` gives it. */
export type LeafVisit = (va: number, pte: number, size: "page" | "huge") => void;

/** Calls `visit` with each present leaf entry of [start, end), page by page: those of a huge leaf as `pageOfHugeLeaf` gives them. Follows links. */
export function forEachLeaf(ram: Ram, root: Pfn, start: number, end: number, visit: LeafVisit): void {
  const { u32 } = ram;
  for (let va = nextMappedAddress(ram, root, start, end); va < end;) {
    const pmd = u32[pmdWord(ram, root, va)];
    const huge = !isTable(pmd);
    const stop = Math.min(end, va - (va % PMD_SIZE) + PMD_SIZE);
    for (; va < stop; va += PAGE_SIZE) {
      const pte = huge ? pageOfHugeLeaf(pmd, leafIndex(va)) : u32[wordOf(pmd, leafIndex(va))];
      if ((pte & PTE_PRESENT) !== 0) visit(va, pte, huge ? "huge" : "page");
    }
    va = nextMappedAddress(ram, root, stop, end);
  }
}

/** Makes an empty table. Returns 0 if no frame can be had. */
export function newTable(mm: Mm): Pfn {
  const pfn = mm.memory.allocateFrame(mm, KIND_TABLE);
  if (pfn !== 0) mm.memory.ram.zero(pfn);
  return pfn;
}

/**
 * The table of `level` (0 to 2) that covers `va`, made if it is missing, together with those above it. Returns 0 if no frame can be had.
 * New tables belong to `mm` and count in its VmPTE.
 */
export function ensureTable(mm: Mm, va: number, level: number): Pfn {
  const { u32 } = mm.memory.ram;
  let table = mm.root;
  for (let at = ROOT_LEVEL; at > level; at--) {
    const word = (table << 10) + 2 * (Math.floor(va / LEVEL_SIZE[at]) % ENTRIES);
    const entry = u32[word];
    if ((entry & TABLE_MASK) === PTE_V) {
      table = (entry >>> 10) as Pfn;
      continue;
    }
    if (entry !== 0) throw new KernelBug(`a table is wanted where a huge leaf maps ${va.toString(16)}`);
    const fresh = newTable(mm);
    if (fresh === 0) return fresh;
    u32[word] = makePte(fresh, PTE_V);
    mm.tableBytes += PAGE_SIZE;
    table = fresh;
  }
  return table;
}

/**
 * Takes the table that entry `index` of `table` (of `level`) points to, and those below it, away: nothing is mapped there. False if other entries point to
 * one of them: then it stays, for them to be taken out first.
 */
export function dropEmptyTable(mm: Mm, table: Pfn, index: number, level: number): boolean {
  const { ram, frames } = mm.memory;
  const child = ptePfn(ram.readPte(table, index));
  if (frames.refcount[child] > 1) return false;
  for (let i = 0; i < ENTRIES; i++) {
    const entry = ram.readPte(child, i);
    if (entry === 0) continue;
    if (level === 1 || !isTable(entry)) throw new KernelBug(`a table that should be empty holds ${entry.toString(16)}`);
    if (!dropEmptyTable(mm, child, i, level - 1)) return false;
  }
  ram.writePte(table, index, 0);
  mm.tableBytes -= PAGE_SIZE;
  frames.put(child);
  return true;
}

/** Takes the last-level table of `va` away if it has no entry. */
export function dropUnusedTable(mm: Mm, va: number): void {
  const { ram } = mm.memory;
  const table = findTable(ram, mm.root, va);
  if (table === 0) return;
  for (let i = 0; i < ENTRIES; i++) if (ram.readPte(table, i) !== 0) return;
  const word = pmdWord(ram, mm.root, va);
  dropEmptyTable(mm, tableOfWord(word), indexOfWord(word), 1);
}

/**
 * free_pgtables: frees the tables that only [start, end) used. `floor` is the end of what lies below (0 if nothing), `ceiling` the start of
 * what lies above (TASK_SIZE if nothing): tables that reach over them are kept. A table that other entries point to stays, empty, with those above it.
 */
export function freeTables(mm: Mm, start: number, end: number, floor: number, ceiling: number, gather: Gather): void {
  freeBelow(mm, mm.root, ROOT_LEVEL, 0, start, end, floor, ceiling, gather);
}

/** Frees what can be freed under the entries of `table` (which starts at `base`). Returns whether every entry visited is empty now. */
function freeBelow(
  mm: Mm,
  table: Pfn,
  level: number,
  base: number,
  start: number,
  end: number,
  floor: number,
  ceiling: number,
  gather: Gather,
): boolean {
  const { ram, frames } = mm.memory;
  const { u32 } = ram;
  const words = table << 10;
  const size = LEVEL_SIZE[level];
  const first = Math.max(0, Math.floor((start - base) / size));
  const last = Math.min(ENTRIES - 1, Math.ceil((end - base) / size) - 1);
  let emptied = true;
  for (let i = first; i <= last; i++) {
    const entry = u32[words + 2 * i];
    if (entry === 0) continue;
    const childBase = base + i * size;
    const child = (entry >>> 10) as Pfn;
    // Linked from elsewhere: what is below it belongs to the sharers as well.
    const removable = (entry & TABLE_MASK) === PTE_V && frames.refcount[child] === 1;
    const empty =
      removable && (level === 1 || freeBelow(mm, child, level - 1, childBase, start, end, floor, ceiling, gather));
    // Outside [start, end) nothing is mapped there, but tables that are linked from elsewhere may have stayed.
    const seen = level === 1 || !mm.isLinkable || (childBase >= start && childBase + size <= end);
    if (!empty || childBase < floor || childBase + size > ceiling || !(seen || isEmpty(ram, child))) {
      emptied = false;
      continue;
    }
    u32[words + 2 * i] = 0;
    mm.tableBytes -= PAGE_SIZE;
    gather.release(child);
  }
  return emptied;
}

/** Whether all 512 entries of a table are zero. */
export function isEmpty(ram: Ram, table: Pfn): boolean {
  const u32 = ram.u32;
  const base = table << 10;
  for (let i = 0; i < 2 * ENTRIES; i += 2) if (u32[base + i] !== 0) return false;
  return true;
}
