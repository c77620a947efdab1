// Snapshots: what an audit has read, as lines of JSON, so that somebody else can audit the host without access to it. Pages of objects are summed up; all else is as
// scanned. How the lines are stored (gzip) is the caller's business.
import { Collector } from "./collect.ts";
import { AuditError, type AuditOptions, summarize } from "./audit.ts";
import type { ObjectKind } from "./maps.ts";
import type { Extent } from "./page-set.ts";
import type { AuditResult, HostInfo } from "./result.ts";
import type { ProcessScan, Quality, VmaScan } from "./scan.ts";

const FORMAT = "mshare-audit-snapshot";
const VERSION = 1;

/** Turns a name into one that says nothing, the same one each time. */
export type Hash = (name: string) => string;

/** Names that say nothing about a host stay as they are. */
const COMMON = /^(\[.*\]|\/dev\/zero \(deleted\)|\/SYSV[0-9a-f]{8} \(deleted\)|\/anon_hugepage.*|\/mshare:[0-9]+.*|)$/;

/** The first line. */
export function snapshotHeader(about: { source: string; time: string; host: HostInfo }): string {
  const { source, time, host } = about;
  return JSON.stringify({ format: FORMAT, version: VERSION, source, time, host });
}

/** A process. */
export function snapshotProcess(scan: ProcessScan, hash?: Hash): string {
  const hide = (name: string): string => (hash === undefined || COMMON.test(name) ? name : hash(name));
  const vmas = scan.vmas.map((vma) => [
    vma.start,
    vma.end,
    vma.offset,
    vma.kind,
    vma.key,
    hide(vma.name),
    vma.resident,
    // Differences are short and compress well.
    vma.slots.map((slot, i) => (i === 0 ? slot : slot - vma.slots[i - 1])),
    vma.entries,
    vma.levels.some((level) => level !== 0) ? vma.levels : 0,
    vma.links ?? 0,
  ]);
  const { pid, quality, vmPte, rss, minorFaults, warnings } = scan;
  return JSON.stringify({
    process: {
      pid,
      name: hide(scan.name),
      command: hide(scan.command),
      cgroup: hide(scan.cgroup),
      quality,
      vmPte,
      rss,
      minorFaults,
      warnings,
      vmas,
    },
  });
}

/** The last lines: what shared tables would hold of each object. */
export function* snapshotObjects(extents: Iterable<{ key: string; extent: Extent }>): Generator<string> {
  for (const { key, extent } of extents)
    yield JSON.stringify({ object: key, pages: extent.pages, tables: extent.tables });
  yield JSON.stringify({ end: true });
}

const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
const numbers = (x: unknown): number[] => {
  if (!Array.isArray(x) || !x.every(isNumber)) throw new AuditError("damaged");
  return x as number[];
};

function readVma(x: unknown): VmaScan {
  if (!Array.isArray(x) || x.length !== 11) throw new AuditError("damaged");
  const [start, end, offset, kind, key, name, resident, deltas, entries, levels, linked] = x as unknown[];
  if (!isNumber(start) || !isNumber(end) || !isNumber(offset) || !isNumber(resident)) throw new AuditError("damaged");
  if (typeof kind !== "string" || typeof key !== "string" || typeof name !== "string") throw new AuditError("damaged");
  let slot = 0;
  const slots = numbers(deltas).map((delta) => (slot += delta));
  const list = numbers(entries);
  const above = levels === 0 ? slots.map(() => 0) : numbers(levels);
  if (list.length !== slots.length || above.length !== slots.length) throw new AuditError("damaged");
  const scan: VmaScan = {
    start,
    end,
    offset,
    kind: kind as ObjectKind,
    key,
    name,
    resident,
    slots,
    entries: list,
    levels: above,
  };
  if (linked !== 0) scan.links = numbers(linked);
  return scan;
}

function readProcess(x: Record<string, unknown>): ProcessScan {
  const { pid, name, command, cgroup, quality, vmPte, rss, minorFaults, warnings, vmas } = x;
  if (!isNumber(pid) || typeof name !== "string" || !Array.isArray(vmas)) throw new AuditError("damaged");
  return {
    pid,
    name,
    command: String(command),
    cgroup: String(cgroup),
    quality: (["counted", "estimated", "unseen"].includes(String(quality)) ? quality : "estimated") as Quality,
    vmPte: isNumber(vmPte) ? vmPte : undefined,
    rss: isNumber(rss) ? rss : 0,
    minorFaults: isNumber(minorFaults) ? minorFaults : 0,
    warnings: Array.isArray(warnings) ? warnings.map(String) : [],
    vmas: vmas.map(readVma),
  };
}

/**
 * Audits a snapshot.
 * @throws AuditError if it is not one, was cut off, or no process in it is chosen.
 */
export async function auditSnapshot(
  name: string,
  lines: AsyncIterable<string>,
  options: AuditOptions = {},
): Promise<AuditResult> {
  const collector = new Collector();
  let header: { source: string; time: string; host: HostInfo } | undefined;
  let complete = false;
  let processes = 0;
  for await (const line of lines) {
    const record = parse(name, line);
    if (header === undefined) {
      if (record.format !== FORMAT) throw new AuditError(`${name}: not a snapshot of mshare audit`);
      if (record.version !== VERSION)
        throw new AuditError(`${name}: a snapshot of version ${record.version}; this mshare reads version ${VERSION}`);
      header = record as unknown as typeof header;
    } else if (typeof record.process === "object" && record.process !== null) {
      processes++;
      const scan = damaged(name, () => readProcess(record.process as Record<string, unknown>));
      if (isChosen(scan, options)) collector.add(scan);
    } else if (typeof record.object === "string") {
      const object = collector.objects.get(record.object);
      if (object !== undefined && isNumber(record.pages)) {
        object.extent = {
          pages: record.pages,
          tables: damaged(name, () => numbers(record.tables)) as unknown as Extent["tables"],
        };
      }
    } else if (record.end === true) complete = true;
  }
  if (header === undefined) throw new AuditError(`${name}: empty`);
  if (!complete) collector.warnings.push(`${name}: cut off after ${processes} processes; the rest is missing`);
  if (collector.processes.length === 0) throw new AuditError(`${name}: no process in it matches`);
  return summarize(collector, { source: `${header.source} (${name})`, time: header.time, host: header.host });
}

function isChosen(scan: ProcessScan, { pids, cgroup, match }: AuditOptions): boolean {
  if (pids !== undefined && !pids.includes(scan.pid)) return false;
  if (cgroup !== undefined && scan.cgroup !== cgroup && !scan.cgroup.startsWith(cgroup.replace(/\/?$/, "/")))
    return false;
  return match === undefined || match.test(scan.name) || match.test(scan.command);
}

function parse(name: string, line: string): Record<string, unknown> {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record === "object" && record !== null) return record as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new AuditError(`${name}: not a snapshot of mshare audit, or a damaged one`);
}

function damaged<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw new AuditError(`${name}: damaged: a record in it cannot be read`);
  }
}
