// `mshare demo`: the program that ships (guest/src/demo.c), run with shared and with private tables: what a database does with a shared pool.
// `npm start`.
import type { Command } from "commander";
import { MachineError } from "../index.ts";
import { comparisonJson, comparisonTable } from "../report/counters.ts";
import { packageFile } from "./package.ts";
import { type MachineFlags, compare, machineOptions, pickMachine } from "./run.ts";

interface DemoFlags extends MachineFlags {
  json?: boolean;
}

const HELP = `
An owner creates a region and maps a pool into it; workers attach, each where it
likes, and work in a quarter of the pool. The owner protects a part, unmaps a
part, hands out a read-only descriptor and exits. At the end: what the page
tables took, shared and private.

The program is guest/src/demo.c; guest/include/mshare.h is all that it needs.`;

export function addDemo(program: Command): void {
  const command = program
    .command("demo")
    .summary("see what sharing page tables saves a database")
    .description("Runs a small database's buffer pool on mshare, and again with private page tables.")
    .argument("[workers]", "worker processes, 1 to 1000", "64")
    .argument("[mib]", "size of the pool in MiB, 16 or more", "256");
  machineOptions(command, { harts: "4", memory: "512M" })
    .optionsGroup("What you see:")
    .option("--json", "print the comparison as one line of JSON instead of a table")
    .addHelpText("after", HELP)
    .action(async (workers: string, mib: string, flags: DemoFlags) => {
      process.exitCode = await demo([workers, mib], flags);
    });
}

async function demo(args: string[], flags: DemoFlags): Promise<number> {
  for (const arg of args) if (!/^[1-9]\d*$/.test(arg)) throw new MachineError(`${arg}: a number is wanted here`, 2);
  const program = packageFile("guest/bin/demo");
  const { shared, separate } = await compare(program, args, {
    ...pickMachine(flags),
    onStdout: "inherit",
    onStderr: "inherit",
  });
  const report = flags.json
    ? comparisonJson(shared.stats, separate.stats, shared.status)
    : "\n" + comparisonTable(shared.stats, separate.stats);
  process.stdout.write(report + "\n");
  return shared.status || separate.status;
}
