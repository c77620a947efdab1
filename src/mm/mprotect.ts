// mprotect(2): new access rights for a range (mm/mprotect.c: do_mprotect_pkey, mprotect_fixup, change_protection).
import { EACCES, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { PAGE_SIZE, PMD_SIZE, type Pfn, pageAlign64 } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W } from "../machine/pte.ts";
import { accountVm, mayExpandVm } from "./accounting.ts";
import { PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE } from "./constants.ts";
import { FRAME_EXCLUSIVE, KIND_ANON } from "./frame.ts";
import { protectHugetlb } from "./hugetlb-vma.ts";
import { modifyVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { protFlags } from "./mmap.ts";
import {
  PTE_PRESENT,
  findTable,
  isHugeLeaf,
  leafIndex,
  nextMappedAddress,
  pmdWord,
  protectionBits,
  indexOfWord,
  tableOfWord,
} from "./page-table.ts";
import { populateVma } from "./populate.ts";
import type { Gather } from "./shootdown.ts";
import { splitHuge } from "./thp-split.ts";
import {
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_NORESERVE,
  VM_SEALED,
  VM_SHARED,
  VM_WRITE,
  type Vma,
} from "./vma.ts";

/**
 * Sets the rights of [addr, addr + length). 0, -EINVAL (unaligned, unknown bits, a part of a window), -ENOMEM (a hole, too many VMAs, commit limit),
 * -EACCES (more than the file allows), -EPERM (sealed). What lies before the first failure has been changed.
 */
export function mprotect(mm: Mm, addr: number, length: number, prot: number): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP) || addr % PAGE_SIZE !== 0) return -EINVAL;
  if (length === 0) return 0;
  const end = addr + pageAlign64(length);
  if (end <= addr || end >= 2 ** 64) return -ENOMEM;
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) return -EINVAL;
  const first = mm.vmas.intersection(addr, end);
  if (first === null) return -ENOMEM;
  if (grows === PROT_GROWSDOWN) {
    if (first.start >= end) return -ENOMEM;
    if ((first.flags & VM_GROWSDOWN) === 0) return -EINVAL;
    return protectRange(mm, first.start, end, prot);
  }
  if (first.start > addr) return -ENOMEM;
  // Nothing grows up on riscv.
  return grows === PROT_GROWSUP ? -EINVAL : protectRange(mm, addr, end, prot);
}

function protectRange(mm: Mm, start: number, end: number, prot: number): number {
  const gather = mm.memory.beginGather();
  const error = protectVmas(mm, start, end, prot, gather);
  gather.finish();
  return error;
}

function protectVmas(mm: Mm, start: number, end: number, prot: number, gather: Gather): number {
  let vma = mm.vmas.lookup(start);
  let prev = vma === null ? null : start > vma.start ? vma : mm.vmas.prev(vma);
  for (let at = start; at < end;) {
    if (vma === null || vma.start > at) return -ENOMEM;
    const stop = Math.min(vma.end, end);
    if (vma.window !== null) {
      const error = vma.window.call(mm, vma, "mprotect", at, stop, prot);
      if (error < 0) return error;
      prev = vma;
    } else {
      const flags = (protFlags(prot) | (vma.flags & ~VM_ACCESS_FLAGS)) >>> 0;
      // VM_MAY* are the same bits, shifted by 4.
      if ((flags & ~(flags >>> 4) & VM_ACCESS_FLAGS) !== 0) return -EACCES;
      const changed = protectVma(vma, prev, at, stop, flags, gather);
      if (typeof changed === "number") return changed;
      prev = changed;
    }
    at = Math.max(stop, prev.end);
    vma = mm.vmas.find(at);
  }
  return 0;
}

/** mprotect_fixup on [start, end) of one VMA: the VMA that has it now, or -errno. */
function protectVma(
  vma: Vma,
  prev: Vma | null,
  start: number,
  end: number,
  flags: number,
  gather: Gather,
): Vma | number {
  const { mm } = vma;
  const old = vma.flags;
  const pages = (end - start) / PAGE_SIZE;
  if ((old & VM_SEALED) !== 0) return -EPERM;
  if (flags === old) return vma;
  let charged = 0;
  if ((flags & VM_WRITE) !== 0) {
    if (!mayExpandVm(mm, flags, pages) && mayExpandVm(mm, old, pages)) return -ENOMEM;
    if ((old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE)) === 0) {
      charged = pages;
      if (!mm.memory.commit(pages)) return -ENOMEM;
      flags |= VM_ACCOUNT;
    }
  } else if ((old & VM_ACCOUNT) !== 0 && vma.object === null && vma.anonVma === null) {
    flags &= ~VM_ACCOUNT;
  }
  flags >>>= 0;
  const changed = modifyVma(prev, vma, start, end, { flags });
  if (typeof changed === "number") {
    if (charged > 0) mm.memory.uncommit(charged);
    return changed;
  }
  changed.flags = flags;
  changeProtection(changed, start, end, gather);
  if ((old & VM_ACCOUNT) !== 0 && (flags & VM_ACCOUNT) === 0) mm.memory.uncommit(pages);
  if ((old & (VM_WRITE | VM_SHARED | VM_LOCKED)) === VM_LOCKED && (flags & VM_WRITE) !== 0)
    populateVma(changed, start, end);
  accountVm(mm, old, -pages);
  accountVm(mm, flags, pages);
  return changed;
}

/** Gives the present entries of [start, end), mirrors included, the rights of the VMA. */
function changeProtection(vma: Vma, start: number, end: number, gather: Gather): void {
  const { mm } = vma;
  changeTables(mm, vma, start, end, gather, { readOnly: false });
  for (const mirror of mm.mirrors) {
    const from = Math.max(start, mirror.start);
    const to = Math.min(end, mirror.end);
    if (from < to) changeTables(mirror.mm, vma, from + mirror.shift, to + mirror.shift, gather, mirror);
  }
}

function changeTables(
  mm: Mm,
  vma: Vma,
  start: number,
  end: number,
  gather: Gather,
  options: { readonly readOnly: boolean },
): void {
  if ((vma.flags & VM_HUGETLB) !== 0) return protectHugetlb(mm, vma, start, end, gather, options);
  const { ram } = mm.memory;
  const { u32 } = ram;
  const bits = protectionBits(vma.flags);
  for (let va = nextMappedAddress(ram, mm.root, start, end); va < end;) {
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    const word = pmdWord(ram, mm.root, va);
    if (isHugeLeaf(u32[word])) changeHuge(mm, vma, word, Math.min(next, end) - va, gather, options);
    const table = findTable(ram, mm.root, va);
    if (table !== 0) {
      const first = leafIndex(va);
      const count = (Math.min(next, end) - va) / PAGE_SIZE;
      const changed = changeLeaves(vma, u32, (table << 10) + 2 * first, count, bits, options.readOnly);
      if (changed > 0) gather.touch(mm, table, first, first + changed - 1);
    }
    va = nextMappedAddress(ram, mm.root, next, end);
  }
}

/** change_huge_pmd: a huge leaf, `bytes` of which are to change; a part of it only is split, and its pages change in their table. */
function changeHuge(
  mm: Mm,
  vma: Vma,
  word: number,
  bytes: number,
  gather: Gather,
  options: { readonly readOnly: boolean },
): void {
  const { u32 } = mm.memory.ram;
  if (bytes < PMD_SIZE) {
    splitHuge(mm, word, gather, mm === vma.mm ? mm : null);
    return;
  }
  const pmd = u32[word];
  // Clean pages of an object stay read-only (can_change_pmd_writable); a write will take the leaf apart.
  const denied = options.readOnly || ((vma.flags & VM_SHARED) !== 0 && (pmd & PTE_D) === 0);
  const write = denied ? 0 : writable(vma, pmd);
  const changed = ((pmd & ~1023) | protectionBits(vma.flags) | (pmd & (PTE_A | PTE_D)) | write) >>> 0;
  if (changed === pmd) return;
  u32[word] = changed;
  gather.touch(mm, tableOfWord(word), indexOfWord(word));
}

/**
 * `count` entries of a leaf table, from `word` of ram.u32 on. How many up to the last that changed. (A function of its own, which V8 optimizes after some
 * tables; the first gigabyte of a process takes half as long so.)
 */
function changeLeaves(
  vma: Vma,
  u32: Uint32Array,
  word: number,
  count: number,
  bits: number,
  readOnly: boolean,
): number {
  let changed = 0;
  const all = readOnly ? 0 : writableAll(vma);
  for (let i = 0; i < count; i++) {
    const pte = u32[word + 2 * i];
    if ((pte & PTE_PRESENT) === 0) continue;
    const write = all ?? writable(vma, pte);
    const now = ((pte & ~1023) | bits | (pte & (PTE_A | PTE_D)) | write) >>> 0;
    if (now === pte) continue;
    u32[word + 2 * i] = now;
    changed = i + 1;
  }
  return changed;
}

/** What `writable` says of each page of a VMA, where that is the same of all; undefined: it depends on the page. */
function writableAll({ flags, object }: Vma): number | undefined {
  if ((flags & VM_WRITE) === 0) return 0;
  return (flags & VM_SHARED) !== 0 && object!.kind === "shmem" ? PTE_W : undefined;
}

/** PTE_W if the page may be written without a fault (can_change_pte_writable): shmem, dirty file pages, private pages nobody shares. */
function writable(vma: Vma, pte: number): number {
  const all = writableAll(vma);
  if (all !== undefined) return all;
  if ((vma.flags & VM_SHARED) !== 0) return (pte & PTE_D) !== 0 ? PTE_W : 0;
  const { frames } = vma.mm.memory;
  const pfn = (pte >>> 10) as Pfn;
  return frames.kind[pfn] === KIND_ANON && (frames.flags[pfn] & FRAME_EXCLUSIVE) !== 0 ? PTE_W : 0;
}
