// Finds the blocks of a region: what is reachable from a hot address by branches, jumps, calls and returns, within a limit. Reads guest
// code through `CodeSource`; generates nothing.
//
// Calls are followed into the bodies of small functions: a block is known by its pc and its context, the return addresses of the calls that led to it.
// A `ret` in a context goes back to the return address, under the guard that ra holds it.
import type { Line } from "./line.ts";

export interface CodeSource {
  /** The instruction at a virtual address, or undefined if its page is not known to be executable now or it is not legal. */
  line(pc: number): Line | undefined;
  /** False if the interpreter has not come by: then the instruction there is not worth compiling. */
  wasRun(pc: number): boolean;
  /** The instruction after one. */
  next(line: Line): Line | undefined;
  /** Where the indirect jump at a virtual address went when it was interpreted, ascending; some of it. */
  targets(pc: number): readonly number[];
  /** The newest of them. */
  lastTarget(pc: number): number | undefined;
}

export interface Context {
  readonly id: number;
  readonly returnTo: number;
  readonly parent: Context | undefined;
  readonly depth: number;
}

/** Where control goes: a block of the region, or out of it to a pc. */
export interface Edge {
  readonly block: Block | undefined;
  readonly pc: number;
}

export type Ending =
  /** Goes on to `next`. */
  | { kind: "jump"; next: Edge }
  /** The last line is a conditional branch. */
  | { kind: "branch"; taken: Edge; next: Edge }
  /** The last line is a jalr: to one of `expected`, ascending, if it goes there, else out. */
  | { kind: "indirect"; expected: Edge[] }
  /** The interpreter must do what is at `pc`. */
  | { kind: "interpret"; pc: number };

export interface Block {
  readonly pc: number;
  readonly context: Context | undefined;
  lines: Line[];
  ending: Ending;
  /** Where control comes from within the region as it was found: a block may be there more than once. */
  readonly predecessors: Block[];
}

/** Replaces where control goes at a block's end. */
export function mapEdges({ ending }: Block, replacement: (edge: Edge) => Edge): void {
  if (ending.kind === "jump") ending.next = replacement(ending.next);
  else if (ending.kind === "branch") {
    ending.next = replacement(ending.next);
    ending.taken = replacement(ending.taken);
  } else if (ending.kind === "indirect") ending.expected = ending.expected.map(replacement);
}

export interface Limits {
  /** Instructions of a region, and of a block. */
  readonly instructions: number;
  readonly blockLength: number;
  /** Calls inside calls that are followed. */
  readonly depth: number;
  /** Instructions of a function that a call is followed into, and of all such functions of a region, counted for each call. */
  readonly callee: number;
  readonly callees: number;
}

/** Functions that an indirect call is followed into. */
const MAX_CALLEES = 2;
/** Contexts of a region, so that each has a bit in Line.seen. */
const MAX_CONTEXTS = 32;
/** Bytes from the root within which blocks are entered: exits have room for less than 2 ** 20 (emit.ts), and lines follow. */
const MAX_DISTANCE = 2 ** 20 - 2 ** 13;
const RA = 1;
const T0 = 5;

const depthOf = (context: Context | undefined): number => context?.depth ?? 0;

const isLink = (register: number): boolean => register === RA || register === T0;

const isReturn = ({ d }: Line): boolean => d.instruction.name === "jalr" && d.rd === 0 && isLink(d.rs1) && d.imm === 0;

/** The bit of a context in Line.seen and Line.leads. */
const bitOf = (context: Context | undefined): number => 1 << (context?.id ?? 0);

/** A place in a region. */
interface Spot {
  readonly pc: number;
  readonly context: Context | undefined;
}

class Discovery {
  private readonly source: CodeSource;
  private readonly limits: Limits;
  /** Where the region starts. */
  private readonly start: number;
  /** Unlike for all discoveries; marks the lines that this one has seen. */
  private readonly id: number;
  private readonly blocks = new Map<number, Block>();
  private readonly contexts = new Map<number, Context>();
  /** Sizes of functions, by where they start; and instructions of those that were followed into. */
  private readonly sizes = new Map<number, number>();
  private inCallees = 0;

  constructor(source: CodeSource, start: number, id: number, limits: Limits) {
    this.source = source;
    this.start = start;
    this.id = id;
    this.limits = limits;
  }

  /** Unlike for each pc and context, and small, which makes maps fast. */
  private key(pc: number, context: Context | undefined): number {
    return ((pc - this.start) >> 1) * MAX_CONTEXTS + (context?.id ?? 0);
  }

  private isNear({ pc, context }: Spot): boolean {
    const isKept = context === undefined || (context.id < MAX_CONTEXTS && context.depth <= this.limits.depth);
    return isKept && Math.abs(pc - this.start) < MAX_DISTANCE;
  }

  /** The line, with scratch that is this discovery's. */
  private mine(line: Line): Line {
    if (line.discovery !== this.id) {
      line.discovery = this.id;
      line.seen = 0;
      line.leads = 0;
    }
    return line;
  }

  private enter(returnTo: number, parent: Context | undefined): Context {
    const key = this.key(returnTo, parent);
    let context = this.contexts.get(key);
    if (!context) {
      context = { id: this.contexts.size + 1, returnTo, parent, depth: depthOf(parent) + 1 };
      this.contexts.set(key, context);
    }
    return context;
  }

  /** Where a branch or jump goes: first what comes next, then where it jumps; with the contexts there. */
  private successors(line: Line, context: Context | undefined): Spot[] {
    const { d, pc } = line;
    const next = pc + d.length;
    switch (d.instruction.name) {
      case "jal":
        if (d.rd === 0) return [{ pc: pc + d.imm, context }];
        return [this.call(pc + d.imm, next, context)];
      case "jalr":
        return this.indirect(line, context);
      default:
        return [
          { pc: next, context },
          { pc: pc + d.imm, context },
        ];
    }
  }

  private call(pc: number, returnTo: number, context: Context | undefined): Spot {
    return { pc, context: this.enter(returnTo, context) };
  }

  private indirect(line: Line, context: Context | undefined): Spot[] {
    const { d, pc } = line;
    if (isReturn(line)) {
      return context ? [{ pc: context.returnTo, context: context.parent }] : [];
    }
    const targets = this.source.targets(pc);
    if (isLink(d.rd)) return targets.slice(0, MAX_CALLEES).map((target) => this.call(target, pc + d.length, context));
    if (d.rd === 0) return targets.map((target) => ({ pc: target, context }));
    // With another register for the link: a stub of a procedure linkage table, which went to the dynamic linker before.
    const last = this.source.lastTarget(pc);
    return last === undefined ? [] : [{ pc: last, context }];
  }

  /** Whether a call of the function at `pc` is followed; then it counts. */
  private follows(pc: number): boolean {
    const { callee, callees } = this.limits;
    let size = this.sizes.get(pc);
    if (size === undefined) this.sizes.set(pc, (size = this.sizeOf(pc, callee + 1)));
    if (size > callee || this.inCallees + size > callees) return false;
    this.inCallees += size;
    return true;
  }

  /** Instructions of the function at `start` that were run, without those of functions that it calls; counted up to `most`. */
  private sizeOf(start: number, most: number): number {
    const { source } = this;
    const seen = new Set<Line>();
    const starts = [start];
    for (let at = 0; at < starts.length; at++) {
      if (!source.wasRun(starts[at])) continue;
      for (let line = source.line(starts[at]); line?.isCompilable && !seen.has(line); line = source.next(line)) {
        seen.add(line);
        if (seen.size === most) return most;
        if (!line.goesElsewhere) continue;
        const { d, pc, facts } = line;
        const isCall = !facts.isBranch && isLink(d.rd);
        if (facts.isBranch || isCall) starts.push(pc + d.length);
        if (facts.isBranch || (d.instruction.name === "jal" && !isCall)) starts.push(pc + d.imm);
        else if (!isCall && !isReturn(line)) starts.push(...source.targets(pc));
        break;
      }
    }
    return seen.size;
  }

  /** Marks a line as the start of a block; true if it was none before. */
  private lead(line: Line, bit: number): boolean {
    const isNew = (line.leads & bit) === 0;
    line.leads |= bit;
    return isNew;
  }

  /** Sees lines, nearest code first, until nothing is left or the limit is reached. */
  explore(): void {
    const { source } = this;
    const queue: Spot[] = [];
    const want = (spot: Spot): void => {
      if (!this.isNear(spot) || !source.wasRun(spot.pc)) return;
      const line = source.line(spot.pc);
      if (!line?.isCompilable) return;
      const bit = bitOf(spot.context);
      if (this.lead(this.mine(line), bit) && (line.seen & bit) === 0) queue.push(spot);
    };
    want({ pc: this.start, context: undefined });
    let left = this.limits.instructions;
    for (let at = 0; at < queue.length && left > 0; at++) {
      const { pc, context } = queue[at];
      const bit = bitOf(context);
      let line = source.line(pc);
      for (let length = 0; line?.isCompilable; length++, line = source.next(line)) {
        const isSeen = (this.mine(line).seen & bit) !== 0;
        if (isSeen || length === this.limits.blockLength) {
          line.leads |= bit;
          length = 0;
        }
        if (isSeen || left === 0) break;
        line.seen |= bit;
        left--;
        if (!line.goesElsewhere) continue;
        for (const successor of this.successors(line, context)) {
          const isCall = depthOf(successor.context) > depthOf(context);
          if (!isCall || this.follows(successor.pc)) want(successor);
        }
        break;
      }
    }
  }

  private edge(from: Block, { pc, context }: Spot): Edge {
    const block = this.isNear({ pc, context }) ? this.block(pc, context) : undefined;
    block?.predecessors.push(from);
    return { block, pc };
  }

  /** The line if it was seen in the context that has this bit. */
  private ifSeen(line: Line | undefined, bit: number): Line | undefined {
    return line?.discovery === this.id && (line.seen & bit) !== 0 ? line : undefined;
  }

  /** The block that starts at a leader; undefined if its first instruction was not seen. */
  private block(pc: number, context: Context | undefined): Block | undefined {
    const bit = bitOf(context);
    let line = this.ifSeen(this.source.line(pc), bit);
    if (!line) return undefined;
    const key = this.key(pc, context);
    const known = this.blocks.get(key);
    if (known) return known;
    const block: Block = { pc, context, lines: [], ending: { kind: "interpret", pc }, predecessors: [] };
    this.blocks.set(key, block);
    for (;;) {
      block.lines.push(line);
      if (line.goesElsewhere) {
        const edges = this.successors(line, context).map((successor) => this.edge(block, successor));
        if (line.d.instruction.name === "jalr") block.ending = { kind: "indirect", expected: edges };
        else if (line.facts.isBranch) block.ending = { kind: "branch", next: edges[0], taken: edges[1] };
        else block.ending = { kind: "jump", next: edges[0] };
        return block;
      }
      const at = line.pc + line.d.length;
      const next = this.source.next(line);
      if (!this.ifSeen(next, bit)) {
        block.ending = next?.isCompilable
          ? { kind: "jump", next: { block: undefined, pc: at } }
          : { kind: "interpret", pc: at };
        return block;
      }
      if ((next!.leads & bit) !== 0) {
        block.ending = { kind: "jump", next: this.edge(block, { pc: at, context }) };
        return block;
      }
      line = next!;
    }
  }

  root(): Block | undefined {
    return this.block(this.start, undefined);
  }
}

/**
 * The region rooted at a pc, or undefined if its first instruction cannot be compiled. `id`: a number that no other discovery in the same
 * code has, not 0.
 */
export function discover(source: CodeSource, root: number, id: number, limits: Limits): Block | undefined {
  const discovery = new Discovery(source, root, id, limits);
  discovery.explore();
  return discovery.root();
}
