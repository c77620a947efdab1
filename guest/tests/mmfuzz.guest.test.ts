// Random memory calls of several processes (mmfuzz.c) give the log that riscv64 Linux 6.12 gave for the same seeds (mmfuzz.reference.gz): results,
// errnos, signals, contents and /proc/self/maps. Some seeds run again with everything recounted after every call and fault.
//
// To look into a difference: build mmfuzz.c for this machine too and run both with the seed and a number of operations; to record more answers,
// run the riscv64 program on real Linux and append what it prints.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { Machine, type MachineOptions } from "../../src/index.ts";
import { reclaim } from "../../src/mm/reclaim.ts";
import { ROOT, buildGuest, skipReason } from "../../src/testing/guest.ts";

const skip = skipReason();
if (skip !== false) console.warn(`mmfuzz skipped: ${skip}`);

const directory = join(ROOT, "guest/tests");

/** The log of each seed. */
function referenceLogs(): Map<number, string> {
  const text = gunzipSync(readFileSync(join(directory, "mmfuzz.reference.gz"))).toString("latin1");
  const logs = new Map<number, string>();
  for (const log of text.split(/^(?=seed \d+\n)/m)) logs.set(Number(/^seed (\d+)/.exec(log)![1]), log);
  return logs;
}

const logs = referenceLogs();
const seeds = [...logs.keys()];

/** Runs one seed on a machine; the first line that differs from Linux's log with the lines before it, or null. `skipped`: lines not compared. */
async function differenceOf(machine: Machine, seed: number, skipped = /^$/): Promise<string | null> {
  const data = readFileSync(buildGuest(join(directory, "mmfuzz.c")));
  const { stdoutBytes } = await machine.run({ name: "mmfuzz", data }, [`${seed}`]);
  machine.kernel.memory.failAllocation = null;
  machine.verify();
  const lines = (log: string): string[] => log.split("\n").filter((line) => !skipped.test(line));
  const ours = lines(Buffer.from(stdoutBytes).toString("latin1"));
  const theirs = lines(logs.get(seed)!);
  const at = theirs.findIndex((line, i) => line !== ours[i]);
  if (at < 0) return null;
  return `seed ${seed}:\n${ours.slice(Math.max(0, at - 5), at + 1).join("\n")}\nLinux:\n${theirs[at]}`;
}

const boot = (options: MachineOptions): Machine => new Machine({ log: () => {}, ...options });

/** Swaps some pages out at every twelfth allocation or so. */
function swapAllTheTime(machine: Machine): void {
  const { memory } = machine.kernel;
  let state = 12345;
  let reclaiming = false;
  memory.failAllocation = () => {
    state = (state * 48271) % 2147483647;
    if (reclaiming || state % 12 !== 0) return false;
    reclaiming = true;
    reclaim(memory, { target: 1 + (state % 60) });
    reclaiming = false;
    return false;
  };
}

describe.skipIf(skip !== false)("random memory calls", () => {
  const groups = Array.from({ length: Math.ceil(seeds.length / 10) }, (_, i) => seeds.slice(i * 10, i * 10 + 10));
  test.each(groups.map((group) => [`${group[0]} to ${group.at(-1)}`, group] as const))(
    "seeds %s as on Linux",
    async (_name, group) => {
      for (const seed of group) expect(await differenceOf(boot({ memory: 64 * 2 ** 20 }), seed)).toBeNull();
    },
  );

  test.each([3, 14])("seed %d, recounted after every call and fault", async (seed) => {
    expect(await differenceOf(boot({ memory: 16 * 2 ** 20, verify: true, harts: 2 }), seed)).toBeNull();
  });

  test.each([5, 9])("seed %d while pages are swapped out all the time", async (seed) => {
    const machine = boot({ memory: 10 * 2 ** 20, swap: 64 * 2 ** 20 });
    swapAllTheTime(machine);
    // What is in memory differs, of course.
    expect(await differenceOf(machine, seed, /mincore/)).toBeNull();
    expect(machine.kernel.memory.stat.pswpin).toBeGreaterThan(100);
  });
});
