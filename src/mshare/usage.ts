// What windows and regions hold, counted from the page tables: RssMshare, resident, and the numbers of smaps. Reads only; used by stat and procfs.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { LEVEL_SIZE, PTE_A, PTE_D } from "../machine/pte.ts";
import { FRAME_DIRTY, KIND_ANON, KIND_FILE, KIND_HUGETLB, KIND_SHMEM, KIND_ZERO } from "../mm/frame.ts";
import { hugetlbLeaves, isPrivateHuge } from "../mm/hugetlb-vma.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import { PTE_PRESENT, forEachLeaf, readLeaf } from "../mm/page-table.ts";
import type { Vma } from "../mm/vma.ts";
import { MshareWindow } from "./window.ts";

/** Calls `visit` for each present leaf entry of [start, end) in the tables of `mm` but those of hugetlb pages; tables of others that it links count. */
export function forEachPresent(
  mm: Mm,
  start: number,
  end: number,
  visit: (pfn: Pfn, pte: number, va: number, size: "page" | "huge") => void,
): void {
  const { ram, frames } = mm.memory;
  forEachLeaf(ram, mm.root, start, end, (va, pte, size) => {
    if (frames.kind[pte >>> 10] !== KIND_HUGETLB) visit((pte >>> 10) as Pfn, pte, va, size);
  });
}

/** A set of frames of one machine. */
export class FrameSet {
  readonly #memory: MemoryManager;
  readonly #seen: Uint8Array;
  #count = 0;

  constructor(memory: MemoryManager) {
    this.#memory = memory;
    this.#seen = new Uint8Array(memory.ram.endPfn);
  }

  add(pfn: Pfn): void {
    if (this.#seen[pfn] !== 0 || this.#memory.frames.kind[pfn] === KIND_ZERO) return;
    this.#seen[pfn] = 1;
    this.#count++;
  }

  /** `count` frames from `first`, those of one huge page. */
  addRun(first: Pfn, count: number): void {
    for (let pfn = first; pfn < first + count; pfn++) this.add(asPfn(pfn));
  }

  addPresent(mm: Mm, start: number, end: number): void {
    for (const { head, level } of hugetlbLeaves(mm, start, end)) this.addRun(head, LEVEL_SIZE[level] / PAGE_SIZE);
    forEachPresent(mm, start, end, (pfn) => {
      this.add(pfn);
    });
  }

  get bytes(): number {
    return this.#count * PAGE_SIZE;
  }
}

/** The window of a VMA as mshare made it, or null for other VMAs. */
export const windowOf = (vma: Vma): MshareWindow | null => (vma.window instanceof MshareWindow ? vma.window : null);

/** Where the region's pages of a live window are found: the tables, and the address there of the window's first. */
function spaceOf(window: MshareWindow): { space: Mm; start: number } {
  return window.shared
    ? { space: window.host, start: window.hostStart }
    : { space: window.mm, start: window.slotStart };
}

/** RssMshare of /proc/PID/status: bytes of region pages present in the windows of `mm`, each frame once. */
export function mshareRss(mm: Mm): number {
  let frames: FrameSet | null = null;
  for (const vma of mm.vmas) {
    const window = windowOf(vma);
    if (window === null || window.dead) continue;
    frames ??= new FrameSet(mm.memory);
    const { space, start } = spaceOf(window);
    frames.addPresent(space, start, start + window.length);
  }
  return frames === null ? 0 : frames.bytes;
}

/** The lines of smaps that a window has, in bytes. */
export interface WindowUsage {
  rss: number;
  /** Each page divided by the address spaces that share the region and the other places that map it. */
  pss: number;
  pssDirty: number;
  /** Parts of `pss`: copies; the region's pages of files and of other memory. */
  pssAnon: number;
  pssFile: number;
  pssShmem: number;
  sharedClean: number;
  sharedDirty: number;
  privateClean: number;
  privateDirty: number;
  referenced: number;
  /** Copies of a private window. */
  anonymous: number;
  /** Hugetlb pages, which count in nothing else but `mshare`: of the region, and copies. */
  sharedHugetlb: number;
  privateHugetlb: number;
  /** Region pages, hugetlb ones too: all but the copies. */
  mshare: number;
  /** Those among them that huge leaves of the region map. */
  shmemHuge: number;
}

/** The numbers of a window for smaps. */
export function windowUsage(window: MshareWindow): WindowUsage {
  const usage: WindowUsage = {
    rss: 0,
    pss: 0,
    pssDirty: 0,
    pssAnon: 0,
    pssFile: 0,
    pssShmem: 0,
    sharedClean: 0,
    sharedDirty: 0,
    privateClean: 0,
    privateDirty: 0,
    referenced: 0,
    anonymous: 0,
    sharedHugetlb: 0,
    privateHugetlb: 0,
    mshare: 0,
    shmemHuge: 0,
  };
  if (window.dead) return usage;
  const { frames } = window.mm.memory;
  const { space, start } = spaceOf(window);
  // In the region's tables a page is mapped once, for all its sharers.
  const sharers = window.shared ? Math.max(1, window.host.sharers.size) - 1 : 0;
  const { view, mm } = window;
  const toProcess = window.slotStart - start;
  forEachPresent(space, start, start + window.length, (pfn, pte, va, size) => {
    // A private window has this page of its own, which is counted below.
    if (window.isPrivate && isCopy(mm, va + toProcess)) return;
    // The region's read-only root maps it a second time for the same sharers.
    const twice = view !== null && readLeaf(mm.memory.ram, view.mm.root, va) !== 0 ? 1 : 0;
    const users = frames.mapcount[pfn] - twice + sharers;
    const dirty = (pte & PTE_D) !== 0 || (frames.flags[pfn] & FRAME_DIRTY) !== 0;
    usage.rss += PAGE_SIZE;
    if (size === "huge" && frames.kind[pfn] === KIND_SHMEM) usage.shmemHuge += PAGE_SIZE;
    usage.pss += PAGE_SIZE / users;
    usage[frames.kind[pfn] === KIND_FILE ? "pssFile" : "pssShmem"] += PAGE_SIZE / users;
    if (dirty) usage.pssDirty += PAGE_SIZE / users;
    if ((pte & PTE_A) !== 0 || isUsedInViews(space, va)) usage.referenced += PAGE_SIZE;
    if (users > 1) usage[dirty ? "sharedDirty" : "sharedClean"] += PAGE_SIZE;
    else usage[dirty ? "privateDirty" : "privateClean"] += PAGE_SIZE;
  });
  usage.mshare = usage.rss;
  addHugetlb(window, usage, sharers);
  if (window.isPrivate) addCopies(window, usage);
  return usage;
}

/** Somebody has used the page through the region's read-only root. */
function isUsedInViews(host: Mm, va: number): boolean {
  const { ram } = host.memory;
  for (const { mm } of host.mirrors) if (mm.viewOf === host && (readLeaf(ram, mm.root, va) & PTE_A) !== 0) return true;
  return false;
}

/** Hugetlb pages: the region's, where a private window has no copy, and the copies. */
function addHugetlb(window: MshareWindow, usage: WindowUsage, sharers: number): void {
  const { mm, view, slotStart } = window;
  const { frames } = mm.memory;
  const { space, start } = spaceOf(window);
  const count = (users: number, level: number): void => {
    usage[users > 1 ? "sharedHugetlb" : "privateHugetlb"] += LEVEL_SIZE[level];
  };
  for (const { head, level, va } of hugetlbLeaves(space, start, start + window.length)) {
    if (isPrivateHuge(mm, head) || (window.isPrivate && isHugeCopy(mm, va + slotStart - start))) continue;
    const twice = view !== null && readLeaf(mm.memory.ram, view.mm.root, va) !== 0 ? 1 : 0;
    count(frames.mapcount[head] - twice + sharers, level);
    usage.mshare += LEVEL_SIZE[level];
  }
  if (!window.isPrivate) return;
  for (const { head, level } of hugetlbLeaves(mm, slotStart, slotStart + window.length))
    if (isPrivateHuge(mm, head)) count(frames.mapcount[head], level);
}

function isHugeCopy(mm: Mm, va: number): boolean {
  const [leaf] = hugetlbLeaves(mm, va, va + PAGE_SIZE);
  return leaf !== undefined && isPrivateHuge(mm, leaf.head);
}

function isCopy(mm: Mm, va: number): boolean {
  const pte = readLeaf(mm.memory.ram, mm.root, va);
  return (pte & PTE_PRESENT) !== 0 && mm.memory.frames.kind[pte >>> 10] === KIND_ANON;
}

/** What a private window has copied: anonymous pages of the process. */
function addCopies(window: MshareWindow, usage: WindowUsage): void {
  const { mm, slotStart } = window;
  const { frames } = mm.memory;
  forEachPresent(mm, slotStart, slotStart + window.length, (pfn, pte) => {
    if (frames.kind[pfn] !== KIND_ANON) return;
    const users = frames.mapcount[pfn];
    usage.rss += PAGE_SIZE;
    usage.anonymous += PAGE_SIZE;
    usage.pss += PAGE_SIZE / users;
    usage.pssAnon += PAGE_SIZE / users;
    usage.pssDirty += PAGE_SIZE / users;
    if ((pte & PTE_A) !== 0) usage.referenced += PAGE_SIZE;
    usage[users > 1 ? "sharedDirty" : "privateDirty"] += PAGE_SIZE;
  });
}
