// The program that somebody asked for: found in the guest's tree or brought from the host, and a plain word about why it cannot run.
// Used by Machine.run; the errors' exit statuses are those of shells.
import { type Stats, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { E2BIG, EACCES, ELIBBAD, ENOENT, ENOEXEC, ENOMEM } from "../base/errno.ts";

/** What a person did wrong, or cannot have: one line, and the exit status that goes with it. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  readonly exitStatus: number;
  constructor(message: string, exitStatus = 1) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

/** Found, but cannot be executed; not found: as shells say it. */
const CANNOT_RUN = 126;
const NOT_FOUND = 127;

/** Where programs are looked for in the guest. */
export const GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A program of the host's: its name in the guest, and its bytes. Throws MachineError. */
export function readHostProgram(path: string): { name: string; data: Uint8Array } {
  let stat: Stats;
  try {
    stat = statSync(path);
    if (stat.isFile()) return { name: basename(path), data: readFileSync(path) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM") throw new MachineError(`${path}: permission denied`, CANNOT_RUN);
    if (code === "ENOENT" || code === "ENOTDIR") throw new MachineError(`${path}: no such program`, NOT_FOUND);
    throw new MachineError(`${path}: ${(error as Error).message}`, CANNOT_RUN);
  }
  throw new MachineError(`${path}: ${stat.isDirectory() ? "is a directory" : "is not a file"}`, CANNOT_RUN);
}

/** e_machine of the architectures that people are likely to try. */
const ARCHITECTURES: Readonly<Record<number, string>> = {
  3: "x86",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC 64",
  22: "s390",
  40: "ARM",
  62: "x86-64",
  183: "AArch64",
  243: "RISC-V",
  258: "LoongArch",
};

/** What a file is that is no riscv64 program; null if its header is one's. */
export function notRiscv64(data: Uint8Array): string | null {
  if (data.length === 0) return "an empty file";
  const magic = String.fromCharCode(...data.subarray(0, 4));
  if (magic !== "\x7fELF") {
    if (magic.startsWith("MZ")) return "a Windows program";
    if (magic === "\0asm") return "a WebAssembly module";
    return "not an ELF file";
  }
  if (data.length < 64) return `a truncated ELF file of ${data.length} bytes`;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const little = view.getUint8(5) === 1;
  const machine = view.getUint16(18, little);
  const bits = view.getUint8(4) === 2 ? 64 : 32;
  if (machine !== 243) return ARCHITECTURES[machine] ?? `machine ${machine}`;
  if (bits !== 64) return "32-bit RISC-V";
  if (!little) return "big-endian RISC-V";
  const type = view.getUint16(16, true);
  if (type !== 2 && type !== 3) return type === 1 ? "an object file, not linked yet" : `an ELF file of type ${type}`;
  return null;
}

/** Why exec refused `path` with `errno`. `data`: the file, if the caller has it. */
export function cannotRun(path: string, errno: number, data: Uint8Array | null): MachineError {
  const said = (why: string, status = CANNOT_RUN): MachineError => new MachineError(`${path}: ${why}`, status);
  switch (errno) {
    case ENOENT:
      // The file itself is there, or it would not have come to this.
      return data === null
        ? said("no such program", NOT_FOUND)
        : said(
            "its interpreter (ld.so, or what #! names) is not in the guest: mount a root with --mount DIRECTORY:/",
            NOT_FOUND,
          );
    case EACCES:
      return said("permission denied");
    case ENOEXEC: {
      const what = data === null ? null : notRiscv64(data);
      return said(
        what === null ? "not a riscv64 program: its ELF headers are damaged" : `not a riscv64 program: ${what}`,
      );
    }
    case ELIBBAD:
      return said("its interpreter is not a riscv64 program");
    case ENOMEM:
      return said("not enough memory to load it: give the machine more with --memory");
    case E2BIG:
      return said("its arguments and environment are too long");
    default:
      return said(`cannot be executed (errno ${errno})`);
  }
}
