// The study of TLB strategies (docs/tlb-study.md): counts, not times. `node --import tsx bench/tlb-study.ts [--harts 2,8] [--sharers 1,64]` runs a program with 1 to 4,096
// sharers of a region on 2 to 64 harts, once for each strategy, and prints a row of a Markdown table as soon as it is there: what four changes cost each.
import { Machine, type TlbFlush } from "../src/index.ts";
import { formatCount } from "../src/report/format.ts";
import { buildGuest } from "../src/testing/build.ts";

const STRATEGIES: readonly TlbFlush[] = ["all", "list", "mask"];
const HARTS = [2, 8, 64];
const SHARERS = [1, 64, 512, 4096];
const SEED = 1;
/** Nobody is so big: 4,096 sharers need 700 MiB of pages of their own. */
const MEMORY = 2 ** 30;

/** What the owner does, in the order in which the program does it; "nothing" is for comparison. */
export const CHANGES = ["nothing", "protect a page", "protect 2 MiB", "unmap a page", "unmap 2 MiB"] as const;

/** What one change cost. */
export interface Cost {
  /** Flush commands, harts that each of them interrupted, together, and translations dropped. */
  readonly flushes: number;
  readonly harts: number;
  readonly entries: number;
  /** TLB misses of all processes while each sharer read the region and its own pages once more. */
  readonly misses: number;
}

/** One run: a cost for each of CHANGES. The same seed, so that strategies differ in nothing else. */
export async function measure(strategy: TlbFlush, harts: number, sharers: number): Promise<readonly Cost[]> {
  const program = buildGuest("bench/guest/tlb-study.c");
  const machine = new Machine({
    memory: MEMORY,
    harts,
    seed: SEED,
    tlbFlush: strategy,
    tlbNeighbours: 1,
    engine: "interpreter",
  });
  const { status, stdout } = await machine.run(program, [String(sharers)]);
  if (status !== 0) throw new Error(`tlb-study ${sharers} with ${strategy} ended with ${status}`);
  const costs = stdout.trim().split("\n").map(parseCost);
  if (costs.length !== CHANGES.length) throw new Error(`tlb-study printed ${costs.length} lines`);
  return costs;
}

function parseCost(line: string): Cost {
  const [flushes, harts, entries, misses] = line.split(" ").map(Number);
  return { flushes, harts, entries, misses };
}

const COLUMNS = ["harts", "sharers", "strategy", "flush commands", "harts interrupted", "dropped", "later misses"];

/** The table's rows for one run: a cell has a number for each change, the misses one more, first, for no change. */
export function rowOf(strategy: TlbFlush, harts: number, sharers: number, costs: readonly Cost[]): string {
  const list = (of: readonly Cost[], pick: (cost: Cost) => number): string => of.map(pick).map(formatCount).join(" / ");
  const changes = costs.slice(1);
  const counts = [list(changes, (c) => c.flushes), list(changes, (c) => c.harts), list(changes, (c) => c.entries)];
  const cells = [harts, formatCount(sharers), strategy, ...counts, list(costs, (c) => c.misses)];
  return `| ${cells.join(" | ")} |`;
}

function numbers(name: string, standard: readonly number[]): readonly number[] {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return standard;
  const list = (process.argv[at + 1] ?? "").split(",").map(Number);
  if (!list.every((n) => Number.isInteger(n) && n > 0)) throw new Error(`--${name}: numbers, separated by commas`);
  return list;
}

async function main(): Promise<void> {
  const harts = numbers("harts", HARTS);
  const sharers = numbers("sharers", SHARERS);
  process.stdout.write(`Each cell: ${CHANGES.slice(1).join(" / ")}; later misses begin with ${CHANGES[0]}.\n\n`);
  process.stdout.write(`| ${COLUMNS.join(" | ")} |\n|${" --- |".repeat(COLUMNS.length)}\n`);
  for (const h of harts)
    for (const s of sharers)
      for (const strategy of STRATEGIES) {
        const costs = await measure(strategy, h, s);
        process.stdout.write(`${rowOf(strategy, h, s, costs)}\n`);
      }
}

if (process.argv[1]?.endsWith("tlb-study.ts")) await main();
