// /sys/kernel/mm/hugepages: a directory for each size of hugetlb pages (mm/hugetlb_sysfs.c). Used by sysfs.ts.
import { EINVAL } from "../../base/errno.ts";
import type { HugePool } from "../../mm/hugetlb.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import { parseNumber } from "./procfs/format.ts";
import type { SysAttribute, SysTree } from "./sysfs.ts";

export function hugepagesTree(memory: MemoryManager): SysTree {
  const tree: Record<string, SysTree> = {};
  for (const pool of memory.hugetlb.pools) tree[`hugepages-${pool.size / 1024}kB`] = poolTree(pool);
  return tree;
}

function poolTree(pool: HugePool): SysTree {
  const count = (get: () => number) => (): string => `${get()}\n`;
  return {
    free_hugepages: count(() => pool.free),
    nr_hugepages: attribute(
      () => pool.total,
      (value) => {
        pool.setMax(value);
        return 0;
      },
    ),
    nr_overcommit_hugepages: attribute(
      () => pool.overcommit,
      (value) => pool.setOvercommit(value),
    ),
    resv_hugepages: count(() => pool.reserved),
    surplus_hugepages: count(() => pool.surplus),
  };
}

function attribute(get: () => number, set: (value: number) => number): SysAttribute {
  return {
    read: () => `${get()}\n`,
    write: (text) => {
      const value = parseNumber(text);
      return value === undefined || value < 0 ? -EINVAL : set(value);
    },
  };
}
