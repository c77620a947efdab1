// /proc/PID/smaps: for each VMA, what the audit needs of it. Only read where huge pages are about, a VMA is enormous, or pagemap may not be read.

export interface SmapsVma {
  readonly start: number;
  /** Bytes. */
  rss: number;
  swap: number;
  /** Mapped by 2 MiB entries: private, shmem, file. */
  anonHuge: number;
  sharedHuge: number;
  /** Page size of the mapping: 4096, or that of hugetlb. */
  pageSize: number;
}

const HEADER = /^([0-9a-f]{1,16})-[0-9a-f]{1,16} /;
const FIELD = /^([A-Za-z_]+): +([0-9]+) kB$/;

/** By start address. */
export function parseSmaps(text: string): Map<number, SmapsVma> {
  const out = new Map<number, SmapsVma>();
  let vma: SmapsVma | undefined;
  for (const line of text.split("\n")) {
    const field = FIELD.exec(line);
    if (field === null) {
      const header = HEADER.exec(line);
      if (header === null) continue;
      vma = { start: parseInt(header[1], 16), rss: 0, swap: 0, anonHuge: 0, sharedHuge: 0, pageSize: 4096 };
      out.set(vma.start, vma);
      continue;
    }
    if (vma === undefined) continue;
    const bytes = Number(field[2]) * 1024;
    switch (field[1]) {
      case "Rss":
        vma.rss = bytes;
        break;
      case "Swap":
        vma.swap = bytes;
        break;
      case "AnonHugePages":
        vma.anonHuge = bytes;
        break;
      case "ShmemPmdMapped":
      case "FilePmdMapped":
        vma.sharedHuge += bytes;
        break;
      case "Shared_Hugetlb":
      case "Private_Hugetlb":
        vma.rss += bytes;
        break;
      case "KernelPageSize":
        vma.pageSize = bytes;
        break;
    }
  }
  return out;
}

/** The number behind `key` in a "Key: N kB" file, in bytes; undefined if it is not there. */
export function kbField(text: string, key: string): number | undefined {
  const match = new RegExp(`^${key}:\\s+([0-9]+) kB$`, "m").exec(text);
  return match === null ? undefined : Number(match[1]) * 1024;
}
