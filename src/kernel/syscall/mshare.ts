// The mshare calls (ABI.md): descriptors and user memory in, regions' operations, results out. All rules about regions are in src/mshare.
import { E2BIG, EACCES, EBADF, EINVAL, ENXIO, EPERM, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import type { VmFile } from "../../mm/vma.ts";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../../mm/constants.ts";
import * as abi from "../../mshare/abi.ts";
import { attachWindow, detachWindow } from "../../mshare/attach.ts";
import { checkMapFlags } from "../../mshare/region.ts";
import { O_CLOEXEC, O_RDWR } from "../fs/abi.ts";
import { HugetlbFile } from "../fs/hugetlbfs.ts";
import { processOfPidfd } from "../fs/pidfd.ts";
import { RegionFile, RegionInode } from "../fs/region-file.ts";
import { ownerOf } from "../mshare-boot.ts";
import { RLIMIT_AS, RLIMIT_NOFILE } from "../rlimit.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";

/** The region that descriptor `fd` is open on: -EBADF (not open, O_PATH), -EINVAL (something else). */
function regionFile(task: Task, fd: number): RegionFile | number {
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  return file instanceof RegionFile ? file : -EINVAL;
}

/** As above for calls that change the region: -ENXIO (its owner is gone), -EBADF (a read-only descriptor). */
function writableRegion(task: Task, fd: number): RegionFile | number {
  const file = regionFile(task, fd);
  if (typeof file === "number") return file;
  if (file.region.dead) return -ENXIO;
  return file.writable ? file : -EBADF;
}

/** copy_struct_from_user: the bytes of a structure whose first version has `known` of them; -EINVAL, -E2BIG, -EFAULT. */
function readStruct(task: Task, address: number, usize: number, known: number): Uint8Array | number {
  const length = abi.structBytes(usize, known);
  if (length < 0) return length;
  const bytes = copyFromUser(task.mm, address, length);
  if (typeof bytes === "number") return bytes;
  return abi.checkTrailing(bytes, known) < 0 ? -E2BIG : bytes;
}

function create(task: Task, args: Args): number {
  const flags = args.u32(0);
  if ((flags & ~O_CLOEXEC) !== 0) return -EINVAL;
  const { kernel, process } = task;
  const region = kernel.mshare.create(ownerOf(process));
  if (typeof region === "number") return region;
  const inode = new RegionInode(kernel.regionFs, region, { uid: task.creds.fsuid, gid: task.creds.fsgid });
  const file = new RegionFile(inode, O_RDWR);
  const fd = task.files.install(file, {
    cloexec: (flags & O_CLOEXEC) !== 0,
    limit: process.rlimit(RLIMIT_NOFILE),
  });
  if (fd < 0) file.put();
  return fd;
}

function attach(task: Task, args: Args): number {
  const file = regionFile(task, args.i32(0));
  if (typeof file === "number") return file;
  // As mmap: what is mapped can be read.
  if (!file.readable && !file.region.dead) return -EACCES;
  const { writable } = file;
  const request = { offset: args.u(1), size: args.u(2), addr: args.ptr(3), flags: args.u32(4), writable };
  return attachWindow(file.region, task.mm, request);
}

const detach = (task: Task, args: Args): number => detachWindow(task.mm, args.ptr(0));

function map(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  if (typeof file === "number") return file;
  const bytes = readStruct(task, args.ptr(1), args.u(2), abi.MSHARE_MAP_SIZE);
  if (typeof bytes === "number") return bytes;
  const request = abi.decodeMap(bytes);
  const error = checkMapFlags(request);
  if (error < 0) return error;
  const object = mappedObject(task, request);
  if (typeof object === "number") return object;
  return file.region.map({ ...request, file: object, addressSpaceLimit: task.process.rlimit(RLIMIT_AS) });
}

/** What `obj_fd` names; null for anonymous memory. -EBADF, -EINVAL (a region), -ENODEV (cannot be mapped). */
function mappedObject(task: Task, args: abi.MapArgs): VmFile | null | number {
  if ((args.flags & MAP_ANONYMOUS) !== 0) return null;
  const file = task.files.io(args.objFd);
  if (file === undefined) return -EBADF;
  if (file instanceof RegionFile) return -EINVAL;
  if ((args.flags & MAP_HUGETLB) !== 0 && !(file instanceof HugetlbFile)) return -EINVAL;
  return file.mmap({ prot: args.prot, flags: args.flags, offset: Number(args.objOffset) });
}

function unmap(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.unmap(args.u(1), args.u(2));
}

function protect(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.protect(args.u(1), args.u(2), args.i32(3));
}

function advise(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.advise(args.u(1), args.u(2), args.i32(3));
}

function lock(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.lock(args.u(1), args.u(2), args.u32(3));
}

function unlock(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.unlock(args.u(1), args.u(2));
}

function sync(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  return typeof file === "number" ? file : file.region.sync(args.u(1), args.u(2), args.i32(3));
}

function remap(task: Task, args: Args): number {
  const file = writableRegion(task, args.i32(0));
  if (typeof file === "number") return file;
  const bytes = readStruct(task, args.ptr(1), args.u(2), abi.MSHARE_REMAP_SIZE);
  if (typeof bytes === "number") return bytes;
  return file.region.remap(abi.decodeRemap(bytes), task.process.rlimit(RLIMIT_AS));
}

function stat(task: Task, args: Args): number {
  const file = regionFile(task, args.i32(0));
  if (typeof file === "number") return file;
  const usize = abi.structBytes(args.u(2), abi.MSHARE_STAT_SIZE);
  if (usize < 0) return usize;
  return copyToUser(task.mm, args.ptr(1), abi.encodeStat(file.region.stat(), usize));
}

function transfer(task: Task, args: Args): number {
  const file = regionFile(task, args.i32(0));
  if (typeof file === "number") return file;
  const { region } = file;
  if (region.dead) return -ENXIO;
  const target = processOfPidfd(task, args.i32(1));
  if (typeof target === "number") return target;
  if (region.owner !== ownerOf(task.process)) return -EPERM;
  const other = target.anyTask;
  if (target.state !== "alive" || other === null) return -ESRCH;
  return other.creds.uid === task.creds.uid ? region.transfer(ownerOf(target)) : -EINVAL;
}

export const mshareCalls: readonly SyscallEntry[] = [
  { nr: abi.NR_MSHARE_CREATE, name: "mshare_create", handler: create, args: "oflags" },
  { nr: abi.NR_MSHARE_ATTACH, name: "mshare_attach", handler: attach, args: "fd off size ptr hex" },
  { nr: abi.NR_MSHARE_DETACH, name: "mshare_detach", handler: detach, args: "ptr" },
  { nr: abi.NR_MSHARE_MAP, name: "mshare_map", handler: map, args: "fd ptr size" },
  { nr: abi.NR_MSHARE_UNMAP, name: "mshare_unmap", handler: unmap, args: "fd off size" },
  { nr: abi.NR_MSHARE_PROTECT, name: "mshare_protect", handler: protect, args: "fd off size prot" },
  { nr: abi.NR_MSHARE_ADVISE, name: "mshare_advise", handler: advise, args: "fd off size int" },
  { nr: abi.NR_MSHARE_LOCK, name: "mshare_lock", handler: lock, args: "fd off size hex" },
  { nr: abi.NR_MSHARE_UNLOCK, name: "mshare_unlock", handler: unlock, args: "fd off size" },
  { nr: abi.NR_MSHARE_SYNC, name: "mshare_sync", handler: sync, args: "fd off size hex" },
  { nr: abi.NR_MSHARE_REMAP, name: "mshare_remap", handler: remap, args: "fd ptr size" },
  { nr: abi.NR_MSHARE_TRANSFER, name: "mshare_transfer", handler: transfer, args: "fd fd" },
  { nr: abi.NR_MSHARE_STAT, name: "mshare_stat", handler: stat, args: "fd ptr size" },
];
