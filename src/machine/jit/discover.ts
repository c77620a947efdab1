// Finds the blocks of a region: what is reachable from a hot address by branches, jumps, calls and returns, within a limit. Reads guest
// code through `CodeSource`; generates nothing.
//
// Calls are followed into their bodies: a block is known by its pc and its context, the return addresses of the calls that led to it.
// A `ret` in a context goes back to the return address, under the guard that ra holds it.
import type { Decoded } from "../isa/instruction.ts";
import { type Facts, facts } from "./facts.ts";

export interface CodeSource {
  /** The instruction at a virtual address, or undefined if its page is not known to be executable now or it is not legal. */
  decode(pc: number): Decoded | undefined;
  /** Where the indirect jump at a virtual address went when it was interpreted, ascending; some of it. */
  targets(pc: number): readonly number[];
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

export interface Line {
  readonly pc: number;
  readonly d: Decoded;
  readonly facts: Facts;
  /** Integer and floating-point registers that it reads and writes: bit i for x[i] (never x[0]) or f[i]. */
  readonly reads: number;
  readonly writes: number;
  readonly fReads: number;
  readonly fWrites: number;
}

const bit = (register: number): number => 1 << register;

export function lineOf(pc: number, d: Decoded): Line {
  const f = facts(d);
  return {
    pc,
    d,
    facts: f,
    reads: ((f.rs1 ? bit(d.rs1) : 0) | (f.rs2 ? bit(d.rs2) : 0)) & ~1,
    writes: f.rd ? bit(d.rd) & ~1 : 0,
    fReads: (f.fs1 ? bit(d.rs1) : 0) | (f.fs2 ? bit(d.rs2) : 0) | (f.fs3 ? bit(d.rs3) : 0),
    fWrites: f.fd ? bit(d.rd) : 0,
  };
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
}

export interface Limits {
  /** Instructions of a region, and of a block. */
  readonly instructions: number;
  readonly blockLength: number;
  /** Calls inside calls that are followed. */
  readonly depth: number;
}

/** Functions that an indirect call is followed into. */
const MAX_CALLEES = 2;
const MAX_CONTEXTS = 64;
/** Bytes from the root within which a region lies. */
const MAX_DISTANCE = 2 ** 24;
const RA = 1;
const T0 = 5;
const DYNAMIC = 7;
const RNE = 0;
const RTZ = 1;
/** CSRs that are done inline: fflags, frm, fcsr. */
const LAST_FLOAT_CSR = 3;

/** False for instructions that a region leaves to the interpreter. */
export function isCompilable(d: Decoded): boolean {
  const { isInterpreted, isCsr, rounds, rd } = facts(d);
  if (isInterpreted) return false;
  if (isCsr) return d.imm <= LAST_FLOAT_CSR;
  return !rounds || d.rm === RNE || d.rm === DYNAMIC || (d.rm === RTZ && rd);
}

/** Branches and jumps; what else ends a line is not compilable. */
const goesElsewhere = ({ d, facts: { isBranch } }: Line): boolean => isBranch || d.instruction.ends;

const isLink = (register: number): boolean => register === RA || register === T0;

class Discovery {
  private readonly source: CodeSource;
  private readonly limits: Limits;
  /** Where the region starts. */
  private readonly start: number;
  private readonly lines = new Map<number, Line>();
  private readonly leaders = new Map<number, { pc: number; context: Context | undefined }>();
  private readonly blocks = new Map<number, Block>();
  private readonly contexts = new Map<number, Context>();

  constructor(source: CodeSource, start: number, limits: Limits) {
    this.source = source;
    this.start = start;
    this.limits = limits;
  }

  /**
   * Unlike for each pc and context, and small, which makes maps fast; too far from the root, or in too many contexts: a key that is never
   * found.
   */
  private key(pc: number, context: Context | undefined): number {
    const id = context?.id ?? 0;
    const distance = pc - this.start;
    return id < MAX_CONTEXTS && Math.abs(distance) < MAX_DISTANCE ? (distance >> 1) * MAX_CONTEXTS + id : NaN;
  }

  private enter(returnTo: number, parent: Context | undefined): Context {
    const key = this.key(returnTo, parent);
    let context = this.contexts.get(key);
    if (!context) {
      context = { id: this.contexts.size + 1, returnTo, parent, depth: (parent?.depth ?? 0) + 1 };
      this.contexts.set(key, context);
    }
    return context;
  }

  /** Where a branch or jump goes: first what comes next, then where it jumps; with the contexts there. */
  private successors(line: Line, context: Context | undefined): { pc: number; context: Context | undefined }[] {
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

  private call(
    pc: number,
    returnTo: number,
    context: Context | undefined,
  ): { pc: number; context: Context | undefined } {
    return { pc, context: this.enter(returnTo, context) };
  }

  private indirect({ d, pc }: Line, context: Context | undefined): { pc: number; context: Context | undefined }[] {
    if (d.rd === 0 && isLink(d.rs1) && d.imm === 0) {
      return context ? [{ pc: context.returnTo, context: context.parent }] : [];
    }
    const targets = this.source.targets(pc);
    if (isLink(d.rd)) return targets.slice(0, MAX_CALLEES).map((target) => this.call(target, pc + d.length, context));
    return d.rd === 0 ? targets.map((target) => ({ pc: target, context })) : [];
  }

  /** Decodes, nearest code first, until nothing is left or the limit is reached. */
  explore(): void {
    const queue: { pc: number; context: Context | undefined }[] = [{ pc: this.start, context: undefined }];
    this.leaders.set(this.key(this.start, undefined), queue[0]);
    for (let at = 0; at < queue.length; at++) {
      const { context } = queue[at];
      let { pc } = queue[at];
      for (let length = 0; ; length++) {
        const key = this.key(pc, context);
        if (this.lines.has(key) || length === this.limits.blockLength) {
          this.leaders.set(key, { pc, context });
          if (this.lines.has(key)) break;
          length = 0;
        }
        if (this.lines.size >= this.limits.instructions || Number.isNaN(key)) break;
        const d = this.source.decode(pc);
        if (d === undefined || !isCompilable(d)) break;
        const line = lineOf(pc, d);
        this.lines.set(key, line);
        if (goesElsewhere(line)) {
          for (const successor of this.successors(line, context)) {
            const target = this.key(successor.pc, successor.context);
            if ((successor.context?.depth ?? 0) > this.limits.depth || Number.isNaN(target)) continue;
            if (!this.leaders.has(target)) queue.push(successor);
            this.leaders.set(target, successor);
          }
          break;
        }
        pc += d.length;
      }
    }
  }

  private edge(to: { pc: number; context: Context | undefined }): Edge {
    return { block: this.block(to.pc, to.context), pc: to.pc };
  }

  /** The block that starts at a leader; undefined if its first instruction was not decoded. */
  private block(pc: number, context: Context | undefined): Block | undefined {
    const key = this.key(pc, context);
    if (!this.lines.has(key)) return undefined;
    const known = this.blocks.get(key);
    if (known) return known;
    const block: Block = { pc, context, lines: [], ending: { kind: "interpret", pc } };
    this.blocks.set(key, block);
    for (let at = pc; ;) {
      const line = this.lines.get(this.key(at, context))!;
      block.lines.push(line);
      const { d } = line;
      if (goesElsewhere(line)) {
        const edges = this.successors(line, context).map((successor) => this.edge(successor));
        if (d.instruction.name === "jalr") block.ending = { kind: "indirect", expected: edges };
        else if (line.facts.isBranch) block.ending = { kind: "branch", next: edges[0], taken: edges[1] };
        else block.ending = { kind: "jump", next: edges[0] };
        return block;
      }
      at += d.length;
      const nextKey = this.key(at, context);
      if (this.leaders.has(nextKey) && this.lines.has(nextKey)) {
        block.ending = { kind: "jump", next: this.edge({ pc: at, context }) };
        return block;
      }
      if (!this.lines.has(nextKey)) {
        const d2 = this.source.decode(at);
        block.ending =
          d2 !== undefined && isCompilable(d2)
            ? { kind: "jump", next: { block: undefined, pc: at } }
            : { kind: "interpret", pc: at };
        return block;
      }
    }
  }

  root(): Block | undefined {
    return this.block(this.start, undefined);
  }
}

/** The region rooted at a pc, or undefined if its first instruction cannot be compiled. */
export function discover(source: CodeSource, root: number, limits: Limits): Block | undefined {
  const discovery = new Discovery(source, root, limits);
  discovery.explore();
  return discovery.root();
}
