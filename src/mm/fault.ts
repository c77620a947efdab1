// The only place where a page becomes present (mm/memory.c: handle_mm_fault). kernel/trap.ts comes here through Mm.fault with what the MMU
// recorded; usercopy and populate come here too. Nothing is allocated in the usual case: results are shared constants.
//
// Order of a fault: VMA (a window redirects once, to the host's VMA and tables) → rights → entry → page → table.
import { EFAULT, ENOMEM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W, makePte } from "../machine/pte.ts";
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import { BUS_ADRERR, FAULT_AROUND_PAGES, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV } from "./constants.ts";
import { mapAround } from "./fault-around.ts";
import { FRAME_DIRTY, FRAME_EXCLUSIVE, FRAME_LAZYFREE, KIND_ANON, KIND_ZERO } from "./frame.ts";
import { hugetlbFault } from "./hugetlb-fault.ts";
import { isHugetlb, poolOf } from "./hugetlb-vma.ts";
import { denyHugetlbWriting, privateHugetlbWrite } from "./hugetlb-window.ts";
import type { Mm } from "./mm.ts";
import { PAGE_NOMEM, ShmemObject } from "./object.ts";
import {
  PTE_PRESENT,
  dropUnusedTable,
  ensureTable,
  findTable,
  leafIndex,
  permits,
  protectionBits,
  readLeaf,
} from "./page-table.ts";
import { homeFrame, newPrivateFrame } from "./private-frame.ts";
import { countRss } from "./rmap.ts";
import { bringInHuge } from "./shmem-huge.ts";
import { expandStack } from "./stack.ts";
import { hugeFault } from "./thp-fault.ts";
import { hugeLeafWord } from "./thp-split.ts";
import { isSwapPte, swapSlot } from "./swap.ts";
import { VM_EXEC, VM_GROWSDOWN, VM_MAYSHARE, VM_READ, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/** How a fault ended. `linked`: it connected the process's tables to a region's (then neither minor nor major unless the page was new too). */
export type FaultResult =
  | { readonly kind: "done"; readonly minor: boolean; readonly major: boolean; readonly linked: boolean }
  | { readonly kind: "signal"; readonly signo: number; readonly code: number; readonly va: number }
  | { readonly kind: "oom" };

const DONE_MINOR: FaultResult = { kind: "done", minor: true, major: false, linked: false };
const DONE_MAJOR: FaultResult = { kind: "done", minor: false, major: true, linked: false };
const DONE_LINKED: FaultResult = { kind: "done", minor: false, major: false, linked: true };
const DONE_MINOR_LINKED: FaultResult = { kind: "done", minor: true, major: false, linked: true };
const DONE_MAJOR_LINKED: FaultResult = { kind: "done", minor: false, major: true, linked: true };
const OUT_OF_MEMORY: FaultResult = { kind: "oom" };

// Outcomes inside this file (VM_FAULT_*).
const MINOR = 0;
const MAJOR = 1;
const OOM = 2;
const BUS = 3;
const HUGETLB_OUTCOMES = { done: MINOR, bus: BUS, oom: OOM } as const;

/** Whether a VMA's flags allow an access (riscv access_error: write implies read, execute-only is execute-only). */
export function isAllowed(vmFlags: number, access: number): boolean {
  if ((access & ACCESS_WRITE) !== 0) return (vmFlags & VM_WRITE) !== 0;
  if ((access & ACCESS_EXECUTE) !== 0) return (vmFlags & VM_EXEC) !== 0;
  return (vmFlags & (VM_READ | VM_WRITE)) !== 0;
}

/** Resolves a fault of `access` (one of ACCESS_*) at `va`. */
export function handleFault(mm: Mm, va: number, access: number): FaultResult {
  mm.memory.stat.pgfault++;
  mm.memcg.stat.pgfault++;
  const vma = mm.vmas.find(va);
  if (vma === null || va >= TASK_SIZE) return segv(SEGV_MAPERR, va);
  if (vma.start > va && ((vma.flags & VM_GROWSDOWN) === 0 || expandStack(vma, va) < 0)) return segv(SEGV_MAPERR, va);
  if (vma.window !== null) return windowFault(mm, vma, va, access);
  if (!isAllowed(vma.flags, access)) return segv(SEGV_ACCERR, va);
  switch (resolvePage(mm, va, vma, 0, access, mm)) {
    case MINOR:
      mm.minorFaults++;
      return DONE_MINOR;
    case MAJOR:
      mm.majorFaults++;
      mm.memory.stat.pgmajfault++;
      mm.memcg.stat.pgmajfault++;
      return DONE_MAJOR;
    case OOM:
      return OUT_OF_MEMORY;
    default:
      return { kind: "signal", signo: SIGBUS, code: BUS_ADRERR, va };
  }
}

/** A fault that the kernel's own access to user memory meets: as handleFault, and counted for the task that runs. */
export function kernelFault(mm: Mm, va: number, access: number): FaultResult {
  const result = handleFault(mm, va, access);
  const usage = mm.memory.taskUsage;
  if (usage !== null && result.kind === "done") {
    if (result.major) usage.majorFaults++;
    else if (result.minor) usage.minorFaults++;
  }
  return result;
}

/**
 * Makes a page of a VMA that is no window present ahead of its use (faultin_page). Rights have been checked or do not matter: a write is for
 * VM_WRITE memory only. 0, -EFAULT (beyond a file's end), -ENOMEM.
 */
export function resolveAhead(vma: Vma, va: number, access: number): number {
  const { mm } = vma;
  const { memory } = mm;
  const pte = readLeaf(memory.ram, mm.root, va);
  if ((pte & PTE_PRESENT) !== 0 && ((access & ACCESS_WRITE) === 0 || (pte & PTE_W) !== 0)) return 0;
  memory.stat.pgfault++;
  mm.memcg.stat.pgfault++;
  const outcome = resolvePage(mm, va, vma, 0, access, mm);
  if (outcome === OOM) return -ENOMEM;
  if (outcome === BUS) return -EFAULT;
  const usage = memory.taskUsage;
  if (outcome === MAJOR) {
    mm.majorFaults++;
    memory.stat.pgmajfault++;
    mm.memcg.stat.pgmajfault++;
    if (usage !== null) usage.majorFaults++;
  } else {
    mm.minorFaults++;
    if (usage !== null) usage.minorFaults++;
  }
  return 0;
}

function segv(code: number, va: number): FaultResult {
  return { kind: "signal", signo: SIGSEGV, code, va };
}

/** A fault in a window: the host's VMA decides, the host's tables take the page (with --no-share: the process's own), and a link is made. */
function windowFault(mm: Mm, vma: Vma, va: number, access: number): FaultResult {
  const window = vma.window!;
  const host = window.host;
  const hostVa = va - vma.start + window.hostStart;
  const hostVma = window.dead ? null : host.vmas.lookup(hostVa);
  if (hostVma === null) return segv(SEGV_MAPERR, va);
  if (!isAllowed(hostVma.flags, access)) return segv(SEGV_ACCERR, va);
  if ((access & ACCESS_WRITE) !== 0 && (vma.flags & VM_WRITE) === 0) return segv(SEGV_ACCERR, va);
  const isPrivate = (vma.flags & VM_SHARED) === 0;
  if (isPrivate && isSwapPte(readLeaf(mm.memory.ram, mm.root, va))) {
    // A copy of this process's: back from swap first, then as any copy.
    const table = findTable(mm.memory.ram, mm.root, va);
    if (swapIn(mm, va, vma, 0, table, leafIndex(va), ACCESS_READ) === OOM) return OUT_OF_MEMORY;
    mm.majorFaults++;
    mm.memory.stat.pgmajfault++;
    mm.memcg.stat.pgmajfault++;
    if ((access & ACCESS_WRITE) === 0) return DONE_MAJOR;
  }
  if (isPrivate && (access & ACCESS_WRITE) !== 0) {
    const result = (isHugetlb(hostVma) ? privateHugeWrite : privateWrite)(mm, vma, va, hostVma, hostVa);
    if (window.dead) window.link(mm, vma, va);
    return result;
  }
  const { stat, ram } = mm.memory;

  const space = window.shared ? host : mm;
  const spaceVa = window.shared ? hostVa : va;
  let outcome = -1;
  if (!window.shared || !permits(readLeaf(ram, host.root, hostVa), access)) {
    outcome = resolvePage(space, spaceVa, hostVma, hostVa - spaceVa, access, window.shared ? host : null);
    // Also after a failure: pages around may have been entered.
    if (!window.shared && (isPrivate || (vma.flags & VM_WRITE) === 0)) denyWriting(mm, va, hostVma);
    if (outcome === OOM) return OUT_OF_MEMORY;
    if (outcome === BUS) return { kind: "signal", signo: SIGBUS, code: BUS_ADRERR, va };
    stat.host_faults++;
    if (outcome === MAJOR) {
      mm.majorFaults++;
      host.majorFaults++;
      stat.pgmajfault++;
      mm.memcg.stat.pgmajfault++;
    } else {
      mm.minorFaults++;
      host.minorFaults++;
    }
  }
  let linked = false;
  // The region may have died of the allocation; then there is nothing to link, and what has been entered goes.
  if (window.shared || window.dead) {
    const link = window.link(mm, vma, va);
    if (typeof link === "number") return OUT_OF_MEMORY;
    linked = link === "linked";
    if (linked) {
      stat.links++;
      mm.linkFaults++;
    }
  }
  if (outcome === MAJOR) return linked ? DONE_MAJOR_LINKED : DONE_MAJOR;
  if (outcome === MINOR) return linked ? DONE_MINOR_LINKED : DONE_MINOR;
  if (linked) return DONE_LINKED;
  // Everything was there: another hart was faster.
  mm.minorFaults++;
  return DONE_MINOR;
}

/** As privateWrite, where the region has huge pages. */
function privateHugeWrite(mm: Mm, vma: Vma, va: number, hostVma: Vma, hostVa: number): FaultResult {
  const outcome = privateHugetlbWrite(mm, vma, va, hostVma, hostVa);
  if (outcome === "oom") return OUT_OF_MEMORY;
  if (outcome === "bus") return { kind: "signal", signo: SIGBUS, code: BUS_ADRERR, va };
  mm.minorFaults++;
  return DONE_MINOR;
}

/** A write to a private window: the page becomes the process's own, in a table of its own. */
function privateWrite(mm: Mm, vma: Vma, va: number, hostVma: Vma, hostVa: number): FaultResult {
  const { memory } = mm;
  const { ram, frames, stat } = memory;
  const table = vma.window!.unshare(va);
  if (table === 0) return OUT_OF_MEMORY;
  const index = leafIndex(va);
  const pte = ram.readPte(table, index);
  const old = asPfn((pte & PTE_PRESENT) === 0 ? 0 : pte >>> 10);
  const wasCopy = old !== 0 && frames.kind[old] === KIND_ANON;
  const writable = protectionBits(hostVma.flags) | PTE_A | PTE_D | PTE_W;
  mm.minorFaults++;
  if (wasCopy && ((frames.flags[old] & FRAME_EXCLUSIVE) !== 0 || frames.refcount[old] === 1)) {
    frames.flags[old] |= FRAME_EXCLUSIVE;
    frames.owner[old] = vma.anonVma;
    ram.writePte(table, index, makePte(old, writable));
    stat.pgreuse++;
    return DONE_MINOR;
  }
  const source = wasCopy ? old : objectPage(hostVma, hostVma.pageIndex(hostVa));
  if (source === -OOM) return OUT_OF_MEMORY;
  if (source < 0) return { kind: "signal", signo: SIGBUS, code: BUS_ADRERR, va };
  // Hold the source: the allocation may end another process or reclaim.
  frames.refcount[source]++;
  const pfn = newPrivateFrame(mm, va, vma, 0, frames.homeFrame(table, index));
  if (pfn === 0) {
    frames.put(asPfn(source));
    return OUT_OF_MEMORY;
  }
  ram.copy(pfn, asPfn(source));
  stat.cow_copies++;
  install(mm, table, index, pfn, writable, KIND_ANON, mm);
  const gather = memory.beginGather();
  if (old !== 0) {
    gather.touch(mm, table, index);
    frames.mapcount[old]--;
    if (wasCopy) mm.rssAnon--;
    gather.release(old);
  }
  gather.release(asPfn(source));
  gather.finish();
  return DONE_MINOR;
}

/** Takes W from the region's pages that a read fault at `va` may just have entered (none has been used yet). */
function denyWriting(mm: Mm, va: number, hostVma: Vma): void {
  if (isHugetlb(hostVma)) return denyHugetlbWriting(mm, va, poolOf(hostVma).size);
  const { ram, frames } = mm.memory;
  const table = findTable(ram, mm.root, va);
  if (table === 0) {
    const word = hugeLeafWord(mm, va);
    if (word !== 0) ram.u32[word] &= ~PTE_W;
    return;
  }
  const first = Math.max(0, leafIndex(va) - FAULT_AROUND_PAGES);
  const end = Math.min(512, leafIndex(va) + FAULT_AROUND_PAGES);
  for (let i = first; i < end; i++) {
    const pte = ram.readPte(table, i);
    if ((pte & PTE_W) !== 0 && frames.kind[pte >>> 10] !== KIND_ANON) ram.writePte(table, i, pte & ~PTE_W);
  }
}

/**
 * handle_pte_fault: makes page `va` of the tables of `space` present for `access`, by the rules of `vma`, in which the address is `va + shift`.
 * The page counts for `rss` (null: for nobody). The rights have been checked, except for forced access, which leaves the entry unwritable.
 */
export function resolvePage(space: Mm, va: number, vma: Vma, shift: number, access: number, rss: Mm | null): number {
  if (isHugetlb(vma)) return HUGETLB_OUTCOMES[hugetlbFault(space, va, vma, shift, access, rss)];
  const { ram } = space.memory;
  let table = findTable(ram, space.root, va);
  const isNew = table === 0;
  if (isNew) {
    const huge = hugeFault(space, va, vma, shift, access, rss);
    if (huge === "done") return MINOR;
    if (huge === "oom") return OOM;
    table = ensureTable(space, va, 0);
    if (table === 0) return OOM;
  }
  const index = leafIndex(va);
  const pte = ram.readPte(table, index);
  const write = (access & ACCESS_WRITE) !== 0;
  if (pte === 0) {
    if (vma.object === null) return anonymousPage(space, va, vma, table, index, access, rss);
    const resolve = !write ? readPage : (vma.flags & VM_SHARED) !== 0 ? sharedPage : copyPage;
    const outcome = resolve(space, va, vma, shift, table, index, rss);
    // A page that is not to be had takes no table (Linux enters it in finish_fault): a huge page may come here later.
    if (outcome === BUS && isNew) dropUnusedTable(space, va);
    return outcome;
  }
  if (isSwapPte(pte)) return swapIn(space, va, vma, shift, table, index, access);
  if (write && (pte & PTE_W) === 0) return writeProtected(space, va, vma, shift, table, index, pte, rss);
  // Spurious: the entry was made good meanwhile.
  ram.writePte(table, index, pte | PTE_A | (write ? PTE_D : 0));
  return MINOR;
}

/** W for a VMA that allows writing (maybe_mkwrite). */
const writeBit = (vma: Vma): number => ((vma.flags & VM_WRITE) !== 0 ? PTE_W : 0);

/** Enters a page that had a reference taken for the entry by the caller. */
function install(space: Mm, table: Pfn, index: number, pfn: Pfn, bits: number, kind: number, rss: Mm | null): void {
  space.memory.ram.writePte(table, index, makePte(pfn, bits));
  space.memory.frames.mapcount[pfn]++;
  if (rss !== null) countRss(rss, kind, 1);
}

/**
 * do_swap_page: a private page comes back from swap, into a frame that only this entry maps. Others that share the slot since a fork read it for
 * themselves: the contents are the same, and each may write its own.
 */
function swapIn(space: Mm, va: number, vma: Vma, shift: number, table: Pfn, index: number, access: number): number {
  const { memory } = space;
  const slot = swapSlot(memory.ram.readPte(table, index));
  const wanted = memory.frames.homeFrame(table, index);
  const pfn = newPrivateFrame(space, va, vma, shift, wanted, memory.groups.ofSlot(slot, space));
  if (pfn === 0) return OOM;
  memory.loadFromSwap(slot, pfn);
  space.swapPages--;
  const dirty = (access & ACCESS_WRITE) !== 0 ? writeBit(vma) : 0;
  install(space, table, index, pfn, protectionBits(vma.flags) | PTE_D | dirty, KIND_ANON, space);
  return MAJOR;
}

/** Brings the private page at `va` of a VMA, which is in swap, back. False if there is no memory. */
export function swapInPage(vma: Vma, va: number): boolean {
  const { mm } = vma;
  const table = findTable(mm.memory.ram, mm.root, va);
  return swapIn(mm, va, vma, 0, table, leafIndex(va), ACCESS_READ) !== OOM;
}

/** do_anonymous_page: the zero page for a read, a page of its own for a write. */
function anonymousPage(
  space: Mm,
  va: number,
  vma: Vma,
  table: Pfn,
  index: number,
  access: number,
  rss: Mm | null,
): number {
  const { memory } = space;
  if ((access & ACCESS_WRITE) === 0) {
    memory.ram.writePte(table, index, makePte(memory.zeroPage, protectionBits(vma.flags)));
    return MINOR;
  }
  const pfn = newPrivateFrame(space, va, vma, 0, homeFrame(space, va, vma, table, index));
  if (pfn === 0) return OOM;
  memory.ram.zero(pfn);
  install(space, table, index, pfn, protectionBits(vma.flags) | PTE_D | writeBit(vma), KIND_ANON, rss);
  return MINOR;
}

/** The object's frame for page `pageIndex`, or -(outcome) if there is none. A new one is charged to the group of the VMA's mm. */
function objectPage(vma: Vma, pageIndex: number): Pfn | number {
  const pfn = vma.mm.memory.groups.active ? chargedPage(vma, pageIndex) : bringIn(vma, pageIndex);
  if (pfn > 0) return pfn;
  return pfn === PAGE_NOMEM ? -OOM : -BUS;
}

const chargedPage = (vma: Vma, pageIndex: number): Pfn | number =>
  vma.mm.memory.groups.chargingTo(vma.mm.memcg, () => bringIn(vma, pageIndex));

function bringIn(vma: Vma, pageIndex: number): Pfn | number {
  const object = vma.object!;
  if (object instanceof ShmemObject) bringInHuge(object, pageIndex, vma);
  return object.page(pageIndex);
}

/** do_read_fault: maps what the cache holds around the address (fault-around), else brings in the one page. */
function readPage(space: Mm, va: number, vma: Vma, shift: number, table: Pfn, index: number, rss: Mm | null): number {
  const { ram, frames } = space.memory;
  const object = vma.object!;
  const vmaOffset = Math.floor((va + shift - vma.start) / PAGE_SIZE);
  const pageIndex = vma.pgoff + vmaOffset;
  // Shared pages of shmem are mapped writable at once; a file's are not, so that a first store is noticed.
  let bits = protectionBits(vma.flags);
  if ((vma.flags & VM_SHARED) !== 0 && object.kind === "shmem") bits |= writeBit(vma);

  mapAround(space, vma, vmaOffset, table, index, bits, rss);
  if (ram.readPte(table, index) !== 0) return MINOR;

  const pfn = objectPage(vma, pageIndex);
  if (pfn < 0) return -pfn;
  const major = object.lastWasRead;
  frames.refcount[pfn]++;
  install(space, table, index, asPfn(pfn), bits, frames.kind[pfn], rss);
  return major ? MAJOR : MINOR;
}

/** do_shared_fault: the object's page, writable and dirty. */
function sharedPage(space: Mm, va: number, vma: Vma, shift: number, table: Pfn, index: number, rss: Mm | null): number {
  const { frames } = space.memory;
  const pfn = objectPage(vma, vma.pageIndex(va + shift));
  if (pfn < 0) return -pfn;
  const major = vma.object!.lastWasRead;
  frames.flags[pfn] |= FRAME_DIRTY;
  frames.refcount[pfn]++;
  install(space, table, index, asPfn(pfn), protectionBits(vma.flags) | PTE_D | writeBit(vma), frames.kind[pfn], rss);
  return major ? MAJOR : MINOR;
}

/** do_cow_fault: a private copy of the object's page at the first write. */
function copyPage(space: Mm, va: number, vma: Vma, shift: number, table: Pfn, index: number, rss: Mm | null): number {
  const { ram, frames } = space.memory;
  // Also if the page turns out not to exist: which VMAs may merge depends on it.
  prepareAnonVma(vma, vma.mm.vmas.prev(vma), vma.mm.vmas.next(vma));
  const source = objectPage(vma, vma.pageIndex(va + shift));
  if (source < 0) return -source;
  const major = vma.object!.lastWasRead;
  // The allocation may reclaim page cache: hold the source.
  frames.refcount[source]++;
  const pfn = newPrivateFrame(space, va, vma, shift, homeFrame(space, va, vma, table, index));
  if (pfn !== 0) {
    ram.copy(pfn, asPfn(source));
    install(space, table, index, pfn, protectionBits(vma.flags) | PTE_D | writeBit(vma), KIND_ANON, rss);
  }
  frames.put(asPfn(source));
  if (pfn === 0) return OOM;
  return major ? MAJOR : MINOR;
}

/** do_wp_page: a write to a page that is mapped read-only. */
function writeProtected(
  space: Mm,
  va: number,
  vma: Vma,
  shift: number,
  table: Pfn,
  index: number,
  pte: number,
  rss: Mm | null,
): number {
  const { memory } = space;
  const { ram, frames, stat } = memory;
  const old = asPfn(pte >>> 10);
  const writable = PTE_A | PTE_D | writeBit(vma);
  if ((vma.flags & (VM_SHARED | VM_MAYSHARE)) !== 0) {
    frames.flags[old] |= FRAME_DIRTY;
    ram.writePte(table, index, pte | writable);
    return MINOR;
  }
  const kind = frames.kind[old];
  if (kind === KIND_ANON && ((frames.flags[old] & FRAME_EXCLUSIVE) !== 0 || frames.refcount[old] === 1)) {
    // wp_can_reuse_anon_folio: the other sharers of the fork are gone.
    frames.flags[old] = (frames.flags[old] | FRAME_EXCLUSIVE) & ~FRAME_LAZYFREE;
    frames.owner[old] = vma.anonVma;
    ram.writePte(table, index, pte | writable);
    stat.pgreuse++;
    return MINOR;
  }
  // Hold the old page: the allocation may end another process or reclaim.
  frames.refcount[old]++;
  const pfn = newPrivateFrame(space, va, vma, shift, frames.homeFrame(table, index));
  if (pfn === 0) {
    frames.put(old);
    return OOM;
  }
  if (kind === KIND_ZERO) ram.zero(pfn);
  else ram.copy(pfn, old);
  stat.cow_copies++;
  install(space, table, index, pfn, protectionBits(vma.flags) | writable, KIND_ANON, rss);
  const gather = memory.beginGather();
  gather.touch(space, table, index);
  if (kind !== KIND_ZERO) {
    frames.mapcount[old]--;
    if (rss !== null) countRss(rss, kind, -1);
    gather.release(old);
  }
  gather.release(old);
  gather.finish();
  return MINOR;
}
