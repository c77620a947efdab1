// A window: the VMA of a process that shows a region, and what mm asks of it (mm/vma.ts: Window). Owns its place (slot), its count of links and
// its membership in the region's list. Made by attach.ts and by fork; taken away by munmap, detach, exec and exit through `unlink`.
import { EINVAL, ENOMEM } from "../base/errno.ts";
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { accountVm } from "../mm/accounting.ts";
import * as mman from "../mm/constants.ts";
import type { Mm } from "../mm/mm.ts";
import { ensureTable } from "../mm/page-table.ts";
import type { Gather } from "../mm/shootdown.ts";
import { zapTables } from "../mm/rmap.ts";
import { VM_ACCOUNT, VM_DONTCOPY, VM_DONTDUMP, type Vma, type Window, type WindowCall } from "../mm/vma.ts";
import { MSHARE_PASSTHROUGH, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import type { LinkedWindow } from "./link.ts";
import { type MappedFile, adviseMapping, remapMapping, syncMapping } from "./mapping.ts";
import { populateWindow } from "./populate.ts";
import { PrivatePart, forkCopies } from "./private.ts";
import type { Region } from "./region.ts";
import type { View } from "./view.ts";

/** Where a window lies and what it shows. Addresses, offsets and sizes in bytes. */
export interface WindowPlace {
  readonly slotStart: number;
  readonly slotEnd: number;
  readonly offset: number;
  /** Asked for at attach, page-rounded. */
  readonly size: number;
  readonly toEnd: boolean;
  /** MSHARE_* of the attach. */
  readonly flags: number;
  /** Whose mmap(2) attached it; null: mshare_attach. */
  readonly file: MappedFile | null;
}

export class MshareWindow implements Window, LinkedWindow {
  readonly region: Region;
  readonly mm: Mm;
  readonly host: Mm;
  readonly slotStart: number;
  readonly slotEnd: number;
  readonly offset: number;
  readonly size: number;
  readonly toEnd: boolean;
  readonly flags: number;
  readonly file: MappedFile | null;
  /** How much of the region it shows now; the length of its VMA. */
  length: number;
  /** Entries of the process's tables that point at the region's. */
  links = 0;
  /** Between RegionTables.connect and disconnect. */
  connected = false;
  /** The read-only root that it links; null: the read-write one. */
  readonly view: View | null;
  /** Of a private window with shared tables: what it does not share any more. */
  readonly privatePart: PrivatePart | null;
  #vma: Vma | null = null;

  constructor(region: Region, mm: Mm, host: Mm, view: View | null, place: WindowPlace, length: number) {
    this.region = region;
    this.mm = mm;
    this.host = host;
    this.view = view;
    this.slotStart = place.slotStart;
    this.slotEnd = place.slotEnd;
    this.offset = place.offset;
    this.size = place.size;
    this.toEnd = place.toEnd;
    this.flags = place.flags;
    this.file = place.file;
    this.length = length;
    this.privatePart = this.isPrivate && this.shared ? new PrivatePart(this) : null;
  }

  // What /proc/PID/maps shows.
  get devMajor(): number {
    return this.file?.devMajor ?? 0;
  }
  get devMinor(): number {
    return this.file?.devMinor ?? 0x0f;
  }
  get inode(): number {
    return this.file?.inode ?? this.region.inode;
  }
  name(): string {
    return this.file?.name() ?? this.region.name();
  }

  get hostStart(): number {
    return this.region.hostAddress(this.offset);
  }
  get dead(): boolean {
    return this.region.dead;
  }
  get shared(): boolean {
    return this.region.manager.share;
  }
  get tables(): Mm {
    if (!this.shared) return this.mm;
    return this.view === null ? this.host : this.view.mm;
  }
  /** Region pages are never written through it. */
  get readOnly(): boolean {
    return (this.flags & (MSHARE_RDONLY | MSHARE_PRIVATE)) !== 0;
  }
  /** Copy-on-write. */
  get isPrivate(): boolean {
    return (this.flags & MSHARE_PRIVATE) !== 0;
  }
  get passthrough(): boolean {
    return (this.flags & MSHARE_PASSTHROUGH) !== 0;
  }
  get vma(): Vma {
    if (this.#vma === null) throw new Error(`window of ${this.region.name()} has no VMA`);
    return this.#vma;
  }

  /** The window belongs to `vma`, which joins its mm. */
  join(vma: Vma): void {
    this.#vma = vma;
    vma.window = this;
    this.region.addWindow(this);
    if (this.region.ended) return;
    this.host.sharers.add(this.mm);
    this.region.manager.tables.connect(this);
  }

  /** The region offset that an address inside shows. */
  offsetOf(va: number): number {
    return this.offset + (va - this.slotStart);
  }

  link(_mm: Mm, _vma: Vma, va: number): "linked" | "present" | number {
    const written = this.region.manager.tables.link(this, va);
    if (written < 0) return written;
    return written === 0 ? "present" : "linked";
  }

  /** Counts entries that came (or went: negative). */
  countLinks(change: number): void {
    this.links += change;
    this.region.links += change;
  }

  /** The region has grown to `size`: shows more of it, up to the slot's end. RLIMIT_AS does not stop it, since no call of this process asks. */
  follow(size: number): void {
    if (!this.toEnd) return;
    const length = Math.min(size - this.offset, this.slotEnd - this.slotStart);
    if (length <= this.length) return;
    const { vma, mm } = this;
    const pages = (length - this.length) / PAGE_SIZE;
    accountVm(mm, vma.flags, pages);
    // Promised without asking, as the size is: the call is another's.
    if ((vma.flags & VM_ACCOUNT) !== 0) mm.memory.uncommit(-pages);
    mm.noteHighWater();
    this.length = length;
    vma.end = vma.start + length;
    this.region.manager.tables.grown(this);
  }

  mayUnmap(vma: Vma, start: number, end: number): number {
    if (start <= vma.start && end >= vma.end) return 0;
    const isWhole = start === vma.start && (end === start + this.size || end === this.slotEnd);
    return isWhole ? 0 : -EINVAL;
  }

  call(_mm: Mm, vma: Vma, call: WindowCall, start: number, end: number, argument: number): number {
    if (this.dead) return -EINVAL;
    const offset = this.offsetOf(start);
    const length = end - start;
    const { region } = this;
    switch (call) {
      case "madvise":
        return this.#madvise(vma, start, end, argument);
      case "mlock":
        return region.lock(offset, length, argument);
      case "munlock":
        return this.#unlock(offset, length);
      case "msync": {
        const result = region.sync(offset, length, argument);
        return this.file === null ? result : syncMapping(result, argument);
      }
      case "mremap":
        return this.file === null ? -EINVAL : remapMapping(start, length, argument);
      case "munmap":
        return this.passthrough ? region.unmap(offset, length) : -EINVAL;
      case "mprotect":
        return this.passthrough ? region.protect(offset, length, argument) : -EINVAL;
      default:
        return -EINVAL;
    }
  }

  #unlock(offset: number, length: number): number {
    const result = this.region.unlock(offset, length);
    // Holes of the region are none of a mapping of its file.
    return this.file !== null && result === -ENOMEM ? 0 : result;
  }

  #madvise(vma: Vma, start: number, end: number, advice: number): number {
    const settled = this.file === null ? undefined : adviseMapping(vma, start, end, advice);
    if (settled !== undefined) return settled;
    switch (advice) {
      case mman.MADV_DONTFORK:
        return this.#setFlags(vma, start, end, VM_DONTCOPY, 0);
      case mman.MADV_DOFORK:
        return this.#setFlags(vma, start, end, 0, VM_DONTCOPY);
      case mman.MADV_DONTDUMP:
        return this.#setFlags(vma, start, end, VM_DONTDUMP, 0);
      case mman.MADV_DODUMP:
        return this.#setFlags(vma, start, end, 0, VM_DONTDUMP);
      case mman.MADV_POPULATE_READ:
      case mman.MADV_POPULATE_WRITE:
        return populateWindow(this, start, end, advice === mman.MADV_POPULATE_WRITE ? ACCESS_WRITE : ACCESS_READ);
      default:
    }
    if (this.passthrough) return this.region.advise(this.offsetOf(start), end - start, advice);
    switch (advice) {
      case mman.MADV_WILLNEED:
      case mman.MADV_COLD:
      case mman.MADV_PAGEOUT: {
        const result = this.region.advise(this.offsetOf(start), end - start, advice);
        // Holes of the region are no holes of the window's VMA.
        return result === -ENOMEM ? 0 : result;
      }
      case mman.MADV_DONTNEED:
        this.#discard(start, end);
        return 0;
      default:
        return -EINVAL;
    }
  }

  /** Drops the copies of a private window; region pages stay. */
  #discard(start: number, end: number): void {
    if (!this.isPrivate) return;
    const { mm, privatePart } = this;
    const gather = mm.memory.beginGather();
    if (privatePart !== null) privatePart.discard(start, end, gather);
    else zapTables(mm, start, end, gather, "and private copies", null);
    gather.finish();
  }

  #setFlags(vma: Vma, start: number, end: number, set: number, clear: number): number {
    if (start > vma.start || end < vma.end) return -EINVAL;
    vma.flags = ((vma.flags | set) & ~clear) >>> 0;
    return 0;
  }

  unlink(mm: Mm, _vma: Vma, gather: Gather): void {
    const { region, host } = this;
    region.removeWindow(this);
    if (!region.ended) {
      region.manager.tables.disconnect(this, gather);
      if (!region.hasWindowIn(mm)) host.sharers.delete(mm);
    }
    // The region's own end frees its frames with a Gather of its own: this process must have forgotten them before.
    if (region.isForsaken()) mm.memory.mmu.flushSpace(mm.root);
    region.reconsider();
  }

  unshare(va: number, level = 0): Pfn {
    return this.privatePart === null ? ensureTable(this.mm, va, level) : this.privatePart.unshare(va, level);
  }

  fork(child: Mm, vma: Vma, gather: Gather): boolean {
    const copy = new MshareWindow(this.region, child, this.host, this.view, this, this.length);
    copy.join(vma);
    if (!this.isPrivate || this.dead) return true;
    const { privatePart } = this;
    if (privatePart === null || copy.privatePart === null)
      return forkCopies(this.mm, child, this.slotStart, this.slotStart + this.length, gather);
    return privatePart.fork(copy.privatePart, gather);
  }
}
