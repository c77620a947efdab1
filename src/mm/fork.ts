// fork: a copy of an address space whose private pages are shared until one side writes (kernel/fork.c: dup_mmap; mm/memory.c: copy_page_range).
import { ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, PMD_SIZE, type Pfn } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W } from "../machine/pte.ts";
import { accountVm } from "./accounting.ts";
import { forkAnonVma } from "./anon-vma.ts";
import { FRAME_EXCLUSIVE, KIND_ANON, KIND_ZERO } from "./frame.ts";
import { copyHugetlb, isHugetlb } from "./hugetlb-vma.ts";
import { linkVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import {
  PTE_PRESENT,
  ensureTable,
  indexOfWord,
  isHugeLeaf,
  leafIndex,
  nextMappedAddress,
  pmdWord,
  tableAt,
} from "./page-table.ts";
import { countPages } from "./rmap.ts";
import type { Gather } from "./shootdown.ts";
import { isSwapPte, swapSlot } from "./swap.ts";
import { forkHuge } from "./thp-fork.ts";
import { VM_ACCOUNT, VM_DONTCOPY, VM_LOCKED_MASK, VM_MAYWRITE, VM_SHARED, VM_WIPEONFORK, Vma } from "./vma.ts";

/** The child's address space, with one user; or -ENOMEM, and then nothing has changed but write protection. */
export function forkMm(parent: Mm): Mm | number {
  const { memory } = parent;
  const child = memory.newMm();
  if (typeof child === "number") return child;
  copyLayout(child, parent);
  const gather = memory.beginGather();
  let failed = false;
  const vmas = parent.vmas.all;
  for (let i = 0; i < vmas.length; i++) {
    const vma = vmas[i];
    if ((vma.flags & VM_DONTCOPY) !== 0) continue;
    if (copyVma(child, vma, gather)) continue;
    failed = true;
    break;
  }
  gather.finish();
  if (failed) {
    child.put();
    return -ENOMEM;
  }
  child.noteHighWater();
  memory.khugepaged.fork(child, parent);
  return child;
}

function copyLayout(child: Mm, parent: Mm): void {
  child.mmapBase = parent.mmapBase;
  child.startCode = parent.startCode;
  child.endCode = parent.endCode;
  child.startData = parent.startData;
  child.endData = parent.endData;
  child.startBrk = parent.startBrk;
  child.brk = parent.brk;
  child.startStack = parent.startStack;
  child.argStart = parent.argStart;
  child.argEnd = parent.argEnd;
  child.envStart = parent.envStart;
  child.envEnd = parent.envEnd;
  child.vdso = parent.vdso;
  child.thpDisabled = parent.thpDisabled;
  child.limits = { ...parent.limits };
  child.capabilities = { ...parent.capabilities };
}

/** Copies one VMA with its pages. False if there is no memory for it; what was entered goes with the child. */
function copyVma(child: Mm, source: Vma, gather: Gather): boolean {
  const { memory } = child;
  if ((source.flags & VM_ACCOUNT) !== 0 && !memory.commit(source.pages)) return false;
  const flags = (source.flags & ~VM_LOCKED_MASK) >>> 0;
  const copy = new Vma(child, source.start, source.end, flags, source.pgoff, source.file);
  copy.name = source.name;
  copy.anonName = source.anonName;
  // The reservations stay with the parent.
  if (source.hugetlb !== null) copy.hugetlb = { map: null, unmapped: false };
  const wiped = (source.flags & VM_WIPEONFORK) !== 0;
  if (!wiped) forkAnonVma(copy, source);
  linkVma(copy);
  accountVm(child, flags, copy.pages);
  if (source.window !== null) return source.window.fork(child, copy, gather);
  // Without private pages a fault in the child finds everything again (vma_needs_copy).
  if (wiped || source.anonVma === null) return true;
  if (isHugetlb(source)) return copyHugetlb(child, source, gather);
  return copyPages(child, source, gather);
}

/** copy_page_range: both sides map the same pages; private ones become read-only on both. */
function copyPages(child: Mm, source: Vma, gather: Gather): boolean {
  const parent = source.mm;
  const { ram } = parent.memory;
  for (let va = nextMappedAddress(ram, parent.root, source.start, source.end); va < source.end;) {
    const next = va - (va % PMD_SIZE) + PMD_SIZE;
    const word = pmdWord(ram, parent.root, va);
    const huge = isHugeLeaf(ram.u32[word]) ? forkHuge(child, parent, va, gather) : "split";
    if (huge === "no memory") return false;
    if (huge === "split") {
      const table = tableAt(ram.u32[word]);
      if (table !== 0 && !copyEntries(child, source, table, va, Math.min(next, source.end), gather)) return false;
    }
    va = nextMappedAddress(ram, parent.root, next, source.end);
  }
  return true;
}

/** copy_pte_range: the entries of [start, end), which the parent's `table` of level 0 covers. */
function copyEntries(child: Mm, source: Vma, table: Pfn, start: number, end: number, gather: Gather): boolean {
  const parent = source.mm;
  const { ram, frames } = parent.memory;
  const { u32 } = ram;
  const { counts } = gather;
  const cow = (source.flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
  // The child has not used it yet.
  const unused = (source.flags & VM_SHARED) !== 0 ? PTE_A | PTE_D : PTE_A;
  const from = (table << 10) + 2 * leafIndex(start);
  const to = from + (2 * (end - start)) / PAGE_SIZE;
  let target = 0;
  let firstWeakened = 0;
  let lastWeakened = 0;
  for (let word = from; word < to; word += 2) {
    let pte = u32[word];
    if (pte === 0) continue;
    if (target === 0) {
      target = ensureTable(child, start, 0);
      if (target === 0) return false;
      // Making the table may have reclaimed or ended another process: look again.
      pte = u32[word];
      if (pte === 0) continue;
    }
    const copy = word + ((target - table) << 10);
    if ((pte & PTE_PRESENT) === 0) {
      if (!isSwapPte(pte)) continue;
      parent.memory.swap!.get(swapSlot(pte));
      child.swapPages++;
      u32[copy] = pte;
      continue;
    }
    if (cow && (pte & PTE_W) !== 0) {
      pte = (pte & ~PTE_W) >>> 0;
      u32[word] = pte;
      if (firstWeakened === 0) firstWeakened = word;
      lastWeakened = word;
    }
    const pfn = pte >>> 10;
    const kind = frames.kind[pfn];
    u32[copy] = pte & ~unused;
    if (kind === KIND_ZERO) continue;
    if (kind === KIND_ANON) frames.flags[pfn] &= ~FRAME_EXCLUSIVE;
    frames.refcount[pfn]++;
    frames.mapcount[pfn]++;
    counts[kind]++;
  }
  if (firstWeakened !== 0) gather.touch(parent, table, indexOfWord(firstWeakened), indexOfWord(lastWeakened));
  countPages(child, counts, 1);
  return true;
}
