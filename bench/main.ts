// `npm run bench`: every workload on every engine in one run, medians, and how many times faster ours are than each of the others; then what
// sharing is worth to a second process, and what a start costs. Prints tables, writes JSON.
//
//   npm run bench -- [--scale PERCENT] [--runs N] [--engines a,b] [--json FILE] [WORKLOAD…]
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { inlineLess, optimizeInBackground } from "../src/host/v8.ts";
import { formatRatio } from "../src/report/format.ts";
import { type Touch, starts, touchTable, touches } from "./sharing.ts";
import {
  ANOTHER_VERSION,
  type Engine,
  type Sample,
  machineEngine,
  native,
  qemuSystem,
  qemuUser,
  workloadNames,
} from "./engines.ts";
import { PROGRAMS, ProgramRoot } from "./programs.ts";

/** Loops of integer code: their instructions a second are an engine's speed. */
const INTEGER_LOOPS = ["crc", "sha256", "sort", "interpreter"];

/** Workloads that are the kernel's work: not part of the mean of those that compute. */
const KERNEL = ["getppid", "fault", "fork", "pipe"];

interface Result {
  readonly workload: string;
  readonly engine: string;
  /** Median of the runs. */
  readonly nsPerOperation: number;
  /** Million instructions a second, where the engine counts them. */
  readonly mips?: number;
  readonly checksum: string;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

function summarize(workload: string, engine: string, samples: readonly Sample[]): Result {
  const ns = median(samples.map((sample) => sample.ns));
  const { operations, checksum, instructions } = samples[0];
  return {
    workload,
    engine,
    nsPerOperation: ns / operations,
    checksum,
    ...(instructions === undefined ? {} : { mips: (instructions / ns) * 1000 }),
  };
}

/** A table of times, and in it how many times faster ours is: "12.3 ns" and "2.10x" of the first engine. */
function resultTable(names: readonly string[], engines: readonly string[], results: readonly Result[]): string {
  const [ours, ...others] = engines;
  const find = (workload: string, engine: string): Result | undefined =>
    results.find((result) => result.workload === workload && result.engine === engine);
  const head = ["per operation", ours, "MIPS", ...others.flatMap((other) => [other, `${ours} is`])];
  const table = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i ? "right" : "left")),
  });
  for (const name of names) {
    const own = find(name, ours);
    if (own === undefined) continue;
    const row = [name, formatNs(own.nsPerOperation), own.mips === undefined ? "" : own.mips.toFixed(0)];
    for (const other of others) {
      const theirs = find(name, other);
      row.push(theirs ? formatNs(theirs.nsPerOperation) : "-");
      row.push(theirs ? formatRatio(theirs.nsPerOperation, own.nsPerOperation) : "-");
    }
    table.push(row);
  }
  return table.toString();
}

const formatNs = (ns: number): string =>
  ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : ns >= 1000 ? `${(ns / 1000).toFixed(2)} µs` : `${ns.toFixed(2)} ns`;

/** Where an engine's checksum is not the first one's. */
function disagreements(results: readonly Result[]): string[] {
  const comparable = results.filter((result) => result.checksum !== ANOTHER_VERSION);
  return comparable.flatMap((result) => {
    const first = comparable.find((other) => other.workload === result.workload)!;
    return first.checksum === result.checksum
      ? []
      : [`${result.workload}: ${result.engine} gives ${result.checksum}, ${first.engine} ${first.checksum}`];
  });
}

/** "jit is, in the geometric mean of those that compute: 1.07x of qemu-user (13 workloads), …": over the workloads that both ran. */
function meanLine(engines: readonly string[], results: readonly Result[]): string[] {
  const [ours, ...others] = engines;
  const computing = results.filter((result) => !KERNEL.includes(result.workload));
  const means = others.flatMap((other) => {
    const logs = computing.flatMap((own) => {
      if (own.engine !== ours) return [];
      const theirs = computing.find((result) => result.engine === other && result.workload === own.workload);
      return theirs === undefined ? [] : [Math.log(theirs.nsPerOperation / own.nsPerOperation)];
    });
    if (logs.length === 0) return [];
    const mean = Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
    return [`${formatRatio(mean, 1)} of ${other} (${logs.length} workloads)`];
  });
  return means.length === 0 ? [] : [`${ours} is, in the geometric mean of those that compute: ${means.join(", ")}`];
}

/** "interpreter, million instructions a second: crc 800, …" for an engine that counts them. */
function speedLine(results: readonly Result[]): string[] {
  const loops = results.filter((result) => result.mips !== undefined && INTEGER_LOOPS.includes(result.workload));
  if (loops.length === 0) return [];
  const speeds = loops.map((result) => `${result.workload} ${result.mips!.toFixed(0)}`);
  return [`${loops[0].engine}, million instructions a second: ${speeds.join(", ")}`];
}

export interface BenchOptions {
  readonly names: readonly string[];
  readonly engines: readonly Engine[];
  readonly runs: number;
  readonly scale: number;
  readonly log: (line: string) => void;
}

/**
 * Runs it all. Engines that are missing are said so and left out. A workload runs on one engine after another, then again: a machine has slow
 * minutes, which must not be one engine's alone.
 */
export async function bench({
  names,
  engines,
  runs,
  scale,
  log,
}: BenchOptions): Promise<{ results: Result[]; text: string; wrong: string[] }> {
  const present = engines.filter(({ name, missing }) => {
    if (missing !== undefined) log(`without ${name}: ${missing}`);
    return missing === undefined;
  });
  const samples = new Map(
    present.map((engine) => [engine, new Map(names.map((name): [string, Sample[]] => [name, []]))]),
  );
  const can = new Map(present.map((engine) => [engine, possible(engine, names, log)]));
  try {
    for (const engine of present) await engine.start?.(can.get(engine)!, scale);
    for (const name of names) {
      log(`${name} …`);
      const able = present.filter((engine) => can.get(engine)!.includes(name));
      for (let n = 0; n < runs; n++)
        for (const engine of able)
          samples
            .get(engine)!
            .get(name)!
            .push(await engine.run(name, scale));
    }
  } finally {
    for (const engine of present) engine.stop?.();
  }
  const results = [...samples].flatMap(([engine, all]) =>
    [...all].flatMap(([name, list]) => (list.length > 0 ? [summarize(name, engine.name, list)] : [])),
  );
  const ran = present.map(({ name }) => name);
  const speeds = ran.flatMap((engine) => speedLine(results.filter((result) => result.engine === engine)));
  const text = [resultTable(names, ran, results), ...meanLine(ran, results), ...speeds].join("\n");
  return { results, text, wrong: disagreements(results) };
}

/** The workloads that an engine can run; says why it cannot run the others. */
function possible(engine: Engine, names: readonly string[], log: (line: string) => void): string[] {
  return names.filter((name) => {
    const why = engine.without?.(name);
    if (why !== undefined) log(`${engine.name} without ${name}: ${why}`);
    return why === undefined;
  });
}

/** The second table: what sharing is worth; and what a start costs. */
async function sharing(mib: number, runs: number): Promise<{ touches: Touch[]; starts: object; text: string }> {
  const list = await touches(mib, "jit");
  const start = await starts(runs);
  const theirs = start.qemuUser === undefined ? "" : `, qemu-riscv64's after ${start.qemuUser.toFixed(0)} ms`;
  const text = `${touchTable(mib, list)}\nfirst output after ${start.mshare.toFixed(0)} ms${theirs}\n`;
  return { touches: list, starts: start, text };
}

async function main(): Promise<number> {
  optimizeInBackground();
  inlineLess();
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      scale: { type: "string", default: "100" },
      runs: { type: "string", default: "5" },
      engines: { type: "string" },
      json: { type: "string", default: "bench.json" },
    },
  });
  const made = await ProgramRoot.make({ fetch: true });
  const root = typeof made === "string" ? undefined : made;
  const all = [
    machineEngine("jit", root),
    machineEngine("interpreter", root),
    qemuUser(root),
    qemuSystem(root),
    native(root),
  ];
  const wanted = values.engines?.split(",");
  const engines = wanted === undefined ? all : all.filter((engine) => wanted.includes(engine.name));
  if (typeof made === "string") console.error(`without ${PROGRAMS.map(({ name }) => name).join(", ")}: ${made}`);
  const known = [...workloadNames(), ...(root === undefined ? [] : PROGRAMS.map(({ name }) => name))];
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0 || engines.length === 0) {
    console.error(
      `bench: unknown ${unknown.join(", ") || values.engines}; workloads: ${known.join(" ")}; engines: ${all.map((e) => e.name).join(" ")}`,
    );
    return 2;
  }
  const names = positionals.length > 0 ? positionals : known;
  const { results, text, wrong } = await bench({
    names,
    engines,
    runs: Number(values.runs),
    scale: Number(values.scale),
    log: (line) => console.error(line),
  });
  console.log(text);
  for (const line of wrong) console.error(`bench: ${line}`);
  const more =
    positionals.length > 0
      ? undefined
      : await sharing(Math.max(16, Math.round(10.24 * Number(values.scale))), Number(values.runs));
  if (more !== undefined) console.log(more.text);
  const machine = { cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString() };
  writeFileSync(
    values.json,
    JSON.stringify(
      {
        machine,
        scale: Number(values.scale),
        runs: Number(values.runs),
        results,
        touches: more?.touches,
        starts: more?.starts,
      },
      null,
      1,
    ) + "\n",
  );
  return wrong.length > 0 ? 1 : 0;
}

if (process.argv[1]?.endsWith("bench/main.ts")) process.exitCode = await main();
