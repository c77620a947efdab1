// Compiles C for the guest (and natively) in tests, and says what the machine has for it. Not part of the package.
import { type SpawnSyncReturns, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const CROSS = "riscv64-linux-gnu-gcc";

/** The first line of `COMMAND --version`, or undefined where there is none. */
function versionOf(command: string): string | undefined {
  const result = spawnSync(command, ["--version"], { encoding: "utf8" });
  return result.status === 0 ? result.stdout.split("\n")[0] : undefined;
}
/** Debian's cross compiler for riscv64 and its version; undefined where it is not installed. */
export const crossCompiler = (): string | undefined => versionOf(CROSS);
/** The machine's own compiler; undefined where there is none. */
export const nativeCompiler = (): string | undefined => versionOf("gcc");
/** Why tests that compile for the guest are skipped; false: they are not. For `describe.skipIf`, and to print. */
export const skipReason = (): string | false =>
  crossCompiler() === undefined &&
  `${CROSS} is not installed (apt-get install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross)`;

/** A title for `describe.skipIf(skipReason())` that says why, where it is skipped. */
export const titled = (title: string): string => {
  const reason = skipReason();
  return reason === false ? title : `${title} (skipped: ${reason})`;
};

export interface BuildOptions {
  /** Over "-O2 -Wall -static -pthread -I guest/include". */
  flags?: readonly string[];
  /** Do not link statically: the program wants an ld.so. */
  dynamic?: boolean;
  /** "native": with gcc for this machine. */
  target?: "riscv64" | "native";
}

/**
 * Compiles one C file (a path in the checkout, or the text itself if it has more than one line). Returns the program's path, in a cache by
 * the hash of all that it is made from. Throws with the compiler's messages.
 */
export function buildGuest(source: string, options: BuildOptions = {}): string {
  const compiler = options.target === "native" ? "gcc" : CROSS;
  const inline = source.includes("\n");
  const path = inline ? null : resolve(ROOT, source);
  const text = path === null ? source : readFileSync(path, "utf8");
  const headers = [join(ROOT, "guest/include"), ...(path === null ? [] : [dirname(path)])];
  const flags = ["-O2", "-Wall", "-pthread", ...(options.dynamic ? [] : ["-static"]), ...headers.map((h) => `-I${h}`)];
  const arguments_ = [...flags, ...(options.flags ?? [])];
  const hash = createHash("sha256").update(JSON.stringify([versionOf(compiler), arguments_, text]));
  for (const directory of headers)
    for (const name of readdirSync(directory).sort())
      if (name.endsWith(".h")) hash.update(readFileSync(join(directory, name)));
  const cache = join(tmpdir(), `mshare-guest-${userInfo().uid}`, hash.digest("hex").slice(0, 20));
  const name = path === null ? "program" : basename(path, ".c");
  const built = join(cache, name);
  if (existsSync(built)) return built;
  mkdirSync(cache, { recursive: true });
  const part = `${built}.${process.pid}`;
  const input = join(cache, `${name}.c`);
  if (path === null) writeFileSync(input, text);
  const result = spawnSync(compiler, ["-o", part, path ?? input, ...arguments_, "-lm"], { encoding: "utf8" });
  if (result.status !== 0)
    throw new Error(`${compiler} ${basename(source)}: ${result.error?.message ?? result.stderr}`);
  renameSync(part, built);
  return built;
}

/** Runs a program natively (or under `via`, as qemu-riscv64): what the real thing says. */
export function runHere(program: string, args: readonly string[] = [], via?: string): SpawnSyncReturns<string> {
  return via === undefined
    ? spawnSync(program, args, { encoding: "utf8" })
    : spawnSync(via, [program, ...args], { encoding: "utf8" });
}

/** Is there such a command here? */
export function hasCommand(command: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
