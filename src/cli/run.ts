// `mshare run`: one program on a machine of its own, its streams and exit status passed through; with --compare once more with private tables.
import { writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { AuditRecorder } from "../audit/recorder.ts";
import {
  type Engine,
  Machine,
  MachineError,
  type MachineOptions,
  type MountOption,
  type RunResult,
  type TlbFlush,
} from "../index.ts";
import { comparisonJson, comparisonTable, countersJson, countersTable } from "../report/counters.ts";
import { writeSnapshot } from "./snapshot-file.ts";
import { parseEnv, parseHarts, parseMemory, parseMount, parseSeed } from "./options.ts";

/** Options that every command which makes machines has. */
export interface MachineFlags {
  engine: Engine;
  harts: number;
  memory: number;
  seed?: number;
  tlbFlush: TlbFlush;
  verify: boolean;
}

interface RunFlags extends MachineFlags {
  strace: boolean;
  stats: boolean;
  json: boolean;
  compare: boolean;
  share: boolean;
  mount: MountOption[];
  env: Record<string, string>;
  report?: string;
  audit?: string;
}

/** Adds --engine, --harts, --memory, --seed, --tlb-flush and --verify. */
export function machineOptions(command: Command, defaults: { harts: string; memory: string }): Command {
  return command
    .addOption(
      new Option("--engine <engine>", "how guest code runs").choices(["interpreter", "jit"]).default("interpreter"),
    )
    .option("--harts <n>", "hardware threads of the machine, 1 to 64", parseHarts, parseHarts(defaults.harts))
    .addOption(
      new Option("--memory <size>", "guest RAM, as 64M or 2G: 8M to 3.5G")
        .argParser(parseMemory)
        .default(parseMemory(defaults.memory), defaults.memory),
    )
    .option("--seed <n>", "take clock and randomness from this number: the same seed, the same run", parseSeed)
    .addOption(
      new Option(
        "--tlb-flush <strategy>",
        "how translations are taken away: from the harts that can hold them, from each sharer, or all",
      )
        .choices(["mask", "list", "all"])
        .default("mask"),
    )
    .option("--verify", "recount all memory management on the way, and stop at the first difference (slow)", false);
}

const HELP = `
PROGRAM is a riscv64 Linux program: a path or name in the guest's tree, if a mount has it there, else a file here, which is copied to the
guest's /bin. Its standard streams are yours, and so is its exit status: 128 and the number of a signal that ended it, 127 if there is no such
program, 126 if it cannot be run. What it leaves running is ended with it. Reports go to standard error, after what it printed.

Examples:
  $ mshare run ./hello world
  $ mshare run --mount ~/sysroot:/ --memory 1G bash -l
  $ mshare run --compare --seed 1 ./database-test`;

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .summary("run a riscv64 Linux program")
    .description("Runs a riscv64 Linux program on a machine and kernel that have mshare.")
    .argument("<program>", "the program")
    .argument("[args...]", "its arguments")
    .passThroughOptions();
  machineOptions(command, { harts: "1", memory: "512M" })
    .option(
      "--mount <host:guest[:rw]>",
      "show a directory to the guest, read-only unless :rw; more than one may be given",
      parseMount,
      [],
    )
    .option("--env <name=value>", "set an environment variable of the guest; a NAME alone takes yours", parseEnv, {})
    .option("--no-share", "same calls, private page tables behind them: what sharing is compared with")
    .option("--strace", "print each system call", false)
    .option("--stats", "print the machine's counters at the end", false)
    .option("--compare", "run it twice, with shared and with private tables, and print both and their ratio", false)
    .option("--json", "print counters as one line of JSON instead of a table", false)
    .option("--audit <file>", "write a snapshot for `mshare audit`, taken when page tables took most")
    .option("--report <file>", "write counters to a file instead of standard error")
    .addHelpText("after", HELP)
    .action(async (path: string, args: string[], flags: RunFlags) => {
      process.exitCode = await run(path, args, flags);
    });
}

/** Runs as the flags say; the exit status. */
async function run(path: string, args: string[], flags: RunFlags): Promise<number> {
  if (flags.compare && !flags.share)
    throw new MachineError("--compare runs with shared tables and with private ones: it cannot be with --no-share", 2);
  const options: MachineOptions = {
    ...pickMachine(flags),
    mounts: flags.mount,
    env: { ...(process.env.TERM === undefined ? {} : { TERM: process.env.TERM }), ...flags.env },
    stdin: "inherit",
    onStdout: "inherit",
    onStderr: "inherit",
    ...(flags.strace ? { strace: (line: string) => process.stderr.write(line + "\n") } : {}),
  };
  if (flags.compare && flags.audit !== undefined)
    throw new MachineError("--audit is of one run: it cannot be with --compare", 2);
  if (!flags.compare) {
    const machine = new Machine({ ...options, share: flags.share });
    const recorder = flags.audit === undefined ? undefined : new AuditRecorder(machine.kernel);
    const result = await machine.run(path, args);
    if (flags.audit !== undefined) await writeSnapshot(flags.audit, recorder?.recording?.lines ?? []);
    if (flags.json || flags.stats) {
      report(flags, flags.json ? countersJson(result.stats, result.status) : countersTable(result.stats));
    }
    return result.status;
  }
  const { shared, separate } = await compare(path, args, options);
  report(
    flags,
    flags.json
      ? comparisonJson(shared.stats, separate.stats, shared.status)
      : comparisonTable(shared.stats, separate.stats),
  );
  if (separate.status !== shared.status)
    report(flags, `mshare: with private tables the exit status was ${separate.status}, not ${shared.status}`);
  return shared.status;
}

export const pickMachine = ({ engine, harts, memory, seed, tlbFlush, verify }: MachineFlags): MachineOptions => ({
  engine,
  harts,
  memory,
  seed,
  tlbFlush,
  verify,
});

/** Runs a program with shared tables as `options` say, and again, unheard, with private ones and the same input. */
export async function compare(
  path: string,
  args: readonly string[],
  options: MachineOptions,
): Promise<{ shared: RunResult; separate: RunResult }> {
  const input: Uint8Array[] = [];
  const shared = await new Machine({ ...options, share: true, onStdin: (bytes) => input.push(bytes) }).run(path, args);
  const separate = await new Machine({
    ...options,
    share: false,
    stdin: Buffer.concat(input),
    onStdout: () => {},
    onStderr: () => {},
    strace: undefined,
  }).run(path, args);
  return { shared, separate };
}

function report(flags: RunFlags, text: string): void {
  if (flags.report === undefined) process.stderr.write(text + "\n");
  else writeFileSync(flags.report, text + "\n");
}
