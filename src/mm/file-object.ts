// The page cache of files that have their contents elsewhere (a host directory, kernel-made text). Made by kernel/fs; pages come and go as object.ts says.
import { PAGE_SIZE, type Pfn, pageUp } from "../base/numbers.ts";
import { FRAME_DIRTY, KIND_FILE } from "./frame.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { MemoryObject, PAGE_IO, PAGE_NOMEM, type PageSource } from "./object.ts";
import { collectDirty } from "./rmap.ts";

/** The page cache of a file on a file system that has contents elsewhere. */
export class FileObject extends MemoryObject {
  readonly kind = "file";
  readonly source: PageSource;

  constructor(memory: MemoryManager, source: PageSource, size: number) {
    super(memory, size);
    this.source = source;
    memory.objects.add(this);
  }

  protected override bringIn(index: number): Pfn | number {
    const pfn = this.addPage(index, KIND_FILE);
    if (pfn === 0) return PAGE_NOMEM;
    const { ram } = this.memory;
    this.lastWasRead = true;
    const error = this.source.readPage(index, ram.u8.subarray(pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE));
    if (error >= 0) return pfn;
    this.dropPage(index);
    return PAGE_IO;
  }

  protected override readable(index: number): Pfn | number {
    return this.page(index);
  }

  protected override writable(index: number, whole: boolean): Pfn | number {
    const cached = this.pages.get(index);
    if (cached !== 0) return cached;
    if (!whole && index * PAGE_SIZE < this.size) return this.bringIn(index);
    const pfn = this.addPage(index, KIND_FILE);
    return pfn === 0 ? PAGE_NOMEM : pfn;
  }

  protected override zeroPart(start: number, end: number): void {
    // What is on the backing store must become zero as well: bring the page in, so that it is written back.
    if (start < end && start < this.size) this.writable(Math.floor(start / PAGE_SIZE), false);
    super.zeroPart(start, end);
  }

  override allocate(): number {
    return 0;
  }

  override sync(start = 0, end = Infinity): number {
    const { frames } = this.memory;
    const first = Math.floor(start / PAGE_SIZE);
    const last = Math.min(Math.ceil(end / PAGE_SIZE), pageUp(this.size) / PAGE_SIZE);
    collectDirty(this, first, last);
    let result = 0;
    for (const index of this.pages.indices(first, last)) {
      const error = this.writeBack(index);
      if (error === 0) continue;
      // Said once: what could not be written is not tried again.
      result = error;
      frames.flags[this.pages.get(index)] &= ~FRAME_DIRTY;
    }
    return result;
  }

  /** Writes page `index` if it is dirty: 0 or -EIO; then it is still dirty. */
  writeBack(index: number): number {
    const { ram, frames } = this.memory;
    const pfn = this.pages.get(index);
    if (pfn === 0 || (frames.flags[pfn] & FRAME_DIRTY) === 0) return 0;
    const length = Math.min(PAGE_SIZE, this.size - index * PAGE_SIZE);
    const error = length > 0 ? this.source.writePage(index, ram.bytes(pfn, 0, length), length) : 0;
    if (error < 0) return error;
    frames.flags[pfn] &= ~FRAME_DIRTY;
    return 0;
  }

  /** Frees clean pages that nothing maps (drop_caches, and when memory is short). Returns how many. */
  dropClean(): number {
    const { frames } = this.memory;
    let dropped = 0;
    for (const index of this.pages.indices()) {
      const pfn = this.pages.get(index);
      if (frames.mapcount[pfn] !== 0 || (frames.flags[pfn] & FRAME_DIRTY) !== 0) continue;
      this.dropPage(index);
      dropped++;
    }
    return dropped;
  }

  override release(): void {
    super.release();
    this.memory.objects.delete(this);
  }
}
