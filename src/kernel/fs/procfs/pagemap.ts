// /proc/PID/pagemap: the state of each page as 64 bits, and the call that scans for pages in a state (PAGEMAP_SCAN, fs/proc/task_mmu.c).

import { EFAULT, EINVAL, EPERM } from "../../../base/errno.ts";
import { TASK_SIZE } from "../../../base/limits.ts";
import { PAGE_SIZE, type Pfn, pageUp } from "../../../base/numbers.ts";
import { ptePfn } from "../../../machine/pte.ts";
import { KIND_ANON, KIND_HUGETLB, KIND_ZERO } from "../../../mm/frame.ts";
import { hugetlbOf, isPrivateHuge } from "../../../mm/hugetlb-vma.ts";
import type { Mm } from "../../../mm/mm.ts";
import { PTE_PRESENT, entryWord, findTable, isHugeLeaf, pmdWord, readLeaf } from "../../../mm/page-table.ts";
import { isSwapPte, swapSlot } from "../../../mm/swap.ts";
import { copyFromUser, copyToUser, putUser64 } from "../../../mm/usercopy.ts";
import type { Vma } from "../../../mm/vma.ts";
import { windowOf } from "../../../mshare/usage.ts";
import { CAP_SYS_ADMIN } from "../../creds.ts";
import type { Task } from "../../task.ts";
import { SEEK_CUR, SEEK_SET } from "../abi.ts";
import type { Path } from "../inode.ts";
import { put64 } from "../stat.ts";
import { AddressFile } from "./mem.ts";

// The bits of an entry (Documentation/admin-guide/mm/pagemap.rst).
const PM_MMAP_EXCLUSIVE = 1n << 56n;
const PM_FILE = 1n << 61n;
const PM_SWAP = 1n << 62n;
const PM_PRESENT = 1n << 63n;
const ENTRY = 8;
/** Entries of one read at most: 512 MiB of memory. */
const MAX_ENTRIES = 1 << 17;

const PAGEMAP_SCAN = 0xc0606610;

/** Where a page is found: the leaf entry, and how many address spaces reach it through that entry. */
interface PageState {
  readonly pte: number;
  /** A huge leaf maps it. */
  readonly huge: boolean;
  readonly sharers: number;
}

/** The page at `va` of `mm`; pages of a region are looked up in the region's own tables, linked or not. */
function pageState(mm: Mm, va: number, vma: Vma | null): PageState {
  const { ram } = mm.memory;
  const window = vma === null ? null : windowOf(vma);
  const isHuge = (root: Pfn, at: number): boolean => {
    const word = pmdWord(ram, root, at);
    return word !== 0 && isHugeLeaf(ram.u32[word]);
  };
  if (window === null || window.dead || !window.shared)
    return { pte: readLeaf(ram, mm.root, va), huge: isHuge(mm.root, va), sharers: 1 };
  const { root, sharers } = window.host;
  const at = window.hostStart + (va - vma!.start);
  return { pte: readLeaf(ram, root, at), huge: isHuge(root, at), sharers: sharers.size };
}

/** The frame that has the counts of a page: of a hugetlb page its first. */
function countedFrame({ memory }: Mm, pfn: Pfn): Pfn {
  return memory.frames.kind[pfn] === KIND_HUGETLB ? memory.hugetlb.headOf(pfn) : pfn;
}

const isAnonymous = (mm: Mm, pfn: Pfn): boolean => {
  const kind = mm.memory.frames.kind[pfn];
  return kind === KIND_ANON || (kind === KIND_HUGETLB && isPrivateHuge(mm, pfn));
};

/** An open pagemap. */
export class PagemapFile extends AddressFile {
  /** Frame numbers are for CAP_SYS_ADMIN. */
  readonly #showFrames: boolean;
  constructor(opener: Task, mm: Mm, path: Path, flags: number) {
    super(mm, path, flags);
    this.#showFrames = opener.capable(CAP_SYS_ADMIN);
  }
  override seek(offset: number, whence: number): number {
    return whence === SEEK_SET || whence === SEEK_CUR ? super.seek(offset, whence) : -EINVAL;
  }
  override read(_task: Task, length: number, pos: number | undefined): Uint8Array | number {
    const at = pos ?? this.pos;
    if (!this.alive) return new Uint8Array(0);
    if (at % ENTRY !== 0 || length % ENTRY !== 0) return -EINVAL;
    const first = at / ENTRY;
    const count = Math.min(length / ENTRY, Math.max(0, TASK_SIZE / PAGE_SIZE - first), MAX_ENTRIES);
    const bytes = new Uint8Array(count * ENTRY);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) {
      const va = (first + i) * PAGE_SIZE;
      const vma = this.mm.vmas.lookup(va);
      if (vma !== null) view.setBigUint64(i * ENTRY, this.#entry(va, vma), true);
    }
    if (pos === undefined) this.pos = at + bytes.length;
    return bytes;
  }
  #entry(va: number, vma: Vma): bigint {
    const { frames } = this.mm.memory;
    const { pte, sharers } = pageState(this.mm, va, vma);
    // Bits 5 up: the slot (bits 0 to 4 are the area's number: there is one).
    if (isSwapPte(pte)) return PM_SWAP | (this.#showFrames ? BigInt(swapSlot(pte)) << 5n : 0n);
    if ((pte & PTE_PRESENT) === 0) return 0n;
    let entry = PM_PRESENT | (this.#showFrames ? BigInt(ptePfn(pte)) : 0n);
    const pfn = countedFrame(this.mm, ptePfn(pte));
    const kind = frames.kind[pfn];
    if (kind === KIND_ZERO) return entry;
    if (!isAnonymous(this.mm, pfn)) entry |= PM_FILE;
    if (frames.mapcount[pfn] === 1 && sharers <= 1) entry |= PM_MMAP_EXCLUSIVE;
    return entry;
  }
  override ioctl(task: Task, request: number, arg: number): number {
    return request === PAGEMAP_SCAN ? scan(task, this.mm, arg) : -EINVAL;
  }
}

// Categories of pages (include/uapi/linux/fs.h). WPALLOWED and SWAPPED never apply here, SOFT_DIRTY neither.
const PAGE_IS_WPALLOWED = 1;
const PAGE_IS_WRITTEN = 2;
const PAGE_IS_FILE = 4;
const PAGE_IS_PRESENT = 8;
const PAGE_IS_PFNZERO = 32;
const PAGE_IS_HUGE = 64;
const CATEGORIES = 0xff;
const PM_SCAN_CHECK_WPASYNC = 2;
const SCAN_FLAGS = 3;

/** sizeof(struct pm_scan_arg), where walk_end is in it, sizeof(struct page_region). */
const SCAN_ARG = 96;
const WALK_END = 32;
const REGION = 24;

interface ScanArgs {
  readonly flags: number;
  readonly start: number;
  readonly end: number;
  readonly vec: number;
  readonly vecLength: number;
  readonly maxPages: number;
  readonly inverted: number;
  readonly mask: number;
  readonly anyOf: number;
  readonly returned: number;
}

function readScanArgs(task: Task, at: number): ScanArgs | number {
  const bytes = copyFromUser(task.mm, at, SCAN_ARG);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SCAN_ARG);
  const word = (i: number): number => Number(view.getBigUint64(8 * i, true));
  if (word(0) !== SCAN_ARG || word(1) > SCAN_FLAGS) return -EINVAL;
  const [inverted, mask, anyOf, returned] = [8, 9, 10, 11].map(word);
  if ([inverted, mask, anyOf, returned].some((set) => set > CATEGORIES)) return -EINVAL;
  const [start, end, vec, vecLength] = [2, 3, 5, 6].map(word);
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (end < start || end > TASK_SIZE) return -EFAULT;
  if (vec === 0 && vecLength !== 0) return -EINVAL;
  if (vec + vecLength * REGION > TASK_SIZE) return -EFAULT;
  const maxPages = word(7) || Infinity;
  return { flags: word(1), start, end: pageUp(end), vec, vecLength, maxPages, inverted, mask, anyOf, returned };
}

/** What is found, page by page: neighbours of the same categories are one region, up to as many as there is room for. */
class ScanOutput {
  readonly regions: { start: number; end: number; categories: number }[] = [];
  #pages = 0;
  readonly #args: ScanArgs;
  constructor(args: ScanArgs) {
    this.#args = args;
  }
  /** Takes the pages [start, end) as far as there is room: where it stopped. */
  add(start: number, end: number, categories: number): number {
    const { vecLength, maxPages, returned } = this.#args;
    if (vecLength === 0) return end;
    const stop = Math.min(end, start + (maxPages - this.#pages) * PAGE_SIZE);
    if (stop <= start) return start;
    const kept = categories & returned;
    const last = this.regions.at(-1);
    if (last !== undefined && last.end === start && last.categories === kept) last.end = stop;
    else if (this.regions.length < vecLength) this.regions.push({ start, end: stop, categories: kept });
    else return start;
    this.#pages += (stop - start) / PAGE_SIZE;
    return stop;
  }
  encode(): Uint8Array {
    const bytes = new Uint8Array(this.regions.length * REGION);
    const view = new DataView(bytes.buffer);
    this.regions.forEach(({ start, end, categories }, i) => {
      put64(view, i * REGION, start);
      put64(view, i * REGION + 8, end);
      put64(view, i * REGION + 16, categories);
    });
    return bytes;
  }
}

function interesting(args: ScanArgs, categories: number): boolean {
  const seen = categories ^ args.inverted;
  if ((seen & args.mask) !== args.mask) return false;
  return args.anyOf === 0 || (seen & args.anyOf) !== 0;
}

/** pagemap_hugetlb_category; where there is no table, nothing. */
function hugetlbCategories(mm: Mm, va: number, level: number, pte: number): number {
  if ((pte & PTE_PRESENT) === 0) return entryWord(mm.memory.ram, mm.root, va, level) === 0 ? 0 : PAGE_IS_HUGE;
  const present = PAGE_IS_HUGE | PAGE_IS_PRESENT | PAGE_IS_WRITTEN;
  return isAnonymous(mm, countedFrame(mm, ptePfn(pte))) ? present : present | PAGE_IS_FILE;
}

function categoriesOf(mm: Mm, va: number, vma: Vma): number {
  const { pte, huge } = pageState(mm, va, vma);
  const hugetlb = hugetlbOf(vma);
  if (hugetlb !== undefined) return hugetlbCategories(mm, va, hugetlb.pool.level, pte);
  // Where there is a table, an entry that is not write-protected counts as written, even an empty one.
  if ((pte & PTE_PRESENT) === 0) return findTable(mm.memory.ram, mm.root, va) === 0 ? 0 : PAGE_IS_WRITTEN;
  const kind = mm.memory.frames.kind[ptePfn(pte)];
  const written = PAGE_IS_PRESENT | PAGE_IS_WRITTEN | (huge ? PAGE_IS_HUGE : 0);
  if (kind === KIND_ZERO) return huge ? written : written | PAGE_IS_PFNZERO;
  return kind === KIND_ANON ? written : written | PAGE_IS_FILE;
}

/** PAGEMAP_SCAN: the number of regions found, or -errno. Nothing is write-protected by userfaultfd here. */
function scan(task: Task, mm: Mm, at: number): number {
  const args = readScanArgs(task, at);
  if (typeof args === "number") return args;
  const output = new ScanOutput(args);
  const walked = walk(mm, args, output);
  if (walked < 0) return walked;
  if (copyToUser(task.mm, args.vec, output.encode()) < 0) return -EFAULT;
  return putUser64(task.mm, at + WALK_END, walked) < 0 ? -EFAULT : output.regions.length;
}

/** Visits the pages in range: where it ended, or -EPERM. */
function walk(mm: Mm, args: ScanArgs, output: ScanOutput): number {
  // No VMA here is one that may be write-protected asynchronously: it is of interest only if that is not asked for.
  const wanted = (args.inverted & args.mask & PAGE_IS_WPALLOWED) === (args.mask & PAGE_IS_WPALLOWED);
  for (const vma of mm.users > 0 ? mm.vmas : []) {
    const from = Math.max(args.start, vma.start);
    const to = Math.min(args.end, vma.end);
    if (from >= to) continue;
    if (args.flags & PM_SCAN_CHECK_WPASYNC) return -EPERM;
    if (!wanted) continue;
    for (let va = from; va < to; va += PAGE_SIZE) {
      const categories = categoriesOf(mm, va, vma);
      if (interesting(args, categories) && output.add(va, va + PAGE_SIZE, categories) === va) return va;
    }
  }
  return args.end;
}
