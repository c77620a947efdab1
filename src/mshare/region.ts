// A region: an address space of its own (the host mm) that holds the objects, and the calls that change it. Owns the host mm, the size,
// the seals, the owner and the list of windows. The kernel's mshare calls and msharefs are its callers; no task ever runs on a host mm.
// Offset 0 lies at REGION_BASE, a multiple of 512 GiB, so that region tables and upper entries of processes line up at every level.
import { EBUSY, EEXIST, EFAULT, EFBIG, EINVAL, ENOMEM, ENXIO, EOVERFLOW, EPERM } from "../base/errno.ts";
import { MSHARE_GRANULE, MSHARE_MAX_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, PGD_SIZE, alignUp, pageDown, pageUp } from "../base/numbers.ts";
import * as mman from "../mm/constants.ts";
import type { MemoryGroup } from "../mm/memcg.ts";
import { hugetlbOf } from "../mm/hugetlb-vma.ts";
import type { Mm } from "../mm/mm.ts";
import { zapMirrors } from "../mm/rmap.ts";
import { AnonymousFile } from "../mm/vm-file.ts";
import type { VmFile } from "../mm/vma.ts";
import * as abi from "./abi.ts";
import { moveCharges } from "./charges.ts";
import { checkWindows, makeWay, poolOfMapping } from "./hugetlb.ts";
import type { MshareManager } from "./manager.ts";
import type { RegionOwner } from "./owner.ts";
import { View } from "./view.ts";
import type { MshareWindow } from "./window.ts";

/** Host address of region offset 0. Not the first 512 GiB: a host mm has no mappings below vm.mmap_min_addr either. */
export const REGION_BASE = PGD_SIZE;

/** The largest file offset that a mapping may reach (MAX_LFS_FILESIZE). */
const MAX_FILE_OFFSET = 2n ** 63n - 1n;

const MAP_FLAGS =
  mman.MAP_SHARED |
  mman.MAP_ANONYMOUS |
  mman.MAP_FIXED |
  mman.MAP_FIXED_NOREPLACE |
  mman.MAP_HUGETLB |
  (mman.MAP_HUGE_MASK << mman.MAP_HUGE_SHIFT) |
  mman.MAP_POPULATE |
  mman.MAP_LOCKED |
  mman.MAP_NORESERVE;
const PROT_RWX = mman.PROT_READ | mman.PROT_WRITE | mman.PROT_EXEC;

/** What to map: `struct mshare_map` with the descriptor resolved. */
export interface MapRequest {
  readonly offset: number;
  readonly size: number;
  readonly prot: number;
  readonly flags: number;
  readonly objOffset: bigint;
  /** Null for MAP_ANONYMOUS. */
  readonly file: VmFile | null;
  /** RLIMIT_AS of the caller in bytes: what the whole region may have mapped. */
  readonly addressSpaceLimit: number;
}

/** The caller's part of mshare_map's rules that need no file: 0 or -EINVAL. Checked before the descriptor is looked at. */
export function checkMapFlags(args: abi.MapArgs): number {
  const { flags } = args;
  if (args.reserved !== 0 || (flags & ~MAP_FLAGS) !== 0 || (args.prot & ~PROT_RWX) !== 0) return -EINVAL;
  if ((flags & mman.MAP_TYPE) !== mman.MAP_SHARED) return -EINVAL;
  const hugeShift = (flags >>> mman.MAP_HUGE_SHIFT) & mman.MAP_HUGE_MASK;
  if (hugeShift !== 0 && ((flags & mman.MAP_HUGETLB) === 0 || (hugeShift !== 21 && hugeShift !== 30))) return -EINVAL;
  if ((flags & mman.MAP_ANONYMOUS) !== 0 && (args.objFd !== -1 || args.objOffset !== 0n)) return -EINVAL;
  if (args.objOffset % BigInt(PAGE_SIZE) !== 0n || args.offset % PAGE_SIZE !== 0 || args.size === 0) return -EINVAL;
  return 0;
}

export class Region {
  readonly id: number;
  readonly manager: MshareManager;
  /** Bytes, a multiple of 4096; 0 until it is first set. */
  size = 0;
  seals = 0;
  /** Null once it is gone: then the region is empty and stays so. */
  owner: RegionOwner | null;
  /** Has a name in an msharefs: lives without descriptors and windows until it is unlinked. */
  named = false;
  /** Had a name once: lives on while anybody uses it, whether its owner does or not. */
  unlinked = false;
  /** Open file descriptions. */
  handles = 0;
  readonly windows = new Set<MshareWindow>();
  /** How many of them each address space has. */
  readonly #windowsIn = new Map<Mm, number>();
  /** Entries of processes' tables that point at region tables now. */
  links = 0;
  /** Something was unmapped while tables were linked: there may be empty ones that nothing but links keeps. */
  mayHoldEmptyTables = false;
  #host: Mm | null;
  /** Its owner is being killed for memory: nothing is reached any more, though the host mm is still there. */
  #dying = false;
  #view: View | null = null;
  #faults = 0;

  constructor(manager: MshareManager, id: number, host: Mm, owner: RegionOwner) {
    this.manager = manager;
    this.id = id;
    this.#host = host;
    this.owner = owner;
  }

  /** The host mm; only while the region is alive. */
  get host(): Mm {
    if (this.#host === null) throw new Error(`mshare:${this.id}: the host mm is gone`);
    return this.#host;
  }

  /** The owner is gone, or as good as gone: every call but stat and detach is ENXIO. */
  get dead(): boolean {
    return this.#host === null || this.#dying;
  }
  /** The host mm is gone too. */
  get ended(): boolean {
    return this.#host === null;
  }

  /** Its number in the file system that region files are on; as in /proc/PID/maps. */
  get inode(): number {
    return this.id;
  }

  /** As /proc/PID/maps shows it. */
  name(): string {
    return `/mshare:${this.id}`;
  }

  /** Faults resolved in the host mm since creation. */
  get faults(): number {
    return this.ended ? this.#faults : this.host.minorFaults + this.host.majorFaults;
  }

  /** Bytes of the page tables under the read-write root, and under the read-only one. */
  get tableBytes(): number {
    return this.ended ? 0 : this.host.tableBytes;
  }
  get viewTableBytes(): number {
    return this.#view === null ? 0 : this.#view.mm.tableBytes;
  }

  /** The read-only root, made when it is first needed; null with private tables; -ENOMEM. */
  ensureView(): View | null | number {
    if (!this.manager.share || this.#view !== null) return this.#view;
    const view = View.create(this.host);
    if (typeof view !== "number") this.#view = view;
    return view;
  }

  /** Bytes of the region that have an object. */
  get mapped(): number {
    return this.dead ? 0 : this.host.totalVm * PAGE_SIZE;
  }

  /** Host address of a region offset. */
  hostAddress(offset: number): number {
    return REGION_BASE + offset;
  }

  /**
   * ftruncate and fallocate: sets the size, rounded up to a page. 0, -EINVAL (no size), -EFBIG (over 2^46), -EPERM (sealed), -EBUSY (an object or a
   * window lies beyond it), -ENXIO (owner gone). Windows that reach the region's end follow its growth up to the end of their slots.
   */
  setSize(bytes: number): number {
    if (this.dead) return -ENXIO;
    if (bytes <= 0) return -EINVAL;
    if (bytes > MSHARE_MAX_SIZE) return -EFBIG;
    const size = pageUp(bytes);
    if (size === this.size) return 0;
    if (size < this.size) return this.#shrink(size);
    if ((this.seals & abi.F_SEAL_GROW) !== 0) return -EPERM;
    this.size = size;
    for (const window of this.windows) window.follow(size);
    return 0;
  }

  #shrink(size: number): number {
    if ((this.seals & abi.F_SEAL_SHRINK) !== 0) return -EPERM;
    for (const vma of this.host.vmas) if (vma.end > this.hostAddress(size)) return -EBUSY;
    for (const window of this.windows) if (window.offset + window.length > size) return -EBUSY;
    this.size = size;
    return 0;
  }

  /** F_ADD_SEALS: 0, -EINVAL (unknown seal), -EPERM (sealed against it). */
  addSeals(seals: number): number {
    if (this.dead) return -ENXIO;
    if ((seals & ~abi.MSHARE_SEALS) !== 0) return -EINVAL;
    if ((this.seals & abi.F_SEAL_SEAL) !== 0) return -EPERM;
    this.seals |= seals;
    return 0;
  }

  /**
   * mshare_map: the region offset, or -errno. `checkMapFlags` has passed. Maps in the host mm, so its errors are mmap's; what is replaced by
   * MAP_FIXED is gone for every sharer when this returns.
   */
  map(request: MapRequest): number {
    if (this.dead) return -ENXIO;
    if ((this.seals & abi.MSHARE_SEAL_MAP) !== 0) return -EPERM;
    const pool = poolOfMapping(this.manager.memory, request.flags, request.file);
    if (typeof pool === "number") return pool;
    const size = pool === null ? pageUp(request.size) : alignUp(request.size, pool.size);
    const fixed = (request.flags & (mman.MAP_FIXED | mman.MAP_FIXED_NOREPLACE)) !== 0;
    if (size > this.size || (fixed && request.offset + size > this.size)) return -EINVAL;
    if (request.objOffset + BigInt(size) > MAX_FILE_OFFSET) return -EOVERFLOW;
    const noReplace = (request.flags & mman.MAP_FIXED_NOREPLACE) !== 0;
    if (noReplace && !this.#isHole(request.offset, size)) return -EEXIST;
    const offset = fixed ? request.offset : this.#findHole(request.offset, size, pool?.size);
    if (offset < 0) return offset;
    const busy = pool === null ? 0 : checkWindows(this, offset, size, pool);
    if (busy < 0) return busy;
    this.#borrowLimits(request.addressSpaceLimit);
    const { tables } = this.manager;
    const flags = tables.mapFlags(this, size, (request.flags & ~mman.MAP_FIXED_NOREPLACE) | mman.MAP_FIXED);
    if (flags < 0) return flags;
    this.#noteUnmapping();
    const address = this.host.mmap({
      addr: this.hostAddress(offset),
      length: size,
      prot: request.prot,
      flags,
      file: request.file,
      offset: Number(request.objOffset),
    });
    if (address < 0) return address;
    if (pool !== null) makeWay(this, offset, size, pool);
    tables.mapped(this, offset, size, request.flags);
    return offset;
  }

  /** mshare_unmap: holes are no error. */
  unmap(offset: number, size: number): number {
    if (this.dead) return -ENXIO;
    if ((this.seals & abi.MSHARE_SEAL_MAP) !== 0) return -EPERM;
    if (size === 0) return -EINVAL;
    const length = this.#checkRange(offset, size);
    if (length < 0) return length;
    this.#noteUnmapping();
    return this.host.munmap(this.hostAddress(offset), length);
  }

  /** mshare_protect: as mprotect. */
  protect(offset: number, size: number, prot: number): number {
    if (this.dead) return -ENXIO;
    if ((this.seals & abi.MSHARE_SEAL_PROTECT) !== 0) return -EPERM;
    if ((prot & ~PROT_RWX) !== 0) return -EINVAL;
    const length = this.#checkRange(offset, size);
    if (length <= 0) return length;
    return this.host.mprotect(this.hostAddress(offset), length, prot);
  }

  /** mshare_advise: as madvise. */
  advise(offset: number, size: number, advice: number): number {
    if (this.dead) return -ENXIO;
    const discards =
      advice === mman.MADV_REMOVE || advice === mman.MADV_DONTNEED || advice === mman.MADV_DONTNEED_LOCKED;
    if (discards && (this.seals & abi.MSHARE_SEAL_MAP) !== 0) return -EPERM;
    const length = this.#checkRange(offset, size);
    if (length < 0) return length;
    const result = this.manager.tables.madvise(this, offset, length, advice);
    // With a hole in the range the rest has been removed all the same.
    if (advice === mman.MADV_REMOVE && (result === 0 || result === -ENOMEM)) this.#dropCopies(offset, length);
    return result;
  }

  /** What private windows have copied of a range goes with the pages it was copied from. */
  #dropCopies(offset: number, length: number): void {
    const { host } = this;
    const start = this.hostAddress(offset);
    const gather = host.memory.beginGather();
    zapMirrors(host, start, start + length, gather, "and private copies");
    gather.finish();
  }

  /** mshare_lock: as mlock2, whole pages; charged to the owner's RLIMIT_MEMLOCK. */
  lock(offset: number, size: number, flags: number): number {
    if (this.dead) return -ENXIO;
    if ((flags & ~mman.MLOCK_ONFAULT) !== 0) return -EINVAL;
    const start = pageDown(offset);
    const length = this.#checkRange(start, size + offset - start);
    if (length < 0) return length;
    this.#borrowLimits(Infinity);
    return this.manager.tables.mlock(this, start, length, flags);
  }

  /** mshare_unlock: as munlock. */
  unlock(offset: number, size: number): number {
    if (this.dead) return -ENXIO;
    const start = pageDown(offset);
    const length = this.#checkRange(start, size + offset - start);
    return length < 0 ? length : this.host.munlock(this.hostAddress(start), length);
  }

  /** mshare_sync: as msync. */
  sync(offset: number, size: number, flags: number): number {
    if (this.dead) return -ENXIO;
    const length = this.#checkRange(offset, size);
    if (length < 0) return length;
    return this.host.msync(this.hostAddress(offset), length, flags);
  }

  /** mshare_remap: the new offset or -errno; as mremap within the region. `addressSpaceLimit` as for `map`. */
  remap(args: abi.RemapArgs, addressSpaceLimit = Infinity): number {
    if (this.dead) return -ENXIO;
    if ((this.seals & abi.MSHARE_SEAL_MAP) !== 0) return -EPERM;
    const { oldOffset, flags } = args;
    if (args.reserved !== 0 || (flags & ~(mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED)) !== 0) return -EINVAL;
    const fixed = (flags & mman.MREMAP_FIXED) !== 0;
    if (fixed && (flags & mman.MREMAP_MAYMOVE) === 0) return -EINVAL;
    if (args.oldSize === 0 || args.newSize === 0) return -EINVAL;
    const oldSize = this.#checkRange(oldOffset, args.oldSize);
    if (oldSize < 0) return oldSize;
    const newSize = pageUp(args.newSize);
    if (newSize > this.size) return -EINVAL;
    if (fixed && (args.newOffset % PAGE_SIZE !== 0 || args.newOffset + newSize > this.size)) return -EINVAL;
    this.#borrowLimits(addressSpaceLimit);
    this.#noteUnmapping();
    const old = this.hostAddress(oldOffset);
    const huge = fixed ? hugetlbOf(this.host.vmas.lookup(old) ?? { object: null }) : undefined;
    const busy = huge === undefined ? 0 : checkWindows(this, args.newOffset, newSize, huge.pool);
    if (busy < 0) return busy;
    if (fixed) return this.#offsetOf(this.host.mremap(old, oldSize, newSize, flags, this.hostAddress(args.newOffset)));
    // Growth past the region's end is a move; in place first, as mremap does.
    if (newSize <= oldSize || oldOffset + newSize <= this.size) {
      const inPlace = this.host.mremap(old, oldSize, newSize, 0, 0);
      if (inPlace !== -ENOMEM || (flags & mman.MREMAP_MAYMOVE) === 0) return this.#offsetOf(inPlace);
    } else if (this.host.vmas.find(old) === null) return -EFAULT;
    if ((flags & mman.MREMAP_MAYMOVE) === 0) return -ENOMEM;
    const offset = this.#findHole(0, newSize);
    if (offset < 0) return offset;
    const both = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED;
    return this.#offsetOf(this.host.mremap(old, oldSize, newSize, both, this.hostAddress(offset)));
  }

  /**
   * mshare_transfer: `to` owns the region and is charged for it from now on, for what is in it too. 0, -ENXIO, -EINVAL (it has no window on the region),
   * -ENOMEM (its limits do not allow what is locked, or those of its memory group what is charged; nothing has moved). That the caller is the owner has
   * been checked.
   */
  transfer(to: RegionOwner): number {
    if (this.dead) return -ENXIO;
    if (!this.hasWindowIn(to.mm)) return -EINVAL;
    const locked = this.host.lockedVm * PAGE_SIZE;
    if (locked > 0 && !to.ipcLock && locked > this.manager.memlockLeft(this, to)) return -ENOMEM;
    if (!moveCharges(this, to.memcg)) return -ENOMEM;
    this.owner = to;
    this.chargeTo(to.memcg);
    return 0;
  }

  /** New pages and tables are charged to `group` from now on. */
  chargeTo(group: MemoryGroup): void {
    for (const mm of this.spaces()) mm.memcg = group;
  }

  /** The address spaces that make up the region: the host mm and its read-only view. */
  *spaces(): Generator<Mm> {
    if (this.#host !== null) yield this.#host;
    if (this.#view !== null) yield this.#view.mm;
  }

  /**
   * The owner is gone, or nothing can reach the region any more: it is emptied for everyone. Its windows stay reserved until they are
   * detached, so that a stale pointer never hits someone else's memory.
   */
  end(): void {
    if (this.ended) return;
    this.manager.noteTables();
    const { host } = this;
    const gather = host.memory.beginGather();
    for (const window of this.windows) this.manager.tables.disconnect(window, gather);
    gather.finish();
    host.sharers.clear();
    this.#view?.end();
    this.#view = null;
    this.#faults = this.faults;
    this.owner = null;
    this.#host = null;
    host.put();
  }

  /**
   * The OOM killer has chosen the owner: what the region alone holds is freed now, in the middle of whatever needed memory; windows are
   * dead from now on. VMAs and tables go with the owner's exit. Allocates nothing.
   */
  reap(): void {
    if (this.dead) return;
    this.#dying = true;
    const { host } = this;
    const gather = host.memory.beginGather();
    for (const window of this.windows) this.manager.tables.disconnect(window, gather);
    gather.finish();
    for (const vma of host.vmas) if (vma.file instanceof AnonymousFile) vma.file.object.punch(0, vma.file.object.size);
  }

  /** Pages that its owner's end would free: contents and page tables. */
  get chargedPages(): number {
    if (this.dead) return 0;
    const bytes = this.manager.tables.residentBytes(this) + this.tableBytes + this.viewTableBytes;
    return bytes / PAGE_SIZE;
  }

  /** Nothing keeps it: it has no name, and its owner has neither a descriptor nor a window. */
  isForsaken(): boolean {
    const { owner } = this;
    if (this.unlinked) return !this.ended && this.handles === 0 && this.windows.size === 0;
    return owner !== null && !this.named && !owner.hasDescriptor(this) && !this.hasWindowIn(owner.mm);
  }

  /** To be called when a descriptor or a window has gone: decides what that means for the region. */
  reconsider(): void {
    if (this.isForsaken()) this.end();
    if (this.handles === 0 && this.windows.size === 0 && !this.named) this.manager.forget(this);
  }

  /** A window has come. */
  addWindow(window: MshareWindow): void {
    this.windows.add(window);
    this.#windowsIn.set(window.mm, (this.#windowsIn.get(window.mm) ?? 0) + 1);
  }

  /** A window is going. */
  removeWindow(window: MshareWindow): void {
    if (!this.windows.delete(window)) return;
    const left = this.#windowsIn.get(window.mm)! - 1;
    if (left > 0) this.#windowsIn.set(window.mm, left);
    else this.#windowsIn.delete(window.mm);
  }

  /** Whether `mm` has a window on it. */
  hasWindowIn(mm: Mm | null): boolean {
    return mm !== null && this.#windowsIn.has(mm);
  }

  /** mshare_stat. */
  stat(): abi.MshareStat {
    const { manager, dead, owner } = this;
    let flags = owner === null ? 0 : abi.MSHARE_STAT_OWNED;
    if (!manager.share) flags |= abi.MSHARE_STAT_PRIVATE_TABLES;
    return {
      size: this.size,
      granule: MSHARE_GRANULE,
      mapped: this.mapped,
      resident: dead ? 0 : manager.tables.residentBytes(this),
      tableBytes: this.tableBytes,
      viewTableBytes: this.viewTableBytes,
      faults: this.faults,
      links: this.links,
      owner: owner === null ? 0 : owner.pid,
      windows: dead ? 0 : this.windows.size,
      sharers: dead ? 0 : this.host.sharers.size,
      flags,
    };
  }

  #noteUnmapping(): void {
    if (this.links > 0) this.mayHoldEmptyTables = true;
  }

  #offsetOf(address: number): number {
    return address < 0 ? address : address - REGION_BASE;
  }

  /** The page-rounded length of a range that must lie in the region: -EINVAL if unaligned or past the end. */
  #checkRange(offset: number, size: number): number {
    if (offset % PAGE_SIZE !== 0) return -EINVAL;
    const length = pageUp(size);
    return offset + length > this.size ? -EINVAL : length;
  }

  #isHole(offset: number, size: number): boolean {
    const start = this.hostAddress(offset);
    return this.host.vmas.intersection(start, start + size) === null;
  }

  /** An offset with `size` free bytes: the hint if it fits there, else the first. -ENOMEM if there is none. */
  #findHole(hint: number, size: number, align = PAGE_SIZE): number {
    if (hint % align === 0 && hint + size <= this.size && this.#isHole(hint, size)) return hint;
    let free = REGION_BASE;
    for (const vma of this.host.vmas) {
      if (vma.start - free >= size) break;
      free = alignUp(Math.max(free, vma.end), align);
    }
    return free + size > this.hostAddress(this.size) ? -ENOMEM : free - REGION_BASE;
  }

  /** The host mm answers to the caller's RLIMIT_AS and to what is left of the owner's RLIMIT_MEMLOCK. */
  #borrowLimits(addressSpaceLimit: number): void {
    const { host, owner } = this;
    host.limits.as = addressSpaceLimit;
    host.limits.memlock = this.manager.memlockLeft(this);
    host.capabilities.ipcLock = owner !== null && owner.ipcLock;
  }
}
