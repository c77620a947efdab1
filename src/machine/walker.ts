// The usual table walk as generated code: a data access that missed the TLB and finds a 4 KiB leaf that allows it, with A (and D) set
// already and no decoded code in the frame. Everything else is left to mmu.ts, which this must agree with. Used by interpreter.ts.
import { type Code, I32, I64, ModuleBuilder, op } from "../wasm/assembler.ts";
import {
  HART_ROOT,
  HART_TLB,
  HART_WALKS,
  type Layout,
  TLB_DIRTY,
  TLB_ENTRIES,
  TLB_READ,
  TLB_SOURCES,
  TLB_WRITE,
} from "./layout.ts";
import { PTE_A, PTE_D, PTE_R, PTE_RWX, PTE_U, PTE_V, PTE_W } from "./pte.ts";
import { FROM_PAGES } from "./tlb.ts";

const [HART, VA, SIZE, KIND] = [0, 1, 2, 3];
/** What a pointer to the next table may have set of these. */
const TABLE_MASK = PTE_V | PTE_RWX | PTE_A | PTE_D | PTE_U;

class WalkerEmitter {
  private readonly code: Code;
  private readonly layout: Layout;
  private readonly table: number;
  private readonly pte: number;
  private readonly page: number;
  private readonly tlb: number;
  private readonly pfn: number;

  constructor(code: Code, layout: Layout) {
    this.code = code;
    this.layout = layout;
    this.table = code.local(I32);
    this.pte = code.local(I32);
    this.page = code.local(I32);
    this.tlb = code.local(I32);
    this.pfn = code.local(I32);
  }

  private giveUp(): void {
    this.code.if();
    this.code.i32(0).op(op.return).end();
  }

  /** Gives up unless the frame number in a local is one of guest RAM. */
  private checkFrame(frame: number): void {
    const first = this.layout.ram / 4096;
    this.code
      .get(frame)
      .i32(first)
      .op(op.i32Sub)
      .i32(this.layout.ramBytes / 4096)
      .op(op.i32GeU);
    this.giveUp();
  }

  /** The entry of `table` for the address at a level, into `pte`. */
  private readPte(level: number): void {
    const c = this.code;
    c.get(this.table).i32(12).op(op.i32Shl);
    c.get(VA)
      .i64(12 + 9 * level)
      .op(op.i64ShrU, op.i32WrapI64)
      .i32(511)
      .op(op.i32And)
      .i32(3);
    c.op(op.i32Shl, op.i32Add).memory(op.i32Load).set(this.pte);
  }

  /** kind 0 read, 1 write. Returns 1 if the translation was entered. */
  emit(): void {
    const c = this.code;
    // Addresses of the upper half, and accesses that cross a page.
    c.get(VA).i64(47).op(op.i64ShrU).i64(0).op(op.i64Ne);
    c.get(VA).op(op.i32WrapI64).i32(4095).op(op.i32And).get(SIZE).op(op.i32Add).i32(4096).op(op.i32GtU, op.i32Or);
    this.giveUp();
    c.get(HART).memory(op.i32Load, HART_ROOT).set(this.table);
    for (let level = 3; level > 0; level--) {
      this.readPte(level);
      c.get(this.pte).i32(TABLE_MASK).op(op.i32And).i32(PTE_V).op(op.i32Ne);
      this.giveUp();
      c.get(this.pte).i32(10).op(op.i32ShrU).set(this.table);
      this.checkFrame(this.table);
    }
    this.readPte(0);
    // need = V, U, R, A, and for writes W and D.
    const need = c.local(I32);
    const always = PTE_V | PTE_U | PTE_R | PTE_A;
    c.i32(always | PTE_W | PTE_D)
      .i32(always)
      .get(KIND)
      .op(op.select)
      .set(need);
    c.get(this.pte).get(need).op(op.i32And).get(need).op(op.i32Ne);
    this.giveUp();
    c.get(this.pte).i32(10).op(op.i32ShrU).set(this.pfn);
    this.checkFrame(this.pfn);
    c.get(KIND).if();
    c.get(this.pfn).memory(op.i32Load8U, this.layout.hasCode);
    this.giveUp();
    c.get(this.pfn).i32(1).memory(op.i32Store8, this.layout.writable).end();
    this.enter();
    c.i32(1);
  }

  private enter(): void {
    const c = this.code;
    const index = c.local(I32);
    const entry = c.local(I64);
    c.get(HART).memory(op.i32Load, HART_TLB).set(this.tlb);
    c.get(VA).i64(12).op(op.i64ShrU, op.i32WrapI64).tee(this.page);
    c.i32(TLB_ENTRIES - 1)
      .op(op.i32And)
      .set(index);
    // entry = page << 28 | (frame - page) & 0xfffff
    c.get(VA).i64(12).op(op.i64ShrU).i64(28).op(op.i64Shl);
    c.get(this.pfn).get(this.page).op(op.i32Sub).i32(0xfffff).op(op.i32And, op.i64ExtendI32U, op.i64Or).set(entry);
    const store = (kind: number, number: number): void => {
      c.get(this.tlb).get(index).i32(3).op(op.i32Shl, op.i32Add).get(entry).memory(op.i64Store, kind);
      c.get(this.tlb).get(index).i32(2).op(op.i32Shl, op.i32Add).get(this.table);
      c.memory(op.i32Store, TLB_SOURCES + number * TLB_ENTRIES * 4);
    };
    store(TLB_READ, 0);
    c.get(KIND).if();
    store(TLB_WRITE, 1);
    c.end();
    c.get(this.tlb).i32(1).memory(op.i32Store, TLB_DIRTY);
    const { cachedFrom } = this.layout;
    c.get(this.table).get(this.table).memory(op.i32Load8U, cachedFrom).i32(FROM_PAGES);
    c.op(op.i32Or).memory(op.i32Store8, cachedFrom);
    c.get(HART).get(HART).memory(op.i32Load, HART_WALKS).i32(1).op(op.i32Add).memory(op.i32Store, HART_WALKS);
  }
}

/** (hart, va: i64, size, kind) -> 1: look again, the translation is there; 0: ask mmu.ts. */
export const WALK_SIGNATURE = { parameters: [I32, I64, I32, I32], results: [I32] } as const;

/** Makes the walk, as a module of its own: V8 optimizes it when it has been used, not when the interpreter has. */
export function createWalker(memory: WebAssembly.Memory, layout: Layout): WebAssembly.ExportValue {
  const builder = new ModuleBuilder(layout.pages);
  builder.function(WALK_SIGNATURE, "walk", (code) => new WalkerEmitter(code, layout).emit());
  return new WebAssembly.Instance(new WebAssembly.Module(builder.finish()), { e: { memory } }).exports.walk;
}
