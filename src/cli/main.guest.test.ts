// The command as people use it, in a process of its own: streams and statuses pass through, and what is wrong gets one clear line.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  copyFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleCommand } from "../testing/command.ts";
import { ROOT, buildGuest, hasCommand, skipReason, titled } from "../testing/build.ts";

const MAIN = await bundleCommand();

const mshare = (
  args: string[],
  input: string | Uint8Array = "",
): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [MAIN, ...args], { input, encoding: "utf8", cwd: ROOT });

/** A program that does what its first argument says. */
const PROGRAM = `
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((noinline)) long sum_up(volatile int *p, long n) { long sum = 0; while (n--) sum += *p; return sum; }
static void on_signal(int signo) { printf("signal %d\\n", signo); fflush(stdout); _exit(3); }
int main(int argc, char **argv) {
	if (!strcmp(argv[1], "exit")) return atoi(argv[2]);
	if (!strcmp(argv[1], "kill")) { raise(atoi(argv[2])); return 0; }
	if (!strcmp(argv[1], "both")) { write(1, "out\\n", 4); write(2, "err\\n", 4); return 0; }
	if (!strcmp(argv[1], "args")) { for (int i = 0; i < argc; i++) printf("[%s]", argv[i]); puts(""); return 0; }
	if (!strcmp(argv[1], "env")) { char *v = getenv(argv[2]); puts(v ? v : "(none)"); return 0; }
	if (!strcmp(argv[1], "cat")) { char b[999]; long n; while ((n = read(0, b, sizeof b)) > 0) write(1, b, n); return n != 0; }
	if (!strcmp(argv[1], "one")) { char c; return read(0, &c, 1) == 1 ? c : 1; }
	if (!strcmp(argv[1], "yes")) { for (;;) if (write(1, "y\\n", 2) != 2) return errno; }
	if (!strcmp(argv[1], "file")) { FILE *f = fopen(argv[2], "r"); char b[99] = ""; if (!f) return 1; fgets(b, 99, f); fputs(b, stdout); return 0; }
	if (!strcmp(argv[1], "write")) { FILE *f = fopen(argv[2], "w"); if (!f) { perror(argv[2]); return 1; } fputs("written", f); return 0; }
	if (!strcmp(argv[1], "sum")) { int one = 1; printf("%p\\n", (void *)sum_up); long sum = 0; for (int i = 0; i < 30000; i++) sum += sum_up(&one, 100); return sum != 3000000; }
	if (!strcmp(argv[1], "spin")) { puts("ready"); fflush(stdout); for (;;) ; }
	if (!strcmp(argv[1], "wait")) { signal(SIGINT, on_signal); puts("ready"); fflush(stdout); for (;;) pause(); }
	return 99;
}
`;

describe.skipIf(skipReason())(titled("mshare run"), () => {
  let program = "";
  let directory = "";
  beforeAll(() => {
    program = buildGuest(PROGRAM);
    directory = mkdtempSync(join(tmpdir(), "mshare-cli-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("passes streams through, byte for byte", () => {
    const bytes = new Uint8Array(200_000).map((_, i) => (i * 7) % 251);
    const result = spawnSync(process.execPath, [MAIN, "run", program, "cat"], { input: bytes, cwd: ROOT });
    expect(result.status).toBe(0);
    expect(Buffer.compare(result.stdout, Buffer.from(bytes))).toBe(0);
    expect(mshare(["run", program, "both"])).toEqual(
      expect.objectContaining({ status: 0, stdout: "out\n", stderr: "err\n" }),
    );
  });
  test("passes exit statuses and signals through", () => {
    expect(mshare(["run", program, "exit", "0"]).status).toBe(0);
    expect(mshare(["run", program, "exit", "42"]).status).toBe(42);
    expect(mshare(["run", program, "kill", "9"]).status).toBe(137);
    expect(mshare(["run", program, "kill", "11"]).status).toBe(139);
  });
  test("gives the program its arguments, options among them", () => {
    const { stdout } = mshare(["run", "--harts", "2", program, "args", "--harts", "-x", "--", "a b", "ü"]);
    expect(stdout).toBe(`[${program}][args][--harts][-x][--][a b][ü]\n`);
  });
  test("sets the environment", () => {
    expect(mshare(["run", "--env", "A=one", "--env", "B=two", program, "env", "B"]).stdout).toBe("two\n");
    expect(mshare(["run", program, "env", "MSHARE_NOT_THERE"]).stdout).toBe("(none)\n");
  });
  test("reads no more of a file than the program does", () => {
    const file = join(directory, "input");
    writeFileSync(file, "AB");
    const node = [process.execPath, MAIN].map((word) => `'${word}'`).join(" ");
    const script = `{ ${node} run '${program}' one; echo $?; cat; } <'${file}'`;
    expect(spawnSync("sh", ["-c", script], { encoding: "utf8", cwd: ROOT }).stdout).toBe("65\nB");
  });
  test("ends with SIGPIPE when nobody reads", () => {
    const node = [process.execPath, MAIN].map((word) => `'${word}'`).join(" ");
    const script = `{ ${node} run '${program}' yes; echo $? >&2; } | head -n 2`;
    const result = spawnSync("sh", ["-c", script], { encoding: "utf8", cwd: ROOT });
    expect(result).toMatchObject({ stdout: "y\ny\n", stderr: "141\n" });
  });
  test("mounts directories: read-only, or not", () => {
    writeFileSync(join(directory, "file"), "from the host\n");
    expect(mshare(["run", "--mount", `${directory}:/data`, program, "file", "/data/file"]).stdout).toBe(
      "from the host\n",
    );
    expect(mshare(["run", "--mount", `${directory}:/data`, program, "write", "/data/new"])).toMatchObject({
      status: 1,
      stderr: "/data/new: Read-only file system\n",
    });
    expect(mshare(["run", "--mount", `${directory}:/data:rw`, program, "write", "/data/new"]).status).toBe(0);
    expect(readFileSync(join(directory, "new"), "utf8")).toBe("written");
  });
  test("finds a program in the guest's tree first", () => {
    mkdirSync(join(directory, "root/bin"), { recursive: true });
    copyFileSync(program, join(directory, "root/bin/tool"));
    chmodSync(join(directory, "root/bin/tool"), 0o755);
    const mount = ["--mount", `${join(directory, "root")}:/`];
    expect(mshare(["run", ...mount, "tool", "exit", "5"]).status).toBe(5);
    expect(mshare(["run", ...mount, "/bin/tool", "exit", "6"]).status).toBe(6);
    expect(mshare(["run", ...mount, program, "exit", "7"]).status).toBe(7);
  });
  test("prints system calls, counters, comparisons", () => {
    expect(mshare(["run", "--strace", program, "exit", "3"]).stderr).toMatch(/^execve|exit_group\(3\)/m);
    expect(mshare(["run", "--stats", program, "exit", "3"]).stderr).toMatch(/minor faults +\S* *\d/);
    const json = JSON.parse(mshare(["run", "--json", program, "exit", "3"]).stderr) as Record<string, number>;
    expect(json).toMatchObject({ status: 3 });
    expect(json.instructions).toBeGreaterThan(1000);
    const both = JSON.parse(mshare(["run", "--compare", "--seed", "1", "--json", program, "exit", "3"]).stderr) as {
      status: number;
      ratio: Record<string, number>;
    };
    expect(both.status).toBe(3);
    expect(both.ratio.instructions).toBe(1);
    const report = join(directory, "report");
    expect(mshare(["run", "--stats", "--report", report, program, "both"]).stderr).toBe("err\n");
    expect(readFileSync(report, "utf8")).toContain("minor faults");
  });
  test("counts what the TLB served", () => {
    const sum = (...options: string[]): Record<string, number> =>
      JSON.parse(mshare(["run", "--seed", "1", "--json", ...options, program, "sum"]).stderr) as Record<string, number>;
    const { memoryAccesses, tlbHits, tlbMisses } = sum();
    expect(memoryAccesses).toBeGreaterThan(3_000_000);
    expect(memoryAccesses).toBeLessThan(3_100_000);
    expect(memoryAccesses - tlbHits).toBeLessThan(tlbMisses);
    expect(sum("--engine", "interpreter")).toMatchObject({ memoryAccesses, tlbHits, tlbMisses });
    const table = mshare(["run", "--stats", program, "sum"]).stderr;
    expect(table).toMatch(/hit rate of loads and stores +\S +99\.99\d* %/);
  });
  test("shows where the time goes, and what became of the code there", () => {
    const file = join(directory, "profile.json");
    const { stdout } = mshare(["run", "--seed", "1", "--profile", file, program, "sum"]);
    expect(readFileSync(file, "utf8")).toContain('"sum_up"');
    const dump = mshare(["run", "--dump-region", stdout.trim(), program, "sum"]).stderr;
    expect(dump).toMatch(/lw a\d,0\(a\d\)/);
    expect(dump).toContain("i32.load");
    expect(mshare(["run", "--dump-region", "0x10", program, "exit", "0"]).stderr).toBe(
      "mshare: 0x10 is in no code that was compiled, which is what has run often; none was\n",
    );
  });
  test("waits for a slow reader of what it says", () => {
    const input = join(directory, "input");
    writeFileSync(input, new Uint8Array(2 ** 20).fill(65));
    const trace = (to: string): number => {
      const command = `"${process.execPath}" "${MAIN}" run --seed 1 --strace "${program}" cat <"${input}" ${to}`;
      return Number(spawnSync("sh", ["-c", command], { encoding: "utf8", cwd: ROOT }).stdout);
    };
    const whole = trace("2>&1 >/dev/null | wc -c");
    // More than a pipe holds.
    expect(whole).toBeGreaterThan(2 ** 16);
    expect(trace("2>&1 >/dev/null | (sleep 0.5; wc -c)")).toBe(whole);
  });
  test("gives --compare's second run the same input", () => {
    const result = mshare(["run", "--compare", "--seed", "1", program, "cat"], "some input\n");
    expect(result.stdout).toBe("some input\n");
    expect(result.stderr).toContain("private / shared");
  });

  test("Ctrl-C reaches the program; one that ignores nothing is ended by it", async () => {
    const interrupt = (args: string[]): Promise<{ code: number | null; output: string }> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [MAIN, "run", program, ...args], {
          cwd: ROOT,
          stdio: ["ignore", "pipe", "inherit"],
        });
        let output = "";
        child.stdout.on("data", (data: Buffer) => {
          output += data.toString();
          if (output === "ready\n") child.kill("SIGINT");
        });
        child.on("close", (code) => resolve({ code, output }));
      });
    expect(await interrupt(["wait"])).toEqual({ code: 3, output: "ready\nsignal 2\n" });
    expect(await interrupt(["spin"])).toEqual({ code: 130, output: "ready\n" });
  });

  describe("says in one line what is wrong with a program", () => {
    const failsWith = (args: string[], status: number, message: string | RegExp): void => {
      const result = mshare(args);
      expect(result.stderr).toMatch(message);
      expect(result.stderr.trim().split("\n")).toHaveLength(1);
      expect(result.stderr).toMatch(/^mshare: /);
      expect(result.stdout).toBe("");
      expect(result.status).toBe(status);
    };
    const file = (name: string, contents: string | Uint8Array): string => {
      const path = join(directory, name);
      writeFileSync(path, contents, { mode: 0o755 });
      return path;
    };
    test("missing, a directory, no program", () => {
      failsWith(["run", "/no/such/program"], 127, "/no/such/program: no such program");
      failsWith(["run", directory], 126, "is a directory");
      failsWith(["run", file("text", "hello\n")], 126, "not a riscv64 program: not an ELF file");
      failsWith(["run", file("empty", "")], 126, "not a riscv64 program: an empty file");
    });
    test("wrong architecture", () => {
      failsWith(["run", process.execPath], 126, /not a riscv64 program: (x86-64|AArch64)/);
    });
    test("truncated and damaged ELF files", () => {
      const short = file("short", readFileSync(program));
      truncateSync(short, 40);
      failsWith(["run", short], 126, "a truncated ELF file of 40 bytes");
      const headers = file("headers", readFileSync(program));
      truncateSync(headers, 100);
      failsWith(["run", headers], 126, "not a riscv64 program: its ELF headers are damaged");
    });
    test("an interpreter that is not there", () => {
      const dynamic = buildGuest(PROGRAM, { dynamic: true });
      failsWith(["run", dynamic, "exit", "0"], 127, "--mount DIRECTORY:/");
      failsWith(["run", file("script", "#!/no/such/sh\n")], 127, "its interpreter");
    });
    test("too little memory for it", () => {
      const big = buildGuest(
        `#include <string.h>\nstatic char data[64 << 20] = { 1 };\nint main(void) { return memchr(data, 2, sizeof data) != 0; }`,
      );
      failsWith(["run", "--memory", "16M", big], 1, /too big for the guest's memory/);
    });
  });
});

describe("the command line", () => {
  test.each([
    [["run"], "missing required argument 'program'"],
    [["run", "--no-such-option", "x"], "unknown option '--no-such-option'"],
    [["no-such-command"], "unknown command 'no-such-command'"],
    [["run", "--memory", "4M", "x"], "Too little: at least 8M are needed"],
    [["run", "--memory", "5G", "x"], "Too much: at most 3.5G are possible"],
    [["run", "--memory", "lots", "x"], "A size is a number with K, M or G behind it"],
    [["run", "--harts", "65", "x"], "1 to 64 are possible"],
    [["run", "--tlb-neighbours", "513", "x"], "1 to 512 are possible"],
    [["run", "--harts"], "argument missing"],
    [["run", "--engine", "steam", "x"], "Allowed choices are"],
    [["run", "--mount", "/no/such:/x", "x"], "There is no directory /no/such"],
    [["run", "--env", "=x", "x"], "An environment variable is NAME=VALUE"],
    [["run", "--compare", "--no-share", "x"], "it cannot be with --no-share"],
    [["demo", "many"], "many: a number is wanted here"],
  ])("mshare %j", (args, message) => {
    const { status, stdout, stderr } = mshare(args);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^mshare: .*\n$/);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });
  test("--help and --version", () => {
    expect(mshare(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { status, stdout } = mshare(["--help"]);
    expect(status).toBe(0);
    for (const name of ["run", "demo"]) expect(stdout).toContain(name);
    expect(mshare(["run", "--help"]).stdout).toContain("--compare");
  });
});

describe("a terminal", () => {
  test.skipIf(!hasCommand("script") || skipReason())("is the program's: its size, its line discipline, Ctrl-C", () => {
    const source = `
#include <stdio.h>
#include <unistd.h>
int main(void) { char b[99]; long n = read(0, b, 99); printf("tty %d, read %ld\\n", isatty(0) && isatty(1), n); return 0; }
`;
    const node = [process.execPath, MAIN].map((word) => `'${word}'`).join(" ");
    const result = spawnSync("script", ["-qec", `${node} run '${buildGuest(source)}'`, "/dev/null"], {
      input: "hello\r",
      encoding: "utf8",
      cwd: ROOT,
    });
    expect(result.stdout).toContain("tty 1, read 6");
    expect(result.status).toBe(0);
  });
});
