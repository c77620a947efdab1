// Transparent huge pages: the settings (/sys/kernel/mm/transparent_hugepage), and which VMAs may have them (mm/huge_memory.c:
// __thp_vma_allowable_orders; mm/shmem.c: shmem_allowable_huge_orders, of 6.12). Decides only; thp-fault.ts makes huge pages, thp-split.ts takes them apart.
//
// A huge page here is 512 contiguous frames, each with counts, owner and index of its own, that one level-1 leaf maps: a leaf counts once for each of
// them. Splitting a leaf therefore changes entries and no counts, and a frame is found and freed alone, whatever its neighbours are. Sizes between
// 4 KiB and 2 MiB (mTHP) are "never", as in a kernel that has just started, and cannot be set.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { BLOCK_FRAMES, KIND_ZERO } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { ShmemObject } from "./object.ts";
import { VM_DROPPABLE, VM_HUGEPAGE, VM_NOHUGEPAGE, VM_SPECIAL, VM_HUGETLB, type Vma } from "./vma.ts";

export type ThpEnabled = "always" | "madvise" | "never";
export type ThpDefrag = "always" | "defer" | "defer+madvise" | "madvise" | "never";
/** `huge=` of a tmpfs mount. */
export type ShmemHuge = "always" | "within_size" | "advise" | "never";
export type ShmemEnabled = ShmemHuge | "deny" | "force";

/** What the objects of one tmpfs have in common: its `huge=` option. Of memfd, SysV and anonymous shared memory: what shmem_enabled says. */
export interface ShmemMount {
  huge: ShmemHuge;
}

/** Below this much RAM huge pages cost more than they save (hugepage_init). */
const MIN_PAGES = (512 * 2 ** 20) / PAGE_SIZE;

/** Why a VMA is asked about: a fault, the THPeligible line of smaps, or a collapse that was asked for (MADV_COLLAPSE: settings do not count). */
export type ThpPurpose = "fault" | "smaps" | "collapse" | "khugepaged";

export class Thp {
  readonly memory: MemoryManager;
  enabled: ThpEnabled;
  defrag: ThpDefrag = "madvise";
  shmemEnabled: ShmemEnabled = "never";
  useZeroPage = true;
  shrinkUnderused = true;
  /** hugepages-2048kB/enabled and shmem_enabled. */
  sizeEnabled: ThpEnabled | "inherit" = "inherit";
  sizeShmemEnabled: ShmemHuge | "inherit" = "inherit";
  /** The mount that is nobody's. */
  readonly internalMount: ShmemMount = { huge: "never" };
  /** The huge zero page: its first frame, or 0 as long as nobody has read an untouched 2 MiB. Kept from then on. */
  #zero: Pfn = asPfn(0);

  constructor(memory: MemoryManager) {
    this.memory = memory;
    this.enabled = memory.frames.total < MIN_PAGES ? "never" : "always";
  }

  /** shmem_enabled is written: all but deny and force are the internal mount's `huge=` from now on. */
  setShmemEnabled(value: ShmemEnabled): void {
    this.shmemEnabled = value;
    if (value !== "deny" && value !== "force") this.internalMount.huge = value;
  }

  /** The huge zero page, made when it is first needed; 0 if there is no memory for it. */
  zeroBlock(): Pfn {
    if (this.#zero !== 0) return this.#zero;
    const { memory } = this;
    const { stat } = memory;
    // Nobody is charged for it.
    const pfn = memory.failAllocation?.(KIND_ZERO) === true ? asPfn(0) : memory.frames.allocateBlock(KIND_ZERO);
    if (pfn === 0) {
      stat.thp_zero_page_alloc_failed++;
      return pfn;
    }
    for (let i = 0; i < BLOCK_FRAMES; i++) memory.ram.zero(asPfn(pfn + i));
    stat.thp_zero_page_alloc++;
    this.#zero = pfn;
    return pfn;
  }

  /** For verify(): the first frame of the huge zero page or 0. */
  get zero(): Pfn {
    return this.#zero;
  }

  /** THP is on at all for regular purposes (hugepage_global_enabled). */
  get globallyEnabled(): boolean {
    return this.enabled !== "never";
  }

  /** Some anonymous memory may have huge pages (hugepage_pmd_enabled): khugepaged runs. What shmem may have does not count in 6.12. */
  get pmdEnabled(): boolean {
    return this.sizeEnabled === "inherit" ? this.globallyEnabled : this.sizeEnabled !== "never";
  }

  /** Anonymous memory with these VM_ flags gets huge pages. */
  allowsAnonymous(vmFlags: number): boolean {
    const advised = (vmFlags & VM_HUGEPAGE) !== 0;
    const size = this.sizeEnabled === "inherit" ? this.enabled : this.sizeEnabled;
    return size === "always" || (size === "madvise" && advised);
  }

  /**
   * shmem_allowable_huge_orders: page `index` of an object may become part of a huge page. `vma`: by whose fault, null for read and write.
   * `writeEnd`: where a write will end. `force`: collapse.
   */
  allowsShmem(
    object: ShmemObject,
    index: number,
    vma: Vma | null,
    options: { writeEnd: number; force: boolean },
  ): boolean {
    if (vma !== null && isThpDisabled(vma)) return false;
    const vmFlags = vma?.flags ?? 0;
    const byMount = this.#mountAllows(object, index, vmFlags, options);
    if (vma === null || !object.isAnonymous) return byMount;
    if (this.shmemEnabled === "deny") return false;
    const { sizeShmemEnabled: size } = this;
    if (this.shmemEnabled === "force") return size === "inherit";
    if (size === "inherit") return byMount;
    return isHugeBy(size, object, index, vmFlags, 0);
  }

  #mountAllows(
    object: ShmemObject,
    index: number,
    vmFlags: number,
    options: { writeEnd: number; force: boolean },
  ): boolean {
    if (this.shmemEnabled === "deny") return false;
    if (options.force || this.shmemEnabled === "force") return true;
    return isHugeBy(object.mount.huge, object, index, vmFlags, options.writeEnd);
  }

  /**
   * Whether a VMA may have huge pages at all. A fault asks about its 2 MiB with `hugeStart` besides. `vmFlags`: those that it is about to have; for shmem
   * its present ones count all the same, as in Linux.
   */
  allows(vma: Vma, purpose: ThpPurpose, vmFlags = vma.flags): boolean {
    if (vma.window !== null || (vmFlags & VM_HUGETLB) !== 0) return false;
    const obeys = purpose !== "collapse";
    if (vma.object === null && obeys && !this.allowsAnonymous(vmFlags)) return false;
    if (isThpDisabled(vma, vmFlags)) return false;
    if (purpose !== "fault" && purpose !== "smaps" && (vmFlags & VM_SPECIAL) !== 0) return false;
    if (purpose !== "fault" && !isLargeEnough(vma, purpose)) return false;
    if (vma.object !== null) {
      if (vma.object.kind !== "shmem") return false;
      return this.allowsShmem(vma.object as ShmemObject, vma.pgoff, vma, { writeEnd: 0, force: !obeys });
    }
    if ((vmFlags & VM_DROPPABLE) !== 0 && purpose === "khugepaged") return false;
    return vma.anonVma !== null || purpose === "fault" || purpose === "smaps";
  }
}

/**
 * Whether the end of the VMA can be huge; smaps asks about shmem as if all sizes from 8 KiB on were enabled, and so says 1 for VMAs that are too small (as
 * 6.12 does).
 */
function isLargeEnough(vma: Vma, purpose: ThpPurpose): boolean {
  const least = purpose === "smaps" && vma.object !== null ? 2 : BLOCK_FRAMES;
  for (let pages = BLOCK_FRAMES; pages >= least; pages /= 2)
    if (alignedStart(vma, vma.end - pages * PAGE_SIZE, pages) >= 0) return true;
  return false;
}

/** `huge=` and its like, for page `index` of an object. */
function isHugeBy(huge: ShmemHuge, object: ShmemObject, index: number, vmFlags: number, writeEnd: number): boolean {
  if (huge === "always") return true;
  if (huge === "within_size") {
    const end = (Math.floor(index / BLOCK_FRAMES) + 1) * BLOCK_FRAMES;
    if (Math.ceil(Math.max(writeEnd, object.size) / PAGE_SIZE) >= end) return true;
  }
  return huge !== "never" && (vmFlags & VM_HUGEPAGE) !== 0;
}

/** vma_thp_disabled */
export const isThpDisabled = (vma: Vma, vmFlags = vma.flags): boolean =>
  (vmFlags & VM_NOHUGEPAGE) !== 0 || vma.mm.thpDisabled;

/**
 * thp_vma_suitable_order: where the 2 MiB around `va` begin, if they lie in the VMA and, of an object, are an aligned part of it too. Else -1.
 */
export const hugeStart = (vma: Vma, va: number): number => alignedStart(vma, va, BLOCK_FRAMES);

function alignedStart(vma: Vma, va: number, pages: number): number {
  if (vma.object !== null && (vma.start / PAGE_SIZE - vma.pgoff) % pages !== 0) return -1;
  const size = pages * PAGE_SIZE;
  const start = va - (va % size);
  return start >= vma.start && start + size <= vma.end ? start : -1;
}
