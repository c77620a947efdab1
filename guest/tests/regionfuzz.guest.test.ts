// Random calls on a region (regionfuzz.c), through its own calls and through a PASSTHROUGH window, give what riscv64 Linux 6.12 gave for the same calls
// on memory (regionfuzz.reference.gz): ABI.md's "as munmap, mprotect, …, same errors".
//
// To record more: run the program with `memory` and the seeds on real Linux.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { MachineOptions } from "../../src/index.ts";
import { ROOT, buildGuest, runGuest, skipReason } from "../../src/testing/guest.ts";

const skip = skipReason();
if (skip !== false) console.warn(`regionfuzz skipped: ${skip}`);

const directory = join(ROOT, "guest/tests");
const linux = gunzipSync(readFileSync(join(directory, "regionfuzz.reference.gz")))
  .toString("latin1")
  .split("\n");

const MODES: readonly { name: string; options: MachineOptions }[] = [
  { name: "shared tables", options: {} },
  { name: "private tables", options: { share: false } },
  { name: "shared tables, 4 harts", options: { harts: 4 } },
];

describe.skipIf(skip !== false).each(MODES)("random calls, $name", ({ options }) => {
  test.each(["memory", "region", "window"])("on a %s as on Linux's memory", async (how) => {
    const args = [how, "1", "30"];
    const { status, stdout } = await runGuest(buildGuest(join(directory, "regionfuzz.c")), { ...options, args });
    const ours = stdout.split("\n");
    const at = linux.findIndex((line, i) => line !== ours[i]);
    expect({ line: at < 0 ? null : [...ours.slice(at - 3, at + 1), `Linux: ${linux[at]}`], status }).toEqual({
      line: null,
      status: 0,
    });
  });
});
