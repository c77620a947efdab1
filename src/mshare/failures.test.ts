// Every call on regions and windows, and the faults in windows, with each of its allocations failing (mm/test-failures.ts), with shared and with private tables, for
// several sets of sharers. A new call is a line in CALLS, a new set of sharers a line in SHARERS. The errnos are ABI.md's: those of mmap and its kin.
import { describe, expect, it } from "vitest";
import { EAGAIN, EFAULT, ENOMEM } from "../base/errno.ts";
import { createHardware } from "../machine/hardware.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "../mm/constants.ts";
import { MemoryManager } from "../mm/memory-manager.ts";
import { bytesOf, sweepFailures } from "../mm/test-failures.ts";
import { TestFile } from "../mm/test-space.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_PASSTHROUGH, MSHARE_POPULATE, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
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
import { PAGE, TestOwner } from "./test-world.ts";

/** Eight pages of the region, four on either side of the boundary of two page tables, with four more free behind them. */
const FIRST = 508 * PAGE;
const PAGES = 8;
const SIZE = FIRST + (PAGES + 4) * PAGE;
const ANON = mman.MAP_SHARED | mman.MAP_ANONYMOUS;

interface State extends Attached {
  readonly file: TestFile;
}

const SHARERS: Record<string, Sharers> = {
  "nobody has touched anything": { flags: [0, 0, MSHARE_PRIVATE], written: false },
  "two sharers": { flags: [0, MSHARE_FIXED, 0], written: true },
  "a read-only view": { flags: [0, MSHARE_RDONLY, MSHARE_RDONLY | MSHARE_FIXED], written: true },
  "private windows with copies": { flags: [0, MSHARE_PRIVATE, MSHARE_PRIVATE | MSHARE_FIXED], written: true },
  "in swap": { flags: [MSHARE_PASSTHROUGH, MSHARE_PRIVATE, MSHARE_RDONLY], written: true, swapped: true },
};

function prepare(memory: MemoryManager, share: boolean, name: string): State {
  const file = new TestFile(memory, { size: PAGES * PAGE });
  const state = { ...newRegion(memory, { share, swapPages: 128, size: SIZE }), file };
  const { region, mms, windows } = state;
  const { flags, written, swapped = false } = SHARERS[name];
  expect(map(state, FIRST, PAGES, 0)).toBe(FIRST);
  attachAll(state, SHARERS[name]);
  if (written) write(state, 0, 1);
  if (written && flags[1] === MSHARE_PRIVATE) write(state, 1, 101);
  if (swapped) expect(region.advise(FIRST, PAGES * PAGE, mman.MADV_PAGEOUT)).toBe(0);
  if (swapped) mms[1]!.madvise(windows[1] + FIRST, PAGES * PAGE, mman.MADV_PAGEOUT);
  return state;
}

/** Writes every second page of a process's window. */
function write({ mms, windows }: State, who: number, value: number): void {
  for (let i = 0; i < PAGES; i += 2) copyToUser(mms[who]!, windows[who] + FIRST + i * PAGE, Uint8Array.of(value + i));
}

function map({ region }: State, offset: number, pages: number, flags: number, file: TestFile | null = null): number {
  const kind = file === null ? ANON : mman.MAP_SHARED;
  const request = { offset, size: pages * PAGE, prot: RW, objOffset: 0n, file, addressSpaceLimit: Infinity };
  return region.map({ ...request, flags: kind | mman.MAP_FIXED | flags });
}

function end(state: State): void {
  endRegion(state);
  state.file.object.release();
  state.file.object.memory.objects.delete(state.file.object);
}

const fault = (who: number, page: number, access: number): Failing<State>["call"] =>
  faultAt(who, FIRST + page * PAGE, access);
const advise =
  (advice: number): Failing<State>["call"] =>
  ({ region }) =>
    region.advise(FIRST, PAGES * PAGE, advice);
const windowAdvise = (who: number, advice: number): Failing<State>["call"] =>
  adviseWindow(who, advice, FIRST, PAGES * PAGE);

const CALLS: Record<string, Failing<State>> = {
  create: {
    call: ({ mshare, mms }) => {
      const owner = new TestOwner(mms[1]!);
      owner.descriptors = false;
      const region = mshare.create(owner);
      if (typeof region === "number") return region;
      region.setSize(SIZE);
      region.reconsider();
      return 0;
    },
    failures: [-ENOMEM],
  },
  attach: { call: attachMore(0), failures: [-ENOMEM] },
  "attach populated": { call: attachMore(MSHARE_POPULATE), failures: [-ENOMEM] },
  "attach read-only": { call: attachMore(MSHARE_RDONLY | MSHARE_POPULATE), failures: [-ENOMEM] },
  "attach private": { call: attachMore(MSHARE_PRIVATE | MSHARE_POPULATE), failures: [-ENOMEM] },
  detach: { call: ({ mms, windows }) => detachWindow(mms[1]!, windows[1]) },
  map: { call: (state) => map(state, FIRST + PAGES * PAGE, 4, 0), failures: [-ENOMEM] },
  "map over": { call: (state) => map(state, FIRST + 2 * PAGE, 6, 0), failures: [-ENOMEM], partly: true },
  "map populated": { call: (state) => map(state, FIRST + 2 * PAGE, 10, mman.MAP_POPULATE) },
  "map locked": { call: (state) => map(state, FIRST + 2 * PAGE, 10, mman.MAP_LOCKED) },
  "map a file, populated": { call: (state) => map(state, FIRST, PAGES, mman.MAP_POPULATE, state.file) },
  unmap: { call: ({ region }) => region.unmap(FIRST + 2 * PAGE, 4 * PAGE) },
  "protect: read only": { call: ({ region }) => region.protect(FIRST + 2 * PAGE, 4 * PAGE, mman.PROT_READ) },
  "protect: none, then all": {
    call: ({ region }) => region.protect(FIRST, 5 * PAGE, 0) || region.protect(FIRST, PAGES * PAGE, RW),
  },
  "advise DONTNEED": { call: advise(mman.MADV_DONTNEED) },
  "advise REMOVE": { call: advise(mman.MADV_REMOVE) },
  "advise WILLNEED": { call: advise(mman.MADV_WILLNEED) },
  "advise COLD": { call: advise(mman.MADV_COLD) },
  "advise PAGEOUT": { call: advise(mman.MADV_PAGEOUT) },
  "advise POPULATE_READ": { call: advise(mman.MADV_POPULATE_READ), failures: [-ENOMEM] },
  "advise POPULATE_WRITE": { call: advise(mman.MADV_POPULATE_WRITE), failures: [-ENOMEM] },
  lock: { call: ({ region }) => region.lock(FIRST, PAGES * PAGE, 0), failures: [-EAGAIN], partly: true },
  "lock on fault": { call: ({ region }) => region.lock(FIRST, PAGES * PAGE, mman.MLOCK_ONFAULT) },
  unlock: { call: ({ region }) => region.lock(FIRST, PAGES * PAGE, 1) || region.unlock(FIRST, PAGES * PAGE) },
  sync: { call: ({ region }) => region.sync(FIRST, PAGES * PAGE, 4) },
  "remap: move": {
    call: ({ region }) => {
      const args = { oldOffset: FIRST, oldSize: 3 * PAGE, newOffset: FIRST + 9 * PAGE, newSize: 3 * PAGE };
      return region.remap({ ...args, flags: mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, reserved: 0 });
    },
    failures: [-ENOMEM],
  },
  "remap: into another table": {
    call: ({ region }) => {
      const args = { oldOffset: FIRST, oldSize: PAGES * PAGE, newOffset: PAGE, newSize: PAGES * PAGE };
      return region.remap({ ...args, flags: mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, reserved: 0 });
    },
    failures: [-ENOMEM],
  },
  "remap: grow": {
    call: ({ region }) => {
      const args = { oldOffset: FIRST, oldSize: PAGES * PAGE, newOffset: 0, newSize: (PAGES + 4) * PAGE };
      return region.remap({ ...args, flags: mman.MREMAP_MAYMOVE, reserved: 0 });
    },
    failures: [-ENOMEM],
  },
  stat: { call: ({ region }) => region.stat().size },
  transfer: {
    call: ({ region, mms }) => {
      const heir = new TestOwner(mms[1]!);
      heir.descriptors = false;
      return region.transfer(heir);
    },
  },
  grow: { call: ({ region }) => region.setSize(SIZE + 2 ** 30) },
  "the owner ends": { call: ({ mshare, owner }) => (mshare.ownerGone(owner), 0) },
  reap: { call: ({ mshare, owner }) => (mshare.reap(owner), 0) },
  // Faults and the kernel's own accesses, by each process.
  ...Object.fromEntries(
    [0, 1, 2].flatMap((who): [string, Failing<State>][] => [
      [`fault of process ${who}: read`, { call: fault(who, 2, ACCESS_READ), failures: ["oom"] }],
      [`fault of process ${who}: read what nobody wrote`, { call: fault(who, 5, ACCESS_READ), failures: ["oom"] }],
      [`fault of process ${who}: write`, { call: fault(who, 2, ACCESS_WRITE), failures: ["oom"] }],
      [`fault of process ${who}: write in the second table`, { call: fault(who, 5, ACCESS_WRITE), failures: ["oom"] }],
      [`fork of process ${who}`, { call: fork(who), failures: [-ENOMEM] }],
      [`process ${who}: MADV_POPULATE_READ`, { call: windowAdvise(who, mman.MADV_POPULATE_READ), failures: [-ENOMEM] }],
      [
        `process ${who}: MADV_POPULATE_WRITE`,
        { call: windowAdvise(who, mman.MADV_POPULATE_WRITE), failures: [-ENOMEM] },
      ],
      [`process ${who}: MADV_DONTNEED`, { call: windowAdvise(who, mman.MADV_DONTNEED) }],
      [
        `process ${who}: mlock`,
        {
          call: ({ mms, windows }) => mms[who]!.mlock(windows[who] + FIRST, PAGES * PAGE, 0),
          failures: [-EAGAIN],
          partly: true,
        },
      ],
      [
        `process ${who}: copy_from_user`,
        {
          call: ({ mms, windows }) =>
            typeof copyFromUser(mms[who]!, windows[who] + FIRST, PAGES * PAGE) === "number" ? -EFAULT : 0,
          failures: [-EFAULT],
        },
      ],
      [`exit of process ${who}`, { call: exit(who) }],
    ]),
  ),
  copy_to_user: {
    call: ({ mms, windows }) => copyToUser(mms[0]!, windows[0] + FIRST, new Uint8Array(PAGES * PAGE).fill(9)),
    failures: [-EFAULT],
    partly: true,
  },
};

describe.each([true, false])("share: %s", (share) => {
  // One for all cases, until one fails.
  let usable: MemoryManager | null = null;
  const cases = Object.keys(SHARERS).flatMap((sharers) => Object.keys(CALLS).map((name) => [sharers, name] as const));
  it.each(cases)("%s: %s", (sharers, name) => {
    const { call, failures = [], partly = false } = CALLS[name];
    const fresh = (): MemoryManager =>
      new MemoryManager(createHardware({ memoryBytes: 2 ** 20, harts: 1 }), { verify: true, overcommit: 1 });
    const memory = usable ?? fresh();
    usable = null;
    sweepFailures<State>({
      memory,
      prepare: () => prepare(memory, share, sharers),
      call,
      failures,
      unchanged: partly ? null : layoutsOf,
      contents: (state) => seenBy(state, (mm, window) => bytesOf(mm, window + FIRST, window + SIZE)),
      end,
    });
    usable = memory;
  });
});
