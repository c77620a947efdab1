// The read-only view of a region: a second root whose leaf entries lack W, for windows that must not write (RDONLY, and PRIVATE until it does).
// RISC-V's pointer entries carry no rights, so it is the leaves that deny; x86-64 and arm64 could do it in the linking entry. The view is a mirror of
// the host mm: whatever weakens the host's entries weakens the view's. A page counts once, in the host; the view only refers to it.
import { ENOMEM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PMD_SIZE, type Pfn } from "../base/numbers.ts";
import { ENTRIES, PTE_D, PTE_W, ptePfn } from "../machine/pte.ts";
import { KIND_ZERO } from "../mm/frame.ts";
import { hugetlbLeaves, isHugetlb, poolOf } from "../mm/hugetlb-vma.ts";
import { hostLeaf, mirrorLeaf } from "../mm/hugetlb-window.ts";
import type { HugePool } from "../mm/hugetlb.ts";
import type { Mirror, Mm } from "../mm/mm.ts";
import { PTE_PRESENT, ensureTable, findTable, freeTables, nextMappedAddress } from "../mm/page-table.ts";
import { zapTables } from "../mm/rmap.ts";
import type { Gather } from "../mm/shootdown.ts";
import { copyHugeLeaf, splitForLink, thpWord } from "./huge.ts";

/** Enters in PTE table `table` of `mm` what `twin` (0: nothing) holds and it does not, without W. */
export function copyPresent(mm: Mm, table: Pfn, twin: Pfn): void {
  if (twin === 0) return;
  const { ram, frames } = mm.memory;
  for (let i = 0; i < ENTRIES; i++) {
    const pte = ram.readPte(twin, i);
    if ((pte & PTE_PRESENT) === 0 || ram.readPte(table, i) !== 0) continue;
    const pfn = ptePfn(pte);
    ram.writePte(table, i, pte & ~(PTE_W | PTE_D));
    if (frames.kind[pfn] === KIND_ZERO) continue;
    frames.refcount[pfn]++;
    frames.mapcount[pfn]++;
  }
}

export class View {
  readonly mm: Mm;
  readonly host: Mm;
  /** Windows that use it. */
  windows = 0;
  readonly #mirror: Mirror;

  private constructor(mm: Mm, host: Mm) {
    this.mm = mm;
    this.host = host;
    this.#mirror = { mm, start: 0, end: TASK_SIZE, shift: 0, readOnly: true };
    mm.viewOf = host;
    mm.isLinkable = true;
    host.mirrors.add(this.#mirror);
  }

  /** An empty view of `host`; -ENOMEM. */
  static create(host: Mm): View | number {
    const mm = host.memory.newMm(host.memcg);
    return typeof mm === "number" ? mm : new View(mm, host);
  }

  /**
   * Copies what the host's table for `hostVa` (and the 2 MiB around) holds and the view's does not, without W. 0 or -ENOMEM. Entries that were
   * there are as good as the host's: both are changed together.
   */
  fill(hostVa: number): number {
    const { mm, host } = this;
    const { ram } = mm.memory;
    const vma = host.vmas.lookup(hostVa);
    if (vma !== null && isHugetlb(vma)) return this.#fillHuge(hostVa, poolOf(vma));
    if (thpWord(mm, hostVa) !== 0) return 0;
    // A leaf for a leaf; but a PTE table that is there may be linked.
    if (thpWord(host, hostVa) !== 0) {
      if (findTable(ram, mm.root, hostVa) === 0) return copyHugeLeaf(mm, host, hostVa) ? 0 : -ENOMEM;
      if (!splitForLink(mm, hostVa)) return -ENOMEM;
    }
    const table = ensureTable(mm, hostVa, 0);
    if (table === 0) return -ENOMEM;
    copyPresent(mm, table, findTable(ram, host.root, hostVa));
    return 0;
  }

  /** As fill, where a hugetlb page may be. */
  #fillHuge(hostVa: number, pool: HugePool): number {
    const { mm, host } = this;
    const leaf = hostLeaf(host, hostVa, pool.size);
    const table = ensureTable(mm, hostVa, pool.level);
    if (table === 0) return -ENOMEM;
    return leaf === null || mirrorLeaf(mm, table, leaf.index, leaf) ? 0 : -ENOMEM;
  }

  /** Fills all tables of [start, end) that the host has. Stops where memory is short. */
  fillAll(start: number, end: number): void {
    const { host } = this;
    const next = (va: number): number => nextMappedAddress(host.memory.ram, host.root, va, end);
    for (let va = next(start); va < end; va = next(va - (va % PMD_SIZE) + PMD_SIZE)) if (this.fill(va) < 0) return;
    for (const leaf of hugetlbLeaves(host, start, end)) if (this.fill(leaf.va) < 0) return;
  }

  /** No window uses it any more: its entries and tables go with `gather`. */
  empty(gather: Gather): void {
    zapTables(this.mm, 0, TASK_SIZE, gather, "and private copies", null);
    freeTables(this.mm, 0, TASK_SIZE, 0, TASK_SIZE, gather);
  }

  /** The region ends: no window links to it. */
  end(): void {
    const gather = this.mm.memory.beginGather();
    this.empty(gather);
    gather.finish();
    this.host.mirrors.delete(this.#mirror);
    this.mm.put();
  }
}
