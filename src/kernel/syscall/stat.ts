// Calls that show and change attributes: stat, statx, statfs, access, chmod, chown, utimensat, truncate. The rules of changes are in
// fs/attributes.ts. Part of the directory family (dir.ts).
import { EBADF, EINVAL, ENOENT, EROFS } from "../../base/errno.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { copyFromUser, copyToUser, readString } from "../../mm/usercopy.ts";
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_SYNC_TYPE,
  AT_SYMLINK_NOFOLLOW,
} from "../fs/abi.ts";
import { type TimeChange, access, chmod, chown, truncatePath, utimens } from "../fs/attributes.ts";
import type { OpenFile } from "../fs/file.ts";
import { MNT_NODEV, MNT_NOEXEC, MNT_NOSUID, MNT_RDONLY, type Path, namelessPath } from "../fs/inode.ts";
import { type Stat, type StatFs, encodeStat, encodeStatFs, encodeStatx } from "../fs/stat.ts";
import type { Task } from "../task.ts";
import { checkNewSize } from "./file.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

/** A place, or an open file that has none (a pipe, a memfd). */
type Target = { path: Path } | { file: OpenFile };

/** What (dirfd, path, flags) of the *at calls names; "" with AT_EMPTY_PATH is the descriptor itself. -errno. */
function target(task: Task, dirfd: number, address: number, flags: number): Target | number {
  const empty = (flags & AT_EMPTY_PATH) !== 0;
  // A null path with AT_EMPTY_PATH is "" as well (since Linux 6.11).
  const path = empty && address === 0 ? "" : readString(task.mm, address, PATH_MAX);
  if (typeof path === "number") return path;
  if (path === "" && empty && dirfd !== AT_FDCWD) return ofDescriptor(task, dirfd);
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  const found = task.kernel.vfs.resolve(task, dirfd, path, { follow, empty });
  return typeof found === "number" ? found : { path: found };
}
function ofDescriptor(task: Task, fd: number): Target | number {
  const file = task.files.get(fd);
  if (!file) return -EBADF;
  return file.path ? { path: file.path } : { file };
}
const statOf = (what: Target): Stat | number => ("path" in what ? what.path.inode.stat() : what.file.stat());

/** A place for attribute calls: files without a name get one of their own, outside of the tree. */
function placeOf(what: Target): Path | number {
  if ("path" in what) return what.path;
  const { inode } = what.file;
  return inode === null ? -EBADF : namelessPath(inode);
}

// stat

function putStat(task: Task, address: number, stat: Stat | number): number {
  return typeof stat === "number" ? stat : copyToUser(task.mm, address, encodeStat(stat));
}
function newfstatat(task: Task, args: Args): SyscallResult {
  const flags = args.u32(3);
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) return -EINVAL;
  const what = target(task, args.i32(0), args.ptr(1), flags);
  return typeof what === "number" ? what : putStat(task, args.ptr(2), statOf(what));
}
function fstat(task: Task, args: Args): SyscallResult {
  const file = task.files.get(args.u32(0));
  return file ? putStat(task, args.ptr(1), file.stat()) : -EBADF;
}
function statx(task: Task, args: Args): SyscallResult {
  const [flags, mask] = [args.u32(2), args.u32(3)];
  if (mask & 0x80000000) return -EINVAL;
  if ((flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE) return -EINVAL;
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) return -EINVAL;
  const what = target(task, args.i32(0), args.ptr(1), flags);
  if (typeof what === "number") return what;
  const stat = statOf(what);
  if (typeof stat === "number") return stat;
  const mount =
    "path" in what
      ? { id: what.path.mount.id, isRoot: what.path.dentry === what.path.mount.root }
      : { id: 0, isRoot: false };
  return copyToUser(task.mm, args.ptr(4), encodeStatx(stat, mask, mount));
}

// statfs

const ST_RDONLY = 1;
const ST_NOSUID = 2;
const ST_NODEV = 4;
const ST_NOEXEC = 8;
const ST_RELATIME = 0x1000;
const FLAGS: readonly (readonly [mount: number, st: number])[] = [
  [MNT_RDONLY, ST_RDONLY],
  [MNT_NOSUID, ST_NOSUID],
  [MNT_NODEV, ST_NODEV],
  [MNT_NOEXEC, ST_NOEXEC],
];

function putStatFs(task: Task, address: number, what: Target): number {
  let stat: StatFs;
  if ("path" in what) {
    const { mount } = what.path;
    stat = mount.fs.statfs();
    stat = { ...stat, flags: ST_RELATIME };
    for (const [flag, st] of FLAGS) if (mount.flags & flag) stat.flags |= st;
  } else {
    if (what.file.inode === null) return -EBADF;
    stat = what.file.inode.fs.statfs();
  }
  return copyToUser(task.mm, address, encodeStatFs(stat));
}
function statfs(task: Task, args: Args): SyscallResult {
  const what = target(task, AT_FDCWD, args.ptr(0), 0);
  return typeof what === "number" ? what : putStatFs(task, args.ptr(1), what);
}
function fstatfs(task: Task, args: Args): SyscallResult {
  const what = ofDescriptor(task, args.u32(0));
  return typeof what === "number" ? what : putStatFs(task, args.ptr(1), what);
}

// access

function accessAt(task: Task, args: Args, flags: number): number {
  const mode = args.u32(2);
  if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return -EINVAL;
  const what = target(task, args.i32(0), args.ptr(1), flags);
  if (typeof what === "number") return what;
  const place = placeOf(what);
  return typeof place === "number" ? place : access(task, place, mode, { effective: (flags & AT_EACCESS) !== 0 });
}

// Changes

/** Runs `change` on the place that (dirfd, path, flags) names. */
function changeAt(task: Task, dirfd: number, address: number, flags: number, change: (path: Path) => number): number {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return -EINVAL;
  const what = target(task, dirfd, address, flags);
  if (typeof what === "number") return what;
  const place = placeOf(what);
  return typeof place === "number" ? place : change(place);
}
/** The same for a descriptor; O_PATH ones are -EBADF. */
function changeFd(task: Task, fd: number, change: (path: Path) => number): number {
  const file = task.files.io(fd);
  if (!file) return -EBADF;
  const place = placeOf(file.path ? { path: file.path } : { file });
  return typeof place === "number" ? place : change(place);
}

const fchmodat = (task: Task, args: Args, flags: number): number =>
  changeAt(task, args.i32(0), args.ptr(1), flags, (path) => chmod(task, path, args.u32(2)));
const fchmod = (task: Task, args: Args): number =>
  changeFd(task, args.u32(0), (path) => chmod(task, path, args.u32(1)));
const fchownat = (task: Task, args: Args): number =>
  changeAt(task, args.i32(0), args.ptr(1), args.u32(4), (path) => chown(task, path, args.u32(2), args.u32(3)));
const fchown = (task: Task, args: Args): number =>
  changeFd(task, args.u32(0), (path) => chown(task, path, args.u32(1), args.u32(2)));

const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

/** The two struct timespec at `address`, or both the present if it is 0. */
function readTimes(task: Task, address: number): { atime: TimeChange; mtime: TimeChange } | number {
  if (address === 0) return { atime: "now", mtime: "now" };
  const bytes = copyFromUser(task.mm, address, 32);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 32);
  const times: TimeChange[] = [];
  for (const at of [0, 16]) {
    const nsec = Number(view.getBigInt64(at + 8, true));
    if (nsec === UTIME_NOW) times.push("now");
    else if (nsec === UTIME_OMIT) times.push("omit");
    else if (nsec < 0 || nsec > 999_999_999) return -EINVAL;
    else times.push({ sec: Number(view.getBigInt64(at, true)), nsec });
  }
  return { atime: times[0], mtime: times[1] };
}
function utimensat(task: Task, args: Args): SyscallResult {
  const times = readTimes(task, args.ptr(2));
  if (typeof times === "number") return times;
  if (times.atime === "omit" && times.mtime === "omit") return 0;
  // A null path is the descriptor itself (futimens).
  if (args.ptr(1) === 0 && args.i32(0) !== AT_FDCWD) {
    if (args.u32(3) !== 0) return -EINVAL;
    return changeFd(task, args.u32(0), (path) => utimens(task, path, times));
  }
  return changeAt(task, args.i32(0), args.ptr(1), args.u32(3), (path) => utimens(task, path, times));
}

function truncate(task: Task, args: Args): SyscallResult {
  const size = args.s(1);
  if (size < 0) return -EINVAL;
  const name = readString(task.mm, args.ptr(0), PATH_MAX);
  if (typeof name === "number") return name;
  if (name === "") return -ENOENT;
  const path = task.kernel.vfs.resolve(task, AT_FDCWD, name, { follow: true });
  if (typeof path === "number") return path;
  if (path.mount.readOnly) return -EROFS;
  const error = checkNewSize(task, path.inode.size, size);
  return error ? error : truncatePath(task, path, size);
}

export const statCalls: readonly SyscallEntry[] = [
  { nr: 43, name: "statfs", handler: statfs, args: "path ptr" },
  { nr: 44, name: "fstatfs", handler: fstatfs, args: "fd ptr" },
  { nr: 45, name: "truncate", handler: truncate, args: "path off" },
  { nr: 48, name: "faccessat", handler: (task, args) => accessAt(task, args, 0), args: "dirfd path int" },
  { nr: 52, name: "fchmod", handler: fchmod, args: "fd mode" },
  { nr: 53, name: "fchmodat", handler: (task, args) => fchmodat(task, args, 0), args: "dirfd path mode" },
  { nr: 54, name: "fchownat", handler: fchownat, args: "dirfd path int int hex" },
  { nr: 55, name: "fchown", handler: fchown, args: "fd int int" },
  { nr: 79, name: "newfstatat", handler: newfstatat, args: "dirfd path stat atflags" },
  { nr: 80, name: "fstat", handler: fstat, args: "fd stat" },
  { nr: 88, name: "utimensat", handler: utimensat, args: "dirfd path ptr hex" },
  { nr: 291, name: "statx", handler: statx, args: "dirfd path hex hex ptr" },
  {
    nr: 439,
    name: "faccessat2",
    handler: (task, args) => accessAt(task, args, args.u32(3)),
    args: "dirfd path int hex",
  },
  {
    nr: 452,
    name: "fchmodat2",
    handler: (task, args) => fchmodat(task, args, args.u32(3)),
    args: "dirfd path mode hex",
  },
];
