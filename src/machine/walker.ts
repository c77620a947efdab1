// The usual table walk as generated code: a data access that missed the TLB and finds a 4 KiB leaf that allows it, with A (and D) set
// already and no decoded code in the frame. If a program goes from page to page, the pages that follow come along. Everything else is left to mmu.ts,
// which this must agree with; what it serves was mostly never accessed before, and so its neighbours were not. Used by hardware.ts and interpreter.ts;
// extents.ts goes by the same rules.
import { type Code, I32, I64, type Label, ModuleBuilder, op } from "../wasm/assembler.ts";
import {
  HART_AHEAD,
  HART_ROOT,
  HART_RUN,
  HART_TLB,
  HART_WALKS,
  type Layout,
  TLB_ENTRIES,
  TLB_GROUP,
  TLB_READ,
  TLB_SOURCES,
  TLB_TABLES,
  TLB_USED,
  TLB_WRITE,
} from "./layout.ts";
import { PTE_A, PTE_D, PTE_R, PTE_RWX, PTE_U, PTE_V, PTE_W } from "./pte.ts";
import { FROM_PAGES } from "./tlb.ts";

const [HART, VA, SIZE, KIND] = [0, 1, 2, 3];
/** What a pointer to the next table may have set of these. */
const TABLE_MASK = PTE_V | PTE_RWX | PTE_A | PTE_D | PTE_U;
/** What a leaf must have set so that a TLB may hold it without a change of the entry: for reads, and for writes. */
export const NEEDED_TO_READ = PTE_V | PTE_U | PTE_R | PTE_A;
export const NEEDED_TO_WRITE = NEEDED_TO_READ | PTE_W | PTE_D;
/** Pages that a miss may be beyond where the last one left off, and still seem to go on from there. */
const NEAR = 4;

/** Branches to `no` unless the frame number in a local is one of guest RAM. */
export function checkFrame(code: Code, layout: Layout, frame: number, no: Label): void {
  const first = layout.ram / 4096;
  code
    .get(frame)
    .i32(first)
    .op(op.i32Sub)
    .i32(layout.ramBytes / 4096)
    .op(op.i32GeU)
    .brIf(no);
}

/** Branches to `no` if the frame whose number is in a local has decoded code; notes that it has write translations if not. */
export function checkWritable(code: Code, layout: Layout, frame: number, no: Label): void {
  code.get(frame).memory(op.i32Load8U, layout.hasCode).brIf(no);
  code.get(frame).i32(1).memory(op.i32Store8, layout.writable);
}

class WalkerEmitter {
  private readonly code: Code;
  private readonly layout: Layout;
  private readonly neighbours: number;
  private readonly table: number;
  /** Where the leaf entry is, and the entry. */
  private readonly at: number;
  private readonly pte: number;
  private readonly need: number;
  private readonly page: number;
  private readonly pfn: number;
  private readonly tlb: number;
  /** Where the page's translation for reads goes, and where its source; and the page number's part of a translation. */
  private readonly entry: number;
  private readonly source: number;
  private readonly tag: number;

  constructor(code: Code, layout: Layout, neighbours: number) {
    this.code = code;
    this.layout = layout;
    this.neighbours = neighbours;
    this.table = code.local(I32);
    this.at = code.local(I32);
    this.pte = code.local(I32);
    this.need = code.local(I32);
    this.page = code.local(I32);
    this.pfn = code.local(I32);
    this.tlb = code.local(I32);
    this.entry = code.local(I32);
    this.source = code.local(I32);
    this.tag = code.local(I64);
  }

  private advance(local: number, by: number): void {
    this.code.get(local).i32(by).op(op.i32Add).set(local);
  }

  /** The entry of `table` for the address at a level, into `pte`; `at`: where it is. */
  private readPte(level: number): void {
    const c = this.code;
    c.get(this.table).i32(12).op(op.i32Shl);
    c.get(VA)
      .i64(12 + 9 * level)
      .op(op.i64ShrU, op.i32WrapI64)
      .i32(511)
      .op(op.i32And)
      .i32(3);
    c.op(op.i32Shl, op.i32Add).tee(this.at).memory(op.i32Load).set(this.pte);
  }

  /** kind 0 read, 1 write. Returns 1 if the translation was entered. */
  emit(): void {
    const c = this.code;
    const giveUp = c.block();
    // Addresses of the upper half, and accesses that cross a page.
    c.get(VA).i64(47).op(op.i64ShrU).i64(0).op(op.i64Ne);
    c.get(VA).op(op.i32WrapI64).i32(4095).op(op.i32And).get(SIZE).op(op.i32Add).i32(4096).op(op.i32GtU, op.i32Or);
    c.brIf(giveUp);
    c.get(HART).memory(op.i32Load, HART_ROOT).set(this.table);
    for (let level = 3; level > 0; level--) {
      this.readPte(level);
      c.get(this.pte).i32(TABLE_MASK).op(op.i32And).i32(PTE_V).op(op.i32Ne).brIf(giveUp);
      c.get(this.pte).i32(10).op(op.i32ShrU).set(this.table);
      checkFrame(c, this.layout, this.table, giveUp);
    }
    this.readPte(0);
    this.setNeed();
    this.checkLeaf(giveUp);
    this.enterMissed();
    if (this.neighbours > 1) this.enterNeighbours();
    c.i32(1).op(op.return).end().i32(0);
  }

  private setNeed(): void {
    this.code.i32(NEEDED_TO_WRITE).i32(NEEDED_TO_READ).get(KIND).op(op.select).set(this.need);
  }

  /** Branches to `no` unless `pte` allows the access as it is. Sets `pfn`. */
  private checkLeaf(no: Label): void {
    const c = this.code;
    c.get(this.pte).get(this.need).op(op.i32And).get(this.need).op(op.i32Ne).brIf(no);
    c.get(this.pte).i32(10).op(op.i32ShrU).set(this.pfn);
    checkFrame(c, this.layout, this.pfn, no);
    c.get(KIND).if();
    checkWritable(c, this.layout, this.pfn, no);
    c.end();
  }

  /** Stores `page`'s translation. */
  private enter(kind: number, number: number): void {
    const c = this.code;
    // page << 28 | (frame - page) & 0xfffff
    c.get(this.entry).get(this.tag);
    c.get(this.pfn).get(this.page).op(op.i32Sub).i32(0xfffff).op(op.i32And, op.i64ExtendI32U, op.i64Or);
    c.memory(op.i64Store, kind);
    c.get(this.source)
      .get(this.table)
      .memory(op.i32Store, TLB_SOURCES + number * TLB_ENTRIES * 4);
  }

  /** Notes that the group of entries is used that `page` is in. */
  private use(pushUsed: () => void): void {
    const c = this.code;
    pushUsed();
    pushUsed();
    c.memory(op.i32Load, TLB_USED).i32(1).get(this.page).i32(Math.log2(TLB_GROUP)).op(op.i32ShrU);
    c.op(op.i32Shl, op.i32Or).memory(op.i32Store, TLB_USED);
  }

  /** Enters the page that missed, for reads, too, if it was a write. */
  private enterMissed(): void {
    const c = this.code;
    c.get(HART).memory(op.i32Load, HART_TLB).set(this.tlb);
    c.get(VA).i64(12).op(op.i64ShrU, op.i32WrapI64).tee(this.page);
    const place = (size: number, local: number): void => {
      c.get(this.page)
        .i32(TLB_ENTRIES - 1)
        .op(op.i32And)
        .i32(size)
        .op(op.i32Mul)
        .get(this.tlb)
        .op(op.i32Add)
        .set(local);
    };
    place(8, this.entry);
    place(4, this.source);
    c.get(VA).i64(12).op(op.i64ShrU).i64(28).op(op.i64Shl).set(this.tag);
    this.enter(TLB_READ, 0);
    this.use(() => c.get(this.tlb));
    c.get(KIND).if();
    this.enter(TLB_WRITE, 1);
    this.use(() => c.get(this.tlb).i32(4).op(op.i32Add));
    c.end();
    c.get(this.tlb).get(this.tlb).memory(op.i32Load, TLB_TABLES).i32(1).get(this.table);
    c.op(op.i32Shl, op.i32Or).memory(op.i32Store, TLB_TABLES);
    const { cachedFrom } = this.layout;
    c.get(this.table).get(this.table).memory(op.i32Load8U, cachedFrom).i32(FROM_PAGES);
    c.op(op.i32Or).memory(op.i32Store8, cachedFrom);
    c.get(HART).get(HART).memory(op.i32Load, HART_WALKS).i32(1).op(op.i32Add).memory(op.i32Store, HART_WALKS);
  }

  /**
   * If misses of a kind come one after the other, a program goes from page to page: then the pages that follow in the leaf table are entered as
   * well, each time more, up to the first that a miss of its own would have to change something for. As hardware does that keeps what it
   * reads of a table along with the entry it wanted; nothing is entered that was not accessed before, so that A and D tell the same.
   *
   *   first = page
   *   if (page - hart.ahead[kind] < NEAR) {
   *     left = min(4 * hart.run[kind] + 3, neighbours - 1)
   *     do {
   *       if (page % 512 == 511 || the next entry does not allow the access) break
   *       enter(++page)
   *     } while (--left)
   *   }
   *   hart.ahead[kind] = page + 1
   *   hart.run[kind] = page - first
   */
  private enterNeighbours(): void {
    const c = this.code;
    const most = this.neighbours - 1;
    const [first, left, stream] = [c.local(I32), c.local(I32), c.local(I32)];
    c.get(this.page).set(first);
    c.get(HART).get(KIND).i32(2).op(op.i32Shl, op.i32Add).set(stream);
    c.get(this.page).get(stream).memory(op.i32Load, HART_AHEAD).op(op.i32Sub).i32(NEAR).op(op.i32LtU).if();
    c.get(stream).memory(op.i32Load, HART_RUN).i32(2).op(op.i32Shl).i32(3).op(op.i32Add).tee(left);
    c.i32(most).get(left).i32(most).op(op.i32LtU, op.select).set(left);
    this.enterRun(left);
    c.end();
    c.get(stream).get(this.page).i32(1).op(op.i32Add).memory(op.i32Store, HART_AHEAD);
    c.get(stream).get(this.page).get(first).op(op.i32Sub).memory(op.i32Store, HART_RUN);
  }

  /** The loop: enters up to `left` (at least 1) pages after `page`. */
  private enterRun(left: number): void {
    const c = this.code;
    // The arrays for writes follow those for reads.
    c.get(this.entry).get(KIND).i32(TLB_WRITE).op(op.i32Mul, op.i32Add).set(this.entry);
    c.get(this.source)
      .get(KIND)
      .i32(TLB_ENTRIES * 4)
      .op(op.i32Mul, op.i32Add)
      .set(this.source);
    const done = c.block();
    const next = c.loop();
    this.advance(this.at, 8);
    c.get(this.at).i32(4095).op(op.i32And, op.i32Eqz).brIf(done);
    c.get(this.at).memory(op.i32Load).set(this.pte);
    this.checkLeaf(done);
    this.advance(this.page, 1);
    this.advance(this.entry, 8);
    this.advance(this.source, 4);
    c.get(this.tag)
      .i64(2 ** 28)
      .op(op.i64Add)
      .set(this.tag);
    this.enter(TLB_READ, 0);
    // The group of the page that missed is noted.
    c.get(this.page)
      .i32(TLB_GROUP - 1)
      .op(op.i32And, op.i32Eqz)
      .if();
    this.use(() => c.get(this.tlb).get(KIND).i32(2).op(op.i32Shl, op.i32Add));
    c.end();
    c.get(left).i32(1).op(op.i32Sub).tee(left).brIf(next);
    c.end().end();
  }
}

/** (hart, va: i64, size, kind) -> 1: look again, the translation is there; 0: ask mmu.ts. */
export const WALK_SIGNATURE = { parameters: [I32, I64, I32, I32], results: [I32] } as const;

/** Makes the walk, as a module of its own: V8 optimizes it when it has been used, not when the interpreter has. */
export function createWalker(memory: WebAssembly.Memory, layout: Layout, neighbours: number): WebAssembly.ExportValue {
  const builder = new ModuleBuilder(layout.pages);
  builder.function(WALK_SIGNATURE, "walk", (code) => new WalkerEmitter(code, layout, neighbours).emit());
  return new WebAssembly.Instance(new WebAssembly.Module(builder.finish()), { e: { memory } }).exports.walk;
}
