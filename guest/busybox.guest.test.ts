// Debian's busybox-static on our kernel: guest/tests/busybox.sh prints what it printed on riscv64 Linux 6.12 (busybox.expected; made with
// bench/on-linux.ts's Linux). Skipped where the package is not in the cache: `node --import tsx tools/debian.ts busybox-static`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../src/testing/build.ts";
import { runGuest } from "../src/testing/guest.ts";
import { packageForTests } from "../tools/debian.ts";

const directory = await packageForTests("busybox-static");
const tests = join(ROOT, "guest/tests");

/** The output by section: a difference then shows where it is. */
const sections = (text: string): Record<string, string> =>
  Object.fromEntries(text.split(/^== /m).map((section) => [section.split("\n")[0], section]));

describe.skipIf(directory === undefined)("busybox", () => {
  test.each([1, 4])("does on our kernel what it does on Linux (%d harts)", async (harts) => {
    const { status, stdout } = await runGuest(join(directory!, "usr/bin/busybox"), {
      args: ["sh", "/bin/start"],
      harts,
      memory: 128 * 2 ** 20,
      files: {
        "/bin/run-script": readFileSync(join(tests, "busybox.sh")),
        "/bin/start": "busybox --install -s /bin\nexec sh /bin/run-script 2>&1\n",
      },
    });
    expect(sections(stdout)).toEqual(sections(readFileSync(join(tests, "busybox.expected"), "utf8")));
    expect(status).toBe(0);
  });
});
