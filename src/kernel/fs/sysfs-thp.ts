// /sys/kernel/mm/transparent_hugepage: the settings of mm/thp.ts as files (mm/huge_memory.c, mm/khugepaged.c, mm/shmem.c). Used by sysfs.ts only.
// There is a directory for each size that Linux has, but only 2048kB can be set: sizes between are "never" here.
import { EINVAL } from "../../base/errno.ts";
import type { Khugepaged } from "../../mm/khugepaged.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import type { ShmemEnabled, ShmemHuge, ThpDefrag, ThpEnabled } from "../../mm/thp.ts";
import { parseNumber } from "./procfs/format.ts";
import type { SysAttribute, SysTree } from "./sysfs.ts";

const ENABLED: readonly ThpEnabled[] = ["always", "madvise", "never"];
const DEFRAG: readonly ThpDefrag[] = ["always", "defer", "defer+madvise", "madvise", "never"];
const SHMEM: readonly ShmemEnabled[] = ["always", "within_size", "advise", "never", "deny", "force"];
const SIZE_ENABLED: readonly (ThpEnabled | "inherit")[] = ["always", "inherit", "madvise", "never"];
const SIZE_SHMEM: readonly (ShmemHuge | "inherit")[] = ["always", "inherit", "within_size", "advise", "never"];

/** "always [madvise] never": one of several words, of which the brackets show the one that holds. */
function choice<T extends string>(words: readonly T[], get: () => T, set: (word: T) => void): SysAttribute {
  return {
    read: () => `${words.map((word) => (word === get() ? `[${word}]` : word)).join(" ")}\n`,
    write: (text) => {
      const word = words.find((one) => one === text.replace(/\n$/, ""));
      if (word === undefined) return -EINVAL;
      set(word);
      return 0;
    },
  };
}

/** A number from `low` to `high`. */
function number(low: number, high: number, get: () => number, set: (value: number) => void): SysAttribute {
  return {
    read: () => `${get()}\n`,
    write: (text) => {
      const value = parseNumber(text);
      if (value === undefined || value < low || value > high) return -EINVAL;
      set(value);
      return 0;
    },
  };
}

const flag = (get: () => boolean, set: (value: boolean) => void): SysAttribute =>
  number(
    0,
    1,
    () => (get() ? 1 : 0),
    (value) => {
      set(value === 1);
    },
  );

/** A size that no page here has: what its files say, and that cannot be changed. */
const otherSize = (): SysTree => ({
  enabled: choice(
    ["always", "inherit", "madvise", "never"],
    () => "never",
    () => undefined,
  ),
  shmem_enabled: choice(
    SIZE_SHMEM,
    () => "never",
    () => undefined,
  ),
});

export function thpTree(memory: MemoryManager): SysTree {
  const { thp, khugepaged } = memory;
  const sizes: Record<string, SysTree> = {};
  for (let kib = 8; kib < 2048; kib *= 2) sizes[`hugepages-${kib}kB`] = otherSize();
  return {
    ...sizes,
    "hugepages-2048kB": hugeSize(memory),
    defrag: choice(
      DEFRAG,
      () => thp.defrag,
      (word) => (thp.defrag = word),
    ),
    enabled: choice(
      ENABLED,
      () => thp.enabled,
      (word) => {
        thp.enabled = word;
        khugepaged.startStop();
      },
    ),
    hpage_pmd_size: "2097152\n",
    khugepaged: khugepagedTree(khugepaged),
    shmem_enabled: choice(
      SHMEM,
      () => thp.shmemEnabled,
      (word) => thp.setShmemEnabled(word),
    ),
    shrink_underused: flag(
      () => thp.shrinkUnderused,
      (value) => (thp.shrinkUnderused = value),
    ),
    use_zero_page: flag(
      () => thp.useZeroPage,
      (value) => (thp.useZeroPage = value),
    ),
  };
}

function hugeSize({ thp, khugepaged, stat, frames }: MemoryManager): SysTree {
  const count = (read: () => number) => (): string => `${read()}\n`;
  return {
    enabled: choice(
      SIZE_ENABLED,
      () => thp.sizeEnabled,
      (word) => {
        thp.sizeEnabled = word;
        khugepaged.startStop();
      },
    ),
    shmem_enabled: choice(
      SIZE_SHMEM,
      () => thp.sizeShmemEnabled,
      (word) => (thp.sizeShmemEnabled = word),
    ),
    stats: {
      anon_fault_alloc: count(() => stat.thp_fault_alloc),
      anon_fault_fallback: count(() => stat.thp_fault_fallback),
      nr_anon: count(() => frames.hugeMapped[1]),
      shmem_alloc: count(() => stat.thp_file_alloc),
      shmem_fallback: count(() => stat.thp_file_fallback),
      split: count(() => stat.thp_split_page),
    },
  };
}

function khugepagedTree(khugepaged: Khugepaged): SysTree {
  const limit = (key: "maxPtesNone" | "maxPtesShared" | "maxPtesSwap"): SysAttribute =>
    number(
      0,
      511,
      () => khugepaged[key],
      (value) => (khugepaged[key] = value),
    );
  const amount = (key: "pagesToScan" | "scanSleepMillisecs" | "allocSleepMillisecs", low: number): SysAttribute =>
    number(
      low,
      2 ** 32 - 1,
      () => khugepaged[key],
      (value) => (khugepaged[key] = value),
    );
  return {
    alloc_sleep_millisecs: amount("allocSleepMillisecs", 0),
    defrag: flag(
      () => khugepaged.defrag,
      (value) => (khugepaged.defrag = value),
    ),
    full_scans: () => `${khugepaged.fullScans}\n`,
    max_ptes_none: limit("maxPtesNone"),
    max_ptes_shared: limit("maxPtesShared"),
    max_ptes_swap: limit("maxPtesSwap"),
    pages_collapsed: () => `${khugepaged.pagesCollapsed}\n`,
    pages_to_scan: amount("pagesToScan", 1),
    scan_sleep_millisecs: amount("scanSleepMillisecs", 0),
  };
}
