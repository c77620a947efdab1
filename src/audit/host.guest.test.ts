// The audit on this very host: against VmPTE, against programs whose tables follow from first principles, against PostgreSQL; its page in a browser, its metrics
// in Prometheus's own parser. What a machine lacks is skipped with a reason.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeProc } from "../host/node-proc.ts";
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

/** Sharers of 64 MiB of anonymous memory and of a file, at odd addresses, and a process with holes. */
const PROGRAM = `
#define _GNU_SOURCE
#include <sys/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define MIB (1UL << 20)
int main(int argc, char **argv)
{
	int sharers = atoi(argv[1]);
	size_t size = 64 * MIB;
	char *pool = mmap((void *)0x200000000000, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(pool, size, MADV_NOHUGEPAGE);
	for (int i = 1; i < sharers; i++)
		if (fork() == 0)
			break;
	for (size_t at = 0; at < size; at += 4096)
		pool[at] = 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
`;

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

  test("attributes nearly all of VmPTE, and follows its schema", () => {
    const result = audit();
    const seen = result.processes.filter((process) => process.quality === "counted");
    const [counted, kernel] = [seen.reduce((sum, p) => sum + p.tables, 0), seen.reduce((sum, p) => sum + p.vmPte!, 0)];
    expect(Math.abs(counted / kernel - 1)).toBeLessThan(0.03);
    const schema = JSON.parse(readFileSync(new URL("../../docs/audit.schema.json", import.meta.url), "utf8"));
    const validate = new Ajv().compile(schema);
    expect(validate(JSON.parse(JSON.stringify(result))), JSON.stringify(validate.errors)).toBe(true);
  });

  describe.skipIf(noGcc)(named("with a program of our own", noGcc), () => {
    const directory = mkdtempSync(join(tmpdir(), "mshare-audit-"));
    let child: ChildProcess;
    const SHARERS = 8;
    beforeAll(async () => {
      writeFileSync(join(directory, "sharers.c"), PROGRAM);
      execFileSync("gcc", ["-O1", "-o", join(directory, "mshare-sharers"), join(directory, "sharers.c")]);
      child = spawn(join(directory, "mshare-sharers"), [String(SHARERS)], {
        stdio: ["ignore", "pipe", "inherit"],
        detached: true,
      });
      let ready = "";
      for await (const chunk of child.stdout!) {
        ready += String(chunk);
        if (ready.split("ready").length > SHARERS) break;
      }
    }, 60_000);
    afterAll(() => {
      process.kill(-child.pid!, "SIGKILL");
      rmSync(directory, { recursive: true });
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
      expect(result.totals.attributedPercent).toBeGreaterThan(97);
      expect(result.totals.attributedPercent).toBeLessThan(103);
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
