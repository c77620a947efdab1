// Calls that see to it that what was written lasts, or say what will be read: sync and its kin, readahead, fadvise64 (fs/sync.c, mm/fadvise.c).
import { EBADF, EINVAL, ESPIPE } from "../../base/errno.ts";
import { S_IFBLK, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, isRegular } from "../fs/abi.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

function fsync(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  return file === undefined ? -EBADF : file.fsync();
}
function sync(task: Task): SyscallResult {
  for (const object of task.kernel.memory.objects) object.sync();
  return 0;
}
function syncfs(task: Task, args: Args): SyscallResult {
  return task.files.io(args.u32(0)) === undefined ? -EBADF : sync(task);
}
function syncFileRange(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  const [offset, length, flags] = [args.s(1), args.s(2), args.u32(3)];
  if (flags & ~7 || offset < 0 || length < 0) return -EINVAL;
  const type = (file.inode?.mode ?? 0) & S_IFMT;
  if (type !== S_IFREG && type !== S_IFBLK && type !== S_IFDIR && type !== S_IFLNK) return -ESPIPE;
  return type === S_IFREG && flags & 2 ? file.fsync() : 0;
}
function fadvise64(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  if (((file.inode?.mode ?? 0) & S_IFMT) === S_IFIFO) return -ESPIPE;
  return args.s(2) < 0 || args.u32(3) > 5 ? -EINVAL : 0;
}
function readahead(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined || !file.readable) return -EBADF;
  const mode = file.inode?.mode ?? 0;
  return isRegular(mode) || (mode & S_IFMT) === S_IFBLK ? 0 : -EINVAL;
}

export const syncCalls: readonly SyscallEntry[] = [
  { nr: 81, name: "sync", handler: sync, args: "" },
  { nr: 82, name: "fsync", handler: fsync, args: "fd" },
  { nr: 83, name: "fdatasync", handler: fsync, args: "fd" },
  { nr: 84, name: "sync_file_range", handler: syncFileRange, args: "fd off off hex" },
  { nr: 213, name: "readahead", handler: readahead, args: "fd off size" },
  { nr: 223, name: "fadvise64", handler: fadvise64, args: "fd off off int" },
  { nr: 267, name: "syncfs", handler: syncfs, args: "fd" },
];
