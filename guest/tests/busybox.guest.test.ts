// Debian's busybox (busybox-static of trixie, fetched by tools/debian.ts) works here as on Linux. Each busybox/NAME.sh prints what NAME.expected
// holds, which riscv64 Linux 6.12 printed (`SCRIPT=NAME.sh on-linux`); stdout and stderr go to one place, as on its console. busybox/tty-shell.c
// types at an interactive shell on a pseudo-terminal (`on-linux tty-shell`). And a shell on the machine's own terminal.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { Machine, type MachineOptions } from "../../src/index.ts";
import { buildGuest, crossCompiler } from "../../src/testing/build.ts";
import { packageForTests } from "../../tools/debian.ts";

const SCRIPTS = join(import.meta.dirname, "busybox");
/** What on-linux does before it runs a program. */
const START = "busybox --install -s /bin; export PATH=/bin; exec ";
const busybox = await packageForTests("busybox-static");
const read = (file: string): Uint8Array => readFileSync(join(SCRIPTS, file));
const expected = (name: string): string => new TextDecoder().decode(read(`${name}.expected`));

/** Runs `command` in busybox's shell, `files` in /bin beside it; gives all that it prints. */
async function shell(
  command: string,
  files: Record<string, Uint8Array>,
  options: MachineOptions = {},
): Promise<{ output: string; status: number }> {
  let output = "";
  const decoder = new TextDecoder();
  const take = (bytes: Uint8Array): void => {
    output += decoder.decode(bytes, { stream: true });
  };
  const machine = new Machine({
    memory: 256 * 2 ** 20,
    seed: 1,
    env: { PATH: "/bin", HOME: "/", PS1: "$ ", TERM: "dumb" },
    files: { "/bin/busybox": readFileSync(join(busybox!, "usr/bin/busybox")), ...files },
    onStdout: take,
    onStderr: take,
    ...options,
  });
  const { status } = await machine.run("/bin/busybox", ["sh", "-c", START + command]);
  machine.verify();
  return { output, status };
}

describe.skipIf(busybox === undefined)("busybox (skipped where Debian's package cannot be fetched)", () => {
  const scripts = readdirSync(SCRIPTS).filter((name) => name.endsWith(".sh"));
  test.each(scripts)("%s prints what it prints on Linux", async (name) => {
    const { output } = await shell("sh /bin/run-script", { "/bin/run-script": read(name) });
    expect(output).toBe(expected(basename(name, ".sh")));
  });

  test.skipIf(crossCompiler() === undefined)("an interactive shell on a pseudo-terminal", async () => {
    const driver = readFileSync(buildGuest(join(SCRIPTS, "tty-shell.c"), { flags: ["-Wno-unused-result"] }));
    const { output } = await shell("/bin/driver", { "/bin/driver": driver });
    expect(output).toBe(expected("tty-shell"));
  });

  // Each piece of input comes when the guest has nothing else to do.
  const keys = async (...stdin: string[]): Promise<{ output: string; status: number }> => {
    const { output, status } = await shell("sh -i", {}, { stdin, terminal: { columns: 80, rows: 24 } });
    // Without what line editing asks of a terminal, and carriage returns.
    return { output: output.replaceAll("\x1b[6n", "").replaceAll("\r", ""), status };
  };
  test("^C ends the foreground job of the console's shell, not the shell", async () => {
    const { output, status } = await keys("cat\r", "\x03", "echo status $?\r", "exit 5\r");
    expect(output).toContain("$ cat\n^C\n$ echo status $?\nstatus 130\n$ exit 5\n");
    expect(status).toBe(5);
  });
  test("^Z stops the job, fg goes on with it", async () => {
    const { output } = await keys("cat\r", "\x1a", "jobs\r", "fg\r", "a line\r", "\x04", "exit\r");
    expect(output).toContain("$ cat\n^Z[1]+  Stopped");
    expect(output).toContain("$ fg\ncat\na line\na line\n$ exit\n");
  });
  test("the terminal has the size that the host says; ^D ends the shell", async () => {
    const { output, status } = await keys("stty size; tty\r", "\x04");
    expect(output).toContain("24 80\n/dev/console\n");
    expect(status).toBe(0);
  });
});
