// The programs that ship (guest/bin) are what their sources make: their manifest names the sources' hash, and the same compiler makes the same bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT, crossCompiler } from "../src/testing/build.ts";

const BIN = join(ROOT, "guest/bin");
const manifest = readFileSync(join(BIN, "MANIFEST"), "utf8").trim().split("\n");
const compiler = manifest[0].replace("compiler ", "");
const sha256 = (...data: Uint8Array[]): string =>
  data.reduce((hash, bytes) => hash.update(bytes), createHash("sha256")).digest("hex");

test("guest/bin is small, and what its manifest says", () => {
  const programs = readdirSync(BIN).filter((name) => name !== "MANIFEST");
  expect(programs.length).toBeGreaterThan(0);
  expect(programs.reduce((sum, name) => sum + statSync(join(BIN, name)).size, 0)).toBeLessThan(2 ** 20);
  const lines = programs.map((name) => `${sha256(readFileSync(join(BIN, name)))}  ${name}`);
  expect(manifest.slice(2).sort()).toEqual(lines.sort());
});

test("guest/bin was built from the sources as they are (npm run guest)", () => {
  const list = (folder: string, ending: string): string[] =>
    readdirSync(join(ROOT, "guest", folder))
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => `${folder}/${name}`);
  const sources = ["build.sh", ...list("include", ".h"), ...list("lib", ".c"), ...list("src", ".c")];
  expect(manifest[1]).toBe(`sources ${sha256(...sources.map((name) => readFileSync(join(ROOT, "guest", name))))}`);
});

test.skipIf(crossCompiler() !== compiler)(`the same bytes come out again (with ${compiler})`, () => {
  const directory = mkdtempSync(join(tmpdir(), "mshare-bin-"));
  try {
    execFileSync("bash", [join(ROOT, "guest/build.sh"), directory]);
    for (const name of readdirSync(BIN))
      expect(readFileSync(join(directory, name)).equals(readFileSync(join(BIN, name))), name).toBe(true);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
