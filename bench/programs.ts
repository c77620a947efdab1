// Workloads that nobody here wrote or compiled: programs of Debian's riscv64 packages, unmodified, and what they are given to do. Each is timed
// as a whole, from its start to its end, so that the dynamic linker's work and the first run of all code count: they run long enough for that to
// be a small part in QEMU (about a second at scale 100). Used by bench/engines.ts.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCommand } from "../src/testing/build.ts";
import { Debian } from "../tools/debian.ts";

export interface Program {
  readonly name: string;
  /** The program in the root, and in this machine's PATH. */
  readonly command: string;
  /** The package of the command, here and there; `libraries`: what it is linked with beside libc6. */
  readonly package: string;
  readonly libraries: readonly string[];
  /** What its time is divided by: bytes, rows … at a scale. */
  readonly operations: (scale: number) => number;
  /** Its arguments; `data` is the directory of `input` (see DATA_BYTES). */
  readonly args: (scale: number, data: string) => readonly string[];
  /** Whether another version of the program must print the same: what this machine's own is compared by. */
  readonly sameElsewhere: boolean;
}

/** Bytes of data/input, the beginning of libc.so.6: real code and tables, as good to compress as any. */
const DATA_BYTES = 256 * 1024;

/** `amount` at scale 100, at least 1. */
const scaled = (amount: number, scale: number): number => Math.max(1, Math.round((amount * scale) / 100));

const copies = (scale: number): number => scaled(40, scale);
const rows = (scale: number): number => Math.max(1000, scaled(100_000, scale));
const rounds = (scale: number): number => scaled(150, scale);

/** A table filled in one transaction, an index, a grouping, a join and a sort. */
const sql = (count: number): string => `
  PRAGMA temp_store = memory;
  CREATE TABLE item (id INTEGER PRIMARY KEY, number INTEGER, name TEXT);
  BEGIN;
  WITH RECURSIVE counter(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM counter WHERE x < ${count})
    INSERT INTO item SELECT x, (x * 7919) % 10007, 'item ' || x FROM counter;
  COMMIT;
  CREATE INDEX item_number ON item (number);
  SELECT number, count(*), sum(length(name)) FROM item GROUP BY number HAVING number % 1000 = 7;
  SELECT sum(a.id + b.id) FROM item a JOIN item b ON a.number = b.number WHERE a.id < ${count / 10};
  SELECT name FROM item ORDER BY name DESC LIMIT 5;
`;

/** Words made and joined, a regular expression over them, counts in a hash, a sort. */
const PERL = `
my ($rounds, $seed, $hits, %count) = (shift, 1, 0);
for (1 .. $rounds) {
  my $text = join " ", map {
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    substr "abcdefghijklmnopqrstuvwxyz", ($seed >> 16) % 20, 2 + ($seed >> 24) % 5
  } 1 .. 1000;
  $hits++ while $text =~ /\\b([a-m]\\w+) \\w*[s-z]\\b/g;
  $count{$_}++ for split / /, $text;
}
my @most = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print "$hits ", join(",", map { "$_=$count{$_}" } @most[0 .. 9]), "\\n";
`;

export const PROGRAMS: readonly Program[] = [
  {
    name: "zlib",
    command: "pigz",
    package: "pigz",
    libraries: ["zlib1g"],
    operations: (scale) => copies(scale) * DATA_BYTES,
    // In one thread, by zlib's deflate; neither name nor time in the header.
    args: (scale, data) => ["-p", "1", "-n", "-m", "-c", ...new Array<string>(copies(scale)).fill(join(data, "input"))],
    sameElsewhere: false,
  },
  {
    name: "sqlite",
    command: "sqlite3",
    package: "sqlite3",
    libraries: ["libsqlite3-0", "libreadline8t64", "libtinfo6", "zlib1g"],
    operations: rows,
    args: (scale) => [":memory:", sql(rows(scale))],
    sameElsewhere: true,
  },
  {
    name: "perl",
    command: "perl",
    package: "perl-base",
    libraries: ["libcrypt1"],
    operations: (scale) => rounds(scale) * 1000,
    args: (scale) => ["-e", PERL, `${rounds(scale)}`],
    sameElsewhere: true,
  },
];

/** Packages of everything: the same for all programs, so that there is one root. */
const packages = (): string[] => [
  ...new Set(["libc6", ...PROGRAMS.flatMap((program) => [program.package, ...program.libraries])]),
];

/** The environment that programs run in: no locale, which the root has no files of. */
export const ENVIRONMENT = { PATH: "/usr/bin:/bin", LC_ALL: "C" };

/** A root directory with the programs and their data, gone when the process ends. */
export class ProgramRoot {
  readonly directory: string;
  /** Where `input` is. */
  readonly data: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.data = join(directory, "data");
    process.once("exit", () => this.remove());
  }

  /** Takes it away; done at the process's end if not before. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Makes it; or says why it cannot be had. Packages that are not here are fetched only if `fetch` says so. */
  static async make({ fetch }: { fetch: boolean }): Promise<ProgramRoot | string> {
    try {
      const debian = new Debian();
      const absent = packages().filter((name) => debian.kept(name) === undefined);
      if (absent.length > 0 && !fetch) return `${absent.join(", ")} not fetched (tools/debian.ts does)`;
      // Each package first: a mirror that cannot be reached must not leave half a root.
      for (const name of absent) await debian.package(name);
      const root = new ProgramRoot(mkdtempSync(join(tmpdir(), "mshare-bench-")));
      await debian.root(root.directory, packages(), { dependencies: false });
      for (const directory of [root.data, join(root.directory, "dev")]) mkdirSync(directory);
      const libc = readFileSync(join(root.directory, "usr/lib/riscv64-linux-gnu/libc.so.6"));
      writeFileSync(join(root.data, "input"), libc.subarray(0, DATA_BYTES));
      return root;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** The program of that name, if one has it. */
  find(name: string): Program | undefined {
    return PROGRAMS.find((program) => program.name === name);
  }

  /** The program's file, for what runs it from here. */
  file({ command }: Program): string {
    return join(this.directory, "usr/bin", command);
  }
}

/** Why this machine's own build of a program cannot be run; undefined: it can. */
export const notHere = ({ command, package: name }: Program): string | undefined =>
  hasCommand(command) ? undefined : `${command} is not installed (apt-get install ${name})`;

/** Runs a command of this machine to its end; what it printed and how long it took, in ns. Throws if it fails. */
export function timedHere(command: string, args: readonly string[]): { stdout: Uint8Array; ns: number } {
  const env = { ...ENVIRONMENT, PATH: process.env.PATH };
  const began = process.hrtime.bigint();
  const stdout = execFileSync(command, args, { env, maxBuffer: 2 ** 30, stdio: ["ignore", "pipe", "pipe"] });
  return { stdout, ns: Number(process.hrtime.bigint() - began) };
}
