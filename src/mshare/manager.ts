// All regions of one machine. Owns their list and numbers, and the choice between shared and private tables. Created at boot; the system calls,
// msharefs and procfs come in here.
import { PAGE_SIZE } from "../base/numbers.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import type { RegionOwner } from "./owner.ts";
import { PrivateTables } from "./private-tables.ts";
import { Region } from "./region.ts";
import { processText, regionsText } from "./text.ts";
import { type RegionTables, SharedTables } from "./tables.ts";
import { mshareRss } from "./usage.ts";

export interface MshareOptions {
  /** False: --no-share. */
  readonly share: boolean;
  /** [0, 1): where windows go. */
  readonly random: () => number;
}

export class MshareManager {
  readonly memory: MemoryManager;
  readonly share: boolean;
  readonly random: () => number;
  /** By id. */
  readonly regions = new Map<number, Region>();
  readonly tables: RegionTables;
  /** The most that `tableBytes` was seen to be, by noteTables. */
  tableBytesPeak = 0;
  #nextId = 1;

  constructor(memory: MemoryManager, options: MshareOptions) {
    this.memory = memory;
    this.share = options.share;
    this.random = options.random;
    this.tables = options.share ? new SharedTables() : new PrivateTables();
  }

  /** A new region of size 0 that `owner` owns, without descriptors; -ENOMEM. The caller makes one, or calls `reconsider`. */
  create(owner: RegionOwner): Region | number {
    const host = this.memory.newMm(owner.memcg);
    if (typeof host === "number") return host;
    host.isLinkable = true;
    const region = new Region(this, this.#nextId++, host, owner);
    this.regions.set(region.id, region);
    return region;
  }

  /** Bytes of all regions' own page tables, views included. */
  get tableBytes(): number {
    let sum = 0;
    for (const region of this.regions.values()) sum += region.tableBytes + region.viewTableBytes;
    return sum;
  }
  /** Notes how many tables there are: when a region ends, and whenever the host looks. */
  noteTables(): void {
    if (this.regions.size > 0) this.tableBytesPeak = Math.max(this.tableBytesPeak, this.tableBytes);
  }

  /** Nothing refers to the region any more; it has ended. */
  forget(region: Region): void {
    this.regions.delete(region.id);
  }

  /** The owner of regions is gone: they are emptied. */
  ownerGone(owner: RegionOwner): void {
    for (const region of this.regions.values()) if (region.owner === owner) region.end();
  }

  /** An owner is in another memory group from now on: that one pays for what its regions bring in. What they hold stays charged as it is. */
  ownerMoved(owner: RegionOwner): void {
    for (const region of this.regions.values()) if (region.owner === owner) region.chargeTo(owner.memcg);
  }

  /** Pages charged to `owner` for its regions: contents and page tables (what it counts for besides its own memory when the OOM killer chooses). */
  chargedPages(owner: RegionOwner): number {
    let pages = 0;
    for (const region of this.regions.values()) if (region.owner === owner) pages += region.chargedPages;
    return pages;
  }

  /** The owner is being killed for memory: what its regions hold is freed at once. Allocates nothing. */
  reap(owner: RegionOwner): void {
    for (const region of this.regions.values()) if (region.owner === owner) region.reap();
  }

  /** Pages that are locked in the regions of `owner`. */
  lockedPages(owner: RegionOwner): number {
    let pages = 0;
    for (const region of this.regions.values())
      if (region.owner === owner && !region.ended) pages += region.host.lockedVm;
    return pages;
  }

  /** What RLIMIT_MEMLOCK of its owner (or of another one) leaves for a region, its own locked memory included; bytes, Infinity for no limit. */
  memlockLeft(region: Region, owner: RegionOwner | null = region.owner): number {
    if (owner === null) return 0;
    const limit = owner.memlockLimit;
    if (limit === Infinity || limit === 0) return limit;
    const own = owner.mm === null ? 0 : owner.mm.lockedVm;
    const others = own + this.lockedPages(owner) - (region.owner === owner && !region.ended ? region.host.lockedVm : 0);
    // Some limit is left even where it is used up: the error is that of too much, not of no right at all.
    return Math.max(1, limit - others * PAGE_SIZE);
  }

  /** The text of /proc/mshare. */
  text(): string {
    return regionsText(this);
  }

  /** The text of /proc/PID/mshare. */
  processText(mm: Mm): string {
    return processText(mm);
  }

  /** RssMshare of /proc/PID/status, in bytes. */
  rssOf(mm: Mm): number {
    return mshareRss(mm);
  }
}
