// A machine for tests and benchmarks without a kernel: page tables built by hand, programs as lists of words. Not for production code.
import { PAGE_SIZE, type Pfn, asPfn } from "../base/numbers.ts";
import { type Hardware, type HardwareOptions, createHardware } from "./hardware.ts";
import type { Hart, Trap } from "./hart.ts";
import { LEVEL_SIZE, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, isTable, makePte, pteIndex, ptePfn } from "./pte.ts";

export const CODE = 0x10000;
export const DATA = 0x200000;
export const RX = PTE_R | PTE_X;
export const RW = PTE_R | PTE_W;
export const RWX = PTE_R | PTE_W | PTE_X;

export class TestMachine {
  readonly hardware: Hardware;
  readonly hart: Hart;
  readonly root: Pfn;
  private next: number;

  constructor(options: Partial<HardwareOptions> = {}) {
    this.hardware = createHardware({ memoryBytes: 8 * 2 ** 20, harts: 1, engine: "interpreter", ...options });
    this.next = this.hardware.ram.firstPfn;
    this.root = this.frame();
    this.hart = this.hardware.harts[0];
    for (const hart of this.hardware.harts) hart.switchTo(this.root);
  }

  /** A fresh zeroed frame; `align` in frames. */
  frame(align = 1): Pfn {
    this.next = Math.ceil(this.next / align) * align;
    const pfn = asPfn(this.next);
    this.next += align;
    if (this.next > this.hardware.ram.endPfn) throw new Error("test machine: out of frames");
    return pfn;
  }

  /** Maps one page (or superpage, for a level above 0); intermediate tables are made as needed. Returns the leaf's table and index. */
  map(va: number, pfn: Pfn, permissions: number, level = 0, root = this.root): { table: Pfn; index: number } {
    const { ram } = this.hardware;
    let table = root;
    for (let at = 3; at > level; at--) {
      const index = pteIndex(va, at);
      if (!isTable(ram.readPte(table, index))) ram.writePte(table, index, makePte(this.frame(), PTE_V));
      table = ptePfn(ram.readPte(table, index));
    }
    const index = pteIndex(va, level);
    ram.writePte(table, index, makePte(pfn, permissions | PTE_V | PTE_U));
    return { table, index };
  }

  /** Maps `pages` fresh pages from va on; returns the first frame (the frames follow each other). */
  mapFresh(va: number, pages: number, permissions: number): Pfn {
    const frames = Array.from({ length: pages }, () => this.frame());
    frames.forEach((frame, i) => this.map(va + i * PAGE_SIZE, frame, permissions));
    return frames[0];
  }

  /** Writes words or, for numbers below 0x10000 in `halves`, halfwords at a guest address that is mapped. */
  poke(va: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const leaf = this.hardware.mmu.walk(this.root, va + done)!;
      const offset = (va + done) % LEVEL_SIZE[leaf.level];
      const count = Math.min(bytes.length - done, PAGE_SIZE - (offset % PAGE_SIZE));
      const pfn = asPfn(ptePfn(leaf.pte) + Math.floor(offset / PAGE_SIZE));
      this.hardware.ram.write(pfn, offset % PAGE_SIZE, bytes.subarray(done, done + count));
      done += count;
    }
  }

  pokeWords(va: number, words: readonly number[]): void {
    this.poke(va, new Uint8Array(Uint32Array.from(words).buffer));
  }

  /** Maps a code page at CODE if there is none, puts the program there and pc at it. */
  load(words: readonly number[], va = CODE): void {
    for (let page = va - (va % PAGE_SIZE); page < va + words.length * 4; page += PAGE_SIZE) {
      if (!this.hardware.mmu.walk(this.root, page)) this.map(page, this.frame(), RX);
    }
    this.pokeWords(va, words);
    this.hart.registers.pc = va;
  }

  /** Runs until a trap that is not the budget's. */
  runToTrap(slice = 1_000_000): Trap {
    for (;;) {
      const trap = this.hart.run(slice);
      if (trap.cause !== 0) return trap;
    }
  }
}
