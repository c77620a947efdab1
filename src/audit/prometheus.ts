// The audit in Prometheus's text exposition format (version 0.0.4). Objects are labelled by name and kind; only those that matter are listed, so that the
// number of series stays bounded.
import type { AuditResult, ObjectRow } from "./result.ts";

/** Series of objects at most: the largest by tables. */
const OBJECTS = 50;

const escapeLabel = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly { labels?: Record<string, string>; value: number }[];
}

function format(metric: Metric): string {
  const lines = [`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} gauge`];
  for (const { labels, value } of metric.samples) {
    const list = Object.entries(labels ?? {}).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
    lines.push(`${metric.name}${list.length > 0 ? `{${list.join(",")}}` : ""} ${value}`);
  }
  return lines.join("\n") + "\n";
}

/** latin1 names as /proc has them, as UTF-8 text. */
function decode(name: string): string {
  const bytes = Uint8Array.from(name, (c) => c.charCodeAt(0) & 0xff);
  return new TextDecoder().decode(bytes);
}

export function auditPrometheus(result: AuditResult): string {
  const rows = [...result.objects].sort((a, b) => b.tables - a.tables).slice(0, OBJECTS);
  // Two objects may have one name (deleted files): the identity keeps their series apart.
  const perObject = (name: string, help: string, pick: (row: ObjectRow) => number): Metric => ({
    name: `mshare_audit_object_${name}`,
    help,
    samples: rows.map((row) => ({
      labels: { object: decode(row.name), kind: row.kind, identity: row.identity },
      value: pick(row),
    })),
  });
  const single = (name: string, help: string, value: number): Metric => ({
    name: `mshare_audit_${name}`,
    help,
    samples: [{ value }],
  });
  const { totals, host, faults } = result;
  const metrics: Metric[] = [
    perObject("tables_bytes", "Page tables that exist for the object, over all processes.", (row) => row.tables),
    perObject("given_back_bytes", "Page tables that mshare would give back.", (row) => row.givenBack),
    perObject("huge_tables_bytes", "Page tables for the object with 2 MiB pages.", (row) => row.tablesHuge),
    perObject("resident_bytes", "Pages of the object that are mapped, each once.", (row) => row.resident),
    perObject("sharers", "Processes that map the object.", (row) => row.sharers),
    single("processes", "Processes looked at.", totals.processes),
    single("unseen_processes", "Processes of which only the size of their tables could be read.", result.unseen.length),
    single("tables_bytes", "Page tables of all processes looked at.", totals.tables),
    single("given_back_bytes", "Page tables that mshare would give back.", totals.givenBack),
    single("vmpte_bytes", "Sum of VmPTE of the processes looked at.", totals.vmPte),
    single("attributed_ratio", "Part of VmPTE that could be attributed to objects.", totals.attributedPercent / 100),
    single("ram_bytes", "MemTotal of the host.", host.ram),
  ];
  if (faults !== undefined) {
    metrics.push(
      single("minor_faults_per_second", "Minor faults a second since the last pass.", faults.minorPerSecond),
      single(
        "spared_faults_per_second",
        "Minor faults a second that mshare would have spared.",
        faults.sparedPerSecond,
      ),
    );
  }
  return metrics.map(format).join("");
}
