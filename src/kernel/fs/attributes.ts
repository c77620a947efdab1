// Calls that change or check a file's attributes: chmod, chown, utimensat, access, truncate by path (fs/open.c, fs/attr.c, fs/utimes.c).
// Each returns 0 or -errno. Called by syscall/dir.ts and syscall/file.ts.

import { EACCES, EINVAL, EISDIR, EOPNOTSUPP, EPERM, EROFS, ETXTBSY } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import type { Timespec } from "./abi.ts";
import { MAY_EXEC, MAY_WRITE, S_ISGID, S_ISUID, isRegular, isSymlink } from "./abi.ts";
import type { AttrChange, Inode, Path } from "./inode.ts";
import { MNT_NOEXEC } from "./inode.ts";
import {
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FSETID,
  type Subject,
  inGroup,
  ownerOrCapable,
  permission,
  subjectOf,
} from "./permission.ts";

/** chmod(2) of the inode at `path`. */
export function chmod(task: Task, path: Path, mode: number): number {
  const inode = path.inode;
  if (path.mount.readOnly) return -EROFS;
  if (isSymlink(inode.mode)) return -EOPNOTSUPP;
  if (!ownerOrCapable(task, inode)) return -EPERM;
  // Who is not in the file's group cannot make it set-group-ID.
  if (!inGroup(subjectOf(task), inode.gid) && !task.capable(CAP_FSETID)) mode &= ~S_ISGID;
  return inode.setAttr({ mode: mode & 0o7777 });
}

/** chown(2); -1 (as u32) leaves an id as it is. */
export function chown(task: Task, path: Path, uid: number, gid: number): number {
  const inode = path.inode;
  const none = 0xffffffff;
  if (path.mount.readOnly) return -EROFS;
  const capable = task.capable(CAP_CHOWN);
  const own = task.creds.fsuid === inode.uid;
  if (uid !== none && !capable && !(own && uid === inode.uid)) return -EPERM;
  if (gid !== none && !capable && !(own && (inGroup(subjectOf(task), gid) || gid === inode.gid))) return -EPERM;
  const change: AttrChange = {};
  if (uid !== none) change.uid = uid;
  if (gid !== none) change.gid = gid;
  if (!inode.isDir) change.mode = withoutPrivileges(inode.mode);
  return inode.setAttr(change);
}

/** A mode without set-user-ID, and without set-group-ID where the group may execute. */
function withoutPrivileges(mode: number): number {
  mode &= ~S_ISUID;
  return mode & 0o010 ? mode & ~S_ISGID : mode;
}

/** A write or truncation by someone without CAP_FSETID takes set-ID bits away (file_remove_privs). */
export function removePrivileges(task: Task, inode: Inode): void {
  if (!(inode.mode & (S_ISUID | S_ISGID)) || !isRegular(inode.mode) || task.capable(CAP_FSETID)) return;
  const mode = withoutPrivileges(inode.mode);
  if (mode !== inode.mode) inode.setAttr({ mode });
}

/** A time to set: given, the present (UTIME_NOW), or left alone (UTIME_OMIT). */
export type TimeChange = Timespec | "now" | "omit";

/** utimensat(2). */
export function utimens(task: Task, path: Path, times: { atime: TimeChange; mtime: TimeChange }): number {
  const { atime, mtime } = times;
  if (atime === "omit" && mtime === "omit") return 0;
  const inode = path.inode;
  if (path.mount.readOnly) return -EROFS;
  if (!ownerOrCapable(task, inode)) {
    // Anyone who may write may set both to the present.
    if (atime !== "now" || mtime !== "now") return -EPERM;
    const denied = permission(task, path, MAY_WRITE);
    if (denied) return -EACCES;
  }
  const now = inode.fs.now();
  const change: AttrChange = {};
  if (atime !== "omit") change.atime = atime === "now" ? now : atime;
  if (mtime !== "omit") change.mtime = mtime === "now" ? now : mtime;
  return inode.setAttr(change);
}

/** faccessat2(2): `effective` checks with the fs ids, else the real ones with their capabilities (only root's). */
export function access(task: Task, path: Path, mode: number, options: { effective: boolean }): number {
  const real: Subject = {
    uid: task.creds.uid,
    gid: task.creds.gid,
    groups: task.creds.groups,
    capable: (c) => task.creds.uid === 0 && (c === CAP_DAC_OVERRIDE || c === CAP_DAC_READ_SEARCH),
  };
  if (mode & MAY_EXEC && isRegular(path.inode.mode) && path.mount.flags & MNT_NOEXEC) return -EACCES;
  if (mode === 0) return 0;
  return permission(task, path, mode, options.effective ? subjectOf(task) : real);
}

/** truncate(2). */
export function truncatePath(task: Task, path: Path, size: number): number {
  const inode = path.inode;
  if (inode.isDir) return -EISDIR;
  if (!isRegular(inode.mode)) return -EINVAL;
  const denied = permission(task, path, MAY_WRITE);
  if (denied) return denied;
  if (inode.executors > 0) return -ETXTBSY;
  const error = inode.truncate(size);
  if (!error) removePrivileges(task, inode);
  return error;
}
