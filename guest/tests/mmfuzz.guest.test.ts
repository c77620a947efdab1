// Random memory calls of several processes (mmfuzz.c) give the log that riscv64 Linux 6.12 gave for the same seeds (mmfuzz.reference.gz): results,
// errnos, signals, contents and /proc/self/maps. Some seeds run again with everything recounted after every call and fault.
//
// To look into a difference: build mmfuzz.c for this machine too and run both with the seed and a number of operations; to record more answers,
// run the riscv64 program on real Linux and append what it prints.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { Machine } from "../../src/index.ts";
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

/** Runs one seed; the first line that differs from Linux's log with the lines before it, or null. */
async function differenceOf(
  seed: number,
  options: { memory: number; verify: boolean; harts?: number },
): Promise<string | null> {
  const machine = new Machine({ log: () => {}, ...options });
  const data = readFileSync(buildGuest(join(directory, "mmfuzz.c")));
  const { stdoutBytes } = await machine.run({ name: "mmfuzz", data }, [`${seed}`]);
  machine.verify();
  const ours = Buffer.from(stdoutBytes).toString("latin1").split("\n");
  const theirs = logs.get(seed)!.split("\n");
  const at = theirs.findIndex((line, i) => line !== ours[i]);
  if (at < 0) return null;
  return `seed ${seed}:\n${ours.slice(Math.max(0, at - 5), at + 1).join("\n")}\nLinux:\n${theirs[at]}`;
}

describe.skipIf(skip !== false)("random memory calls", () => {
  const groups = Array.from({ length: Math.ceil(seeds.length / 10) }, (_, i) => seeds.slice(i * 10, i * 10 + 10));
  test.each(groups.map((group) => [`${group[0]} to ${group.at(-1)}`, group] as const))(
    "seeds %s as on Linux",
    async (_name, group) => {
      for (const seed of group) expect(await differenceOf(seed, { memory: 64 * 2 ** 20, verify: false })).toBeNull();
    },
  );

  test.each([3, 14])("seed %d, recounted after every call and fault", async (seed) => {
    expect(await differenceOf(seed, { memory: 16 * 2 ** 20, verify: true, harts: 2 })).toBeNull();
  });
});
