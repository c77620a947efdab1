// `mshare audit`: what duplicated page tables cost on a host, by object. The one entry point: chooses processes, scans them, adds up, says what to do.
import { EACCES, EPERM } from "../base/errno.ts";
import type { ProcSource } from "../host/proc-source.ts";
import { adviseOn } from "./advice.ts";
import { Collector } from "./collect.ts";
import { readHostInfo } from "./host-info.ts";
import { type AuditResult, type HostInfo, SCHEMA_VERSION } from "./result.ts";
import { type ProcessHead, type ProcessScan, readHead, scanProcess } from "./scan.ts";
import { readRegions } from "./windows.ts";

export interface AuditOptions {
  /** Only these processes; all if none of the three is given. */
  pids?: readonly number[];
  /** Only those in this cgroup or below it ("/system.slice/postgresql.service"). */
  cgroup?: string;
  /** Only those whose name or command line matches. */
  match?: RegExp;
  /** Called after each process. */
  onProgress?: (done: number, total: number) => void;
  /** Is given each process that was scanned: for snapshots. */
  onScan?: (scan: ProcessScan) => void;
  /** Is given the sums when all is read: for snapshots. */
  onCollected?: (collector: Collector) => void;
  /** The time to write into the result. */
  now?: () => Date;
}

/** The audit cannot be made: one line that says what was wrong and what to do. */
export class AuditError extends Error {
  override readonly name = "AuditError";
}

function chosen(head: ProcessHead, options: AuditOptions): boolean {
  const { cgroup, match } = options;
  if (cgroup !== undefined && head.cgroup !== cgroup && !head.cgroup.startsWith(cgroup.replace(/\/?$/, "/")))
    return false;
  return match === undefined || match.test(head.name) || match.test(head.command);
}

/** Huge pages may be mapped: only then are the costlier files of /proc read. */
const mayHaveHuge = (host: HostInfo): boolean =>
  host.thp !== "never" ||
  (host.thpShmem !== null && host.thpShmem !== "never" && host.thpShmem !== "deny") ||
  host.hugePages > 0;

/**
 * Audits the host behind `source`.
 * @throws AuditError if nothing can be read at all, or no process is chosen.
 * @example
 * const result = auditHost(new NodeProc());
 * console.log(result.objects[0].name, result.objects[0].givenBack);
 */
export function auditHost(source: ProcSource, options: AuditOptions = {}): AuditResult {
  const listed = source.pids();
  if (typeof listed === "number") throw new AuditError(`${source.name}: cannot be read: is it a /proc directory?`);
  if (listed.length === 0) throw new AuditError(`${source.name}: no processes there: is it a /proc directory?`);
  const present = new Set(listed);
  const pids = options.pids ?? listed;
  const collector = new Collector();
  for (const pid of pids) if (!present.has(pid)) collector.warnings.push(`process ${pid}: there is no such process`);
  const host = readHostInfo(source);
  const settings = { hugePages: mayHaveHuge(host), regions: readRegions(source) };
  let vanished = 0;
  let done = 0;
  for (const pid of pids) {
    const head = readHead(source, pid);
    if (typeof head === "string") vanished++;
    else if (chosen(head, options)) {
      const scan = scanProcess(source, head, collector, settings);
      if (typeof scan !== "string") {
        collector.add(scan);
        options.onScan?.(scan);
      } else if (scan === "gone") vanished++;
    }
    options.onProgress?.(++done, pids.length);
  }
  const { processes, unseen } = collector;
  if (processes.length === 0) throw new AuditError(nothingChosen(source, options, vanished));
  if (unseen.length === processes.length && collector.vmPte === 0) {
    throw new AuditError(`${source.name}: nothing could be read of ${unseen.length} processes: run it as root`);
  }
  options.onCollected?.(collector);
  return summarize(collector, { source: source.name, time: (options.now?.() ?? new Date()).toISOString(), host });
}

function nothingChosen(source: ProcSource, options: AuditOptions, vanished: number): string {
  if (options.match !== undefined) return `no process matches ${options.match.source}`;
  if (options.cgroup !== undefined) return `no process is in the cgroup ${options.cgroup}`;
  if (options.pids !== undefined) return "none of the processes given can be read";
  const probe = source.readText("self/status");
  const why =
    probe === -EACCES || probe === -EPERM
      ? ": run it as root"
      : vanished > 0
        ? ": is it a copy without status and maps?"
        : "";
  return `${source.name}: no process could be read${why}`;
}

/** Rows, totals and advice of what was collected. */
export function summarize(collector: Collector, about: { source: string; time: string; host: HostInfo }): AuditResult {
  const objects = collector.rows();
  const sum = (pick: (row: (typeof objects)[number]) => number): number =>
    objects.reduce((total, row) => total + pick(row), 0);
  const tables = sum((row) => row.tables);
  const placed = collector.processes.reduce((total, p) => total + (p.vmPte === null ? 0 : p.tables), 0);
  const { host } = about;
  const result = {
    version: SCHEMA_VERSION,
    ...about,
    totals: {
      processes: collector.processes.length,
      tables,
      tablesMshare: sum((row) => row.tablesMshare),
      givenBack: sum((row) => row.givenBack),
      tablesHuge: sum((row) => row.tablesHuge),
      vmPte: collector.vmPte,
      attributedPercent: collector.vmPte === 0 ? 100 : (100 * placed) / collector.vmPte,
      ramPercent: host.ram === 0 ? 0 : (100 * tables) / host.ram,
    },
    objects,
    processes: collector.processes,
    warnings: collector.warnings,
    unseen: collector.unseen,
  } as const;
  return { ...result, advice: adviseOn(result) };
}
