// Guest code as the JIT reads it: through the execute translations that a hart's TLB holds now. What was read of a frame is kept until its
// code is dropped (code-cache.ts: nobody can write it before). Used by jit.ts.
import { PAGE_SIZE, type Pfn } from "../../base/numbers.ts";
import type { CodeCache } from "../code-cache.ts";
import { decode } from "../isa/table.ts";
import { HART_TLB, RECORD_BYTES, TLB_ENTRIES, TLB_EXECUTE } from "../layout.ts";
import type { Ram } from "../ram.ts";
import { OP_EMPTY } from "../record.ts";
import type { CodeSource } from "./discover.ts";
import type { PageGuard } from "./emit.ts";
import { Line } from "./line.ts";

export interface CodePage extends PageGuard {
  readonly page: number;
  readonly frame: Pfn;
}

/** Halfwords whose lines are kept in one array, so that a page of which little is looked at takes little. */
const CHUNK = 64;
/** By halfword: null if no legal instruction is there, undefined if nobody has looked. */
type Chunk = (Line | null | undefined)[];
type Lines = (Chunk | undefined)[];

/** The lines of frames that have decoded code, each as seen at one virtual address. */
export class LineCache {
  private readonly byFrame = new Map<Pfn, { va: number; lines: Lines }>();

  of({ frame, va }: CodePage): Lines {
    let known = this.byFrame.get(frame);
    if (known?.va !== va) this.byFrame.set(frame, (known = { va, lines: new Array<undefined>(PAGE_SIZE / 2 / CHUNK) }));
    return known.lines;
  }

  drop(frame: Pfn): void {
    this.byFrame.delete(frame);
  }
}

interface SourceOptions {
  readonly ram: Ram;
  readonly code: CodeCache;
  readonly lines: LineCache;
  /** Where indirect jumps went, by pc. */
  readonly noted: ReadonlyMap<number, readonly number[]>;
}

export class TlbSource implements CodeSource {
  private readonly pages = new Map<number, CodePage | undefined>();
  /** Instructions that lie in two pages. */
  private readonly crossing = new Map<number, Line | null>();
  private lastNumber = -1;
  private last: Lines | undefined = undefined;
  private readonly options: SourceOptions;
  private readonly tlb: number;

  constructor(hart: number, options: SourceOptions) {
    this.options = options;
    this.tlb = options.ram.u32[(hart + HART_TLB) >>> 2];
  }

  page(va: number): CodePage | undefined {
    const number = Math.floor(va / PAGE_SIZE);
    if (this.pages.has(number)) return this.pages.get(number);
    const { ram, code } = this.options;
    const at = (this.tlb + TLB_EXECUTE + 8 * (number % TLB_ENTRIES)) >>> 2;
    const [low, high] = [ram.u32[at], ram.u32[at + 1]];
    const page = low & 0xfffff;
    const isHere = high !== 0xffffffff && high * 16 + (low >>> 28) === number && code.frameOf(page) !== 0;
    const found = isHere ? { va: number * PAGE_SIZE, low, high, page, frame: code.frameOf(page) } : undefined;
    this.pages.set(number, found);
    return found;
  }

  private half(va: number): number | undefined {
    const page = this.page(va);
    return page && this.options.ram.u16[(page.frame * PAGE_SIZE + (va % PAGE_SIZE)) >>> 1];
  }

  line(pc: number): Line | undefined {
    const number = Math.floor(pc / PAGE_SIZE);
    if (number !== this.lastNumber) {
      const page = this.page(pc);
      this.lastNumber = number;
      this.last = page && this.options.lines.of(page);
    }
    if (this.last === undefined) return undefined;
    const at = (pc - number * PAGE_SIZE) >> 1;
    const chunk = (this.last[Math.floor(at / CHUNK)] ??= new Array<undefined>(CHUNK));
    const known = chunk[at & (CHUNK - 1)];
    if (known !== undefined) return known ?? undefined;
    return this.read(pc, at, chunk);
  }

  wasRun(pc: number): boolean {
    const page = this.page(pc);
    if (page === undefined) return false;
    const { ram, code } = this.options;
    return ram.u8[code.address(page.page) + ((pc % PAGE_SIZE) / 2) * RECORD_BYTES] !== OP_EMPTY;
  }

  next(line: Line): Line | undefined {
    if (line.next !== undefined) return line.next;
    const pc = line.pc + line.d.length;
    const next = this.line(pc);
    // What is in another page, or in part, may change without this one.
    if (pc % PAGE_SIZE >= line.d.length && !this.crossing.has(pc)) line.next = next;
    return next;
  }

  private read(pc: number, at: number, chunk: Chunk): Line | undefined {
    const low = this.half(pc)!;
    if ((low & 3) !== 3) return this.keep(low, pc, at, chunk);
    if (at < PAGE_SIZE / 2 - 1) return this.keep(low | (this.half(pc + 2)! << 16), pc, at, chunk);
    let line = this.crossing.get(pc);
    if (line === undefined) {
      const high = this.half(pc + 2);
      const d = high === undefined ? undefined : decode(low | (high << 16));
      line = d ? new Line(pc, d) : null;
      this.crossing.set(pc, line);
    }
    return line ?? undefined;
  }

  private keep(word: number, pc: number, at: number, chunk: Chunk): Line | undefined {
    const d = decode(word);
    const line = d && new Line(pc, d);
    chunk[at & (CHUNK - 1)] = line ?? null;
    return line;
  }

  targets(pc: number): readonly number[] {
    const known = this.options.noted.get(pc);
    if (known === undefined) return [];
    return known.filter((target) => this.page(target) !== undefined).sort((a, b) => a - b);
  }

  lastTarget(pc: number): number | undefined {
    return this.options.noted.get(pc)?.at(-1);
  }
}
