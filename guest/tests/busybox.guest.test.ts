// Debian's busybox (busybox-static of trixie, fetched by tools/debian.ts) runs shell scripts here as on Linux: each busybox/NAME.sh prints what
// NAME.expected holds, which riscv64 Linux 6.12 printed (`SCRIPT=NAME.sh on-linux`). stdout and stderr go to one place, as on its console.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Machine } from "../../src/index.ts";
import { packageForTests } from "../../tools/debian.ts";

const SCRIPTS = join(import.meta.dirname, "busybox");
/** What on-linux does before it runs a script. */
const START = "busybox --install -s /bin; export PATH=/bin; exec sh /bin/run-script";

const busybox = await packageForTests("busybox-static");

describe.skipIf(busybox === undefined)("busybox (skipped where Debian's package cannot be fetched)", () => {
  const names = readdirSync(SCRIPTS).filter((name) => name.endsWith(".sh"));
  test.each(names)("%s prints what it prints on Linux", async (name) => {
    const read = (file: string): Uint8Array => readFileSync(join(SCRIPTS, file));
    let output = "";
    const decoder = new TextDecoder();
    const take = (bytes: Uint8Array): void => {
      output += decoder.decode(bytes, { stream: true });
    };
    const machine = new Machine({
      memory: 256 * 2 ** 20,
      seed: 1,
      env: { PATH: "/bin", HOME: "/" },
      files: {
        "/bin/busybox": readFileSync(join(busybox!, "usr/bin/busybox")),
        "/bin/run-script": read(name),
      },
      onStdout: take,
      onStderr: take,
    });
    await machine.run("/bin/busybox", ["sh", "-c", START]);
    machine.verify();
    expect(output).toBe(new TextDecoder().decode(read(name.replace(/sh$/, "expected"))));
  });
});
