// khugepaged without a kernel: whom it scans and when, what it collapses and what its limits are. What is expected is mm/khugepaged.c's of 6.12, and what
// guest/tests/khugepaged.c recorded there. verify() recounts after each scan.
import { describe, expect, test } from "vitest";
import { asPfn } from "../base/numbers.ts";
import { MADV_COLD, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_PAGEOUT, MAP_PRIVATE, MAP_SHARED } from "./constants.ts";
import type { Khugepaged } from "./khugepaged.ts";
import type { Mm } from "./mm.ts";
import { SwapArea } from "./swap.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";
import { hugeLeafWord } from "./thp-split.ts";
import { putUser32 } from "./usercopy.ts";

const HUGE = 512;
const SECOND = 1e9;

class Scanned extends TestSpace {
  constructor() {
    super({ memoryBytes: 64 * 2 ** 20 });
    this.memory.thp.enabled = "always";
    this.daemon.startStop();
    this.memory.swap = new SwapArea("test", 2048);
    // Kept from its first use on: not to be mistaken for a leak.
    this.memory.thp.zeroBlock();
  }
  get daemon(): Khugepaged {
    return this.memory.khugepaged;
  }
  /** 2 MiB number `at` as small pages, of which [first, first + count) are written: khugepaged may have them. */
  small(at: number, first = 0, count = 1, mm = this.mm): void {
    this.map(at * HUGE, HUGE, { mm });
    const start = ARENA + at * HUGE * P;
    mm.madvise(start, HUGE * P, MADV_NOHUGEPAGE);
    for (let i = first; i < first + count; i++) putUser32(mm, start + i * P, 1000 + i);
    mm.madvise(start, HUGE * P, MADV_HUGEPAGE);
    this.check();
  }
  isHuge(at: number, mm = this.mm): boolean {
    return hugeLeafWord(mm, ARENA + at * HUGE * P) !== 0;
  }
  /** Which of the first `count` 2 MiB are huge: "0 2". */
  huge(count: number, mm = this.mm): string {
    return [...Array(count).keys()].filter((at) => this.isHuge(at, mm)).join(" ");
  }
  /** One scan, at the time for which it is due, which is `after` seconds later than the last. */
  scan(after = 10): void {
    const now = this.#now + after * SECOND;
    expect(this.daemon.deadline).toBe(this.#now === 0 ? 0 : now);
    this.daemon.run(now);
    this.#now = now;
    this.check();
  }
  #now = 0;
}

describe("anonymous memory", () => {
  test("2 MiB of which a page is there become one huge page, contents and counts with them", () => {
    const s = new Scanned();
    expect(s.daemon.deadline).toBe(Infinity);
    s.small(0, 3, 2);
    expect([s.isHuge(0), s.mm.rss]).toEqual([false, 2]);
    s.scan();
    expect([s.isHuge(0), s.mm.rss]).toEqual([true, HUGE]);
    expect([s.read(3), s.read(4), s.read(5)]).toEqual([1003, 1004, 0]);
    expect(s.memory.stat).toMatchObject({ thp_collapse_alloc: 1, thp_collapse_alloc_failed: 0 });
    expect([s.daemon.pagesCollapsed, s.daemon.fullScans]).toEqual([1, 1]);
    s.scan();
    expect([s.daemon.pagesCollapsed, s.daemon.fullScans]).toEqual([1, 2]);
  });

  test("max_ptes_none, max_ptes_swap, max_ptes_shared", () => {
    const s = new Scanned();
    s.daemon.maxPtesNone = 510;
    s.small(0, 0, 1);
    s.small(1, 0, 2);
    s.scan();
    expect([s.huge(2), s.memory.stat.thp_scan_exceed_none_pte]).toEqual(["1", 1]);

    s.small(2, 0, HUGE);
    s.mm.madvise(ARENA + 2 * HUGE * P, 65 * P, MADV_PAGEOUT);
    s.scan();
    expect([s.huge(3), s.memory.stat.thp_scan_exceed_swap_pte]).toEqual(["1", 1]);
    s.daemon.maxPtesSwap = 65;
    s.scan();
    expect([s.huge(3), s.mm.swapPages, s.read(2 * HUGE + 64)]).toEqual(["1 2", 0, 1064]);

    s.small(3, 0, 257);
    const child = s.mm.fork() as Mm;
    s.write(3 * HUGE + 256, 7);
    s.write(3 * HUGE + 255, 8);
    s.daemon.maxPtesShared = 254;
    s.scan();
    // The parent's, and the child's.
    expect([s.huge(4), s.memory.stat.thp_scan_exceed_share_pte]).toEqual(["1 2", 2]);
    s.daemon.maxPtesShared = 255;
    s.scan();
    expect([s.huge(4), s.huge(4, child)]).toEqual(["1 2 3", "1 2"]);
    expect([s.read(3 * HUGE + 254), s.read(3 * HUGE + 255), s.read(3 * HUGE + 255, child)]).toEqual([1254, 8, 1255]);
    child.put();
    s.check();
  });

  test("what is only read, or has not been used since, stays", () => {
    const s = new Scanned();
    s.small(0);
    s.mm.mprotect(ARENA, HUGE * P, 1);
    s.small(1);
    s.mm.madvise(ARENA + HUGE * P, HUGE * P, MADV_COLD);
    s.scan();
    expect(s.huge(2)).toBe("");
    s.write(HUGE, 1);
    s.mm.mprotect(ARENA, HUGE * P, 3);
    s.write(0, 1);
    s.scan();
    expect(s.huge(2)).toBe("0 1");
  });

  test("half of the pages must have been used where some are in swap", () => {
    const s = new Scanned();
    s.small(0, 0, 257);
    s.mm.madvise(ARENA, 2 * P, MADV_PAGEOUT);
    s.scan();
    expect(s.huge(1)).toBe("");
    s.write(257, 1);
    s.scan();
    expect([s.huge(1), s.read(1)]).toEqual(["0", 1001]);
  });

  test("VMAs that may not have huge pages, or no longer, and too small ones", () => {
    const s = new Scanned();
    s.small(0);
    s.mm.madvise(ARENA, HUGE * P, MADV_NOHUGEPAGE);
    s.small(1);
    s.map(2 * HUGE + 8, HUGE);
    s.write(2 * HUGE + 8, 1);
    s.scan();
    expect(s.huge(4)).toBe("1");
    s.mm.thpDisabled = true;
    s.small(4);
    s.scan();
    expect([s.huge(5), s.daemon.fullScans]).toEqual(["1", 2]);
  });
});

describe("turns", () => {
  test("pages_to_scan at a time, one address space after the other", () => {
    const s = new Scanned();
    s.daemon.pagesToScan = HUGE;
    const other = s.newMm();
    for (const at of [0, 1]) s.small(at);
    for (const at of [0, 1]) s.small(at, 0, 1, other);
    const steps = [...Array(4).keys()].map(() => {
      s.scan();
      return `${s.huge(2)} | ${s.huge(2, other)}`;
    });
    expect(steps).toEqual(["0 | ", "0 1 | ", "0 1 | 0", "0 1 | 0 1"]);
    expect(s.daemon.fullScans).toBe(0);
    other.put();
    s.scan();
    expect(s.daemon.fullScans).toBe(1);
    s.mm.put();
    s.scan();
    expect(s.daemon.deadline).toBe(Infinity);
    s.check();
  });

  test("a child of one that is registered is registered too", () => {
    const s = new Scanned();
    s.small(0);
    const child = s.mm.fork() as Mm;
    s.scan();
    // Neither may write it as it is.
    expect([s.huge(1), s.huge(1, child)]).toEqual(["", ""]);
    s.write(1, 5);
    s.write(2, 6, child);
    s.scan();
    expect([s.huge(1), s.huge(1, child), s.read(2), s.read(1, child)]).toEqual(["0", "0", 0, 0]);
    child.put();
    s.check();
  });

  test("no more than one full scan for what was slept through; a change of the sleep begins at once", () => {
    const s = new Scanned();
    s.small(0);
    s.scan();
    s.daemon.run(1000 * SECOND);
    expect([s.daemon.fullScans, s.daemon.deadline]).toEqual([2, 1010 * SECOND]);
    s.daemon.scanSleepMillisecs = 0;
    expect(s.daemon.deadline).toBe(0);
    s.daemon.run(1000 * SECOND);
    expect([s.daemon.fullScans, s.daemon.deadline]).toEqual([3, 1000 * SECOND + 4e6]);
    s.daemon.scanSleepMillisecs = 9;
    s.daemon.run(1001 * SECOND);
    expect(s.daemon.deadline).toBe(1001 * SECOND + 12e6);
  });

  test("never: no scans; then from the start, at once", () => {
    const s = new Scanned();
    s.daemon.pagesToScan = HUGE;
    s.small(0);
    s.small(1);
    s.scan();
    expect(s.huge(2)).toBe("0");
    s.memory.thp.enabled = "never";
    s.daemon.startStop();
    expect(s.daemon.deadline).toBe(Infinity);
    const other = s.newMm();
    s.small(0, 0, 1, other);
    expect(other.inKhugepaged).toBe(false);
    s.memory.thp.enabled = "madvise";
    s.daemon.startStop();
    expect(s.daemon.deadline).toBe(0);
    s.daemon.run(20 * SECOND);
    s.daemon.run(30 * SECOND);
    expect([s.huge(2), s.huge(1, other)]).toEqual(["0 1", ""]);
    s.check();
  });

  test("an address space that ends during its turn", () => {
    const s = new Scanned();
    s.daemon.pagesToScan = HUGE;
    const other = s.newMm();
    for (const at of [0, 1]) s.small(at, 0, 1, other);
    s.small(0);
    s.scan();
    other.put();
    s.check();
    s.scan();
    expect([s.huge(1), s.daemon.fullScans]).toEqual(["0", 0]);
  });
});

describe("no memory", () => {
  test("waits once for alloc_sleep_millisecs, then leaves it until the next scan", () => {
    const s = new Scanned();
    for (const at of [0, 1, 2]) s.small(at);
    const { frames, stat } = s.memory;
    const { allocateBlock } = frames;
    frames.allocateBlock = () => asPfn(0);
    s.scan();
    expect(stat.thp_collapse_alloc_failed).toBe(1);
    s.scan(60);
    expect(stat.thp_collapse_alloc_failed).toBe(2);
    frames.allocateBlock = allocateBlock;
    s.scan(10);
    expect([s.huge(3), s.daemon.fullScans]).toEqual(["0 1 2", 2]);
    expect([s.read(0), s.read(HUGE), s.read(2 * HUGE)]).toEqual([1000, 1000, 1000]);
  });
});

describe("shmem", () => {
  /** A file of 4 MiB of which pages were written; its first 2 MiB are mapped. */
  function mapped(flags = MAP_SHARED): { s: Scanned; file: TestFile } {
    const s = new Scanned();
    const file = new TestFile(s.memory, { size: 2 * HUGE * P });
    for (const page of [0, 9, 600]) file.object.write(page * P, Uint8Array.of(page % 251));
    s.memory.thp.setShmemEnabled("always");
    s.map(0, HUGE, { file, flags });
    return { s, file };
  }

  test("the pages of a file become a huge page; who faults next maps it, and each scan counts it again", () => {
    const { s } = mapped();
    expect([s.read(0), s.isHuge(0)]).toEqual([0, false]);
    const other = s.newMm();
    s.map(HUGE, HUGE, { file: new TestFile(s.memory, { size: P }), flags: MAP_SHARED, mm: other });
    s.scan();
    expect(s.memory.frames.shmemHuge).toBe(1);
    expect([s.isHuge(0), s.mm.rss, s.daemon.pagesCollapsed]).toEqual([false, 0, 1]);
    expect([s.read(9), s.isHuge(0), s.mm.rss]).toEqual([9, true, HUGE]);
    s.scan();
    expect([s.daemon.pagesCollapsed, s.isHuge(0)]).toEqual([2, true]);
  });

  test("small entries for a huge page make room; copies of a private mapping keep them", () => {
    for (const [flags, collapsed] of [
      [MAP_SHARED, 2],
      [MAP_PRIVATE, 1],
    ] as const) {
      const { s, file } = mapped(flags);
      s.map(HUGE, HUGE, { file, flags: MAP_SHARED });
      s.scan();
      // Not by a leaf, as the VMA may not have one.
      for (const at of [0, 1]) s.mm.madvise(ARENA + at * HUGE * P, HUGE * P, MADV_NOHUGEPAGE);
      s.write(5, 1);
      expect(s.isHuge(0)).toBe(false);
      s.mm.madvise(ARENA, HUGE * P, MADV_HUGEPAGE);
      const before = s.daemon.pagesCollapsed;
      s.scan();
      expect(s.daemon.pagesCollapsed - before).toBe(collapsed - 1);
      expect([s.read(5), s.read(9), s.isHuge(0)]).toEqual([1, 9, flags === MAP_SHARED]);
    }
  });

  test("a page in swap is one that is not there", () => {
    const { s, file } = mapped();
    s.daemon.maxPtesNone = 510;
    s.read(0);
    s.mm.madvise(ARENA, P, MADV_PAGEOUT);
    expect((file.object as { isSwapped?: (index: number) => boolean }).isSwapped?.(0)).toBe(true);
    s.scan();
    expect([s.memory.frames.shmemHuge, s.memory.stat.thp_scan_exceed_none_pte]).toEqual([0, 1]);
    s.daemon.maxPtesNone = 511;
    s.scan();
    expect([s.memory.frames.shmemHuge, s.read(9)]).toEqual([1, 9]);
  });
});
