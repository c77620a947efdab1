// Real riscv64 Linux (Debian's kernel, in qemu-system-riscv64's software emulation) as one of the engines that the benchmark compares: boots it
// with a root of our own, and gives what scripts there print. Used by bench/engines.ts; handy for looking at what Linux does.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Debian, type DebianOptions } from "../tools/debian.ts";

const QEMU = "qemu-system-riscv64";
/** What Linux prints when it waits for a script's name. */
const READY = "=== ready";

/** Why Linux cannot be run here; undefined if it can. */
export function noLinux(): string | undefined {
  if (spawnSync(QEMU, ["--version"]).status !== 0) return `${QEMU} is not installed (apt-get install qemu-system-misc)`;
  return undefined;
}

export interface LinuxOptions extends DebianOptions {
  /** Files in /bin there, by name: where they are here. */
  files: Readonly<Record<string, string>>;
  /** Directories of this machine, by name: whole trees in / there. */
  trees?: Readonly<Record<string, string>>;
  /** What it can be asked to run, by name: scripts for busybox's sh. */
  scripts: Readonly<Record<string, string>>;
  /** Guest RAM in MiB. Default: 1024. */
  memoryMiB?: number;
  /** Processors. Default: 1. */
  cpus?: number;
  /** For the boot, and for each script. Default: 5 minutes. */
  timeoutMs?: number;
}

/** A Linux that has booted and waits. */
export class Linux {
  private readonly qemu: ChildProcessWithoutNullStreams;
  private readonly timeoutMs: number;
  private output = "";
  /** Called when there is more output, or an end. */
  private heard = (): void => {};

  private constructor(args: readonly string[], timeoutMs: number) {
    this.timeoutMs = timeoutMs;
    this.qemu = spawn(QEMU, args);
    this.qemu.stdin.on("error", () => {});
    for (const stream of [this.qemu.stdout, this.qemu.stderr]) {
      stream.setEncoding("latin1").on("data", (text: string) => {
        this.output += text.replaceAll("\r", "");
        this.heard();
      });
    }
    this.qemu.on("close", () => this.heard());
  }

  /** Boots it. Throws if it does not come up. */
  static async boot(options: LinuxOptions): Promise<Linux> {
    const debian = new Debian(options);
    const busybox = join(await debian.package("busybox-static"), "usr/bin/busybox");
    const kernel = await kernelImage(debian);
    const files: CpioEntry[] = ["bin", "dev", "proc", "scripts", "sys", "tmp"].map((path) => ({
      path,
      mode: 0o040755,
      data: EMPTY,
    }));
    const add = (path: string, data: Uint8Array): unknown => files.push({ path, mode: 0o100755, data });
    add("bin/busybox", readFileSync(busybox));
    files.push({ path: "bin/sh", mode: 0o120777, data: Buffer.from("busybox") });
    for (const [name, from] of Object.entries(options.files)) add(`bin/${name}`, readFileSync(from));
    for (const [name, from] of Object.entries(options.trees ?? {})) files.push(...treeEntries(name, from));
    for (const [name, script] of Object.entries(options.scripts)) add(`scripts/${name}`, Buffer.from(script));
    add("init", Buffer.from(INIT));
    const directory = mkdtempSync(join(tmpdir(), "mshare-linux-"));
    try {
      const initrd = join(directory, "initrd.gz");
      writeFileSync(initrd, gzipSync(cpio(files), { level: 1 }));
      const memory = ["-m", `${options.memoryMiB ?? 1024}`];
      const machine = ["-M", "virt", ...memory, "-smp", `${options.cpus ?? 1}`, "-nographic", "-no-reboot"];
      const system = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1"];
      const linux = new Linux([...machine, ...system], options.timeoutMs ?? 300_000);
      await linux.ready();
      return linux;
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  /** Waits until Linux is ready for a script; what it has printed meanwhile. */
  private async ready(): Promise<string> {
    const deadline = Date.now() + this.timeoutMs;
    for (;;) {
      const end = this.output.indexOf(`${READY}\n`);
      if (end >= 0) {
        const text = this.output.slice(0, end);
        this.output = this.output.slice(end + READY.length + 1);
        return text;
      }
      const left = deadline - Date.now();
      if (left <= 0 || this.qemu.exitCode !== null || this.qemu.signalCode !== null) {
        this.stop();
        throw new Error(`Linux ${left <= 0 ? "took too long" : "ended"}:\n${this.output.slice(-500)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.heard = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Runs one of the scripts; what it printed. Throws if it does not come to its end. */
  async run(name: string): Promise<string> {
    this.qemu.stdin.write(`${name}\n`);
    return this.ready();
  }

  stop(): void {
    this.qemu.kill("SIGKILL");
  }
}

const INIT = `#!/bin/sh
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev 2>/dev/null; busybox mount -t tmpfs tmp /tmp
busybox --install -s /bin; export PATH=/bin
stty -echo
echo "${READY}"
while read -r name; do
  sh "/scripts/$name" </dev/null
  echo "${READY}"
done
`;

async function kernelImage(debian: Debian): Promise<string> {
  const names = await debian.dependencies("linux-image-riscv64");
  const name = names.find((dependency) => dependency.startsWith("linux-image-"));
  if (name === undefined) throw new Error("linux-image-riscv64 depends on no kernel");
  const boot = join(await debian.package(name), "boot");
  const image = readdirSync(boot).find((file) => file.startsWith("vmlinu"));
  if (image === undefined) throw new Error(`${name} has no kernel image`);
  return join(boot, image);
}

interface CpioEntry {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}
const EMPTY = new Uint8Array(0);

/** The directory `from` with all that is in it, as `path`. */
function treeEntries(path: string, from: string): CpioEntry[] {
  const stat = lstatSync(from);
  if (stat.isSymbolicLink()) return [{ path, mode: 0o120777, data: Buffer.from(readlinkSync(from)) }];
  const mode = stat.mode & 0o777;
  if (!stat.isDirectory()) return [{ path, mode: 0o100000 | mode, data: readFileSync(from) }];
  const inside = readdirSync(from).sort();
  return [{ path, mode: 0o040755, data: EMPTY }, ...inside.flatMap((n) => treeEntries(`${path}/${n}`, join(from, n)))];
}

/** A cpio archive of the format that the kernel unpacks (newc; Documentation/driver-api/early-userspace/buffer-format.rst). */
function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const pad = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);
  const add = (ino: number, { path, mode, data }: CpioEntry): void => {
    const name = Buffer.from(path + "\0");
    const fields = [ino, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from("070701" + fields.map((field) => field.toString(16).padStart(8, "0")).join(""));
    parts.push(header, name, pad(header.length + name.length), Buffer.from(data), pad(data.length));
  };
  entries.forEach((entry, index) => add(index + 1, entry));
  add(0, { path: "TRAILER!!!", mode: 0, data: EMPTY });
  return Buffer.concat(parts);
}
