// Random calls of several address spaces, everything recounted after each, memory short and allocations failing at times: no call may leave counts
// that do not add up, and at the end every frame is free. What the calls answer is compared with Linux by guest/tests/mmfuzz.
import { describe, expect, it } from "vitest";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { seedsOf } from "../testing/seeds.ts";
import * as mman from "./constants.ts";
import type { Mm } from "./mm.ts";
import { SwapArea } from "./swap.ts";
import { RandomGroups } from "./test-groups.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

const PAGES = 48;
const OPERATIONS = 250;

class Fuzzer {
  readonly space: TestSpace;
  readonly files: TestFile[];
  readonly mms: Mm[];
  readonly random: (n: number) => number;
  /** Frames free before anything was mapped. */
  readonly free: number;

  /** Memory groups that are shaken meanwhile. */
  readonly groups: RandomGroups | null;

  constructor(seed: number, options: { failures: boolean; swapPages: number; groups?: true }) {
    let state = seed;
    this.random = (n) => {
      state = (state * 48271) % 2147483647;
      return Math.floor((state / 2147483647) * n);
    };
    this.random(2);
    // With swap, memory is so short that reclaim works all the time.
    this.space = new TestSpace({ memoryBytes: options.swapPages > 0 ? 90 * P : 2 ** 20, overcommit: 1 });
    if (options.swapPages > 0) this.space.memory.swap = new SwapArea("test", options.swapPages);
    this.files = [
      new TestFile(this.space.memory, { size: 9 * P }),
      new TestFile(this.space.memory, { size: 3 * P + 5 }),
    ];
    this.free = this.space.memory.frames.free;
    this.mms = [this.space.mm];
    this.groups = options.groups ? new RandomGroups(this.space.memory, this.random) : null;
    if (options.failures) this.space.memory.failAllocation = () => this.random(8) === 0;
  }

  /** One random call; its name, for messages. */
  step(): string {
    const { random, mms } = this;
    if (this.groups !== null && random(2) === 0) return this.groups.step(mms);
    const mm = mms[random(mms.length)];
    const first = random(PAGES);
    const addr = ARENA + first * P;
    const length = (1 + random(random(4) === 0 ? PAGES - first : Math.min(8, PAGES - first))) * P;
    switch (random(14)) {
      case 0:
      case 1:
        return `mmap ${this.#mmap(mm, addr, length)}`;
      case 2:
        return `munmap ${mm.munmap(addr, length)}`;
      case 3:
        return `mprotect ${mm.mprotect(addr, length, random(8))}`;
      case 4:
        return `mremap ${this.#mremap(mm, addr, length)}`;
      case 5:
      case 6:
        return `madvise ${mm.madvise(addr, length, this.#advice())}`;
      case 7:
        return `mlock ${random(2) === 0 ? mm.mlock(addr, length, random(2)) : mm.munlock(addr, length)}`;
      case 8:
        return `fork or exit ${this.#forkOrExit(mm)}`;
      case 9:
        return `file ${this.#changeFile()}`;
      default:
        for (let va = addr; va < addr + length; va += P) mm.fault(va, random(3) === 0 ? ACCESS_READ : ACCESS_WRITE);
        return "touch";
    }
  }

  end(): void {
    this.space.memory.failAllocation = null;
    for (const mm of this.mms) mm.put();
    for (const file of this.files) file.object.truncate(0);
    this.groups?.end();
    this.space.check();
    expect(this.space.memory.swap?.used ?? 0).toBe(0);
    expect(this.space.memory.frames.free).toBe(this.free + 1);
    expect(this.space.memory.committed()).toBe(0);
  }

  #mmap(mm: Mm, addr: number, length: number): number {
    const { random } = this;
    const file = random(2) === 0 ? this.files[random(this.files.length)] : null;
    const extra = [0, mman.MAP_POPULATE, mman.MAP_LOCKED, mman.MAP_GROWSDOWN, mman.MAP_NORESERVE, mman.MAP_STACK][
      random(6)
    ];
    const type = random(2) === 0 ? mman.MAP_SHARED : mman.MAP_PRIVATE;
    const flags = type | mman.MAP_FIXED | extra | (file === null ? mman.MAP_ANONYMOUS : 0);
    return mm.mmap({ addr, length, prot: random(8), flags, file, offset: random(6) * P });
  }

  #mremap(mm: Mm, addr: number, length: number): number {
    const { random } = this;
    const flags = [0, 1, 3, 3, 7, 5][random(6)];
    const size = random(3) === 0 ? length : (1 + random(8)) * P;
    return mm.mremap(addr, random(8) === 0 ? 0 : length, size, flags, ARENA + random(PAGES) * P);
  }

  #advice(): number {
    const { MADV_DONTNEED, MADV_REMOVE, MADV_FREE, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK } = mman;
    const choices = [MADV_DONTNEED, MADV_REMOVE, MADV_FREE, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK];
    return [...choices, mman.MADV_POPULATE_WRITE, mman.MADV_POPULATE_READ, mman.MADV_PAGEOUT][this.random(9)];
  }

  #forkOrExit(mm: Mm): number {
    if (this.mms.length > 1 && this.random(2) === 0) {
      this.mms.splice(this.mms.indexOf(mm), 1);
      mm.put();
      return 0;
    }
    if (this.mms.length === 4) return 0;
    const child = mm.fork();
    if (typeof child === "number") return child;
    this.mms.push(child);
    return 0;
  }

  #changeFile(): number {
    const { object } = this.files[this.random(this.files.length)];
    const at = this.random(10 * P);
    switch (this.random(3)) {
      case 0:
        return object.truncate(at);
      case 1:
        object.punch(at, at + this.random(4 * P));
        return 0;
      default:
        return object.write(at, new Uint8Array(this.random(3 * P)).fill(1));
    }
  }
}

describe.each([
  { name: "memory enough", failures: false, swapPages: 0 },
  { name: "allocations fail", failures: true, swapPages: 0 },
  { name: "swap", failures: false, swapPages: 100 },
  { name: "swap, allocations fail", failures: true, swapPages: 40 },
  { name: "memory groups", failures: false, swapPages: 0, groups: true as const },
  { name: "memory groups, swap", failures: false, swapPages: 100, groups: true as const },
  { name: "memory groups, swap, allocations fail", failures: true, swapPages: 40, groups: true as const },
])("random calls add up: $name", (options) => {
  it.each(seedsOf("FUZZ", 6))("seed %d", (seed) => {
    const fuzzer = new Fuzzer(seed, options);
    const done: string[] = [];
    for (let i = 0; i < OPERATIONS; i++) {
      try {
        done.push(fuzzer.step());
        fuzzer.space.check();
      } catch (error) {
        throw new Error(`seed ${seed}, after ${done.slice(-4).join(", ")}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    fuzzer.end();
  });
});
