// One address space (struct mm_struct): its VMAs, its root table, its layout and its counts. The calls on it are methods here, each a file of
// its own beside this one. Created by MemoryManager.newMm, by fork and by mshare (a region's host mm); held by tasks through get and put.
import { TASK_SIZE } from "../base/limits.ts";
import { type Pfn, asPfn } from "../base/numbers.ts";
import { setBrk } from "./brk.ts";
import { exitMm } from "./exit.ts";
import { type FaultResult, handleFault } from "./fault.ts";
import { forkMm } from "./fork.ts";
import { madvise, setAnonName } from "./madvise.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { type HidesCache, mincore } from "./mincore.ts";
import { mlock, mlockall, munlock } from "./mlock.ts";
import { type MmapRequest, mapSpecial, mmap } from "./mmap.ts";
import { mprotect } from "./mprotect.ts";
import { mremap } from "./mremap.ts";
import { mseal } from "./mseal.ts";
import { msync } from "./msync.ts";
import { munmap } from "./munmap.ts";
import { type AreaRequest, getUnmappedArea } from "./unmapped-area.ts";
import type { VmFile } from "./vma.ts";
import { VmaTree } from "./vma-tree.ts";

/**
 * Other tables that show a part of this mm: the addresses [start, end) of this mm appear in `mm` at +shift. Whoever weakens entries of this mm
 * weakens those too. Registered by mshare: private tables behind windows (--no-share), and a region's read-only view.
 */
export interface Mirror {
  readonly mm: Mm;
  start: number;
  end: number;
  shift: number;
  /** Its entries never allow writing. */
  readonly readOnly: boolean;
}

/** Resource limits that mm enforces, in bytes; Infinity: none. The kernel keeps them up to date (setrlimit, exec). */
export interface MmLimits {
  as: number;
  data: number;
  stack: number;
  memlock: number;
}

/** What the program may do beyond its limits. The kernel keeps it up to date. */
export interface MmCapabilities {
  /** CAP_IPC_LOCK: RLIMIT_MEMLOCK does not apply. */
  ipcLock: boolean;
}

export class Mm {
  readonly memory: MemoryManager;
  /** Unique in its MemoryManager; for messages. */
  readonly id: number;
  /** The Sv48 root table; 0 once the address space has ended. */
  root: Pfn = asPfn(0);
  readonly vmas = new VmaTree();
  /** Tasks and others that hold it. */
  users = 1;

  // The layout, set by exec (addresses; 0: unset). mmap places mappings below mmapBase.
  mmapBase = TASK_SIZE;
  startCode = 0;
  endCode = 0;
  startData = 0;
  endData = 0;
  startBrk = 0;
  brk = 0;
  startStack = 0;
  argStart = 0;
  argEnd = 0;
  envStart = 0;
  envEnd = 0;
  vdso = 0;

  // What its VMAs count for, in pages (see accounting.ts).
  totalVm = 0;
  dataVm = 0;
  execVm = 0;
  stackVm = 0;
  lockedVm = 0;
  /** Bytes of page tables that belong to this mm, the root not counted (VmPTE). */
  tableBytes = 0;
  // Pages mapped now, by kind of page, and the most there ever were.
  rssAnon = 0;
  rssFile = 0;
  rssShmem = 0;
  /** 4 KiB pages that its hugetlb leaves map (HugetlbPages): not in the RSS. */
  hugetlbPages = 0;
  /** Entries that stand for pages in swap (VmSwap). */
  swapPages = 0;
  hiwaterRss = 0;
  hiwaterVm = 0;
  minorFaults = 0;
  majorFaults = 0;
  /** Faults that linked tables of a region. */
  linkFaults = 0;

  limits: MmLimits = { as: Infinity, data: Infinity, stack: Infinity, memlock: Infinity };
  capabilities: MmCapabilities = { ipcLock: false };
  /** Pages locked outside of it that its RLIMIT_MEMLOCK pays for too: in the regions that its process owns. */
  lockedElsewhere: () => number = () => 0;
  /** Flags that every new VMA gets: mlockall(MCL_FUTURE). */
  defFlags = 0;

  /** prctl(PR_SET_THP_DISABLE): no new huge pages. Inherited by fork and exec. */
  thpDisabled = false;
  /** khugepaged has it on its list (MMF_VM_HUGEPAGE); stays set when it ends. */
  inKhugepaged = false;
  /** Empty tables kept for huge leaves of private memory: one for each (thp-split.ts). They count in tableBytes. */
  readonly deposited: Pfn[] = [];

  /** Other tables that show this mm. */
  readonly mirrors = new Set<Mirror>();
  /** Other mms may link to its tables: it is a region's host or a view of one. Then a table can outlive the VMAs that it was made for. */
  isLinkable = false;
  /** The mms whose tables link to tables of this one. */
  readonly sharers = new Set<Mm>();
  /** Set if this is a second, read-only root of another mm (mshare's views): it has no VMAs of its own, and its pages count there. */
  viewOf: Mm | null = null;

  /** Who pays for its pages and tables: the group of the process whose memory it is; of a region, its owner's. The kernel keeps it up to date. */
  memcg: MemoryGroup;

  /** Only MemoryManager.newMm makes one: it also gives it a root. */
  constructor(memory: MemoryManager, id: number, memcg: MemoryGroup) {
    this.memory = memory;
    this.id = id;
    this.memcg = memcg;
  }

  /** One more user. */
  get(): this {
    this.users++;
    return this;
  }

  /** One user less; with the last one everything is unmapped and the root is freed. */
  put(): void {
    if (--this.users === 0) exitMm(this);
  }

  /** Pages mapped now (VmRSS). */
  get rss(): number {
    return this.rssAnon + this.rssFile + this.rssShmem;
  }

  /** Updates the high-water marks; called before pages are taken away and after address space has grown. */
  noteHighWater(): void {
    const rss = this.rssAnon + this.rssFile + this.rssShmem;
    if (rss > this.hiwaterRss) this.hiwaterRss = rss;
    if (this.totalVm > this.hiwaterVm) this.hiwaterVm = this.totalVm;
  }

  /** Resolves a page fault: see fault.ts. */
  fault(va: number, access: number): FaultResult {
    return handleFault(this, va, access);
  }

  /** mmap(2): the address or -errno. */
  mmap(request: MmapRequest): number {
    return mmap(this, request);
  }

  /** Maps kernel-made pages such as the vdso (install_special_mapping): the address (page-aligned and free), or -errno. */
  mapSpecial(file: VmFile, addr: number, prot: number): number {
    return mapSpecial(this, file, addr, prot);
  }

  /** Where mmap would place `length` bytes: see unmapped-area.ts. */
  getUnmappedArea(request: AreaRequest): number {
    return getUnmappedArea(this, request);
  }

  munmap(addr: number, length: number): number {
    return munmap(this, addr, length);
  }

  mprotect(addr: number, length: number, prot: number): number {
    return mprotect(this, addr, length, prot);
  }

  mremap(addr: number, oldSize: number, newSize: number, flags: number, newAddr: number): number {
    return mremap(this, addr, oldSize, newSize, flags, newAddr);
  }

  madvise(addr: number, length: number, advice: number): number {
    return madvise(this, addr, length, advice);
  }

  /** prctl(PR_SET_VMA_ANON_NAME): names anonymous memory; null takes the name away. */
  setAnonName(addr: number, length: number, name: string | null): number {
    return setAnonName(this, addr, length, name);
  }

  /** mlock2(2); `flags`: 0 or MLOCK_ONFAULT. */
  mlock(addr: number, length: number, flags: number): number {
    return mlock(this, addr, length, flags);
  }

  munlock(addr: number, length: number): number {
    return munlock(this, addr, length);
  }

  mlockall(flags: number): number {
    return mlockall(this, flags);
  }

  munlockall(): number {
    return mlockall(this, "none");
  }

  mseal(addr: number, length: number, flags: number): number {
    return mseal(this, addr, length, flags);
  }

  msync(addr: number, length: number, flags: number): number {
    return msync(this, addr, length, flags);
  }

  /** mincore(2): a byte for each page, 1 if it is in memory; or -errno. */
  mincore(addr: number, length: number, hides: HidesCache = () => false): Uint8Array | number {
    return mincore(this, addr, length, hides);
  }

  /** brk(2): tries to move the break; returns where it is afterwards. */
  setBrk(addr: number): number {
    return setBrk(this, addr);
  }

  /** A copy of this address space for a child, copy-on-write; -ENOMEM. */
  fork(): Mm | number {
    return forkMm(this);
  }
}
