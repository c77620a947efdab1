// The compiled regions there are: by number, in the table of functions through which they are entered; by place; by the frames of their code. Owns
// the table, and the entries in code pages and among the nexts (layout.ts) that lead to them; bounds their number and size. Used by jit.ts.
import type { Pfn } from "../../base/numbers.ts";
import {
  type Layout,
  MAX_REGIONS,
  NEXT_BYTES,
  NEXT_ENTRIES,
  NEXT_PC,
  NO_PC,
  REGION,
  VISIT_BYTES,
  VISIT_COUNT,
  VISIT_INSTRUCTIONS,
} from "../layout.ts";
import type { Ram } from "../ram.ts";
import type { PageGuard } from "./emit.ts";
import type { Registers } from "./flow.ts";
import type { Line } from "./line.ts";
import type { Cuts } from "./windows.ts";

/** At first: V8 copies the table of regions for each module. */
const FIRST_REGIONS = 64;
const MAX_CODE_BYTES = 24 * 2 ** 20;

/** What a region takes for granted on entry. */
export interface Assumptions {
  /** FlowOptions.guards. */
  readonly guards: Registers;
  readonly assumeInexact: boolean | undefined;
  /** Where windows would be in two pages. */
  readonly cuts: Cuts;
}

/** Where a region starts. */
export interface Place {
  readonly pc: number;
  readonly frame: Pfn;
  /** Offset of its entry in the code page. */
  readonly entry: number;
  /** What a region there may take for granted, as far as has been seen. */
  readonly assumptions: Assumptions;
}

export interface Region extends Place {
  readonly number: number;
  readonly frames: readonly Pfn[];
  readonly pages: readonly PageGuard[];
  readonly bytes: number;
  readonly instructions: number;
  misfits: number;
  /** Where it left because of a window, by the pc of the access. */
  readonly splits: Map<number, Split>;
}

/** Exits because of a window that was in two pages. */
export interface Split {
  readonly line: Line;
  /** The page of the address, how far from the address a page ends, and how often in a row it was this page. */
  readonly page: number;
  readonly distance: number;
  times: number;
}

export interface RegionStats {
  /** Regions alive, bytes of their WebAssembly, guest instructions in them; regions compiled since the start. */
  regions: number;
  codeBytes: number;
  instructions: number;
  compiledRegions: number;
}

export class Regions {
  readonly table = new WebAssembly.Table({ element: "anyfunc", initial: FIRST_REGIONS, maximum: MAX_REGIONS });
  readonly byNumber: (Region | undefined)[] = [];
  readonly stats: RegionStats = { regions: 0, codeBytes: 0, instructions: 0, compiledRegions: 0 };
  /** The oldest first. */
  private readonly byPlace = new Map<string, Region>();
  private readonly byFrame = new Map<Pfn, Set<Region>>();
  private readonly free: number[] = [];
  /** Layout.nexts and Layout.visits. */
  private readonly nexts: number;
  private readonly visits: number;
  private readonly u32: Uint32Array;
  private readonly u64: BigUint64Array;

  constructor({ nexts, visits }: Layout, { u32, u64 }: Ram) {
    this.nexts = nexts;
    this.visits = visits;
    this.u32 = u32;
    this.u64 = u64;
    this.freeFrom(0);
    for (let next = 0; next < NEXT_ENTRIES; next++) u32[this.nextAt(2 * next)] = NO_PC;
  }

  /** The one of a frame's code as it is seen at pc. */
  at(frame: Pfn, pc: number): Region | undefined {
    return this.byPlace.get(`${frame}:${pc}`);
  }

  /** Makes it the one that is found at its entry. */
  install(region: Region): void {
    this.u32[region.entry >>> 2] = (REGION | region.number) >>> 0;
  }

  /** Numbers from `first` on, up to the table's size, can be had. */
  private freeFrom(first: number): void {
    for (let number = this.table.length - 1; number >= first; number--) this.free.push(number);
  }

  /** A number for a region that is to be added; the oldest region goes if there is none. */
  takeNumber(): number {
    const { length } = this.table;
    if (this.free.length === 0 && length < MAX_REGIONS) {
      this.table.grow(Math.min(length, MAX_REGIONS - length));
      this.freeFrom(length);
    }
    if (this.free.length === 0) this.removeOldest();
    const number = this.free.pop()!;
    const at = this.visitsOf(number);
    this.u32.fill(0, at >>> 2, (at + VISIT_BYTES) >>> 2);
    return number;
  }

  private removeOldest(): void {
    this.remove(this.byPlace.values().next().value!);
  }

  /** Where the pc of a region at pc would be among those that others went on to, in words. */
  private nextAt(pc: number): number {
    return (this.nexts + (Math.floor(pc / 2) % NEXT_ENTRIES) * NEXT_BYTES + NEXT_PC) >>> 2;
  }

  /** Where the visits of a region are. */
  private visitsOf(number: number): number {
    return this.visits + number * VISIT_BYTES;
  }

  /** How many instructions control stays in a region that is an inner loop, in the mean; undefined: it was never left. */
  visitLength({ number }: Region): number | undefined {
    const at = this.visitsOf(number);
    const count = this.u32[(at + VISIT_COUNT) >>> 2];
    return count === 0 ? undefined : Number(this.u64[(at + VISIT_INSTRUCTIONS) / 8]) / count;
  }

  /** Others no longer go on to the region at pc by themselves. */
  forgetNext(pc: number): void {
    const { u32 } = this;
    const at = this.nextAt(pc);
    if (u32[at] === pc % 2 ** 32 && u32[at + 1] === Math.floor(pc / 2 ** 32)) u32[at] = NO_PC;
  }

  /** Adds one that its module has entered into the table. */
  add(region: Region): void {
    this.byNumber[region.number] = region;
    this.byPlace.set(`${region.frame}:${region.pc}`, region);
    for (const frame of region.frames) {
      const there = this.byFrame.get(frame) ?? new Set();
      this.byFrame.set(frame, there.add(region));
    }
    this.install(region);
    this.stats.regions++;
    this.stats.compiledRegions++;
    this.stats.codeBytes += region.bytes;
    this.stats.instructions += region.instructions;
  }

  remove(region: Region): void {
    const { u32 } = this;
    if (u32[region.entry >>> 2] === (REGION | region.number) >>> 0) u32[region.entry >>> 2] = 0;
    this.forgetNext(region.pc);
    this.table.set(region.number, null);
    this.byNumber[region.number] = undefined;
    this.free.push(region.number);
    this.byPlace.delete(`${region.frame}:${region.pc}`);
    for (const frame of region.frames) {
      const there = this.byFrame.get(frame);
      there?.delete(region);
      if (there?.size === 0) this.byFrame.delete(frame);
    }
    this.stats.regions--;
    this.stats.codeBytes -= region.bytes;
    this.stats.instructions -= region.instructions;
  }

  /** Lets the oldest go until there is room for so many bytes of code. */
  makeRoom(bytes: number): void {
    while (this.stats.codeBytes + bytes > MAX_CODE_BYTES && this.byPlace.size > 0) this.removeOldest();
  }

  /** Removes all that have code of a frame. */
  drop(pfn: Pfn): void {
    for (const region of this.byFrame.get(pfn) ?? []) this.remove(region);
  }
}
