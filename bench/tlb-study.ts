// The study of TLB strategies (docs/tlb-study.md): counts, not times. `node --import tsx bench/tlb-study.ts` runs a program with 1 to 4,096 sharers of a region on 2 to 64
// harts, once for each strategy, and prints what a change of protection cost, and how many TLB misses the whole run had.
import Table from "cli-table3";
import { Machine, type TlbFlush } from "../src/index.ts";
import { formatCount } from "../src/report/format.ts";
import { buildGuest } from "../src/testing/build.ts";

const STRATEGIES: readonly TlbFlush[] = ["mask", "list", "all"];
const HARTS = [2, 8, 64];
const SHARERS = [1, 16, 256, 4096];
const SEED = 1;

export interface Measured {
  /** For each change — a page, 2 MiB, 4 MiB: flush calls, harts that held something, translations dropped. */
  readonly changes: readonly { bytes: number; flushes: number; harts: number; entries: number }[];
  /** TLB misses of the whole run. */
  readonly misses: number;
}

/** One run: the same seed, so that strategies differ in nothing else. */
export async function measure(strategy: TlbFlush, harts: number, sharers: number): Promise<Measured> {
  const program = buildGuest("bench/guest/tlb-study.c");
  const machine = new Machine({ memory: 2 * 2 ** 30, harts, seed: SEED, tlbFlush: strategy });
  const { status, stdout } = await machine.run(program, [String(sharers)]);
  if (status !== 0) throw new Error(`tlb-study ${sharers} with ${strategy} ended with ${status}`);
  const changes = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number))
    .map(([bytes, flushes, hartCount, entries]) => ({ bytes, flushes, harts: hartCount, entries }));
  return { changes, misses: machine.kernel.hardware.stats.tlbMisses };
}

async function main(): Promise<void> {
  const table = new Table({
    head: [
      "harts",
      "sharers",
      "strategy",
      "flush calls",
      "harts interrupted",
      "translations dropped",
      "misses of the run",
    ],
    colAligns: ["right", "right", "left", "right", "right", "right", "right"],
    style: { head: [], border: [] },
  });
  for (const harts of HARTS)
    for (const sharers of SHARERS)
      for (const strategy of STRATEGIES) {
        const { changes, misses } = await measure(strategy, harts, sharers);
        const list = (pick: (change: Measured["changes"][number]) => number): string =>
          changes.map((change) => formatCount(pick(change))).join(" / ");
        table.push([
          harts,
          formatCount(sharers),
          strategy,
          list((c) => c.flushes),
          list((c) => c.harts),
          list((c) => c.entries),
          formatCount(misses),
        ]);
      }
  process.stdout.write(`Changes of one page / 2 MiB / 4 MiB.\n${table.toString()}\n`);
}

if (process.argv[1]?.endsWith("tlb-study.ts")) await main();
