// mshare_attach and mshare_detach: the rules for offsets, sizes and addresses, and the new VMA. Called by the system calls (and msharefs).
import { EACCES, EEXIST, EINVAL, ENOMEM, ENXIO } from "../base/errno.ts";
import { MAX_MAP_COUNT, MMAP_MIN_ADDR, MSHARE_GRANULE, TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, alignUp, pageUp } from "../base/numbers.ts";
import { accountVm, mayExpandVm } from "../mm/accounting.ts";
import { linkVma } from "../mm/merge.ts";
import type { Mm } from "../mm/mm.ts";
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MSHARE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
} from "../mm/vma.ts";
import {
  MSHARE_ATTACH_FLAGS,
  MSHARE_FIXED,
  MSHARE_PASSTHROUGH,
  MSHARE_POPULATE,
  MSHARE_PRIVATE,
  MSHARE_RDONLY,
} from "./abi.ts";
import { checkWindow, neededLevel } from "./hugetlb.ts";
import type { MappedFile } from "./mapping.ts";
import type { Region } from "./region.ts";
import { type Slot, givenSlot, isFree, pickSlot } from "./slot.ts";
import type { View } from "./view.ts";
import { MshareWindow } from "./window.ts";

/** The arguments of mshare_attach, the descriptor resolved. Bytes. */
export interface AttachRequest {
  readonly offset: number;
  /** 0: to the region's end. */
  readonly size: number;
  /** 0: the kernel picks. */
  readonly addr: number;
  readonly flags: number;
  /** The descriptor was opened for writing. */
  readonly writable: boolean;
  /** Whose mmap(2) it is; none: mshare_attach. */
  readonly file?: MappedFile;
}

const WINDOW_FLAGS =
  VM_READ | VM_WRITE | VM_SHARED | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_MAYSHARE | VM_MSHARE | VM_DONTEXPAND;

/** mshare_attach: the address of the new window in `mm`, or -errno as ABI.md lists them. */
export function attachWindow(region: Region, mm: Mm, request: AttachRequest): number {
  if (region.dead) return -ENXIO;
  const { flags, offset } = request;
  if (!areFlagsValid(flags)) return -EINVAL;
  const size = windowSize(region, offset, request.size);
  if (size < 0) return size;
  if ((flags & MSHARE_FIXED) !== 0 && request.addr % MSHARE_GRANULE !== 0) return -EINVAL;
  if (!request.writable && (flags & (MSHARE_RDONLY | MSHARE_PRIVATE)) === 0) return -EACCES;
  const toEnd = offset + size === region.size;
  const slot = findSlot(region, mm, request, size, { toEnd });
  if (typeof slot === "number") return slot;
  const pages = size / PAGE_SIZE;
  const vmFlags = windowFlags(flags);
  if (!mayExpandVm(mm, vmFlags, pages) || mm.vmas.size >= MAX_MAP_COUNT) return -ENOMEM;

  const view: View | null | number = (flags & (MSHARE_RDONLY | MSHARE_PRIVATE)) !== 0 ? region.ensureView() : null;
  if (typeof view === "number") return view;
  if ((vmFlags & VM_ACCOUNT) !== 0 && !mm.memory.commit(pages)) return -ENOMEM;
  const file = request.file ?? null;
  const place = { slotStart: slot.start, slotEnd: slot.slotEnd, offset, size, toEnd, flags, file };
  const window = new MshareWindow(region, mm, region.host, view, place, size);
  const vma = new Vma(mm, slot.start, slot.start + size, vmFlags, offset / PAGE_SIZE, null);
  window.join(vma);
  linkVma(vma);
  accountVm(mm, vma.flags, pages);
  mm.noteHighWater();
  if ((flags & MSHARE_POPULATE) !== 0) region.manager.tables.populate(window);
  return slot.start;
}

function areFlagsValid(flags: number): boolean {
  if ((flags & ~MSHARE_ATTACH_FLAGS) !== 0) return false;
  const kinds = [MSHARE_RDONLY, MSHARE_PRIVATE, MSHARE_PASSTHROUGH].filter((kind) => (flags & kind) !== 0);
  return kinds.length <= 1;
}

/** The VM_* of a window: a private one counts as any private writable mapping does. */
function windowFlags(flags: number): number {
  if ((flags & MSHARE_RDONLY) !== 0) return WINDOW_FLAGS & ~(VM_WRITE | VM_MAYWRITE);
  if ((flags & MSHARE_PRIVATE) !== 0) return (WINDOW_FLAGS & ~(VM_SHARED | VM_MAYSHARE)) | VM_ACCOUNT;
  return WINDOW_FLAGS;
}

/** How many bytes of the region the window shows at first; -EINVAL. */
function windowSize(region: Region, offset: number, asked: number): number {
  if (offset % MSHARE_GRANULE !== 0 || offset >= region.size) return -EINVAL;
  if (asked === 0) return region.size - offset;
  const size = pageUp(asked);
  if (offset + size > region.size) return -EINVAL;
  return offset + size < region.size && size % MSHARE_GRANULE !== 0 ? -EINVAL : size;
}

/** Where the window goes; -ENOMEM, -EEXIST, -EINVAL (it could not be linked above the huge pages that it shows). */
function findSlot(
  region: Region,
  mm: Mm,
  request: AttachRequest,
  size: number,
  { toEnd }: { toEnd: boolean },
): Slot | number {
  const check = ({ start, slotEnd }: Slot): number =>
    checkWindow(region, { slotStart: start, slotEnd, offset: request.offset, length: size, toEnd });
  const { addr, offset } = request;
  if (addr !== 0) {
    const fixed = (request.flags & MSHARE_FIXED) !== 0;
    const start = alignUp(addr, MSHARE_GRANULE);
    const slot = givenSlot(start, size);
    const inside = start >= MMAP_MIN_ADDR && start + size <= TASK_SIZE && slot.slotEnd <= TASK_SIZE;
    const free = inside && isFree(mm, slot.start, slot.slotEnd);
    if (free && (check(slot) === 0 || fixed)) return check(slot) || slot;
    if (fixed) return inside ? -EEXIST : -ENOMEM;
  }
  const picked = pickSlot(mm, size, offset, region.manager.random, neededLevel(region, offset, size));
  return typeof picked === "number" ? picked : check(picked) || picked;
}

/** mshare_detach: 0, or -EINVAL if no window starts at `addr`, -EPERM if it is sealed (mseal). */
export function detachWindow(mm: Mm, addr: number): number {
  const vma = mm.vmas.lookup(addr);
  if (vma === null || !(vma.window instanceof MshareWindow) || vma.start !== addr) return -EINVAL;
  return mm.munmap(vma.start, vma.end - vma.start);
}
