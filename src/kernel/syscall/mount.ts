// mount(2), umount2(2) and pivot_root(2) (fs/namespace.c): tmpfs, ramfs, proc, sysfs, devpts, devtmpfs, bind mounts and remounting. One
// mount namespace for all; propagation types are accepted and every mount is private.
import { EBUSY, EINVAL, ENODEV, ENOENT, ENOTDIR, EPERM } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { copyFromUser, readString } from "../../mm/usercopy.ts";
import type { Vma } from "../../mm/vma.ts";
import { windowOf } from "../../mshare/usage.ts";
import { AT_FDCWD, bytesToString, isRegular } from "../fs/abi.ts";
import { type Filesystem, MNT_NODEV, MNT_NOEXEC, MNT_NOSUID, MNT_RDONLY, type Mount, type Path } from "../fs/inode.ts";
import { RegionMapping } from "../fs/msharefs-ioctl.ts";
import { CAP_SYS_ADMIN } from "../fs/permission.ts";
import { FileMapping } from "../fs/regular.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_MOVE = 8192;
const MS_PROPAGATION = (1 << 17) | (1 << 18) | (1 << 19) | (1 << 20);
const MS_MGC_MSK = 0xffff0000;
const MS_MGC_VAL = 0xc0ed0000;

const MNT_DETACH = 2;
const MNT_EXPIRE = 4;
const UMOUNT_NOFOLLOW = 8;

const FLAGS: readonly (readonly [ms: number, mnt: number])[] = [
  [MS_RDONLY, MNT_RDONLY],
  [MS_NOSUID, MNT_NOSUID],
  [MS_NODEV, MNT_NODEV],
  [MS_NOEXEC, MNT_NOEXEC],
];
const mountFlags = (flags: number): number => FLAGS.reduce((sum, [ms, mnt]) => (flags & ms ? sum | mnt : sum), 0);

const resolve = (task: Task, path: string, follow = true): Path | number =>
  task.kernel.vfs.resolve(task, AT_FDCWD, path, { follow });

/** The option text of mount(2): a page at most, up to the first NUL; null data is no options. */
function readOptions(task: Task, address: number): string | number {
  if (address === 0) return "";
  const text = readString(task.mm, address, PAGE_SIZE);
  if (typeof text === "string") return text;
  const page = copyFromUser(task.mm, address, PAGE_SIZE);
  return typeof page === "number" ? page : bytesToString(page);
}
/** A string argument that may be null. */
const optional = (task: Task, address: number): string | null | number =>
  address === 0 ? null : readString(task.mm, address, PATH_MAX);

function mount(task: Task, args: Args): SyscallResult {
  const type = optional(task, args.ptr(2));
  if (typeof type === "number") return type;
  const source = optional(task, args.ptr(0));
  if (typeof source === "number") return source;
  const options = readOptions(task, args.ptr(4));
  if (typeof options === "number") return options;
  const target = readString(task.mm, args.ptr(1), PATH_MAX);
  if (typeof target === "number") return target;
  let flags = args.u32(3);
  if ((flags & MS_MGC_MSK) >>> 0 === MS_MGC_VAL) flags &= ~MS_MGC_MSK;
  const at = resolve(task, target);
  if (typeof at === "number") return at;
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  const isRoot = at.dentry === at.mount.root;
  if (flags & MS_REMOUNT) {
    if (!isRoot) return -EINVAL;
    const wouldBreak = flags & MS_RDONLY && !(flags & MS_BIND) && !at.mount.readOnly;
    if (wouldBreak && writtenTo(task.kernel, at.mount.fs)) return -EBUSY;
    const error = flags & MS_BIND ? 0 : at.mount.fs.remount(options);
    if (error === 0) at.mount.flags = mountFlags(flags);
    return error;
  }
  if (flags & MS_BIND) return bind(task, source, at);
  if (flags & MS_PROPAGATION) return isRoot ? 0 : -EINVAL;
  if (flags & MS_MOVE) return move(task, source, at);
  return newMount(task, type, source, at, flags, options);
}

function newMount(
  task: Task,
  type: string | null,
  source: string | null,
  at: Path,
  flags: number,
  options: string,
): number {
  const { vfs } = task.kernel;
  if (type === null) return -EINVAL;
  const make = vfs.types.get(type)?.make;
  if (!make) return -ENODEV;
  if (!at.inode.isDir) return -ENOTDIR;
  const fs = make(options);
  if (typeof fs === "number") return fs;
  if (at.dentry === at.mount.root && at.mount.fs === fs) return -EBUSY;
  vfs.mount(fs, at, source ?? "none", mountFlags(flags));
  return 0;
}

function bind(task: Task, source: string | null, at: Path): number {
  if (source === null || source === "") return -EINVAL;
  const from = resolve(task, source);
  if (typeof from === "number") return from;
  if (from.inode.isDir !== at.inode.isDir) return -ENOTDIR;
  task.kernel.vfs.bind(from, at);
  return 0;
}

function move(task: Task, source: string | null, at: Path): number {
  if (source === null || source === "") return -EINVAL;
  const from = resolve(task, source);
  if (typeof from === "number") return from;
  if (from.dentry !== from.mount.root || from.mount.at === null) return -EINVAL;
  if (from.inode.isDir !== at.inode.isDir) return -ENOTDIR;
  return task.kernel.vfs.move(from.mount, at);
}

function umount2(task: Task, args: Args): SyscallResult {
  const flags = args.u32(1);
  if (flags & ~(1 | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) return -EINVAL;
  const path = readString(task.mm, args.ptr(0), PATH_MAX);
  if (typeof path === "number") return path;
  const at = resolve(task, path, (flags & UMOUNT_NOFOLLOW) === 0);
  if (typeof at === "number") return at;
  if (at.dentry !== at.mount.root) return -EINVAL;
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  if (flags & MNT_EXPIRE) return -EINVAL;
  const detach = (flags & MNT_DETACH) !== 0;
  const { kernel } = task;
  if (!detach && (at.mount.fs.busy || inUse(kernel, (mount) => mount === at.mount))) return -EBUSY;
  const error = kernel.vfs.unmount(at.mount, { detach });
  if (detach) releaseDetached(kernel);
  return error;
}

/** Somebody has a file of a mount that `wanted` chooses open or mapped, or is there. */
function inUse(kernel: Kernel, wanted: (mount: Mount) => boolean): boolean {
  for (const task of kernel.tasks.values()) {
    const fs = task.fsOrNull;
    if (fs && (wanted(fs.cwd.mount) || wanted(fs.root.mount))) return true;
    for (const [, file] of task.filesOrNull?.entries() ?? []) if (file.path && wanted(file.path.mount)) return true;
  }
  for (const mm of kernel.memory.mms)
    for (const vma of mm.vmas) {
      const path = mappedPath(vma);
      if (path && wanted(path.mount)) return true;
    }
  return false;
}

/** The place of the file that a VMA shows; null if it shows none that has a place. */
function mappedPath(vma: Vma): Path | null {
  const window = windowOf(vma);
  if (window !== null) return window.file instanceof RegionMapping ? window.file.path : null;
  return vma.file instanceof FileMapping ? vma.file.file.path : null;
}

/** Somebody has a file of `fs` open for writing. */
function writtenTo(kernel: Kernel, fs: Filesystem): boolean {
  for (const task of kernel.tasks.values()) {
    for (const [, file] of task.filesOrNull?.entries() ?? []) {
      if (file.writable && file.path?.mount.fs === fs && isRegular(file.path.inode.mode)) return true;
    }
  }
  return false;
}
/** At the exit of a process: lazily unmounted file systems that nobody is in any more go. */
export function releaseDetached(kernel: Kernel): void {
  kernel.vfs.releaseDetached((fs) => inUse(kernel, (mount) => mount.fs === fs));
}

function pivotRoot(task: Task, args: Args): SyscallResult {
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  const newName = readString(task.mm, args.ptr(0), PATH_MAX);
  if (typeof newName === "number") return newName;
  const oldName = readString(task.mm, args.ptr(1), PATH_MAX);
  if (typeof oldName === "number") return oldName;
  const newRoot = resolve(task, newName);
  if (typeof newRoot === "number") return newRoot;
  const putOld = resolve(task, oldName);
  if (typeof putOld === "number") return putOld;
  if (!newRoot.inode.isDir || !putOld.inode.isDir) return -ENOTDIR;
  if (newRoot.dentry.unlinked) return -ENOENT;
  const { vfs } = task.kernel;
  const root = task.fs.root;
  if (newRoot.mount === root.mount || putOld.mount === root.mount) return -EBUSY;
  // The initial root file system cannot be moved away (rootfs), nor a directory that is no mount point.
  if (newRoot.dentry !== newRoot.mount.root || root.dentry !== root.mount.root || root.mount.at === null)
    return -EINVAL;
  return vfs.pivot(task.kernel.tasks.values(), root, newRoot, putOld);
}

export const mountCalls: readonly SyscallEntry[] = [
  { nr: 39, name: "umount2", handler: umount2, args: "path hex" },
  { nr: 40, name: "mount", handler: mount, args: "path path path hex ptr" },
  { nr: 41, name: "pivot_root", handler: pivotRoot, args: "path path" },
];
