// Transparent huge pages: random calls give the same memory contents and the same answers as without them, everything recounted after each; and when
// there is no block of frames, when allocations fail and when reclaim works, nothing is lost. What is huge after each operation is compared with Linux by
// guest/tests/thp-*.c. MSHARE_THP_SEEDS (how many) and MSHARE_THP_SEED (the first): docs/hacking.md.
//
// In Linux, too, three things depend on what is huge, and are compared accordingly: a read beyond the end of an object, in a huge page that is mapped,
// gives zeros and no SIGBUS (nothing is written there: it would show when the object grows); what has been given to MADV_FREE may be zero or not; mremap
// puts shmem where huge pages fit.
import { describe, expect, it } from "vitest";
import { EFAULT } from "../base/errno.ts";
import { asPfn } from "../base/numbers.ts";
import { seedsOf } from "../testing/seeds.ts";
import * as mman from "./constants.ts";
import type { Mm } from "./mm.ts";
import { SwapArea } from "./swap.ts";
import { ARENA, P, TestFile, TestSpace, fullScan } from "./test-space.ts";
import { copyFromUser, putUser32 } from "./usercopy.ts";

const HUGE = 512;
const MIB = 2 ** 20;
/** Pages of the arena that the random calls use: ten huge pages. */
const PAGES = 10 * HUGE;

/** A machine that the same calls are made on, with or without huge pages. */
class World {
  readonly space: TestSpace;
  readonly mms: Mm[];
  readonly file: TestFile;
  readonly free: number;
  readonly thp: boolean;
  constructor(thp: boolean, options: { memoryBytes: number; swapPages: number }) {
    this.thp = thp;
    this.space = new TestSpace({ memoryBytes: options.memoryBytes, overcommit: 1 });
    const { memory } = this.space;
    if (options.swapPages > 0) memory.swap = new SwapArea("test", options.swapPages);
    memory.thp.enabled = thp ? "always" : "never";
    if (thp) memory.thp.setShmemEnabled("always");
    memory.khugepaged.startStop();
    this.file = new TestFile(memory, { size: 5 * MIB + 5 });
    this.free = memory.frames.free;
    this.mms = [this.space.mm];
  }
  end(): void {
    const { memory } = this.space;
    memory.failAllocation = null;
    for (const mm of this.mms) mm.put();
    this.file.object.truncate(0);
    memory.verify();
    expect(memory.committed()).toBe(0);
    // The root that was there at first, and the huge zero page, which stays.
    expect(memory.frames.free).toBe(this.free + 1 - (memory.thp.zero === 0 ? 0 : HUGE));
  }
}

/** The world with huge pages and the one without, which has memory enough. */
class Worlds {
  readonly huge: World;
  readonly small: World;
  /** For each mm: words that may read zero with huge pages, since MADV_FREE was told of their pages. */
  readonly lost: Set<number>[] = [new Set()];
  constructor(options: { memoryBytes: number; swapPages: number }) {
    this.huge = new World(true, options);
    this.small = new World(false, { memoryBytes: 96 * MIB, swapPages: 0 });
  }
  /** Makes a call in both worlds. Returns what it answered. */
  both<T>(call: (world: World) => T): [T, T] {
    return [call(this.huge), call(this.small)];
  }
  forkOrExit(which: number): [unknown, unknown] {
    if (this.lost.length >= 3) {
      this.lost.splice(which, 1);
      return this.both(({ mms }) => mms.splice(which, 1)[0].put());
    }
    this.lost.push(new Set(this.lost[which]));
    return this.both(({ mms }) => {
      const child = mms[which].fork();
      if (typeof child === "number") throw new Error("fork failed");
      return mms.push(child);
    });
  }
  /** Pages [addr, addr + length) of an mm are about to be freed lazily. */
  noteLost(which: number, addr: number, length: number): void {
    const mm = this.small.mms[which];
    for (let va = addr; va < addr + length; va += P)
      if (mm.vmas.lookup(va)?.object === null) this.lost[which].add(read(this.small, mm, va));
  }
  /** Words of an mm in both worlds; what may be lost and is zero with huge pages reads as without. */
  words(which: number, read: (mm: Mm, world: World) => number[]): [number[], number[]] {
    const [a, b] = this.both((world) => read(world.mms[which], world));
    return [a.map((word, i) => (word === 0 && this.lost[which].has(b[i]) ? b[i] : word)), b];
  }
}

/** Whether `va` shows a page beyond the end of an object: SIGBUS, or zeros where a huge page reaches beyond the end. */
function isBeyondEnd(mm: Mm, va: number): boolean {
  const vma = mm.vmas.lookup(va);
  return vma !== null && vma.object !== null && vma.pageIndex(va) * P >= vma.object.size;
}

/** The first six bytes of a page of an mm, as a number, or -EFAULT. */
function read({ thp }: World, mm: Mm, va: number): number {
  const bytes = copyFromUser(mm, va, 8);
  if (isBeyondEnd(mm, va)) {
    if (typeof bytes !== "number" && !(thp && bytes.every((byte) => byte === 0)))
      throw new Error("data beyond the end");
    return -EFAULT;
  }
  return typeof bytes === "number" ? bytes : Buffer.from(bytes.buffer).readUIntLE(0, 6);
}

/** Sixty words of [addr, addr + length). */
function sample(world: World, mm: Mm, addr: number, length: number): number[] {
  const words = [];
  for (let i = 0; i < 60; i++) words.push(read(world, mm, addr + Math.floor((i * length) / 60 / P) * P));
  return words;
}

/** Whether a range is in one VMA; which VMAs merge depends on what has an anon_vma, so on whether the huge zero page was read. */
function isInOneVma(mm: Mm, addr: number, length: number): boolean {
  const vma = mm.vmas.lookup(addr);
  return vma !== null && addr + length <= vma.end;
}

/** One random call, made in both worlds. Returns what it answered in each. */
type Call = (worlds: Worlds) => [unknown, unknown];

class Calls {
  #state: number;
  constructor(seed: number) {
    this.#state = seed * 7919 + 1;
  }
  random(n: number): number {
    this.#state = (this.#state * 48271) % 2147483647;
    return Math.floor((this.#state / 2147483647) * n);
  }

  next(mms: number): Call {
    const random = (n: number): number => this.random(n);
    const which = random(mms);
    const on =
      (call: (mm: Mm, world: World) => unknown): Call =>
      (worlds) =>
        worlds.both((world) => call(world.mms[which], world));
    const step = random(2) === 0 ? HUGE : 64;
    const first = random(PAGES / step) * step + (random(4) === 0 ? random(16) : 0);
    const count = Math.max(1, Math.min(PAGES - first, random(3) === 0 ? 1 + random(20) : HUGE * (1 + random(3))));
    const addr = ARENA + first * P;
    const length = count * P;
    switch (random(17)) {
      case 0:
      case 1:
      case 2: {
        const isFile = random(4) === 0;
        const type = random(3) === 0 ? mman.MAP_SHARED : mman.MAP_PRIVATE;
        const flags = type | mman.MAP_FIXED | (isFile ? 0 : mman.MAP_ANONYMOUS);
        const prot = random(6) === 0 ? 1 : 3;
        const offset = random(2) * HUGE * P;
        return on((mm, { file }) => mm.mmap({ addr, length, prot, flags, file: isFile ? file : null, offset }));
      }
      case 3:
        return on((mm) => mm.munmap(addr, length));
      case 4: {
        const prot = [1, 3, 3, 0][random(4)];
        return on((mm) => mm.mprotect(addr, length, prot));
      }
      case 5: {
        const to = ARENA + random(PAGES / step) * step * P;
        const flags = [3, 3, 1, 7][random(4)];
        const size = flags === 1 ? length + HUGE * P : length;
        if (flags === 1) return this.#grow(which, addr, length, size);
        return (worlds) => {
          const [a, b] = worlds.both(({ mms }) => isInOneVma(mms[which], addr, length));
          if (a !== b || (addr + length > to && to + size > addr)) return [0, 0];
          return worlds.both(({ mms }) => mms[which].mremap(addr, length, size, flags, to));
        };
      }
      case 6:
      case 7: {
        const { MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE } = mman;
        const all = [MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE];
        const advice = all[random(all.length)];
        return (worlds) => {
          if (advice === MADV_FREE) worlds.noteLost(which, addr, length);
          // Without huge pages nothing is to be lost, so nothing leaves memory.
          return worlds.both(({ thp, mms }) =>
            mms[which].madvise(addr, length, advice === MADV_PAGEOUT && !thp ? MADV_COLD : advice),
          );
        };
      }
      case 8:
      case 9:
        // What it answers depends on what is huge already; it collapses whatever the settings are.
        return on((mm, { thp }) => {
          if (thp) mm.madvise(ARENA + Math.floor(first / HUGE) * HUGE * P, HUGE * P * 2, mman.MADV_COLLAPSE);
        });
      case 10:
        return (worlds) => worlds.forkOrExit(which);
      case 11: {
        const at = random(6 * MIB);
        const much = random(MIB);
        const kind = random(4);
        return on((_mm, { file }) => {
          if (kind === 0) return file.object.truncate(at);
          if (kind === 1) file.object.punch(at, at + much);
          else if (kind === 2) return file.object.write(at, new Uint8Array(9000).fill(much));
          return 0;
        });
      }
      case 12: {
        const maxPtesNone = [0, 500, 511][random(3)];
        return on((_mm, { space: { memory } }) => {
          memory.khugepaged.maxPtesNone = maxPtesNone;
          fullScan(memory);
        });
      }
      default: {
        const value = random(1 << 20);
        const stride = (random(2) === 0 ? 1 : 17) * P;
        const places = Array.from({ length: Math.min(40, Math.ceil(length / stride)) }, (_, i) => addr + i * stride);
        if (value % 3 === 0)
          return (worlds) => worlds.words(which, (mm, world) => places.map((va) => read(world, mm, va)));
        return on((mm) => places.map((va) => (isBeyondEnd(mm, va) ? -EFAULT : putUser32(mm, va, value + va / P))));
      }
    }
  }

  /** mremap to where there is room: in place in both worlds, or elsewhere with the same contents. */
  #grow(which: number, addr: number, length: number, size: number): Call {
    return (worlds) => {
      const [a, b] = worlds.both(({ mms }) => isInOneVma(mms[which], addr, length));
      if (a !== b) return [0, 0];
      const places = new Map<World, number>();
      const went = worlds.both((world) => {
        const place = world.mms[which].mremap(addr, length, size, mman.MREMAP_MAYMOVE, 0);
        places.set(world, place);
        return place < 0 ? place : place === addr ? "in place" : "elsewhere";
      });
      if (went[0] !== went[1] || went[0] !== "elsewhere") return went;
      return worlds.words(which, (mm, world) => sample(world, mm, places.get(world)!, size));
    };
  }
}

/** All that an mm can read of the arena. */
function contents(mm: Mm, world: World): number[] {
  return Array.from({ length: PAGES }, (_, page) => read(world, mm, ARENA + page * P));
}

/** Where in the arena an mm differs: the first page. */
function difference([a, b]: [number[], number[]]): string {
  const page = a.findIndex((word, i) => word !== b[i]);
  return page < 0 ? "none" : `page ${page}: ${a[page]}, not ${b[page]}`;
}

/** Huge pages made by all of the runs of one kind. */
const made = (world: World): number => {
  const { stat } = world.space.memory;
  return stat.thp_fault_alloc + stat.thp_file_alloc + stat.thp_collapse_alloc;
};

describe.each([
  { name: "memory enough", memoryBytes: 96 * MIB, swapPages: 0, failures: false },
  { name: "blocks and pages are refused", memoryBytes: 96 * MIB, swapPages: 0, failures: true },
  { name: "swap", memoryBytes: 14 * MIB, swapPages: 60000, failures: false },
])("the same contents with and without huge pages: $name", (options) => {
  it.each(seedsOf("THP", 6))("seed %d", (seed) => {
    const worlds = new Worlds(options);
    const { huge, small } = worlds;
    const calls = new Calls(seed);
    // Only blocks: a page that is not to be had would show.
    if (options.failures) {
      let n = seed;
      const { frames } = huge.space.memory;
      const allocate = frames.allocateBlock.bind(frames);
      frames.allocateBlock = (kind) => (n++ % 3 === 0 ? asPfn(0) : allocate(kind));
    }
    // Whatever the seed, there are huge pages from the start.
    const writes = Array.from({ length: 4 }, (_, i) => ARENA + i * HUGE * P);
    const flags = mman.MAP_PRIVATE | mman.MAP_FIXED | mman.MAP_ANONYMOUS;
    worlds.both(({ mms: [mm] }) =>
      mm.mmap({ addr: ARENA, length: 4 * HUGE * P, prot: 3, flags, file: null, offset: 0 }),
    );
    worlds.both(({ mms: [mm] }) => writes.map((va) => putUser32(mm, va, va / P)));
    for (let i = 0; i < 120; i++) {
      const [a, b] = calls.next(huge.mms.length)(worlds);
      expect({ step: i, result: a }).toEqual({ step: i, result: b });
      huge.space.check();
    }
    expect(huge.mms.map((_, which) => difference(worlds.words(which, contents)))).toEqual(huge.mms.map(() => "none"));
    expect(made(huge)).toBeGreaterThan(0);
    expect(made(small)).toBe(0);
    huge.end();
    small.end();
  });
});
