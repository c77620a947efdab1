// What is asked of V8, in a process of its own.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../testing/build.ts";

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
    const args = ["--import", "tsx", "--input-type=module", "-e", script];
    const output = execFileSync(process.execPath, args, { cwd: join(ROOT), encoding: "utf8" });
    const { own, others, later } = JSON.parse(output) as { own: number; others: number[]; later: number[] };
    expect(others.length).toBeGreaterThan(0);
    expect(Math.min(...others)).toBe(Math.max(10, own));
    expect(later.every((nice) => nice === own)).toBe(true);
  },
);
