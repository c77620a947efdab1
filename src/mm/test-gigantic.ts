// For tests of 1 GiB pages: a machine with two whole GiB free, of which the host has no more than is touched. Not for production code.
import { PAGE_SIZE, PUD_SIZE } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_HUGE_1GB,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import type { HugePool } from "./hugetlb.ts";
import type { Mm } from "./mm.ts";
import { ARENA, TestSpace } from "./test-space.ts";
import { getUser32, putUser32 } from "./usercopy.ts";
import type { VmFile } from "./vma.ts";

/** Frames of 1 GiB. */
export const GIB_FRAMES = PUD_SIZE / PAGE_SIZE;
/** Two whole GiB, and what is below the first of them. */
export const GIGANTIC_MEMORY = 3 * PUD_SIZE;

export class GiganticSpace extends TestSpace {
  constructor(pages = 0) {
    super({ memoryBytes: GIGANTIC_MEMORY, verify: false });
    this.pool.setMax(pages);
    this.check();
  }
  get pool(): HugePool {
    return this.memory.hugetlb.pools[1];
  }
  /** total, free, reserved, surplus. */
  get counts(): number[] {
    this.check();
    const { total, free, reserved, surplus } = this.pool;
    return [total, free, reserved, surplus];
  }
  /** Maps `count` pages of 1 GiB, the first at number `first` of the arena. */
  huge(first: number, count: number, flags = MAP_PRIVATE, more: { file?: VmFile; mm?: Mm } = {}): number {
    const { file = null, mm = this.mm } = more;
    const anonymous = file === null ? MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB : 0;
    const place = { addr: ARENA + first * PUD_SIZE, length: count * PUD_SIZE, offset: 0 };
    const result = mm.mmap({ ...place, prot: PROT_READ | PROT_WRITE, file, flags: flags | MAP_FIXED | anonymous });
    return this.check(result);
  }
  store(page: number, offset: number, value: number, mm = this.mm): string {
    const va = ARENA + page * PUD_SIZE + offset;
    const done = this.check(putUser32(mm, va, value)) === 0;
    return done ? "ok" : this.fault(va, ACCESS_WRITE, mm);
  }
  load(page: number, offset: number, mm = this.mm): number | string {
    const va = ARENA + page * PUD_SIZE + offset;
    const value = this.check(getUser32(mm, va));
    return value >= 0 ? value : this.fault(va, ACCESS_READ, mm);
  }
}
