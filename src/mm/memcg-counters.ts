// What memory control groups count: usage with a limit and high-water marks (mm/page_counter.c), events, and the event part of memory.stat. Data
// only; memcg.ts keeps them.

/** An open memory.peak that has been written to: its own high-water mark, from then on. Pages. */
export interface PeakWatcher {
  peak: number;
}

/** struct page_counter. Pages. */
export class GroupCounter {
  usage = 0;
  max = Infinity;
  /** The most that `usage` has been. */
  watermark = 0;
  readonly #watchers = new Set<PeakWatcher>();

  add(pages: number): void {
    this.usage += pages;
    if (this.usage > this.watermark) this.watermark = this.usage;
    if (this.#watchers.size === 0) return;
    for (const watcher of this.#watchers) if (this.usage > watcher.peak) watcher.peak = this.usage;
  }
  /** A high-water mark that starts at the present usage. */
  watch(watcher: PeakWatcher): void {
    watcher.peak = this.usage;
    this.#watchers.add(watcher);
  }
  unwatch(watcher: PeakWatcher): void {
    this.#watchers.delete(watcher);
  }
}

/** memory.events and memory.swap.events. */
export class GroupEvents {
  low = 0;
  high = 0;
  max = 0;
  oom = 0;
  oomKill = 0;
  oomGroupKill = 0;
  swapHigh = 0;
  swapMax = 0;
  swapFail = 0;
}

/** Events that memory.stat shows, of the group itself; those of removed groups are added to their parents'. */
export class GroupStat {
  pgfault = 0;
  pgmajfault = 0;
  pgscan = 0;
  pgsteal = 0;
  pswpin = 0;
  pswpout = 0;
  thpFaultAlloc = 0;
  thpCollapseAlloc = 0;

  add(other: GroupStat): void {
    this.pgfault += other.pgfault;
    this.pgmajfault += other.pgmajfault;
    this.pgscan += other.pgscan;
    this.pgsteal += other.pgsteal;
    this.pswpin += other.pswpin;
    this.pswpout += other.pswpout;
    this.thpFaultAlloc += other.thpFaultAlloc;
    this.thpCollapseAlloc += other.thpCollapseAlloc;
  }
}
