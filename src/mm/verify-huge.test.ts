// The recount finds what is wrong with huge leaves, hugetlb pools and the charges of memory groups; one broken thing at a time.
import { describe, expect, it } from "vitest";
import { PTE_X } from "../machine/pte.ts";
import { MADV_PAGEOUT, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED } from "./constants.ts";
import { FRAME_EXCLUSIVE, KIND_ANON, KIND_HUGETLB, KIND_SHMEM, KIND_TABLE } from "./frame.ts";
import { Subpool } from "./hugetlb-reserve.ts";
import { HugetlbObject } from "./hugetlb-object.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { ShmemObject } from "./object.ts";
import { pmdWord } from "./page-table.ts";
import { SwapArea } from "./swap.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

const HUGE = 512;
/** Where the space below has its huge pages, in pages of the arena. */
const ANON = 0;
const SHMEM = 1 * HUGE;
const OWN = 2 * HUGE;
const FILE = 4 * HUGE;
const SMALL = 6 * HUGE;

/**
 * A huge page of each kind, written: private, of shmem; hugetlb pages of a private mapping and of a file on a mount with a minimum, each with one more that is only
 * reserved. Then some small pages, one of them in swap. All but hugetlb pages are charged to a group.
 */
class Spoilt extends TestSpace {
  readonly parent: MemoryGroup;
  readonly group: MemoryGroup;
  readonly subpool: Subpool;
  readonly file: TestFile;

  constructor() {
    super({ memoryBytes: 20 * 2 ** 20, overcommit: 1 });
    const { memory, mm } = this;
    memory.thp.enabled = "always";
    memory.thp.setShmemEnabled("always");
    this.parent = memory.groups.create(memory.groups.root) as MemoryGroup;
    this.group = memory.groups.create(this.parent) as MemoryGroup;
    mm.memcg = memory.groups.current = this.group;
    memory.swap = new SwapArea("test", 8);
    this.pool.setMax(6);
    this.pool.reserve(3);
    this.subpool = new Subpool(this.pool, -1, 3);
    this.file = new TestFile(memory, { object: new HugetlbObject(this.pool, 0, { subpool: this.subpool }) });
    this.map(ANON, HUGE);
    this.mapShared(SHMEM, HUGE);
    this.map(OWN, 2 * HUGE, { flags: MAP_PRIVATE | MAP_HUGETLB });
    this.map(FILE, 2 * HUGE, { flags: MAP_SHARED, file: this.file });
    this.map(SMALL, 3);
    for (const page of [ANON, SHMEM, OWN, FILE, SMALL, SMALL + 1]) this.write(page);
    expect(mm.madvise(ARENA + SMALL * P, P, MADV_PAGEOUT)).toBe(0);
    this.memory.verify();
    expect([this.pool.total, this.pool.free, this.pool.reserved]).toEqual([6, 4, 3]);
  }
  /** Only what is asked for at the end: recounting each step of the preparation tells nothing. */
  override check<T>(value?: T): T {
    return value as T;
  }
  get pool() {
    return this.memory.hugetlb.defaultPool;
  }
  /** The word of the huge leaf at a page of the arena. */
  leaf(page: number): number {
    return pmdWord(this.memory.ram, this.mm.root, ARENA + page * P);
  }
  block(page: number): number {
    return this.memory.ram.u32[this.leaf(page)] >>> 10;
  }
}

const spoil: [name: string, message: RegExp, change: (s: Spoilt) => void][] = [
  // Huge leaves.
  [
    "a leaf counted twice",
    /huge leaves of block \d+ is 2, should be 1/,
    (s) => s.memory.frames.leaves[s.block(ANON) >> 9]++,
  ],
  [
    "a leaf not counted",
    /huge leaves of block \d+ is 0, should be 1/,
    (s) => s.memory.frames.leaves[s.block(SHMEM) >> 9]--,
  ],
  [
    "a leaf of a block that has none",
    /huge leaves of block/,
    (s) => s.memory.frames.leaves[s.memory.frames.leaves.length - 1]++,
  ],
  ["AnonHugePages", /huge-mapped blocks of kind \d is 2, should be 1/, (s) => s.memory.frames.hugeMapped[KIND_ANON]++],
  [
    "ShmemPmdMapped",
    /huge-mapped blocks of kind \d is 0, should be 1/,
    (s) => s.memory.frames.hugeMapped[KIND_SHMEM]--,
  ],
  ["ShmemHugePages", /huge pages of shmem is 2, should be 1/, (s) => s.memory.frames.shmemHuge++],
  ["a deposited table that is lost", /tables deposited is 0, should be 1/, ({ mm }) => mm.deposited.pop()],
  [
    "a deposited table that is not empty",
    /is not an empty table/,
    ({ mm, memory }) => {
      memory.ram.writePte(mm.deposited[0], 3, 1);
    },
  ],
  ["a leaf that allows too much", /allows more than its VMA/, (s) => (s.memory.ram.u32[s.leaf(ANON)] |= PTE_X)],
  ["a leaf that is not aligned", /is not aligned/, (s) => (s.memory.ram.u32[s.leaf(SHMEM)] += 1 << 10)],
  ["a leaf that is gone", /map count 1, 0 entries were found/, (s) => (s.memory.ram.u32[s.leaf(SHMEM)] = 0)],
  [
    "a page of a leaf with a map count too many",
    /map count 2, 1 entries/,
    (s) => s.memory.frames.mapcount[s.block(ANON) + 77]++,
  ],
  [
    "a page of a leaf with a reference too few",
    /has 1 references, 2 were found/,
    (s) => s.memory.frames.refcount[s.block(SHMEM) + 511]--,
  ],
  [
    "a leaf some of whose pages are exclusive",
    /some of which are exclusive/,
    (s) => (s.memory.frames.flags[s.block(ANON) + 9] &= ~FRAME_EXCLUSIVE),
  ],
  [
    "a huge page of an object that is not one block",
    /are called huge, but are not one block/,
    (s) => {
      const object = s.mm.vmas.lookup(ARENA + SHMEM * P)!.object as ShmemObject;
      object.pages.remove(5);
    },
  ],
  ["RSS of a leaf", /rssAnon is \d+, should be \d+/, ({ mm }) => (mm.rssAnon -= HUGE)],
  // hugetlb.
  ["HugetlbPages of a process", /hugetlbPages is 512, should be 1024/, ({ mm }) => (mm.hugetlbPages -= HUGE)],
  ["hugetlb leaves", /hugetlb leaves is 3, should be 2/, ({ memory }) => memory.hugetlb.mapped++],
  ["the total of a pool", /total is 7, should be 6/, ({ pool }) => pool.total++],
  ["frames that belong to pools", /frames of kind \d/, ({ memory }) => memory.frames.used[KIND_HUGETLB]--],
  ["a promise that nobody was given", /reserved is 4, should be 3/, ({ pool }) => pool.reserved++],
  ["a promise that is forgotten", /reserved is 2, should be 3/, ({ pool }) => pool.reserved--],
  [
    "a promise of a private mapping noted as used",
    /reserved is 3, should be 2/,
    ({ mm }) => mm.vmas.lookup(ARENA + OWN * P)!.hugetlb!.map!.add(1, 2),
  ],
  [
    "a promise to a file that it does not know of",
    /reserved is 3, should be 2/,
    ({ file }) => (file.object as HugetlbObject).reserves.delete(1, 2),
  ],
  ["what a mount keeps of its minimum", /reserved is 3, should be 4/, ({ subpool }) => subpool.reserved++],
  ["surplus pages that there are not", /7 of 6 are surplus/, ({ pool }) => (pool.surplus = 7)],
  [
    "a hugetlb page with a reference too many",
    /has 2 references, 1 were found/,
    (s) => s.memory.frames.refcount[s.block(OWN)]++,
  ],
  [
    "a free hugetlb page with a reference",
    /free is 4, should be 3/,
    (s) => {
      const { frames } = s.memory;
      frames.refcount[s.pool.heads().find((head) => frames.refcount[head] === 0)!]++;
    },
  ],
  ["a hugetlb leaf that is gone", /hugetlb leaves is 2, should be 1/, (s) => (s.memory.ram.u32[s.leaf(FILE)] = 0)],
  ["a hugetlb leaf that allows too much", /allows more than its VMA/, (s) => (s.memory.ram.u32[s.leaf(OWN)] |= PTE_X)],
  ["a hugetlb page at the wrong place", /page index/, (s) => (s.memory.frames.index[s.block(OWN)] += HUGE)],
  // Memory groups.
  [
    "a charge for pages",
    /charge for frames of kind \d is \d+, should be \d+/,
    ({ group }) => group.frames[KIND_ANON]++,
  ],
  ["a charge for tables", /charge for frames of kind \d/, ({ group }) => group.frames[KIND_TABLE]--],
  ["memory.current", /group \d+: usage is/, ({ group }) => group.memory.usage++],
  ["memory.current of the group above", /group \d+: usage is/, ({ parent }) => (parent.memory.usage -= HUGE)],
  ["memory.swap.current", /swap usage is 2, should be 1/, ({ group }) => group.swap.usage++],
  ["a charge for swap", /charge for swap slots is 0, should be 1/, ({ group }) => group.slots--],
  [
    "a frame that nobody pays for",
    /charge for frames of kind/,
    (s) => (s.memory.frames.group[s.block(ANON) + 200] = 0),
  ],
  [
    "a frame of a group that is not there",
    /charged to group 99, which is not there/,
    (s) => (s.memory.frames.group[s.block(SHMEM)] = 99),
  ],
  [
    "a free slot that is charged",
    /swap slot 5 is free and charged/,
    ({ memory, group }) => (memory.swap!.group[5] = group.id),
  ],
  [
    "a hugetlb page that is charged",
    /of kind \d is charged to group/,
    (s) => (s.memory.frames.group[s.block(OWN)] = s.group.id),
  ],
];

describe("verify finds", () => {
  it.each(spoil)("%s", (_name, message, change) => {
    const spoilt = new Spoilt();
    change(spoilt);
    expect(() => {
      spoilt.memory.verify();
    }).toThrow(message);
  });
});
