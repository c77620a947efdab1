// Random sequences of file calls give the same log as on riscv64 Linux 6.12: fsfuzz.c, 1,000 calls a seed. fsfuzz.reference.gz was recorded
// with on-linux and a script that ran `fsfuzz SEED 1000` for each seed in a /tmp/fz of its own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { buildGuest, skipReason } from "../../src/testing/build.ts";
import { runGuest } from "../../src/testing/guest.ts";

const COUNT = 1000;
const reference = gunzipSync(readFileSync(join(import.meta.dirname, "fsfuzz.reference.gz"))).toString("latin1");
const bySeed = reference
  .split(/^seed (\d+)\n/m)
  .slice(1)
  .reduce<[string, string][]>((pairs, part, i, all) => (i % 2 ? [...pairs, [all[i - 1], part]] : pairs), []);
const skip = skipReason();

describe.skipIf(skip !== false)(`file calls as on Linux ${skip || ""}`, () => {
  test.each(bySeed)("seed %s", async (seed, log) => {
    const program = buildGuest(join(import.meta.dirname, "fsfuzz.c"), { flags: ["-Wno-unused-result"] });
    const { stdoutBytes } = await runGuest(program, { args: [seed, String(COUNT)] });
    expect(Buffer.from(stdoutBytes).toString("latin1")).toBe(log);
  });
});
