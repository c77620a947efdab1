// Counters as people and programs read them: one machine's, or two side by side with their ratio. Knows nothing of terminals: gives text.
import Table from "cli-table3";
import type { Counters } from "../host/counters.ts";
import { formatCount, formatRatio, formatShare } from "./format.ts";

/** What one run gave: the machine's counters and the time on the wall. */
export type Measured = Counters & { readonly wallMs: number };

/** One row: how it is called, its unit, and where the number is. `less`: less is better, and a ratio says something. */
interface Row {
  readonly label: string;
  readonly value: (run: Measured) => number;
  readonly format: (value: number) => string;
  readonly compared: boolean;
  /** Left out where it is 0 in every run. */
  readonly optional?: boolean;
}

const kib = (value: number): string => `${formatCount(value / 1024)} KiB`;
const seconds = (value: number): string => `${(value / 1000).toFixed(2)} s`;

const ROWS: readonly Row[] = [
  { label: "page tables, most at a time", value: (run) => run.tableBytesPeak, format: kib, compared: true },
  { label: "  of regions, most at a time", value: (run) => run.regionTableBytesPeak, format: kib, compared: false },
  { label: "  at the end", value: (run) => run.tableBytes, format: kib, compared: false },
  { label: "minor faults", value: (run) => run.minorFaults, format: formatCount, compared: true },
  { label: "links", value: (run) => run.links, format: formatCount, compared: false },
  { label: "shootdowns", value: (run) => run.shootdowns, format: formatCount, compared: true },
  { label: "  flushes", value: (run) => run.flushes, format: formatCount, compared: true },
  { label: "  harts interrupted", value: (run) => run.hartsInterrupted, format: formatCount, compared: true },
  { label: "  translations dropped", value: (run) => run.translationsDropped, format: formatCount, compared: true },
  { label: "instructions", value: (run) => run.instructions, format: formatCount, compared: true },
  {
    label: "  by compiled code",
    value: (run) => run.compiledInstructions,
    format: formatCount,
    compared: false,
    optional: true,
  },
  {
    label: "  regions compiled",
    value: (run) => run.compiledRegions,
    format: formatCount,
    compared: false,
    optional: true,
  },
  { label: "  their WebAssembly", value: (run) => run.codeBytes, format: kib, compared: false, optional: true },
  { label: "  time compiling", value: (run) => run.compileMs, format: seconds, compared: false, optional: true },
  { label: "TLB misses", value: (run) => run.tlbMisses, format: formatCount, compared: false },
  {
    label: "  hit rate of loads and stores",
    value: ({ tlbHits, memoryAccesses }) => (memoryAccesses === 0 ? 0 : tlbHits / memoryAccesses),
    format: formatShare,
    compared: false,
    optional: true,
  },
  { label: "wall time", value: (run) => run.wallMs, format: seconds, compared: true },
];

/** The rows that say something about these runs. */
const rowsFor = (...runs: Measured[]): Row[] =>
  ROWS.filter((row) => !row.optional || runs.some((run) => row.value(run) !== 0));

function newTable(head: string[]): InstanceType<typeof Table> {
  return new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: ["left", ...head.slice(1).map(() => "right" as const)],
  });
}

/** One run as a table. */
export function countersTable(run: Measured): string {
  const table = newTable(["", "this run"]);
  for (const row of rowsFor(run)) table.push([row.label, row.format(row.value(run))]);
  return table.toString();
}

/** The same program with shared and with private tables, and how many times more the private ones took. */
export function comparisonTable(shared: Measured, separate: Measured): string {
  const table = newTable(["", "shared tables", "private tables", "private / shared"]);
  for (const row of rowsFor(shared, separate)) {
    const [one, other] = [row.value(shared), row.value(separate)];
    table.push([row.label, row.format(one), row.format(other), row.compared ? formatRatio(other, one) : ""]);
  }
  return table.toString();
}

/** One run as JSON: the counters by their names, and the exit status. */
export const countersJson = (run: Measured, status: number): string => JSON.stringify({ status, ...run });

/** Two runs as JSON: `shared`, `private`, and `ratio` of those counters that are not 0 with sharing. */
export function comparisonJson(shared: Measured, separate: Measured, status: number): string {
  const ratios: Record<string, number> = {};
  for (const name of Object.keys(shared) as (keyof Measured)[])
    if (shared[name] !== 0) ratios[name] = Number((separate[name] / shared[name]).toPrecision(4));
  return JSON.stringify({ status, shared, private: separate, ratio: ratios });
}
