// Calls on names and places in the file tree: getdents64, mkdirat, mknodat, unlinkat, symlinkat, linkat, renameat2, readlinkat, the working and
// root directory. The rules are in fs/dirops.ts; here arguments are read. Attributes are in stat.ts, extended ones in xattr.ts.
import { EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR, EPERM, ERANGE } from "../../base/errno.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { copyToUser, readString } from "../../mm/usercopy.ts";
import { AT_REMOVEDIR, MAY_EXEC, devMajor, devMinor, isSymlink, makeDev, stringToBytes } from "../fs/abi.ts";
import { DirFile } from "../fs/dirfile.ts";
import { link, mkdir, mknod, rename, rmdir, symlink, unlink } from "../fs/dirops.ts";
import type { Path } from "../fs/inode.ts";
import { CAP_SYS_CHROOT, permission } from "../fs/permission.ts";
import type { Task } from "../task.ts";
import { statCalls } from "./stat.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";
import { xattrCalls } from "./xattr.ts";

/** The path argument at `address` (getname): a byte string, -EFAULT or -ENAMETOOLONG. */
export const pathArgument = (task: Task, address: number): string | number => readString(task.mm, address, PATH_MAX);

/** The largest snapshot of entries that one call gives: glibc asks for 32 KiB, nobody for more than this. */
const DENTS_MAX = 1 << 20;

function getdents64(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (!file) return -EBADF;
  if (!(file instanceof DirFile)) return -ENOTDIR;
  const before = file.pos;
  const records = file.getdents(task, Math.min(args.u32(2), DENTS_MAX));
  if (typeof records === "number") return records;
  if (copyToUser(task.mm, args.ptr(1), records) === 0) return records.length;
  file.pos = before;
  return -EFAULT;
}

function mkdirat(task: Task, args: Args): SyscallResult {
  const path = pathArgument(task, args.ptr(1));
  return typeof path === "number" ? path : mkdir(task.kernel.vfs, task, args.i32(0), path, args.u32(2));
}
function mknodat(task: Task, args: Args): SyscallResult {
  const path = pathArgument(task, args.ptr(1));
  if (typeof path === "number") return path;
  const dev = args.u32(3);
  return mknod(task.kernel.vfs, task, args.i32(0), path, args.u32(2) & 0xffff, makeDev(devMajor(dev), devMinor(dev)));
}
function unlinkat(task: Task, args: Args): SyscallResult {
  const flags = args.u32(2);
  if (flags & ~AT_REMOVEDIR) return -EINVAL;
  const path = pathArgument(task, args.ptr(1));
  if (typeof path === "number") return path;
  const remove = flags & AT_REMOVEDIR ? rmdir : unlink;
  return remove(task.kernel.vfs, task, args.i32(0), path);
}
function symlinkat(task: Task, args: Args): SyscallResult {
  const target = pathArgument(task, args.ptr(0));
  if (typeof target === "number") return target;
  const path = pathArgument(task, args.ptr(2));
  return typeof path === "number" ? path : symlink(task.kernel.vfs, task, target, args.i32(1), path);
}
function linkat(task: Task, args: Args): SyscallResult {
  const from = pathArgument(task, args.ptr(1));
  if (typeof from === "number") return from;
  const to = pathArgument(task, args.ptr(3));
  if (typeof to === "number") return to;
  return link(task.kernel.vfs, task, args.i32(0), from, args.i32(2), to, args.u32(4));
}
function renameat2(task: Task, args: Args): SyscallResult {
  const from = pathArgument(task, args.ptr(1));
  if (typeof from === "number") return from;
  const to = pathArgument(task, args.ptr(3));
  if (typeof to === "number") return to;
  return rename(task.kernel.vfs, task, args.i32(0), from, args.i32(2), to, args.u32(4));
}

function readlinkat(task: Task, args: Args): SyscallResult {
  const size = args.i32(3);
  if (size <= 0) return -EINVAL;
  const path = pathArgument(task, args.ptr(1));
  if (typeof path === "number") return path;
  const found = task.kernel.vfs.resolve(task, args.i32(0), path, { follow: false, empty: true });
  if (typeof found === "number") return found;
  // "" names a link opened with O_PATH | O_NOFOLLOW; anything else there is not a name.
  if (!isSymlink(found.inode.mode)) return path === "" ? -ENOENT : -EINVAL;
  const text = found.inode.readlink(task);
  if (typeof text === "number") return text;
  const bytes = stringToBytes(text.length > size ? text.slice(0, size) : text);
  return copyToUser(task.mm, args.ptr(2), bytes) === 0 ? bytes.length : -EFAULT;
}

// Working directory and root

/** May `path` become a working or root directory? */
function enterable(task: Task, path: Path): number {
  return path.inode.isDir ? permission(task, path, MAY_EXEC) : -ENOTDIR;
}
function chdir(task: Task, args: Args): SyscallResult {
  const path = pathArgument(task, args.ptr(0));
  if (typeof path === "number") return path;
  const found = task.kernel.vfs.resolve(task, -100, path, { follow: true });
  if (typeof found === "number") return found;
  const error = enterable(task, found);
  if (!error) task.fs.cwd = found;
  return error;
}
function fchdir(task: Task, args: Args): SyscallResult {
  const file = task.files.get(args.u32(0));
  if (!file) return -EBADF;
  if (!file.path) return -ENOTDIR;
  const error = enterable(task, file.path);
  if (!error) task.fs.cwd = file.path;
  return error;
}
function chroot(task: Task, args: Args): SyscallResult {
  const path = pathArgument(task, args.ptr(0));
  if (typeof path === "number") return path;
  const found = task.kernel.vfs.resolve(task, -100, path, { follow: true });
  if (typeof found === "number") return found;
  const error = enterable(task, found);
  if (error) return error;
  if (!task.capable(CAP_SYS_CHROOT)) return -EPERM;
  task.fs.root = found;
  return 0;
}
function getcwd(task: Task, args: Args): SyscallResult {
  const name = task.kernel.vfs.workingDirectory(task.fs.cwd, task.fs.root);
  if (typeof name === "number") return name;
  if (name.length + 1 > args.u(1)) return -ERANGE;
  const bytes = stringToBytes(name + "\0");
  return copyToUser(task.mm, args.ptr(0), bytes) === 0 ? bytes.length : -EFAULT;
}

export const dirCalls: readonly SyscallEntry[] = [
  { nr: 17, name: "getcwd", handler: getcwd, args: "ostring size" },
  { nr: 33, name: "mknodat", handler: mknodat, args: "dirfd path mode hex" },
  { nr: 34, name: "mkdirat", handler: mkdirat, args: "dirfd path mode" },
  { nr: 35, name: "unlinkat", handler: unlinkat, args: "dirfd path atflags" },
  { nr: 36, name: "symlinkat", handler: symlinkat, args: "path dirfd path" },
  { nr: 37, name: "linkat", handler: linkat, args: "dirfd path dirfd path hex" },
  { nr: 49, name: "chdir", handler: chdir, args: "path" },
  { nr: 50, name: "fchdir", handler: fchdir, args: "fd" },
  { nr: 51, name: "chroot", handler: chroot, args: "path" },
  { nr: 61, name: "getdents64", handler: getdents64, args: "fd ptr size" },
  { nr: 78, name: "readlinkat", handler: readlinkat, args: "dirfd path rbuf size" },
  { nr: 276, name: "renameat2", handler: renameat2, args: "dirfd path dirfd path hex" },
  ...statCalls,
  ...xattrCalls,
];
