// The result of an audit, as `--json` prints it (docs/audit.md describes it, docs/audit.schema.json checks it). Sizes are bytes.
import type { ObjectKind } from "./maps.ts";
import type { Quality } from "./scan.ts";

/** Version of the JSON: changes when a field changes its meaning or goes. */
export const SCHEMA_VERSION = 1;

/** One object: what processes map, and what the tables for it cost. */
export interface ObjectRow {
  readonly name: string;
  readonly kind: ObjectKind | "unattributed";
  /** "MAJOR:MINOR INODE", "" where there is none. */
  readonly identity: string;
  /** Processes that map it. */
  readonly sharers: number;
  /** Extent of it that is mapped: the largest end of a mapping in it (private memory: the sum of the mappings). */
  readonly size: number;
  /** Pages of it that some process has mapped, each once (private memory: the sum). */
  readonly resident: number;
  /** Page tables now, over all processes. */
  readonly tables: number;
  /** With mshare: one set of tables for all. Equals `tables` where mshare does not apply. */
  readonly tablesMshare: number;
  readonly givenBack: number;
  /** With 2 MiB pages in place of 4 KiB ones, wherever they fit. */
  readonly tablesHuge: number;
  /** By `tables`, the largest first; at most ten. */
  readonly processes: readonly { readonly pid: number; readonly name: string; readonly tables: number }[];
  /** How its tables were found: counted, estimated, or both ("mixed"). */
  readonly quality: Quality | "mixed";
}

export interface ProcessRow {
  readonly pid: number;
  readonly name: string;
  readonly vmas: number;
  readonly resident: number;
  /** Of that, in objects that mshare could share. */
  readonly shareable: number;
  /** Bytes mapped by entries above the last level: they need no last-level table. */
  readonly huge: number;
  readonly vmPte: number | null;
  /** Tables attributed to rows. */
  readonly tables: number;
  /** Minor faults since the process began. */
  readonly minorFaults: number;
  readonly quality: Quality;
}

export interface HostInfo {
  readonly ram: number;
  /** PageTables of meminfo; null where it cannot be read. */
  readonly pageTables: number | null;
  readonly kernel: string;
  /** The chosen word of /sys/kernel/mm/transparent_hugepage/{enabled,shmem_enabled}; null if unknown. */
  readonly thp: string | null;
  readonly thpShmem: string | null;
  /** 2 MiB hugetlb pages: in the pool, and free. */
  readonly hugePages: number;
  readonly hugePagesFree: number;
}

export interface Totals {
  readonly processes: number;
  readonly tables: number;
  readonly tablesMshare: number;
  readonly givenBack: number;
  readonly tablesHuge: number;
  /** Sum of VmPTE of the processes seen. */
  readonly vmPte: number;
  /** Tables that could be placed, in percent of vmPte. */
  readonly attributedPercent: number;
  /** `tables` in percent of RAM. */
  readonly ramPercent: number;
}

export interface Faults {
  /** Between two passes of --watch. */
  readonly seconds: number;
  readonly minorPerSecond: number;
  /** Of those, faults on pages that another process had mapped already: mshare would have spared them. */
  readonly sparedPerSecond: number;
}

export interface AuditResult {
  readonly version: typeof SCHEMA_VERSION;
  /** Where it was read, and when (ISO 8601). */
  readonly source: string;
  readonly time: string;
  readonly host: HostInfo;
  readonly totals: Totals;
  readonly objects: readonly ObjectRow[];
  readonly processes: readonly ProcessRow[];
  /** What to do, most useful first; at least one sentence. */
  readonly advice: readonly string[];
  readonly warnings: readonly string[];
  /** Processes of which only VmPTE, or not even that, could be read. */
  readonly unseen: readonly number[];
  readonly faults?: Faults;
}
