// Random region calls with arguments from nowhere, while allocations fail and memory is so short that reclaim and swap work all the time. Nothing is expected of the
// results but that memory adds up after every call, that no frame is lost, and that nothing throws. The seed is in the test's name.
import { describe, expect, it } from "vitest";
import { onlineOf } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import { SwapArea } from "../mm/swap.ts";
import { RandomGroups } from "../mm/test-groups.ts";
import { copyToUser } from "../mm/usercopy.ts";
import { seedsOf } from "../testing/seeds.ts";
import { checkMapFlags, type Region } from "./region.ts";
import { detachWindow } from "./attach.ts";
import { GRANULE, MIB, PAGE, TestOwner, TestWorld } from "./test-world.ts";

interface Setting {
  readonly name: string;
  readonly share: boolean;
  /** One allocation in so many fails; 0: none. */
  readonly failures: number;
  readonly memoryBytes: number;
  readonly swapPages: number;
  /** Memory groups that are shaken meanwhile, and regions that change their owner's. */
  readonly groups?: true;
}

const SETTINGS: readonly Setting[] = [
  { name: "memory enough", share: true, failures: 0, memoryBytes: 16 * MIB, swapPages: 0 },
  { name: "allocations fail", share: true, failures: 12, memoryBytes: 16 * MIB, swapPages: 0 },
  { name: "allocations fail, private tables", share: false, failures: 12, memoryBytes: 16 * MIB, swapPages: 0 },
  { name: "swap", share: true, failures: 0, memoryBytes: 100 * PAGE, swapPages: 400 },
  { name: "swap, private tables", share: false, failures: 0, memoryBytes: 100 * PAGE, swapPages: 400 },
  { name: "swap, allocations fail", share: true, failures: 20, memoryBytes: 100 * PAGE, swapPages: 100 },
  { name: "memory groups", share: true, failures: 0, memoryBytes: 16 * MIB, swapPages: 400, groups: true },
  {
    name: "memory groups, private tables",
    share: false,
    failures: 0,
    memoryBytes: 16 * MIB,
    swapPages: 400,
    groups: true,
  },
  {
    name: "memory groups, allocations fail",
    share: true,
    failures: 20,
    memoryBytes: 100 * PAGE,
    swapPages: 100,
    groups: true,
  },
];

/** mulberry32: [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ODD = [
  0,
  1,
  4095,
  PAGE,
  2 ** 21,
  2 ** 30,
  2 ** 39,
  2 ** 46,
  2 ** 47,
  2 ** 53,
  2 ** 63,
  2 ** 64 - 4096,
  2 ** 64 - 2048,
];

class Fuzzer {
  readonly setting: Setting;
  readonly world: TestWorld;
  readonly mms: Mm[] = [];
  readonly #random: () => number;
  readonly #groups: RandomGroups | null;

  constructor(setting: Setting, seed: number) {
    this.setting = setting;
    this.#random = randomFrom(seed);
    this.world = new TestWorld({ share: setting.share, memoryBytes: setting.memoryBytes });
    const { memory } = this.world;
    if (setting.swapPages > 0) memory.swap = new SwapArea("fuzz", setting.swapPages);
    this.#groups = setting.groups ? new RandomGroups(memory, (n) => this.#below(n)) : null;
    this.mms.push(this.world.newMm(), this.world.newMm());
    const region = this.#newRegion();
    if (region === null) throw new Error("no memory for a region");
    for (const mm of this.mms) this.world.attach(region, mm);
    if (setting.failures > 0) memory.failAllocation = () => this.#below(setting.failures) === 0;
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.#step();
      this.world.memory.verify();
    }
    const { memory } = this.world;
    memory.failAllocation = null;
    memory.groups.current = memory.groups.root;
    expect(this.world.end(this.mms)).toBe(0);
    expect(memory.swap?.used ?? 0).toBe(0);
    expect(memory.committed()).toBe(0);
    this.#groups?.end();
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)];
  }
  get #region(): Region {
    return this.#pick([...this.world.mshare.regions.values()]);
  }
  #offset(): number {
    if (this.#below(12) === 0) return this.#pick(ODD);
    return this.#below(4) * GRANULE + this.#pick([0, 1, 2, 17, 510, 511]) * PAGE;
  }
  #size(): number {
    if (this.#below(12) === 0) return this.#pick(ODD);
    return this.#pick([PAGE, 2 * PAGE, 40 * PAGE, GRANULE, GRANULE + PAGE, 3 * GRANULE]);
  }

  #newRegion(): Region | null {
    const region = this.world.mshare.create(this.world.owner);
    if (typeof region === "number") return null;
    region.handles++;
    region.setSize(4 * GRANULE + this.#below(3) * PAGE);
    this.world.map(region, 0, 3 * GRANULE);
    return region;
  }

  /** Groups change, or who owns a region, or which group its owner is in. */
  #groupStep(groups: RandomGroups): void {
    const { owner, mshare } = this.world;
    owner.memcg = onlineOf(owner.memcg);
    if (this.#below(3) > 0) return void groups.step(this.mms);
    const group = groups.any();
    if (this.#below(2) === 0 || mshare.regions.size === 0) {
      owner.memcg = group;
      mshare.ownerMoved(owner);
      return;
    }
    const heir = new TestOwner(this.#pick(this.mms));
    heir.memcg = group;
    const region = this.#region;
    // And back to the one that the world knows.
    if (region.transfer(heir) === 0 && this.#below(2) === 0) region.transfer(owner);
    if (!region.dead) region.owner = owner;
  }

  #step(): void {
    if (this.#groups !== null && this.#below(2) === 0) return this.#groupStep(this.#groups);
    const { size } = this.world.mshare.regions;
    if (size === 0 || (size < 3 && this.#below(30) === 0)) this.#newRegion();
    if (this.world.mshare.regions.size === 0) return;
    const region = this.#region;
    const mm = this.#pick(this.mms);
    const vma = mm.vmas.size > 0 ? mm.vmas.at(this.#below(mm.vmas.size)) : null;
    const inside = vma === null ? 0 : vma.start + this.#below(vma.pages) * PAGE;
    switch (this.#below(28)) {
      case 0:
      case 1:
        return void this.world.attach(region, mm, {
          offset: this.#pick([0, 0, GRANULE, 3 * GRANULE, this.#offset()]),
          size: this.#pick([0, 0, GRANULE, this.#size()]),
          addr: this.#pick([0, 0, 2 ** 36 + this.#below(64) * GRANULE, this.#offset()]),
          flags: this.#pick([0, 0, 1, 2, 4, 4, 8, 0x10, 0xa, 0xc, this.#below(64)]),
          writable: this.#below(4) > 0,
        });
      case 2:
        return void detachWindow(mm, vma?.start ?? 0);
      case 3:
        return this.#forkOrExit(mm);
      case 4:
      case 5:
        return this.#map(region);
      case 6:
        return void region.unmap(this.#offset(), this.#size());
      case 7:
        return void region.protect(this.#offset(), this.#size(), this.#below(9));
      case 8:
        return void region.advise(this.#offset(), this.#size(), this.#below(26));
      case 9:
        if (this.#below(2) === 0) return void region.lock(this.#offset(), this.#pick([PAGE, 8 * PAGE]), this.#below(3));
        return void region.unlock(this.#offset(), this.#size());
      case 10:
        return void region.remap({
          oldOffset: this.#offset(),
          oldSize: this.#size(),
          newOffset: this.#offset(),
          newSize: this.#size(),
          flags: this.#below(5),
          reserved: 0,
        });
      case 11:
        if (this.#below(20) === 0) return region.end();
        return void region.setSize(this.#pick([4 * GRANULE, 5 * GRANULE, PAGE, this.#size()]));
      case 12:
        if (vma === null) return;
        return void mm.madvise(
          inside,
          this.#pick([PAGE, 40 * PAGE]),
          this.#pick([3, 4, 10, 11, 20, 21, 22, 23, this.#below(30)]),
        );
      case 13:
        if (vma === null) return;
        return void this.#pick([
          () => mm.mprotect(inside, PAGE, this.#below(8)),
          () => mm.munmap(inside, this.#pick([PAGE, GRANULE])),
          () => mm.mlock(inside, PAGE, 0),
          () => mm.msync(inside, PAGE, 4),
          () => mm.mremap(inside, PAGE, 2 * PAGE, 1, 0),
          () => mm.mincore(inside, PAGE),
        ])();
      case 14:
        return void region.sync(this.#offset(), this.#size(), this.#below(8));
      default:
        for (let i = 0; i < 16 && vma !== null; i++) {
          const va = vma.start + this.#offset();
          if (this.#below(2) === 0) copyToUser(mm, va, Uint8Array.of(i));
          else this.world.touch(mm, va, "read");
        }
    }
  }

  #forkOrExit(mm: Mm): void {
    if (this.mms.length > 2 && this.#below(2) === 0) {
      this.mms.splice(this.mms.indexOf(mm), 1);
      mm.put();
      return;
    }
    if (this.mms.length >= 5) return;
    const child = mm.fork();
    if (typeof child !== "number") this.mms.push(child);
  }

  #map(region: Region): void {
    const flags = 0x21 | this.#pick([0, 0x10, 0x10, 0x100000, 0x8010, 0x2010, 0x4010, this.#below(2 ** 20) & ~0x40000]);
    const args = { offset: this.#offset(), size: this.#size(), prot: this.#pick([3, 3, 1, 0, this.#below(9)]), flags };
    const full = { ...args, objOffset: 0n, objFd: -1, reserved: 0 };
    if (checkMapFlags(full) < 0) return;
    region.map({ ...full, file: null, addressSpaceLimit: this.#pick([Infinity, Infinity, 8 * GRANULE]) });
  }
}

describe.each(SETTINGS)("$name", (setting) => {
  it.each(seedsOf("FUZZ", 4))("seed %i", { timeout: 60_000 }, (seed) => {
    new Fuzzer(setting, seed).run(250);
  });
});
