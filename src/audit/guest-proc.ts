// The /proc of a machine of ours as the audit reads it: through the guest's own file system, as its pid 1 would.
import { EIO } from "../base/errno.ts";
import type { PagemapReader, ProcSource } from "../host/proc-source.ts";
import { AT_FDCWD, O_RDONLY, bytesToString } from "../kernel/fs/abi.ts";
import type { OpenFile } from "../kernel/fs/file.ts";
import type { Kernel } from "../kernel/kernel.ts";

const CHUNK = 1 << 16;
const ENTRY_BYTES = 8;

export class GuestProc implements ProcSource {
  readonly name = "the guest's /proc";
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** pid 1 is the kernel's own here: it has no memory. */
  pids(): number[] {
    const { processes, init } = this.#kernel;
    return [...processes.keys()].filter((pid) => pid !== init.pid).sort((a, b) => a - b);
  }

  readText(path: string): string | number {
    return this.readHostFile(`proc/${path}`);
  }

  readHostFile(path: string): string | number {
    const file = this.#open(`/${path}`);
    if (typeof file === "number") return file;
    let text = "";
    try {
      for (;;) {
        const bytes = this.#read(file, CHUNK, undefined);
        if (typeof bytes === "number") return bytes;
        if (bytes.length === 0) return text;
        text += bytesToString(bytes);
      }
    } finally {
      file.put();
    }
  }

  openPagemap(pid: number): PagemapReader | number {
    const file = this.#open(`/proc/${pid}/pagemap`);
    if (typeof file === "number") return file;
    return {
      read: (first, count, into) => {
        const bytes = this.#read(file, count * ENTRY_BYTES, first * ENTRY_BYTES);
        if (typeof bytes === "number") return bytes;
        new Uint8Array(into.buffer, into.byteOffset).set(bytes);
        return bytes.length / ENTRY_BYTES;
      },
      close: () => file.put(),
    };
  }

  #open(path: string): OpenFile | number {
    const { vfs, init } = this.#kernel;
    return vfs.open(init.leader, AT_FDCWD, path, O_RDONLY);
  }

  /** Nothing in /proc waits. */
  #read(file: OpenFile, length: number, pos: number | undefined): Uint8Array | number {
    const result = file.read(this.#kernel.init.leader, length, pos);
    return typeof result === "number" || result instanceof Uint8Array ? result : -EIO;
  }
}
