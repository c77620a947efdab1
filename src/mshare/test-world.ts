// A machine without a kernel for the tests of this room: memory, regions, and processes that are nothing but address spaces. Not for production code.
import { createHardware } from "../machine/hardware.ts";
import type { Mmu } from "../machine/mmu.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_SHARED, PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import { MemoryManager, type MemoryOptions } from "../mm/memory-manager.ts";
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import type { VmFile } from "../mm/vma.ts";
import { type AttachRequest, attachWindow } from "./attach.ts";
import { MshareManager } from "./manager.ts";
import type { RegionOwner } from "./owner.ts";
import type { Region } from "./region.ts";

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;
export const PAGE = 4096;
export const GRANULE = 2 * MIB;
export const RW = PROT_READ | PROT_WRITE;
const ANON = MAP_SHARED | MAP_ANONYMOUS;

/** An owner with an address space and a descriptor of everything. */
export class TestOwner implements RegionOwner {
  readonly pid = 7;
  mm: Mm | null;
  descriptors = true;
  memlockLimit = Infinity;
  ipcLock = false;
  memcg: MemoryGroup;
  constructor(mm: Mm) {
    this.mm = mm;
    this.memcg = mm.memcg;
  }
  hasDescriptor(): boolean {
    return this.descriptors;
  }
}

export class TestWorld {
  readonly memory: MemoryManager;
  readonly mshare: MshareManager;
  readonly mmu: Mmu;
  readonly owner: TestOwner;
  /** The owner's address space. */
  readonly mm: Mm;
  readonly #free: number;

  constructor(options: { memoryBytes?: number; share?: boolean } & MemoryOptions = {}) {
    const hardware = createHardware({ memoryBytes: options.memoryBytes ?? 64 * MIB, harts: 1 });
    this.mmu = hardware.mmu;
    this.memory = new MemoryManager(hardware, { verify: true, overcommit: 1, ...options });
    let seed = 1;
    const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    this.mshare = new MshareManager(this.memory, { share: options.share ?? true, random });
    this.#free = this.memory.frames.free;
    this.mm = this.newMm();
    this.owner = new TestOwner(this.mm);
  }

  newMm(): Mm {
    const mm = this.memory.newMm();
    if (typeof mm === "number") throw new Error("no memory for an address space");
    return mm;
  }

  fork(mm: Mm): Mm {
    const child = mm.fork();
    if (typeof child === "number") throw new Error("fork failed");
    return child;
  }

  /** A region of the owner with one open descriptor. */
  region(size: number): Region {
    const region = this.mshare.create(this.owner);
    if (typeof region === "number") throw new Error("no memory for a region");
    region.handles++;
    region.setSize(size);
    return region;
  }

  /** Maps anonymous memory, or `file`, at `offset`; the offset or -errno. */
  map(
    region: Region,
    offset: number,
    size: number,
    options: { prot?: number; flags?: number; file?: VmFile } = {},
  ): number {
    const { prot = RW, flags = 0, file = null } = options;
    const kind = file === null ? ANON : MAP_SHARED;
    const request = { offset, size, prot, objOffset: 0n, file, addressSpaceLimit: Infinity };
    return region.map({ ...request, flags: kind | MAP_FIXED | flags });
  }

  attach(region: Region, mm: Mm, request: Partial<AttachRequest> = {}): number {
    return attachWindow(region, mm, { offset: 0, size: 0, addr: 0, flags: 0, writable: true, ...request });
  }

  /** What an access ends in: "minor", "linked", "minor linked", "MAPERR", "ACCERR", "BUS", or "" if no fault was needed. */
  touch(mm: Mm, va: number, access: "read" | "write" = "write"): string {
    const wanted = access === "write" ? ACCESS_WRITE : ACCESS_READ;
    const leaf = this.mmu.walk(mm.root, va);
    if (leaf !== undefined && (leaf.pte & (wanted << 1)) !== 0) return "";
    const result = mm.fault(va, wanted);
    if (result.kind === "oom") return "oom";
    if (result.kind === "signal") return result.signo === 7 ? "BUS" : result.code === 1 ? "MAPERR" : "ACCERR";
    const words = [result.minor ? "minor" : "", result.major ? "major" : "", result.linked ? "linked" : ""];
    return words.filter((word) => word !== "").join(" ");
  }

  /** Lets everything go and checks that no frame is left over. Returns frames leaked (negative: freed twice). */
  end(mms: readonly Mm[] = []): number {
    for (const mm of mms) mm.put();
    this.owner.mm = null;
    this.mm.put();
    this.owner.descriptors = false;
    for (const region of [...this.mshare.regions.values()]) {
      region.handles = 0;
      region.reconsider();
    }
    this.memory.verify();
    return this.#free - this.memory.frames.free;
  }
}
