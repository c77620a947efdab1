// System calls about memory (mm/*.c, arch/riscv/kernel/sys_riscv.c). The work is done by Mm; here arguments are read and descriptors looked up.
import { EBADF, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH } from "../../base/errno.ts";
import { TASK_SIZE } from "../../base/limits.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import * as mman from "../../mm/constants.ts";
import { copyToUser } from "../../mm/usercopy.ts";
import type { VmFile } from "../../mm/vma.ts";
import { CAP_SYS_NICE } from "../creds.ts";
import { HugetlbFile } from "../fs/hugetlbfs.ts";
import { MshareFile } from "../fs/msharefs.ts";
import { mapRegion } from "../fs/msharefs-ioctl.ts";
import { MAY_WRITE } from "../fs/abi.ts";
import { checkMode, ownerOrCapable, permission, subjectOf } from "../fs/permission.ts";
import { PidFile } from "../fs/pidfd.ts";
import { FileMapping } from "../fs/regular.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";
import { readVector } from "./user-vector.ts";

function sysMmap(task: Task, args: Args): number {
  const [addr, length, prot, flags, fd, offset] = [
    args.ptr(0),
    args.u(1),
    args.i32(2),
    args.i32(3),
    args.i32(4),
    args.u(5),
  ];
  if ((args.big(5) & 4095n) !== 0n) return -EINVAL;
  const request = { addr, length, prot, flags, offset, file: null };
  if ((flags & mman.MAP_ANONYMOUS) !== 0) return task.mm.mmap(request);
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  if ((flags & mman.MAP_HUGETLB) !== 0 && !(file instanceof HugetlbFile)) return -EINVAL;
  if (file instanceof MshareFile) return mapRegion(task, file, request);
  const mapping = file.mmap({ prot, flags, offset });
  if (typeof mapping !== "number") return task.mm.mmap({ ...request, file: mapping });
  return task.mm.mmap({ ...request, unmappable: { rights: file, error: mapping } });
}

/** What of somebody else's file is cached would tell what others do with it. */
function hidesCache(task: Task, mapping: VmFile): boolean {
  if (!(mapping instanceof FileMapping)) return false;
  const { inode, path } = mapping.file;
  if (ownerOrCapable(task, inode)) return false;
  return (path === null ? checkMode(subjectOf(task), inode, MAY_WRITE) : permission(task, path, MAY_WRITE)) !== 0;
}

function sysMincore(task: Task, args: Args): number {
  const [addr, length, vector] = [args.ptr(0), args.u(1), args.ptr(2)];
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  if (addr + length > TASK_SIZE) return -ENOMEM;
  if (vector + Math.ceil(length / PAGE_SIZE) > TASK_SIZE) return -EFAULT;
  const present = task.mm.mincore(addr, length, (file) => hidesCache(task, file));
  return typeof present === "number" ? present : copyToUser(task.mm, vector, present);
}

/** Advice that process_madvise takes (process_madvise_behavior_valid). */
const REMOTE_ADVICE = [mman.MADV_COLD, mman.MADV_PAGEOUT, mman.MADV_WILLNEED, mman.MADV_COLLAPSE];

function sysProcessMadvise(task: Task, args: Args): number {
  const [pidfd, vector, count, advice, flags] = [args.i32(0), args.ptr(1), args.u(2), args.i32(3), args.u32(4)];
  if (flags !== 0) return -EINVAL;
  const spans = readVector(task.mm, vector, count);
  if (typeof spans === "number") return spans;
  const file = task.files.io(pidfd);
  if (!(file instanceof PidFile)) return -EBADF;
  const mm = file.process.mm;
  if (mm === null) return -ESRCH;
  if (!REMOTE_ADVICE.includes(advice)) return -EINVAL;
  if (mm !== task.mm && !task.capable(CAP_SYS_NICE)) return -EPERM;
  let done = 0;
  for (const { address, length } of spans) {
    const error = mm.madvise(address, length, advice);
    if (error < 0) return done > 0 ? done : error;
    done += length;
  }
  return done;
}

export const mmCalls: readonly SyscallEntry[] = [
  { nr: 214, name: "brk", args: "ptr", handler: (task, args) => task.mm.setBrk(args.ptr(0)) },
  { nr: 215, name: "munmap", args: "ptr size", handler: (task, args) => task.mm.munmap(args.ptr(0), args.u(1)) },
  {
    nr: 216,
    name: "mremap",
    args: "ptr size size hex ptr",
    handler: (task, args) => task.mm.mremap(args.ptr(0), args.u(1), args.u(2), args.i32(3), args.ptr(4)),
  },
  { nr: 222, name: "mmap", args: "ptr size prot mflags fd off", handler: sysMmap },
  {
    nr: 226,
    name: "mprotect",
    args: "ptr size prot",
    handler: (task, args) => task.mm.mprotect(args.ptr(0), args.u(1), args.i32(2)),
  },
  {
    nr: 227,
    name: "msync",
    args: "ptr size hex",
    handler: (task, args) => task.mm.msync(args.ptr(0), args.u(1), args.i32(2)),
  },
  { nr: 228, name: "mlock", args: "ptr size", handler: (task, args) => task.mm.mlock(args.ptr(0), args.u(1), 0) },
  { nr: 229, name: "munlock", args: "ptr size", handler: (task, args) => task.mm.munlock(args.ptr(0), args.u(1)) },
  { nr: 230, name: "mlockall", args: "hex", handler: (task, args) => task.mm.mlockall(args.i32(0)) },
  { nr: 231, name: "munlockall", args: "", handler: (task) => task.mm.munlockall() },
  { nr: 232, name: "mincore", args: "ptr size ptr", handler: sysMincore },
  {
    nr: 233,
    name: "madvise",
    args: "ptr size madvice",
    handler: (task, args) => task.mm.madvise(args.ptr(0), args.u(1), args.i32(2)),
  },
  {
    nr: 284,
    name: "mlock2",
    args: "ptr size hex",
    handler: (task, args) => task.mm.mlock(args.ptr(0), args.u(1), args.i32(2)),
  },
  { nr: 440, name: "process_madvise", args: "fd ptr size int hex", handler: sysProcessMadvise },
  {
    nr: 462,
    name: "mseal",
    args: "ptr size hex",
    handler: (task, args) => task.mm.mseal(args.ptr(0), args.u(1), args.u(2)),
  },
];
