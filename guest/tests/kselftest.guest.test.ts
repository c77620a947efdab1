// Programs that do what the published selftests of the mshare series do, with a harness of the same shape: every test passes, with shared and with private tables.
import { describe, expect, test } from "vitest";
import { buildGuest, runGuest, skipReason } from "../../src/testing/guest.ts";

const skip = skipReason();
if (skip !== false) console.warn(`selftests skipped: ${skip}`);

const MODES = [
  { name: "shared tables", options: {} },
  { name: "private tables", options: { share: false } },
  { name: "shared tables, 3 harts", options: { harts: 3 } },
];

describe.skipIf(skip !== false).each(MODES)("$name", ({ options }) => {
  test("memory", async () => {
    const program = buildGuest("guest/tests/kselftest-memory.c");
    const { status, stdout, stderr } = await runGuest(program, {
      memory: 128 * 2 ** 20,
      swap: 128 * 2 ** 20,
      ...options,
    });
    expect({ stderr, failed: stdout.match(/^not ok.*/gm) }).toEqual({ stderr: "", failed: null });
    expect(stdout).toMatch(/^# PASSED: (\d+) \/ \1 tests passed\.$/m);
    expect(status).toBe(0);
  });
});
