// Where mappings go so that huge pages fit into them (mm/huge_memory.c: __thp_get_unmapped_area; mm/shmem.c: shmem_get_unmapped_area, of 6.12): private
// anonymous memory of a multiple of 2 MiB always, shmem where it may be huge. Used by mmap and mremap for addresses that the kernel picks.
import { PAGE_SIZE, PMD_SIZE, alignUp } from "../base/numbers.ts";
import type { Mm } from "./mm.ts";
import type { MemoryObject } from "./object.ts";
import { ShmemObject } from "./object.ts";

/** What is going to be there: private anonymous memory, shared anonymous memory, or an object from byte `offset` on. */
export interface AreaContents {
  readonly object: MemoryObject | "private" | "shared";
  readonly offset: number;
}

/** The address that `mm.getUnmappedArea` would give, or one that suits huge pages better; -ENOMEM. */
export function hugeArea(mm: Mm, length: number, { object, offset }: AreaContents): number {
  const find = (bytes: number): number => mm.getUnmappedArea({ addr: 0, length: bytes, fixed: false });
  if (object === "private") {
    const padded = length % PMD_SIZE === 0 ? find(length + PMD_SIZE) : -1;
    return padded < 0 ? find(length) : alignUp(padded + 1, PMD_SIZE);
  }
  const addr = find(length);
  const { thp } = mm.memory;
  if (addr < 0 || thp.shmemEnabled === "deny" || length < PMD_SIZE) return addr;
  if (object !== "shared" && !(object instanceof ShmemObject)) return addr;
  const { huge } = object === "shared" ? thp.internalMount : object.mount;
  if (huge === "never" && thp.shmemEnabled !== "force") return addr;
  const within = offset % PMD_SIZE;
  if ((within > 0 && within + length < 2 * PMD_SIZE) || addr % PMD_SIZE === within) return addr;
  const inflated = find(length + PMD_SIZE - PAGE_SIZE);
  if (inflated < 0) return addr;
  const start = inflated - (inflated % PMD_SIZE) + within;
  return start < inflated ? start + PMD_SIZE : start;
}
