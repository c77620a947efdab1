// The engines that the benchmark compares, each as a way to run a workload once: our machine, QEMU in user mode and with a whole Linux, and this
// processor itself. Used by bench/main.ts and its test.
import { Machine, type Engine as MachineEngine } from "../src/index.ts";
import { buildGuest, crossCompiler, hasCommand, nativeCompiler, runHere } from "../src/testing/build.ts";
import { noLinux, onLinux } from "./on-linux.ts";

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
  /** Runs each of `names` `runs` times; samples by name. */
  run(names: readonly string[], runs: number, scale: number): Promise<Map<string, Sample[]>>;
}

/** "NAME CHECKSUM NANOSECONDS OPERATIONS". */
export function parseSample(line: string): { name: string; sample: Sample } {
  const [name, checksum, ns, operations] = line.trim().split(" ");
  if (operations === undefined || !(Number(operations) > 0))
    throw new Error(`not a workload's line: ${JSON.stringify(line)}`);
  return { name, sample: { checksum, ns: Number(ns), operations: Number(operations) } };
}

/** The names of all workloads, from the program's own usage message. */
export function workloadNames(): string[] {
  const usage = runHere(buildGuest(SOURCE, { target: "native" })).stderr;
  return usage.trim().split("names: ")[1].split(" ");
}

/** Runs workloads one by one with `once`. */
function oneByOne(once: (name: string, scale: number) => Promise<Sample>): Engine["run"] {
  return async (names, runs, scale) => {
    const samples = new Map<string, Sample[]>();
    for (const name of names) {
      const list: Sample[] = [];
      for (let run = 0; run < runs; run++) list.push(await once(name, scale));
      samples.set(name, list);
    }
    return samples;
  };
}

/** Our machine with one of its engines. */
export function machineEngine(engine: MachineEngine): Engine {
  return {
    name: engine,
    missing: crossCompiler() === undefined ? "no cross compiler" : undefined,
    run: oneByOne(async (name, scale) => {
      const machine = new Machine({ memory: 512 * 2 ** 20, engine });
      const { stdout, stderr, status, stats } = await machine.run(buildGuest(SOURCE), [name, `${scale}`]);
      if (status !== 0) throw new Error(`${name} on ${engine}: exit status ${status} ${stderr}`);
      return { ...parseSample(stdout).sample, instructions: stats.instructions };
    }),
  };
}

export const qemuUser = (): Engine => ({
  name: "qemu-user",
  missing: hasCommand("qemu-riscv64") ? undefined : "qemu-riscv64 is not installed (apt-get install qemu-user)",
  run: oneByOne((name, scale) =>
    Promise.resolve(parseSample(runHere(buildGuest(SOURCE), [name, `${scale}`], "qemu-riscv64").stdout).sample),
  ),
});

export const native = (): Engine => ({
  name: "native",
  missing: nativeCompiler() === undefined ? "no gcc" : undefined,
  run: oneByOne((name, scale) =>
    Promise.resolve(parseSample(runHere(buildGuest(SOURCE, { target: "native" }), [name, `${scale}`]).stdout).sample),
  ),
});

/** Linux in qemu-system-riscv64: one boot for everything. */
export const qemuSystem = (): Engine => ({
  name: "qemu-system",
  missing: noLinux(),
  async run(names, runs, scale) {
    const script = `for name in ${names.join(" ")}; do for run in $(seq ${runs}); do workloads $name ${scale}; done; done`;
    const output = await onLinux(script, { files: { workloads: buildGuest(SOURCE) } });
    const samples = new Map<string, Sample[]>(names.map((name) => [name, []]));
    for (const line of output.trim().split("\n")) {
      const { name, sample } = parseSample(line);
      samples.get(name)!.push(sample);
    }
    return samples;
  },
});
