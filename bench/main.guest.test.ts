// The benchmark, tiny, so that it never rots: every workload once on every engine that is here, and all get the same results.
import { describe, expect, test } from "vitest";
import { skipReason, titled } from "../src/testing/build.ts";
import { machineEngine, native, qemuUser, workloadNames } from "./engines.ts";
import { bench } from "./main.ts";

describe.skipIf(skipReason())(titled("bench"), () => {
  test("every engine computes the same", { timeout: 300_000 }, async () => {
    const names = workloadNames();
    const engines = [machineEngine("jit"), machineEngine("interpreter"), qemuUser(), native()];
    const { results, text, wrong } = await bench({ names, engines, runs: 1, scale: 0, log: () => {} });
    expect(wrong).toEqual([]);
    expect(results.filter((result) => result.engine === "interpreter").map((result) => result.workload)).toEqual(names);
    for (const name of names) expect(text).toContain(name);
  });
});
