// `mshare audit`: reads the command line, runs the audit over /proc or a snapshot, and prints or serves what it found. What is found is src/audit's business.
// What needs node:http and node:zlib is imported when it is wanted: `mshare run` starts 10 ms sooner.
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { type AuditOptions, auditHost } from "../audit/audit.ts";
import { Collector } from "../audit/collect.ts";
import { faultsBetween } from "../audit/faults.ts";
import { auditHtml } from "../audit/html.ts";
import { auditPrometheus } from "../audit/prometheus.ts";
import type { AuditResult } from "../audit/result.ts";
import { auditSnapshot } from "../audit/snapshot.ts";
import { SORT_KEYS, type SortKey, auditText } from "../audit/text.ts";
import { NodeProc } from "../host/node-proc.ts";
import { MachineError } from "../index.ts";

interface Flags {
  proc?: string;
  pid?: number[];
  cgroup?: string;
  match?: RegExp;
  top: number;
  sort: SortKey;
  json?: true;
  html?: string;
  prometheus?: true;
  watch?: number;
  listen?: { host: string; port: number };
  snapshot?: string;
  anonymize?: true;
}

const wholeNumber =
  (what: string, least: number) =>
  (text: string): number => {
    if (!/^[0-9]+$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`${what} is a whole number, ${least} or more.`);
    return Number(text);
  };

function pidList(text: string, before: number[] | undefined): number[] {
  const pids = text.split(",").map(wholeNumber("A process id", 1));
  return [...(before ?? []), ...pids];
}

function regex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}

function address(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  const port = match === null ? NaN : Number(match[3]);
  if (match === null || !(port <= 65535))
    throw new InvalidArgumentError('An address is HOST:PORT, such as "127.0.0.1:9834" or ":9834".');
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
}

const HELP = `
Sizes are of page tables unless the column says otherwise. "mshare" and "2 MiB"
are what the tables would take with shared page tables and with huge pages; "~"
marks sizes that were estimated because pagemap could not be read. Exit status:
0, also if some processes could not be read; 1 if nothing could.

Examples:
  $ mshare audit                     this host; as root it sees all processes
  $ mshare audit --match '^postgres' --top 5
  $ mshare audit --watch 10          every 10 seconds, with minor faults
  $ mshare audit --listen :9834      an exporter for Prometheus
  $ mshare audit --snapshot host.audit    takes along what was read …
  $ mshare audit host.audit               … and shows it`;

/** The subcommand. */
export function auditCommand(): Command {
  return new Command("audit")
    .summary("see what duplicated page tables cost this host")
    .description(
      "Shows what duplicated page tables cost on this host, by object, and what sharing them would give back.",
    )
    .argument("[snapshot]", "a file that --snapshot wrote: audit what it holds instead of this host")
    .option("--proc <dir>", "read another host's /proc, mounted or copied to this directory")
    .option("--pid <pid>", "only this process, or a list with commas; may be given again", pidList)
    .option("--cgroup <path>", "only processes in this cgroup or below")
    .option("--match <regex>", "only processes whose name or command line matches", regex)
    .option("--top <n>", "rows to show", wholeNumber("A number of rows", 1), 20)
    .addOption(new Option("--sort <key>", "order of the rows").choices(SORT_KEYS).default("given-back"))
    .option("--json", "print JSON (docs/audit.schema.json)")
    .option("--prometheus", "print metrics in Prometheus's text format")
    .option("--html <file>", "write one self-contained page with charts")
    .option("--watch <seconds>", "repeat, and show minor faults", wholeNumber("An interval", 1))
    .option("--listen <address>", "serve metrics over HTTP at /metrics, and the page at /", address)
    .option("--snapshot <file>", "also write what was read to a file")
    .option("--anonymize", "with --snapshot: names are replaced by hashes")
    .addHelpText("after", HELP)
    .action((snapshot: string | undefined, flags: Flags) => audit(snapshot, flags));
}

async function audit(snapshot: string | undefined, flags: Flags): Promise<void> {
  if (flags.anonymize === true && flags.snapshot === undefined)
    throw new MachineError("--anonymize goes with --snapshot", 2);
  if (snapshot !== undefined) {
    const clash = (["proc", "watch", "listen", "snapshot"] as const).find((name) => flags[name] !== undefined);
    if (clash !== undefined) throw new MachineError(`--${clash} reads a host: it does not go with a snapshot`, 2);
    const { readSnapshotLines } = await import("./snapshot-file.ts");
    output(await auditSnapshot(snapshot, readSnapshotLines(snapshot), select(flags)), flags);
    return;
  }
  const source = new NodeProc(flags.proc);
  if (flags.listen !== undefined) {
    const { serveAudit } = await import("./audit-listen.ts");
    await serveAudit(flags.listen, () => auditHost(source, select(flags)));
    return;
  }
  if (flags.watch !== undefined) {
    await watch(source, flags, flags.watch);
    return;
  }
  output(await auditOnce(source, flags), flags);
}

const select = ({ pid, cgroup, match }: Flags): AuditOptions => ({
  ...(pid !== undefined && { pids: pid }),
  ...(cgroup !== undefined && { cgroup }),
  ...(match !== undefined && { match }),
});

async function auditOnce(source: NodeProc, flags: Flags): Promise<AuditResult> {
  const file =
    flags.snapshot === undefined ? undefined : new (await import("./snapshot-file.ts")).SnapshotFile(flags.snapshot);
  const salt = randomBytes(16);
  const hash =
    flags.anonymize === true
      ? (name: string) => `#${createHash("sha256").update(salt).update(name).digest("hex").slice(0, 12)}`
      : undefined;
  const progress = process.stderr.isTTY ? new Progress() : undefined;
  const collected: { collector?: Collector } = {};
  const result = auditHost(source, {
    ...select(flags),
    onProgress: (done, total) => progress?.show(done, total),
    onScan: (scan) => file?.process(scan, hash),
    onCollected: (collector) => (collected.collector = collector),
  });
  progress?.clear();
  if (file !== undefined && collected.collector !== undefined) await file.finish(result, collected.collector);
  return result;
}

/** A line on the terminal while /proc is read, at most ten times a second. */
class Progress {
  #next = 0;
  show(done: number, total: number): void {
    const now = performance.now();
    if (now < this.#next) return;
    this.#next = now + 100;
    process.stderr.write(`\rreading processes: ${done} of ${total}`);
  }
  clear(): void {
    process.stderr.write("\r\x1b[K");
  }
}

async function watch(source: NodeProc, flags: Flags, seconds: number): Promise<void> {
  let before = await auditOnce(source, flags);
  let time = performance.now();
  output(before, flags);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const now = performance.now();
    const after = auditHost(source, select(flags));
    const result = { ...after, faults: faultsBetween(before, after, (now - time) / 1000) };
    if (process.stdout.isTTY && flags.json !== true) process.stdout.write("\x1b[H\x1b[2J");
    output(result, flags);
    before = after;
    time = now;
  }
}

function output(result: AuditResult, flags: Flags): void {
  if (flags.html !== undefined) writeFileSync(flags.html, auditHtml(result));
  for (const warning of result.warnings.slice(0, 20)) process.stderr.write(`mshare audit: ${warning}\n`);
  if (result.warnings.length > 20)
    process.stderr.write(`mshare audit: and ${result.warnings.length - 20} more warnings (--json has all)\n`);
  if (flags.json === true) process.stdout.write(`${JSON.stringify(result, null, flags.watch === undefined ? 2 : 0)}\n`);
  else if (flags.prometheus === true) process.stdout.write(auditPrometheus(result));
  else
    process.stdout.write(
      Buffer.from(
        auditText(result, { top: flags.top, sort: flags.sort, width: process.stdout.columns ?? 160 }),
        "utf8",
      ),
    );
}
