// Real riscv64 Linux (Debian's kernel, in qemu-system-riscv64's software emulation) as one of the engines that the benchmark compares: boots it
// with a root of our own that runs one script, and gives what that prints. Used by bench/main.ts; handy for looking at what Linux does.
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Debian, type DebianOptions } from "../tools/debian.ts";

const QEMU = "qemu-system-riscv64";
const BEGIN = "=== begin";
const END = "=== end";

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
  /** Guest RAM in MiB. Default: 1024. */
  memoryMiB?: number;
  /** Processors. Default: 1. */
  cpus?: number;
  /** Default: 10 minutes. */
  timeoutMs?: number;
}

/** Boots Linux, runs `script` with busybox's sh, and returns what it printed. Throws if the script did not come to its end. */
export async function onLinux(script: string, options: LinuxOptions): Promise<string> {
  const debian = new Debian(options);
  const busybox = join(await debian.package("busybox-static"), "usr/bin/busybox");
  const kernel = await kernelImage(debian);
  const files: CpioEntry[] = ["bin", "dev", "proc", "sys", "tmp"].map((path) => ({
    path,
    mode: 0o040755,
    data: EMPTY,
  }));
  files.push({ path: "bin/busybox", mode: 0o100755, data: readFileSync(busybox) });
  files.push({ path: "bin/sh", mode: 0o120777, data: Buffer.from("busybox") });
  for (const [name, from] of Object.entries(options.files))
    files.push({ path: `bin/${name}`, mode: 0o100755, data: readFileSync(from) });
  for (const [name, from] of Object.entries(options.trees ?? {})) files.push(...treeEntries(name, from));
  files.push({ path: "init", mode: 0o100755, data: Buffer.from(initScript(script)) });
  const directory = mkdtempSync(join(tmpdir(), "mshare-linux-"));
  try {
    const initrd = join(directory, "initrd.gz");
    writeFileSync(initrd, gzipSync(cpio(files), { level: 1 }));
    const machine = [
      "-M",
      "virt",
      "-m",
      `${options.memoryMiB ?? 1024}`,
      "-smp",
      `${options.cpus ?? 1}`,
      "-nographic",
      "-no-reboot",
    ];
    const system = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1"];
    const output = execFileSync(QEMU, [...machine, ...system], {
      encoding: "latin1",
      timeout: options.timeoutMs ?? 600_000,
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 2 ** 28,
    }).replaceAll("\r", "");
    const begin = output.indexOf(BEGIN + "\n");
    const end = output.lastIndexOf(END);
    if (begin < 0 || end < begin)
      throw new Error(`Linux did not come to the end of the script:\n${output.slice(-500)}`);
    return output.slice(begin + BEGIN.length + 1, end);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const initScript = (script: string): string => `#!/bin/sh
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev 2>/dev/null; busybox mount -t tmpfs tmp /tmp
busybox --install -s /bin; export PATH=/bin
echo "${BEGIN}"
${script}
echo "${END}"
busybox poweroff -f
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
