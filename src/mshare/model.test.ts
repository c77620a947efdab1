// Random programs of region calls by several processes, against a model that knows nothing of page tables: an array of pages and lists of windows.
// After every step memory is recounted. fast-check shrinks what fails; shrunk failures become cases below.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ENOMEM } from "../base/errno.ts";
import { MAP_FIXED, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import type { Mm } from "../mm/mm.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { MSHARE_FIXED, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { detachWindow } from "./attach.ts";
import type { Region } from "./region.ts";
import { GIB, GRANULE, PAGE, TestWorld } from "./test-world.ts";

/** The region's pages; ranges begin and end at these. */
const PAGES = 4 * 512;
const EDGES = [0, 1, 2, 5, 511, 512, 513, 1024, 1300, 1535, 1536, 2046, 2047, 2048];
const PROTS = [PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE];
type Kind = "rw" | "rdonly" | "private";

interface Page {
  readonly box: { value: number };
  prot: number;
}

interface ModelWindow {
  readonly addr: number;
  readonly first: number;
  readonly pages: number;
  readonly kind: Kind;
  readonly copies: Map<number, number>;
}

interface Process {
  readonly mm: Mm;
  windows: ModelWindow[];
}

type Step =
  | { readonly op: "attach"; readonly kind: Kind; readonly odd: boolean; readonly part: number }
  | { readonly op: "detach" | "fork" | "exit" }
  | { readonly op: "map" | "unmap" | "remove" | "dontneed" }
  | { readonly op: "protect"; readonly prot: number }
  | { readonly op: "move"; readonly to: number }
  | { readonly op: "read" | "write"; readonly value: number };
interface Call {
  readonly who: number;
  readonly window: number;
  readonly from: number;
  readonly to: number;
  readonly step: Step;
}

const index = (n: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: n - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("attach" as const),
      kind: fc.constantFrom<Kind>("rw", "rdonly", "private"),
      odd: fc.boolean(),
      part: index(4),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constantFrom("detach" as const, "fork" as const, "exit" as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("map" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constantFrom("unmap" as const, "remove" as const, "dontneed" as const) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("protect" as const), prot: fc.constantFrom(...PROTS) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("move" as const), to: index(EDGES.length) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constantFrom("read" as const, "write" as const),
      value: fc.integer({ min: 1, max: 255 }),
    }),
  },
);
const call: fc.Arbitrary<Call> = fc.record({
  who: index(4),
  window: index(4),
  from: index(EDGES.length),
  to: index(EDGES.length),
  step,
});

class Simulation {
  readonly world: TestWorld;
  readonly region: Region;
  readonly pages = new Array<Page | null>(PAGES).fill(null);
  readonly processes: Process[];
  #places = 0;

  constructor(share: boolean) {
    this.world = new TestWorld({ share, memoryBytes: 24 * 2 ** 20 });
    this.region = this.world.region(PAGES * PAGE);
    this.processes = [0, 1].map(() => ({ mm: this.world.newMm(), windows: [] }));
  }

  run(calls: readonly Call[]): void {
    for (const one of calls) {
      this.#do(one);
      this.world.memory.verify();
    }
    expect(this.world.end(this.processes.map((process) => process.mm))).toBe(0);
  }

  #do({ who, window: which, from, to, step: s }: Call): void {
    const process = this.processes[who % this.processes.length];
    const window = process.windows.length > 0 ? process.windows[which % process.windows.length] : null;
    const [low, high] = [EDGES[Math.min(from, to)], EDGES[Math.max(from, to)]];
    switch (s.op) {
      case "attach":
        return this.#attach(process, s);
      case "detach":
        if (window === null) return;
        expect(detachWindow(process.mm, window.addr)).toBe(0);
        process.windows = process.windows.filter((w) => w !== window);
        return;
      case "fork":
        return this.#fork(process);
      case "exit":
        if (this.processes.length < 2) return;
        process.mm.put();
        this.processes.splice(this.processes.indexOf(process), 1);
        return;
      case "read":
      case "write":
        if (window !== null) this.#access(process, window, from, s);
        return;
      case "move":
        return this.#move(low, high, EDGES[s.to]);
      default:
        if (low < high) this.#change(low, high, s);
    }
  }

  #attach(process: Process, s: Step & { op: "attach" }): void {
    if (process.windows.length >= 3) return;
    const flags = { rw: 0, rdonly: MSHARE_RDONLY, private: MSHARE_PRIVATE }[s.kind];
    const [offset, size] = [
      [0, 0],
      [0, 0],
      [GRANULE, 2 * GRANULE],
      [2 * GRANULE, 0],
    ][s.part];
    const place = s.odd
      ? { addr: 64 * GIB + this.#places++ * 8 * GRANULE + GRANULE, flags: flags | MSHARE_FIXED }
      : { flags };
    const addr = this.world.attach(this.region, process.mm, { offset, size, ...place });
    expect(addr).toBeGreaterThan(0);
    const pages = (size === 0 ? PAGES * PAGE - offset : size) / PAGE;
    process.windows.push({ addr, first: offset / PAGE, pages, kind: s.kind, copies: new Map() });
  }

  #fork(process: Process): void {
    if (this.processes.length >= 4) return;
    const windows = process.windows.map((w) => ({ ...w, copies: new Map(w.copies) }));
    this.processes.push({ mm: this.world.fork(process.mm), windows });
  }

  #access(process: Process, window: ModelWindow, edge: number, s: Step & { op: "read" | "write" }): void {
    const number = Math.min(EDGES[edge], PAGES - 1);
    if (number < window.first || number >= window.first + window.pages) return;
    const va = window.addr + (number - window.first) * PAGE;
    const page = this.pages[number];
    const outcome = this.world.touch(process.mm, va, s.op);
    const needed = s.op === "write" ? PROT_WRITE : PROT_READ;
    if (page === null) {
      expect(outcome).toBe("MAPERR");
    } else if ((page.prot & needed) === 0 || (s.op === "write" && window.kind === "rdonly")) {
      expect(outcome).toBe("ACCERR");
    } else if (s.op === "read") {
      expect(copyFromUser(process.mm, va, 1)).toEqual(Uint8Array.of(window.copies.get(number) ?? page.box.value));
    } else {
      expect(copyToUser(process.mm, va, Uint8Array.of(s.value))).toBe(0);
      if (window.kind === "private") window.copies.set(number, s.value);
      else page.box.value = s.value;
    }
  }

  #change(low: number, high: number, s: Step): void {
    const [offset, size] = [low * PAGE, (high - low) * PAGE];
    const hole = this.pages.slice(low, high).includes(null);
    switch (s.op) {
      case "map":
        expect(this.world.map(this.region, offset, size, { flags: MAP_FIXED })).toBe(offset);
        for (let i = low; i < high; i++) this.pages[i] = { box: { value: 0 }, prot: PROT_READ | PROT_WRITE };
        return this.#dropCopies(low, high);
      case "unmap":
        expect(this.region.unmap(offset, size)).toBe(0);
        this.pages.fill(null, low, high);
        return this.#dropCopies(low, high);
      case "remove": {
        const writable = this.pages.slice(low, high).every((page) => page !== null);
        if (!writable) return;
        expect(this.region.advise(offset, size, 9)).toBe(0);
        for (let i = low; i < high; i++) this.pages[i]!.box.value = 0;
        return this.#dropCopies(low, high);
      }
      case "dontneed":
        expect(this.region.advise(offset, size, 4)).toBe(hole ? -ENOMEM : 0);
        return;
      case "protect":
        expect(this.region.protect(offset, size, s.prot)).toBe(hole ? -ENOMEM : 0);
        for (let i = low; i < high && this.pages[i] !== null; i++) this.pages[i]!.prot = s.prot;
    }
  }

  /** mshare_remap of a range that is one mapping, to where it does not overlap. */
  #move(low: number, high: number, to: number): void {
    const length = high - low;
    if (length === 0 || to + length > PAGES || (to < high && low < to + length)) return;
    const args = { oldOffset: low * PAGE, oldSize: length * PAGE, newOffset: to * PAGE, newSize: length * PAGE };
    const result = this.region.remap({ ...args, flags: MREMAP_MAYMOVE | MREMAP_FIXED, reserved: 0 });
    // More than one VMA, or a hole: EFAULT; the target has been unmapped by then.
    this.#dropCopies(to, to + length);
    if (result < 0) {
      if (this.pages[low] !== null) this.pages.fill(null, to, to + length);
      else this.#syncWith(to, to + length);
      return;
    }
    for (let i = 0; i < length; i++) {
      this.pages[to + i] = this.pages[low + i];
      this.pages[low + i] = null;
    }
    this.#dropCopies(low, high);
  }

  /** Where a failed call may or may not have unmapped its target: the region's own list says. */
  #syncWith(low: number, high: number): void {
    for (let i = low; i < high; i++)
      if (this.region.host.vmas.lookup(this.region.hostAddress(i * PAGE)) === null) this.pages[i] = null;
  }

  #dropCopies(low: number, high: number): void {
    for (const { windows } of this.processes)
      for (const { copies } of windows)
        for (const at of [...copies.keys()]) if (at >= low && at < high) copies.delete(at);
  }
}

describe.each([true, false])("share: %s", (share) => {
  it("agrees with the model", { timeout: 120_000 }, () => {
    const runs = Number(process.env.MSHARE_MODEL_RUNS ?? 40);
    fc.assert(
      fc.property(fc.array(call, { minLength: 5, maxLength: 60 }), (calls) => {
        new Simulation(share).run(calls);
      }),
      { numRuns: runs },
    );
  });
});
