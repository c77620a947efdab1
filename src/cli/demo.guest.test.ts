// The demo, as it ships: what it says and what it saves. Needs no compiler: the program is in guest/bin.
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Machine } from "../index.ts";
import { ROOT } from "../testing/build.ts";

const DEMO = join(ROOT, "guest/bin/demo");
const MIB = 2 ** 20;

/** The demo's words; `n` workers with a pool of `mib` MiB. */
const words = (n: number, mib: number): string => {
  const placed = Array.from({ length: n }, (_, i) => i).filter((i) => i % 4 === 3).length;
  const visits = ((n * mib * MIB) / 4 / 4096).toLocaleString("en-US");
  return `owner    creates a region, maps a pool of ${mib} MiB into it and forks ${n} workers
attach   ${n} of ${n} workers have a window, ${n - placed} where the kernel chose, ${placed} where they chose
work     ${n} of ${n} went through ${mib / 4} MiB page by page: ${visits} visits, ${visits} counted in the pool
protect  the first 2 MiB read-only: ${n} of ${n} got SIGSEGV (SEGV_ACCERR) for writing there, and still can read
unmap    the next 2 MiB: ${n} of ${n} got SIGSEGV (SEGV_MAPERR) for reading there
hand out a read-only descriptor: attaching for writing EACCES, reopening for writing EACCES, mapping EBADF
exit     the owner is gone: ${n} of ${n} got SIGSEGV (SEGV_MAPERR) in the pool, ENXIO for attaching again
`;
};

describe("the demo", () => {
  test.each([true, false])("small, everything recounted, share: %s", async (share) => {
    const machine = new Machine({ memory: 64 * MIB, harts: 4, share, verify: true });
    const { status, stdout, stats } = await machine.run(DEMO, ["8", "16"]);
    expect(stdout).toBe(words(8, 16));
    expect(status).toBe(0);
    expect(stats.tableBytes).toBe(0);
  });

  test("as `npm start` runs it: 64 workers, 256 MiB, and the region's last-level tables exist once", async () => {
    const run = async (share: boolean) => await new Machine({ harts: 4, share, seed: 1 }).run(DEMO);
    const [shared, separate] = [await run(true), await run(false)];
    expect(shared.stdout).toBe(words(64, 256));
    expect(separate.stdout).toBe(words(64, 256));
    // 256 MiB need 128 last-level tables (512 KiB); on top of them the page of notes' table and the upper levels: a few pages.
    const table = 4096;
    expect(shared.stats.regionTableBytesPeak).toBeGreaterThanOrEqual(128 * table);
    expect(shared.stats.regionTableBytesPeak).toBeLessThanOrEqual((128 + 5) * table);
    // Each worker touches 16,384 pages; shared, all of them together make each of the pool's 65,536 present once.
    expect(separate.stats.minorFaults).toBeGreaterThan(64 * 16_384);
    expect(shared.stats.minorFaults).toBeLessThan(65_536 + 64 * 40);
    expect(separate.stats.tableBytesPeak / shared.stats.tableBytesPeak).toBeGreaterThan(4);
    // Both did the same work.
    expect(shared.stats.instructions).toBe(separate.stats.instructions);
  });

  test("a thousand workers in 512 MiB of guest RAM", async () => {
    const { status, stdout, stats } = await new Machine({ harts: 4 }).run(DEMO, ["1000", "256"]);
    expect(stdout).toBe(words(1000, 256));
    expect(status).toBe(0);
    expect(stats.regionTableBytesPeak).toBeLessThanOrEqual((128 + 5) * 4096);
  });
});
