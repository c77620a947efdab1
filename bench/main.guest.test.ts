// The benchmark, tiny, so that it never rots: every workload once on every engine that is here, and all get the same results.
import { describe, expect, test } from "vitest";
import { skipReason, titled } from "../src/testing/build.ts";
import { machineEngine, native, qemuUser, workloadNames } from "./engines.ts";
import { bench } from "./main.ts";
import { PROGRAMS, ProgramRoot } from "./programs.ts";
import { touchTable, touches } from "./sharing.ts";

describe.skipIf(skipReason())(titled("bench"), () => {
  test("every engine computes the same", { timeout: 300_000 }, async () => {
    // Debian's programs too, where their packages are here or CI fetches them.
    const made = await ProgramRoot.make({ fetch: Boolean(process.env.CI) });
    const root = typeof made === "string" ? undefined : made;
    const names = [...workloadNames(), ...(root === undefined ? [] : PROGRAMS.map(({ name }) => name))];
    const engines = [machineEngine("jit", root), machineEngine("interpreter", root), qemuUser(root), native(root)];
    const { results, text, wrong } = await bench({ names, engines, runs: 1, scale: 0, log: () => {} });
    expect(wrong).toEqual([]);
    expect(results.filter((result) => result.engine === "interpreter").map((result) => result.workload)).toEqual(names);
    for (const name of names) expect(text).toContain(name);
    root?.remove();
  });

  test("a second process's way through a populated region: no faults, one for each page without sharing", async () => {
    const list = await touches(16, "interpreter");
    const faults = (mode: string, share: boolean): number =>
      list.find((item) => item.mode === mode && item.share === share)!.faults;
    const pages = (16 * 2 ** 20) / 4096;
    // A few of the child's own: its stack, printf's buffer.
    for (const mode of ["read", "write"]) expect(faults(mode, true)).toBeLessThan(8);
    expect(faults("write", false)).toBeGreaterThanOrEqual(pages);
    // Reading, a fault brings 64 KiB (fault-around).
    expect(faults("read", false)).toBeGreaterThanOrEqual(pages / 16);
    expect(touchTable(16, list)).toContain("write, a page");
  });
});
