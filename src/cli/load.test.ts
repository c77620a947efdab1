// bin/load.js, which starts the command: with V8's code cache, without one, and with one that is not for this script.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Script } from "node:vm";
import { afterAll, beforeEach, expect, test } from "vitest";

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
