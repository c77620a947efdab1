// --no-share: the same regions and calls with private page tables behind them, as every shared mapping has them without mshare. The host mm has
// VMAs only; the process's own tables take the pages (with fault-around), and each window is a mirror in which the host's changes are repeated.
// This is the honest baseline of all comparisons.
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from "../base/errno.ts";
import { PAGE_SIZE, pageUp } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { canDoMlock, mlockFutureOk } from "../mm/accounting.ts";
import * as mman from "../mm/constants.ts";
import { FRAME_DIRTY, KIND_FILE } from "../mm/frame.ts";
import { mappingsOf } from "../mm/mappings.ts";
import { hugetlbOf } from "../mm/hugetlb-vma.ts";
import type { Mirror } from "../mm/mm.ts";
import { PAGE_NOMEM } from "../mm/object.ts";
import { allowsPopulate } from "../mm/populate.ts";
import { presentLeaf } from "../mm/page-table.ts";
import { pageOut } from "../mm/reclaim.ts";
import { zapTables } from "../mm/rmap.ts";
import type { Gather } from "../mm/shootdown.ts";
import { VM_ACCESS_FLAGS, VM_LOCKED, type Vma } from "../mm/vma.ts";
import type { Region } from "./region.ts";
import type { RegionTables } from "./tables.ts";
import { FrameSet } from "./usage.ts";
import type { MshareWindow } from "./window.ts";

const POPULATING = mman.MAP_POPULATE | mman.MAP_LOCKED;

export class PrivateTables implements RegionTables {
  readonly #mirrors = new Map<MshareWindow, Mirror>();

  connect(window: MshareWindow): void {
    const start = window.hostStart;
    const shift = window.slotStart - start;
    const mirror: Mirror = { mm: window.mm, start, end: start + window.length, shift, readOnly: window.readOnly };
    this.#mirrors.set(window, mirror);
    window.host.mirrors.add(mirror);
  }

  grown(window: MshareWindow): void {
    const mirror = this.#mirrors.get(window);
    if (mirror !== undefined) mirror.end = mirror.start + window.length;
  }

  disconnect(window: MshareWindow, gather: Gather): void {
    const mirror = this.#mirrors.get(window);
    if (mirror !== undefined) {
      this.#mirrors.delete(window);
      window.host.mirrors.delete(mirror);
    }
    const { slotStart, mm } = window;
    zapTables(mm, slotStart, slotStart + window.length, gather, "and private copies", null);
  }

  /** There is nothing to link; only a region that has died is disconnected once more. */
  link(window: MshareWindow): number {
    if (window.dead) {
      const gather = window.mm.memory.beginGather();
      this.disconnect(window, gather);
      gather.finish();
    }
    return 0;
  }

  /** Maps the pages that the region's objects hold. */
  populate(window: MshareWindow): void {
    const { host, mm } = window;
    const end = window.hostStart + window.length;
    for (const vma of host.vmas) {
      if (vma.object === null) continue;
      const low = Math.max(vma.start, window.hostStart);
      const high = Math.min(vma.end, end);
      if (low >= high) continue;
      for (const index of vma.object.pages.indices(vma.pageIndex(low), vma.pageIndex(high))) {
        const va = vma.addressOf(index) - window.hostStart + window.slotStart;
        if (presentLeaf(mm, va) === 0 && mm.fault(va, ACCESS_READ).kind === "oom") return;
      }
    }
  }

  madvise(region: Region, offset: number, length: number, advice: number): number {
    const start = region.hostAddress(offset);
    const write = advice === mman.MADV_POPULATE_WRITE;
    if (advice !== mman.MADV_POPULATE_READ && !write) {
      const result = region.host.madvise(start, length, advice);
      if (advice === mman.MADV_PAGEOUT && (result === 0 || result === -ENOMEM)) this.#pageOut(region, start, length);
      return result;
    }
    return this.#bringIn(region, start, length, { access: write ? ACCESS_WRITE : ACCESS_READ });
  }

  /** The host's tables, which madvise has gone through, hold nothing: pages are found by their objects. Those that others map as well stay. */
  #pageOut(region: Region, start: number, length: number): void {
    const { memory, vmas } = region.host;
    const { frames } = memory;
    for (const vma of vmas) {
      const low = Math.max(vma.start, start);
      const high = Math.min(vma.end, start + pageUp(length));
      if (low >= high) continue;
      const { pages } = vma.object!;
      for (const index of pages.indices(vma.pageIndex(low), vma.pageIndex(high))) {
        const pfn = pages.get(index);
        const mappings = mappingsOf(memory, pfn);
        const isDirtyFile = frames.kind[pfn] === KIND_FILE && (frames.flags[pfn] & FRAME_DIRTY) !== 0;
        if (!isDirtyFile && mappings.every((mapping) => mapping.vma === vma)) pageOut(memory, pfn, mappings);
      }
    }
  }

  mlock(region: Region, offset: number, length: number, flags: number): number {
    const start = region.hostAddress(offset);
    // Without faults in the host mm, which has no tables; the pages are brought in below.
    const result = region.host.mlock(start, length, mman.MLOCK_ONFAULT);
    if (result !== 0 || (flags & mman.MLOCK_ONFAULT) !== 0) return result;
    const error = this.#bringIn(region, start, length, { access: null });
    // As mlock says it (__mlock_posix_error_return).
    if (error === -ENOMEM) return -EAGAIN;
    return error === -EFAULT || error === -EINVAL ? -ENOMEM : error;
  }

  mapFlags(region: Region, length: number, flags: number): number {
    if ((flags & mman.MAP_LOCKED) !== 0) {
      if (!canDoMlock(region.host)) return -EPERM;
      if (!mlockFutureOk(region.host, VM_LOCKED, length)) return -EAGAIN;
    }
    return flags & ~POPULATING;
  }

  mapped(region: Region, offset: number, length: number, flags: number): void {
    if ((flags & mman.MAP_LOCKED) !== 0) this.mlock(region, offset, length, 0);
    else if ((flags & mman.MAP_POPULATE) !== 0)
      this.#bringIn(region, region.hostAddress(offset), length, { access: null });
  }

  residentBytes(region: Region): number {
    const frames = new FrameSet(region.host.memory);
    for (const vma of region.host.vmas) {
      const object = vma.object;
      if (object === null) continue;
      const run = hugetlbOf(vma)?.pool.frames ?? 1;
      for (const index of object.pages.indices(vma.pgoff, vma.pgoff + vma.pages))
        frames.addRun(object.pages.get(index), run);
    }
    return frames.bytes;
  }

  /**
   * The pages of [start, start + length) exist in their objects afterwards. 0, -ENOMEM (a hole, or no memory), -EINVAL (`access` is not permitted),
   * -EFAULT (beyond a file's end; of memory that permits nothing, where no access is asked about: as populateVma).
   */
  #bringIn(region: Region, start: number, length: number, options: { access: number | null }): number {
    const { access } = options;
    const end = start + pageUp(length);
    for (let va = start; va < end;) {
      const vma = region.host.vmas.lookup(va);
      if (vma === null) return -ENOMEM;
      if (access === null && (vma.flags & VM_ACCESS_FLAGS) === 0) return -EFAULT;
      if (access !== null && !allowsPopulate(vma, access)) return -EINVAL;
      const stop = Math.min(vma.end, end);
      const error = bringInPages(vma, va, stop);
      if (error !== 0) return error;
      va = stop;
    }
    return 0;
  }
}

function bringInPages(vma: Vma, start: number, end: number): number {
  const { memory, memcg } = vma.mm;
  const huge = hugetlbOf(vma);
  if (huge !== undefined) {
    const from = vma.pageIndex(start) * PAGE_SIZE;
    // None left, or beyond the end: what an access would be told by SIGBUS.
    return from + (end - start) > huge.size || huge.allocate(from, from + (end - start)) < 0 ? -EFAULT : 0;
  }
  for (let va = start; va < end; va += PAGE_SIZE) {
    const pfn = memory.groups.chargingTo(memcg, () => vma.object!.page(vma.pageIndex(va)));
    if (pfn <= 0) return pfn === PAGE_NOMEM ? -ENOMEM : -EFAULT;
  }
  return 0;
}
