// The JIT's manager: compiles what the interpreter found to be hot, in batches and within a budget, and compiles again what does not fit.
// Regions themselves are regions.ts's.
import { PAGE_SIZE, type Pfn } from "../../base/numbers.ts";
import { ModuleBuilder } from "../../wasm/assembler.ts";
import { isRelaxedMultiplyAddFused } from "../../wasm/relaxed.ts";
import { hasTailCalls } from "../../wasm/tail-call.ts";
import type { CodeCache } from "../code-cache.ts";
import { FIND_SIGNATURE, type Finders, createFinders } from "../extents.ts";
import { REGION_SIGNATURE, type RegionImports } from "../interpreter.ts";
import {
  CODE_PAGE_BYTES,
  HART_F,
  HART_FCSR,
  HART_PC,
  HART_SCRATCH,
  HART_X,
  type Layout,
  MAX_REGIONS,
  VISIT_BYTES,
} from "../layout.ts";
import type { Ram } from "../ram.ts";
import { type Limits, discover } from "./discover.ts";
import { type PageGuard, RegionEmitter } from "./emit.ts";
import { describeRegion } from "./describe.ts";
import { type Flow, type Registers, analyze } from "./flow.ts";
import { type Place, type Region, type RegionStats, Regions } from "./regions.ts";
import type { Line } from "./line.ts";
import { type CodePage, LineCache, TlbSource } from "./source.ts";
import { type Cuts, MAX_WINDOW } from "./windows.ts";

/** Jumps to a place in the interpreter; its instructions take then about as long as compiling them. */
const THRESHOLD = 1500;
/** Measured in docs/speed.md: with calls of any function followed, a start compiles half as much again, and long runs are no faster. */
const LIMITS: Limits = { instructions: 400, blockLength: 100, depth: 3, callee: 60, callees: 100 };
/** Instructions of a region beside the loop that it is. Measured in docs/speed.md: with fewer, more time goes into changing regions; with more, into compiling. */
const STRAIGHT = 100;
/** Instructions after which a region that is no loop ends where another one starts. Measured: with 20, long runs were slower; with 60, short ones. */
const ENOUGH = 30;
/** Instructions that control must stay in an inner loop, in the mean, for other regions to leave for that: changing regions takes the time of some thirty. */
const LONG_VISIT = 500;
/** Entries that did not fit before a region is compiled again with fewer assumptions. */
const MAX_MISFITS = 16;
/** Times that a place is compiled again before it is left to the interpreter; half of them with assumptions. */
const MAX_RECOMPILED = 6;
/** Of the exits because of a window we hear of one in SPLITS_PER_CALL (layout.ts). So many of them that find it in the same two pages, and it is cut there. */
const MAX_SPLITS = 400;
/** So many, if others of the region have come to that. */
const MORE_SPLITS = 50;
/** Cuts of a window. */
const MAX_CUTS = 4;
/** Places that are compiled together at most. */
const MAX_BATCH = 12;
/** Places that wait to be compiled at most; then all are forgotten. */
const MAX_WAITING = 4096;
/** What compiling a region costs beside its instructions, and each of them, in instructions that the interpreter would have run meanwhile. */
const REGION_COST = 40_000;
const INSTRUCTION_COST = 1000;
/** What may be spent on compiling, in the same unit: so much in any case, and this part of the guests' work. */
const BUDGET = 50_000_000;
const SHARE = 0.25;
/** Indirect jumps whose targets are remembered, and targets of each. */
const MAX_NOTED = 10_000;
const MAX_TARGETS = 64;
const NX = 1;
/** The upper half of a single-precision value in a 64-bit register. */
const BOXED = 0xffffffff;

const NO_CUTS: Cuts = new Map();

/** A place that was hot, so many times. */
interface Waiting {
  readonly place: Place;
  readonly times: number;
}

/** What is to be compiled. */
interface Part {
  readonly place: Place;
  readonly flow: Flow;
  readonly pages: readonly CodePage[];
}

/** Says whether a region starts at pc, for the others. */
function markRoot(source: TlbSource, pc: number, isRoot: boolean): void {
  const line = source.line(pc);
  if (line) line.isRoot = isRoot;
}

export interface JitOptions {
  readonly memory: WebAssembly.Memory;
  readonly layout: Layout;
  readonly ram: Ram;
  readonly code: CodeCache;
  /** Whether an extent may be more than a page. */
  readonly growExtents: boolean;
  /** Whether regions count loads, stores and atomics (HART_ACCESSES). */
  readonly countsAccesses: boolean;
  /** Enters the execute translation of a page into a hart's TLB, if that can be done without a fault. */
  readonly prefetch: (hart: number, va: number) => boolean;
  /** Jumps to a place before it is remembered, and again before it is compiled. If it is given, whatever that costs. */
  readonly threshold?: number | undefined;
  /** What guests have run so far, in instructions at the interpreter's speed. */
  readonly work: () => number;
}

export interface JitStats extends RegionStats {
  /** Milliseconds spent on compiling. */
  readonly compileMs: number;
}

/** What became of Jit.watch so far. */
export interface RegionWatch {
  /** The compiled instruction that is nearest to the one watched. */
  readonly nearest: number | undefined;
}

interface Watch extends RegionWatch {
  readonly pc: number;
  readonly write: (text: string) => void;
  nearest: number | undefined;
}

export class Jit {
  private readonly options: JitOptions;
  private readonly regions: Regions;
  private readonly watched: Watch[] = [];
  private readonly isFused = isRelaxedMultiplyAddFused();
  private readonly canChain = hasTailCalls();
  /** Where indirect jumps went, by pc. */
  private readonly noted = new Map<number, number[]>();
  private readonly lines = new LineCache();
  /** Where regions look for what they find no extent for. Made for the first one: a short program needs none. */
  private finders: Finders | undefined;
  private discoveries = 0;
  /** How often a place was compiled again. */
  private readonly recompiled = new Map<string, number>();
  private readonly waiting = new Map<string, Waiting>();
  /** Milliseconds that compiling took; and its cost so far. */
  private compileMs = 0;
  private spent = 0;
  /** Places that cannot be compiled as they are. */
  private readonly hopeless = new Map<Pfn, Set<number>>();

  constructor(options: JitOptions) {
    this.options = options;
    this.regions = new Regions(options.layout, options.ram);
    options.code.onDrop = (pfn) => this.drop(pfn);
  }

  /** For createInterpreter. */
  imports(): RegionImports {
    return {
      regions: this.regions.table,
      threshold: this.options.threshold ?? THRESHOLD,
      hot: (hart, entry) => this.hot(hart, entry),
      badEntry: (hart, number) => this.badEntry(hart, number),
      split: (hart, number) => this.split(hart, number),
      noteTarget: (hart) => this.noteTarget(hart),
    };
  }

  /** Calls `write` with the text of each region compiled from now on that holds the instruction at pc. */
  watch(pc: number, write: (text: string) => void): RegionWatch {
    const watch: Watch = { pc, write, nearest: undefined };
    this.watched.push(watch);
    return watch;
  }

  get stats(): JitStats {
    return { ...this.regions.stats, compileMs: this.compileMs };
  }

  private showWatched(emitter: RegionEmitter): void {
    for (const watch of this.watched) {
      const { pc, write, nearest = Infinity } = watch;
      const places = [nearest, ...emitter.marks.map(({ line }) => line.pc)];
      watch.nearest = places.reduce((best, at) => (Math.abs(at - pc) < Math.abs(best - pc) ? at : best));
      if (places.includes(pc, 1)) write(describeRegion(emitter, pc));
    }
  }

  private source(hart: number): TlbSource {
    const { lines, noted } = this;
    const { ram, code } = this.options;
    return new TlbSource(hart, { ram, code, lines, noted });
  }

  /** The two words at an offset, as a number that is exact below 2 ** 53. */
  private wordsAt(offset: number): number {
    const { u32 } = this.options.ram;
    return u32[(offset + 4) >>> 2] * 2 ** 32 + u32[offset >>> 2];
  }

  private pcOf(hart: number): number {
    return this.wordsAt(hart + HART_PC);
  }

  private frameAt(entry: number): Pfn {
    const { layout, code } = this.options;
    const page = Math.floor((entry - layout.code) / CODE_PAGE_BYTES);
    return page >= 0 && page < layout.codePages ? code.frameOf(page) : (0 as Pfn);
  }

  /**
   * Compiling must not cost more than it gains: a program that runs through much code, nothing of it often, is better off interpreted. So it gets a
   * part of the time, and what is hot most often comes first.
   */
  private get mayCompile(): boolean {
    return this.options.threshold !== undefined || this.spent < BUDGET + SHARE * this.options.work();
  }

  /** The places that were hot most often. */
  private takeHottest(): Place[] {
    const all = [...this.waiting].sort(([, a], [, b]) => b.times - a.times).slice(0, MAX_BATCH);
    for (const [key] of all) this.waiting.delete(key);
    return all.map(([, { place }]) => place);
  }

  /** The second time that a place is hot, it is compiled, with others that were hot once: modules have a fixed cost. */
  private hot(hart: number, entry: number): void {
    this.options.ram.u32[entry >>> 2] = 0;
    const frame = this.frameAt(entry);
    const pc = this.pcOf(hart);
    if (frame === 0 || this.hopeless.get(frame)?.has(pc)) return;
    const known = this.regions.at(frame, pc);
    if (known) {
      this.regions.install(known);
      return;
    }
    const key = `${frame}:${pc}`;
    const before = this.waiting.get(key);
    const guards = this.wordsNow(hart, before?.place.assumptions.guards);
    const assumptions = { guards, assumeInexact: this.isInexact(hart), cuts: NO_CUTS };
    if (this.waiting.size >= MAX_WAITING) this.waiting.clear();
    this.waiting.set(key, { place: { entry, frame, pc, assumptions }, times: (before?.times ?? 0) + 1 });
    if ((before || this.waiting.size >= MAX_BATCH) && this.mayCompile) this.compile(hart, this.takeHottest());
  }

  private noteTarget(hart: number): void {
    const target = this.wordsAt(hart + HART_SCRATCH);
    const pc = this.pcOf(hart);
    if (this.noted.size >= MAX_NOTED) this.noted.clear();
    const known = this.noted.get(pc);
    if (!known) this.noted.set(pc, [target]);
    else if (!known.includes(target)) {
      known.push(target);
      if (known.length > MAX_TARGETS) known.shift();
    }
  }

  private isInexact(hart: number): boolean {
    return (this.options.ram.u32[(hart + HART_FCSR) >>> 2] & NX) !== 0;
  }

  /** Which of the registers `among` hold a sign-extended word (floating-point ones: a boxed single) now. */
  private wordsNow(hart: number, among: Registers = { x: ~1, f: -1 }): Registers {
    const { u32, i32 } = this.options.ram;
    let [x, f] = [0, 0];
    for (let r = 0; r < 32; r++) {
      const [atX, atF] = [(hart + HART_X + 8 * r) >>> 2, (hart + HART_F + 8 * r) >>> 2];
      if (i32[atX + 1] === i32[atX] >> 31) x |= 1 << r;
      if (u32[atF + 1] === BOXED) f |= 1 << r;
    }
    return { x: x & among.x, f: f & among.f };
  }

  private badEntry(hart: number, number: number): void {
    const region = this.regions.byNumber[number];
    if (!region) return;
    const { ram, prefetch } = this.options;
    const pc = this.pcOf(hart);
    let source = this.source(hart);
    if (source.page(pc) === undefined && prefetch(hart, pc)) source = this.source(hart);
    // What was gone on to from here in another address space.
    if (source.page(pc)?.frame !== region.frame) {
      this.regions.forgetNext(pc);
      return;
    }
    // The same frame mapped at another address: the region there takes the entry over.
    if (region.pc !== pc) {
      const known = this.regions.at(region.frame, pc);
      if (known) this.regions.install(known);
      else this.compile(hart, [{ entry: region.entry, frame: region.frame, pc, assumptions: region.assumptions }]);
      return;
    }
    const fits = (guard: PageGuard, from: TlbSource): boolean => {
      const now = from.page(guard.va);
      return now?.low === guard.low && now.high === guard.high;
    };
    const missing = region.pages.filter((guard) => !fits(guard, source));
    if (missing.length > 0) {
      // A process that has not run all of its code yet, or has forgotten where it is. If that cannot be helped, the place is counted anew.
      for (const { va } of missing) prefetch(hart, va);
      const after = this.source(hart);
      if (missing.every((guard) => fits(guard, after))) return;
      ram.u32[region.entry >>> 2] = 0;
      this.regions.forgetNext(pc);
      return;
    }
    if (++region.misfits < MAX_MISFITS) return;
    this.regions.remove(region);
    this.compileAgain(hart, region);
  }

  /** A window that is in two pages once may be a pointer that walks. One that always is, in the same two, is cut where the page ends. */
  private split(hart: number, number: number): void {
    const region = this.regions.byNumber[number];
    if (!region) return;
    const pc = this.pcOf(hart);
    const known = region.splits.get(pc);
    const line = known?.line ?? this.source(hart).line(pc);
    if (!line) return;
    const va = this.wordsAt(hart + HART_X + 8 * line.d.rs1) + line.d.imm;
    const page = Math.floor(va / PAGE_SIZE);
    if (known?.page === page) {
      if (++known.times >= MAX_SPLITS) this.cut(hart, region);
      return;
    }
    const offset = va - page * PAGE_SIZE;
    const distance = offset < PAGE_SIZE / 2 ? -offset : PAGE_SIZE - offset;
    // Else it is a page that the TLB lacked.
    if (Math.abs(distance) <= MAX_WINDOW) region.splits.set(pc, { line, page, distance, times: 1 });
  }

  private cut(hart: number, region: Region): void {
    const { entry, frame, pc, assumptions, splits } = region;
    const cuts = new Map(assumptions.cuts);
    let isNew = false;
    for (const [at, { distance, times }] of splits) {
      const known = cuts.get(at) ?? [];
      if (times < MORE_SPLITS || known.includes(distance) || known.length === MAX_CUTS) continue;
      cuts.set(at, [...known, distance]);
      isNew = true;
    }
    splits.clear();
    if (!isNew) return;
    this.regions.remove(region);
    this.compile(hart, [{ entry, frame, pc, assumptions: { ...assumptions, cuts } }]);
  }

  /** With what holds now and held before. */
  private compileAgain(hart: number, region: Region): void {
    const { entry, frame, pc } = region;
    const key = `${frame}:${pc}`;
    const times = (this.recompiled.get(key) ?? 0) + 1;
    this.recompiled.set(key, times);
    if (times > MAX_RECOMPILED) this.giveUp(this.source(hart), region);
    else {
      const guards = this.wordsNow(hart, region.assumptions.guards);
      const assumeInexact = times > MAX_RECOMPILED / 2 ? undefined : this.isInexact(hart);
      const { cuts } = region.assumptions;
      this.compile(hart, [{ entry, frame, pc, assumptions: { guards, assumeInexact, cuts } }]);
    }
  }

  private giveUp(source: TlbSource, { frame, pc }: Place): void {
    const places = this.hopeless.get(frame) ?? new Set();
    this.hopeless.set(frame, places.add(pc));
    markRoot(source, pc, false);
  }

  private compile(hart: number, places: readonly Place[]): void {
    const started = performance.now();
    const source = this.source(hart);
    const parts: Part[] = [];
    // Code of some may have been dropped while they waited.
    const there = places.filter(
      ({ entry, frame, pc }) => this.frameAt(entry) === frame && source.page(pc)?.frame === frame,
    );
    for (const { pc } of there) markRoot(source, pc, true);
    const staysIn = (line: Line): boolean => this.staysIn(source, line);
    for (const place of there) {
      const root = discover(source, place.pc, ++this.discoveries, LIMITS);
      if (!root || root.lines.length === 0) this.giveUp(source, place);
      else {
        const { guards, cuts } = place.assumptions;
        const flow = analyze(root, { guards, cuts, staysIn, straight: STRAIGHT, enough: ENOUGH });
        root.lines[0].isInner = flow.isInner;
        parts.push({ place, flow, pages: this.pagesOf(flow, source) });
        this.spent += REGION_COST + INSTRUCTION_COST * flow.instructions;
      }
    }
    if (parts.length > 0) this.build(parts);
    this.compileMs += performance.now() - started;
  }

  /**
   * Whether the region of an inner loop is better left to itself, by how long control stays in it; not if it was never left. A short one goes: what is around it
   * has it, and it will be compiled with that when it is hot again.
   */
  private staysIn(source: TlbSource, line: Line): boolean {
    const page = source.page(line.pc);
    const region = page && this.regions.at(page.frame, line.pc);
    const length = region && this.regions.visitLength(region);
    if (length === undefined) return false;
    if (length >= LONG_VISIT) return true;
    line.isShort = true;
    line.isInner = false;
    this.regions.remove(region!);
    return false;
  }

  /** One module of all parts. */
  private build(parts: readonly Part[]): void {
    const { layout } = this.options;
    const builder = new ModuleBuilder(layout.pages);
    const chain = this.canChain
      ? { type: builder.type(REGION_SIGNATURE), codePages: layout.code, nexts: layout.nexts }
      : undefined;
    builder.importTable("regions");
    const finders = [
      builder.importFunction("findLoad", FIND_SIGNATURE),
      builder.importFunction("findStore", FIND_SIGNATURE),
    ] as const;
    const extents = layout.extentAreas === 1 ? layout.extents : undefined;
    const numbers = parts.map(() => this.regions.takeNumber());
    parts.forEach(({ place, flow, pages }, i) => {
      const { assumeInexact } = place.assumptions;
      const same = { isFused: this.isFused, chain, extents, finders, countsAccesses: this.options.countsAccesses };
      const number = numbers[i];
      const visits = flow.isInner ? layout.visits + number * VISIT_BYTES : undefined;
      const plan = { ...same, flow, pages, assumeInexact, visits, number };
      const index = builder.function(REGION_SIGNATURE, undefined, (code) => {
        const emitter = new RegionEmitter(code, plan);
        emitter.emit();
        if (this.watched.length > 0) this.showWatched(emitter);
      });
      builder.enter(numbers[i], index);
    });
    const bytes = builder.finish();
    this.finders ??= createFinders(this.options.memory, layout, this.options.growExtents);
    new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      e: { memory: this.options.memory, regions: this.regions.table, ...this.finders },
    });
    const size = Math.ceil(bytes.length / parts.length);
    this.regions.makeRoom(bytes.length);
    parts.forEach(({ place, flow, pages }, i) => {
      this.regions.add({
        ...place,
        number: numbers[i],
        frames: pages.map((page) => page.frame),
        pages: pages.map(({ va, low, high }) => ({ va, low, high })),
        bytes: size,
        instructions: flow.instructions,
        misfits: 0,
        splits: new Map(),
      });
    });
  }

  private pagesOf(flow: Flow, source: TlbSource): CodePage[] {
    // A block is shorter than a page: its first and last page are all it has.
    const pages = new Set<CodePage>();
    for (const { block } of flow.nodes) {
      const { pc, d } = block.lines[block.lines.length - 1];
      pages.add(source.page(block.pc)!).add(source.page(pc + d.length - 1)!);
    }
    return [...pages];
  }

  /** The code of a frame was dropped, the entries in its code page with it. */
  private drop(pfn: Pfn): void {
    this.hopeless.delete(pfn);
    this.lines.drop(pfn);
    if (this.recompiled.size > MAX_REGIONS) this.recompiled.clear();
    this.regions.drop(pfn);
  }
}
