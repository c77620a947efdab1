// For failures*.test.ts: a region with three processes that attach to it, the calls that both of them make, and its end. Not part of the package.
import { expect } from "vitest";
import { PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import { SwapArea } from "../mm/swap.ts";
import { type Outcome, layoutOf } from "../mm/test-failures.ts";
import { MSHARE_FIXED } from "./abi.ts";
import { attachWindow } from "./attach.ts";
import { MshareManager } from "./manager.ts";
import type { Region } from "./region.ts";
import { TestOwner } from "./test-world.ts";

export const RW = PROT_READ | PROT_WRITE;
/** Where fixed windows lie: 2 MiB before a place where 1 GiB could be linked; the page tables are. */
const ODD = 2 ** 36 + 3 * 2 ** 21;

/** How the three processes are attached (the first owns the region), and whether pages were written, or are in swap. */
export interface Sharers {
  readonly flags: readonly number[];
  readonly written: boolean;
  readonly swapped?: boolean;
}

export interface Attached {
  readonly mshare: MshareManager;
  readonly region: Region;
  readonly owner: TestOwner;
  /** Null: has exited. */
  readonly mms: (Mm | null)[];
  /** The window of each address space. */
  readonly windows: number[];
}

/** A call that is made with each of its allocations failing in turn. */
export interface Failing<State extends Attached> {
  readonly call: (state: State) => Outcome;
  /** Besides success. Empty: it cannot fail for want of memory. */
  readonly failures?: readonly Outcome[];
  /** A failed call may have done a part: VMAs may differ. */
  readonly partly?: boolean;
}
type Call = Failing<Attached>["call"];

/** A region of `size` bytes, owned by the first of three processes; nobody is attached yet. */
export function newRegion(
  memory: MemoryManager,
  options: { share: boolean; swapPages: number; size: number },
): Attached {
  memory.swap = new SwapArea("test", options.swapPages);
  let state = 3;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const mshare = new MshareManager(memory, { share: options.share, random });
  const mms = [0, 1, 2].map(() => memory.newMm() as Mm);
  const owner = new TestOwner(mms[0]);
  const region = mshare.create(owner) as Region;
  region.handles = 1;
  region.setSize(options.size);
  return { mshare, region, owner, mms, windows: [] };
}

function attach(region: Region, mm: Mm, flags: number): number {
  const addr = (flags & MSHARE_FIXED) !== 0 ? ODD : 0;
  return attachWindow(region, mm, { offset: 0, size: 0, addr, flags, writable: true });
}

/** Attaches each process in the way that the sharers are to have. */
export function attachAll({ region, mms, windows }: Attached, { flags }: Sharers): void {
  flags.forEach((f, i) => {
    const at = attach(region, mms[i]!, f);
    expect(at).toBeGreaterThan(0);
    windows.push(at);
  });
}

/** Everybody exits; the region goes. */
export function endRegion({ mshare, region, owner, mms }: Attached): void {
  owner.mm = null;
  owner.descriptors = false;
  for (const mm of mms) mm?.put();
  region.handles = 0;
  region.reconsider();
  expect(mshare.regions.size).toBe(0);
}

/** The VMAs of the region and of all processes. */
export const layoutsOf = ({ region, mms }: Attached): string =>
  [region.host, ...mms].map((mm) => (mm === null ? "" : layoutOf(mm))).join("\n");

/** What each process sees in its window, by `see`. */
export const seenBy = ({ mms, windows }: Attached, see: (mm: Mm, window: number) => string): string =>
  mms.map((mm, i) => (mm === null ? "" : see(mm, windows[i]))).join("\n");

/** A fault of a process at `offset` of its window. */
export const faultAt =
  (who: number, offset: number, access: number): Call =>
  ({ mms, windows }) =>
    mms[who]!.fault(windows[who] + offset, access).kind;
/** Another window of the second process. */
export const attachMore =
  (flags: number): Call =>
  ({ region, mms }) =>
    Math.min(0, attach(region, mms[1]!, flags));
/** madvise of `size` bytes at `offset` of a process's window. */
export const adviseWindow =
  (who: number, advice: number, offset: number, size: number): Call =>
  ({ mms, windows }) =>
    mms[who]!.madvise(windows[who] + offset, size, advice);
export const fork =
  (who: number): Call =>
  ({ mms, windows }) => {
    const child = mms[who]!.fork();
    if (typeof child === "number") return child;
    mms.push(child);
    windows.push(windows[who]);
    return 0;
  };
export const exit =
  (who: number): Call =>
  ({ mms, owner }) => {
    if (owner.mm === mms[who]) owner.mm = null;
    mms[who]!.put();
    mms[who] = null;
    return 0;
  };
