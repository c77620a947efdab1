// Hugetlb pages in windows on mshare regions: leaves that mirrors of a host show besides its own (a read-only root, private tables), and the copies of private
// windows. A write to a private window copies the whole huge page, as MAP_PRIVATE of a hugetlbfs file does: the copy comes from the pool, without a
// reservation, and counts in the process's HugetlbPages; where none is left the write is SIGBUS. Called by fault.ts and by mshare.
import { PAGE_SIZE, type Pfn, alignDown } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W, isTable, makePte, pteIndex, ptePfn } from "../machine/pte.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import { FRAME_EXCLUSIVE } from "./frame.ts";
import { type HugetlbObject, allocateHuge, copyHuge, zeroHuge } from "./hugetlb-object.ts";
import type { HugetlbOutcome } from "./hugetlb-fault.ts";
import { type HugetlbLeaf, countHugetlb, hugetlbLeaves, isPrivateHuge, shareLeaf } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { dropEmptyTable, protectionBits } from "./page-table.ts";
import type { Gather } from "./shootdown.ts";
import { VM_EXEC, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

/** The leaf of `host` that covers `hostVa`, of a page of `size` bytes; null if there is none. */
export function hostLeaf(host: Mm, hostVa: number, size: number): HugetlbLeaf | null {
  const base = alignDown(hostVa, size);
  return hugetlbLeaves(host, base, base + PAGE_SIZE)[0] ?? null;
}

/**
 * Shows a host's leaf, without W, as entry `index` of `table` (of the leaf's level), which belongs to `mm`; what is there already stays. False if an
 * old table in its place is still linked elsewhere.
 */
export function mirrorLeaf(mm: Mm, table: Pfn, index: number, leaf: HugetlbLeaf): boolean {
  const { ram, frames, hugetlb } = mm.memory;
  const entry = ram.readPte(table, index);
  if (isTable(entry) && !dropEmptyTable(mm, table, index, leaf.level)) return false;
  if (entry !== 0 && !isTable(entry)) return true;
  ram.writePte(table, index, leaf.pte & ~(PTE_W | PTE_D));
  frames.refcount[leaf.head]++;
  countHugetlb(mm, leaf.head, hugetlb.poolOf(leaf.head)!, 1, null);
  return true;
}

/** Takes W from the region's page at `va` that a fault has just entered in the process's own tables (--no-share): nobody has used it yet. */
export function denyHugetlbWriting(mm: Mm, va: number, size: number): void {
  const leaf = hostLeaf(mm, va, size);
  if (leaf !== null && !isPrivateHuge(mm, leaf.head)) mm.memory.ram.writePte(leaf.table, leaf.index, leaf.pte & ~PTE_W);
}

/** A write at `va` to a private window, which shows `hostVa` of a hugetlb VMA of the region. `vma` is the window's; its own table is made here. */
export function privateHugetlbWrite(mm: Mm, vma: Vma, va: number, hostVma: Vma, hostVa: number): HugetlbOutcome {
  const { memory } = mm;
  const { ram, frames } = memory;
  const object = hostVma.object as HugetlbObject;
  const { pool } = object;
  const table = vma.window!.unshare(va, pool.level);
  if (table === 0) return "oom";
  const base = alignDown(va, pool.size);
  const index = pteIndex(base, pool.level);
  if (isTable(ram.readPte(table, index)) && !dropEmptyTable(mm, table, index, pool.level)) return "oom";
  const entry = ram.readPte(table, index);
  const old = ptePfn(entry);
  const wasCopy = old !== 0 && isPrivateHuge(mm, old);
  const bits = protectionBits(hostVma.flags & (VM_READ | VM_WRITE | VM_EXEC)) | PTE_A | PTE_D | PTE_W;
  if (wasCopy && frames.mapcount[old] === 1) {
    makeCopy(vma, base, old);
    ram.writePte(table, index, makePte(old, bits));
    memory.stat.pgreuse++;
    return "done";
  }
  const pageIndex = alignDown(hostVma.pageIndex(hostVa), pool.frames);
  if (pageIndex * PAGE_SIZE + pool.size > object.size) return "bus";
  const claim = { object, shared: false, noReserve: true, owner: false, map: null };
  const head = allocateHuge(claim, pageIndex / pool.frames, { avoidReserve: false });
  if (head === 0) return "bus";
  const source = wasCopy ? old : object.huge(pageIndex);
  if (source === 0) zeroHuge(pool, head);
  else copyHuge(pool, head, source);
  memory.stat.cow_copies++;
  makeCopy(vma, base, head);
  ram.writePte(table, index, makePte(head, bits));
  countHugetlb(mm, head, pool, 1, mm);
  if (old === 0) return "done";
  const gather = memory.beginGather();
  gather.touch(mm, table, index);
  countHugetlb(mm, old, pool, -1, wasCopy ? mm : null);
  gather.release(old);
  gather.finish();
  return "done";
}

/** The page is the window's process's. */
function makeCopy(vma: Vma, va: number, head: Pfn): void {
  const { frames } = vma.mm.memory;
  frames.owner[head] = vma.anonVma ?? prepareAnonVma(vma, vma.mm.vmas.prev(vma), vma.mm.vmas.next(vma));
  frames.index[head] = vma.pageIndex(va);
  frames.flags[head] = FRAME_EXCLUSIVE;
}

/** fork: the copies that a window has in [start, end) are the child's too, until one side writes. `unshare` makes the child's own tables. */
export function forkHugetlbCopies(
  parent: Mm,
  child: Mm,
  start: number,
  end: number,
  gather: Gather,
  unshare: (va: number, level: number) => Pfn,
): boolean {
  const { frames, hugetlb } = parent.memory;
  for (const leaf of hugetlbLeaves(parent, start, end)) {
    if (!isPrivateHuge(parent, leaf.head)) continue;
    if (unshare(leaf.va, leaf.level) === 0 || !shareLeaf(parent, child, leaf, gather, { cow: true })) return false;
    frames.flags[leaf.head] &= ~FRAME_EXCLUSIVE;
    child.hugetlbPages += hugetlb.poolOf(leaf.head)!.frames;
  }
  return true;
}
