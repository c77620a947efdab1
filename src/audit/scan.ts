// Reads one process: its VMAs, which 2 MiB slots of each are populated, and what the kernel says its tables take. Gentle: plain reads of /proc in bounded
// pieces, nothing is stopped or traced; a process that vanishes on the way is skipped.
import { EACCES, EINTR, ENOENT, EPERM, ESRCH } from "../base/errno.ts";
import type { PagemapReader, ProcSource } from "../host/proc-source.ts";
import { type MapsVma, type ObjectKind, kindOf, objectKey, parseMaps } from "./maps.ts";
import type { PageSet } from "./page-set.ts";
import { type SmapsVma, kbField, parseSmaps } from "./smaps.ts";
import { type Regions, levelOfLink, readWindows } from "./windows.ts";

/** Pages read from pagemap at once: 256 KiB of entries. The kernel holds the process's mmap_lock for a part of that at a time. */
const CHUNK = 32768;
/** VMAs closer than this are read together. */
const NEAR_PAGES = 512;
/** A VMA larger than this (4 GiB) is looked up in smaps first: reserved address space has no entries to read. */
const LARGE_PAGES = 2 ** 20;
/** And one larger than this (1 TiB) is estimated. */
const ENORMOUS_PAGES = 2 ** 28;
const PAGE = 4096;
/** The level above all tables: nothing of the process's own is needed. */
const ROOT_ENTRY = 3;
/** Bits of a pagemap entry's high word that mean that there is an entry: present, swapped, guard region. */
const POPULATED = 0x80000000 | 0x40000000 | 0x04000000;
const PRESENT = 0x80000000;

/** Counted from pagemap; estimated from resident sizes; nothing but VmPTE could be read. */
export type Quality = "counted" | "estimated" | "unseen";

/** A VMA's populated slots: parallel arrays. */
export interface VmaScan {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly kind: ObjectKind;
  readonly key: string;
  readonly name: string;
  /** Bytes that are mapped (present in the tables). */
  resident: number;
  /** Address / 2 MiB; entries (1 to 512); where the translation ends (see attribute.ts). */
  readonly slots: number[];
  readonly entries: number[];
  readonly levels: number[];
  /** Windows of mshare: the level of the entry that links each slot to the region's tables, or would. */
  links?: number[];
}

export interface ProcessScan {
  readonly pid: number;
  /** comm; the first words of the command line. */
  readonly name: string;
  readonly command: string;
  readonly cgroup: string;
  readonly quality: Quality;
  /** VmPTE in bytes; undefined for kernel threads and captured trees without status. */
  readonly vmPte: number | undefined;
  /** VmRSS in bytes. */
  readonly rss: number;
  readonly minorFaults: number;
  readonly vmas: VmaScan[];
  readonly warnings: string[];
}

/** Where the pages of objects are gathered, over all processes. */
export interface PageSink {
  pagesOf(key: string, vma: MapsVma, kind: ObjectKind): PageSet | undefined;
}

export interface ScanOptions {
  /** Huge pages may be mapped by whole entries on this host. */
  readonly hugePages: boolean;
  /** Undefined on a kernel without mshare. */
  readonly regions: Regions | undefined;
}

const isGone = (errno: number): boolean => errno === -ENOENT || errno === -ESRCH;
const isForbidden = (errno: number): boolean => errno === -EACCES || errno === -EPERM;

/** Why a process is not in the result. */
export type Skipped = "gone" | "kernel thread";

/** What is cheap to know of a process, to choose by. */
export interface ProcessHead {
  readonly pid: number;
  readonly name: string;
  readonly command: string;
  readonly cgroup: string;
  readonly status: string;
  readonly minorFaults: number;
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e\x80-\xff]+/g, " ").trim();

/** Reads name, command line and status. */
export function readHead(source: ProcSource, pid: number): ProcessHead | Skipped {
  const status = source.readText(`${pid}/status`);
  if (typeof status === "number") {
    // A tree without status files may still have maps.
    if (isGone(status) && typeof source.readText(`${pid}/maps`) === "number") return "gone";
  }
  const text = typeof status === "number" ? "" : status;
  const stat = source.readText(`${pid}/stat`);
  // The name may hold spaces and parentheses: the fields begin after the last one.
  const fields = typeof stat === "number" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const command = source.readText(`${pid}/cmdline`);
  const cgroup = source.readText(`${pid}/cgroup`);
  const comm = source.readText(`${pid}/comm`);
  return {
    pid,
    name: printable(typeof comm === "string" ? comm : (/^Name:\t(.*)$/m.exec(text)?.[1] ?? String(pid))),
    command: typeof command === "string" ? printable(command.replaceAll("\0", " ")).slice(0, 200) : "",
    cgroup: typeof cgroup === "string" ? (/^0::(.*)$/m.exec(cgroup)?.[1] ?? "") : "",
    status: text,
    minorFaults: Number(fields[7]) || 0,
  };
}

/** Scans a process. Pages of objects go to `sink`. */
export function scanProcess(
  source: ProcSource,
  head: ProcessHead,
  sink: PageSink,
  options: ScanOptions,
): ProcessScan | Skipped {
  const { pid } = head;
  const warnings: string[] = [];
  const vmPte = kbField(head.status, "VmPTE");
  const base = {
    pid,
    name: head.name,
    command: head.command,
    cgroup: head.cgroup,
    vmPte,
    rss: kbField(head.status, "VmRSS") ?? 0,
    minorFaults: head.minorFaults,
    warnings,
  };
  const maps = source.readText(`${pid}/maps`);
  if (typeof maps === "number") {
    if (isGone(maps)) return "gone";
    if (vmPte === undefined) return "kernel thread";
    return { ...base, quality: "unseen", vmas: [] };
  }
  // Zombies, kernel threads, and whoever exits just now.
  if (maps === "" && vmPte === undefined) return head.status === "" ? "gone" : "kernel thread";
  const { vmas: mapped, bad } = parseMaps(maps);
  if (bad > 0) warnings.push(`process ${pid}: ${bad} line${bad > 1 ? "s" : ""} of maps could not be read`);
  const vmas = mapped.map((vma) => newScan(vma));

  const pagemap = source.openPagemap(pid);
  if (typeof pagemap === "number") {
    if (isGone(pagemap) && source.readText(`${pid}/stat`) === pagemap) return "gone";
    return { ...base, ...estimateAll(source, pid, vmas, vmPte), warnings };
  }
  try {
    const large = mapped.some((vma) => vma.end - vma.start > LARGE_PAGES * PAGE);
    const hugetlb = vmas.some((vma) => vma.kind === "hugetlb") || (kbField(head.status, "HugetlbPages") ?? 0) > 0;
    const smaps = large || hugetlb || (options.hugePages && mapsHuge(source, pid)) ? readSmaps(source, pid) : undefined;
    const error = readPages(pagemap, mapped, vmas, smaps, sink);
    if (options.regions !== undefined) linkWindows(source, pid, vmas, options.regions);
    if (error === -ESRCH) return "gone";
    if (error < 0) {
      if (isForbidden(error) || error === -EINTR)
        return { ...base, ...estimateAll(source, pid, vmas, vmPte), warnings };
      warnings.push(`process ${pid}: pagemap ended early; its tables are counted up to there`);
    }
    // What grew while its pages were read is in both counts.
    const after = source.readText(`${pid}/status`);
    const grown = typeof after === "number" ? undefined : kbField(after, "VmPTE");
    return { ...base, vmPte: grown ?? vmPte, quality: "counted", vmas };
  } finally {
    pagemap.close();
  }
}

/** Where tables are shared, windows have no tables of their own below the links. */
function linkWindows(source: ProcSource, pid: number, vmas: readonly VmaScan[], regions: Regions): void {
  const windows = vmas.filter((vma) => vma.kind === "mshare");
  if (windows.length === 0) return;
  const known = readWindows(source, pid, regions);
  for (const vma of windows) {
    const window = known.get(vma.start);
    if (window === undefined) continue;
    vma.links = vma.slots.map((slot) => levelOfLink(window, slot));
    if (!regions.sharing) continue;
    vma.links.forEach((level, i) => (vma.levels[i] = window.links > 0 ? level : ROOT_ENTRY));
  }
}

function newScan(vma: MapsVma): VmaScan {
  const kind = kindOf(vma);
  return {
    start: vma.start,
    end: vma.end,
    offset: vma.offset,
    kind,
    key: objectKey(vma, kind),
    name: vma.name,
    resident: 0,
    slots: [],
    entries: [],
    levels: [],
  };
}

const readSmaps = (source: ProcSource, pid: number): Map<number, SmapsVma> | undefined => {
  const text = source.readText(`${pid}/smaps`);
  return typeof text === "number" ? undefined : parseSmaps(text);
};

/** The process maps something by 2 MiB entries, says smaps_rollup (one short read). */
function mapsHuge(source: ProcSource, pid: number): boolean {
  const rollup = source.readText(`${pid}/smaps_rollup`);
  if (typeof rollup === "number") return true;
  return ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"].some((key) => (kbField(rollup, key) ?? 0) > 0);
}

/** Reads the populated pages of all VMAs. 0 or a negative errno. */
function readPages(
  pagemap: PagemapReader,
  mapped: readonly MapsVma[],
  vmas: readonly VmaScan[],
  smaps: Map<number, SmapsVma> | undefined,
  sink: PageSink,
): number {
  const buffer = new Uint32Array(2 * CHUNK);
  let first = 0;
  let count = 0;
  for (let i = 0; i < mapped.length; i++) {
    const vma = mapped[i];
    const scan = vmas[i];
    const known = smaps?.get(vma.start);
    const pages = (vma.end - vma.start) / PAGE;
    if (known !== undefined && known.pageSize > PAGE) {
      hugetlbSlots(scan, known);
      continue;
    }
    if (pages > LARGE_PAGES && known !== undefined && known.rss + known.swap === 0) continue;
    if (pages > ENORMOUS_PAGES) {
      estimateVma(scan, known?.rss ?? 0, 0);
      continue;
    }
    const set = sink.pagesOf(scan.key, vma, scan.kind);
    const counter = new SlotCounter(scan, set);
    const end = vma.end / PAGE;
    for (let page = vma.start / PAGE; page < end;) {
      if (page < first || page >= first + count) {
        first = page;
        count = Math.min(CHUNK, runEnd(mapped, i, page + CHUNK) - page);
        const got = pagemap.read(first, count, buffer);
        if (got <= 0) {
          counter.finish(known);
          return got === 0 ? -ENOENT : got;
        }
        count = got;
      }
      const stop = Math.min(end, first + count);
      counter.add(buffer, page, stop, first);
      page = stop;
    }
    counter.finish(known);
  }
  return 0;
}

/** Where a read that starts in VMA `i` should end: after the last VMA in a row with small gaps, `most` at the latest. */
function runEnd(mapped: readonly MapsVma[], i: number, most: number): number {
  let end = mapped[i].end / PAGE;
  for (let next = i + 1; end < most && next < mapped.length; next++) {
    const vma = mapped[next];
    if (vma.start / PAGE - end > NEAR_PAGES || vma.end - vma.start > LARGE_PAGES * PAGE) break;
    end = vma.end / PAGE;
  }
  return Math.min(end, most);
}

/** Counts the populated entries of one VMA by slot. */
class SlotCounter {
  readonly #scan: VmaScan;
  readonly #set: PageSet | undefined;
  /** Slots that are wholly present, as positions in the arrays; whether their frames follow each other. */
  readonly #full: { at: number; contiguous: boolean }[] = [];
  #slot = -1;
  #entries = 0;
  #present = 0;
  #firstFrame = 0;
  #contiguous = 0;

  constructor(scan: VmaScan, set: PageSet | undefined) {
    this.#scan = scan;
    this.#set = set;
  }

  /** Pages [page, stop) of the address space; `buffer` begins at page `first`. */
  add(buffer: Uint32Array, page: number, stop: number, first: number): void {
    const set = this.#set;
    const shift = (this.#scan.offset - this.#scan.start) / PAGE;
    for (; page < stop; page++) {
      const high = buffer[2 * (page - first) + 1];
      if ((high & POPULATED) === 0) continue;
      const slot = Math.floor(page / 512);
      if (slot !== this.#slot) {
        this.#close();
        this.#slot = slot;
      }
      this.#entries++;
      if ((high & PRESENT) === 0) continue;
      const frame = buffer[2 * (page - first)];
      if (this.#present++ === 0) this.#firstFrame = frame;
      else if (frame === this.#firstFrame + this.#present - 1) this.#contiguous++;
      set?.add(page + shift);
    }
  }

  #close(): void {
    if (this.#entries === 0) return;
    const scan = this.#scan;
    if (this.#present === 512) {
      // Without CAP_SYS_ADMIN all frame numbers read as 0.
      this.#full.push({ at: scan.slots.length, contiguous: this.#contiguous === 511 && this.#firstFrame % 512 === 0 });
    }
    scan.slots.push(this.#slot);
    scan.entries.push(this.#entries);
    scan.levels.push(0);
    scan.resident += this.#present * PAGE;
    this.#entries = this.#present = this.#contiguous = 0;
  }

  /** The VMA is done. Of its full slots, as many are mapped by one entry as smaps says: those with frames in a row first. */
  finish(known: SmapsVma | undefined): void {
    this.#close();
    if (known === undefined) return;
    const huge = Math.round((known.anonHuge + known.sharedHuge) / 2 ** 21);
    const candidates = this.#full
      .filter((slot) => slot.contiguous)
      .concat(this.#full.filter((slot) => !slot.contiguous));
    for (const { at } of candidates.slice(0, huge)) this.#scan.levels[at] = 1;
  }
}

/** A hugetlb VMA: what is resident is mapped by entries of its page size; which ones does not matter to tables but at the edges. */
function hugetlbSlots(scan: VmaScan, known: SmapsVma): void {
  const level = known.pageSize >= 2 ** 30 ? 2 : known.pageSize >= 2 ** 21 ? 1 : 0;
  const first = Math.floor(scan.start / 2 ** 21);
  const count = Math.min(Math.ceil(known.rss / 2 ** 21), Math.ceil((scan.end - scan.start) / 2 ** 21));
  scan.resident = known.rss;
  for (let i = 0; i < count; i++) {
    scan.slots.push(first + i);
    scan.entries.push(512);
    scan.levels.push(level);
  }
}

/**
 * Populated slots of a VMA of which only its resident size is known: between as few as can hold them and as many as there are, by `spread`
 * (0 to 1).
 */
function estimateVma(scan: VmaScan, rss: number, spread: number): void {
  scan.resident = rss;
  if (rss <= 0) return;
  const first = Math.floor(scan.start / 2 ** 21);
  const span = Math.ceil(scan.end / 2 ** 21) - first;
  const pages = Math.ceil(rss / PAGE);
  const least = Math.ceil(pages / 512);
  const most = Math.min(span, pages);
  const count = Math.max(1, Math.round(Math.min(least, span) + spread * (most - Math.min(least, span))));
  for (let i = 0; i < count; i++) {
    scan.slots.push(first + Math.floor((i * span) / count));
    scan.entries.push(Math.max(1, Math.min(512, Math.round(pages / count))));
    scan.levels.push(0);
  }
}

/** No pagemap: resident sizes from smaps, spread so that the tables add up to VmPTE as far as they can. */
function estimateAll(
  source: ProcSource,
  pid: number,
  vmas: VmaScan[],
  vmPte: number | undefined,
): { quality: Quality; vmas: VmaScan[] } {
  const smaps = readSmaps(source, pid);
  if (smaps === undefined) return { quality: "unseen", vmas: [] };
  const tablesWith = (spread: number): number => {
    const slots = new Set<number>();
    for (const vma of vmas) {
      vma.slots.length = vma.entries.length = vma.levels.length = 0;
      const known = smaps.get(vma.start);
      if (known === undefined) continue;
      if (known.pageSize > PAGE) hugetlbSlots(vma, known);
      else estimateVma(vma, known.rss, spread);
      vma.slots.forEach((slot, i) => vma.levels[i] === 0 && slots.add(slot));
    }
    return slots.size * 4096;
  };
  // Bisection: tables grow with the spread.
  let low = 0;
  let high = 1;
  if (vmPte !== undefined && tablesWith(0) < vmPte) {
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      if (tablesWith(middle) < vmPte) low = middle;
      else high = middle;
    }
  }
  tablesWith(low);
  return { quality: "estimated", vmas };
}
