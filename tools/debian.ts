// Debian packages for the guest: fetched from the mirror that this machine's apt is configured with, checked against the index's SHA256 (and
// the index against the Release file's, with a warning), unpacked into a cache. Used by tests and the benchmark. The mirror is never written
// here; the Release file's signature is not checked.
//
//   node --import tsx tools/debian.ts [--suite trixie] [--mirror URL] [--root DIRECTORY [--with-dependencies]] PACKAGE…
//
// prints where each package was unpacked, or with --root unpacks all of them there, a root for `mshare run --mount DIRECTORY:/`.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const ARCHITECTURE = "riscv64";
const DAY_MS = 24 * 3600 * 1000;

export interface DebianOptions {
  /** Default: trixie, the first with riscv64. */
  suite?: string | undefined;
  /** Default: the one of apt's configuration. */
  mirror?: string | undefined;
}

/** One package of the index. */
interface IndexEntry {
  readonly filename: string;
  readonly sha256: string;
  readonly depends: string;
}

/** A message for the person who called, without a stack. */
class DebianError extends Error {}

/** The first archive of Debian itself (not of security updates) in apt's configuration below `etc`; undefined if there is none. */
export function aptMirror(etc = "/etc/apt"): string | undefined {
  const parts = join(etc, "sources.list.d");
  const names = existsSync(parts) ? readdirSync(parts).sort() : [];
  const lists = [join(etc, "sources.list"), ...names.filter((n) => n.endsWith(".list")).map((n) => join(parts, n))];
  const uris = [
    ...names
      .filter((name) => name.endsWith(".sources"))
      .flatMap((name) => sourcesUris(readFileSync(join(parts, name), "utf8"))),
    ...lists.filter(existsSync).flatMap((path) => listUris(readFileSync(path, "utf8"))),
  ];
  return uris.map((uri) => uri.replace(/\/+$/, "")).find((uri) => /^https?:\/\/.*\/debian$/.test(uri));
}

/** URIs of a deb822 file: stanzas with "Types: deb", not disabled. */
function sourcesUris(text: string): string[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string): string => new RegExp(`^${name}:[ \t]*(.*)$`, "im").exec(stanza)?.[1].trim() ?? "";
    if (!field("Types").split(/\s+/).includes("deb") || field("Enabled").toLowerCase() === "no") return [];
    return field("URIs").split(/\s+/).filter(Boolean);
  });
}

/** URIs of a one-line-style file. */
function listUris(text: string): string[] {
  return [...text.matchAll(/^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)/gm)].map((match) => match[1]);
}

/** Where packages are kept. */
export const cacheDirectory = (): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "mshare", "debian");

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function download(url: string): Promise<Uint8Array> {
  const response = await fetch(url).catch((error: Error) => {
    throw new DebianError(`${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`);
  });
  if (!response.ok) throw new DebianError(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Writes a file so that nobody ever sees half of it. */
function writeWhole(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.${process.pid}`, bytes);
  renameSync(`${path}.${process.pid}`, path);
}

/** A suite of the archive for riscv64, with its packages in a cache. */
export class Debian {
  readonly #suite: string;
  readonly #mirror: string;
  readonly #cache: string;
  #index: PackagesIndex | null = null;

  constructor(options: DebianOptions = {}) {
    this.#suite = options.suite ?? "trixie";
    const mirror = options.mirror ?? aptMirror();
    if (mirror === undefined)
      throw new DebianError("apt's configuration names no mirror of Debian: give one with --mirror");
    this.#mirror = mirror.replace(/\/+$/, "");
    this.#cache = join(cacheDirectory(), `${this.#suite}-${ARCHITECTURE}`);
    mkdirSync(this.#cache, { recursive: true });
  }

  /** The directory that some version of the package is unpacked in; undefined: none. */
  kept(name: string): string | undefined {
    const found = readdirSync(this.#cache).find(
      (entry) => entry.replace(/-[0-9a-f]{16}$/, "") === name && entry !== name,
    );
    return found === undefined ? undefined : join(this.#cache, found);
  }
  /** The directory that the package is unpacked in; fetched if no version of it is there yet. */
  async package(name: string): Promise<string> {
    const kept = this.kept(name);
    if (kept !== undefined) return kept;
    const entry = (await this.#entries()).get(name);
    if (entry === undefined) throw new DebianError(`there is no package ${name} in ${this.#suite} for ${ARCHITECTURE}`);
    const directory = join(this.#cache, `${name}-${entry.sha256.slice(0, 16)}`);
    if (existsSync(directory)) return directory;
    const bytes = await download(`${this.#mirror}/${entry.filename}`);
    if (sha256(bytes) !== entry.sha256) throw new DebianError(`${entry.filename}: SHA256 differs from the index's`);
    const part = `${directory}.${process.pid}`;
    unpack(bytes, part);
    if (existsSync(directory)) rmSync(part, { recursive: true });
    else renameSync(part, directory);
    return directory;
  }

  /** The packages that `name` depends on, first alternatives only: how to find the present version of what a meta package stands for. */
  async dependencies(name: string): Promise<string[]> {
    return firstAlternatives((await this.#entries()).get(name)?.depends ?? "");
  }

  /** Unpacks packages into `root`, with all that they depend on if asked: a root file system without users and configuration. */
  async root(root: string, names: readonly string[], options: { dependencies: boolean }): Promise<string[]> {
    const wanted = options.dependencies ? await this.#closure(names) : [...names];
    mkdirSync(root, { recursive: true });
    // Merged /usr, as every Debian since bookworm: made before anything is unpacked, so that nothing lands beside it.
    for (const name of ["bin", "sbin", "lib"]) {
      mkdirSync(join(root, "usr", name), { recursive: true });
      if (lstatSync(join(root, name), { throwIfNoEntry: false }) === undefined)
        symlinkSync(`usr/${name}`, join(root, name));
    }
    for (const name of wanted)
      cpSync(await this.package(name), root, { recursive: true, verbatimSymlinks: true, filter: notMerged(root) });
    return wanted;
  }

  /** `names` and all that they depend on; of alternatives the first that exists. */
  async #closure(names: readonly string[]): Promise<string[]> {
    const index = await this.#entries();
    const found = new Set<string>();
    const queue = [...names];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (found.has(name)) continue;
      found.add(name);
      for (const dependency of index.get(name)?.depends.split(",") ?? []) {
        const alternatives = dependency.split("|").map((text) => text.replace(/[([:].*/s, "").trim());
        const first = alternatives.find((alternative) => index.get(alternative) !== undefined);
        if (first !== undefined) queue.push(first);
      }
    }
    return [...found].sort();
  }

  async #entries(): Promise<PackagesIndex> {
    this.#index ??= new PackagesIndex(await this.#packagesText());
    return this.#index;
  }

  /** The text of Packages: from the cache if it is of today or what the Release file names, or if the mirror cannot be reached. */
  async #packagesText(): Promise<string> {
    const kept = join(this.#cache, "Packages.xz");
    const age = Date.now() - (statSync(kept, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age < DAY_MS) return unxz(readFileSync(kept));
    const path = `main/binary-${ARCHITECTURE}/Packages.xz`;
    let release: string;
    try {
      release = new TextDecoder().decode(await download(`${this.#mirror}/dists/${this.#suite}/Release`));
    } catch (error) {
      if (!existsSync(kept)) throw error;
      return unxz(readFileSync(kept));
    }
    const sums = /^SHA256:\n((?: .*\n)+)/m.exec(release)?.[1] ?? "";
    const sum = new RegExp(`^ ([0-9a-f]{64}) +\\d+ ${path}$`, "m").exec(sums)?.[1];
    if (sum === undefined) throw new DebianError(`${this.#suite} has no ${path}: older suites have no riscv64`);
    if (existsSync(kept) && sha256(readFileSync(kept)) === sum) return unxz(readFileSync(kept));
    // By its hash, as apt does: under its plain name a mirror may still have the one before.
    const directory = `${this.#mirror}/dists/${this.#suite}/main/binary-${ARCHITECTURE}`;
    const bytes = await download(`${directory}/by-hash/SHA256/${sum}`).catch(() =>
      download(`${directory}/Packages.xz`),
    );
    // A mirror may be in the middle of an update, or keep an old index: packages are still checked against what it gives.
    if (sha256(bytes) !== sum) console.error(`debian: the mirror's ${path} is not the one that its Release file names`);
    writeWhole(kept, bytes);
    return unxz(bytes);
  }
}

/** "a (>= 1) | b, c:any" as names: a, c. */
const firstAlternatives = (depends: string): string[] =>
  depends
    .split(",")
    .map((dependency) => dependency.replace(/[|([:].*/s, "").trim())
    .filter((name) => name !== "");

/**
 * cpSync's filter: top directories that are links in the root are copied into what they point to; and a link that is there already (the root was
 * made before) is taken away first: cpSync would resolve it, on this machine, and refuse to copy something onto itself.
 */
function notMerged(root: string): (from: string, to: string) => boolean {
  const merged = ["bin", "sbin", "lib"].map((name) => join(root, name));
  return (from, to) => {
    const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
    if (isLink(from) && isLink(to)) rmSync(to);
    if (!merged.includes(to) || !existsSync(to)) return true;
    if (lstatSync(from).isDirectory())
      cpSync(from, join(root, "usr", to.slice(root.length + 1)), { recursive: true, verbatimSymlinks: true });
    return false;
  };
}

/** The text of a Packages file, looked into by name: parsing all of it takes seconds. */
class PackagesIndex {
  readonly #text: string;
  constructor(text: string) {
    this.#text = "\n" + text;
  }
  get(name: string): IndexEntry | undefined {
    const begin = this.#text.lastIndexOf(`\nPackage: ${name}\n`);
    if (begin < 0) return undefined;
    const stanza = this.#text.slice(begin, this.#text.indexOf("\n\n", begin));
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
    const depends = [field("Pre-Depends"), field("Depends")].filter(Boolean).join(",");
    return { filename: field("Filename"), sha256: field("SHA256"), depends };
  }
}

function unxz(bytes: Uint8Array): string {
  const result = spawnSync("xz", ["-dc"], { input: bytes, maxBuffer: 2 ** 30 });
  if (result.error !== undefined) throw new DebianError("xz is missing (apt-get install xz-utils)");
  if (result.status !== 0) throw new DebianError(`xz: ${result.stderr.toString()}`);
  return result.stdout.toString("utf8");
}

/** Unpacks a .deb: with dpkg-deb where there is one, else with tar. */
function unpack(deb: Uint8Array, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const file = `${directory}.deb`;
  writeFileSync(file, deb);
  try {
    if (spawnSync("dpkg-deb", ["-x", file, directory]).status === 0) return;
    const { name, bytes } = dataMember(deb);
    execFileSync(
      "tar",
      ["-x", name.endsWith(".xz") ? "--xz" : name.endsWith(".zst") ? "--zstd" : "--gzip", "-C", directory],
      {
        input: bytes,
        maxBuffer: 2 ** 30,
      },
    );
  } finally {
    rmSync(file);
  }
}

/** The member data.tar.* of an ar archive. */
function dataMember(ar: Uint8Array): { name: string; bytes: Uint8Array } {
  const text = (at: number, length: number): string =>
    Buffer.from(ar.subarray(at, at + length))
      .toString("latin1")
      .trim();
  for (let at = 8; at + 60 <= ar.length;) {
    const name = text(at, 16).replace(/\/$/, "");
    const size = Number(text(at + 48, 10));
    if (name.startsWith("data.tar")) return { name, bytes: ar.subarray(at + 60, at + 60 + size) };
    at += 60 + size + (size % 2);
  }
  throw new DebianError("a .deb without data.tar");
}

/**
 * For tests: where a package is unpacked; undefined if it is not here and may not be fetched (only CI does that), or cannot be. A test that gets
 * undefined is skipped: `const busybox = await packageForTests("busybox-static");`
 */
export async function packageForTests(name: string): Promise<string | undefined> {
  try {
    const debian = new Debian();
    return debian.kept(name) ?? (process.env.CI ? await debian.package(name) : undefined);
  } catch (error) {
    if (process.env.CI) console.error(`debian: ${(error as Error).message}`);
    return undefined;
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      suite: { type: "string" },
      mirror: { type: "string" },
      root: { type: "string" },
      "with-dependencies": { type: "boolean", default: false },
    },
  });
  if (positionals.length === 0) throw new DebianError("which packages?");
  const debian = new Debian(values);
  if (values.root === undefined) for (const name of positionals) console.log(await debian.package(name));
  else
    console.log(
      (await debian.root(resolve(values.root), positionals, { dependencies: values["with-dependencies"] })).join("\n"),
    );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof DebianError) && !(error instanceof TypeError)) throw error;
    console.error(`debian: ${error.message}`);
    process.exitCode = 2;
  }
}
