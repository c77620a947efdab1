// /proc/PID/smaps and smaps_rollup: what the page tables say about each VMA (fs/proc/task_mmu.c: smaps_pte_entry, smaps_account).

import { PAGE_SIZE } from "../../../base/numbers.ts";
import { PTE_A, PTE_D, ptePfn } from "../../../machine/pte.ts";
import { FRAME_DIRTY, FRAME_LAZYFREE, KIND_ANON, KIND_FILE, KIND_SHMEM, KIND_ZERO } from "../../../mm/frame.ts";
import { hugetlbLeaves, isHugetlb, poolOf } from "../../../mm/hugetlb-vma.ts";
import type { Mm } from "../../../mm/mm.ts";
import { ShmemObject } from "../../../mm/object.ts";
import { type LeafVisit, forEachLeaf, nextTableAddress, readLeaf } from "../../../mm/page-table.ts";
import { isSwapPte, swapSlot } from "../../../mm/swap.ts";
import * as vm from "../../../mm/vma.ts";
import type { Vma } from "../../../mm/vma.ts";
import { windowOf, windowUsage } from "../../../mshare/usage.ts";
import { hex, kbLine } from "./format.ts";
import { mapsLine } from "./maps.ts";

/** Bytes of one VMA or of all (struct mem_size_stats); the pss numbers may have fractions. */
class MemSizeStats {
  resident = 0;
  pss = 0;
  pssDirty = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  pssLocked = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  lazyFree = 0;
  sharedHugetlb = 0;
  privateHugetlb = 0;
  // Mapped by huge leaves.
  anonHuge = 0;
  shmemHuge = 0;
  /** Bytes of regions. */
  mshare = 0;
  swap = 0;
  swapPss = 0;

  add(other: MemSizeStats): void {
    for (const key of Object.keys(other) as (keyof Omit<MemSizeStats, "add">)[]) this[key] += other[key];
  }
}

/** One page that `vma` shows through the leaf entry `pte`, or a huge one. */
function account(stats: MemSizeStats, vma: Vma, pte: number, size: "page" | "huge"): void {
  const { frames } = vma.mm.memory;
  const pfn = ptePfn(pte);
  const kind = frames.kind[pfn];
  if (kind === KIND_ZERO) return;
  if (size === "huge" && kind === KIND_ANON) stats.anonHuge += PAGE_SIZE;
  if (size === "huge" && kind === KIND_SHMEM) stats.shmemHuge += PAGE_SIZE;
  const flags = frames.flags[pfn];
  const dirty = (pte & PTE_D) !== 0 || (flags & FRAME_DIRTY) !== 0;
  stats.resident += PAGE_SIZE;
  if (pte & PTE_A) stats.referenced += PAGE_SIZE;
  if (kind === KIND_ANON) {
    stats.anonymous += PAGE_SIZE;
    if (flags & FRAME_LAZYFREE && !dirty) stats.lazyFree += PAGE_SIZE;
  }
  const maps = Math.max(1, frames.mapcount[pfn]);
  // In units of 1/4096 byte, as Linux counts (PSS_SHIFT).
  const pss = Math.floor((PAGE_SIZE * PAGE_SIZE) / maps) / PAGE_SIZE;
  stats.pss += pss;
  if (kind === KIND_ANON) stats.pssAnon += pss;
  else if (kind === KIND_SHMEM) stats.pssShmem += pss;
  else if (kind === KIND_FILE) stats.pssFile += pss;
  if (vma.flags & vm.VM_LOCKED) stats.pssLocked += pss;
  if (dirty) stats.pssDirty += pss;
  const shared = maps > 1;
  if (shared && dirty) stats.sharedDirty += PAGE_SIZE;
  else if (shared) stats.sharedClean += PAGE_SIZE;
  else if (dirty) stats.privateDirty += PAGE_SIZE;
  else stats.privateClean += PAGE_SIZE;
}

/** Calls `visit` with each present leaf entry of [start, end) in the tables of `mm`, links included. */
export function walkLeaves(mm: Mm, start: number, end: number, visit: LeafVisit): void {
  forEachLeaf(mm.memory.ram, mm.root, start, end, visit);
}

/** Pages in swap: private ones by their entries, of shmem what the object has there and nobody has mapped. */
function accountSwap(stats: MemSizeStats, mm: Mm, vma: Vma): void {
  const { swap, ram } = mm.memory;
  if (swap === null || swap.used === 0) return;
  const { object } = vma;
  if (object instanceof ShmemObject && (vma.flags & vm.VM_SHARED) !== 0) {
    for (let page = 0; page < vma.pages; page++) if (object.isSwapped(vma.pgoff + page)) stats.swap += PAGE_SIZE;
    stats.swapPss = stats.swap;
    return;
  }
  const next = (va: number): number => nextTableAddress(ram, mm.root, va, vma.end);
  for (let va = next(vma.start); va < vma.end; va = next(va + PAGE_SIZE)) {
    const pte = readLeaf(ram, mm.root, va);
    if (!isSwapPte(pte)) continue;
    stats.swap += PAGE_SIZE;
    stats.swapPss += PAGE_SIZE / swap.references(swapSlot(pte));
  }
}

/** smaps_hugetlb_range: hugetlb pages count in nothing else. */
function accountHugetlb(stats: MemSizeStats, mm: Mm, vma: Vma): void {
  const { size } = poolOf(vma);
  for (const { head } of hugetlbLeaves(mm, vma.start, vma.end)) {
    if (mm.memory.frames.mapcount[head] > 1) stats.sharedHugetlb += size;
    else stats.privateHugetlb += size;
  }
}

/** What the page tables say about [vma.start, vma.end). */
function gather(mm: Mm, vma: Vma): MemSizeStats {
  const stats = new MemSizeStats();
  const window = windowOf(vma);
  if (isHugetlb(vma)) {
    accountHugetlb(stats, mm, vma);
    return stats;
  }
  if (window === null) {
    walkLeaves(mm, vma.start, vma.end, (_va, pte, size) => account(stats, vma, pte, size));
    accountSwap(stats, mm, vma);
    return stats;
  }
  const { rss, ...usage } = windowUsage(window);
  Object.assign(stats, usage, { resident: rss });
  // Only what a private window has copied has entries for swap.
  if (window.isPrivate) accountSwap(stats, mm, vma);
  return stats;
}

const kb = (bytes: number): number => Math.floor(bytes / 1024);

function sizesText(stats: MemSizeStats, part: "vma" | "rollup"): string {
  const lines: [string, number][] = [
    ["Rss", stats.resident],
    ["Pss", stats.pss],
    ["Pss_Dirty", stats.pssDirty],
  ];
  if (part === "rollup") {
    lines.push(["Pss_Anon", stats.pssAnon], ["Pss_File", stats.pssFile], ["Pss_Shmem", stats.pssShmem]);
  }
  lines.push(
    ["Shared_Clean", stats.sharedClean],
    ["Shared_Dirty", stats.sharedDirty],
    ["Private_Clean", stats.privateClean],
    ["Private_Dirty", stats.privateDirty],
    ["Referenced", stats.referenced],
    ["Anonymous", stats.anonymous],
    ["KSM", 0],
    ["LazyFree", stats.lazyFree],
    ["AnonHugePages", stats.anonHuge],
    ["ShmemPmdMapped", stats.shmemHuge],
    ["FilePmdMapped", 0],
    ["Shared_Hugetlb", stats.sharedHugetlb],
    ["Private_Hugetlb", stats.privateHugetlb],
    ["Swap", stats.swap],
    ["SwapPss", stats.swapPss],
    ["Locked", stats.pssLocked],
  );
  return lines.map(([name, bytes]) => kbLine(name, kb(bytes))).join("");
}

/** The two letters of each VM_* flag in the order of Linux's bits (show_smap_vma_flags); VM_SEALED is its bit 63. */
const VM_FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [vm.VM_READ, "rd"],
  [vm.VM_WRITE, "wr"],
  [vm.VM_EXEC, "ex"],
  [vm.VM_SHARED, "sh"],
  [vm.VM_MAYREAD, "mr"],
  [vm.VM_MAYWRITE, "mw"],
  [vm.VM_MAYEXEC, "me"],
  [vm.VM_MAYSHARE, "ms"],
  [vm.VM_GROWSDOWN, "gd"],
  [vm.VM_PFNMAP, "pf"],
  [vm.VM_LOCKED, "lo"],
  [vm.VM_IO, "io"],
  [vm.VM_SEQ_READ, "sr"],
  [vm.VM_RAND_READ, "rr"],
  [vm.VM_DONTCOPY, "dc"],
  [vm.VM_DONTEXPAND, "de"],
  [vm.VM_LOCKONFAULT, "lf"],
  [vm.VM_ACCOUNT, "ac"],
  [vm.VM_NORESERVE, "nr"],
  [vm.VM_HUGETLB, "ht"],
  [vm.VM_SYNC, "sf"],
  [vm.VM_WIPEONFORK, "wf"],
  [vm.VM_DONTDUMP, "dd"],
  [vm.VM_MIXEDMAP, "mm"],
  [vm.VM_HUGEPAGE, "hg"],
  [vm.VM_NOHUGEPAGE, "nh"],
  [vm.VM_MERGEABLE, "mg"],
  [vm.VM_SEALED, "sl"],
];

function vmFlagsLine(vma: Vma): string {
  let text = "VmFlags: ";
  for (const [bit, letters] of VM_FLAG_LETTERS) if ((vma.flags & bit) !== 0) text += `${letters} `;
  return `${text}\n`;
}

/** All of smaps. */
export function smapsText(mm: Mm): string {
  let text = "";
  for (const vma of mm.vmas) {
    const stats = gather(mm, vma);
    text += mapsLine(mm, vma);
    text += kbLine("Size", (vma.end - vma.start) / 1024);
    const pageKb = (isHugetlb(vma) ? poolOf(vma).size : PAGE_SIZE) / 1024;
    text += kbLine("KernelPageSize", pageKb) + kbLine("MMUPageSize", pageKb);
    text += sizesText(stats, "vma");
    if (vma.window !== null) text += kbLine("Mshare", kb(stats.mshare));
    text += `THPeligible:${String(mm.memory.thp.allows(vma, "smaps") ? 1 : 0).padStart(12)}\n` + vmFlagsLine(vma);
  }
  return text;
}

/** smaps_rollup: the sums over all VMAs. */
export function smapsRollupText(mm: Mm): string {
  const sum = new MemSizeStats();
  let first: number | undefined;
  let last = 0;
  for (const vma of mm.vmas) {
    sum.add(gather(mm, vma));
    first ??= vma.start;
    last = vma.end;
  }
  const header = `${hex(first ?? 0, 8)}-${hex(last, 8)} ---p 00000000 00:00 0 `;
  const mshare = sum.mshare > 0 ? kbLine("Mshare", kb(sum.mshare)) : "";
  return `${header.padEnd(73)}[rollup]\n${sizesText(sum, "rollup")}${mshare}`;
}
