// As failures.test.ts, for regions with huge leaves: transparent huge pages of shmem, and hugetlb pages. Every call and fault with each of its allocations failing, and with
// no contiguous block left, for shared, read-only, private windows and ones that link page tables, so that leaves are split. A new call is a line in CALLS.
import { describe, expect, it } from "vitest";
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from "../base/errno.ts";
import { createHardware } from "../machine/hardware.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "../mm/constants.ts";
import { KIND_SHMEM } from "../mm/frame.ts";
import { MemoryManager } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import { fullScan } from "../mm/test-space.ts";
import { sweepFailures } from "../mm/test-failures.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_POPULATE, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { detachWindow } from "./attach.ts";
import {
  type Attached,
  type Failing,
  RW,
  type Sharers,
  adviseWindow,
  attachAll,
  attachMore,
  endRegion,
  exit,
  faultAt,
  fork,
  layoutsOf,
  newRegion,
  seenBy,
} from "./test-failures.ts";
import { GIB, PAGE } from "./test-world.ts";

const HUGE = 512;
const SHARED_ANON = mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED;
/** Pages of the region that are written and looked at. */
const PAGES = [0, 3, 255, 511, 512, 515];

interface State extends Attached {
  readonly hugetlb: boolean;
  /** Bytes of the object that is mapped at 0. */
  readonly size: number;
}

const SHARERS: Record<string, Sharers> = {
  "nobody has touched anything": { flags: [0, MSHARE_RDONLY, MSHARE_PRIVATE], written: false },
  "a sharer and a read-only view": { flags: [0, 0, MSHARE_RDONLY], written: true },
  "private windows with copies": { flags: [0, MSHARE_PRIVATE, MSHARE_PRIVATE], written: true },
  "windows that link page tables": {
    flags: [0, MSHARE_FIXED, MSHARE_RDONLY | MSHARE_FIXED],
    written: true,
  },
  "a part in swap": { flags: [0, MSHARE_RDONLY, MSHARE_PRIVATE], written: true, swapped: true },
};

function prepare(memory: MemoryManager, options: { share: boolean; hugetlb: boolean }, name: string): State {
  const { share, hugetlb } = options;
  const size = (hugetlb ? 2 * HUGE : HUGE + 4) * PAGE;
  const state = { ...newRegion(memory, { share, swapPages: 1024, size: GIB }), hugetlb, size };
  const { flags, written, swapped = false } = SHARERS[name];
  expect(map(state, 0, 0)).toBe(0);
  attachAll(state, SHARERS[name]);
  if (written) write(state, 0, PAGES);
  if (written && (flags[1] & MSHARE_PRIVATE) !== 0) write(state, 1, [3]);
  if (swapped) expect(state.region.advise(253 * PAGE, 4 * PAGE, mman.MADV_PAGEOUT)).toBe(0);
  return state;
}

function write({ mms, windows }: State, who: number, pages: readonly number[]): void {
  for (const page of pages)
    expect(copyToUser(mms[who]!, windows[who] + page * PAGE, Uint8Array.of((page % 100) + 100 * who + 1))).toBe(0);
}

/** Maps as much as there is at first. */
function map({ region, hugetlb, size }: State, offset: number, more: number): number {
  const flags = SHARED_ANON | (hugetlb ? mman.MAP_HUGETLB : 0) | more;
  return region.map({ offset, size, prot: RW, objOffset: 0n, file: null, addressSpaceLimit: Infinity, flags });
}

const bytesAt = (mm: Mm, start: number): string =>
  PAGES.map((page) => {
    const bytes = copyFromUser(mm, start + page * PAGE, 1);
    return typeof bytes === "number" ? "-" : `${bytes[0]}`;
  }).join(" ");

/** Out of memory, or of hugetlb pages (SIGBUS). */
const OOM = ["oom", "signal"];
const fault = (who: number, page: number, access: number): Failing<State>["call"] => faultAt(who, page * PAGE, access);
const advise =
  (advice: number, first: number, count: number): Failing<State>["call"] =>
  ({ region }) =>
    region.advise(first * PAGE, count * PAGE, advice);
const windowAdvise = (who: number, advice: number, first: number, count: number): Failing<State>["call"] =>
  adviseWindow(who, advice, first * PAGE, count * PAGE);
const move =
  (to: number): Failing<State>["call"] =>
  ({ region, size }) => {
    const args = { oldOffset: 0, oldSize: size, newOffset: to, newSize: size };
    return region.remap({ ...args, flags: mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, reserved: 0 });
  };

const CALLS: Record<string, Failing<State>> = {
  attach: { call: attachMore(0), failures: [-ENOMEM] },
  "attach, linking page tables": { call: attachMore(MSHARE_FIXED | MSHARE_POPULATE), failures: [-ENOMEM] },
  "attach populated": { call: attachMore(MSHARE_POPULATE), failures: [-ENOMEM] },
  "attach read-only": { call: attachMore(MSHARE_RDONLY | MSHARE_POPULATE), failures: [-ENOMEM] },
  "attach private": { call: attachMore(MSHARE_PRIVATE | MSHARE_POPULATE), failures: [-ENOMEM] },
  detach: { call: ({ mms, windows }) => detachWindow(mms[1]!, windows[1]) },
  map: { call: (state) => map(state, 2 ** 24, 0), failures: [-ENOMEM] },
  "map over": { call: (state) => map(state, 0, 0), failures: [-ENOMEM], partly: true },
  "map populated": { call: (state) => map(state, 2 ** 24, mman.MAP_POPULATE), failures: [-ENOMEM] },
  unmap: { call: ({ region, size }) => region.unmap(0, size) },
  "unmap of a part": { call: ({ region }) => region.unmap(2 * PAGE, 4 * PAGE), failures: [-ENOMEM] },
  "protect a part": {
    call: ({ region }) => region.protect(2 * PAGE, 4 * PAGE, mman.PROT_READ),
    failures: [-ENOMEM],
  },
  "protect: none, then all": { call: ({ region, size }) => region.protect(0, size, 0) || region.protect(0, size, RW) },
  "advise DONTNEED": { call: advise(mman.MADV_DONTNEED, 2, 510) },
  "advise REMOVE": { call: advise(mman.MADV_REMOVE, 2, 510) },
  "advise REMOVE, a huge page": { call: advise(mman.MADV_REMOVE, 0, HUGE) },
  "advise PAGEOUT": { call: advise(mman.MADV_PAGEOUT, 250, 4) },
  "advise POPULATE_READ": { call: advise(mman.MADV_POPULATE_READ, 510, 4), failures: [-ENOMEM, -EFAULT] },
  "advise POPULATE_WRITE": { call: advise(mman.MADV_POPULATE_WRITE, 510, 4), failures: [-ENOMEM, -EFAULT] },
  "advise COLLAPSE": { call: advise(mman.MADV_COLLAPSE, 0, HUGE), failures: [-ENOMEM, -EINVAL] },
  khugepaged: { call: ({ region }) => (fullScan(region.host.memory, region.host), 0) },
  lock: {
    call: ({ region }) => region.lock(510 * PAGE, 4 * PAGE, 0),
    failures: [-EAGAIN, -ENOMEM],
    partly: true,
  },
  "remap: move": { call: move(2 ** 24), failures: [-ENOMEM], partly: true },
  "remap: move, not aligned": { call: move(2 ** 24 + 5 * PAGE), failures: [-ENOMEM], partly: true },
  stat: { call: ({ region }) => region.stat().resident },
  "the owner ends": { call: ({ mshare, owner }) => (mshare.ownerGone(owner), 0) },
  ...Object.fromEntries(
    [0, 1, 2].flatMap((who): [string, Failing<State>][] => [
      [`fault of process ${who}: read`, { call: fault(who, 2, ACCESS_READ), failures: OOM }],
      [`fault of process ${who}: write`, { call: fault(who, 2, ACCESS_WRITE), failures: OOM }],
      [`fault of process ${who}: write behind`, { call: fault(who, 513, ACCESS_WRITE), failures: OOM }],
      [`fork of process ${who}`, { call: fork(who), failures: [-ENOMEM] }],
      [
        `process ${who}: MADV_POPULATE_WRITE`,
        { call: windowAdvise(who, mman.MADV_POPULATE_WRITE, 510, 4), failures: [-ENOMEM, -EFAULT] },
      ],
      [`process ${who}: MADV_DONTNEED`, { call: windowAdvise(who, mman.MADV_DONTNEED, 0, HUGE) }],
      [
        `process ${who}: MADV_COLLAPSE`,
        { call: windowAdvise(who, mman.MADV_COLLAPSE, 0, HUGE), failures: [-ENOMEM, -EINVAL] },
      ],
      [`exit of process ${who}`, { call: exit(who) }],
    ]),
  ),
  copy_to_user: {
    call: ({ mms, windows }) => copyToUser(mms[0]!, windows[0] + 510 * PAGE, new Uint8Array(4 * PAGE).fill(9)),
    failures: [-EFAULT],
    partly: true,
  },
};

function machine(): MemoryManager {
  const memory = new MemoryManager(createHardware({ memoryBytes: 14 * 2 ** 20, harts: 1 }), {
    verify: true,
    overcommit: 1,
  });
  memory.thp.enabled = "always";
  memory.thp.setShmemEnabled("always");
  memory.khugepaged.startStop();
  memory.hugetlb.defaultPool.setOvercommit(6);
  return memory;
}

const MODES = [true, false].flatMap((share) => [false, true].map((hugetlb) => ({ share, hugetlb })));

describe.each(MODES)("share: $share, hugetlb: $hugetlb", (mode) => {
  // One for all cases, until one fails.
  let usable: MemoryManager | null = null;
  // hugetlb pages are neither split nor swapped; private tables have few ways of their own.
  const left = new RegExp([mode.hugetlb ? "page tables|swap" : "^$", mode.share ? "^$" : "nobody|swap"].join("|"));
  const sharers = Object.keys(SHARERS).filter((name) => !left.test(name));
  // With private tables populating makes 512 small pages, and would fail at each in turn.
  const calls = Object.keys(CALLS).filter((call) => mode.share || mode.hugetlb || call !== "map populated");
  const cases = sharers.flatMap((name) => calls.map((call) => [name, call] as const));
  it.each(cases)("%s: %s", (name, which) => {
    const { call, failures = [], partly = false } = CALLS[which];
    const memory = usable ?? machine();
    usable = null;
    sweepFailures<State>({
      memory,
      prepare: () => prepare(memory, mode, name),
      call,
      failures,
      unchanged: partly ? null : layoutsOf,
      contents: (state) => seenBy(state, bytesAt),
      end: endRegion,
      withoutBlocks: true,
    });
    usable = memory;
  });

  it("has huge leaves where it should", () => {
    const memory = machine();
    const huge = sharers.map((name) => {
      const state = prepare(memory, mode, name);
      const leaves = mode.hugetlb ? memory.hugetlb.mapped : memory.frames.hugeMapped[KIND_SHMEM];
      endRegion(state);
      return [name, leaves > 0];
    });
    // Nothing was touched; a part in swap has split one. Where page tables are to be linked it is split by the fault there.
    const none = ["nobody has touched anything", "a part in swap"];
    expect(huge).toEqual(sharers.map((name) => [name, !none.includes(name)]));
  });
});
