// Finds loads and stores that need no translation of their own: those near one that had one. Addresses are compared as a symbol, which stands for a value
// that some register got, and an offset from it. A window is an interval at a symbol that its first access checks to be in one extent, for all
// accesses to it that this one dominates: fields of a structure, a stack frame, an unrolled loop. Pure analysis.
//
// What a window knows holds until the region is left: nothing else changes translations meanwhile.
import type { Node } from "./flow.ts";
import type { Line } from "./line.ts";
import { copied } from "./words.ts";

/** Bytes of a window at most: the larger, the more often it crosses a page. */
export const MAX_WINDOW = 256;
/** Windows with more than one access: each takes a local. */
const MAX_SHARED = 24;
/** The newest windows, in which an access looks for its own. */
const MAX_SEARCHED = 32;
/** The symbol whose value is 0. */
export const ZERO = 0;
/** Offsets stay exact. */
const MAX_OFFSET = 2 ** 40;

/** By the pc of an access: distances from its address to where a page was seen to end in its window, which then must not lie on both sides. */
export type Cuts = ReadonlyMap<number, readonly number[]>;

export interface Window {
  readonly kind: "load" | "store";
  readonly symbol: number;
  /** Offsets that it must not reach across. */
  readonly cuts: readonly number[];
  /** From lo on, below hi; offsets from the symbol. */
  lo: number;
  hi: number;
  /** The number of the local that holds where lo is, -1 if only the first access wants it. */
  slot: number;
}

/** A load or store, in the order of the block. */
export interface Access {
  readonly line: Line;
  readonly window: Window;
  /** The one that makes sure of the window. */
  readonly isFirst: boolean;
  /** x[rs1], and the address, as offsets from the window's symbol. */
  readonly base: number;
  readonly offset: number;
}

/** Windows of a block and its dominators, the newest first. */
interface Scope {
  readonly window: Window;
  readonly rest: Scope | undefined;
}

/** What is known at a point: of each register its symbol and offset, and the windows. */
class Knowledge {
  readonly symbols: number[];
  readonly offsets: number[];
  windows: Scope | undefined;

  constructor(from: Knowledge | undefined) {
    this.symbols = from ? from.symbols.slice() : new Array<number>(32).fill(ZERO);
    this.offsets = from ? from.offsets.slice() : new Array<number>(32).fill(0);
    this.windows = from?.windows;
  }
}

class WindowFinder {
  private symbols = ZERO;
  private shared = 0;
  private readonly cuts: Cuts;
  private readonly ends = new Map<Node, Knowledge>();

  constructor(cuts: Cuts) {
    this.cuts = cuts;
  }

  find(nodes: readonly Node[]): void {
    for (const n of nodes) this.block(n);
  }

  /** What is known on entry: what is known at the end of the dominator, but for what may be written in between. */
  private entry(n: Node): Knowledge {
    const dominator = n.dominator!;
    if (dominator === n) {
      const known = new Knowledge(undefined);
      this.forget(known, ~1);
      return known;
    }
    const known = new Knowledge(this.ends.get(dominator));
    let written = n.isLoop ? n.written : 0;
    if (n.isMerge) for (const sibling of dominator.children) if (sibling !== n) written |= sibling.written;
    this.forget(known, written);
    return known;
  }

  private forget({ symbols, offsets }: Knowledge, registers: number): void {
    for (let r = 1; r < 32; r++) {
      if (((registers >>> r) & 1) === 0) continue;
      symbols[r] = ++this.symbols;
      offsets[r] = 0;
    }
  }

  private block(n: Node): void {
    const known = this.entry(n);
    for (const line of n.block.lines) {
      if (line.facts.access) n.accesses.push(this.access(line, line.facts.access, known));
      if (line.writes !== 0) this.write(line, known);
    }
    if (n.children.length > 0) this.ends.set(n, known);
  }

  private write({ d, pc, facts }: Line, { symbols, offsets }: Knowledge): void {
    const { rd, rs1, imm } = d;
    const source = facts.isSteady ? copied(d) : undefined;
    let [symbol, offset] = [-1, 0];
    if (source !== undefined) [symbol, offset] = [symbols[source], offsets[source]];
    else if (d.instruction.name === "addi") [symbol, offset] = [symbols[rs1], offsets[rs1] + imm];
    else if (d.instruction.name === "lui") [symbol, offset] = [ZERO, imm];
    else if (d.instruction.name === "auipc") [symbol, offset] = [ZERO, pc + imm];
    const isKnown = symbol >= 0 && Math.abs(offset) < (symbol === ZERO ? 2 ** 48 : MAX_OFFSET);
    symbols[rd] = isKnown ? symbol : ++this.symbols;
    offsets[rd] = isKnown ? offset : 0;
  }

  private access(line: Line, kind: "load" | "store", known: Knowledge): Access {
    const { rs1, imm } = line.d;
    const [symbol, base] = [known.symbols[rs1], known.offsets[rs1]];
    const offset = base + imm;
    const end = offset + line.facts.size;
    let scope = known.windows;
    let cuts = (this.cuts.get(line.pc) ?? []).map((distance) => offset + distance);
    for (let n = 0; scope && n < MAX_SEARCHED; n++, scope = scope.rest) {
      const { window } = scope;
      if (window.symbol !== symbol || (window.kind !== kind && window.kind !== "store")) continue;
      if (this.take(window, offset, end)) return { line, window, isFirst: false, base, offset };
      if (window.cuts.length > 0) cuts = [...new Set([...cuts, ...window.cuts])];
    }
    const window: Window = { kind, symbol, cuts, lo: offset, hi: end, slot: -1 };
    known.windows = { window, rest: known.windows };
    return { line, window, isFirst: true, base, offset };
  }

  /** Takes an interval into a window, which grows if need be; false if it must not. */
  private take(window: Window, from: number, to: number): boolean {
    const lo = Math.min(window.lo, from);
    const hi = Math.max(window.hi, to);
    if (hi - lo > MAX_WINDOW || window.cuts.some((cut) => lo < cut && cut < hi)) return false;
    if (window.slot < 0) {
      if (this.shared === MAX_SHARED) return false;
      window.slot = this.shared++;
    }
    window.lo = lo;
    window.hi = hi;
    return true;
  }
}

/** Fills Node.accesses. */
export function findWindows(nodes: readonly Node[], cuts: Cuts): void {
  new WindowFinder(cuts).find(nodes);
}
