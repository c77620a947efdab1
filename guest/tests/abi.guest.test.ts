// ABI.md, sentence by sentence, from C programs (abi-*.c): with shared and with private page tables, on one hart and on four.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { MachineOptions } from "../../src/index.ts";
import { ROOT, buildGuest, runGuest, skipReason } from "../../src/testing/guest.ts";

const skip = skipReason();
if (skip !== false) console.warn(`abi tests skipped: ${skip}`);

const directory = join(ROOT, "guest/tests");
const programs = readdirSync(directory).filter((name) => /^abi-.*\.c$/.test(name));

const MODES = [
  { name: "shared tables", options: {} },
  { name: "private tables", options: { share: false } },
  { name: "shared tables, 4 harts", options: { harts: 4 } },
];

/** Programs that want a machine of their own kind. */
const MACHINES: Readonly<Record<string, MachineOptions>> = {
  "abi-oom.c": { memory: 40 * 2 ** 20 },
  // Two whole GiB, of which the host has what is touched.
  "abi-hugetlb-gigantic.c": { memory: 3 * 2 ** 30 },
  "abi-memcg.c": { memory: 128 * 2 ** 20, swap: 128 * 2 ** 20 },
};
/** What the kernel reports there, as it should. */
const REPORTS = /^mshare: (memory cgroup )?out of memory: killed process .*\n/;

describe.skipIf(skip !== false).each(MODES)("$name", ({ options }) => {
  test.each(programs)("%s", async (name) => {
    const { status, stdout, stderr } = await runGuest(buildGuest(join(directory, name)), {
      ...options,
      ...MACHINES[name],
    });
    const failed = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("ok "));
    const unexpected = name in MACHINES ? stderr.replace(REPORTS, "") : stderr;
    expect({ failed, stderr: unexpected, status }).toEqual({ failed: [], stderr: "", status: 0 });
  });
});
