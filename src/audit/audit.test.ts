// Audits of made-up hosts whose right answers can be worked out by hand, and of broken ones.
import { describe, expect, test } from "vitest";
import { AuditError, auditHost } from "./audit.ts";
import { FakeProc, type FakeProcess, type FakeVma } from "./fake-proc.ts";
import { faultsBetween } from "./faults.ts";
import { auditHtml } from "./html.ts";
import { parseMaps } from "./maps.ts";
import { auditPrometheus } from "./prometheus.ts";
import { auditSnapshot, snapshotHeader, snapshotObjects, snapshotProcess } from "./snapshot.ts";
import { auditText } from "./text.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TABLE = 4096;

/** 256 MiB of shared anonymous memory, all of it mapped, at 1 GiB boundaries. */
const pool = (at: number): FakeVma => ({
  start: at,
  end: at + 256 * MIB,
  shared: true,
  inode: 77,
  name: "/dev/zero (deleted)",
});
/** Each process's own tables: 128 last-level ones and two above. */
const POOL_TABLES = 130 * TABLE;

const backend = (
  pid: number,
  vmas: readonly FakeVma[] = [pool(64 * GIB)],
  vmPte = POOL_TABLES / 1024,
): FakeProcess => ({
  pid,
  name: "postgres",
  vmas,
  vmPte,
});

describe("auditHost", () => {
  test("eight sharers of 256 MiB: one set of tables would do", () => {
    const result = auditHost(new FakeProc(Array.from({ length: 8 }, (_, i) => backend(100 + i))));
    const [row] = result.objects;
    expect(row).toMatchObject({
      kind: "shared anonymous",
      sharers: 8,
      size: 256 * MIB,
      resident: 256 * MIB,
      tables: 8 * POOL_TABLES,
    });
    // The region's own 128 + 1 + 1 tables, and in each process the table that holds its one 1 GiB link.
    expect(row.tablesMshare).toBe(130 * TABLE + 8 * TABLE);
    expect(row.givenBack).toBe(row.tables - row.tablesMshare);
    // With 2 MiB pages the last-level tables go, two tables a process stay.
    expect(row.tablesHuge).toBe(8 * 2 * TABLE);
    expect(result.totals).toMatchObject({ processes: 8, vmPte: 8 * POOL_TABLES, attributedPercent: 100 });
    expect(result.unseen).toEqual([]);
  });

  test("different pages of one object by different processes: shared tables hold all of them", () => {
    const part = (from: number, to: number): FakeVma => ({
      ...pool(64 * GIB),
      present: Array.from({ length: to - from }, (_, i) => from + i),
    });
    const result = auditHost(new FakeProc([backend(1, [part(0, 512)], 12), backend(2, [part(512, 1024)], 12)]));
    expect(result.objects[0]).toMatchObject({ resident: 4 * MIB, tables: 2 * 3 * TABLE });
    // Two last-level tables and two above, and a table in each process: as much as there is now. Nothing is given back.
    expect(result.objects[0].givenBack).toBe(0);
  });

  test("private memory is one row, and gives nothing back", () => {
    const heap: FakeVma = { start: 0x1000000, end: 0x1200000, name: "[heap]" };
    const result = auditHost(new FakeProc([backend(1, [heap], 12), backend(2, [heap], 12)]));
    expect(result.objects).toHaveLength(1);
    expect(result.objects[0]).toMatchObject({
      name: "private memory",
      sharers: 2,
      size: 4 * MIB,
      resident: 4 * MIB,
      givenBack: 0,
    });
  });

  test("a SysV segment and anonymous memory with the same inode number are two objects", () => {
    const segment: FakeVma = { ...pool(2 * GIB), name: "/SYSV00000000 (deleted)" };
    const result = auditHost(new FakeProc([backend(1, [segment, pool(64 * GIB)], 259 * 4)]));
    expect(result.objects.map((row) => row.kind).sort()).toEqual(["shared anonymous", "sysv"]);
  });

  test("tables that VmPTE counts and nothing explains are a row of their own", () => {
    const result = auditHost(new FakeProc([backend(1, [pool(64 * GIB)], POOL_TABLES / 1024 + 40)]));
    expect(result.objects.find((row) => row.kind === "unattributed")?.tables).toBe(40 * 1024);
    expect(result.objects.reduce((sum, row) => sum + row.tables, 0)).toBe(result.totals.vmPte);
  });

  test("without pagemap sizes are estimated, marked, and fitted to VmPTE", () => {
    const result = auditHost(new FakeProc([{ ...backend(1), pagemap: "forbidden" }]));
    expect(result.objects[0].quality).toBe("estimated");
    expect(result.totals.attributedPercent).toBeGreaterThan(97);
    expect(auditText(result, { top: 5, sort: "tables", width: 120 })).toContain("~ estimated from resident sizes");
  });

  test("without maps only the size of the tables is known", () => {
    const source = new FakeProc([backend(1), backend(2)]);
    source.files.delete("2/maps");
    source.readText = ((read) => (path: string) => (path === "2/maps" ? -13 : read(path)))(
      source.readText.bind(source),
    );
    const result = auditHost(source);
    expect(result.unseen).toEqual([2]);
    expect(result.objects.reduce((sum, row) => sum + row.tables, 0)).toBe(result.totals.vmPte);
  });

  test("processes that vanish while it reads are normal", () => {
    const source = new FakeProc([backend(1), backend(2), { ...backend(3), pagemap: "gone" }]);
    for (const name of ["status", "stat", "maps", "comm", "cmdline", "cgroup"]) source.files.delete(`2/${name}`);
    source.files.delete("3/stat");
    const result = auditHost(source);
    expect(result.totals.processes).toBe(1);
    expect(result.warnings).toEqual([]);
  });

  test("selection by process, cgroup and name", () => {
    const source = new FakeProc([backend(1), { ...backend(2), name: "nginx" }]);
    expect(auditHost(source, { pids: [2] }).totals.processes).toBe(1);
    expect(auditHost(source, { match: /^post/ }).totals.processes).toBe(1);
    expect(auditHost(source, { cgroup: "/system.slice" }).totals.processes).toBe(2);
    expect(auditHost(source, { cgroup: "/system.slice/nginx.service" }).totals.processes).toBe(1);
    expect(() => auditHost(source, { match: /nobody/ })).toThrow("no process matches nobody");
    expect(() => auditHost(source, { cgroup: "/system.slice/ngin" })).toThrow(AuditError);
    expect(auditHost(source, { pids: [1, 99] }).warnings).toEqual(["process 99: there is no such process"]);
  });

  test("hostile maps: what can be read counts, the rest is a warning", () => {
    const source = new FakeProc([backend(1), backend(2)]);
    source.files.set(
      "1/maps",
      source.files.get("1/maps")! +
        "zzz\n00001000-00000000 rw-p 00000000 00:00 0\n7fff00000000-800000000000 rw-p 00000000 00:00 0 [stack]\n" +
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n00400000-0040",
    );
    const result = auditHost(source);
    expect(result.warnings).toEqual(["process 1: 3 lines of maps could not be read"]);
    expect(result.objects[0]).toMatchObject({ sharers: 2, tables: 2 * POOL_TABLES });
  });

  test("nothing at all can be read: one clear error", () => {
    const source = new FakeProc([backend(1)]);
    source.files.clear();
    expect(() => auditHost(source)).toThrow(AuditError);
    source.pids = () => -13 as unknown as number[];
    expect(() => auditHost(source)).toThrow("/fake: cannot be read: is it a /proc directory?");
  });
});

describe("maps", () => {
  test("escapes, deleted files, addresses up to 2^47", () => {
    const { vmas, bad } = parseMaps(
      "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n" +
        "800000000000-800000001000 r--s 00010000 fe:00 1234567890123456789 /tmp/a\\012b (deleted)\n",
    );
    expect(bad).toBe(0);
    expect(vmas[0]).toMatchObject({ start: 0x7ffffffde000, end: 0x7ffffffff000, shared: false, name: "[stack]" });
    expect(vmas[1]).toMatchObject({
      shared: true,
      offset: 0x10000,
      inode: "1234567890123456789",
      name: "/tmp/a\nb (deleted)",
    });
  });
});

describe("reports", () => {
  const nasty: FakeVma = {
    start: 4 * GIB,
    end: 4 * GIB + 2 * MIB,
    shared: true,
    inode: 5,
    name: '/tmp/<script>alert("x")</script>\\',
  };
  const result = auditHost(new FakeProc([backend(1, [nasty]), backend(2, [nasty])]), { now: () => new Date(0) });

  test("the page escapes names", () => {
    const html = auditHtml(result);
    expect(html).not.toContain("<script>");
    expect(html).toContain("&#60;script&#62;");
  });

  test("metrics escape labels, one line a sample", () => {
    const text = auditPrometheus(result);
    expect(text).toContain('object="/tmp/<script>alert(\\"x\\")</script>\\\\"');
    for (const line of text.trimEnd().split("\n"))
      expect(line).toMatch(/^(# (HELP|TYPE) mshare_audit_|mshare_audit_[a-z_]+(\{.*\})? [-0-9.e+]+$)/);
  });

  test("faults: those in pages that others had mapped would have been spared", () => {
    const small = { ...pool(64 * GIB), present: Array.from({ length: 1000 }, (_, i) => i) };
    const before = auditHost(new FakeProc([backend(1, [small]), backend(2, [{ ...small, present: [] }])]));
    const source = new FakeProc([backend(1, [small]), backend(2, [small])]);
    source.files.set("2/stat", source.files.get("2/stat")!.replace(" 20 0", " 1020 0"));
    const faults = faultsBetween(before, auditHost(source), 2);
    expect(faults.minorPerSecond).toBe(500);
    expect(faults.sparedPerSecond).toBe(500);
  });
});

describe("snapshots", () => {
  const source = new FakeProc([
    backend(1),
    backend(2, [{ start: 0x1000000, end: 0x1004000, name: "[heap]" }, pool(70 * GIB)], 544),
  ]);
  const lines: string[] = [];
  const live = auditHost(source, {
    now: () => new Date(0),
    onScan: (scan) => lines.push(snapshotProcess(scan)),
    onCollected: (collector) => lines.push(...snapshotObjects(collector.extents())),
  });
  lines.unshift(snapshotHeader(live));
  const from = async function* (list: readonly string[]): AsyncGenerator<string> {
    yield* list;
  };

  test("read back they give the same rows", async () => {
    const back = await auditSnapshot("host.audit", from(lines));
    expect(back.objects).toEqual(live.objects);
    expect(back.processes).toEqual(live.processes);
    expect(back.totals).toEqual(live.totals);
  });

  test("hashes replace names, and nothing else changes", async () => {
    const hidden: string[] = [];
    auditHost(source, { onScan: (scan) => hidden.push(snapshotProcess(scan, () => "#1")) });
    expect(hidden.join()).not.toContain("postgres");
    expect(hidden.join()).toContain("[heap]");
  });

  test("cut off, damaged, foreign", async () => {
    const cut = await auditSnapshot("x", from(lines.slice(0, 2)));
    expect(cut.warnings).toEqual(["x: cut off after 1 processes; the rest is missing"]);
    await expect(auditSnapshot("x", from(["{}"]))).rejects.toThrow("x: not a snapshot of mshare audit");
    await expect(auditSnapshot("x", from([]))).rejects.toThrow("x: empty");
    await expect(auditSnapshot("x", from([lines[0], '{"process":{"pid":1,"name":"a","vmas":[[1]]}}']))).rejects.toThrow(
      "x: damaged",
    );
  });
});
