// An instruction as the JIT sees it: what it reads and writes, found once for as long as its code stays what it is.
import type { Decoded } from "../isa/instruction.ts";
import { type Facts, facts } from "./facts.ts";
import { wordCondition } from "./words.ts";

const DYNAMIC = 7;
const RNE = 0;
const RTZ = 1;
/** CSRs that are done inline: fflags, frm, fcsr. */
const LAST_FLOAT_CSR = 3;

/** False for instructions that a region leaves to the interpreter. */
function isCompilable(d: Decoded): boolean {
  const { isInterpreted, isCsr, rounds, rd } = facts(d);
  if (isInterpreted) return false;
  if (isCsr) return d.imm <= LAST_FLOAT_CSR;
  return !rounds || d.rm === RNE || d.rm === DYNAMIC || (d.rm === RTZ && rd);
}

const bit = (register: number): number => 1 << register;

export class Line {
  readonly pc: number;
  readonly d: Decoded;
  readonly facts: Facts;
  /** Integer and floating-point registers that it reads and writes: bit i for x[i] (never x[0]) or f[i]. */
  readonly reads: number;
  readonly writes: number;
  readonly fReads: number;
  readonly fWrites: number;
  /** wordCondition of it. */
  readonly wordIf: number;
  readonly isCompilable: boolean;
  /** Branches and jumps; what else ends a line is not compilable. */
  readonly goesElsewhere: boolean;
  /** The line after it if that is in the same page and has been asked for. */
  next: Line | undefined = undefined;
  /** Whether a region starts here, or did. */
  isRoot = false;
  /** Whether the region that starts here is an inner loop by itself; and whether control was seen not to stay in that for long. */
  isInner = false;
  isShort = false;
  /** Scratch of the discovery that saw it last: its number, and by context whether it saw the line, and whether a block starts there. */
  discovery = 0;
  seen = 0;
  leads = 0;

  constructor(pc: number, d: Decoded) {
    const f = facts(d);
    this.pc = pc;
    this.d = d;
    this.facts = f;
    this.reads = ((f.rs1 ? bit(d.rs1) : 0) | (f.rs2 ? bit(d.rs2) : 0)) & ~1;
    this.writes = f.rd ? bit(d.rd) & ~1 : 0;
    this.fReads = (f.fs1 ? bit(d.rs1) : 0) | (f.fs2 ? bit(d.rs2) : 0) | (f.fs3 ? bit(d.rs3) : 0);
    this.fWrites = f.fd ? bit(d.rd) : 0;
    this.wordIf = wordCondition(d);
    this.isCompilable = isCompilable(d);
    this.goesElsewhere = f.isBranch || d.instruction.ends;
  }
}
