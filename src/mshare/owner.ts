// What mshare knows of the process that owns a region: an opaque thing with a number, asked a few questions. The kernel supplies it
// (one per thread group). Owns nothing; region.ts and manager.ts use it.
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import type { Region } from "./region.ts";

/** The owner of regions: in the kernel a process, that is a thread group; exec does not change it. */
export interface RegionOwner {
  /** Process id, for mshare_stat. */
  readonly pid: number;
  /** Its address space now; null once it has exited. */
  readonly mm: Mm | null;
  /** The memory group that pays for its regions now. */
  readonly memcg: MemoryGroup;
  /** True if any of its descriptor tables holds a descriptor of the region. */
  hasDescriptor(region: Region): boolean;
  /** RLIMIT_MEMLOCK in bytes (Infinity: none). */
  readonly memlockLimit: number;
  /** CAP_IPC_LOCK: RLIMIT_MEMLOCK does not count. */
  readonly ipcLock: boolean;
}
