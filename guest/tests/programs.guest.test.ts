// Every program here that has a NAME.expected beside it — what it prints on riscv64 Linux 6.12, recorded with tools of the same name — must print the
// same on our kernel, on one hart and on three, with memory recounted as it runs, and leave no page or table behind.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, buildGuest, skipReason } from "../../src/testing/guest.ts";
import { Machine } from "../../src/index.ts";

const skip = skipReason();
if (skip !== false) console.warn(`guest programs skipped: ${skip}`);

const directory = join(ROOT, "guest/tests");
const expectedOf = (source: string): string => join(directory, source.replace(/\.c$/, ".expected"));
const programs = readdirSync(directory).filter((name) => name.endsWith(".c") && existsSync(expectedOf(name)));

/** Bytes of memory for programs that need more than 128 MiB: two whole GiB. */
const MEMORY: Readonly<Record<string, number>> = { "hugetlb-gigantic.c": 3 * 2 ** 30 };

describe.skipIf(skip !== false).each([1, 3])("as on Linux, %d hart(s)", (harts) => {
  test.each(programs)("%s", async (source) => {
    const machine = new Machine({ memory: MEMORY[source] ?? 128 * 2 ** 20, harts, verify: true });
    const program = { name: source.slice(0, -2), data: readFileSync(buildGuest(join(directory, source))) };
    const { stdout, stderr } = await machine.run(program);
    // The kernel's own word on a kill in a memory group is not the program's.
    const other = stderr.replace(/^mshare: memory cgroup out of memory: killed process .*\n/gm, "");
    expect({ stdout, stderr: other }).toEqual({ stdout: readFileSync(expectedOf(source), "utf8"), stderr: "" });
    // Nothing runs any more: what is left are files. A frame that nobody refers to fails the recount.
    const { memory } = machine.kernel;
    memory.verify();
    expect(memory.usage()).toMatchObject({ anon: 0, tables: 0 });
  });
});
