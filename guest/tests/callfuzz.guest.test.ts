// Random system calls (callfuzz.c): whatever programs ask for, the kernel goes on, its memory adds up, and nothing is left when they have ended.
// MSHARE_CALL_SEEDS, MSHARE_CALL_SEED: docs/hacking.md.
import { describe, expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Machine } from "../../src/index.ts";
import { ROOT, buildGuest, skipReason } from "../../src/testing/guest.ts";
import { seedsOf } from "../../src/testing/seeds.ts";

const skip = skipReason();
if (skip !== false) console.warn(`random calls skipped: ${skip}`);

const ROUNDS = 40;

describe.skipIf(skip !== false)("random system calls", () => {
  test.each(seedsOf("CALL", 2))("seed %d", async (seed) => {
    const machine = new Machine({ memory: 64 * 2 ** 20, harts: 2, seed, verify: true, log: () => {} });
    const data = readFileSync(buildGuest(join(ROOT, "guest/tests/callfuzz.c")));
    const { status, stdoutBytes } = await machine.run({ name: "callfuzz", data }, [`${seed}`, `${ROUNDS}`]);
    expect(status).toBe(0);
    expect(Buffer.from(stdoutBytes).toString("latin1")).toContain(`${ROUNDS} rounds: `);
    const { memory } = machine.kernel;
    memory.verify();
    expect(memory.usage()).toMatchObject({ anon: 0, tables: 0 });
  });
});
