// Snapshots of `mshare audit` on disk: lines of JSON, compressed with gzip, written and read as a stream.
import { createReadStream, createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { AuditError } from "../audit/audit.ts";
import type { Collector } from "../audit/collect.ts";
import type { AuditResult } from "../audit/result.ts";
import type { ProcessScan } from "../audit/scan.ts";
import { type Hash, snapshotHeader, snapshotObjects, snapshotProcess } from "../audit/snapshot.ts";

/** Writes one snapshot. The header needs the result, so processes are compressed before it: the lines of a snapshot are header, processes, objects. */
export class SnapshotFile {
  readonly #path: string;
  readonly #lines: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  process(scan: ProcessScan, hash: Hash | undefined): void {
    this.#lines.push(snapshotProcess(scan, hash));
  }

  /** @throws AuditError if the file cannot be written. */
  async finish(result: AuditResult, collector: Collector): Promise<void> {
    await writeSnapshot(this.#path, [snapshotHeader(result), ...this.#lines, ...snapshotObjects(collector.extents())]);
  }
}

/** Writes the lines of a snapshot. @throws AuditError if the file cannot be written. */
export async function writeSnapshot(path: string, lines: Iterable<string>): Promise<void> {
  try {
    await pipeline(
      Readable.from(lines).map((line: string) => `${line}\n`),
      createGzip(),
      createWriteStream(path),
    );
  } catch (error) {
    throw new AuditError(`${path}: cannot be written: ${(error as Error).message}`);
  }
}

/** The lines of a snapshot. @throws AuditError if the file cannot be read or is not compressed by gzip. */
export async function* readSnapshotLines(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  const gunzip = createGunzip();
  let cutOff = false;
  file.on("error", (error) => gunzip.destroy(error));
  gunzip.on("error", () => {});
  file.pipe(gunzip);
  const lines = createInterface({ input: gunzip, crlfDelay: Infinity });
  try {
    for await (const line of lines) {
      if (cutOff) break;
      yield line;
    }
    const { errored } = gunzip;
    if (errored) throw errored;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // What came before the end of a file that was cut off is of use.
    if (code === "Z_BUF_ERROR") return;
    if (code === "ENOENT") throw new AuditError(`${path}: no such file`);
    if (code?.startsWith("Z_") === true) throw new AuditError(`${path}: not a snapshot of mshare audit`);
    throw new AuditError(`${path}: cannot be read: ${message}`);
  } finally {
    cutOff = true;
    lines.close();
    file.destroy();
  }
}
