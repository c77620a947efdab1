// As failures.test.ts, for memory with huge leaves: transparent huge pages, private and of shmem, and hugetlb pages. Each call with each of its allocations failing, and
// with no contiguous block left. A new call is a line in CALLS, a new kind of memory a line in KINDS, a new history a line in HISTORIES.
import { describe, expect, it } from "vitest";
import { EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSPC } from "../base/errno.ts";
import { asPfn } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "./constants.ts";
import { HugetlbObject } from "./hugetlb-object.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { swapOffAll } from "./swap-off.ts";
import { SwapArea } from "./swap.ts";
import { type Outcome, layoutOf, sweepFailures } from "./test-failures.ts";
import { P, TestFile, TestSpace, fullScan } from "./test-space.ts";
import { copyFromUser, copyToUser } from "./usercopy.ts";

const HUGE = 512;
/** One huge page and four small ones, which use a second page table; or two hugetlb pages. */
const START = 0x10_0000_0000;
const FAR = 0x18_0000_0000;
const RW = mman.PROT_READ | mman.PROT_WRITE;
const { MAP_ANONYMOUS, MAP_FIXED, MAP_HUGETLB, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED } = mman;
/** The pages that are written and looked at. */
const PAGES = [0, 3, 255, 511, 512, 515];

interface Kind {
  readonly flags: number;
  readonly file: boolean;
  readonly hugetlb: boolean;
}
interface State {
  readonly kind: Kind;
  readonly pages: number;
  readonly mms: Mm[];
  readonly file: TestFile;
}
type Call = (state: State, mm: Mm) => Outcome;

const KINDS: Record<string, Kind> = {
  "private anonymous": { flags: MAP_PRIVATE | MAP_ANONYMOUS, file: false, hugetlb: false },
  "shared anonymous": { flags: MAP_SHARED | MAP_ANONYMOUS, file: false, hugetlb: false },
  "private, of a file": { flags: MAP_PRIVATE, file: true, hugetlb: false },
  "hugetlb, private": { flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, file: false, hugetlb: true },
  "hugetlb, private, not reserved": {
    flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE,
    file: false,
    hugetlb: true,
  },
  "hugetlb, shared, of a file": { flags: MAP_SHARED, file: true, hugetlb: true },
};

const write = (mm: Mm): void => {
  for (const page of PAGES) copyToUser(mm, START + page * P, Uint8Array.of(1 + (page % 200)));
};

const HISTORIES: Record<string, (state: State, mm: Mm) => void> = {
  untouched: () => {},
  read: (_, mm) => void copyFromUser(mm, START + 3 * P, 1),
  written: (_, mm) => {
    write(mm);
  },
  "written and split": (_, mm) => {
    write(mm);
    mm.madvise(START + 7 * P, P, mman.MADV_DONTNEED);
  },
  "written and forked": (state, mm) => {
    write(mm);
    state.mms.push(mm.fork() as Mm);
  },
  "a part in swap": (_, mm) => {
    write(mm);
    mm.madvise(START + 253 * P, 4 * P, mman.MADV_PAGEOUT);
  },
};
/** Which of them say something about hugetlb pages, which are never split nor swapped. */
const OF_HUGETLB = ["untouched", "written", "written and forked"];

/** The bytes at PAGES, or "-". */
const bytesAt = (mm: Mm, start: number): string =>
  PAGES.map((page) => {
    const bytes = copyFromUser(mm, start + page * P, 1);
    return typeof bytes === "number" ? "-" : `${bytes[0]}`;
  }).join(" ");

const fault =
  (page: number, access: number): Call =>
  (_, mm) =>
    mm.fault(START + page * P, access).kind;
const madvise =
  (advice: number, first: number, count: number): Call =>
  (_, mm) =>
    mm.madvise(START + first * P, count * P, advice);
const mremap =
  (to: number, first: number, flags: number): Call =>
  ({ pages }, mm) =>
    mm.mremap(START + first * P, (pages - first) * P, (pages - first) * P, flags, to);
const fork: Call = (state, mm) => {
  const child = mm.fork();
  if (typeof child === "number") return child;
  state.mms.push(child);
  return 0;
};
const mapAt =
  (addr: number, more: number): Call =>
  ({ kind, pages, file }, mm) => {
    const flags = kind.flags | MAP_FIXED | more;
    return mm.mmap({ addr, length: pages * P, prot: RW, flags, file: kind.file ? file : null, offset: 0 });
  };

interface Failing {
  readonly call: Call;
  /** Besides success. Empty: it cannot fail for want of memory. */
  readonly failures?: readonly Outcome[];
  /** A failed call may have done a part: VMAs may differ. */
  readonly partly?: boolean;
}

const OOM = ["oom", "signal"];
const CALLS: Record<string, Failing> = {
  "fault: read": { call: fault(3, ACCESS_READ), failures: OOM },
  "fault: write": { call: fault(3, ACCESS_WRITE), failures: OOM },
  "fault: write behind": { call: fault(513, ACCESS_WRITE), failures: OOM },
  copy_to_user: {
    call: (_, mm) => copyToUser(mm, START + 510 * P, new Uint8Array(4 * P).fill(9)),
    failures: [-EFAULT],
    partly: true,
  },
  mmap: { call: mapAt(FAR, 0), failures: [-ENOMEM] },
  "mmap over": { call: mapAt(START, 0), failures: [-ENOMEM], partly: true },
  "mmap populated": { call: mapAt(FAR, MAP_POPULATE), failures: [-ENOMEM] },
  munmap: { call: ({ pages }, mm) => mm.munmap(START, pages * P) },
  "munmap of a part": { call: (_, mm) => mm.munmap(START + 3 * P, 2 * P), failures: [-ENOMEM] },
  "mprotect of a part": { call: (_, mm) => mm.mprotect(START + 2 * P, 4 * P, mman.PROT_READ), failures: [-ENOMEM] },
  "mprotect: none, then all": {
    call: ({ pages }, mm) => mm.mprotect(START, pages * P, 0) || mm.mprotect(START, pages * P, RW),
  },
  "mremap: move": { call: mremap(FAR, 0, 3), failures: [-ENOMEM], partly: true },
  "mremap: move, not aligned": { call: mremap(FAR + 5 * P, 0, 3), failures: [-ENOMEM], partly: true },
  "mremap: move a part": { call: mremap(FAR, 100, 3), failures: [-ENOMEM], partly: true },
  "mremap: leave the old": { call: mremap(FAR, 0, 7), failures: [-ENOMEM], partly: true },
  "MADV_DONTNEED of a part": { call: madvise(mman.MADV_DONTNEED, 2, 510) },
  "MADV_FREE of a part": { call: madvise(mman.MADV_FREE, 2, 510) },
  "MADV_REMOVE of a part": { call: madvise(mman.MADV_REMOVE, 2, 510) },
  "MADV_DONTNEED of a huge page": { call: madvise(mman.MADV_DONTNEED, 0, HUGE) },
  MADV_PAGEOUT: { call: madvise(mman.MADV_PAGEOUT, 0, HUGE) },
  // madvise(2): ENOMEM without a block; what cannot be brought in from swap is EINVAL (madvise_collapse_errno of SCAN_FAIL).
  MADV_COLLAPSE: { call: madvise(mman.MADV_COLLAPSE, 0, HUGE), failures: [-ENOMEM, -EINVAL] },
  khugepaged: { call: ({ file }, mm) => (fullScan(file.object.memory, mm), 0) },
  MADV_POPULATE_READ: { call: madvise(mman.MADV_POPULATE_READ, 510, 4), failures: [-ENOMEM, -EFAULT], partly: true },
  MADV_POPULATE_WRITE: {
    call: madvise(mman.MADV_POPULATE_WRITE, 510, 4),
    failures: [-ENOMEM, -EFAULT],
    partly: true,
  },
  mlock: { call: (_, mm) => mm.mlock(START + 510 * P, 4 * P, 0), failures: [-EAGAIN, -ENOMEM], partly: true },
  fork: { call: fork, failures: [-ENOMEM] },
  "fork, the child writes": {
    call: (_, mm) => {
      const child = mm.fork();
      if (typeof child === "number") return child;
      const result = copyToUser(child, START + 510 * P, new Uint8Array(4 * P).fill(7));
      child.put();
      return result;
    },
    failures: [-ENOMEM, -EFAULT],
    partly: true,
  },
  "write to the file": {
    call: ({ file }) => {
      if (file.object.kind === "hugetlb") return 0;
      const done = file.object.write(510 * P + 5, new Uint8Array(4 * P).fill(3));
      return done >= 0 && done < 4 * P ? "short" : done;
    },
    failures: [-ENOMEM, "short"],
    partly: true,
  },
  "ftruncate in the huge page": { call: ({ file }) => file.object.truncate(3 * P + 9) },
  "ftruncate to one huge page": { call: ({ file }) => file.object.truncate(HUGE * P) },
  fallocate: { call: ({ file, pages }) => file.object.allocate(0, pages * P), failures: [-ENOMEM, -ENOSPC] },
  "punch a hole": { call: ({ file }) => (file.object.punch(P + 3, 6 * P), 0) },
  swapoff: { call: ({ file }) => (swapOffAll(file.object.memory) ? 0 : -ENOMEM), failures: [-ENOMEM] },
};
function machine(): MemoryManager {
  const { memory } = new TestSpace({ memoryBytes: 14 * 2 ** 20, overcommit: 1 });
  memory.thp.enabled = "always";
  memory.thp.setShmemEnabled("always");
  memory.khugepaged.startStop();
  memory.hugetlb.defaultPool.setOvercommit(6);
  // It stays once it is there.
  memory.thp.zeroBlock();
  return memory;
}

function prepare(memory: MemoryManager, kind: Kind, history: string): State {
  memory.swap = new SwapArea("test", 2048);
  const mm = memory.newMm() as Mm;
  const pages = kind.hugetlb ? 2 * HUGE : HUGE + 4;
  const object = kind.hugetlb ? new HugetlbObject(memory.hugetlb.defaultPool, 0) : null;
  const file = object === null ? new TestFile(memory, { size: pages * P }) : new TestFile(memory, { object });
  if (object !== null) object.truncate(pages * P);
  const state: State = { kind, pages, mms: [mm], file };
  expect(mapAt(START, 0)(state, mm)).toBe(START);
  HISTORIES[history](state, mm);
  return state;
}

function end({ mms, file }: State): void {
  for (const mm of mms) mm.put();
  file.object.truncate(0);
  file.object.release();
  file.object.memory.objects.delete(file.object);
}

describe.each(Object.keys(KINDS))("%s", (name) => {
  const kind = KINDS[name];
  // One for all cases, until one fails.
  let usable: MemoryManager | null = null;
  const thp = Object.keys(HISTORIES).filter((history) => history !== "read" || name === "private anonymous");
  const histories = kind.hugetlb ? OF_HUGETLB : thp;
  const cases = histories.flatMap((history) =>
    Object.keys(CALLS)
      // It would make 512 small pages, and fail at each in turn.
      .filter((call) => name !== "private, of a file" || call !== "mmap populated")
      .map((call) => [history, call] as const),
  );
  it.each(cases)("%s: %s", (history, which) => {
    const { call, failures = [], partly = false } = CALLS[which];
    const memory = usable ?? machine();
    usable = null;
    // A parent that finds no page for its copy takes its child's (unmap_ref_private): what the child reads depends on it.
    const onlyFirst = kind.hugetlb && (history === "written and forked" || which.startsWith("fork"));
    sweepFailures<State>({
      memory,
      prepare: () => prepare(memory, kind, history),
      call: (state) => call(state, state.mms[0]),
      failures,
      unchanged: partly ? null : ({ mms }) => mms.map(layoutOf).join("\n"),
      contents: ({ mms }) =>
        mms
          .slice(0, onlyFirst ? 1 : undefined)
          .map((mm) => `${bytesAt(mm, START)} | ${bytesAt(mm, FAR)}`)
          .join("\n"),
      end,
      withoutBlocks: true,
    });
    usable = memory;
  });
});

describe("the huge zero page", () => {
  it.each(["once", "no block"])("a small one is read where it cannot be made: %s", (how) => {
    const { memory, mm } = new TestSpace({ memoryBytes: 8 * 2 ** 20 });
    memory.thp.enabled = "always";
    mm.mmap({
      addr: START,
      length: HUGE * P,
      prot: RW,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
      file: null,
      offset: 0,
    });
    const { allocateBlock } = memory.frames;
    if (how === "once") {
      let left = 1;
      memory.failAllocation = () => left-- > 0;
    } else memory.frames.allocateBlock = () => asPfn(0);
    expect(mm.fault(START, ACCESS_READ).kind).toBe("done");
    memory.failAllocation = null;
    memory.frames.allocateBlock = allocateBlock;
    memory.verify();
    expect(memory.thp.zero).toBe(0);
    expect(memory.stat.thp_zero_page_alloc_failed).toBe(1);
  });
});
