// Every call and kind of fault of mm, on several states, with each of its allocations failing (test-failures.ts). A new call is a line in CALLS, a new kind of memory a line
// in KINDS, a new history a line in HISTORIES. What a call may come to without memory is Linux's: errnos from the manual pages, mm/*.c where they are silent.
import { describe, expect, it } from "vitest";
import { EAGAIN, EFAULT, ENOMEM } from "../base/errno.ts";
import type { Pfn } from "../base/numbers.ts";
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "./constants.ts";
import type { Mm } from "./mm.ts";
import { KIND_TABLE } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { swapOffAll } from "./swap-off.ts";
import { SwapArea } from "./swap.ts";
import { type Outcome, bytesOf, layoutOf, sweepFailures } from "./test-failures.ts";
import { P, TestFile, TestSpace } from "./test-space.ts";
import { copyFromUser, copyToUser } from "./usercopy.ts";

/** Eight pages, four on either side of the boundary of two page tables. */
const START = 0x10_0000_0000 + 508 * P;
const PAGES = 8;
const END = START + PAGES * P;
const FAR = 0x18_0000_0000 + 508 * P;
const BRK = 0x8_0000_0000;
const RW = mman.PROT_READ | mman.PROT_WRITE;

interface State {
  readonly mms: Mm[];
  readonly file: TestFile;
}
type Call = (state: State, mm: Mm) => Outcome;

/** What the eight pages are. */
const KINDS: Record<string, { flags: number; file: boolean }> = {
  "private anonymous": { flags: mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, file: false },
  "shared anonymous": { flags: mman.MAP_SHARED | mman.MAP_ANONYMOUS, file: false },
  "private, of a file": { flags: mman.MAP_PRIVATE, file: true },
  "shared, of a file": { flags: mman.MAP_SHARED, file: true },
};

/** What has happened to them before the call. */
const HISTORIES: Record<string, (state: State, mm: Mm) => void> = {
  untouched: () => {},
  "some pages read": (_, mm) => void bytesOf(mm, START + 3 * P, START + 5 * P),
  written: (_, mm) => write(mm, START, END),
  "written and forked": (state, mm) => {
    write(mm, START, END);
    state.mms.push(mm.fork() as Mm);
  },
  "written and in swap": (_, mm) => {
    write(mm, START, END);
    expect(mm.madvise(START, PAGES * P, mman.MADV_PAGEOUT)).toBe(0);
  },
  "in swap and forked": (state, mm) => {
    write(mm, START, END);
    mm.madvise(START, PAGES * P, mman.MADV_PAGEOUT);
    state.mms.push(mm.fork() as Mm);
  },
};

function write(mm: Mm, start: number, end: number): void {
  for (let va = start; va < end; va += P) copyToUser(mm, va, Uint8Array.of(1 + ((va - start) / P) * 2));
}

const fault =
  (page: number, access: number): Call =>
  (_, mm) => {
    const result = mm.fault(START + page * P, access);
    return result.kind === "done" ? "done" : result.kind;
  };

/** The fork's child joins the state, so that it is read at the end and taken down. */
const fork: Call = (state, mm) => {
  const child = mm.fork();
  if (typeof child === "number") return child;
  state.mms.push(child);
  return 0;
};

const mapAt =
  (addr: number, flags: number): Call =>
  (_, mm) =>
    mm.mmap({ addr, length: PAGES * P, prot: RW, flags: flags | mman.MAP_FIXED, file: null, offset: 0 });

interface Failing {
  readonly call: Call;
  /** Besides success. Empty: it cannot fail for want of memory. */
  readonly failures?: readonly Outcome[];
  /** A failed call may have done a part: VMAs may differ. */
  readonly partly?: boolean;
}

const ANON = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS;
const madvise =
  (advice: number): Call =>
  (_, mm) =>
    mm.madvise(START, PAGES * P, advice);
const mremap =
  (oldSize: number, newSize: number, flags: number, to = 0): Call =>
  (_, mm) =>
    mm.mremap(START, oldSize * P, newSize * P, flags, to);

const CALLS: Record<string, Failing> = {
  // Faults (VM_FAULT_OOM).
  "fault: read": { call: fault(3, ACCESS_READ), failures: ["oom"] },
  "fault: write": { call: fault(3, ACCESS_WRITE), failures: ["oom"] },
  "fault: write in the second table": { call: fault(4, ACCESS_WRITE), failures: ["oom"] },
  "fault: execute": { call: fault(0, ACCESS_EXECUTE) },
  // The kernel's own accesses: EFAULT as for any page that cannot be had.
  copy_to_user: {
    call: (_, mm) => copyToUser(mm, START, new Uint8Array(PAGES * P).fill(9)),
    failures: [-EFAULT],
    partly: true,
  },
  copy_from_user: {
    call: (_, mm) => (typeof copyFromUser(mm, START, PAGES * P) === "number" ? -EFAULT : 0),
    failures: [-EFAULT],
  },
  // Mapping. MAP_POPULATE and MAP_LOCKED do their best (mmap(2)).
  mmap: { call: mapAt(FAR, ANON), failures: [-ENOMEM] },
  "mmap over": { call: mapAt(START, ANON), failures: [-ENOMEM], partly: true },
  "mmap populated": { call: mapAt(FAR, ANON | mman.MAP_POPULATE) },
  "mmap shared, populated": { call: mapAt(FAR, mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_POPULATE) },
  "mmap locked": { call: mapAt(FAR, ANON | mman.MAP_LOCKED) },
  "mmap a file, populated": {
    call: ({ file }, mm) =>
      mm.mmap({
        addr: FAR,
        length: PAGES * P,
        prot: RW,
        flags: mman.MAP_PRIVATE | mman.MAP_FIXED | mman.MAP_POPULATE,
        file,
        offset: 0,
      }),
  },
  munmap: { call: (_, mm) => mm.munmap(START, PAGES * P) },
  "munmap of a part": { call: (_, mm) => mm.munmap(START + 3 * P, 2 * P) },
  "mprotect: read only": { call: (_, mm) => mm.mprotect(START + 2 * P, 4 * P, mman.PROT_READ) },
  "mprotect: none, then all": {
    call: (_, mm) => mm.mprotect(START, 5 * P, mman.PROT_NONE) || mm.mprotect(START, PAGES * P, RW),
  },
  // Moving needs tables; mremap(2): ENOMEM, and the old mapping is as before.
  "mremap: move": { call: mremap(PAGES, PAGES, 3, FAR), failures: [-ENOMEM], partly: true },
  "mremap: move and grow": { call: mremap(PAGES, PAGES + 600, 3, FAR), failures: [-ENOMEM], partly: true },
  "mremap: grow": { call: mremap(PAGES, PAGES + 4, 1), failures: [-ENOMEM] },
  "mremap: shrink": { call: mremap(PAGES, 3, 0) },
  "mremap: leave the old": { call: mremap(PAGES, PAGES, 7, FAR), failures: [-ENOMEM], partly: true },
  // madvise. WILLNEED, COLD, PAGEOUT and FREE are hints; POPULATE_* say ENOMEM (madvise(2)).
  MADV_DONTNEED: { call: madvise(mman.MADV_DONTNEED) },
  MADV_FREE: { call: madvise(mman.MADV_FREE) },
  MADV_REMOVE: { call: madvise(mman.MADV_REMOVE) },
  MADV_WILLNEED: { call: madvise(mman.MADV_WILLNEED) },
  MADV_COLD: { call: madvise(mman.MADV_COLD) },
  MADV_PAGEOUT: { call: madvise(mman.MADV_PAGEOUT) },
  MADV_POPULATE_READ: { call: madvise(mman.MADV_POPULATE_READ), failures: [-ENOMEM], partly: true },
  MADV_POPULATE_WRITE: { call: madvise(mman.MADV_POPULATE_WRITE), failures: [-ENOMEM], partly: true },
  "MADV_WIPEONFORK, fork": {
    call: (s, mm) => mm.madvise(START, PAGES * P, mman.MADV_WIPEONFORK) || fork(s, mm),
    failures: [-ENOMEM],
    partly: true,
  },
  // mlock: the range is locked, the error is populate's (__mlock_posix_error_return: EAGAIN). mlockall does its best.
  mlock: { call: (_, mm) => mm.mlock(START, PAGES * P, 0), failures: [-EAGAIN], partly: true },
  "mlock on fault": { call: (_, mm) => mm.mlock(START, PAGES * P, mman.MLOCK_ONFAULT) },
  munlock: { call: (_, mm) => mm.munlock(START, PAGES * P) },
  mlockall: { call: (_, mm) => mm.mlockall(mman.MCL_CURRENT | mman.MCL_FUTURE) },
  brk: { call: (_, mm) => mm.setBrk(BRK + 5 * P), failures: [BRK] },
  "brk, all locked": { call: (_, mm) => mm.mlockall(mman.MCL_FUTURE) || mm.setBrk(BRK + 5 * P), failures: [BRK] },
  fork: { call: fork, failures: [-ENOMEM] },
  "fork, the child writes": {
    call: (_, mm) => {
      const child = mm.fork();
      if (typeof child === "number") return child;
      const result = copyToUser(child, START, new Uint8Array(PAGES * P).fill(7));
      child.put();
      return result;
    },
    failures: [-ENOMEM, -EFAULT],
    partly: true,
  },
  "the end of the address space": {
    call: (state, mm) => {
      const child = state.mms[1] ?? mm;
      if (child === mm) return 0;
      state.mms.splice(1, 1);
      child.put();
      return 0;
    },
  },
  // The file behind.
  read: {
    call: ({ file }) => whole(PAGES * P, file.object.read(0, PAGES * P)),
    failures: [-ENOMEM, "short"],
    partly: true,
  },
  write: {
    call: ({ file }) => whole(4 * P, file.object.write(2 * P + 5, new Uint8Array(4 * P).fill(3))),
    failures: [-ENOMEM, "short"],
    partly: true,
  },
  "ftruncate, growing": { call: ({ file }) => file.object.truncate((PAGES + 2) * P) },
  "ftruncate in a page": { call: ({ file }) => file.object.truncate(3 * P + 9) },
  fallocate: { call: ({ file }) => file.object.allocate(0, (PAGES + 3) * P), failures: [-ENOMEM] },
  "punch a hole": { call: ({ file }) => (file.object.punch(P + 3, 6 * P), 0) },
  swapoff: { call: ({ file }) => (swapOffAll(file.object.memory) ? 0 : -ENOMEM), failures: [-ENOMEM] },
};

/** What read or write came to: "short" if it was a part. */
function whole(wanted: number, done: Uint8Array | number): Outcome {
  const count = typeof done === "number" ? done : done.length;
  return count >= 0 && count < wanted ? "short" : count;
}

describe.each(Object.keys(KINDS))("%s", (kind) => {
  // One for all cases, until one fails.
  let usable: MemoryManager | null = null;
  const cases = Object.keys(HISTORIES).flatMap((history) => Object.keys(CALLS).map((name) => [history, name] as const));
  it.each(cases)("%s: %s", (history, name) => {
    const { flags, file: isFile } = KINDS[kind];
    const { call, failures = [], partly = false } = CALLS[name];
    const memory = usable ?? new TestSpace({ memoryBytes: 2 ** 20, overcommit: 1 }).memory;
    usable = null;
    sweepFailures<State>({
      memory,
      prepare: () => {
        memory.swap = new SwapArea("test", 64);
        const mm = memory.newMm() as Mm;
        mm.brk = mm.startBrk = BRK;
        const file = new TestFile(memory, { size: PAGES * P });
        file.object.write(0, new Uint8Array(3 * P).fill(200));
        const request = { addr: START, length: PAGES * P, prot: RW, flags: flags | mman.MAP_FIXED, offset: 0 };
        expect(mm.mmap({ ...request, file: isFile ? file : null })).toBe(START);
        const state = { mms: [mm], file };
        HISTORIES[history](state, mm);
        return state;
      },
      call: (state) => call(state, state.mms[0]),
      failures,
      unchanged: partly ? null : (state) => state.mms.map(layoutOf).join("\n"),
      contents: (state) =>
        state.mms.map((mm) => `${bytesOf(mm, START, END)} | ${bytesOf(mm, FAR, FAR + PAGES * P)}`).join("\n"),
      end: ({ mms, file }) => {
        for (const mm of mms) mm.put();
        file.object.truncate(0);
        file.object.release();
        memory.objects.delete(file.object);
      },
    });
    usable = memory;
  });
});

describe("the sweep itself", () => {
  const { memory } = new TestSpace({ memoryBytes: 2 ** 20, overcommit: 1 });
  const sweepOf = (call: (frames: Pfn[]) => Outcome, failures: readonly Outcome[]): number => {
    let left: Pfn[] = [];
    return sweepFailures<Pfn[]>({
      memory,
      prepare: () => (left = []),
      call,
      failures,
      unchanged: (frames) => `${frames.length}`,
      contents: () => "",
      end: () => {
        for (const pfn of left) memory.frames.put(pfn);
      },
    });
  };
  const two = (undo: boolean) => (): Outcome => {
    const first = memory.allocateFrame(null, KIND_TABLE);
    if (first === 0) return -ENOMEM;
    const second = memory.allocateFrame(null, KIND_TABLE);
    if (second !== 0) memory.frames.put(second);
    if (second !== 0 || undo) memory.frames.put(first);
    return second === 0 ? -ENOMEM : 0;
  };

  it("counts what a call needs", () => {
    expect(sweepOf(two(true), [-ENOMEM])).toBe(2);
  });
  it("finds a wrong errno, and a frame that is lost when the second allocation fails", () => {
    expect(() => sweepOf(two(true), [-EAGAIN])).toThrow(/allocation 1 fails/);
    expect(() => sweepOf(two(false), [-ENOMEM])).toThrow(/has 1 references, 0 were found/);
  });
});
