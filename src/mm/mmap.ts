// mmap(2): the checks in Linux's order, the place, the VMA (mm/mmap.c: do_mmap, mmap_region of 6.12). Used by the system call, exec, SysV shm,
// mshare's regions and the vdso.
import { EACCES, EAGAIN, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM } from "../base/errno.ts";
import { MAX_MAP_COUNT, MMAP_MIN_ADDR } from "../base/limits.ts";
import { PAGE_SIZE, alignUp, pageAlign64, pageDown, pageUp } from "../base/numbers.ts";
import { accountVm, canDoMlock, isAccountable, mayExpandVm, mlockFutureOk } from "./accounting.ts";
import {
  LEGACY_MAP_MASK,
  MAP_DROPPABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_HUGE_MASK,
  MAP_HUGE_SHIFT,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import { HugetlbObject } from "./hugetlb-object.ts";
import { openHugetlb } from "./hugetlb-vma.ts";
import { linkVma, mergeNewRange } from "./merge.ts";
import type { Mm } from "./mm.ts";
import { type Detached, checkSlots, completeUnmap, gatherVmas, replaceRange } from "./munmap.ts";
import { populate } from "./populate.ts";
import { hugeArea } from "./thp-area.ts";
import {
  VM_ACCOUNT,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_DROPPABLE,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
  VM_WRITE,
  Vma,
  type VmFile,
} from "./vma.ts";

/** What the checks need to know of a file. */
export type FileRights = Pick<VmFile, "readable" | "writable" | "noExec" | "appendOnly">;

/** A file that cannot be mapped (a pipe, a directory): the checks are made all the same, then `error` is the result. */
export interface Unmappable {
  readonly rights: FileRights;
  readonly error: number;
}

export interface MmapRequest {
  readonly addr: number;
  /** Bytes. */
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  /** Null for MAP_ANONYMOUS. */
  readonly file: VmFile | null;
  /** Instead of `file`. */
  readonly unmappable?: Unmappable;
  /** Bytes, page-aligned. */
  readonly offset: number;
}

/** No byte of a file has an offset of this or more (MAX_LFS_FILESIZE). */
const MAX_OFFSET = 2 ** 63;

/** The VM_ bits of PROT_ bits (calc_vm_prot_bits). */
export function protFlags(prot: number): number {
  return (
    ((prot & PROT_READ) !== 0 ? VM_READ : 0) |
    ((prot & PROT_WRITE) !== 0 ? VM_WRITE : 0) |
    ((prot & PROT_EXEC) !== 0 ? VM_EXEC : 0)
  );
}

/** The VM_ bits of MAP_ bits (calc_vm_flag_bits). */
function mapFlags(flags: number): number {
  return (
    ((flags & MAP_GROWSDOWN) !== 0 ? VM_GROWSDOWN : 0) |
    ((flags & MAP_LOCKED) !== 0 ? VM_LOCKED : 0) |
    ((flags & MAP_STACK) !== 0 ? VM_NOHUGEPAGE : 0)
  );
}

/** round_hint_to_min */
function roundHint(addr: number): number {
  const hint = pageDown(addr);
  return hint !== 0 && hint < MMAP_MIN_ADDR ? MMAP_MIN_ADDR : hint;
}

/**
 * Maps: the address, or -errno. The errno is that of the first check that fails, in Linux's order. MAP_HUGETLB without a file maps huge pages of the size that
 * the flags say (unknown: -EINVAL); these and files of hugetlbfs are mapped by whole pages, -ENOMEM if those cannot be reserved.
 */
export function mmap(mm: Mm, request: MmapRequest): number {
  const { flags, file } = request;
  if ((flags & MAP_HUGETLB) === 0 || file !== null || request.unmappable !== undefined) return doMmap(mm, request);
  const pool = mm.memory.hugetlb.poolFor((flags >>> MAP_HUGE_SHIFT) & MAP_HUGE_MASK);
  if (pool === undefined) return -EINVAL;
  const huge = mm.memory.newAnonymousHugeFile(pool, alignUp(request.length, pool.size));
  huge.get();
  const address = doMmap(mm, { ...request, file: huge });
  huge.put();
  return address;
}

/** Nothing is mapped in [start, end), and no window has kept it free for itself. */
const isUnused = (mm: Mm, start: number, end: number): boolean =>
  mm.vmas.intersection(start, end) === null && checkSlots(mm, start, end) === 0;

function doMmap(mm: Mm, request: MmapRequest): number {
  const { file, prot, unmappable } = request;
  let { flags } = request;
  const huge = file?.object instanceof HugetlbObject ? file.object.pool : null;
  if (request.length === 0) return -EINVAL;
  if ((flags & MAP_FIXED_NOREPLACE) !== 0) flags |= MAP_FIXED;
  const fixed = (flags & MAP_FIXED) !== 0;
  const hint = fixed ? request.addr : roundHint(request.addr);
  const length = huge === null ? pageAlign64(request.length) : alignUp(request.length, huge.size);
  if (length === 0) return -ENOMEM;
  if (request.offset + length >= 2 ** 64) return -EOVERFLOW;
  if (mm.vmas.size > MAX_MAP_COUNT) return -ENOMEM;

  let vmFlags = protFlags(prot) | mapFlags(flags) | mm.defFlags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  const picks = !fixed && hint === 0 && unmappable === undefined && huge === null;
  const addr = picks
    ? hugeArea(mm, length, { object: file?.object ?? kindOf(flags), offset: request.offset })
    : mm.getUnmappedArea({ addr: hint, length, fixed, align: huge?.size ?? PAGE_SIZE });
  if (addr < 0) return addr;
  if ((flags & MAP_FIXED_NOREPLACE) !== 0 && !isUnused(mm, addr, addr + length)) return -EEXIST;
  if ((flags & MAP_LOCKED) !== 0 && !canDoMlock(mm)) return -EPERM;
  if (!mlockFutureOk(mm, vmFlags, length)) return -EAGAIN;

  const rights = file ?? unmappable?.rights;
  const typed =
    rights === undefined
      ? anonymousFlags(flags, vmFlags)
      : fileFlags(rights, request.offset + length, prot, flags, vmFlags);
  if (typed < 0) return typed;
  if (unmappable !== undefined) return unmappable.error;
  const allowed = file === null ? typed : sealedFlags(file, typed);
  if (allowed < 0) return allowed;
  vmFlags = allowed;
  if ((flags & MAP_NORESERVE) !== 0 && (mm.memory.overcommit !== 2 || huge !== null)) vmFlags |= VM_NORESERVE;
  if (huge !== null) vmFlags |= VM_HUGETLB | VM_DONTEXPAND;
  // Anonymous pages are numbered by address; a shared one begins at page 0 of its own file.
  let pgoff = request.offset / PAGE_SIZE;
  if (file === null) pgoff = (vmFlags & VM_SHARED) !== 0 ? 0 : addr / PAGE_SIZE;

  const error = mapRegion(mm, addr, length, vmFlags, pgoff, file);
  if (error < 0) return error;
  if ((vmFlags & VM_LOCKED) !== 0 || (flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE)
    populate(mm, addr, length, { ignoreErrors: true });
  return addr;
}

const kindOf = (flags: number): "private" | "shared" => ((flags & MAP_SHARED) !== 0 ? "shared" : "private");

function anonymousFlags(flags: number, vmFlags: number): number {
  switch (flags & MAP_TYPE) {
    case MAP_SHARED:
      if ((vmFlags & VM_GROWSDOWN) !== 0) return -EINVAL;
      return vmFlags | VM_SHARED | VM_MAYSHARE;
    case MAP_DROPPABLE:
      if ((flags & (MAP_LOCKED | MAP_HUGETLB)) !== 0 || (vmFlags & VM_GROWSDOWN) !== 0) return -EINVAL;
      return vmFlags | VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
    case MAP_PRIVATE:
      return vmFlags;
    default:
      return -EINVAL;
  }
}

function fileFlags(file: FileRights, end: number, prot: number, flags: number, vmFlags: number): number {
  if (end >= MAX_OFFSET) return -EOVERFLOW;
  const type = flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_SHARED_VALIDATE && type !== MAP_PRIVATE) return -EINVAL;
  if (type !== MAP_PRIVATE) {
    if (type === MAP_SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK) !== 0) return -EOPNOTSUPP;
    if ((prot & PROT_WRITE) !== 0 && !file.writable) return -EACCES;
    if (file.appendOnly === true && file.writable) return -EACCES;
    vmFlags |= VM_SHARED | VM_MAYSHARE;
    if (!file.writable) vmFlags &= ~(VM_MAYWRITE | VM_SHARED);
  }
  if (!file.readable) return -EACCES;
  if (file.noExec === true) {
    if ((vmFlags & VM_EXEC) !== 0) return -EPERM;
    vmFlags &= ~VM_MAYEXEC;
  }
  if ((vmFlags & VM_GROWSDOWN) !== 0) return -EINVAL;
  return vmFlags;
}

/** memfd_check_seals_mmap: a write-sealed file is not mapped shared and writable, now or by mprotect. The flags, or -EPERM. */
function sealedFlags(file: VmFile, vmFlags: number): number {
  if ((vmFlags & VM_SHARED) === 0 || !file.writeSealed()) return vmFlags;
  return (vmFlags & VM_WRITE) !== 0 ? -EPERM : vmFlags & ~VM_MAYWRITE;
}

/** mmap_region: makes way and enters the VMA. 0, -ENOMEM, -EPERM (a sealed file or VMA), -EINVAL (a window in the way). */
function mapRegion(mm: Mm, addr: number, length: number, vmFlags: number, pgoff: number, file: VmFile | null): number {
  const end = addr + length;
  const pages = length / PAGE_SIZE;
  const slots = checkSlots(mm, addr, end);
  if (slots < 0) return slots;
  const old = gatherVmas(mm, addr, end);
  if (typeof old === "number") return old;
  if (!mayExpandVm(mm, vmFlags, pages - old.pages)) return -ENOMEM;
  if (isAccountable(vmFlags) && (vmFlags & VM_HUGETLB) === 0) {
    const charge = pages - old.accounted;
    if (charge > 0 && !mm.memory.commit(charge)) return -ENOMEM;
    if (charge < 0) mm.memory.uncommit(-charge);
    vmFlags |= VM_ACCOUNT;
    replaceRange(mm, old);
  } else completeUnmap(mm, old);

  const error = enter(mm, addr, end, vmFlags, pgoff, file, old);
  if (error < 0) {
    if ((vmFlags & VM_ACCOUNT) !== 0) mm.memory.uncommit(pages);
    return error;
  }
  accountVm(mm, vmFlags, pages);
  if ((vmFlags & VM_LOCKED) !== 0) {
    const vma = mm.vmas.lookup(addr)!;
    if ((vmFlags & VM_SPECIAL) !== 0) vma.flags &= ~VM_LOCKED_MASK;
    else mm.lockedVm += pages;
  }
  mm.noteHighWater();
  return 0;
}

/** Lets a neighbour grow over [addr, end), or enters a new VMA. */
function enter(
  mm: Mm,
  addr: number,
  end: number,
  flags: number,
  pgoff: number,
  file: VmFile | null,
  old: Detached,
): number {
  const prev = mm.vmas.at(old.index - 1);
  const next = mm.vmas.at(old.index);
  const range = { mm, start: addr, end, flags, pgoff, file, anonVma: null, anonName: null, prev, next };
  if (mergeNewRange(range) !== null) return 0;

  let backing = file;
  if (file === null && (flags & VM_SHARED) !== 0) {
    const reserve = (flags & VM_NORESERVE) !== 0 ? "none" : "whole";
    const made = mm.memory.newAnonymousFile(end - addr, reserve);
    if (typeof made === "number") return made;
    backing = made;
  }
  const vma = new Vma(mm, addr, end, flags >>> 0, pgoff, backing);
  const reserved = (flags & VM_HUGETLB) !== 0 ? openHugetlb(vma) : 0;
  if (reserved !== 0) return reserved;
  linkVma(vma);
  // Of anonymous memory the first fault decides.
  if (vma.object !== null) mm.memory.khugepaged.enterVma(vma);
  return 0;
}

/** Maps all of `file` at `addr`, which must be free and page-aligned. The VMA is named as the file. The address or -errno. */
export function mapSpecial(mm: Mm, file: VmFile, addr: number, prot: number): number {
  const length = pageUp(file.object.size);
  if (mm.vmas.intersection(addr, addr + length) !== null) return -EEXIST;
  const pages = length / PAGE_SIZE;
  const flags =
    protFlags(prot) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_DONTEXPAND | (mm.defFlags & ~VM_LOCKED_MASK);
  if (!mayExpandVm(mm, flags, pages)) return -ENOMEM;
  const vma = new Vma(mm, addr, addr + length, flags, 0, file);
  vma.name = file.name();
  linkVma(vma);
  accountVm(mm, flags, pages);
  mm.noteHighWater();
  return addr;
}
