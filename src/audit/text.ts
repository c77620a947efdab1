// The audit as a table for a terminal: a row an object, the totals, the check against the kernel's own count, and what to do.
import Table from "cli-table3";
import { formatBytes, formatCount } from "../report/format.ts";
import type { AuditResult, ObjectRow } from "./result.ts";

/** What rows can be sorted by, and the words for it on the command line. */
export const SORT_KEYS = ["given-back", "tables", "sharers", "size", "resident", "name"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

const COMPARE: Record<SortKey, (a: ObjectRow, b: ObjectRow) => number> = {
  "given-back": (a, b) => b.givenBack - a.givenBack || b.tables - a.tables,
  tables: (a, b) => b.tables - a.tables,
  sharers: (a, b) => b.sharers - a.sharers || b.tables - a.tables,
  size: (a, b) => b.size - a.size,
  resident: (a, b) => b.resident - a.resident,
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
};

export interface TextOptions {
  /** Rows shown; the rest is summed up in one. */
  top: number;
  sort: SortKey;
  /** Columns of the terminal; names are cut to fit. */
  width: number;
}

/** The rows as they are shown: sorted, cut after `top`. */
export function sortRows(rows: readonly ObjectRow[], sort: SortKey): ObjectRow[] {
  return [...rows].sort(COMPARE[sort]);
}

const printable = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, "?");

function shorten(name: string, width: number): string {
  const text = printable(name);
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

function processesOf(row: ObjectRow): string {
  const names = new Map<string, number>();
  for (const { name } of row.processes) names.set(name, (names.get(name) ?? 0) + 1);
  const more = row.sharers - row.processes.length;
  const text = [...names].slice(0, 2).map(([name, count]) => (count > 1 ? `${name} x${count}` : name));
  if (row.kind !== "unattributed" && (more > 0 || names.size > 2)) text.push("…");
  return printable(text.join(", "));
}

/** Sizes that were not counted page by page get a mark. */
const mark = (row: ObjectRow): string => (row.quality === "counted" ? "" : "~");

export function auditText(result: AuditResult, options: TextOptions): string {
  const rows = sortRows(result.objects, options.sort);
  const shown = rows.slice(0, options.top);
  const rest = rows.slice(options.top);
  const nameWidth = Math.max(16, options.width - 86);
  const table = new Table({
    head: ["object", "kind", "sharers", "size", "resident", "tables", "mshare", "given back", "2 MiB", "processes"],
    colAligns: ["left", "left", "right", "right", "right", "right", "right", "right", "right", "left"],
    style: { head: [], border: [], compact: true },
    chars: BARE,
  });
  for (const row of shown) {
    table.push([
      shorten(row.name, nameWidth),
      row.kind === "unattributed" ? "" : row.kind,
      formatCount(row.sharers),
      formatBytes(row.size),
      formatBytes(row.resident),
      mark(row) + formatBytes(row.tables),
      formatBytes(row.tablesMshare),
      row.givenBack === 0 ? "-" : formatBytes(row.givenBack),
      formatBytes(row.tablesHuge),
      processesOf(row),
    ]);
  }
  if (rest.length > 0) {
    const sum = (pick: (row: ObjectRow) => number): string =>
      formatBytes(rest.reduce((total, row) => total + pick(row), 0));
    const name = `${formatCount(rest.length)} more`;
    table.push([
      name,
      "",
      "",
      "",
      "",
      sum((r) => r.tables),
      sum((r) => r.tablesMshare),
      sum((r) => r.givenBack),
      sum((r) => r.tablesHuge),
      "",
    ]);
  }
  return (
    [table.toString(), "", ...summary(result), "", ...result.advice.map((line) => printable(line))].join("\n") + "\n"
  );
}

const BARE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: " ",
};

function summary(result: AuditResult): string[] {
  const { totals, host, faults } = result;
  const lines = [
    `${formatCount(totals.processes)} processes: ${formatBytes(totals.tables)} of page tables` +
      (host.ram > 0 ? `, ${totals.ramPercent.toFixed(2)}% of ${formatBytes(host.ram)} RAM` : "") +
      `; with mshare ${formatBytes(totals.tablesMshare)}, given back ${formatBytes(totals.givenBack)}`,
    `check: ${totals.attributedPercent.toFixed(1)}% of the sum of VmPTE (${formatBytes(totals.vmPte)}) is attributed` +
      (host.pageTables !== null ? `; the whole host has ${formatBytes(host.pageTables)} of tables` : ""),
  ];
  const estimated = result.processes.filter((p) => p.quality === "estimated").length;
  if (estimated > 0)
    lines.push(
      `~ estimated from resident sizes: pagemap of ${formatCount(estimated)} processes may not be read (run it as root)`,
    );
  if (result.unseen.length > 0)
    lines.push(`not seen: ${listed(result.unseen)} (only the size of their tables is known)`);
  if (faults !== undefined) {
    lines.push(
      `faults: ${formatCount(faults.minorPerSecond)} minor faults a second; mshare would have spared ${formatCount(faults.sparedPerSecond)}`,
    );
  }
  return lines;
}

/** The first few process ids. */
function listed(pids: readonly number[]): string {
  const text = pids.slice(0, 8).join(", ");
  return `process${pids.length > 1 ? "es" : ""} ${text}${pids.length > 8 ? ` and ${formatCount(pids.length - 8)} more` : ""}`;
}
