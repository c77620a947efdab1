// How windows reach a region's pages: through the region's own page tables (the point of mshare), or with --no-share through private ones
// (private-tables.ts). Everything that differs between the two is behind RegionTables; the calls and their results are the same.
import type { Gather } from "../mm/shootdown.ts";
import { freeUnlinked, linkAll, linkTables, unlinkTables } from "./link.ts";
import type { Region } from "./region.ts";
import { FrameSet } from "./usage.ts";
import type { MshareWindow } from "./window.ts";

export interface RegionTables {
  /** A window has joined its region. */
  connect(window: MshareWindow): void;
  /** A window shows more of its region than before. */
  grown(window: MshareWindow): void;
  /** A window goes, or dies (then this comes again when it goes): nothing of the region can be reached through it once `gather` is finished, which frees what it alone needed. */
  disconnect(window: MshareWindow, gather: Gather): void;
  /** The region's tables hold a page for `va`: the number of entries written so that the process reaches them, or -ENOMEM. */
  link(window: MshareWindow, va: number): number;
  /** MSHARE_POPULATE: what is in the region now costs the process no fault. Best effort. */
  populate(window: MshareWindow): void;
  /** madvise and mlock2 on [offset, offset + length) of the region. */
  madvise(region: Region, offset: number, length: number, advice: number): number;
  mlock(region: Region, offset: number, length: number, flags: number): number;
  /**
   * mshare_map: the flags for mmap in the host mm (-EPERM, -EAGAIN: that much may not be locked), and what is left to do for the other flags when
   * the mapping is there.
   */
  mapFlags(region: Region, length: number, flags: number): number;
  mapped(region: Region, offset: number, length: number, flags: number): void;
  /** Bytes of frames present, each once. */
  residentBytes(region: Region): number;
}

/** Windows link the host mm's tables. */
export class SharedTables implements RegionTables {
  /** Links are made by faults. */
  connect(window: MshareWindow): void {
    window.connected = true;
    if (window.view !== null) window.view.windows++;
  }

  grown(): void {}

  disconnect(window: MshareWindow, gather: Gather): void {
    const { host, links, mm, view } = window;
    if (window.privatePart !== null) window.privatePart.unlink(gather);
    else if (links > 0) {
      const { lastLink } = unlinkTables(mm, window, links);
      window.countLinks(-links);
      gather.touchSpace(mm);
      const { region, hostStart: start } = window;
      if (lastLink && region.mayHoldEmptyTables) {
        freeUnlinked(window.tables, host, start, start + (window.slotEnd - window.slotStart), gather);
        if (region.links === 0) region.mayHoldEmptyTables = false;
      }
    }
    const last = window.connected && view !== null && --view.windows === 0;
    window.connected = false;
    if (last) view.empty(gather);
  }

  link(window: MshareWindow, va: number): number {
    const { view } = window;
    if (window.dead) return this.#forget(window);
    if (view !== null) {
      const error = view.fill(va - window.slotStart + window.hostStart);
      if (error < 0) return error;
    }
    const written = window.privatePart?.link(va) ?? linkTables(window.mm, window.tables, window, va);
    if (written > 0) window.countLinks(written);
    // Making a table may have ended in the region's death (Region.reap).
    return window.dead ? this.#forget(window) : written;
  }

  #forget(window: MshareWindow): 0 {
    const gather = window.mm.memory.beginGather();
    this.disconnect(window, gather);
    gather.finish();
    return 0;
  }

  populate(window: MshareWindow): void {
    window.view?.fillAll(window.hostStart, window.hostStart + window.length);
    window.countLinks(linkAll(window.mm, window.tables, window));
  }

  madvise(region: Region, offset: number, length: number, advice: number): number {
    return region.host.madvise(region.hostAddress(offset), length, advice);
  }

  mlock(region: Region, offset: number, length: number, flags: number): number {
    return region.host.mlock(region.hostAddress(offset), length, flags);
  }

  mapFlags(_region: Region, _length: number, flags: number): number {
    return flags;
  }

  mapped(): void {}

  residentBytes(region: Region): number {
    const frames = new FrameSet(region.host.memory);
    frames.addPresent(region.host, region.hostAddress(0), region.hostAddress(region.size));
    return frames.bytes;
  }
}
