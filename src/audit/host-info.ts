// What the audit wants to know of the host as a whole.
import type { ProcSource } from "../host/proc-source.ts";
import type { HostInfo } from "./result.ts";
import { kbField } from "./smaps.ts";

/** The word in brackets of a file such as "always [madvise] never". */
function chosen(text: string | number): string | null {
  return typeof text === "number" ? null : (/\[([a-z_]+)\]/.exec(text)?.[1] ?? null);
}

export function readHostInfo(source: ProcSource): HostInfo {
  const text = source.readText("meminfo");
  const meminfo = typeof text === "number" ? "" : text;
  const version = source.readText("version");
  const thp = "sys/kernel/mm/transparent_hugepage";
  const number = (key: string): number => Number(new RegExp(`^${key}:\\s+([0-9]+)$`, "m").exec(meminfo)?.[1] ?? 0);
  return {
    ram: kbField(meminfo, "MemTotal") ?? 0,
    pageTables: kbField(meminfo, "PageTables") ?? null,
    kernel: typeof version === "number" ? "" : (/version ([^ ]+)/.exec(version)?.[1] ?? ""),
    thp: chosen(source.readHostFile(`${thp}/enabled`)),
    thpShmem: chosen(source.readHostFile(`${thp}/shmem_enabled`)),
    hugePages: number("HugePages_Total"),
    hugePagesFree: number("HugePages_Free"),
  };
}
