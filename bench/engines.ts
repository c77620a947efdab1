// The engines that the benchmark compares, each as a way to run a workload once: our machine, QEMU in user mode and with a whole Linux, and this
// processor itself. Used by bench/main.ts and its test. A workload of our program times itself; one of Debian's (programs.ts) is timed from its
// start to its end, and its checksum is that of what it prints.
import { createHash } from "node:crypto";
import type { Engine as MachineEngine } from "../src/index.ts";
import { buildGuest, crossCompiler, hasCommand, nativeCompiler, runHere } from "../src/testing/build.ts";
import { Machine } from "./library.ts";
import { Linux, noLinux } from "./on-linux.ts";
import { ENVIRONMENT, type Program, type ProgramRoot, notHere, timedHere } from "./programs.ts";

const SOURCE = "bench/guest/workloads.c";

/** What one run of a workload printed, and the instructions it took where the engine counts them. */
export interface Sample {
  readonly checksum: string;
  readonly ns: number;
  readonly operations: number;
  readonly instructions?: number;
}

export interface Engine {
  readonly name: string;
  /** Why it cannot be had here. */
  readonly missing?: string | undefined;
  /** Makes it ready to run `names`, and ends it. */
  start?(names: readonly string[], scale: number): Promise<void>;
  stop?(): void;
  /** Why it cannot run this workload; undefined: it can. */
  readonly without?: (name: string) => string | undefined;
  /** Runs a workload once. */
  run(name: string, scale: number): Promise<Sample>;
}

/** "NAME CHECKSUM NANOSECONDS OPERATIONS". */
export function parseSample(line: string): { name: string; sample: Sample } {
  const [name, checksum, ns, operations] = line.trim().split(" ");
  if (operations === undefined || !(Number(operations) > 0))
    throw new Error(`not a workload's line: ${JSON.stringify(line)}`);
  return { name, sample: { checksum, ns: Number(ns), operations: Number(operations) } };
}

/** Digits of a SHA-256 that are a checksum. */
const DIGITS = 16;

function sampleOf(program: Program, scale: number, { stdout, ns }: { stdout: Uint8Array; ns: number }): Sample {
  const checksum = createHash("sha256").update(stdout).digest("hex").slice(0, DIGITS);
  return { checksum, ns, operations: program.operations(scale) };
}

/** The names of all workloads of our program, from the program's own usage message. */
export function workloadNames(): string[] {
  const usage = runHere(buildGuest(SOURCE, NATIVE)).stderr;
  return usage.trim().split("names: ")[1].split(" ");
}

/** Our machine with one of its engines. `root`: Debian's programs, if they are to be had. */
export function machineEngine(engine: MachineEngine, root?: ProgramRoot): Engine {
  const ours = async (name: string, scale: number): Promise<Sample> => {
    const machine = new Machine({ memory: 512 * 2 ** 20, engine });
    const { stdout, stderr, status, stats } = await machine.run(buildGuest(SOURCE), [name, `${scale}`]);
    if (status !== 0) throw new Error(`${name} on ${engine}: exit status ${status} ${stderr}`);
    return { ...parseSample(stdout).sample, instructions: stats.instructions };
  };
  const debians = async (program: Program, { directory }: ProgramRoot, scale: number): Promise<Sample> => {
    const mounts = [{ host: directory, guest: "/" }];
    const machine = new Machine({ memory: 512 * 2 ** 20, engine, mounts, env: ENVIRONMENT });
    const { stdoutBytes, stderr, status, stats } = await machine.run(program.command, program.args(scale, "/data"));
    if (status !== 0) throw new Error(`${program.name} on ${engine}: exit status ${status} ${stderr}`);
    const sample = sampleOf(program, scale, { stdout: stdoutBytes, ns: stats.wallMs * 1e6 });
    return { ...sample, instructions: stats.instructions };
  };
  return {
    name: engine,
    missing: crossCompiler() === undefined ? "no cross compiler" : undefined,
    run(name, scale) {
      const program = root?.find(name);
      return root === undefined || program === undefined ? ours(name, scale) : debians(program, root, scale);
    },
  };
}

/** For this very processor: gcc fuses multiplications with additions for riscv64, and must do so here too, or n-body's last bit is another. */
const NATIVE = { target: "native", flags: ["-march=native"] } as const;

/** Runs a program of ours that is here; qemu-riscv64 is `via`. */
const oursHere = (name: string, scale: number, via?: string): Sample =>
  parseSample(runHere(buildGuest(SOURCE, via === undefined ? NATIVE : {}), [name, `${scale}`], via).stdout).sample;

export const qemuUser = (root?: ProgramRoot): Engine => ({
  name: "qemu-user",
  missing: hasCommand("qemu-riscv64") ? undefined : "qemu-riscv64 is not installed (apt-get install qemu-user)",
  run(name, scale) {
    const program = root?.find(name);
    if (root === undefined || program === undefined) return Promise.resolve(oursHere(name, scale, "qemu-riscv64"));
    const args = ["-L", root.directory, root.file(program), ...program.args(scale, root.data)];
    return Promise.resolve(sampleOf(program, scale, timedHere("qemu-riscv64", args)));
  },
});

/** Of Debian's programs it runs this machine's own, another build and perhaps another version. */
export const native = (root?: ProgramRoot): Engine => ({
  name: "native",
  missing: nativeCompiler() === undefined ? "no gcc" : undefined,
  without: (name) => {
    const program = root?.find(name);
    return program && notHere(program);
  },
  run(name, scale) {
    const program = root?.find(name);
    if (root === undefined || program === undefined) return Promise.resolve(oursHere(name, scale));
    const sample = sampleOf(program, scale, timedHere(program.command, program.args(scale, root.data)));
    return Promise.resolve(program.sameElsewhere ? sample : { ...sample, checksum: ANOTHER_VERSION });
  },
});

/** Instead of a checksum that another version of the program need not give. */
export const ANOTHER_VERSION = "-";

/** Linux in qemu-system-riscv64: one boot, then it waits for its turns. */
export function qemuSystem(root?: ProgramRoot): Engine {
  let linux: Linux | undefined;
  return {
    name: "qemu-system",
    missing: noLinux(),
    async start(names, scale) {
      const scripts = Object.fromEntries(names.map((name) => [name, linuxCommand(name, scale, root)]));
      const trees: Record<string, string> = root === undefined ? {} : { [DEBIAN]: root.directory };
      linux = await Linux.boot({ files: { workloads: buildGuest(SOURCE) }, trees, scripts });
    },
    async run(name, scale) {
      const line = await linux!.run(name);
      return parseProgram(line, scale, root) ?? parseSample(line).sample;
    },
    stop: () => linux?.stop(),
  };
}

/** Where the root of Debian's programs is in Linux's. */
const DEBIAN = "debian";

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** What runs a workload once in Linux and prints a line about it. */
function linuxCommand(name: string, scale: number, root?: ProgramRoot): string {
  const program = root?.find(name);
  if (program === undefined) return `workloads ${name} ${scale}`;
  const environment = Object.entries(ENVIRONMENT).map(([key, value]) => `${key}=${quoted(value)}`);
  const command = [program.command, ...program.args(scale, "/data")].map(quoted).join(" ");
  const clock = (variable: string): string => `read ${variable} rest </proc/uptime`;
  const run = `${environment.join(" ")} chroot /${DEBIAN} ${command} >/tmp/output`;
  const devices = `[ -e /${DEBIAN}/dev/null ] || mount -t devtmpfs dev /${DEBIAN}/dev`;
  return `${devices}; ${clock("began")}; ${run}; ${clock("ended")}; echo program ${name} $(sha256sum </tmp/output) $began $ended`;
}

/** "program NAME SHA256 - SECONDS SECONDS", from linuxCommand; undefined if the line is another's. The clock's unit is 10 ms. */
function parseProgram(line: string, scale: number, root?: ProgramRoot): Sample | undefined {
  const [head, name, sum, , began, ended] = line.trim().split(" ");
  const program = head === "program" ? root?.find(name) : undefined;
  if (program === undefined) return undefined;
  const ns = Math.round((Number(ended) - Number(began)) * 100) * 1e7;
  return { checksum: sum.slice(0, DIGITS), ns, operations: program.operations(scale) };
}
