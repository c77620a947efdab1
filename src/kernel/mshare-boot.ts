// mshare in this kernel: which process owns a region, and that regions end with it. Called once by boot; syscall/mshare.ts asks for owners.
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import type { RegionOwner } from "../mshare/owner.ts";
import type { Region } from "../mshare/region.ts";
import { CAP_IPC_LOCK } from "./creds.ts";
import { O_PATH } from "./fs/abi.ts";
import { RegionFile, RegionFs } from "./fs/region-file.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import { RLIMIT_MEMLOCK } from "./rlimit.ts";

const ATTACHMENT = "mshare owner";

/** A process (thread group) as the owner of regions; exec does not change it. */
class ProcessOwner implements RegionOwner {
  readonly process: Process;
  constructor(process: Process) {
    this.process = process;
  }
  get pid(): number {
    return this.process.pid;
  }
  get mm(): Mm | null {
    return this.process.mm;
  }
  hasDescriptor(region: Region): boolean {
    const seen = new Set<object>();
    for (const { filesOrNull: files } of this.process.threads.values()) {
      if (files === null || seen.has(files)) continue;
      seen.add(files);
      for (const [, file] of files.entries())
        if (file instanceof RegionFile && file.region === region && (file.flags & O_PATH) === 0) return true;
    }
    return false;
  }
  get memcg(): MemoryGroup {
    return this.process.cgroup.memcg;
  }
  get memlockLimit(): number {
    return this.process.rlimit(RLIMIT_MEMLOCK);
  }
  get ipcLock(): boolean {
    return this.process.anyTask?.capable(CAP_IPC_LOCK) ?? false;
  }
}

/** The owner object of a process, made when it is first needed. */
export function ownerOf(process: Process): RegionOwner {
  const known = process.attachments?.get(ATTACHMENT);
  if (known instanceof ProcessOwner) return known;
  const owner = new ProcessOwner(process);
  process.attach(ATTACHMENT, owner);
  if (process.mm !== null) countRegionLocks(process.mm, process);
  return owner;
}

/** `mm` is the address space of the process now: what is locked in the regions that it owns counts in its RLIMIT_MEMLOCK. */
export function countRegionLocks(mm: Mm, process: Process): void {
  const owner = process.attachments?.get(ATTACHMENT);
  if (owner instanceof ProcessOwner) mm.lockedElsewhere = () => process.kernel.mshare.lockedPages(owner);
}

/** A process is in another memory group: that one pays for its regions from now on. */
export function moveRegions(process: Process): void {
  const owner = process.attachments?.get(ATTACHMENT);
  if (owner instanceof ProcessOwner) process.kernel.mshare.ownerMoved(owner);
}

/** Pages that a process is charged for as the owner of regions. */
export function regionPages(process: Process): number {
  const owner = process.attachments?.get(ATTACHMENT);
  return owner instanceof ProcessOwner ? process.kernel.mshare.chargedPages(owner) : 0;
}

/** A process is being killed for memory: the contents of its regions go at once. */
export function reapRegions(process: Process): void {
  const owner = process.attachments?.get(ATTACHMENT);
  if (owner instanceof ProcessOwner) process.kernel.mshare.reap(owner);
}

/** Puts mshare into the kernel: the file system of region descriptors, and the end of regions with their owner. */
export function installMshare(kernel: Kernel): void {
  kernel.regionFs = new RegionFs(() => kernel.clock.realtime());
  kernel.processExitHooks.push((process) => {
    const owner = process.attachments?.get(ATTACHMENT);
    if (owner instanceof ProcessOwner) kernel.mshare.ownerGone(owner);
  });
}
