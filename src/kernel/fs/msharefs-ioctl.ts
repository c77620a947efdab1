// The calls of msharefs on an open region: the two ioctls of the v3 series, and mmap(2) as attach. Structures and numbers are the series'; the rules are those of
// REFERENCE.md with the differences that ABI.md lists at its end.
import { EACCES, EBADF, EEXIST, EFAULT, EINVAL, ENOMEM, ENOTTY, ENXIO, EOPNOTSUPP, EPERM } from "../../base/errno.ts";
import { TASK_SIZE } from "../../base/limits.ts";
import { PAGE_SIZE, PGD_SIZE, alignUp, pageUp } from "../../base/numbers.ts";
import { canDoMlock, mayExpandVm } from "../../mm/accounting.ts";
import * as mman from "../../mm/constants.ts";
import type { Mm } from "../../mm/mm.ts";
import { copyFromUser } from "../../mm/usercopy.ts";
import { VM_SHARED } from "../../mm/vma.ts";
import { MSHARE_FIXED, MSHARE_POPULATE, MSHARE_RDONLY } from "../../mshare/abi.ts";
import { attachWindow } from "../../mshare/attach.ts";
import type { MappedFile } from "../../mshare/mapping.ts";
import { RLIMIT_AS } from "../rlimit.ts";
import type { Task } from "../task.ts";
import { devMajor, devMinor } from "./abi.ts";
import { HugetlbFile } from "./hugetlbfs.ts";
import { MNT_NOEXEC, type Path, namelessPath } from "./inode.ts";
import { RegionFile } from "./region-file.ts";
import type { Vfs } from "./vfs.ts";

/** _IOW('x', 0, struct mshare_create) and _IOW('x', 1, struct mshare_unmap). */
const MSHAREFS_CREATE_MAPPING = 0x40287800;
const MSHAREFS_UNMAP = 0x40107801;
const CREATE_SIZE = 40;
const UNMAP_SIZE = 16;

/** mmap flags that mean something here, and those that are accepted and mean nothing. */
const MEANT =
  mman.MAP_SHARED |
  mman.MAP_FIXED |
  mman.MAP_FIXED_NOREPLACE |
  mman.MAP_ANONYMOUS |
  mman.MAP_HUGETLB |
  (mman.MAP_HUGE_MASK << mman.MAP_HUGE_SHIFT) |
  mman.MAP_POPULATE |
  mman.MAP_LOCKED |
  mman.MAP_NORESERVE;
const HINTS = mman.MAP_STACK | mman.MAP_SYNC | mman.MAP_NONBLOCK | mman.MAP_DENYWRITE | mman.MAP_EXECUTABLE;
const PROT_RWX = mman.PROT_READ | mman.PROT_WRITE | mman.PROT_EXEC;

export function regionIoctl(task: Task, file: RegionFile, request: number, arg: number): number {
  const { region } = file;
  if (region.dead) return -ENXIO;
  if (region.size === 0) return -EINVAL;
  if (request === MSHAREFS_CREATE_MAPPING) return createMapping(task, file, arg);
  if (request === MSHAREFS_UNMAP) return unmap(task, file, arg);
  return -ENOTTY;
}

function readArgument(task: Task, address: number, size: number): DataView | number {
  const bytes = copyFromUser(task.mm, address, size);
  return typeof bytes === "number" ? -EFAULT : new DataView(bytes.buffer, bytes.byteOffset);
}

/** Struct mshare_create: region_offset, size, offset (u64), prot, flags, fd (u32); what pads it is not looked at. */
function createMapping(task: Task, file: RegionFile, arg: number): number {
  const view = readArgument(task, arg, CREATE_SIZE);
  if (typeof view === "number") return view;
  if (!file.writable) return -EBADF;
  const [offset, size, objOffset] = [0, 8, 16].map((at) => view.getBigUint64(at, true));
  const [prot, flags, fd] = [view.getUint32(24, true), view.getUint32(28, true), view.getInt32(32, true)];
  const anonymous = (flags & mman.MAP_ANONYMOUS) !== 0;
  if ((flags & mman.MAP_TYPE) !== mman.MAP_SHARED || (flags & mman.MAP_FIXED) === 0) return -EINVAL;
  if ((flags & ~(MEANT | HINTS)) !== 0 || (prot & ~PROT_RWX) !== 0 || size === 0n) return -EINVAL;
  const hugeShift = (flags >>> mman.MAP_HUGE_SHIFT) & mman.MAP_HUGE_MASK;
  if (hugeShift !== 0 && ((flags & mman.MAP_HUGETLB) === 0 || (hugeShift !== 21 && hugeShift !== 30))) return -EINVAL;
  if (offset % BigInt(PAGE_SIZE) !== 0n || (!anonymous && objOffset % BigInt(PAGE_SIZE) !== 0n)) return -EINVAL;
  // Sizes that wrap when they are rounded up, or nearly so, are too much memory; others are past the end.
  if (size > 0xffff_0000_0000_0000n) return -ENOMEM;
  const object = anonymous ? null : mappedObject(task, fd, prot, flags, Number(objOffset));
  if (typeof object === "number") return object;
  if ((flags & mman.MAP_LOCKED) !== 0 && !canDoMlock(task.mm)) return -EPERM;
  const error = file.region.map({
    offset: Number(offset),
    size: Number(size),
    prot,
    flags: flags & MEANT,
    objOffset: anonymous ? 0n : objOffset,
    file: object,
    addressSpaceLimit: task.process.rlimit(RLIMIT_AS),
  });
  return Math.min(error, 0);
}

function mappedObject(task: Task, fd: number, prot: number, flags: number, offset: number) {
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  if (file instanceof RegionFile) return -EINVAL;
  if ((flags & mman.MAP_HUGETLB) !== 0 && !(file instanceof HugetlbFile)) return -EINVAL;
  return file.mmap({ prot, flags, offset });
}

function unmap(task: Task, file: RegionFile, arg: number): number {
  const view = readArgument(task, arg, UNMAP_SIZE);
  if (typeof view === "number") return view;
  if (!file.writable) return -EBADF;
  const [offset, size] = [0, 8].map((at) => view.getBigUint64(at, true));
  if (size === 0n || offset + size > BigInt(file.region.size)) return -EINVAL;
  return file.region.unmap(Number(offset), Number(size));
}

export interface MapRequest {
  readonly addr: number;
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  readonly offset: number;
}

/** mmap(2) of a named region: attaches a window on all of it. The address, or -errno. */
export function mapRegion(task: Task, file: RegionFile, request: MapRequest): number {
  const { addr, length, prot, flags, offset } = request;
  const { region } = file;
  const path = file.path ?? namelessPath(file.inode);
  const type = flags & mman.MAP_TYPE;
  if (length === 0 || (type !== mman.MAP_SHARED && type !== mman.MAP_SHARED_VALIDATE)) return -EINVAL;
  if (type === mman.MAP_SHARED_VALIDATE && (flags & ~mman.LEGACY_MAP_MASK) !== 0) return -EOPNOTSUPP;
  if ((flags & mman.MAP_HUGETLB) !== 0 || region.dead || region.size === 0) return -EINVAL;
  if (pageUp(length) !== region.size || offset !== 0) return -EINVAL;
  if ((prot & PROT_RWX) === 0) return -EINVAL;
  const place = checkPlace(task.mm, addr, region.size, flags);
  if (place < 0) return place;
  if (!file.readable || ((prot & mman.PROT_WRITE) !== 0 && !file.writable)) return -EACCES;
  if ((prot & mman.PROT_EXEC) !== 0 && (path.mount.flags & MNT_NOEXEC) !== 0) return -EPERM;
  const room = makeRoom(task.mm, addr, region.size, flags);
  if (room < 0) return room;
  const fixed = isFixed(flags);
  const populate = (flags & (mman.MAP_POPULATE | mman.MAP_LOCKED)) !== 0;
  return attachWindow(region, task.mm, {
    offset: 0,
    size: 0,
    addr: fixed ? addr : alignUp(addr, PGD_SIZE),
    flags:
      (fixed ? MSHARE_FIXED : 0) |
      (populate ? MSHARE_POPULATE : 0) |
      ((prot & mman.PROT_WRITE) === 0 ? MSHARE_RDONLY : 0),
    writable: file.writable,
    file: new RegionMapping(path, task.kernel.vfs),
  });
}

/** A named region as its windows show it: the file whose mmap(2) attached them, which keeps its mount in use. */
export class RegionMapping implements MappedFile {
  readonly path: Path;
  readonly #vfs: Vfs;
  constructor(path: Path, vfs: Vfs) {
    this.path = path;
    this.#vfs = vfs;
  }
  name(): string {
    return this.#vfs.pathName(this.path);
  }
  get devMajor(): number {
    return devMajor(this.path.inode.fs.dev);
  }
  get devMinor(): number {
    return devMinor(this.path.inode.fs.dev);
  }
  get inode(): number {
    return this.path.inode.ino;
  }
}

const isFixed = (flags: number): boolean => (flags & (mman.MAP_FIXED | mman.MAP_FIXED_NOREPLACE)) !== 0;

/** Whether MAP_FIXED may put it there: 0, -EINVAL (off the granule), -ENOMEM (beyond the user half), -EEXIST. Changes nothing. */
function checkPlace(mm: Mm, addr: number, size: number, flags: number): number {
  if (!isFixed(flags)) return 0;
  if (addr % PGD_SIZE !== 0) return -EINVAL;
  if (addr + size > TASK_SIZE) return -ENOMEM;
  const isTaken = mm.vmas.intersection(addr, addr + size) !== null;
  return (flags & mman.MAP_FIXED_NOREPLACE) !== 0 && isTaken ? -EEXIST : 0;
}

/** MAP_FIXED takes away what is there, unless RLIMIT_AS forbids the window all the same: 0, -ENOMEM, or munmap's errors. */
function makeRoom(mm: Mm, addr: number, size: number, flags: number): number {
  if (!isFixed(flags) || mm.vmas.intersection(addr, addr + size) === null) return 0;
  if (!mayExpandVm(mm, VM_SHARED, (size - bytesIn(mm, addr, addr + size)) / PAGE_SIZE)) return -ENOMEM;
  return mm.munmap(addr, size);
}

/** Bytes of [start, end) that are mapped. */
function bytesIn(mm: Mm, start: number, end: number): number {
  let bytes = 0;
  for (const vma of mm.vmas) bytes += Math.max(0, Math.min(vma.end, end) - Math.max(vma.start, start));
  return bytes;
}
