// Faults in hugetlb mappings (mm/hugetlb.c: hugetlb_fault, hugetlb_no_page, hugetlb_wp). Called by fault.ts for VMAs with VM_HUGETLB; a fault in a window comes
// with the host's VMA, and `space` and `shift` as in resolvePage.
import { PAGE_SIZE, type Pfn, alignDown } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_W, isTable, makePte, pteIndex, ptePfn } from "../machine/pte.ts";
import { ACCESS_WRITE } from "../machine/trap.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import { FRAME_EXCLUSIVE } from "./frame.ts";
import { type HugeClaim, type HugetlbObject, allocateHuge, copyHuge, zeroHuge } from "./hugetlb-object.ts";
import { countHugetlb, hugeIndexOf, hugetlbLeaves, isPrivateHuge, poolOf, zapLeaf } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { dropEmptyTable, ensureTable, protectionBits } from "./page-table.ts";
import { VM_MAYSHARE, VM_NORESERVE, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/** The page is there / none is left (SIGBUS) or it lies beyond the end / no memory for a table. */
export type HugetlbOutcome = "done" | "bus" | "oom";

/** Where a fault enters a page. */
interface Place {
  readonly space: Mm;
  readonly vma: Vma;
  readonly table: Pfn;
  readonly index: number;
  /** The address of the huge page in the VMA, and the number of its first 4 KiB page in the file. */
  readonly vmaVa: number;
  readonly pageIndex: number;
  readonly rss: Mm | null;
}

/** hugetlb_fault, as resolvePage. */
export function hugetlbFault(
  space: Mm,
  va: number,
  vma: Vma,
  shift: number,
  access: number,
  rss: Mm | null,
): HugetlbOutcome {
  const { ram } = space.memory;
  const { level, size } = poolOf(vma);
  const base = alignDown(va, size);
  const table = ensureTable(space, base, level);
  if (table === 0) return "oom";
  const index = pteIndex(base, level);
  let pte = ram.readPte(table, index);
  // What was mapped here before has gone, but its tables were kept: they were linked, or others were in reach.
  if (isTable(pte)) {
    if (!dropEmptyTable(space, table, index, level)) return "oom";
    pte = 0;
  }
  const vmaVa = base + shift;
  const place = { space, vma, table, index, vmaVa, pageIndex: vma.pageIndex(vmaVa), rss };
  const write = (access & ACCESS_WRITE) !== 0;
  if (pte === 0) return noPage(place, write);
  if (write && (pte & PTE_W) === 0) return writeProtected(place, ptePfn(pte));
  ram.writePte(table, index, pte | PTE_A | (write ? PTE_D : 0));
  return "done";
}

/** What a VMA has a claim to. */
function claimOf(vma: Vma): HugeClaim {
  const object = vma.object as HugetlbObject;
  const shared = (vma.flags & VM_MAYSHARE) !== 0;
  const own = vma.hugetlb?.map ?? null;
  return {
    object,
    shared,
    noReserve: (vma.flags & VM_NORESERVE) !== 0,
    owner: own !== null,
    map: shared ? object.reserves : own,
  };
}

/** hugetlb_no_page: the file's page, or a new one: the file's in a shared mapping, else private. */
function noPage(place: Place, write: boolean): HugetlbOutcome {
  const { space, vma, table, index, vmaVa, pageIndex, rss } = place;
  const { ram, frames } = space.memory;
  const object = vma.object as HugetlbObject;
  const { pool } = object;
  if (vma.hugetlb!.unmapped) return "bus";
  let head = object.huge(pageIndex);
  const isShared = (vma.flags & VM_MAYSHARE) !== 0;
  if (head !== 0) frames.refcount[head]++;
  else {
    if (pageIndex * PAGE_SIZE + pool.size > object.size) return "bus";
    head = allocateHuge(claimOf(vma), hugeIndexOf(vma, vmaVa), { avoidReserve: false });
    if (head === 0) return "bus";
    zeroHuge(pool, head);
    if (isShared) {
      object.addHuge(pageIndex, head);
      frames.refcount[head]++;
    } else makePrivate(vma, head, pageIndex);
  }
  const isWritable = (vma.flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
  ram.writePte(table, index, makePte(head, protectionBits(vma.flags) | (isWritable ? PTE_W | PTE_D : 0)));
  countHugetlb(space, head, pool, 1, rss);
  // Copied at once: no second fault.
  return write && !isWritable ? writeProtected(place, head) : "done";
}

/** The page is one of the VMA's own. */
function makePrivate(vma: Vma, head: Pfn, pageIndex: number): void {
  const { frames } = vma.mm.memory;
  frames.owner[head] = vma.anonVma ?? prepareAnonVma(vma, vma.mm.vmas.prev(vma), vma.mm.vmas.next(vma));
  frames.index[head] = pageIndex;
  frames.flags[head] = FRAME_EXCLUSIVE;
}

/** hugetlb_wp: a write to a page that is mapped read-only. */
function writeProtected(place: Place, old: Pfn): HugetlbOutcome {
  const { space, vma, table, index, vmaVa, pageIndex, rss } = place;
  const { ram, frames, stat } = space.memory;
  const object = vma.object as HugetlbObject;
  const { pool } = object;
  const bits = protectionBits(vma.flags) | PTE_D | ((vma.flags & VM_WRITE) !== 0 ? PTE_W : 0);
  if ((vma.flags & VM_MAYSHARE) !== 0) {
    ram.writePte(table, index, makePte(old, bits));
    return "done";
  }
  if (isPrivateHuge(space, old) && frames.mapcount[old] === 1) return reuse();
  const claim = claimOf(vma);
  // The maker of a mapping does not use up its reservations for what children share with it.
  const avoidReserve = claim.owner && old !== object.huge(pageIndex);
  const head = allocateHuge(claim, hugeIndexOf(vma, vmaVa), { avoidReserve });
  if (head === 0) {
    if (!avoidReserve) return "bus";
    unmapFromChildren(vma, old, pageIndex);
    return frames.mapcount[old] === 1 ? reuse() : "bus";
  }
  copyHuge(pool, head, old);
  stat.cow_copies++;
  makePrivate(vma, head, pageIndex);
  ram.writePte(table, index, makePte(head, bits));
  countHugetlb(space, head, pool, 1, rss);
  const gather = space.memory.beginGather();
  gather.touch(space, table, index);
  countHugetlb(space, old, pool, -1, rss);
  gather.release(old);
  gather.finish();
  return "done";

  function reuse(): HugetlbOutcome {
    makePrivate(vma, old, pageIndex);
    ram.writePte(table, index, makePte(old, bits));
    stat.pgreuse++;
    return "done";
  }
}

/**
 * unmap_ref_private: no page is left for the maker of a private mapping, so those who share this one since a fork lose it: their next access there is
 * SIGBUS, since zeros in its place would look like lost data.
 */
function unmapFromChildren(vma: Vma, head: Pfn, pageIndex: number): void {
  const { memory } = vma.mm;
  const gather = memory.beginGather();
  for (const other of vma.object!.mappings) {
    if (other === vma || (other.flags & VM_MAYSHARE) !== 0 || other.hugetlb === null || other.hugetlb.map !== null)
      continue;
    if (pageIndex < other.pgoff || pageIndex >= other.pgoff + other.pages) continue;
    const va = other.addressOf(pageIndex);
    for (const leaf of hugetlbLeaves(other.mm, va, va + PAGE_SIZE)) {
      if (leaf.head !== head) continue;
      zapLeaf(other.mm, leaf, gather, other.mm);
      other.hugetlb.unmapped = true;
    }
  }
  gather.finish();
}
