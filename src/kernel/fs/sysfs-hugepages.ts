// /sys/kernel/mm/hugepages: a directory for each size of hugetlb pages (mm/hugetlb_sysfs.c). Used by sysfs.ts.
import { EINVAL } from "../../base/errno.ts";
import type { HugePool } from "../../mm/hugetlb.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import { parseBytes } from "./hugetlbfs.ts";
import { parseNumber } from "./procfs/format.ts";
import type { SysAttribute, SysTree } from "./sysfs.ts";

export function hugepagesTree(memory: MemoryManager): SysTree {
  const tree: Record<string, SysTree> = {};
  const { pools } = memory.hugetlb;
  pools.forEach((pool, i) => {
    const demotion = i === 0 ? {} : demotionTree(pool, pools[i - 1]);
    tree[`hugepages-${pool.size / 1024}kB`] = { ...poolTree(pool), ...demotion };
  });
  return tree;
}

/** What a pool has whose pages can become pages of a smaller size; there is one. */
function demotionTree(pool: HugePool, smaller: HugePool): SysTree {
  return {
    demote: {
      ...attribute(
        () => 0,
        (count) => (pool.demote(count, smaller), 0),
      ),
      read: null,
    },
    demote_size: {
      read: () => `${smaller.size / 1024}kB\n`,
      write: (text) => (parseBytes(text) === smaller.size ? 0 : -EINVAL),
    },
  };
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
