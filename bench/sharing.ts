// What sharing is worth, and what a start costs: a second process's way through memory that another has populated, with shared and with private
// tables; and the time from starting the command to the guest's first output, beside qemu-riscv64's. Used by bench/main.ts and its test.
import { spawn } from "node:child_process";
import { join } from "node:path";
import Table from "cli-table3";
import type { Engine as MachineEngine } from "../src/index.ts";
import { formatCount, formatRatio } from "../src/report/format.ts";
import { ROOT, buildGuest, hasCommand } from "../src/testing/build.ts";
import { Machine } from "./library.ts";

const MIB = 2 ** 20;

/** One run of bench/guest/touch.c: nanoseconds a page in the first and second pass, minor faults in the first. */
export interface Touch {
  readonly mode: "read" | "write";
  readonly share: boolean;
  readonly first: number;
  readonly second: number;
  readonly faults: number;
}

/** A child's way through `mib` MiB that its parent has populated. */
export async function touch(options: {
  mode: "read" | "write";
  share: boolean;
  mib: number;
  engine: MachineEngine;
}): Promise<Touch> {
  const { mode, share, mib, engine } = options;
  const machine = new Machine({ memory: (mib * 1.25 + 64) * MIB, share, engine });
  const { stdout, status } = await machine.run(buildGuest("bench/guest/touch.c"), [mode, `${mib}`]);
  const [name, pages, first, second, faults] = stdout.trim().split(" ");
  if (status !== 0 || name !== mode) throw new Error(`touch ${mode}: exit status ${status}: ${stdout}`);
  return {
    mode,
    share,
    first: Number(first) / Number(pages),
    second: Number(second) / Number(pages),
    faults: Number(faults),
  };
}

/** Both modes with shared and private tables. */
export async function touches(mib: number, engine: MachineEngine): Promise<Touch[]> {
  const list: Touch[] = [];
  for (const mode of ["read", "write"] as const)
    for (const share of [true, false]) list.push(await touch({ mode, share, mib, engine }));
  return list;
}

export function touchTable(mib: number, list: readonly Touch[]): string {
  const head = [
    `${mib} MiB that another populated`,
    "shared",
    "second pass",
    "first / second",
    "faults",
    "private",
    "faults",
    "private / shared",
  ];
  const table = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i ? "right" : "left")),
  });
  const ns = (value: number): string => `${value.toFixed(1)} ns`;
  for (const mode of ["read", "write"] as const) {
    const shared = list.find((item) => item.mode === mode && item.share)!;
    const separate = list.find((item) => item.mode === mode && !item.share)!;
    table.push([
      `${mode}, a page`,
      ns(shared.first),
      ns(shared.second),
      formatRatio(shared.first, shared.second),
      formatCount(shared.faults),
      ns(separate.first),
      formatCount(separate.faults),
      formatRatio(separate.first, shared.first),
    ]);
  }
  return table.toString();
}

/** Milliseconds from starting a command to its first output. */
async function firstOutput(command: string, args: readonly string[]): Promise<number> {
  const begin = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const ms = await new Promise<number>((resolve) =>
    child.stdout.once("data", () => resolve(performance.now() - begin)),
  );
  await ended;
  return ms;
}

/** Medians of starts, in milliseconds: ours (dist/, as built), and qemu-riscv64's where it is installed. */
export async function starts(runs: number): Promise<{ mshare: number; qemuUser: number | undefined }> {
  const program = buildGuest("bench/guest/workloads.c");
  const args = [program, "getppid", "0"];
  const median = async (command: string, args: readonly string[]): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < runs; i++) times.push(await firstOutput(command, args));
    return times.sort((a, b) => a - b)[runs >> 1];
  };
  return {
    mshare: await median(join(ROOT, "bin/mshare.js"), ["run", ...args]),
    qemuUser: hasCommand("qemu-riscv64") ? await median("qemu-riscv64", args) : undefined,
  };
}
