// A /proc made of objects, for tests: processes with VMAs and present pages, or any text, right or wrong.
import { EACCES, ENOENT } from "../base/errno.ts";
import type { PagemapReader, ProcSource } from "../host/proc-source.ts";

export interface FakeVma {
  readonly start: number;
  readonly end: number;
  readonly shared?: true;
  readonly offset?: number;
  readonly inode?: number;
  readonly name?: string;
  /** Present page numbers within the VMA; all if undefined. */
  readonly present?: readonly number[];
}

export interface FakeProcess {
  readonly pid: number;
  readonly name: string;
  readonly vmas: readonly FakeVma[];
  /** KiB. */
  readonly vmPte: number;
  readonly pagemap?: "forbidden" | "gone";
}

const hex = (n: number): string => n.toString(16).padStart(8, "0");

const mapsLine = (vma: FakeVma): string => {
  const head = `${hex(vma.start)}-${hex(vma.end)} rw-${vma.shared ? "s" : "p"} ${hex(vma.offset ?? 0)} 00:01 ${vma.inode ?? 0}`;
  return `${head.padEnd(72)} ${vma.name ?? ""}`.trimEnd() + "\n";
};

const pagesOf = (vma: FakeVma): readonly number[] =>
  vma.present ?? Array.from({ length: (vma.end - vma.start) / 4096 }, (_, i) => i);

/** The files of a process, by name. */
function filesOf(process: FakeProcess): Record<string, string> {
  const rss = process.vmas.reduce((sum, vma) => sum + pagesOf(vma).length * 4, 0);
  return {
    status: `Name:\t${process.name}\nVmRSS:\t${rss} kB\nVmPTE:\t${process.vmPte} kB\n`,
    stat: `${process.pid} (${process.name}) S 1 1 1 0 -1 0 ${process.pid * 10} 0 0 0`,
    comm: `${process.name}\n`,
    cmdline: `/usr/bin/${process.name}\0--flag\0`,
    cgroup: `0::/system.slice/${process.name}.service\n`,
    maps: process.vmas.map(mapsLine).join(""),
    smaps: process.vmas
      .map(
        (vma) =>
          `${mapsLine(vma)}KernelPageSize:        4 kB\nRss:            ${pagesOf(vma).length * 4} kB\nSwap:                  0 kB\n`,
      )
      .join(""),
  };
}

export class FakeProc implements ProcSource {
  readonly name = "/fake";
  readonly files = new Map<string, string>();
  readonly #processes = new Map<number, FakeProcess>();

  constructor(processes: readonly FakeProcess[]) {
    this.files.set(
      "meminfo",
      "MemTotal:       67108864 kB\nPageTables:         2048 kB\nHugePages_Total:       0\nHugePages_Free:        0\n",
    );
    this.files.set("version", "Linux version 6.12.0 (test)\n");
    for (const process of processes) {
      this.#processes.set(process.pid, process);
      for (const [name, text] of Object.entries(filesOf(process))) this.files.set(`${process.pid}/${name}`, text);
    }
  }

  pids(): number[] {
    return [...this.#processes.keys()];
  }
  readText(path: string): string | number {
    return this.files.get(path) ?? -ENOENT;
  }
  readHostFile(path: string): string | number {
    return path.endsWith("/enabled") || path.endsWith("/shmem_enabled") ? "always madvise [never]\n" : -ENOENT;
  }
  openPagemap(pid: number): PagemapReader | number {
    const process = this.#processes.get(pid)!;
    if (process.pagemap !== undefined) return process.pagemap === "gone" ? -ENOENT : -EACCES;
    const present = new Set<number>();
    for (const vma of process.vmas) for (const page of pagesOf(vma)) present.add(vma.start / 4096 + page);
    return {
      read: (first, count, into) => {
        for (let i = 0; i < count; i++) {
          into[2 * i] = 0;
          into[2 * i + 1] = present.has(first + i) ? 0x80000000 : 0;
        }
        return count;
      },
      close: () => {},
    };
  }
}
