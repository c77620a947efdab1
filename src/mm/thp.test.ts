// Transparent huge pages: random calls give the same memory contents and the same answers as without them, everything recounted after each; and when
// there is no block of frames, when allocations fail and when reclaim works, nothing is lost. What is huge after each operation is compared with Linux by
// guest/tests/thp-*.c.
import { describe, expect, it } from "vitest";
import { asPfn } from "../base/numbers.ts";
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

/** One random call, to be made in any world. */
type Call = (world: World) => unknown;

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
    const { random } = { random: (n: number) => this.random(n) };
    const which = random(mms);
    const on =
      (call: (mm: Mm, world: World) => unknown): Call =>
      (world) =>
        call(world.mms[which], world);
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
        return on((mm) =>
          addr + length > to && to + size > addr ? 0 : mm.mremap(addr, length, size, flags, to) - addr,
        );
      }
      case 6:
      case 7: {
        const { MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE } = mman;
        const all = [MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE];
        const advice = all[random(all.length)];
        return on((mm) => mm.madvise(addr, length, advice));
      }
      case 8:
      case 9:
        // What it answers depends on what is huge already; it collapses whatever the settings are.
        return on((mm, { thp }) => {
          if (thp) mm.madvise(ARENA + Math.floor(first / HUGE) * HUGE * P, HUGE * P * 2, mman.MADV_COLLAPSE);
        });
      case 10:
        return (world) => {
          if (world.mms.length >= 3) {
            world.mms.splice(which, 1)[0].put();
            return "exit";
          }
          const child = world.mms[which].fork();
          if (typeof child === "number") throw new Error("fork failed");
          world.mms.push(child);
          return "fork";
        };
      case 11: {
        const at = random(6 * MIB);
        const much = random(MIB);
        const kind = random(4);
        return ({ file }) => {
          if (kind === 0) return file.object.truncate(at);
          if (kind === 1) file.object.punch(at, at + much);
          else if (kind === 2) return file.object.write(at, new Uint8Array(9000).fill(much));
          return 0;
        };
      }
      case 12: {
        const maxPtesNone = [0, 500, 511][random(3)];
        return ({ space: { memory } }) => {
          memory.khugepaged.maxPtesNone = maxPtesNone;
          fullScan(memory);
        };
      }
      default: {
        const value = random(1 << 20);
        const stride = random(2) === 0 ? 1 : 17;
        return on((mm) => {
          let sum = 0;
          for (let va = addr; va < addr + Math.min(length, 40 * stride * P); va += stride * P) {
            if (value % 3 === 0) {
              const bytes = copyFromUser(mm, va, 4);
              sum += typeof bytes === "number" ? bytes : bytes[0] + 256 * bytes[1];
            } else sum += putUser32(mm, va, value + va / P);
          }
          return sum;
        });
      }
    }
  }
}

/** A checksum of all that an mm can read of the arena. */
function contents(mm: Mm): number {
  let sum = 7;
  for (let va = ARENA; va < ARENA + PAGES * P; va += P) {
    const bytes = copyFromUser(mm, va, 8);
    if (typeof bytes === "number") sum = (sum * 31 + 1) % 1000003;
    else for (const byte of bytes) sum = (sum * 31 + byte) % 1000003;
  }
  return sum;
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
  it.each([1, 3, 4, 5])("seed %d", (seed) => {
    const huge = new World(true, options);
    const small = new World(false, { ...options, memoryBytes: 96 * MIB });
    const calls = new Calls(seed);
    // Only blocks: a page that is not to be had would show.
    if (options.failures) {
      let n = seed;
      const { frames } = huge.space.memory;
      const allocate = frames.allocateBlock.bind(frames);
      frames.allocateBlock = (kind) => (n++ % 3 === 0 ? asPfn(0) : allocate(kind));
    }
    for (let i = 0; i < 120; i++) {
      const call = calls.next(huge.mms.length);
      const [a, b] = [call(huge), call(small)];
      expect({ step: i, result: a }).toEqual({ step: i, result: b });
      huge.space.check();
    }
    expect(huge.mms.map(contents)).toEqual(small.mms.map(contents));
    expect(made(huge)).toBeGreaterThan(0);
    expect(made(small)).toBe(0);
    huge.end();
    small.end();
  });
});
