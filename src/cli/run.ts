// `mshare run`: one program on a machine of its own, its streams and exit status passed through; with --compare once more with private tables.
import { writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { AuditRecorder } from "../audit/recorder.ts";
import { endOfLine } from "../host/node.ts";
import { MAX_TLB_NEIGHBOURS } from "../base/limits.ts";
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
import {
  parseCount,
  parseEnv,
  parseHarts,
  parseMemory,
  parseMount,
  parseNeighbours,
  parseSeed,
  parseSize,
} from "./options.ts";
import { parsePc, startDump, startProfile } from "./profile.ts";

/** Options that every command which makes machines has. */
export interface MachineFlags {
  engine: Engine;
  harts: number;
  memory: number;
  seed?: number;
  swap?: number;
  hugepages?: number;
  tlbFlush: TlbFlush;
  tlbNeighbours: number;
  verify?: boolean;
}

interface RunFlags extends MachineFlags {
  share: boolean;
  mount?: MountOption[];
  env?: Record<string, string>;
  strace?: boolean;
  verbose?: boolean;
  stats?: boolean;
  json?: boolean;
  compare?: boolean;
  report?: string;
  audit?: string;
  profile?: string;
  dumpRegion?: number;
}

/** Adds --engine, --harts, --memory, --seed, --tlb-flush, --tlb-neighbours and --verify, under a heading of their own. */
export function machineOptions(command: Command, defaults: { harts: string; memory: string }): Command {
  return command
    .optionsGroup("The machine:")
    .addOption(new Option("--engine <engine>", "how guest code runs").choices(["jit", "interpreter"]).default("jit"))
    .option("--harts <n>", "hardware threads, 1 to 64", parseHarts, parseHarts(defaults.harts))
    .addOption(
      new Option("--memory <size>", "guest RAM, 8M to 3.5G")
        .argParser(parseMemory)
        .default(parseMemory(defaults.memory), defaults.memory),
    )
    .option("--swap <size>", "a swap device that is on from the start", parseSize)
    .option("--hugepages <n>", "huge pages of 2 MiB in the pool (vm.nr_hugepages)", parseCount)
    .option("--seed <n>", "make clock and chance from a number: the same seed, the same run", parseSeed)
    .addOption(
      new Option(
        "--tlb-flush <how>",
        "take translations from the harts that can hold them, by a list of sharers, or all",
      )
        .choices(["mask", "list", "all"])
        .default("mask"),
    )
    .option(
      "--tlb-neighbours <n>",
      "pages that a TLB miss may enter, if misses come one after the other, 1 to 512; 1: each page misses for itself",
      parseNeighbours,
      MAX_TLB_NEIGHBOURS,
    )
    .option("--verify", "recount all memory management on the way and stop at the first difference (slow)");
}

const HELP = `
PROGRAM is a riscv64 Linux program: a path or name in the guest's tree if a
mount has it there, else a file here, which is copied to the guest's /bin. Its
standard streams are yours, and so is its exit status: 128 and the number of a
signal that ended it, 127 if there is no such program, 126 if it cannot be run.
What it leaves running is ended with it. Reports go to standard error, after
what it printed.

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
    .option("--no-share", "same calls, private page tables behind them: what sharing is compared with")
    .optionsGroup("What the program sees:")
    .option("--mount <host:guest>", "a directory, read-only, or with :rw behind it; may be given again", parseMount)
    .option("--env <name=value>", "an environment variable; a NAME alone takes yours; may be given again", parseEnv)
    .optionsGroup("What you see:")
    .option("--strace", "print each system call")
    .option("--verbose", "describe a program that a fatal signal ends: registers, code, page tables")
    .option("--stats", "print the machine's counters at the end")
    .option("--compare", "run twice, with shared and with private tables, and print both and their ratio")
    .option("--json", "print counters as one line of JSON instead of a table")
    .option("--report <file>", "write counters to a file instead of standard error")
    .option("--audit <file>", "write a snapshot for `mshare audit`, taken when page tables took most")
    .option("--profile <file>", "write where guest code spends its instructions, for speedscope")
    .option("--dump-region <pc>", "print code that is compiled around an address, with its WebAssembly", parsePc)
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
    mounts: flags.mount ?? [],
    env: { ...(process.env.TERM === undefined ? {} : { TERM: process.env.TERM }), ...flags.env },
    stdin: "inherit",
    onStdout: "inherit",
    onStderr: "inherit",
    strace: flags.strace ? say : undefined,
    onFatalSignal: flags.verbose ? (lines) => say(lines.join("\n")) : undefined,
  };
  if (flags.compare && flags.audit !== undefined)
    throw new MachineError("--audit is of one run: it cannot be with --compare", 2);
  if (flags.compare && (flags.profile !== undefined || flags.dumpRegion !== undefined))
    throw new MachineError("--profile and --dump-region are of one run: they cannot be with --compare", 2);
  if (!flags.compare) {
    const countAccesses = flags.stats === true || flags.json === true;
    const machine = new Machine({ ...options, share: flags.share, countAccesses });
    const { hardware } = machine.kernel;
    const dump = flags.dumpRegion === undefined ? undefined : startDump(hardware, flags.dumpRegion, say);
    const profile = flags.profile === undefined ? undefined : startProfile(machine.kernel, path);
    const recorder = flags.audit === undefined ? undefined : new AuditRecorder(machine.kernel);
    const result = await machine.run(path, args);
    if (flags.profile !== undefined) profile?.write(flags.profile);
    dump?.end();
    if (flags.audit !== undefined) {
      const { writeSnapshot } = await import("./snapshot-file.ts");
      await writeSnapshot(flags.audit, recorder?.recording?.lines ?? []);
    }
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

export const pickMachine = ({
  engine,
  harts,
  hugepages,
  memory,
  seed,
  swap,
  tlbFlush,
  tlbNeighbours,
  verify,
}: MachineFlags): MachineOptions => ({
  engine,
  harts,
  hugepages,
  memory,
  seed,
  swap,
  tlbFlush,
  tlbNeighbours,
  verify: verify ?? false,
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
    onFatalSignal: undefined,
  }).run(path, args);
  return { shared, separate };
}

/** Lines on standard error. */
const say = (text: string): void => void process.stderr.write(text.replaceAll("\n", endOfLine()) + endOfLine());

function report(flags: RunFlags, text: string): void {
  if (flags.report === undefined) say(text);
  else writeFileSync(flags.report, text + "\n");
}
