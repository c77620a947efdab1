// The audit on this very host: against VmPTE, against programs whose tables follow from first principles, against PostgreSQL; its page in a browser, its metrics
// in Prometheus's own parser. What a machine lacks is skipped with a reason.
//
// VmPTE counts tables that hold nothing any more, too. Reclaim and programs that give pages back leave them behind: 2 to 8 % of the tables of Node
// processes a minute old. So what happens to run here proves nothing; compared are programs of our own, whose pages are locked, and to the table.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeProc } from "../host/node-proc.ts";
import { seedsOf } from "../testing/seeds.ts";
import { type AuditOptions, auditHost } from "./audit.ts";
import { auditHtml } from "./html.ts";
import { auditPrometheus } from "./prometheus.ts";
import type { AuditResult } from "./result.ts";

const TABLE = 4096;
const CHROMIUM = "/usr/bin/chromium";
const POSTGRES = ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin"].find((path) =>
  existsSync(join(path, "postgres")),
);
const canReadPagemap = process.platform === "linux" && process.getuid?.() === 0;
const has = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

/**
 * `sharers N`: N processes share 64 MiB of anonymous memory that lies alone in its 512 GiB. `maze SEED`: two processes with sixty mappings of all kinds, at random
 * places, read or written here and there, with holes. `truncated`: 64 MiB of a file that was mapped, read and then cut off.
 */
const PROGRAM = `
#define _GNU_SOURCE
#include <sys/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define PAGE 4096UL
#define MIB (1UL << 20)
#define GIB (1UL << 30)
#define SLOT (2 * MIB)
static char *const alone = (char *)0x200000000000;

/* A child of fork has to do it again. */
static void lock_pages(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		perror("mlockall");
}

static void sharers(int count)
{
	size_t size = 64 * MIB;
	char *pool = mmap(alone, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(pool, size, MADV_NOHUGEPAGE);
	for (int i = 1; i < count; i++)
		if (fork() == 0)
			break;
	lock_pages();
	for (size_t at = 0; at < size; at += PAGE)
		pool[at] = 1;
}

static unsigned long state;
static unsigned long below(unsigned long n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % n;
}

static void touch(volatile char *page, int writing)
{
	if (writing)
		*page = 1;
	else
		(void)*page;
}

/* The first and the last page are touched, so that what is unmapped of the middle leaves no table behind that a neighbour keeps. */
static void one_mapping(int file)
{
	static const int kinds[] = { MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED };
	int kind = kinds[below(4)], writing = below(2);
	size_t pages = 1 + below(below(2) ? 16384 : 600), stride = 1 + below(below(2) ? 3 : 1500);
	char *start = alone + below(64) * 100 * GIB + below(8) * 64 * MIB + below(512) * PAGE;
	char *m = mmap(start, pages * PAGE, PROT_READ | PROT_WRITE, kind | MAP_FIXED_NOREPLACE, kind & MAP_ANONYMOUS ? -1 : file, 0);
	if (m == MAP_FAILED)
		return;
	madvise(m, pages * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < pages; i += stride)
		touch(m + i * PAGE, writing);
	touch(m + (pages - 1) * PAGE, writing);
	size_t from = SLOT * (2 + below(3)), slots = 1 + below(3);
	char *hole = (char *)(((unsigned long)m + from) / SLOT * SLOT);
	if (hole + slots * SLOT < m + (pages - 1) * PAGE)
		munmap(hole, slots * SLOT);
	mprotect(m, PAGE, PROT_NONE);
}

static int memory_file(void)
{
	int file = memfd_create("audited", 0);
	if (ftruncate(file, 64 * MIB))
		perror("ftruncate");
	return file;
}

static void maze(unsigned long seed)
{
	int file = memory_file();
	state = seed;
	lock_pages();
	for (int i = 0; i < 40; i++)
		one_mapping(file);
	if (fork() == 0)
		state = seed + 1000;
	lock_pages();
	for (int i = 0; i < 20; i++)
		one_mapping(file);
}

static void truncated(void)
{
	int file = memory_file();
	lock_pages();
	char *m = mmap(alone, 64 * MIB, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
	madvise(m, 64 * MIB, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < 64 * MIB; at += PAGE)
		touch(m + at, 0);
	if (ftruncate(file, 0))
		perror("ftruncate");
}

int main(int argc, char **argv)
{
	if (!strcmp(argv[1], "sharers"))
		sharers(atoi(argv[2]));
	else if (!strcmp(argv[1], "maze"))
		maze(atol(argv[2]));
	else
		truncated();
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
`;

/** A process of the program, and those that it forks. */
class Audited {
  readonly #child: ChildProcess;
  constructor(program: string, ...args: string[]) {
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  }
  /** All `processes` have done what they are to do. */
  async ready(processes: number): Promise<void> {
    let text = "";
    for await (const chunk of this.#child.stdout!) {
      text += String(chunk);
      if (text.split("ready").length > processes) return;
    }
    throw new Error("the program that is audited has ended");
  }
  end(): void {
    process.kill(-this.#child.pid!, "SIGKILL");
  }
}

/** A test's name, with the reason if it is skipped. */
const named = (name: string, missing: string | undefined): string =>
  missing === undefined ? name : `${name} (skipped: ${missing})`;
const noPagemap = canReadPagemap ? undefined : "needs Linux, and root for pagemap";
const noGcc = has("gcc", "--version") ? undefined : "no gcc";
const noChromium = existsSync(CHROMIUM) ? undefined : "no chromium";
const noParser = has("/usr/bin/python3", "-c", "import prometheus_client") ? undefined : "no python3-prometheus-client";
const noPostgres = POSTGRES !== undefined ? undefined : "PostgreSQL is not installed";

describe.skipIf(noPagemap)(named("this host", noPagemap), () => {
  const source = new NodeProc();
  const audit = (options: AuditOptions = {}): AuditResult => auditHost(source, options);

  test("follows its schema, for all that runs here", () => {
    const result = audit();
    const schema = JSON.parse(readFileSync(new URL("../../docs/audit.schema.json", import.meta.url), "utf8"));
    const validate = new Ajv().compile(schema);
    expect(validate(JSON.parse(JSON.stringify(result))), JSON.stringify(validate.errors)).toBe(true);
  });

  describe.skipIf(noGcc)(named("with a program of our own", noGcc), () => {
    const directory = mkdtempSync(join(tmpdir(), "mshare-audit-"));
    /** A program of this name, so that the audit finds its processes by it. */
    const build = (name: string): string => {
      writeFileSync(join(directory, "program.c"), PROGRAM);
      execFileSync("gcc", ["-O1", "-o", join(directory, name), join(directory, "program.c")]);
      return join(directory, name);
    };
    let running: Audited;
    const SHARERS = 8;
    beforeAll(async () => {
      running = new Audited(build("mshare-sharers"), "sharers", String(SHARERS));
      await running.ready(SHARERS);
    }, 60_000);
    afterAll(() => {
      running.end();
      rmSync(directory, { recursive: true });
    });

    test("all of VmPTE is attributed, whatever is mapped where", { timeout: 120_000 }, async () => {
      const maze = build("mshare-maze");
      for (const seed of seedsOf("AUDIT", 6)) {
        const program = new Audited(maze, "maze", String(seed));
        try {
          await program.ready(2);
          const { processes } = audit({ match: /^mshare-maze$/ });
          expect(processes.length).toBe(2);
          for (const { quality, tables, vmPte } of processes)
            expect({ seed, quality, tables }).toEqual({ seed, quality: "counted", tables: vmPte });
        } finally {
          program.end();
        }
      }
    });

    test("tables that hold nothing any more are in VmPTE only", async () => {
      const program = new Audited(build("mshare-cut"), "truncated");
      try {
        await program.ready(1);
        const { processes, objects } = audit({ match: /^mshare-cut$/ });
        expect(processes.length).toBe(1);
        // The 32 last-level tables and the two above them.
        const [{ tables, vmPte }] = processes;
        expect(vmPte! - tables).toBe(34 * TABLE);
        expect(objects.find((object) => object.name === "unattributed")?.tables).toBe(34 * TABLE);
      } finally {
        program.end();
      }
    });

    test("the pool's figures follow from first principles", () => {
      const result = audit({ match: /^mshare-sharers$/ });
      const row = result.objects[0];
      // 32 last-level tables a process, one above them, one above that, which only the pool is in (it lies alone in its 512 GiB).
      expect(row).toMatchObject({
        kind: "shared anonymous",
        sharers: SHARERS,
        size: 64 * 2 ** 20,
        resident: 64 * 2 ** 20,
        tables: SHARERS * (32 + 2) * TABLE,
        tablesMshare: (32 + 2) * TABLE + SHARERS * TABLE,
        tablesHuge: SHARERS * 2 * TABLE,
      });
      expect(result.totals.attributedPercent).toBe(100);
    });

    test.skipIf(noChromium)(
      named("the page opens in a browser", noChromium),
      async () => {
        const { chromium } = await import("playwright-core");
        const browser = await chromium.launch({
          executablePath: CHROMIUM,
          args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
          ],
        });
        try {
          const page = await browser.newPage();
          const errors: string[] = [];
          page.on("pageerror", (error) => errors.push(error.message));
          page.on("request", (request) => !request.url().startsWith("file:") && errors.push(request.url()));
          const file = join(directory, "page.html");
          writeFileSync(file, auditHtml(audit({ match: /^mshare-sharers$/ })));
          await page.goto(`file://${file}`);
          expect(await page.locator("h1").textContent()).toBe("What page tables cost here");
          expect(await page.locator("svg").count()).toBe(2);
          const cells = await page.locator("svg").first().locator("rect.stays").count();
          expect(cells).toBe((await page.locator("tbody tr").count()) as number);
          expect(await page.locator("tbody tr").first().textContent()).toContain("/dev/zero (deleted)");
          expect(errors).toEqual([]);
        } finally {
          await browser.close();
        }
      },
      60_000,
    );

    test.skipIf(noParser)(named("Prometheus's parser accepts the metrics", noParser), () => {
      const script =
        "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n" +
        "for family in parse(sys.stdin.read()):\n  for s in family.samples: print(s.name, s.labels.get('object', ''), s.value)\n";
      const input = auditPrometheus(audit({ match: /^mshare-sharers$/ }));
      const out = execFileSync("/usr/bin/python3", ["-c", script], { input, encoding: "utf8" });
      expect(out).toContain(`mshare_audit_object_tables_bytes /dev/zero (deleted) ${SHARERS * 34 * TABLE}.0`);
      expect(out.split("\n").length).toBe(input.split("\n").filter((line) => !line.startsWith("#")).length);
    });
  });

  describe.skipIf(noPostgres)(named("PostgreSQL with 60 backends", noPostgres), () => {
    const directory = mkdtempSync(join(tmpdir(), "mshare-pg-"));
    const run = (command: string): void => {
      execFileSync("su", ["postgres", "-c", command], { stdio: "ignore" });
    };
    let clients: ChildProcess[] = [];
    beforeAll(() => {
      execFileSync("chown", ["postgres", directory]);
      run(`${POSTGRES}/initdb -D ${directory}/data -A trust`);
      const options = `-c shared_buffers=2GB -c huge_pages=off -c unix_socket_directories=${directory} -c listen_addresses= -c fsync=off`;
      run(`${POSTGRES}/pg_ctl -D ${directory}/data -o '${options}' -l ${directory}/log -w start`);
      run(`${POSTGRES}/pgbench -h ${directory} -i -s 4 -q postgres`);
    }, 120_000);
    afterAll(() => {
      run(`${POSTGRES}/pg_ctl -D ${directory}/data -m immediate stop`);
      for (const client of clients) client.kill();
      rmSync(directory, { recursive: true });
    });

    test("rows add up to VmPTE, shared buffers come first", async () => {
      const sql =
        "set enable_seqscan=off; set enable_bitmapscan=off; select count(abalance) from (select abalance from pgbench_accounts order by aid) x; " +
        "\\echo warm\n select pg_sleep(600);\n";
      clients = Array.from({ length: 60 }, () => {
        const client = spawn("su", ["postgres", "-c", `psql -h ${directory} -qAt postgres`], {
          stdio: ["pipe", "pipe", "ignore"],
        });
        client.stdin!.end(sql);
        return client;
      });
      await Promise.all(
        clients.map(async (client) => {
          for await (const chunk of client.stdout!) if (String(chunk).includes("warm")) return;
        }),
      );
      const result = audit({ match: /^postgres$/ });
      expect(result.totals.processes).toBeGreaterThan(60);
      expect(Math.abs(result.totals.attributedPercent - 100)).toBeLessThan(3);
      const [row] = result.objects;
      expect(row.kind).toBe("shared anonymous");
      expect(row.size).toBeGreaterThan(2 * 2 ** 30);
      // Every backend has read the whole table: each has tables for all of it, so 60 times what one set would take.
      expect(row.tables / row.tablesMshare).toBeGreaterThan(15);
      const sum = result.objects.reduce((total, object) => total + object.tables, 0);
      expect(Math.abs(sum / result.totals.vmPte - 1)).toBeLessThan(0.001);
    }, 120_000);
  });
});
