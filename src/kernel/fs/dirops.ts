// Calls that change directories: mkdir, mknod, symlink, link, unlink, rmdir, rename. Each takes the path as the program gave it and returns
// 0 or -errno. Here are the rules that hold for every file system (fs/namei.c); the inode does the rest. Called by syscall/dir.ts and at boot.

import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EXDEV,
} from "../../base/errno.ts";
import { NAME_MAX, PATH_MAX } from "../../base/limits.ts";
import type { Task } from "../task.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  MAY_EXEC,
  MAY_WRITE,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "./abi.ts";
import type { Dentry } from "./inode.ts";
import { Path } from "./inode.ts";
import type { Walk } from "./namei.ts";
import { CAP_MKNOD, mayDelete, newInodeOwner, permission } from "./permission.ts";
import type { Vfs } from "./vfs.ts";

/** The walk stands before a name that must not exist yet and may be made here: 0 or -errno (filename_create, may_create). */
function mayCreate(task: Task, walk: Walk, options: { directory: boolean }): number {
  if (walk.last === "" || walk.last === "." || walk.last === "..") return -EEXIST;
  const found = walk.lookupLast();
  if (typeof found !== "number") return -EEXIST;
  if (found !== -ENOENT) return found;
  // "name/" can only become a directory.
  if (walk.trailing && !options.directory) return -ENOENT;
  if (walk.cur.mount.readOnly) return -EROFS;
  if (walk.cur.dentry.unlinked) return -ENOENT;
  return permission(task, walk.cur, MAY_WRITE | MAY_EXEC);
}

/** mkdirat(2). */
export function mkdir(vfs: Vfs, task: Task, dirfd: number, path: string, mode: number): number {
  const walk = vfs.walkParent(task, dirfd, path);
  if (typeof walk === "number") return walk;
  const error = mayCreate(task, walk, { directory: true });
  if (error) return error;
  const directory = walk.cur.inode;
  const make = newInodeOwner(task, directory, S_IFDIR | (mode & 0o1777 & ~task.fs.umask));
  const inode = directory.mkdir(walk.last, make);
  return typeof inode === "number" ? inode : 0;
}

/** mknodat(2); also how bind(2) makes a socket's name. `rdev` for devices. */
export function mknod(vfs: Vfs, task: Task, dirfd: number, path: string, mode: number, rdev: number): number {
  const made = mknodPath(vfs, task, dirfd, path, mode, rdev);
  return typeof made === "number" ? made : 0;
}

/** Like mknod, but gives the place of what was made. */
export function mknodPath(vfs: Vfs, task: Task, dirfd: number, path: string, mode: number, rdev: number) {
  const type = mode & S_IFMT || S_IFREG;
  if (type === S_IFDIR) return -EPERM;
  if (![S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK].includes(type)) return -EINVAL;
  const walk = vfs.walkParent(task, dirfd, path);
  if (typeof walk === "number") return walk;
  const error = mayCreate(task, walk, { directory: false });
  if (error) return error;
  if ((type === S_IFCHR || type === S_IFBLK) && !task.capable(CAP_MKNOD)) return -EPERM;
  const directory = walk.cur.inode;
  const make = newInodeOwner(task, directory, type | (mode & 0o7777 & ~task.fs.umask));
  const inode = directory.create(walk.last, { ...make, rdev });
  if (typeof inode === "number") return inode;
  return new Path(walk.cur.mount, walk.cur.dentry.child(walk.last, inode));
}

/** symlinkat(2). */
export function symlink(vfs: Vfs, task: Task, target: string, dirfd: number, path: string): number {
  if (target === "") return -ENOENT;
  if (target.length >= PATH_MAX) return -ENAMETOOLONG;
  const walk = vfs.walkParent(task, dirfd, path);
  if (typeof walk === "number") return walk;
  const error = mayCreate(task, walk, { directory: false });
  if (error) return error;
  const make = newInodeOwner(task, walk.cur.inode, S_IFLNK | 0o777);
  const inode = walk.cur.inode.symlink(walk.last, target, make);
  return typeof inode === "number" ? inode : 0;
}

/** linkat(2). */
export function link(
  vfs: Vfs,
  task: Task,
  oldDirfd: number,
  oldPath: string,
  newDirfd: number,
  newPath: string,
  flags: number,
): number {
  if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) return -EINVAL;
  const options = { follow: (flags & AT_SYMLINK_FOLLOW) !== 0, empty: (flags & AT_EMPTY_PATH) !== 0 };
  const source = vfs.resolve(task, oldDirfd, oldPath, options);
  if (typeof source === "number") return source;
  const walk = vfs.walkParent(task, newDirfd, newPath);
  if (typeof walk === "number") return walk;
  const error = mayCreate(task, walk, { directory: false });
  if (error) return error;
  if (walk.cur.mount !== source.mount) return -EXDEV;
  const inode = source.inode;
  if (inode.isDir) return -EPERM;
  if (inode.nlink === 0 && !inode.linkable) return -ENOENT;
  const refused = walk.cur.inode.link(walk.last, inode);
  if (refused === 0) inode.linkable = false;
  return refused;
}

/** unlinkat(2) without AT_REMOVEDIR. */
export function unlink(vfs: Vfs, task: Task, dirfd: number, path: string): number {
  const walk = vfs.walkParent(task, dirfd, path);
  if (typeof walk === "number") return walk;
  if (walk.last === "" || walk.last === "." || walk.last === "..") return -EISDIR;
  const found = walk.lookupLast();
  if (typeof found === "number") return found;
  if (walk.trailing) return found.inode.isDir ? -EISDIR : -ENOTDIR;
  if (walk.cur.mount.readOnly) return -EROFS;
  const denied = mayDelete(task, walk.cur, found.inode);
  if (denied) return denied;
  if (found.inode.isDir) return -EISDIR;
  if (found.mount !== walk.cur.mount) return -EBUSY;
  const error = walk.cur.inode.unlink(walk.last, found.inode);
  if (error) return error;
  walk.cur.dentry.forget(walk.last);
  found.inode.maybeEvict();
  return 0;
}

/** rmdir(2), unlinkat(2) with AT_REMOVEDIR. */
export function rmdir(vfs: Vfs, task: Task, dirfd: number, path: string): number {
  const walk = vfs.walkParent(task, dirfd, path);
  if (typeof walk === "number") return walk;
  if (walk.last === "..") return -ENOTEMPTY;
  if (walk.last === ".") return -EINVAL;
  if (walk.last === "") return -EBUSY;
  const found = walk.lookupLast();
  if (typeof found === "number") return found;
  if (walk.cur.mount.readOnly) return -EROFS;
  const denied = mayDelete(task, walk.cur, found.inode);
  if (denied) return denied;
  if (!found.inode.isDir) return -ENOTDIR;
  if (found.mount !== walk.cur.mount || vfs.isMountPoint(found.dentry)) return -EBUSY;
  const error = walk.cur.inode.rmdir(walk.last, found.inode);
  if (error) return error;
  walk.cur.dentry.forget(walk.last);
  return 0;
}

/** renameat2(2). */
export function rename(
  vfs: Vfs,
  task: Task,
  oldDirfd: number,
  oldPath: string,
  newDirfd: number,
  newPath: string,
  flags: number,
): number {
  if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
  if (flags & RENAME_NOREPLACE && flags & RENAME_EXCHANGE) return -EINVAL;
  const from = vfs.walkParent(task, oldDirfd, oldPath);
  if (typeof from === "number") return from;
  const to = vfs.walkParent(task, newDirfd, newPath);
  if (typeof to === "number") return to;
  if (from.cur.mount !== to.cur.mount) return -EXDEV;
  const special = (name: string): boolean => name === "" || name === "." || name === "..";
  if (special(from.last)) return -EBUSY;
  if (special(to.last)) return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
  if (from.cur.mount.readOnly) return -EROFS;
  const source = from.lookupLast();
  if (typeof source === "number") return source;
  const found = to.lookupLast();
  if (typeof found === "number" && found !== -ENOENT) return found;
  const target = typeof found === "number" ? null : found;
  if (target && flags & RENAME_NOREPLACE) return -EEXIST;
  if (flags & RENAME_EXCHANGE) {
    if (!target) return -ENOENT;
    if (to.trailing && !target.inode.isDir) return -ENOTDIR;
  } else if (to.trailing && !source.inode.isDir) return -ENOTDIR;
  if (from.trailing && !source.inode.isDir) return -ENOTDIR;
  if (isAncestor(source.dentry, to.cur.dentry)) return -EINVAL;
  if (target && isAncestor(target.dentry, from.cur.dentry)) return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
  if (target && target.inode === source.inode) return 0;
  return checkedRename(vfs, task, from, source, to, target, flags);
}

function checkedRename(vfs: Vfs, task: Task, from: Walk, source: Path, to: Walk, target: Path | null, flags: number) {
  const denied = mayDelete(task, from.cur, source.inode);
  if (denied) return denied;
  const refused = target ? mayDelete(task, to.cur, target.inode) : permission(task, to.cur, MAY_WRITE | MAY_EXEC);
  if (refused) return refused;
  if (target && !(flags & RENAME_EXCHANGE)) {
    if (source.inode.isDir && !target.inode.isDir) return -ENOTDIR;
    if (!source.inode.isDir && target.inode.isDir) return -EISDIR;
  }
  // Moving a directory to another parent changes its "..": that needs write permission on it.
  if (source.inode.isDir && from.cur.dentry !== to.cur.dentry) {
    const error = permission(task, source, MAY_WRITE);
    if (error) return error;
  }
  const busy = (path: Path | null, parent: Path): boolean =>
    path !== null && (path.mount !== parent.mount || vfs.isMountPoint(path.dentry));
  if (busy(source, from.cur) || busy(target, to.cur)) return -EBUSY;
  if (to.last.length > NAME_MAX) return -ENAMETOOLONG;
  const oldDir = from.cur.inode;
  const newDir = to.cur.inode;
  if (target && flags & RENAME_EXCHANGE) {
    const error = oldDir.exchange(from.last, source.inode, newDir, to.last, target.inode);
    if (error) return error;
    target.dentry.unlinked = false;
    source.dentry.move(to.cur.dentry, to.last);
    target.dentry.move(from.cur.dentry, from.last);
    target.dentry.unlinked = false;
    return 0;
  }
  const error = oldDir.rename(from.last, source.inode, newDir, to.last, target?.inode ?? null);
  if (error) return error;
  source.dentry.move(to.cur.dentry, to.last);
  target?.inode.maybeEvict();
  return 0;
}

/** `dentry` is `below` or above it. */
function isAncestor(dentry: Dentry, below: Dentry): boolean {
  for (let d = below; ; d = d.parent) {
    if (d === dentry) return true;
    if (d === d.parent) return false;
  }
}

/** Makes the directories of an absolute path that do not exist yet (for boot: `mkdir -p`). */
export function mkdirs(vfs: Vfs, task: Task, path: string, mode = 0o755): number {
  let at = "";
  for (const name of path.split("/").filter((n) => n !== "")) {
    at += "/" + name;
    const error = mkdir(vfs, task, AT_FDCWD, at, mode);
    if (error && error !== -EEXIST) return error;
  }
  return 0;
}
