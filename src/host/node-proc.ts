// A /proc tree on this host: the real one, another one that is mounted somewhere, or a copy in a directory. Reads only.
import { closeSync, constants, fstatSync, openSync, readSync, readdirSync } from "node:fs";
import { constants as os } from "node:os";
import { join } from "node:path";
import { EIO, ENOENT } from "../base/errno.ts";
import type { PagemapReader, ProcSource } from "./proc-source.ts";

const ENTRY_BYTES = 8;
/** No file of /proc that is read as a whole is larger: a guard against hostile trees. */
const MAX_TEXT = 256 * 2 ** 20;

/** The negative errno of a file system error that Node threw. */
function errnoOf(error: unknown): number {
  const code = (error as NodeJS.ErrnoException).code;
  const number = code === undefined ? undefined : (os.errno as Record<string, number>)[code];
  return -(number ?? EIO);
}

class NodePagemap implements PagemapReader {
  readonly #fd: number;
  constructor(fd: number) {
    this.#fd = fd;
  }
  read(first: number, count: number, into: Uint32Array): number {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, count * ENTRY_BYTES);
    try {
      return Math.floor(readSync(this.#fd, bytes, 0, bytes.length, first * ENTRY_BYTES) / ENTRY_BYTES);
    } catch (error) {
      return errnoOf(error);
    }
  }
  close(): void {
    closeSync(this.#fd);
  }
}

export class NodeProc implements ProcSource {
  readonly name: string;
  readonly #root: string;
  #buffer = Buffer.allocUnsafe(1 << 16);

  /** `directory` defaults to this host's own /proc. /sys is looked for beside it, as where a container has a host's root mounted. */
  constructor(directory = "/proc") {
    this.name = directory;
    this.#root = join(directory, "..");
  }

  pids(): number[] | number {
    try {
      return readdirSync(this.name)
        .filter((name) => /^[1-9][0-9]{0,9}$/.test(name))
        .map(Number)
        .sort((a, b) => a - b);
    } catch (error) {
      return errnoOf(error);
    }
  }

  readText(path: string): string | number {
    return this.#read(join(this.name, path));
  }

  readHostFile(path: string): string | number {
    return this.#read(join(this.#root, path));
  }

  openPagemap(pid: number): PagemapReader | number {
    const fd = this.#open(join(this.name, String(pid), "pagemap"));
    return fd < 0 ? fd : new NodePagemap(fd);
  }

  /** Without waiting, and regular files only: a FIFO or a device in a hostile tree must not stop the audit. */
  #open(path: string): number {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch (error) {
      return errnoOf(error);
    }
    try {
      if (fstatSync(fd).isFile()) return fd;
    } catch {
      // Gone between the two calls.
    }
    closeSync(fd);
    return -ENOENT;
  }

  #read(path: string): string | number {
    const fd = this.#open(path);
    if (fd < 0) return fd;
    let length = 0;
    try {
      while (length < MAX_TEXT) {
        if (length === this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer], length * 2);
        const n = readSync(fd, this.#buffer, length, this.#buffer.length - length, null);
        if (n === 0) break;
        length += n;
      }
      return this.#buffer.toString("latin1", 0, length);
    } catch (error) {
      return errnoOf(error);
    } finally {
      closeSync(fd);
    }
  }
}
