// Gathers scanned processes into rows. Keeps sums by object and one short record a process, never the scans themselves, so that memory does not grow
// with the address spaces of a host.
import { PUD_SIZE } from "../base/numbers.ts";
import { SLOT_BYTES, type SlotPart, TABLE_BYTES, attribute } from "./attribute.ts";
import type { MapsVma, ObjectKind } from "./maps.ts";
import { type Extent, PageSet } from "./page-set.ts";
import type { ObjectRow, ProcessRow } from "./result.ts";
import type { PageSink, ProcessScan, Quality } from "./scan.ts";

/** Processes named in a row. */
const NAMED = 10;
/** Windows and objects above this are linked by root entries, below by entries of 1 GiB (DESIGN.md, "Slots and links"). */
const LARGE = 64 * PUD_SIZE;

/** Objects whose tables mshare could share: MAP_SHARED memory of any kind. */
export const SHAREABLE: ReadonlySet<ObjectKind> = new Set([
  "shared anonymous",
  "sysv",
  "memfd",
  "hugetlb",
  "mshare",
  "file",
]);
/** Those that huge pages can back: private anonymous memory and shmem; files on disk only by exception. */
const HUGE_ABLE: ReadonlySet<ObjectKind> = new Set(["private", "shared anonymous", "sysv", "memfd", "mshare"]);

class ObjectSum {
  readonly key: string;
  readonly kind: ObjectKind;
  readonly name: string;
  readonly identity: string;
  readonly pages = new PageSet();
  /** Fixed extent, when read back from a snapshot. */
  extent: Extent | undefined = undefined;
  sharers = 0;
  size = 0;
  /** A region whose tables are shared: they exist once, beside those of the processes. */
  shared = false;
  /** Sum over processes. */
  resident = 0;
  tables = 0;
  /** What stays with the processes when the object's tables are shared, and with huge pages. */
  residual = 0;
  tablesHuge = 0;
  qualities = new Set<Quality>();
  readonly processes: { pid: number; name: string; tables: number }[] = [];

  constructor(key: string, kind: ObjectKind, name: string, identity: string) {
    this.key = key;
    this.kind = kind;
    this.name = name;
    this.identity = identity;
  }

  /** One of the processes that cost most. */
  note(pid: number, name: string, tables: number): void {
    const list = this.processes;
    if (list.length === NAMED && list[NAMED - 1].tables >= tables) return;
    let at = list.length;
    while (at > 0 && list[at - 1].tables < tables) at--;
    list.splice(at, 0, { pid, name, tables });
    if (list.length > NAMED) list.pop();
  }
}

const NAMES: Partial<Record<ObjectKind, string>> = { private: "private memory", kernel: "vdso and vvar" };

export class Collector implements PageSink {
  readonly objects = new Map<string, ObjectSum>();
  readonly processes: ProcessRow[] = [];
  readonly warnings: string[] = [];
  readonly unseen: number[] = [];
  vmPte = 0;
  /** Tables counted or estimated, and (with VmPTE) what they could not explain: signed. */
  unattributed = 0;

  pagesOf(key: string, vma: MapsVma, kind: ObjectKind): PageSet | undefined {
    if (kind === "private" || kind === "kernel") return undefined;
    return this.object(key, kind, vma.name, `${vma.device} ${vma.inode}`).pages;
  }

  object(key: string, kind: ObjectKind, name: string, identity: string): ObjectSum {
    let sum = this.objects.get(key);
    if (sum === undefined) {
      sum = new ObjectSum(key, kind, NAMES[kind] ?? name, kind === "private" || kind === "kernel" ? "" : identity);
      this.objects.set(key, sum);
    }
    return sum;
  }

  /** What shared tables would hold of each object. */
  *extents(): Generator<{ key: string; extent: Extent }> {
    for (const { key, pages, extent } of this.objects.values()) yield { key, extent: extent ?? pages.extent };
  }

  add(scan: ProcessScan): void {
    this.warnings.push(...scan.warnings);
    if (scan.quality === "unseen") this.unseen.push(scan.pid);
    const parts: ObjectSum[] = [];
    const partOf = new Map<ObjectSum, number>();
    const slots: SlotPart[] = [];
    let resident = 0;
    let shareable = 0;
    let huge = 0;
    for (const vma of scan.vmas) {
      // Objects with pages have been entered by pagesOf; estimated ones have not.
      const sum = this.object(vma.key, vma.kind, vma.name, vma.key.slice(vma.key.indexOf(" ") + 1));
      let part = partOf.get(sum);
      if (part === undefined) {
        partOf.set(sum, (part = parts.push(sum) - 1));
        sum.sharers++;
        sum.qualities.add(scan.quality);
      }
      const length = vma.end - vma.start;
      if (vma.kind === "private" || vma.kind === "kernel") sum.size += length;
      else sum.size = Math.max(sum.size, vma.offset + length);
      sum.resident += vma.resident;
      if (vma.kind === "mshare" && vma.links !== undefined && vma.levels.some((level) => level > 0)) sum.shared = true;
      resident += vma.resident;
      if (SHAREABLE.has(vma.kind)) shareable += vma.resident;
      for (let i = 0; i < vma.slots.length; i++) {
        const level = vma.levels[i];
        if (level > 0) huge += SLOT_BYTES;
        const deposit = level === 1 && vma.kind === "private";
        slots.push({ slot: vma.slots[i], part, entries: vma.entries[i], level, deposit });
      }
    }
    slots.sort((a, b) => a.slot - b.slot);
    const now = attribute(slots, parts.length);
    const shared = attribute(this.#withLinks(scan), parts.length);
    const withHuge = attribute(hugeSlots(scan, partOf, this.objects), parts.length);
    let tables = 0;
    parts.forEach((sum, i) => {
      sum.tables += now.bytes[i];
      sum.residual += shared.bytes[i];
      sum.tablesHuge += withHuge.bytes[i];
      if (now.bytes[i] > 0) sum.note(scan.pid, scan.name, Math.round(now.bytes[i]));
      tables += now.bytes[i];
    });
    if (scan.vmPte !== undefined) {
      this.vmPte += scan.vmPte;
      this.unattributed += scan.vmPte - tables;
    }
    this.processes.push({
      pid: scan.pid,
      name: scan.name,
      vmas: scan.vmas.length,
      resident: scan.quality === "unseen" ? scan.rss : resident,
      shareable,
      huge,
      vmPte: scan.vmPte ?? null,
      tables: Math.round(tables),
      minorFaults: scan.minorFaults,
      quality: scan.quality,
    });
  }

  /** The process's slots if the tables of shareable objects were linked. */
  #withLinks(scan: ProcessScan): SlotPart[] {
    const slots: SlotPart[] = [];
    const parts = new Map<string, number>();
    for (const vma of scan.vmas) {
      let part = parts.get(vma.key);
      if (part === undefined) parts.set(vma.key, (part = parts.size));
      const size = this.objects.get(vma.key)!.size;
      const usual = SHAREABLE.has(vma.kind) ? (size > LARGE ? 3 : 2) : 0;
      for (let i = 0; i < vma.slots.length; i++) {
        const link = usual === 0 ? 0 : (vma.links?.[i] ?? usual);
        const level = Math.max(link, vma.levels[i]);
        const deposit = level === 1 && vma.kind === "private";
        slots.push({ slot: vma.slots[i], part, entries: vma.entries[i], level, deposit });
      }
    }
    return slots.sort((a, b) => a.slot - b.slot);
  }

  /** The rows, those with most to give back first, then by tables. Rounded to whole bytes. */
  rows(): ObjectRow[] {
    const rows = [...this.objects.values()].filter((sum) => sum.tables > 0 || sum.resident > 0).map(toRow);
    if (Math.abs(this.unattributed) >= 1) {
      const unattributed = Math.round(this.unattributed);
      rows.push({
        name: "unattributed",
        kind: "unattributed",
        identity: "",
        sharers: this.processes.length,
        size: 0,
        resident: 0,
        tables: unattributed,
        tablesMshare: unattributed,
        givenBack: 0,
        tablesHuge: unattributed,
        processes: [],
        quality: this.unseen.length > 0 ? "mixed" : "counted",
      });
    }
    return rows.sort((a, b) => b.givenBack - a.givenBack || b.tables - a.tables || (a.name < b.name ? -1 : 1));
  }
}

function toRow(sum: ObjectSum): ObjectRow {
  const extent = sum.extent ?? sum.pages.extent;
  const [leaf, middle, upper] = extent.tables;
  const own = sum.kind === "hugetlb" ? middle + upper : leaf + middle + upper;
  const tables = Math.round(sum.tables + (sum.shared ? own * TABLE_BYTES : 0));
  // Estimated scans leave no pages behind: what shared tables would take is then not known.
  const known = leaf > 0 && SHAREABLE.has(sum.kind) && sum.sharers > 1;
  const tablesMshare = known ? Math.min(tables, Math.round(sum.residual + own * TABLE_BYTES)) : tables;
  const qualities = [...sum.qualities];
  return {
    name: sum.name,
    kind: sum.kind,
    identity: sum.identity,
    sharers: sum.sharers,
    size: sum.size,
    resident: sum.kind === "private" || leaf === 0 ? sum.resident : extent.pages * 4096,
    tables,
    tablesMshare,
    givenBack: tables - tablesMshare,
    tablesHuge: Math.round(sum.tablesHuge),
    processes: sum.processes,
    quality: qualities.length === 1 ? qualities[0] : "mixed",
  };
}

/**
 * The process's slots with 2 MiB pages wherever a slot lies whole in a VMA: where they are on, the kernel aligns mappings of shared memory to
 * the object by itself.
 */
function hugeSlots(scan: ProcessScan, partOf: Map<ObjectSum, number>, objects: Map<string, ObjectSum>): SlotPart[] {
  const slots: SlotPart[] = [];
  for (const vma of scan.vmas) {
    const part = partOf.get(objects.get(vma.key)!)!;
    const able = HUGE_ABLE.has(vma.kind);
    for (let i = 0; i < vma.slots.length; i++) {
      const start = vma.slots[i] * SLOT_BYTES;
      const fits = able && start >= vma.start && start + SLOT_BYTES <= vma.end;
      const level = fits ? Math.max(1, vma.levels[i]) : vma.levels[i];
      slots.push({
        slot: vma.slots[i],
        part,
        entries: vma.entries[i],
        level,
        deposit: level === 1 && vma.kind === "private",
      });
    }
  }
  return slots.sort((a, b) => a.slot - b.slot);
}
