// The command `mshare`: its subcommands, and how errors end it. One line on stderr and a status for what a user did wrong; the whole state for
// what the kernel did wrong.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { KernelBug } from "../base/bug.ts";
import { AuditError } from "../audit/audit.ts";
import { inlineLess, optimizeInBackground } from "../host/v8.ts";
import { Deadlock, MachineError } from "../index.ts";
import { auditCommand } from "./audit.ts";
import { addDemo } from "./demo.ts";
import { packageFile } from "./package.ts";
import { addRun } from "./run.ts";

/** Exit statuses: the command was used wrongly; the kernel is broken (sysexits.h: EX_SOFTWARE). */
const USAGE = 2;
const SOFTWARE = 70;

function version(): string {
  return (JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as { version: string }).version;
}

/** The command line as a commander program that throws instead of ending the process. */
export function commandLine(): Command {
  const program = new Command("mshare")
    .description(
      "Shared memory whose page tables are shared too: a Linux-compatible kernel with mshare, on a RISC-V machine.",
    )
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`mshare: ${oneLine(text)}\n`) });
  addRun(program);
  addDemo(program);
  program.addCommand(auditCommand());
  program.version(version(), "-V, --version", "print the version");
  program.helpCommand("help [command]", "print a command's help");
  program.helpOption("-h, --help", "print this help");
  for (const command of program.commands)
    command.copyInheritedSettings(program).helpOption("-h, --help", "print this help");
  return program;
}

/** Commander's messages, in one line that begins with what is wrong. */
const oneLine = (text: string): string =>
  text
    .replace(/^error: /, "")
    .trim()
    .replace(/\n+\(?/g, " (");

async function main(args: string[]): Promise<void> {
  optimizeInBackground();
  inlineLess();
  try {
    await commandLine().parseAsync(args, { from: "user" });
  } catch (error) {
    process.exitCode = endWith(error);
  }
  // Left to itself, Node waits for all that V8 has begun to compile: 50 ms more of a short program.
  if (RUNS.has(args[0]) && process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
}

/** Commands that are over with their action. */
const RUNS = new Set(["run", "demo"]);

/** Says what went wrong; the exit status. */
function endWith(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  if (error instanceof MachineError) {
    process.stderr.write(`mshare: ${error.message}\n`);
    return error.exitStatus;
  }
  if (error instanceof AuditError) {
    process.stderr.write(`mshare audit: ${error.message}\n`);
    return 1;
  }
  if (error instanceof Deadlock) {
    process.stderr.write(`mshare: ${error.message}\n`);
    return 1;
  }
  const dump = error instanceof KernelBug ? error.dump : [];
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    ["mshare: this is a bug in mshare, not in the program that ran:", stack, ...dump].join("\n") + "\n",
  );
  return SOFTWARE;
}

void main(process.argv.slice(2));
