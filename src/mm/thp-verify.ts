// verify()'s part about huge pages: leaves, the tables deposited for them, the blocks they map, the huge pages of objects. Used by verify.ts only.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { ENTRIES } from "../machine/pte.ts";
import { BLOCK_FRAMES, FRAME_EXCLUSIVE, KIND_ANON, KIND_HUGETLB, KIND_SHMEM, KIND_TABLE, KIND_ZERO } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { ShmemObject } from "./object.ts";
import { isEmpty, pageOfHugeLeaf } from "./page-table.ts";
import { blockOf } from "./thp-split.ts";

export class HugeCheck {
  readonly #memory: MemoryManager;
  readonly #problems: string[];
  /** Leaves found, by block; and those with a deposit, by mm. */
  readonly #leaves = new Map<number, number>();
  readonly #deposits = new Map<Mm, number>();

  constructor(memory: MemoryManager, problems: string[]) {
    this.#memory = memory;
    this.#problems = problems;
  }

  #expect(what: string, found: number, expected: number): void {
    if (found !== expected) this.#problems.push(`${what} is ${found}, should be ${expected}`);
  }

  /** A huge leaf of `mm` at `va`: its pages, to be checked as entries of a level-0 table are. */
  checkLeaf(mm: Mm, va: number, pmd: number): { at: number; page: number }[] {
    const { frames } = this.#memory;
    const pfn = blockOf(pmd);
    const where = `mm ${mm.id}: huge leaf ${pmd.toString(16)} for ${va.toString(16)}`;
    if (pfn % BLOCK_FRAMES !== 0) this.#problems.push(`${where} is not aligned`);
    const kind = frames.kind[pfn];
    if (kind === KIND_ANON || kind === KIND_ZERO) {
      this.#deposits.set(mm, (this.#deposits.get(mm) ?? 0) + 1);
      if (mm.mirrors.size > 0 || mm.viewOf !== null) this.#problems.push(`${where} is private memory in a region`);
    }
    if (kind !== KIND_ZERO) this.#leaves.set(pfn >> 9, (this.#leaves.get(pfn >> 9) ?? 0) + 1);
    const exclusive = frames.flags[pfn] & FRAME_EXCLUSIVE;
    const pages = [];
    for (let i = 0; i < ENTRIES; i++) {
      if (frames.kind[pfn + i] !== kind) this.#problems.push(`${where} maps frames of several kinds`);
      if (kind === KIND_ANON && (frames.flags[pfn + i] & FRAME_EXCLUSIVE) !== exclusive)
        this.#problems.push(`${where} maps frames some of which are exclusive`);
      pages.push({ at: va + i * PAGE_SIZE, page: pageOfHugeLeaf(pmd, i) });
    }
    return pages;
  }

  /** The tables deposited in `mm`, all of whose leaves have been visited: one for each leaf of private memory. */
  checkDeposits(mm: Mm): readonly Pfn[] {
    const { ram, frames } = this.#memory;
    this.#expect(`mm ${mm.id}: tables deposited`, mm.deposited.length, this.#deposits.get(mm) ?? 0);
    for (const table of mm.deposited)
      if (frames.kind[table] !== KIND_TABLE || !isEmpty(ram, table))
        this.#problems.push(`mm ${mm.id}: deposited frame ${table} is not an empty table`);
    return mm.deposited;
  }

  /** The frames of the huge zero page. */
  zeroFrames(): Pfn[] {
    const { zero } = this.#memory.thp;
    return zero === 0 ? [] : Array.from({ length: BLOCK_FRAMES }, (_, i) => asPfn(zero + i));
  }

  /** Counts of leaves by block, of blocks that leaves map, of huge pages in objects. */
  checkBlocks(): void {
    const { frames, objects } = this.#memory;
    const mapped = new Map<number, number>();
    frames.leaves.forEach((count, block) => {
      if (frames.kind[block * BLOCK_FRAMES] === KIND_HUGETLB) return;
      this.#expect(`huge leaves of block ${block}`, count, this.#leaves.get(block) ?? 0);
      if (count === 0) return;
      const kind = frames.kind[block * BLOCK_FRAMES];
      mapped.set(kind, (mapped.get(kind) ?? 0) + 1);
    });
    for (const kind of [KIND_ANON, KIND_SHMEM])
      this.#expect(`huge-mapped blocks of kind ${kind}`, frames.hugeMapped[kind], mapped.get(kind) ?? 0);
    let huge = 0;
    for (const object of objects) {
      if (!(object instanceof ShmemObject)) continue;
      huge += object.huge.count;
      for (const first of object.huge.starts) this.#checkHugePage(object, first);
    }
    this.#expect("huge pages of shmem", frames.shmemHuge, huge);
  }

  #checkHugePage(object: ShmemObject, first: number): void {
    const block = object.pages.get(first);
    for (let i = 0; i < BLOCK_FRAMES; i++)
      if (block % BLOCK_FRAMES !== 0 || object.pages.get(first + i) !== block + i) {
        this.#problems.push(`pages ${first} and on of a shmem object are called huge, but are not one block`);
        return;
      }
  }
}
