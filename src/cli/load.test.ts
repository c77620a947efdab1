// bin/load.js, which starts the command: with V8's code cache, without one, and with one that is not for this script.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Script } from "node:vm";
import { afterAll, beforeEach, expect, test } from "vitest";
import { ROOT } from "../testing/build.ts";

interface Loader {
  load(path: string): Script;
  cacheFile(path: string): string;
}
const { load, cacheFile } = createRequire(import.meta.url)("../../bin/load.js") as Loader;
const directory = mkdtempSync(join(tmpdir(), "mshare-load-"));
const path = join(directory, "script.cjs");
const found = globalThis as { loaded?: string };

beforeEach(() => {
  rmSync(cacheFile(path), { force: true });
  found.loaded = "";
  writeFileSync(path, `globalThis.loaded = require("node:path").basename(__filename) + typeof module.exports;`);
});
afterAll(() => rmSync(directory, { recursive: true }));

test("runs a script that has no cache", () => {
  load(path);
  expect(found.loaded).toBe("script.cjsobject");
});

test("takes the cache that fits", () => {
  writeFileSync(cacheFile(path), load(path).createCachedData());
  expect(load(path).cachedDataRejected).toBe(false);
  expect(found.loaded).toBe("script.cjsobject");
});

test("a cache that does not fit does no harm", () => {
  writeFileSync(cacheFile(path), "something else");
  load(path);
  expect(found.loaded).toBe("script.cjsobject");
});

test("the one that the build writes fits a start", () => {
  const script = `
    process.argv.push("mshare", "--version");
    const { cachedDataRejected } = require("./bin/load.js").load(require("node:path").resolve("dist/cli.cjs"));
    console.log("rejected:", cachedDataRejected);
  `;
  const output = execFileSync(process.execPath, ["-e", script], { cwd: ROOT, encoding: "utf8" });
  expect(output).toContain("rejected: false");
});
