// verify()'s part about hugetlb pools: their counts, and what is promised of them, recounted from files, private mappings and mounts. Used by verify.ts only.
import { KIND_HUGETLB } from "./frame.ts";
import { hugeIndexOf, hugetlbOf } from "./hugetlb-vma.ts";
import type { HugePool } from "./hugetlb.ts";
import type { HugetlbObject } from "./hugetlb-object.ts";
import type { MemoryManager } from "./memory-manager.ts";

/** What does not add up, a line each; `mapped`: leaves found that map hugetlb pages. */
export function checkPools(memory: MemoryManager, mapped: number): string[] {
  const problems: string[] = [];
  const { frames, hugetlb } = memory;
  const expect = (what: string, found: number, expected: number): void => {
    if (found !== expected) problems.push(`${what} is ${found}, should be ${expected}`);
  };
  expect("hugetlb leaves", hugetlb.mapped, mapped);
  expect("frames of hugetlb pools", frames.used[KIND_HUGETLB], hugetlb.totalFrames);
  for (const pool of hugetlb.pools) {
    const name = `pool of ${pool.size / 1024} kB pages:`;
    const heads = pool.heads();
    expect(`${name} total`, pool.total, heads.length);
    expect(`${name} free`, pool.free, heads.filter((head) => frames.refcount[head] === 0).length);
    expect(`${name} reserved`, pool.reserved, promised(memory, pool));
    if (pool.reserved > pool.free) problems.push(`${name} ${pool.reserved} reserved of ${pool.free} free`);
    if (pool.surplus < 0 || pool.surplus > pool.total)
      problems.push(`${name} ${pool.surplus} of ${pool.total} are surplus`);
  }
  return problems;
}

/** Pages of a pool that are promised and have not been taken: of files, of private mappings, and what mounts keep of their minimum. */
function promised(memory: MemoryManager, pool: HugePool): number {
  let pages = 0;
  for (const object of memory.objects)
    if (hugetlbOf({ object })?.pool === pool) {
      const { reserves, pages: there } = object as HugetlbObject;
      pages += reserves.count(0, Infinity) - there.count;
    }
  for (const mm of memory.mms)
    for (const vma of mm.vmas) {
      const map = vma.hugetlb?.map ?? null;
      if (map === null || hugetlbOf(vma)?.pool !== pool) continue;
      const from = hugeIndexOf(vma, vma.start);
      pages += map.missing(from, from + (vma.end - vma.start) / pool.size);
    }
  for (const subpool of pool.subpools) pages += subpool.reserved;
  // The last reference to them has not gone yet.
  return pages - pool.restoring();
}
