// What is asked of V8, in a process of its own.
import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ROOT } from "../testing/build.ts";
import { I32, ModuleBuilder, op } from "../wasm/assembler.ts";
import { canStayUnoptimized } from "./v8.ts";

const NODE = ["--import", "tsx", "--input-type=module", "-e"];
const OPTIONS = { cwd: ROOT, encoding: "utf8" } as const;

/** Runs a module of this project's in a process of its own; its output. */
const inProcess = (script: string): string => execFileSync(process.execPath, [...NODE, script], OPTIONS);

/** A module with a function `f` that counts to a million: more than V8 lets one do before it optimizes it. */
function counter(): string {
  const builder = new ModuleBuilder(1);
  builder.function({ parameters: [], results: [] }, "f", (code) => {
    const i = code.local(I32);
    const again = code.loop();
    code.get(i).i32(1).op(op.i32Add).tee(i).i32(1_000_000).op(op.i32LtU).brIf(again).end();
  });
  return Buffer.from(builder.finish()).toString("hex");
}

test.skipIf(process.platform !== "linux")(
  "V8's threads give way to the main one, and those that come later do not",
  () => {
    const script = `
    import { readdirSync, promises } from "node:fs";
    import { getPriority } from "node:os";
    import { optimizeInBackground } from "./src/host/v8.ts";
    const before = readdirSync("/proc/self/task");
    optimizeInBackground();
    await promises.readFile("package.json");
    const later = readdirSync("/proc/self/task").filter((thread) => !before.includes(thread));
    const own = getPriority();
    const others = before.map(Number).filter((thread) => thread !== process.pid);
    console.log(JSON.stringify({ own, others: others.map((t) => getPriority(t)), later: later.map((t) => getPriority(Number(t))) }));
  `;
    const { own, others, later } = JSON.parse(inProcess(script)) as { own: number; others: number[]; later: number[] };
    expect(others.length).toBeGreaterThan(0);
    expect(Math.min(...others)).toBe(Math.max(10, own));
    expect(later.every((nice) => nice === own)).toBe(true);
  },
);

test.skipIf(!canStayUnoptimized)(
  "a module is optimized only if it is compiled so, though V8 has seen the same one before",
  () => {
    const script = `
    import { setFlagsFromString } from "node:v8";
    import { setTimeout } from "node:timers/promises";
    import { compileOptimized, compileUnoptimized } from "./src/host/v8.ts";
    setFlagsFromString("--allow-natives-syntax");
    const isBaseline = new Function("f", "return %IsLiftoffFunction(f)");
    const bytes = Uint8Array.from(Buffer.from("${counter()}", "hex"));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const seen = [];
    for (const compile of [compileUnoptimized, compileOptimized]) {
      const { f } = new WebAssembly.Instance(compile(bytes), { e: { memory } }).exports;
      for (let i = 0; i < 100 && (i < 10 || isBaseline(f)); i++) {
        f();
        await setTimeout(10);
      }
      seen.push(isBaseline(f));
    }
    console.log(JSON.stringify(seen));
  `;
    expect(JSON.parse(inProcess(script))).toEqual([true, false]);
  },
);

test("V8 knows the flags that are set, or would say so", () => {
  const script = `
    import { allowBranchHints, allowRelaxedMultiplyAdd, inlineLess } from "./src/host/v8.ts";
    for (const set of [allowBranchHints, allowRelaxedMultiplyAdd, inlineLess]) set();
  `;
  expect(spawnSync(process.execPath, [...NODE, script], OPTIONS)).toMatchObject({ status: 0, stderr: "" });
});
