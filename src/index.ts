// The library: a Machine is a whole Linux system — hardware, kernel, files — that runs riscv64 programs. The command (src/cli) is made of it.
// docs/library.md is its guide.
import { EEXIST, ENOMEM, ENOSPC, EROFS } from "./base/errno.ts";
import { PAGE_SIZE } from "./base/numbers.ts";
import { MAX_GUEST_RAM, MAX_HARTS, MAX_TLB_NEIGHBOURS, MIN_GUEST_RAM } from "./base/limits.ts";
import { type Counters, readCounters } from "./host/counters.ts";
import { Deadlock, drive } from "./host/drive.ts";
import type { Host } from "./host/host.ts";
import { NodeFs } from "./host/node-fs.ts";
import { NodeHost } from "./host/node.ts";
import { GUEST_PATH, MachineError, cannotRun, readHostProgram } from "./host/program.ts";
import { SimulatedHost } from "./host/simulated.ts";
import { Capture } from "./host/streams.ts";
import { boot, startProgram } from "./kernel/boot.ts";
import { describeTask } from "./kernel/dump.ts";
import { AT_FDCWD, isRegular, utf8ToByteString } from "./kernel/fs/abi.ts";
import type { Path } from "./kernel/fs/inode.ts";
import { putFile } from "./kernel/fs/setup.ts";
import type { Kernel } from "./kernel/kernel.ts";
import {
  allowBranchHints,
  allowRelaxedMultiplyAdd,
  canStayUnoptimized,
  compileOptimized,
  compileUnoptimized,
} from "./host/v8.ts";
import type { HostFs } from "./kernel/ports.ts";
import type { Process } from "./kernel/process.ts";
import { SIGKILL, signalName } from "./kernel/siginfo.ts";
import { type Engine, createHardware } from "./machine/hardware.ts";
import type { Overcommit } from "./mm/memory-manager.ts";
import type { TlbFlush } from "./mm/shootdown.ts";
import { MAX_SWAP_PAGES } from "./mm/swap.ts";

export { Deadlock, MachineError };
export type { Counters, Engine, Host, HostFs, TlbFlush };

/** A host directory that the guest sees. */
export interface MountOption {
  /** A directory of the host, or anything that behaves like one. */
  host: string | HostFs;
  /** Where in the guest; "/" makes it the root. */
  guest: string;
  /** Let the guest write there. Default: no. */
  writable?: boolean;
}

export interface MachineOptions {
  /** Guest RAM in bytes: 8 MiB to 3.5 GiB. Default: 512 MiB. */
  memory?: number;
  /** Harts (hardware threads) that take turns: 1 to 64. Default: 1. */
  harts?: number;
  /** How guest code runs; the results are the same. Default: "jit". */
  engine?: Engine;
  /** The same seed gives the same run: clock and randomness are made from it. Default: the host's. */
  seed?: number | undefined;
  /** Regions of mshare share their page tables. Default: yes. No: the same calls with private tables behind them, to compare with. */
  share?: boolean;
  /** Bytes of a swap device, in use from the start: /dev/swap. Default: none. */
  swap?: number | undefined;
  /** Huge pages of 2 MiB in the pool from the start (vm.nr_hugepages). Default: none. */
  hugepages?: number | undefined;
  /** How translations are taken away: see docs/mshare.md. Default: "mask". */
  tlbFlush?: TlbFlush;
  /** Pages that one TLB miss may enter, if misses come one after the other: 1 to 512. 1: only the one that missed, and an extent is one page. Default: 512. */
  tlbNeighbours?: number;
  /** Count loads, stores and atomics, of which stats.memoryAccesses and stats.tlbHits are made. Takes a few percent of the time. */
  countAccesses?: boolean;
  /** vm.overcommit_memory. Default: 0. */
  overcommit?: Overcommit;
  /** Recount all memory management as the machine runs, and fail on the first difference. Slow; for tests. */
  verify?: boolean;
  /** The environment of programs, over PATH and HOME. */
  env?: Readonly<Record<string, string>>;
  mounts?: readonly MountOption[];
  /** Files to put into the guest, by absolute path; 0755 each. */
  files?: Readonly<Record<string, string | Uint8Array>>;
  /** Standard input. "inherit": this process's. A list: a piece each time when the guest has nothing else to do. Default: empty. */
  stdin?: "inherit" | string | Uint8Array | readonly (string | Uint8Array)[];
  /** Called with each piece of standard input as the guest takes it. */
  onStdin?: (bytes: Uint8Array) => void;
  /** Standard streams are a terminal of this size (not with "inherit", which takes what is there). */
  terminal?: { columns: number; rows: number };
  /** Standard output. "inherit": this process's. Default: collected in the result. */
  onStdout?: "inherit" | ((bytes: Uint8Array) => void);
  onStderr?: "inherit" | ((bytes: Uint8Array) => void);
  /** Each system call, as strace(1) writes it. */
  strace?: ((line: string) => void) | undefined;
  /** A signal ends a program that would dump core: who, registers, code, address space, page tables, a line each. */
  onFatalSignal?: ((lines: readonly string[]) => void) | undefined;
  /** The kernel's own messages. Default: standard error. */
  log?: (line: string) => void;
}

/** A program as bytes instead of a file. */
export interface ProgramBytes {
  /** Its name in the guest's /bin. */
  name: string;
  data: Uint8Array;
}

export interface RunResult {
  /** As a shell's $?: the exit status, or 128 and the signal's number. */
  status: number;
  /** "SIGSEGV" …, if a signal ended it. */
  signal: string | null;
  /** What it printed, if not passed on (UTF-8; `stdoutBytes` has the bytes). */
  stdout: string;
  stdoutBytes: Uint8Array;
  stderr: string;
  /** Counters of the machine, and how long this run took. */
  stats: Counters & { wallMs: number };
}

/**
 * A machine. It runs one program after the other; files and regions that one leaves in it, the next finds.
 * @example
 * const machine = new Machine({ memory: 64 * 2 ** 20 });
 * const { status, stdout, stats } = await machine.run("build/hello", ["world"]);
 */
export class Machine {
  readonly kernel: Kernel;
  readonly #host: Host;
  readonly #options: MachineOptions;
  readonly #stdout = new Capture();
  readonly #stderr = new Capture();
  #program: Process | null = null;

  /** Throws MachineError if the options ask for what cannot be. */
  constructor(options: MachineOptions = {}) {
    this.#options = options;
    const memoryBytes = options.memory ?? 512 * 2 ** 20;
    const harts = options.harts ?? 1;
    const tlbNeighbours = options.tlbNeighbours ?? MAX_TLB_NEIGHBOURS;
    checkSizes(memoryBytes, harts, tlbNeighbours);
    // 1. The host: streams, clock, directories.
    this.#host = this.#makeHost();
    const mounts = (options.mounts ?? []).map((mount) => ({ fs: openMount(mount), at: utf8ToByteString(mount.guest) }));
    // 2. The hardware: RAM, harts and their engine.
    allowRelaxedMultiplyAdd();
    allowBranchHints();
    const hardware = createHardware({
      memoryBytes,
      harts,
      engine: options.engine ?? "jit",
      tlbNeighbours,
      countAccesses: options.countAccesses ?? false,
      compile: compileUnoptimized,
      compileAgain: canStayUnoptimized ? compileOptimized : undefined,
    });
    // 3. The kernel on it, with its files.
    this.kernel = boot({
      hardware,
      ports: this.#host.ports,
      memory: { overcommit: options.overcommit ?? 0, tlbFlush: options.tlbFlush ?? "mask" },
      kernel: {
        seed: options.seed,
        swapPages: swapPages(options.swap),
        hugepages: options.hugepages,
        share: options.share ?? true,
        strace: options.strace,
        verify: options.verify ?? false,
      },
      files: { mounts, files: Object.entries(options.files ?? {}).map(([path, data]) => fileOf(path, data)) },
    });
    checkHugepages(this.kernel, options.hugepages ?? 0);
    const { onFatalSignal } = options;
    if (onFatalSignal !== undefined) {
      this.kernel.onFatalSignal = (task, info) => {
        const headline = `${signalName(info.signo)} (code ${info.code}) ends ${task.comm}`;
        onFatalSignal([headline, ...describeTask(task, info.addr === undefined ? undefined : Number(info.addr))]);
      };
    }
    this.#host.onSignal = (signo) => this.signal(signo);
  }

  /**
   * Runs a program to its end; processes that it leaves behind are killed then. `program`: a path or name in the guest's tree if there is
   * such a file, else a file of the host's, which is copied to the guest's /bin.
   *
   * Throws MachineError if it cannot be started, Deadlock if it waits for what can never come.
   */
  async run(
    program: string | ProgramBytes,
    args: readonly string[] = [],
    options: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
  ): Promise<RunResult> {
    const { kernel } = this;
    const begin = performance.now();
    const outputs = { stdout: this.#stdout.mark(), stderr: this.#stderr.mark() };
    const process = this.#start(program, args, options);
    this.#program = process;
    let ended = false;
    kernel.onReap = (reaped) => {
      if (reaped === process) ended = true;
    };
    this.#host.begin();
    try {
      await drive(kernel, this.#host, () => ended);
      this.#program = null;
      await this.#endOthers();
      if (this.#options.verify) kernel.memory.verify();
    } finally {
      this.#host.end();
      kernel.onReap = null;
    }
    const wallMs = performance.now() - begin;
    const signo = process.exitStatus & 0x7f;
    const stdout = this.#stdout.since(outputs.stdout);
    return {
      status: signo !== 0 ? 128 + signo : (process.exitStatus >> 8) & 0xff,
      signal: signo !== 0 ? signalName(signo) : null,
      stdout: new TextDecoder().decode(stdout),
      stdoutBytes: stdout,
      stderr: new TextDecoder().decode(this.#stderr.since(outputs.stderr)),
      stats: { ...this.counters(), wallMs },
    };
  }

  /** Sends a signal to the program that runs, as `kill` would: to its process group. */
  signal(signo: number): void {
    for (const member of this.#program?.group.members ?? []) {
      this.kernel.signals.sendToProcess(member, { signo, code: 0 });
    }
  }

  /** The counters now. */
  counters(): Counters {
    return readCounters(this.kernel);
  }

  /** Recounts frames, tables and counters; throws if something is wrong. */
  verify(): void {
    this.kernel.memory.verify();
  }

  #makeHost(): Host {
    const { stdin, terminal, onStdin, onStdout, onStderr, seed, log } = this.#options;
    const out = onStdout ?? this.#stdout.take;
    const err = onStderr ?? this.#stderr.take;
    const scripted = Array.isArray(stdin) || terminal !== undefined;
    if (scripted && stdin !== "inherit" && out !== "inherit" && err !== "inherit") {
      const pieces = stdin === undefined ? [] : Array.isArray(stdin) ? stdin : [stdin as string | Uint8Array];
      return new SimulatedHost({
        seed: seed ?? 1,
        stdin: pieces.map(bytesOf),
        terminal,
        onStdout: out,
        onStderr: err,
        log: log ?? ((line) => err(bytesOf(line + "\n"))),
      });
    }
    if (Array.isArray(stdin)) throw new MachineError("scripted input needs collected output");
    const input = stdin === undefined || stdin === "inherit" ? stdin : bytesOf(stdin as string | Uint8Array);
    return new NodeHost({ stdin: input, onStdin, stdout: out, stderr: err, log });
  }

  /** Makes the process, from the guest's file or the host's. */
  #start(
    program: string | ProgramBytes,
    args: readonly string[],
    options: { env?: Readonly<Record<string, string>>; cwd?: string },
  ): Process {
    const name = typeof program === "string" ? program : program.name;
    const home = typeof this.#look("/root") === "number" ? "/" : "/root";
    const env = { PATH: GUEST_PATH, HOME: home, ...this.#options.env, ...options.env };
    let path = typeof program === "string" ? this.#find(program) : null;
    let data: Uint8Array | null = null;
    if (path === null) {
      const bytes = typeof program === "string" ? readHostProgram(program) : program;
      data = bytes.data;
      path = this.#place(bytes);
    }
    const process = startProgram(this.kernel, {
      path,
      argv: [name, ...args].map(utf8ToByteString),
      env: Object.entries(env).map(([key, value]) => utf8ToByteString(`${key}=${value}`)),
      cwd: utf8ToByteString(options.cwd ?? "/"),
    });
    if (typeof process === "number") throw cannotRun(name, -process, data);
    return process;
  }

  /** The guest's path of a program that is in its tree; null if there is none. */
  #find(program: string): string | null {
    const name = utf8ToByteString(program);
    if (name.startsWith("/")) return this.#isFile(name) ? name : null;
    if (name.includes("/")) return null;
    const paths = GUEST_PATH.split(":").map((directory) => `${directory}/${name}`);
    return paths.find((path) => this.#isFile(path)) ?? null;
  }
  #isFile(path: string): boolean {
    const found = this.#look(path);
    return typeof found !== "number" && isRegular(found.inode.mode);
  }
  /** What is at `path` in the guest's tree, or -errno. */
  #look(path: string): Path | number {
    return this.kernel.vfs.resolve(this.kernel.init.leader, AT_FDCWD, path, { follow: true });
  }

  /** Puts a program into the guest: /bin, or /run where /bin is the host's and read-only. */
  #place({ name, data }: ProgramBytes): string {
    for (const directory of ["/bin", "/run"]) {
      const path = `${directory}/${utf8ToByteString(name)}`;
      const error = putFile(this.kernel.vfs, { path, mode: 0o755, data });
      if (error === 0) return path;
      if (error === -ENOSPC || error === -ENOMEM) throw new MachineError(`${name}: too big for the guest's memory`);
      if (error !== -EROFS && error !== -EEXIST)
        throw new MachineError(`${name}: cannot be put into the guest (errno ${-error})`);
    }
    throw new MachineError(`${name}: there is no place in the guest where it could be put`);
  }

  /** The program is over: ends what it left behind, so that the machine is quiet. */
  async #endOthers(): Promise<void> {
    const { kernel } = this;
    const others = (): Process[] => [...kernel.processes.values()].filter((process) => process !== kernel.init);
    for (const process of others()) kernel.signals.sendToProcess(process, { signo: SIGKILL, code: 0 });
    await drive(kernel, this.#host, () => others().length === 0);
  }
}

function swapPages(bytes: number | undefined): number | undefined {
  if (bytes === undefined || bytes === 0) return undefined;
  const pages = Math.floor(bytes / PAGE_SIZE);
  if (!(pages >= 1 && pages <= MAX_SWAP_PAGES))
    throw new MachineError(
      `swap of ${bytes} bytes: 4 KiB to ${(MAX_SWAP_PAGES * PAGE_SIZE) / 2 ** 30} GiB are possible`,
      2,
    );
  return pages;
}

function checkHugepages(kernel: Kernel, wanted: number): void {
  const { total } = kernel.memory.hugetlb.defaultPool;
  if (total !== wanted)
    throw new MachineError(`${wanted} huge pages: memory has room for ${total}; use fewer, or more memory`, 2);
}

function checkSizes(memory: number, harts: number, neighbours: number): void {
  const mib = (bytes: number): string => `${bytes / 2 ** 20} MiB`;
  if (!(memory >= MIN_GUEST_RAM))
    throw new MachineError(`too little memory: ${mib(memory)}; at least ${mib(MIN_GUEST_RAM)} are needed`, 2);
  if (!(memory <= MAX_GUEST_RAM))
    throw new MachineError(`too much memory: ${mib(memory)}; at most ${mib(MAX_GUEST_RAM)} are possible`, 2);
  if (!Number.isInteger(harts) || harts < 1 || harts > MAX_HARTS)
    throw new MachineError(`${harts} harts: 1 to ${MAX_HARTS} are possible`, 2);
  if (!Number.isInteger(neighbours) || neighbours < 1 || neighbours > MAX_TLB_NEIGHBOURS)
    throw new MachineError(`${neighbours} TLB neighbours: 1 to ${MAX_TLB_NEIGHBOURS} are possible`, 2);
}

function openMount(mount: MountOption): HostFs {
  if (typeof mount.host !== "string") return mount.host;
  try {
    return new NodeFs(mount.host, { writable: mount.writable ?? false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === "ENOENT" ? "no such directory" : code === "ENOTDIR" ? "not a directory" : (error as Error).message;
    throw new MachineError(`cannot mount ${mount.host}: ${why}`, 2);
  }
}

const bytesOf = (data: string | Uint8Array): Uint8Array =>
  typeof data === "string" ? new TextEncoder().encode(data) : data;

const fileOf = (path: string, data: string | Uint8Array): { path: string; mode: number; data: Uint8Array } => ({
  path: utf8ToByteString(path),
  mode: 0o755,
  data: bytesOf(data),
});
