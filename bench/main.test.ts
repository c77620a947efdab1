// What the benchmark says of engines' samples, with engines that are made up: means, what an engine has not, results that differ.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ANOTHER_VERSION, type Engine } from "./engines.ts";
import { bench } from "./main.ts";
import { PROGRAMS, ProgramRoot } from "./programs.ts";

/** An engine whose every operation takes `ns`, and gives what `checksum` says. */
function engine(name: string, ns: Readonly<Record<string, number>>, checksum = "1234"): Engine {
  return {
    name,
    without: (workload) => (workload in ns ? undefined : "not installed"),
    run: (workload) => Promise.resolve({ checksum, ns: ns[workload], operations: 1 }),
  };
}

const run = (engines: readonly Engine[], log: string[] = []): ReturnType<typeof bench> =>
  bench({ names: ["crc", "zlib", "fork"], engines, runs: 1, scale: 1, log: (line) => log.push(line) });

test("the geometric mean is of what both engines ran, and of what computes", async () => {
  const log: string[] = [];
  const ours = engine("ours", { crc: 10, zlib: 10, fork: 1 });
  const { text, wrong } = await run(
    [ours, engine("one", { crc: 20, zlib: 80, fork: 1000 }), engine("two", { crc: 5 })],
    log,
  );
  expect(text).toContain(
    "ours is, in the geometric mean of those that compute: 4.00x of one (2 workloads), 0.50x of two (1",
  );
  expect(log).toContain("two without zlib: not installed");
  expect(wrong).toEqual([]);
});

test("engines take turns at each workload; one that boots is started before all and stopped after all", async () => {
  const order: string[] = [];
  const noting = (name: string): Engine => ({
    ...engine(name, { crc: 1, sort: 1 }),
    run: (workload, scale) => {
      order.push(`${name} ${workload} ${scale}`);
      return engine(name, { crc: 1, sort: 1 }).run(workload, scale);
    },
  });
  const booted: Engine = {
    ...noting("booted"),
    start: (names, scale) => Promise.resolve(void order.push(`start ${names.join("+")} ${scale}`)),
    stop: () => order.push("stop"),
  };
  await bench({ names: ["crc", "sort"], engines: [noting("a"), booted], runs: 2, scale: 7, log: () => {} });
  const turns = ["crc", "sort"].flatMap((name) => [1, 2].flatMap(() => [`a ${name} 7`, `booted ${name} 7`]));
  expect(order).toEqual(["start crc+sort 7", ...turns, "stop"]);
  order.length = 0;
  const broken: Engine = { ...noting("broken"), run: () => Promise.reject(new Error("broken")) };
  await expect(bench({ names: ["crc"], engines: [booted, broken], runs: 1, scale: 7, log: () => {} })).rejects.toThrow(
    "broken",
  );
  expect(order.at(-1)).toBe("stop");
});

test("another result is said so; of another version of the program it is not compared", async () => {
  const all = { crc: 1, zlib: 1, fork: 1 };
  const { wrong } = await run([
    engine("native", all, ANOTHER_VERSION),
    engine("ours", all),
    engine("theirs", all, "5678"),
  ]);
  expect(wrong).toEqual(["crc", "zlib", "fork"].map((name) => `${name}: theirs gives 5678, ours 1234`));
});

test("packages that are not here are not fetched unasked: that is the reason to go without", async () => {
  const before = process.env.XDG_CACHE_HOME;
  const empty = mkdtempSync(join(tmpdir(), "cache-"));
  process.env.XDG_CACHE_HOME = empty;
  try {
    const why = await ProgramRoot.make({ fetch: false });
    expect(why).toMatch(/not fetched|names no mirror/);
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
    rmSync(empty, { recursive: true });
  }
});

test("a tiny scale still leaves each program something to do", () => {
  for (const program of PROGRAMS) {
    expect(program.operations(0)).toBeGreaterThan(0);
    expect(program.args(0, "/data").length).toBeGreaterThan(1);
    expect(program.operations(100)).toBeGreaterThan(10 * program.operations(0));
  }
});
