// Virtual memory areas: one interval of an address space with one protection and one backing, and the sorted list of them.
// Owns the shapes that others supply to mm — `VmFile` (kernel/fs) and `Window` (mshare) — and the VM_* flags. Everything in mm uses it;
// the rooms above read VMAs (maps, smaps, core dumps) but change them only through Mm's methods.
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import type { AnonVma } from "./anon-vma.ts";
import type { Gather } from "./shootdown.ts";
import type { Mm } from "./mm.ts";
import type { ReserveMap } from "./hugetlb-reserve.ts";
import type { MemoryObject } from "./object.ts";

/** An open file as a VMA holds it: supplied by kernel/fs (OpenFile.mmap), by SysV shm, and by mm itself for shared anonymous memory. */
export interface VmFile {
  /** Where the pages live. */
  readonly object: MemoryObject;
  /** The path for /proc/PID/maps, " (deleted)" included. */
  name(): string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly inode: number;
  /** Opened for reading; opened for writing (else MAP_SHARED with PROT_WRITE is EACCES, now and by mprotect). */
  readonly readable: boolean;
  readonly writable: boolean;
  /** On a mount with noexec: PROT_EXEC is EPERM. */
  readonly noExec?: boolean;
  /** Append-only inode opened for writing: shared writable mappings are EACCES. Rare; optional. */
  readonly appendOnly?: boolean;
  /** vm_ops->close exists (SysV shm): such VMAs are not merged away. */
  readonly hasClose?: boolean;
  /** VMAs merge only when this is the same (the identity of the struct file in Linux). */
  readonly mergeKey: unknown;
  /** F_SEAL_WRITE or F_SEAL_FUTURE_WRITE is set: no shared writable mapping (EPERM). */
  writeSealed(): boolean;
  /** One reference for each VMA (splitting takes another one). */
  get(): void;
  put(): void;
}

/**
 * What makes a VMA a window on a region: supplied by mshare, one object per window VMA. mm redirects a fault in the VMA once — to
 * `host`, host address `hostStart + (va - vma.start)`, and the host's VMA there — resolves it in the host's page tables, and asks
 * `link` to point the process's tables at them.
 */
export interface Window {
  readonly host: Mm;
  /** Whose tables are linked: the host's, or those of a read-only view of it (`viewOf`). */
  readonly tables: Mm;
  /** The host address that the VMA's start shows. */
  readonly hostStart: number;
  /** The range of the process's addresses kept free for this window; contains [vma.start, vma.end). */
  readonly slotStart: number;
  readonly slotEnd: number;
  /** Bytes asked for at attach (page-rounded). */
  readonly size: number;
  /** The region's owner is gone: every access is SEGV_MAPERR, every call but detach, munmap and fork fails. */
  readonly dead: boolean;
  /**
   * True: leaf entries live in the host's tables and `link` connects to them. False (--no-share): they live in the process's own
   * tables, and the window has registered itself as a mirror of the host (`host.mirrors`).
   */
  readonly shared: boolean;
  /** Entries of the process's tables that point at `tables`. */
  readonly links: number;
  /**
   * The host table for `va` is populated as wanted: let the process's own tables reach it.
   * Returns "linked" if entries were written, "present" if they were already there, -ENOMEM if a table could not be allocated.
   * If the region has died meanwhile (the OOM killer), takes everything out again: "present", and the next access finds it dead.
   */
  link(mm: Mm, vma: Vma, va: number): "linked" | "present" | number;
  /** May munmap or a mapping over [start, end) take the window away? 0 (then the whole window goes) or a negative errno. */
  mayUnmap(vma: Vma, start: number, end: number): number;
  /**
   * mprotect, mremap, madvise, mlock, munlock, msync on [start, end) of the window (clipped to the VMA), and munmap of a part that lies inside. See
   * WindowCall.
   */
  call(mm: Mm, vma: Vma, call: WindowCall, start: number, end: number, argument: number): number;
  /**
   * Takes all links out of the process's tables and records them in `gather` (flushed before anything is freed); the VMA is being
   * removed from `mm` (munmap, exec, exit).
   */
  unlink(mm: Mm, vma: Vma, gather: Gather): void;
  /**
   * A private window (its VMA is not VM_SHARED): a table of the process's own for `va`, in which a copy can be entered; of level 0, or of a hugetlb page's
   * leaf. 0 if there is no memory for it.
   */
  unshare(va: number, level?: number): Pfn;
  /**
   * fork: gives the child's copy of the VMA a window. No tables are copied; copies of a private window become copy-on-write (recorded in
   * `gather`). False if there is no memory; the child's VMA has its window then, too.
   */
  fork(child: Mm, vma: Vma, gather: Gather): boolean;
}

/** What a hugetlb VMA knows of its reservations (vm_private_data). Parts that a VMA is split into share it; a child's copy has none. */
export interface HugetlbReserve {
  /** Of a private mapping, with its maker: the huge pages whose reservation is used up. */
  readonly map: ReserveMap | null;
  /** A page of it was taken away for the maker of the mapping: from now on only what is mapped may be used (HPAGE_RESV_UNMAPPED). */
  unmapped: boolean;
}

/** The calls that a window answers itself: their `argument` is prot, new size, advice, flags, 0, flags, 0. */
export type WindowCall = "mprotect" | "mremap" | "madvise" | "mlock" | "munlock" | "msync" | "munmap";

// include/linux/mm.h. Bits above 31 are not used here: all flags of a VMA fit in a u32.
export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
export const VM_GROWSDOWN = 0x100;
/** A window on an mshare region (the series' bit is above 31; this one is VM_UFFD_MISSING's, unused here). */
export const VM_MSHARE = 0x200;
export const VM_PFNMAP = 0x400;
/** MAP_DROPPABLE: bit 40 in Linux; bit 11 is unused. Nothing is dropped: memory that may go at any time may also stay. */
export const VM_DROPPABLE = 0x800;
export const VM_LOCKED = 0x2000;
export const VM_IO = 0x4000;
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x10000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
export const VM_LOCKONFAULT = 0x80000;
export const VM_ACCOUNT = 0x100000;
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
export const VM_SYNC = 0x800000;
/** mseal: VM_SEALED is bit 63 in Linux; bit 24 (VM_ARCH_1) is unused on riscv. */
export const VM_SEALED = 0x1000000;
export const VM_WIPEONFORK = 0x2000000;
export const VM_DONTDUMP = 0x4000000;
export const VM_SOFTDIRTY = 0x8000000;
export const VM_MIXEDMAP = 0x10000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;
/** KSM is a hint here: the bit only shows in smaps. Kept below the sign bit's trouble by >>> 0 where compared. */
export const VM_MERGEABLE = 0x80000000;

export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;
/** Never merged, never mlocked (include/linux/mm.h). */
export const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;
export const VM_LOCKED_MASK = VM_LOCKED | VM_LOCKONFAULT;

/** sysctl stack_guard_gap: 256 pages kept free below a stack. */
export const STACK_GUARD_GAP = 256 * PAGE_SIZE;

/** One VMA: [start, end), both page-aligned. Owned by one Mm's tree; never shared. */
export class Vma {
  readonly mm: Mm;
  start: number;
  end: number;
  /** VM_*, as an unsigned 32-bit number. */
  flags: number;
  /** Page offset of `start` in the object; for private anonymous memory `start >> 12` at creation, kept when the VMA moves. */
  pgoff: number;
  /** Null for private anonymous memory. */
  file: VmFile | null;
  /** `file.object`, close at hand for faults. Null for private anonymous memory. */
  object: MemoryObject | null;
  /** Set when the first private page is about to be mapped (anon_vma_prepare), and the chain of those inherited over fork. */
  anonVma: AnonVma | null = null;
  anonChain: AnonVma[] = [];
  /** "[stack]" is derived from the layout; "[vdso]" is stored here; prctl(PR_SET_VMA_ANON_NAME) sets "[anon:...]"'s inner text in `anonName`. */
  name: string | null = null;
  anonName: string | null = null;
  window: Window | null = null;
  /** Of a hugetlb mapping: its reservations. */
  hugetlb: HugetlbReserve | null = null;

  constructor(mm: Mm, start: number, end: number, flags: number, pgoff: number, file: VmFile | null) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.pgoff = pgoff;
    this.file = file;
    this.object = file === null ? null : file.object;
  }

  /** Length in pages. */
  get pages(): number {
    return (this.end - this.start) / PAGE_SIZE;
  }

  /** Private (writes copy), whether of a file or anonymous. */
  get isPrivate(): boolean {
    return (this.flags & VM_SHARED) === 0;
  }

  /** Page index in the object (or the anonymous numbering) of an address inside the VMA (linear_page_index). */
  pageIndex(va: number): number {
    return this.pgoff + Math.floor((va - this.start) / PAGE_SIZE);
  }

  /** The address at which page `index` of the object appears; only meaningful if it lies in [start, end). */
  addressOf(index: number): number {
    return this.start + (index - this.pgoff) * PAGE_SIZE;
  }

  /** The lowest address that must stay free of others because of this VMA: a stack's guard gap, a window's slot (vm_start_gap). */
  get startGap(): number {
    if (this.window !== null) return this.window.slotStart;
    if ((this.flags & VM_GROWSDOWN) !== 0) return Math.max(0, this.start - STACK_GUARD_GAP);
    return this.start;
  }

  /** The first address after this VMA that others may use (vm_end_gap). */
  get endGap(): number {
    return this.window !== null ? this.window.slotEnd : this.end;
  }
}
