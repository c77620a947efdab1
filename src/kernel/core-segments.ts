// Which memory a core file holds (fs/coredump.c: vma_dump_size, by /proc/PID/coredump_filter and MADV_DONTDUMP), and which pages of it there are. Windows on
// regions count as the shared memory that they are, and their bytes come through the same door as everybody's. Used by coredump.ts only.
import { PAGE_SIZE } from "../base/numbers.ts";
import { HugetlbObject } from "../mm/hugetlb-object.ts";
import { isHugetlb } from "../mm/hugetlb-vma.ts";
import type { Mm } from "../mm/mm.ts";
import { ShmemObject } from "../mm/object.ts";
import { forEachLeaf, nextTableAddress, readLeaf } from "../mm/page-table.ts";
import { isSwapPte } from "../mm/swap.ts";
import { accessRemote } from "../mm/usercopy.ts";
import { SpecialFile } from "../mm/vm-file.ts";
import { VM_DONTDUMP, VM_IO, VM_READ, VM_SHARED, type Vma } from "../mm/vma.ts";
import { windowOf } from "../mshare/usage.ts";
import { FileMapping } from "./fs/regular.ts";

// Bits of coredump_filter.
const ANON_PRIVATE = 1 << 0;
const ANON_SHARED = 1 << 1;
const MAPPED_PRIVATE = 1 << 2;
const MAPPED_SHARED = 1 << 3;
const ELF_HEADERS = 1 << 4;
const HUGETLB_PRIVATE = 1 << 5;
const HUGETLB_SHARED = 1 << 6;
/** What a process without a setting dumps: also private huge pages (bit 5). */
export const DEFAULT_FILTER = 0x33;
/** The bits that there are. */
export const FILTER_MASK = 0x1ff;

/** Whether a shared mapping is of something with a name in the file tree. */
function isNamed(vma: Vma): boolean {
  const window = windowOf(vma);
  if (window !== null) return window.region.named;
  return vma.file instanceof FileMapping && vma.file.file.inode.nlink > 0;
}

/** How many bytes of the VMA are dumped, from its start. */
export function dumpSize(mm: Mm, vma: Vma, filter: number): number {
  const whole = vma.end - vma.start;
  const { flags, file } = vma;
  if (file instanceof SpecialFile) return whole;
  if ((flags & (VM_DONTDUMP | VM_IO)) !== 0) return 0;
  if (isHugetlb(vma)) {
    return (filter & ((flags & VM_SHARED) !== 0 ? HUGETLB_SHARED : HUGETLB_PRIVATE)) !== 0 ? whole : 0;
  }
  if ((flags & VM_SHARED) !== 0) return (filter & (isNamed(vma) ? MAPPED_SHARED : ANON_SHARED)) !== 0 ? whole : 0;
  // A private window: what it shows is memory, and some of it the process's own.
  if (vma.window !== null) return (filter & ANON_PRIVATE) !== 0 ? whole : 0;
  if (vma.anonVma !== null && (filter & ANON_PRIVATE) !== 0) return whole;
  if (file === null) return 0;
  if ((filter & MAPPED_PRIVATE) !== 0) return whole;
  const hasHeaders = (filter & ELF_HEADERS) !== 0 && vma.pgoff === 0 && (flags & VM_READ) !== 0;
  return hasHeaders && isProgram(mm, vma) ? PAGE_SIZE : 0;
}

/** An executable file, or one that begins as ELF files do. */
function isProgram(mm: Mm, vma: Vma): boolean {
  if (vma.file instanceof FileMapping && (vma.file.file.inode.mode & 0o111) !== 0) return true;
  const magic = new Uint8Array(4);
  accessRemote(mm, vma.start, magic, { write: false, force: true });
  return magic.join() === "127,69,76,70";
}

/** The addresses of the pages of [start, end) that hold anything, ascending: untouched memory is a hole in the file. */
export function pagesToDump(mm: Mm, vma: Vma, end: number): number[] {
  const found = new Set<number>();
  tablePages(mm, vma.start, end, 0, found);
  const { window } = vma;
  if (window === null) {
    objectPages(vma, vma.start, end, 0, found);
  } else {
    const shift = vma.start - window.hostStart;
    for (const hostVma of window.host.vmas) {
      const from = Math.max(hostVma.start, window.hostStart);
      const to = Math.min(hostVma.end, end - shift);
      if (from >= to) continue;
      if ((hostVma.flags & VM_DONTDUMP) !== 0) {
        // mshare_advise has said so, for all who look at it.
        for (const va of found) if (va >= from + shift && va < to + shift) found.delete(va);
        continue;
      }
      tablePages(window.host, from, to, shift, found);
      objectPages(hostVma, from, to, shift, found);
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** What page tables hold or know to be in swap; the zero page is a hole. */
function tablePages(mm: Mm, start: number, end: number, shift: number, found: Set<number>): void {
  const { ram, zeroPage, swap } = mm.memory;
  forEachLeaf(ram, mm.root, start, end, (va, pte) => {
    if (pte >>> 10 !== zeroPage) found.add(va + shift);
  });
  if (swap === null || swap.used === 0) return;
  for (let va = nextTableAddress(ram, mm.root, start, end); va < end;) {
    if (isSwapPte(readLeaf(ram, mm.root, va))) found.add(va + shift);
    va = nextTableAddress(ram, mm.root, va + PAGE_SIZE, end);
  }
}

/** What the object behind a VMA holds: of shared memory what is there, of a file all. */
function objectPages(vma: Vma, start: number, end: number, shift: number, found: Set<number>): void {
  const { object } = vma;
  if (object === null) return;
  const first = vma.pageIndex(start);
  const last = Math.min(first + (end - start) / PAGE_SIZE, Math.ceil(object.size / PAGE_SIZE));
  const add = (index: number): unknown => found.add(vma.addressOf(index) + shift);
  if (object instanceof HugetlbObject) {
    for (let index = first; index < last; index++) if (object.huge(index) !== 0) add(index);
    return;
  }
  if (!(object instanceof ShmemObject)) {
    for (let index = first; index < last; index++) add(index);
    return;
  }
  for (const index of object.pages.indices(first, last)) add(index);
  for (const index of object.swappedIndices(first, last)) add(index);
}
