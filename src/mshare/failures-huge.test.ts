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
import { SwapArea } from "../mm/swap.ts";
import { fullScan } from "../mm/test-space.ts";
import { type Outcome, layoutOf, sweepFailures } from "../mm/test-failures.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_POPULATE, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { attachWindow, detachWindow } from "./attach.ts";
import { MshareManager } from "./manager.ts";
import type { Region } from "./region.ts";
import { GIB, PAGE, TestOwner } from "./test-world.ts";

const HUGE = 512;
const RW = mman.PROT_READ | mman.PROT_WRITE;
const SHARED_ANON = mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED;
/** 2 MiB before a place where 1 GiB could be linked: the page tables are. */
const ODD = 2 ** 36 + 3 * 2 ** 21;
/** Pages of the region that are written and looked at. */
const PAGES = [0, 3, 255, 511, 512, 515];

interface State {
  readonly mshare: MshareManager;
  readonly region: Region;
  readonly owner: TestOwner;
  readonly mms: (Mm | null)[];
  /** The window of each address space. */
  readonly windows: number[];
  readonly hugetlb: boolean;
  /** Bytes of the object that is mapped at 0. */
  readonly size: number;
}

/** How the three processes are attached (the first owns the region), and whether pages were written. */
const SHARERS: Record<string, { flags: readonly number[]; written: boolean; swapped?: boolean }> = {
  "nobody has touched anything": { flags: [0, MSHARE_RDONLY, MSHARE_PRIVATE], written: false },
  "a sharer and a read-only view": { flags: [0, 0, MSHARE_RDONLY], written: true },
  "private windows with copies": { flags: [0, MSHARE_PRIVATE, MSHARE_PRIVATE], written: true },
  "windows that link page tables": {
    flags: [0, MSHARE_FIXED, MSHARE_RDONLY | MSHARE_FIXED],
    written: true,
  },
  "a part in swap": { flags: [0, MSHARE_RDONLY, MSHARE_PRIVATE], written: true, swapped: true },
};

const attach = (region: Region, mm: Mm, flags: number): number => {
  const addr = (flags & MSHARE_FIXED) !== 0 ? ODD : 0;
  return attachWindow(region, mm, { offset: 0, size: 0, addr, flags, writable: true });
};

function prepare(memory: MemoryManager, options: { share: boolean; hugetlb: boolean }, name: string): State {
  const { share, hugetlb } = options;
  memory.swap = new SwapArea("test", 1024);
  let seed = 3;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const mshare = new MshareManager(memory, { share, random });
  const mms = [0, 1, 2].map(() => memory.newMm() as Mm);
  const owner = new TestOwner(mms[0]);
  const region = mshare.create(owner) as Region;
  region.handles = 1;
  region.setSize(GIB);
  const size = (hugetlb ? 2 * HUGE : HUGE + 4) * PAGE;
  const { flags, written, swapped = false } = SHARERS[name];
  const state: State = { mshare, region, owner, mms, windows: [], hugetlb, size };
  expect(map(state, 0, 0)).toBe(0);
  flags.forEach((f, i) => {
    const at = attach(region, mms[i], f);
    expect(at).toBeGreaterThan(0);
    state.windows.push(at);
  });
  if (written) write(state, 0, PAGES);
  if (written && (flags[1] & MSHARE_PRIVATE) !== 0) write(state, 1, [3]);
  if (swapped) expect(region.advise(253 * PAGE, 4 * PAGE, mman.MADV_PAGEOUT)).toBe(0);
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

function end({ mshare, region, owner, mms }: State): void {
  owner.mm = null;
  owner.descriptors = false;
  for (const mm of mms) mm?.put();
  region.handles = 0;
  region.reconsider();
  expect(mshare.regions.size).toBe(0);
}

interface Failing {
  readonly call: (state: State) => Outcome;
  /** Besides success. Empty: it cannot fail for want of memory. */
  readonly failures?: readonly Outcome[];
  /** A failed call may have done a part: VMAs may differ. */
  readonly partly?: boolean;
}

/** Out of memory, or of hugetlb pages (SIGBUS). */
const OOM = ["oom", "signal"];
const fault =
  (who: number, page: number, access: number): Failing["call"] =>
  ({ mms, windows }) =>
    mms[who]!.fault(windows[who] + page * PAGE, access).kind;
const advise =
  (advice: number, first: number, count: number): Failing["call"] =>
  ({ region }) =>
    region.advise(first * PAGE, count * PAGE, advice);
const attachMore =
  (flags: number): Failing["call"] =>
  ({ region, mms }) =>
    Math.min(0, attach(region, mms[1]!, flags));
const windowAdvise =
  (who: number, advice: number, first: number, count: number): Failing["call"] =>
  ({ mms, windows }) =>
    mms[who]!.madvise(windows[who] + first * PAGE, count * PAGE, advice);
const fork =
  (who: number): Failing["call"] =>
  ({ mms, windows }) => {
    const child = mms[who]!.fork();
    if (typeof child === "number") return child;
    mms.push(child);
    windows.push(windows[who]);
    return 0;
  };
const move =
  (to: number): Failing["call"] =>
  ({ region, size }) => {
    const args = { oldOffset: 0, oldSize: size, newOffset: to, newSize: size };
    return region.remap({ ...args, flags: mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, reserved: 0 });
  };

const CALLS: Record<string, Failing> = {
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
    [0, 1, 2].flatMap((who): [string, Failing][] => [
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
      [
        `exit of process ${who}`,
        {
          call: ({ mms, owner }) => {
            if (owner.mm === mms[who]) owner.mm = null;
            mms[who]?.put();
            mms[who] = null;
            return 0;
          },
        },
      ],
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
      unchanged: partly
        ? null
        : ({ region, mms }) => [region.host, ...mms].map((mm) => (mm === null ? "" : layoutOf(mm))).join("\n"),
      contents: ({ mms, windows }) => mms.map((mm, i) => (mm === null ? "" : bytesAt(mm, windows[i]))).join("\n"),
      end,
      withoutBlocks: true,
    });
    usable = memory;
  });

  it("has huge leaves where it should", () => {
    const memory = machine();
    const huge = sharers.map((name) => {
      const state = prepare(memory, mode, name);
      const leaves = mode.hugetlb ? memory.hugetlb.mapped : memory.frames.hugeMapped[KIND_SHMEM];
      end(state);
      return [name, leaves > 0];
    });
    // Nothing was touched; a part in swap has split one. Where page tables are to be linked it is split by the fault there.
    const none = ["nobody has touched anything", "a part in swap"];
    expect(huge).toEqual(sharers.map((name) => [name, !none.includes(name)]));
  });
});
