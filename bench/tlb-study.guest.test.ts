// The study of TLB strategies in small: what docs/tlb-study.md says of commands, interrupts and translations dropped.
import { describe, expect, test } from "vitest";
import { skipReason, titled } from "../src/testing/build.ts";
import { measure, rowOf } from "./tlb-study.ts";

const [NOTHING, PROTECT, PROTECT_MANY, UNMAP] = [0, 1, 2, 3];

describe.skipIf(skipReason())(titled("the TLB study"), () => {
  test("with mask a change costs one command, whatever the number of sharers, and drops only its own", async () => {
    const [one, many] = [await measure("mask", 2, 1), await measure("mask", 2, 32)];
    for (const change of [PROTECT, UNMAP]) {
      expect(many[change].flushes).toBe(1);
      expect(one[change].flushes).toBe(1);
      expect(many[change].harts).toBeLessThanOrEqual(2);
      // A translation for each sharer that reads the page, and the owner's (R and W).
      expect(many[change].entries).toBeLessThanOrEqual(32 + 2);
    }
    expect(rowOf("mask", 2, 32, many)).toContain("| 2 | 32 | mask | 1 / 1 / 1 / 1 |");
  });
  test("a page whose translation was dropped is a miss of its own, whatever comes before it", async () => {
    const costs = await measure("mask", 2, 1);
    expect(costs[PROTECT].misses - costs[NOTHING].misses).toBe(1);
    expect(costs[PROTECT_MANY].misses - costs[NOTHING].misses).toBe(512);
  });
  test("list sends a command for each sharer, all interrupts each hart, and both drop what did not change", async () => {
    const [list, all] = [await measure("list", 8, 32), await measure("all", 8, 32)];
    // The sharers, the owner, and the region's own space.
    expect(list[PROTECT].flushes).toBe(32 + 2);
    expect(all[PROTECT]).toMatchObject({ flushes: 1, harts: 8 });
    // All 1,024 pages of each sharer.
    for (const costs of [list, all]) expect(costs[PROTECT].entries).toBeGreaterThan(32 * 1024);
  });
});
