// Counters as text and JSON: labels, units, ratios.
import { expect, test } from "vitest";
import { type Measured, comparisonJson, comparisonTable, countersJson, countersTable } from "./counters.ts";

const measured = (over: Partial<Measured>): Measured => ({
  tableBytes: 0,
  tableBytesPeak: 0,
  regionTableBytesPeak: 0,
  minorFaults: 0,
  majorFaults: 0,
  links: 0,
  regionFaults: 0,
  copiedPages: 0,
  shootdowns: 0,
  flushes: 0,
  hartsInterrupted: 0,
  translationsDropped: 0,
  tlbMisses: 0,
  memoryAccesses: 0,
  tlbHits: 0,
  instructions: 0,
  compiledInstructions: 0,
  compiledRegions: 0,
  codeBytes: 0,
  compileMs: 0,
  contextSwitches: 0,
  forks: 0,
  memoryBytes: 0,
  usedBytes: 0,
  wallMs: 0,
  ...over,
});
const shared = measured({
  tableBytesPeak: 2 ** 20,
  minorFaults: 1000,
  links: 3,
  instructions: 12_345_678,
  wallMs: 1500,
});
const separate = measured({
  tableBytesPeak: 64 * 2 ** 20,
  minorFaults: 1_000_000,
  instructions: 12_345_678,
  wallMs: 3000,
});

/** The cells of the row that begins with `label`. */
const cells = (table: string, label: string): string[] =>
  table
    .split("\n")
    .map((line) => line.split("│").map((cell) => cell.trim()))
    .find((row) => row[1] === label)!
    .slice(2, -1);

test("the hit rate of a run that counted what it accessed", () => {
  const label = "hit rate of loads and stores";
  expect(cells(countersTable(measured({ memoryAccesses: 8, tlbHits: 6 })), label)).toEqual(["75 %"]);
  expect(countersTable(measured({ tlbMisses: 2 }))).not.toContain(label);
});

test("one run", () => {
  const table = countersTable(shared);
  expect(cells(table, "page tables, most at a time")).toEqual(["1,024 KiB"]);
  expect(cells(table, "minor faults")).toEqual(["1,000"]);
  expect(cells(table, "instructions")).toEqual(["12,345,678"]);
  expect(cells(table, "wall time")).toEqual(["1.50 s"]);
  expect(JSON.parse(countersJson(shared, 3))).toEqual({ status: 3, ...shared });
});

test("two runs and their ratio", () => {
  const table = comparisonTable(shared, separate);
  expect(cells(table, "page tables, most at a time")).toEqual(["1,024 KiB", "65,536 KiB", "64.0x"]);
  expect(cells(table, "minor faults")).toEqual(["1,000", "1,000,000", "1,000x"]);
  expect(cells(table, "instructions")).toEqual(["12,345,678", "12,345,678", "1.00x"]);
  expect(cells(table, "links")).toEqual(["3", "0", ""]);
  const json = JSON.parse(comparisonJson(shared, separate, 0)) as Record<string, Record<string, number>>;
  expect(json.ratio).toMatchObject({ tableBytesPeak: 64, minorFaults: 1000, instructions: 1, wallMs: 2 });
  expect(json.shared).toEqual({ ...shared });
});
