// The library as docs/library.md shows it, with programs compiled for the guest.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Deadlock, Machine, MachineError } from "./index.ts";
import { buildGuest, runGuest, skipReason, titled } from "./testing/guest.ts";

const MIB = 2 ** 20;
/** Where Debian's libc6-riscv64-cross has ld.so and the C library. */
const CROSS_LIBC = "/usr/riscv64-linux-gnu/lib";

const HELLO = `
#include <stdio.h>
int main(int argc, char **argv) { printf("hello %s\\n", argc > 1 ? argv[1] : "nobody"); fprintf(stderr, "done\\n"); return argc; }
`;
const POOL = `
#include <mshare.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
/* pool WORKERS MIB: a region that each worker goes through */
int main(int argc, char **argv) {
	size_t size = (size_t)atoi(argv[2]) << 20;
	int fd = mshare_create(0);
	struct mshare_map map = { .size = size, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	if (fd < 0 || ftruncate(fd, size) || mshare_map(fd, &map, sizeof map) < 0) return 1;
	for (int i = 0; i < atoi(argv[1]); i++) {
		if (fork() == 0) {
			char *p = mshare_attach(fd, 0, 0, NULL, 0);
			if (p == MAP_FAILED) _exit(2);
			for (size_t at = 0; at < size; at += 4096) p[at]++;
			_exit(0);
		}
	}
	int status, failed = 0;
	while (wait(&status) > 0) failed |= status;
	return failed != 0;
}
`;
const TERMINAL = `
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
static void on_signal(int signo) { printf("signal %d\\n", signo); fflush(stdout); _exit(0); }
int main(void) {
	struct winsize size;
	char line[99];
	signal(SIGINT, on_signal);
	ioctl(0, TIOCGWINSZ, &size);
	printf("%d by %d\\n", size.ws_col, size.ws_row);
	while (fgets(line, sizeof line, stdin)) printf("got %s", line);
	return 1;
}
`;

describe.skipIf(skipReason())(titled("Machine"), () => {
  let hello = "";
  beforeAll(() => {
    hello = buildGuest(HELLO);
  });

  test("runs a program and gives what it printed", async () => {
    const machine = new Machine({ memory: 64 * MIB });
    const { status, signal, stdout, stderr, stats } = await machine.run(hello, ["world"]);
    expect({ status, signal, stdout, stderr }).toEqual({
      status: 2,
      signal: null,
      stdout: "hello world\n",
      stderr: "done\n",
    });
    expect(stats.instructions).toBeGreaterThan(1000);
    expect(stats.memoryBytes).toBeLessThanOrEqual(64 * MIB);
  });
  test("runs one after the other, gives each its own output and leaks nothing", async () => {
    const machine = new Machine({ memory: 64 * MIB, verify: true });
    expect((await machine.run(hello, ["one"])).stdout).toBe("hello one\n");
    const { usedBytes } = machine.counters();
    for (const name of ["two", "three"]) expect((await machine.run(hello, [name])).stdout).toBe(`hello ${name}\n`);
    expect(machine.counters().usedBytes).toBe(usedBytes);
    expect(machine.counters().tableBytes).toBe(0);
    machine.verify();
  });
  test("machines do not know of each other", async () => {
    const machines = [1, 2, 3].map(() => new Machine({ memory: 32 * MIB }));
    const results = await Promise.all(machines.map((machine, i) => machine.run(hello, [`${i}`])));
    expect(results.map((result) => result.stdout)).toEqual(["hello 0\n", "hello 1\n", "hello 2\n"]);
  });
  test("the same seed gives the same run, to the instruction", async () => {
    const pool = buildGuest(POOL);
    const run = async (seed: number) => {
      const machine = new Machine({ memory: 64 * MIB, harts: 3, seed });
      const { status, stats } = await machine.run(pool, ["5", "4"]);
      return { status, ...stats, wallMs: 0, compileMs: 0 };
    };
    const first = await run(7);
    expect(first.status).toBe(0);
    expect(await run(7)).toEqual(first);
  });
  test("compares shared with private tables", async () => {
    const pool = buildGuest(POOL);
    const run = async (share: boolean) =>
      (await runGuest(pool, { args: ["16", "8"], share, seed: 1, verify: false })).stats;
    const [shared, separate] = [await run(true), await run(false)];
    expect(separate.tableBytesPeak / shared.tableBytesPeak).toBeGreaterThan(1);
    // Each of the 15 that come after the first reads 128 times 64 KiB (fault-around), or not at all.
    expect(separate.minorFaults - shared.minorFaults).toBeGreaterThan(15 * 120);
    expect(shared.links).toBe(16);
  });
  test("has a conversation with a terminal: line discipline, window size, Ctrl-C", async () => {
    const machine = new Machine({ terminal: { columns: 80, rows: 24 }, stdin: ["hello\n", "helo\x7flo\n", "\x03"] });
    const { status, stdout } = await machine.run(buildGuest(TERMINAL));
    // What is typed is echoed as it comes, DEL rubs out, Ctrl-C is shown as ^C.
    expect(stdout).toBe("80 by 24\r\n" + "hello\r\ngot hello\r\n" + "helo\b \blo\r\ngot hello\r\n" + "^Csignal 2\r\n");
    expect(status).toBe(0);
  });
  test.skipIf(!existsSync(CROSS_LIBC))("runs what is linked dynamically, with a host directory as /lib", async () => {
    const machine = new Machine({ memory: 64 * MIB, verify: true, mounts: [{ host: CROSS_LIBC, guest: "/lib" }] });
    const { status, stdout } = await machine.run(buildGuest(HELLO, { dynamic: true }), ["ld.so"]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "hello ld.so\n" });
  });
  test("ends what a program leaves running", async () => {
    const leaver = buildGuest(`#include <unistd.h>\nint main(void) { if (fork() == 0) for (;;) pause(); return 0; }\n`);
    const machine = new Machine({ memory: 32 * MIB, verify: true });
    expect((await machine.run(leaver)).status).toBe(0);
    expect(machine.kernel.processes.size).toBe(1);
    expect(machine.counters().tableBytes).toBe(0);
  });
  test("says when every process waits for what can never come", async () => {
    const waiter = buildGuest(`#include <unistd.h>\nint main(void) { pause(); return 0; }\n`);
    await expect(new Machine({ memory: 32 * MIB }).run(waiter)).rejects.toThrow(Deadlock);
  });
  test("sends signals", async () => {
    const waiter = buildGuest(`#include <unistd.h>\nint main(void) { write(1, "ready", 5); for (;;) sleep(1); }\n`);
    const machine = new Machine({ memory: 32 * MIB, onStdout: () => machine.signal(15) });
    expect(await machine.run(waiter)).toMatchObject({ status: 143, signal: "SIGTERM" });
  });
  test("takes input, environment, files, a working directory and a program as bytes", async () => {
    const program = buildGuest(`
#include <stdio.h>
#include <stdlib.h>
int main(void) {
	char line[99];
	printf("%s ", getenv("NAME"));
	FILE *f = fopen("notes", "r");
	if (f && fgets(line, 99, f)) printf("%s ", line);
	if (fgets(line, 99, stdin)) printf("%s", line);
	return 0;
}
`);
    const machine = new Machine({ env: { NAME: "value" }, files: { "/data/notes": "contents" }, stdin: "typed" });
    const { stdout } = await machine.run({ name: "reader", data: readFileSync(program) }, [], { cwd: "/data" });
    expect(stdout).toBe("value contents typed");
  });
});

describe("Machine refuses", () => {
  test("what cannot be", () => {
    expect(() => new Machine({ memory: 4 * MIB })).toThrow("too little memory: 4 MiB; at least 8 MiB are needed");
    expect(() => new Machine({ memory: 4096 * MIB })).toThrow(
      "too much memory: 4096 MiB; at most 3584 MiB are possible",
    );
    expect(() => new Machine({ harts: 0 })).toThrow("0 harts: 1 to 64 are possible");
    expect(() => new Machine({ tlbNeighbours: 1.5 })).toThrow("1.5 TLB neighbours: 1 to 512 are possible");
    expect(() => new Machine({ mounts: [{ host: "/no/such", guest: "/x" }] })).toThrow(
      "cannot mount /no/such: no such directory",
    );
  });
  test("programs that are none", async () => {
    const directory = mkdtempSync(join(tmpdir(), "mshare-index-"));
    afterAll(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, "text"), "hello");
    const machine = new Machine({ memory: 16 * MIB });
    await expect(machine.run(join(directory, "text"))).rejects.toThrow(MachineError);
    await expect(machine.run(join(directory, "nothing"))).rejects.toMatchObject({ exitStatus: 127 });
    await expect(machine.run("x", [], { cwd: "/no/such" })).rejects.toThrow(MachineError);
  });
});
