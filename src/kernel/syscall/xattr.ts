// Extended attributes (fs/xattr.c): tmpfs keeps user, trusted and security ones in memory; other file systems here have none. Part of the
// directory family (dir.ts).
import {
  E2BIG,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENODATA,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  EROFS,
} from "../../base/errno.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { copyFromUser, copyToUser, readString } from "../../mm/usercopy.ts";
import { AT_FDCWD, MAY_READ, MAY_WRITE, isDir, isRegular, stringToBytes } from "../fs/abi.ts";
import { type Inode, type Path, namelessPath } from "../fs/inode.ts";
import { CAP_SYS_ADMIN, permission } from "../fs/permission.ts";
import { RamFs } from "../fs/ramfs.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

/** Which of the three forms a call has: setxattr (follows links), lsetxattr, fsetxattr. */
type Form = "path" | "link" | "fd";

function place(task: Task, args: Args, form: Form): Path | number {
  if (form === "fd") {
    const file = task.files.io(args.u32(0));
    if (!file?.inode) return -EBADF;
    return file.path ?? namelessPath(file.inode);
  }
  const path = readString(task.mm, args.ptr(0), PATH_MAX);
  if (typeof path === "number") return path;
  return task.kernel.vfs.resolve(task, AT_FDCWD, path, { follow: form === "path" });
}

function readName(task: Task, address: number): string | number {
  const name = readString(task.mm, address, XATTR_NAME_MAX + 1);
  if (name === -ENAMETOOLONG || name === "") return -ERANGE;
  return name;
}

/** May `task` use attribute `name` there (xattr_permission), and does the file system keep such names? */
function check(task: Task, path: Path, name: string, mask: number): number {
  const { inode } = path;
  if (mask === MAY_WRITE && path.mount.readOnly) return -EROFS;
  const dot = name.indexOf(".");
  const space = dot < 0 ? "" : name.slice(0, dot);
  if (space === "trusted") {
    if (!task.capable(CAP_SYS_ADMIN)) return mask === MAY_WRITE ? -EPERM : -ENODATA;
  } else if (space === "user") {
    if (!isRegular(inode.mode) && !isDir(inode.mode)) return mask === MAY_WRITE ? -EPERM : -ENODATA;
    const denied = permission(task, path, mask);
    if (denied) return denied;
  } else if (space === "security") {
    if (mask === MAY_WRITE && !task.capable(CAP_SYS_ADMIN)) return -EPERM;
  } else return -EOPNOTSUPP;
  if (!keepsXattrs(inode)) return -EOPNOTSUPP;
  return dot + 1 === name.length ? -EINVAL : 0;
}
const keepsXattrs = (inode: Inode): boolean => inode.fs instanceof RamFs && inode.fs.keepsXattrs;

function set(task: Task, args: Args, form: Form): SyscallResult {
  const flags = args.u32(4);
  if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) return -EINVAL;
  const name = readName(task, args.ptr(1));
  if (typeof name === "number") return name;
  const size = args.u(3);
  if (size > XATTR_SIZE_MAX) return -E2BIG;
  const value = size === 0 ? new Uint8Array(0) : copyFromUser(task.mm, args.ptr(2), size);
  if (typeof value === "number") return value;
  const path = place(task, args, form);
  if (typeof path === "number") return path;
  const denied = check(task, path, name, MAY_WRITE);
  if (denied) return denied;
  const { inode } = path;
  const exists = inode.xattrs?.has(name) === true;
  if (exists && flags & XATTR_CREATE) return -EEXIST;
  if (!exists && flags & XATTR_REPLACE) return -ENODATA;
  (inode.xattrs ??= new Map()).set(name, value);
  inode.ctime = inode.fs.now();
  return 0;
}

function get(task: Task, args: Args, form: Form): SyscallResult {
  const path = place(task, args, form);
  if (typeof path === "number") return path;
  const name = readName(task, args.ptr(1));
  if (typeof name === "number") return name;
  const denied = check(task, path, name, MAY_READ);
  if (denied) return denied;
  const value = path.inode.xattrs?.get(name);
  if (value === undefined) return -ENODATA;
  return putSized(task, args.ptr(2), args.u(3), value);
}

/** Size 0 asks how large the value is; too small a buffer is -ERANGE. */
function putSized(task: Task, address: number, size: number, value: Uint8Array): number {
  if (size === 0) return value.length;
  if (size < value.length) return -ERANGE;
  return copyToUser(task.mm, address, value) === 0 ? value.length : -EFAULT;
}

function list(task: Task, args: Args, form: Form): SyscallResult {
  const path = place(task, args, form);
  if (typeof path === "number") return path;
  if (!keepsXattrs(path.inode)) return 0;
  let names = "";
  for (const name of path.inode.xattrs?.keys() ?? []) {
    if (!name.startsWith("trusted.") || task.capable(CAP_SYS_ADMIN)) names += name + "\0";
  }
  return putSized(task, args.ptr(1), Math.min(args.u(2), XATTR_LIST_MAX), stringToBytes(names));
}

function remove(task: Task, args: Args, form: Form): SyscallResult {
  const path = place(task, args, form);
  if (typeof path === "number") return path;
  const name = readName(task, args.ptr(1));
  if (typeof name === "number") return name;
  const denied = check(task, path, name, MAY_WRITE);
  if (denied) return denied;
  if (path.inode.xattrs?.delete(name) !== true) return -ENODATA;
  path.inode.ctime = path.inode.fs.now();
  return 0;
}

/** The path, link and descriptor forms of one call have consecutive numbers. */
function forms(
  nr: number,
  name: string,
  call: (task: Task, args: Args, form: Form) => SyscallResult,
  args: string,
): SyscallEntry[] {
  return (["path", "link", "fd"] as const).map((form, i) => ({
    nr: nr + i,
    name: ["", "l", "f"][i] + name,
    handler: (task, a) => call(task, a, form),
    args: `${form === "fd" ? "fd" : "path"} ${args}`,
  }));
}

export const xattrCalls: readonly SyscallEntry[] = [
  ...forms(5, "setxattr", set, "path ptr size hex"),
  ...forms(8, "getxattr", get, "path ptr size"),
  ...forms(11, "listxattr", list, "ptr size"),
  ...forms(14, "removexattr", remove, "path"),
];
