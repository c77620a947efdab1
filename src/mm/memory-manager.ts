// All memory management of one machine: frames, counters, the commit limit, the address spaces and the objects. Created once at boot by the
// kernel (and by tests). What mm needs of the rooms above are hooks here: `onOom`.
import { ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import type { CachedTranslation } from "../machine/mmu.ts";
import type { Ram } from "../machine/ram.ts";
import { BLOCK_FRAMES, FrameAllocator, KIND_ANON, KIND_FILE, KIND_SHMEM, KIND_TABLE, KIND_ZERO } from "./frame.ts";
import { type HugePool, Hugetlb } from "./hugetlb.ts";
import { AnonymousHugeFile, HugetlbObject } from "./hugetlb-object.ts";
import { Khugepaged } from "./khugepaged.ts";
import { type MemoryGroup, MemoryGroups, onlineOf } from "./memcg.ts";
import { Mm } from "./mm.ts";
import { FileObject } from "./file-object.ts";
import { type MemoryObject, ShmemObject } from "./object.ts";
import { LEAST_FRAMES, RECLAIM_BATCH, reclaim } from "./reclaim.ts";
import type { SwapArea } from "./swap.ts";
import { newTable } from "./page-table.ts";
import { Thp } from "./thp.ts";
import { AnonymousFile, SpecialFile } from "./vm-file.ts";
import { type FlushCount, Gather, type TlbFlush } from "./shootdown.ts";
import { verifyMemory } from "./verify.ts";

/** What mm needs of the machine's MMU; `machine/mmu.ts` is one. */
export interface TlbControl {
  /** Drops translations that came from entries [first, first + count) of a leaf table, on all harts. */
  flushLeaf(table: Pfn, first: number, count: number): FlushCount;
  /** As flushLeaf for many tables, entries ranges[i] of tables[i]; harts are summed over the tables. */
  flushLeaves(tables: readonly Pfn[], ranges: readonly (readonly [first: number, last: number])[]): FlushCount;
  /** Drops all translations of the space with this root table. */
  flushSpace(root: Pfn): FlushCount;
  flushAll(): FlushCount;
  /** The space ends: its root table is about to be freed. */
  releaseSpace(root: Pfn): void;
  /** Every translation that a hart holds. */
  entries(): Iterable<CachedTranslation>;
}

/** vm.overcommit_memory: 0 refuses only the absurd, 1 nothing, 2 keeps to the commit limit. */
export type Overcommit = 0 | 1 | 2;

export interface MemoryOptions {
  overcommit?: Overcommit;
  /** Poison freed frames; callers run `verify()` as often as they like. */
  verify?: boolean;
  tlbFlush?: TlbFlush;
  /** [0, 1): where randomness is wanted (mmap base). Seeded by the kernel. */
  random?: () => number;
}

/** Counters by the names of /proc/vmstat where Linux has them. */
export class VmStat {
  pgfault = 0;
  pgmajfault = 0;
  /** Faults that only linked a process's tables to a region's. */
  links = 0;
  /** Faults resolved in a region's host mm. */
  host_faults = 0;
  /** Operations that needed the TLBs to forget something; flush commands sent; harts that held something; translations dropped. */
  shootdowns = 0;
  tlb_flushes = 0;
  tlb_harts = 0;
  tlb_entries = 0;
  pgreuse = 0;
  /** Pages that reclaim looked at, and freed. */
  pgscan = 0;
  pgsteal = 0;
  pswpin = 0;
  pswpout = 0;
  cow_copies = 0;
  oom_kill = 0;
  // Huge pages.
  thp_fault_alloc = 0;
  thp_fault_fallback = 0;
  thp_collapse_alloc = 0;
  thp_collapse_alloc_failed = 0;
  thp_file_alloc = 0;
  thp_file_fallback = 0;
  thp_file_mapped = 0;
  thp_split_page = 0;
  thp_split_pmd = 0;
  thp_scan_exceed_none_pte = 0;
  thp_scan_exceed_swap_pte = 0;
  thp_scan_exceed_share_pte = 0;
  thp_zero_page_alloc = 0;
  thp_zero_page_alloc_failed = 0;
}

export class MemoryManager {
  readonly ram: Ram;
  readonly mmu: TlbControl;
  readonly frames: FrameAllocator;
  readonly stat = new VmStat();
  readonly mms = new Set<Mm>();
  /** Pools of huge pages. */
  readonly hugetlb: Hugetlb;
  /** Objects that hold or may hold pages: the page cache and shmem. */
  readonly objects = new Set<MemoryObject>();
  readonly random: () => number;
  readonly zeroPage: Pfn;
  /** Memory cgroups: who pays for frames and swap slots. */
  readonly groups: MemoryGroups;
  /** Transparent huge pages. */
  readonly thp: Thp;
  readonly khugepaged: Khugepaged;
  overcommit: Overcommit;
  tlbFlush: TlbFlush;
  /** vm.overcommit_ratio, percent of RAM. */
  overcommitRatio = 50;
  /** Where reclaim's clock hand stands. */
  reclaimHand = 0;
  /**
   * An allocation found no frame, or hardly any: the kernel kills something ("retry") or has the current task die of it ("kill-current"). "nobody": none can be
   * killed.
   */
  onOom: (mm: Mm | null) => "retry" | "kill-current" | "nobody" = () => "nobody";
  /** Fault counts of the task that runs now: faults in the kernel's own accesses count there. The kernel sets it. */
  taskUsage: { minorFaults: number; majorFaults: number } | null = null;
  /** Failure injection: asked before each allocation; true lets it fail. */
  failAllocation: ((kind: number) => boolean) | null = null;

  #swap: SwapArea | null = null;
  #committed = 0;
  #nextMm = 1;
  #nextInode = 1;
  readonly #gathers: Gather[] = [];

  constructor(hardware: { ram: Ram; mmu: TlbControl }, options: MemoryOptions = {}) {
    this.ram = hardware.ram;
    this.mmu = hardware.mmu;
    this.frames = new FrameAllocator(hardware.ram);
    this.frames.poison = options.verify ?? false;
    this.groups = new MemoryGroups(this);
    this.frames.uncharge = (group, kind) => {
      this.groups.uncharge(group, kind);
    };
    this.hugetlb = new Hugetlb(this);
    this.overcommit = options.overcommit ?? 0;
    this.tlbFlush = options.tlbFlush ?? "mask";
    this.random = options.random ?? ((): number => 0.5);
    this.zeroPage = this.frames.allocate(KIND_ZERO);
    if (this.zeroPage !== 0) this.ram.zero(this.zeroPage);
    this.thp = new Thp(this);
    this.khugepaged = new Khugepaged(this);
  }

  /** A new, empty address space with one user, for which `group` pays; -ENOMEM. */
  newMm(group: MemoryGroup = this.groups.current): Mm | number {
    const mm = new Mm(this, this.#nextMm, onlineOf(group));
    const root = newTable(mm);
    if (root === 0) return -ENOMEM;
    this.#nextMm++;
    mm.root = root;
    this.mms.add(mm);
    return mm;
  }

  /**
   * A frame with one reference, after reclaim and the OOM handler if need be; 0 if there is none to be had. Contents are undefined. `payer`: who is
   * charged, if it is not the group of `mm` (or, without one, of the task that runs). `wanted`: the frame it should be, if that can be had.
   */
  allocateFrame(mm: Mm | null, kind: number, payer?: MemoryGroup, wanted = 0): Pfn {
    if (this.failAllocation !== null && this.failAllocation(kind)) return asPfn(0);
    if (!this.groups.active) return this.#takeFrame(mm, kind, wanted);
    const group = payer ?? (mm === null ? this.groups.current : mm.memcg);
    const charged = this.groups.charge(group, kind, 1, mm);
    if (charged === null) return asPfn(0);
    const pfn = this.#takeFrame(mm, kind, wanted);
    if (pfn === 0) this.groups.uncharge(charged.id, kind);
    else this.frames.group[pfn] = charged.id;
    return pfn;
  }

  #takeFrame(mm: Mm | null, kind: number, wanted: number): Pfn {
    let pfn = this.frames.allocate(kind, wanted);
    while (pfn === 0) {
      // What groups protect is protected also if it is clean.
      const dropped = this.groups.active ? 0 : this.dropCaches();
      const freed = dropped + reclaim(this, { target: RECLAIM_BATCH });
      if (freed < LEAST_FRAMES) {
        const outcome = this.onOom(mm);
        if (outcome === "kill-current" || (outcome === "nobody" && freed === 0)) return pfn;
      }
      pfn = this.frames.allocate(kind);
    }
    return pfn;
  }

  /** A swap slot with the contents of a frame, for which the frame's group pays; 0: swap is full, or the group may not have more of it. */
  storeInSwap(pfn: Pfn): number {
    const { swap, groups } = this;
    if (swap === null) return 0;
    const group = this.frames.group[pfn];
    if (!groups.chargeSwap(group)) return 0;
    const slot = swap.store(this.ram.bytes(pfn));
    if (slot !== 0) {
      swap.group[slot] = group;
      if (group !== 0) groups.byId(group).stat.pswpout++;
      this.stat.pswpout++;
    } else if (group !== 0) {
      groups.unchargeSwap(group);
      groups.byId(group).note("swapFail");
    }
    return slot;
  }

  /** The contents of a slot are in a frame again: one reference less to the slot. `pfn` is that frame. */
  loadFromSwap(slot: number, pfn: Pfn): void {
    const swap = this.swap!;
    swap.load(slot, this.ram.u8.subarray(pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE));
    swap.put(slot);
    this.stat.pswpin++;
    const group = this.frames.group[pfn];
    if (group !== 0) this.groups.byId(group).stat.pswpin++;
  }

  /** The swap area in use, if there is one. */
  get swap(): SwapArea | null {
    return this.#swap;
  }
  set swap(area: SwapArea | null) {
    this.#swap = area;
    if (area !== null)
      area.uncharge = (group) => {
        this.groups.unchargeSwap(group);
      };
  }

  /**
   * A whole 2 MiB block of frames for `mm` (null: for an object), each with one reference; 0 if there is none, or `mm`'s group may not have it. Nothing else
   * is reclaimed for it, nobody is killed: who asks can do with single frames.
   */
  allocateBlock(mm: Mm | null, kind: number): Pfn {
    if (this.failAllocation !== null && this.failAllocation(kind)) return asPfn(0);
    const { groups, frames } = this;
    if (!groups.active) return frames.allocateBlock(kind);
    const charged = groups.charge(mm === null ? groups.current : mm.memcg, kind, BLOCK_FRAMES, mm);
    if (charged === null) return asPfn(0);
    const pfn = frames.allocateBlock(kind);
    if (pfn === 0) groups.uncharge(charged.id, kind, BLOCK_FRAMES);
    else groups.assign(pfn, BLOCK_FRAMES, charged);
    return pfn;
  }

  /** Pages of swap. */
  get swapTotal(): number {
    return this.swap?.pages ?? 0;
  }

  /** Pages promised to private writable memory and shmem (Committed_AS). */
  committed(): number {
    return this.#committed;
  }

  /** vm_commit_limit, in pages: what hugetlb pools hold is not for others. */
  commitLimit(): number {
    const frames = this.frames.total - this.hugetlb.totalFrames;
    return Math.floor((frames * this.overcommitRatio) / 100) + this.swapTotal;
  }

  /** __vm_enough_memory: promises `pages` more; false (and nothing is promised) if the overcommit policy refuses. */
  commit(pages: number): boolean {
    if (this.overcommit === 0 && pages > this.frames.total + this.swapTotal) return false;
    if (this.overcommit === 2 && this.#committed + pages > this.commitLimit()) return false;
    this.#committed += pages;
    return true;
  }

  uncommit(pages: number): void {
    this.#committed -= pages;
  }

  /** An object for anonymous shared memory of `size` bytes, committed as a whole unless `reserve` is "none"; -ENOMEM. */
  newShmem(size: number, reserve: "whole" | "none"): ShmemObject | number {
    const object = new ShmemObject(this, 0, { accounting: reserve === "whole" ? "whole" : "pages" });
    const error = object.truncate(size);
    if (error === 0) return object;
    object.release();
    return error;
  }

  /** The file behind a MAP_SHARED | MAP_ANONYMOUS mapping ("/dev/zero (deleted)"), held by nobody yet; -ENOMEM. */
  newAnonymousFile(size: number, reserve: "whole" | "none"): AnonymousFile | number {
    const object = this.newShmem(size, reserve);
    if (typeof object === "number") return object;
    object.isAnonymous = true;
    return new AnonymousFile(object, this.#nextInode++);
  }

  /** The file behind MAP_ANONYMOUS | MAP_HUGETLB, held by nobody yet. */
  newAnonymousHugeFile(pool: HugePool, size: number): AnonymousHugeFile {
    return new AnonymousHugeFile(new HugetlbObject(pool, size), this.#nextInode++);
  }

  /** Kernel-made contents to be mapped with `Mm.mapSpecial` into any number of address spaces, such as "[vdso]". */
  newSpecialFile(name: string, contents: Uint8Array): SpecialFile {
    return new SpecialFile(this, name, contents);
  }

  /** Frees clean page cache that nothing maps. Returns the number of frames. */
  dropCaches(): number {
    let dropped = 0;
    for (const object of this.objects) if (object instanceof FileObject) dropped += object.dropClean();
    return dropped;
  }

  /** Frames by use, for /proc/meminfo and /proc/vmstat: free, total and used are in pages. */
  usage(): { total: number; free: number; anon: number; file: number; shmem: number; tables: number } {
    const { used, free, total } = this.frames;
    return {
      total,
      free,
      anon: used[KIND_ANON],
      file: used[KIND_FILE],
      shmem: used[KIND_SHMEM],
      tables: used[KIND_TABLE],
    };
  }

  /** Bytes of page tables of all address spaces, roots included. */
  get tableBytes(): number {
    return this.frames.used[KIND_TABLE] * PAGE_SIZE;
  }

  /** A Gather to collect into; `finish` gives it back. */
  beginGather(): Gather {
    return this.#gathers.pop() ?? new Gather(this);
  }

  /** Only Gather.finish calls this. */
  returnGather(gather: Gather): void {
    if (this.#gathers.length < 4) this.#gathers.push(gather);
  }

  /** Recounts everything from the page tables; throws with what is wrong. */
  verify(): void {
    verifyMemory(this);
  }
}
