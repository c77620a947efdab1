// The rewriting of the bundle: a program in which each case occurs does the same before and after, and iterates by the protocol where it must.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import ts from "typescript";
import { createLowering } from "./lower.mjs";

const directory = mkdtempSync(join(tmpdir(), "mshare-lower-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The text as it gets into the bundle. */
function lowered(text: string): string {
  mkdirSync(join(directory, "src"), { recursive: true });
  const path = join(directory, "src/sample.ts");
  writeFileSync(path, text);
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { target: "ES2023", strict: true, types: [] }, include: ["src"] }),
  );
  return createLowering(join(directory, "tsconfig.json"))(path)!;
}

/** What a program pushes to `out`. */
function run(text: string): unknown[] {
  const { outputText } = ts.transpileModule(`${text}\nreturn out;`, {
    compilerOptions: { target: ts.ScriptTarget.ES2023 },
  });
  return new Function(outputText)() as unknown[];
}

const PROGRAM = `const out: unknown[] = [];
  const numbers = [3, 1, 2], pairs: [string, number][] = [["a", 1], ["b", 2]];
  const map = new Map(pairs);
  for (const n of numbers) out.push(n);
  for (let n of numbers) { n *= 2; if (n === 2) continue; out.push(n); }
  for (const n of [1, 2]) for (const m of numbers) if (m > n) out.push([n, m]); else out.push(-m);
  const queue = [5]; for (const n of queue) { out.push(n); if (n > 0) queue.push(n - 1); }
  for (const [name, n] of pairs) out.push(name, n);
  for (const [, n] of map) out.push(n);
  for (const { length } of numbers.map((n) => "x".repeat(n))) out.push(length);
  outer: for (const n of numbers) for (const m of numbers) { if (m === 2) continue outer; out.push(() => [n, m]); }
  for (const byte of new Uint8Array([7, 8])) out.push(byte);
  for (const c of "h\u{1f600}i") out.push(c);
  for (const x of new Set(numbers)) out.push(x);
  const [first, second] = numbers, [one, two] = [first + second, second];
  const [, , third, none] = numbers as number[];
  let [low, high] = [1, 2];
  out.push(first, second, one, two, third, none);
  [low, high] = [high, low];
  out.push(low, high);
  const o = { at: 0, list: [0, 0] };
  [o.at, o.list[o.at]] = [1, 9];
  out.push(o.at, o.list.join());
  [low, high] = numbers;
  out.push(low, high);
  const [rest, ...more] = numbers, [given = 4] = [] as number[];
  out.push(rest, more, given);
  for (const n of [1].flatMap((x) => { const all = []; for (const y of numbers) all.push(x + y); return all; })) out.push(n);
  for (const i = 0, list = [10]; ;) { out.push(list[i]); break; }
`;

test("does what it did", () => {
  const called = (values: unknown[]): unknown[] =>
    values.map((v) => (typeof v === "function" ? (v as () => unknown)() : v));
  const before = called(run(PROGRAM));
  expect(before.length).toBe(59);
  expect(called(run(lowered(PROGRAM)))).toEqual(before);
});

test("only what is no array is iterated", () => {
  const loops = lowered(PROGRAM).match(/ of [^)]*/g);
  expect(loops).toEqual([" of map", ' of "h\u{1f600}i"', " of new Set(numbers"]);
  expect(lowered("const [a, b] = [1, 2];\nfor (const x of [a, b])\n  x;\n")).toBe(
    "const a = 1, b = 2;\nfor (let $0 = 0, $1 = [a, b]; $0 < $1.length; $0++)\n  { const x = $1[$0]; x; }\n",
  );
});
