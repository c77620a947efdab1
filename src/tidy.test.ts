// The house rules that a machine can check: rooms import only to the right (docs/hacking.md), every file says what it is, no file grows without
// saying why, no host of a registry or mirror is written anywhere.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "./testing/build.ts";

/** Left to right: a room may import itself and what stands to its right. Files directly in src/ are the room "library". */
const ROOMS = [
  ["cli", "web"],
  ["library"],
  ["audit", "model"],
  ["report"],
  ["host"],
  ["kernel"],
  ["mshare"],
  ["mm"],
  ["machine"],
  ["wasm"],
  ["base"],
];
const NODE_OR_DOM = ["cli", "web", "library", "audit", "model", "host", "testing"];
const MAX_LINES = 500;

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path !== "");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const sources = files.filter((path) => /^(src|bench|tools|docs|guest)\/.*\.(ts|mjs)$/.test(path));

const roomOf = (path: string): string => {
  const [, room, rest] = path.split("/");
  return rest === undefined ? "library" : room;
};
const rank = (room: string): number => ROOMS.findIndex((rooms) => rooms.includes(room));

/** What a file imports, types and dynamic imports included. */
const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]);

describe("imports", () => {
  const own = sources.filter(
    (path) => path.startsWith("src/") && !path.includes("/testing/") && !path.endsWith(".test.ts"),
  );
  test("go from left to right, and never between neighbours", () => {
    const wrong: string[] = [];
    for (const path of own) {
      const from = roomOf(path);
      expect(rank(from), `${path}: src/${from} is no room`).toBeGreaterThanOrEqual(0);
      for (const name of importsOf(path).filter((name) => name.startsWith("."))) {
        const target = normalize(join(dirname(path), name));
        const to = target.startsWith("src/") ? roomOf(target) : target;
        if (to !== from && rank(to) <= rank(from)) wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });
  test("of Node's modules are only where the host is known", () => {
    const wrong = own.filter(
      (path) => !NODE_OR_DOM.includes(roomOf(path)) && importsOf(path).some((name) => name.startsWith("node:")),
    );
    expect(wrong).toEqual([]);
  });
  test("name files with their extension", () => {
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter((name) => name.startsWith(".") && !/\.(ts|mjs|js|json)$/.test(name))
        .map((name) => `${path}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe("files", () => {
  test("open with a comment that says what they are", () => {
    const comments = { ts: /^\/\//, mjs: /^\/\//, js: /^\/\//, c: /^\/[/*]/, h: /^\/[/*]/, sh: /^#/ };
    const wrong = files.filter((path) => {
      const opening = comments[/\.(\w+)$/.exec(path)?.[1] as keyof typeof comments];
      if (opening === undefined) return false;
      const text = read(path).replace(/^#!.*\n/, "");
      return !opening.test(text);
    });
    expect(wrong).toEqual([]);
  });
  test(`above ${MAX_LINES} lines say why in their opening lines`, () => {
    const wrong = sources.filter((path) => {
      const text = read(path);
      const header = /^(\/\/.*\n)+/.exec(text)?.[0] ?? "";
      return text.split("\n").length > MAX_LINES && !/one (file|table|list|switch)|long because/i.test(header);
    });
    expect(wrong).toEqual([]);
  });
  test("name no registry and no mirror", () => {
    const hosts =
      /\b(deb|ftp|registry|snapshot|archive|security|packages)\.[a-z.]*(debian|ubuntu|npmjs)\.(org|com|net)\b/;
    const wrong = files.filter(
      (path) =>
        path !== "package-lock.json" && /\.(ts|mjs|js|md|sh|json|c|h|yml)$|run$/.test(path) && hosts.test(read(path)),
    );
    expect(wrong).toEqual([]);
  });
  test("keep module state out: no top-level let", () => {
    const wrong = sources.filter(
      (path) => path.startsWith("src/") && !path.endsWith(".test.ts") && /^(export )?let /m.test(read(path)),
    );
    expect(wrong).toEqual([]);
  });
});
