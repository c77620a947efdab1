// Builds a machine's hardware: the WebAssembly.Memory and all that lives in it, the MMU, the harts, the engine. What the kernel sees of
// this room is the Hardware interface.
import { MAX_HARTS, MAX_TLB_NEIGHBOURS } from "../base/limits.ts";
import { PAGE_SIZE, asPfn } from "../base/numbers.ts";
import { CodeCache } from "./code-cache.ts";
import { Hart, type HartContext } from "./hart.ts";
import { type CompileModule, createInterpreter } from "./interpreter.ts";
import { Jit, type RegionWatch } from "./jit/jit.ts";
import {
  CODE_PAGE_BYTES,
  HART_ACCESSES,
  HART_BYTES,
  HART_COMPILED,
  HART_PC,
  HART_WALKS,
  PAGE_RECORDS_BYTES,
  RECORD_BYTES,
  layOut,
} from "./layout.ts";
import { Mmu } from "./mmu.ts";
import { Ram } from "./ram.ts";
import { encodeRecord, writePageEnd } from "./record.ts";
import { SlowPath } from "./slow-path.ts";
import { Tlb } from "./tlb.ts";
import { createWalker } from "./walker.ts";

export type Engine = "interpreter" | "jit";

export interface HardwareOptions {
  /** Guest RAM; rounded up to whole frames. */
  memoryBytes: number;
  /** 1 to MAX_HARTS. */
  harts: number;
  engine?: Engine;
  /** Jumps to a place before the JIT compiles it (default: what was measured best). */
  jitThreshold?: number;
  /** Pages that one TLB miss may enter, 1 to MAX_TLB_NEIGHBOURS: walker.ts (default: what was measured best). */
  tlbNeighbours?: number;
  /** Count loads, stores and atomics: EngineStats.tlbHits needs it. A few percent of the time. */
  countAccesses?: boolean;
  /** Compiles the interpreter, whose module the host may want to treat in a way of its own. */
  compile?: CompileModule;
  /** Compiles it anew when it has been used for a while, if it is worth optimizing only then. */
  compileAgain?: CompileModule | undefined;
}

/** Counters of the machine since it was created. */
export interface EngineStats {
  /** Instructions retired by each engine. */
  interpreted: number;
  compiled: number;
  /** Regions compiled so far, bytes of WebAssembly of those alive, and the time that compiling took. */
  regions: number;
  codeBytes: number;
  compileMs: number;
  /** Walks of page tables because a TLB had no translation, instruction fetches and faults included. */
  tlbMisses: number;
  /**
   * Pages that loads, stores and atomics went to, one that crosses into a second page counting twice, and those of them whose translation was
   * at hand. 0 unless HardwareOptions.countAccesses.
   */
  memoryAccesses: number;
  tlbHits: number;
}

export interface Hardware {
  readonly ram: Ram;
  readonly mmu: Mmu;
  readonly harts: readonly Hart[];
  readonly stats: EngineStats;
  /**
   * Calls `write` with guest code and WebAssembly, as text, of each region compiled from now on that holds the instruction at `pc`. Undefined: this engine
   * compiles nothing.
   * @example hardware.dumpRegion(0x10650, (text) => process.stderr.write(text));
   */
  dumpRegion(pc: number, write: (text: string) => void): RegionWatch | undefined;
  /**
   * Calls `take` each time that a hart has run `interval` instructions more, between two of them: its registers hold where. Undefined:
   * no more. Samples do not change what the guest does.
   */
  sample(interval: number, take: ((hart: Hart) => void) | undefined): void;
  /** The time CSR. By default the instructions that all harts have retired. The kernel may replace it. */
  readTime: () => bigint;
}

/**
 * Instructions that are interpreted before the interpreter is compiled anew: V8 needs 80 ms to optimize it, on processors that the JIT's regions wait for.
 * Unoptimized it runs some 250 million instructions a second in a small loop, optimized 350 million.
 */
const INTERPRETED_FIRST: Readonly<Record<Engine, number>> = { jit: 30_000_000, interpreter: 3_000_000 };

/** How many times as fast as the interpreter compiled code is, about. */
const COMPILED_SPEED = 8;

/**
 * Creates the hardware. All harts are without an address space: switchTo before run.
 * @example
 * const hardware = createHardware({ memoryBytes: 64 * 2 ** 20, harts: 1 });
 * hardware.harts[0].switchTo(root);
 * const trap = hardware.harts[0].run(100_000);
 */
export function createHardware(options: HardwareOptions): Hardware {
  const { memoryBytes, harts: hartCount } = options;
  if (!(hartCount >= 1 && hartCount <= MAX_HARTS))
    throw new RangeError(`${hartCount} harts: 1 to ${MAX_HARTS} are possible`);
  const neighbours = options.tlbNeighbours ?? MAX_TLB_NEIGHBOURS;
  if (!(neighbours >= 1 && neighbours <= MAX_TLB_NEIGHBOURS))
    throw new RangeError(`${neighbours} TLB neighbours: 1 to ${MAX_TLB_NEIGHBOURS} are possible`);
  const layout = layOut(memoryBytes, hartCount);
  const memory = new WebAssembly.Memory({ initial: layout.pages, maximum: layout.pages });
  const frames = (layout.ram + layout.ramBytes) / PAGE_SIZE;
  const hasCode = new Uint8Array(memory.buffer, layout.hasCode, frames);
  const ram = new Ram(memory, { start: layout.ram, size: layout.ramBytes }, hasCode);
  const tlb = new Tlb(ram, layout, hartCount);
  const code = new CodeCache(ram, tlb, layout);
  const harts: Hart[] = [];
  const hartAt = (offset: number): Hart => harts[(offset - layout.harts) / HART_BYTES];
  const mmu = new Mmu(ram, tlb, code, (offset) => hartAt(offset).root);

  for (let stub = layout.stubs; stub < layout.stubs + hartCount * CODE_PAGE_BYTES; stub += RECORD_BYTES) {
    writePageEnd(ram, stub);
  }

  const fetchFrame = (hart: number, ahead: number): number => {
    const low = ram.u32[(hart + HART_PC) >>> 2] + ahead;
    const carry = low > 0xffffffff ? 1 : 0;
    return mmu.fetch(hart, low >>> 0, ram.u32[(hart + HART_PC + 4) >>> 2] + carry);
  };

  /** Fetches both halves of an instruction that crosses a page and decodes it into the hart's stub page. */
  const crossing = (hart: number): number => {
    const first = fetchFrame(hart, 0);
    if (first === 0) return 0;
    const second = fetchFrame(hart, 2);
    if (second === 0) return 0;
    const word = ram.u16[(first * PAGE_SIZE + PAGE_SIZE - 2) >>> 1] | (ram.u16[(second * PAGE_SIZE) >>> 1] << 16);
    const stub = layout.stubs + ((hart - layout.harts) / HART_BYTES) * CODE_PAGE_BYTES;
    const record = stub + PAGE_RECORDS_BYTES - RECORD_BYTES;
    encodeRecord(ram, record, word);
    return record;
  };

  const instructionAt = (hart: number): number => {
    const offset = ram.u32[(hart + HART_PC) >>> 2] & (PAGE_SIZE - 1);
    const frame = fetchFrame(hart, 0);
    if (frame === 0) return 0;
    const low = ram.u16[(frame * PAGE_SIZE + offset) >>> 1];
    if ((low & 3) !== 3) return low;
    const next = offset === PAGE_SIZE - 2 ? fetchFrame(hart, 2) * PAGE_SIZE : frame * PAGE_SIZE + offset + 2;
    return next === 0 ? low : (low | (ram.u16[next >>> 1] << 16)) >>> 0;
  };

  const slowPath = new SlowPath(ram, {
    instret: (hart, left) => hartAt(hart).instretWith(left),
    time: () => hardware.readTime(),
  });
  const prefetch = (hart: number, va: number): boolean => mmu.prefetch(hart, va);
  const threshold = options.jitThreshold;
  const work = (): number => hardware.stats.interpreted + hardware.stats.compiled / COMPILED_SPEED;
  const growExtents = neighbours > 1;
  const countsAccesses = options.countAccesses ?? false;
  const jit =
    options.engine === "jit"
      ? new Jit({ memory, layout, ram, code, prefetch, growExtents, threshold, countsAccesses, work })
      : undefined;
  const imports = {
    walk: createWalker(memory, layout, neighbours),
    load: mmu.load,
    store: mmu.store,
    atomic: mmu.atomic,
    fetch: (hart: number) => {
      const frame = fetchFrame(hart, 0);
      return frame === 0 ? 0 : code.address(code.pageFor(asPfn(frame)));
    },
    fill: (record: number) => (code.fill(record) ? 1 : 0),
    crossing,
    slow: (hart: number, record: number) => slowPath.run(hart, record),
  };
  const instantiate = createInterpreter(memory, layout, imports, jit?.imports(), countsAccesses);
  const { compile = (bytes) => new WebAssembly.Module(bytes), compileAgain } = options;
  const nothing = (): void => {};
  const context: HartContext = {
    buffer: memory.buffer,
    tlb,
    run: instantiate(compile),
    ended: nothing,
    instructionAt,
    last: undefined,
    sampling: undefined,
  };
  if (compileAgain) {
    const first = INTERPRETED_FIRST[options.engine ?? "interpreter"];
    context.ended = () => {
      if (hardware.stats.interpreted < first) return;
      context.ended = nothing;
      context.run = instantiate(compileAgain);
    };
  }
  for (let id = 0; id < hartCount; id++) harts.push(new Hart(id, layout.harts + id * HART_BYTES, context));

  /** The sum of a counter of the harts, a u64 at an offset in the hart struct. */
  const sumOf = (counter: number): number =>
    harts.reduce((sum, _hart, id) => sum + Number(ram.u64[(layout.harts + id * HART_BYTES + counter) / 8]), 0);
  const walks = (): number =>
    harts.reduce((sum, _hart, id) => sum + ram.u32[(layout.harts + id * HART_BYTES + HART_WALKS) / 4], 0);
  const instructions = (): number => harts.reduce((sum, hart) => sum + hart.instretNow(), 0);
  const hardware: Hardware = {
    ram,
    mmu,
    harts,
    stats: {
      get interpreted() {
        return instructions() - this.compiled;
      },
      get compiled() {
        return sumOf(HART_COMPILED);
      },
      get regions() {
        return jit?.stats.compiledRegions ?? 0;
      },
      get codeBytes() {
        return jit?.stats.codeBytes ?? 0;
      },
      get compileMs() {
        return jit?.stats.compileMs ?? 0;
      },
      get tlbMisses() {
        return mmu.stats.tlbMisses + walks();
      },
      get memoryAccesses() {
        return countsAccesses ? sumOf(HART_ACCESSES) + mmu.stats.crossings : 0;
      },
      get tlbHits() {
        return countsAccesses ? this.memoryAccesses - mmu.stats.dataWalks - walks() : 0;
      },
    },
    dumpRegion: (pc, write) => jit?.watch(pc, write),
    sample: (interval, take) => {
      context.sampling = take && { interval, take };
    },
    readTime: () => BigInt(instructions()),
  };
  return hardware;
}
