// Who may do what to an inode: mode bits, ownership, capabilities (fs/namei.c: generic_permission and its neighbours).
// Asked by the path walk, open and the attribute calls.

import { EACCES, EPERM, EROFS } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { MAY_EXEC, MAY_WRITE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISVTX, isDir } from "./abi.ts";
import type { Inode, Path } from "./inode.ts";

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_LEASE = 28;
export const CAP_SYS_CHROOT = 18;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_RESOURCE = 24;
export const CAP_SYS_TTY_CONFIG = 26;
export const CAP_MKNOD = 27;

/** The ids that a check goes by: the fs ids normally, the real ones for access(2). */
export interface Subject {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  capable(capability: number): boolean;
}

/** The subject of file access by `task`: fsuid, fsgid. */
export function subjectOf(task: Task): Subject {
  const creds = task.creds;
  return { uid: creds.fsuid, gid: creds.fsgid, groups: creds.groups, capable: (c) => task.capable(c) };
}

/** In the group or one of the supplementary groups. */
export const inGroup = (subject: Subject, gid: number): boolean => subject.gid === gid || subject.groups.includes(gid);

/** Mode bits against `mask` (MAY_*), then the capabilities that override them: 0 or -EACCES. */
export function checkMode(
  subject: Subject,
  inode: { mode: number; uid: number; gid: number; isDir: boolean },
  mask: number,
): number {
  const mode = inode.mode;
  const bits = subject.uid === inode.uid ? mode >> 6 : inGroup(subject, inode.gid) ? mode >> 3 : mode;
  if ((mask & ~bits & 7) === 0) return 0;
  if (inode.isDir) {
    if (subject.capable(CAP_DAC_OVERRIDE)) return 0;
    return !(mask & MAY_WRITE) && subject.capable(CAP_DAC_READ_SEARCH) ? 0 : -EACCES;
  }
  // Root may read and write anything, but executes only what somebody may execute.
  if (subject.capable(CAP_DAC_OVERRIDE) && (!(mask & MAY_EXEC) || mode & 0o111)) return 0;
  return mask === 4 && subject.capable(CAP_DAC_READ_SEARCH) ? 0 : -EACCES;
}

/** May `task` access `path` as `mask` says (inode_permission): also read-only mounts. */
export function permission(task: Task, path: Path, mask: number, subject?: Subject): number {
  const inode = path.inode;
  if (mask & MAY_WRITE && path.mount.readOnly) {
    const type = inode.mode & S_IFMT;
    if (type === S_IFREG || type === S_IFDIR || type === S_IFLNK) return -EROFS;
  }
  const decided = inode.permission(task, mask);
  if (decided !== undefined) return decided;
  // The owner's bits allow it: most checks end here, without asking who else the task is.
  const { mode } = inode;
  if (subject === undefined && task.creds.fsuid === inode.uid && (mask & ~(mode >> 6) & 7) === 0) return 0;
  return checkMode(subject ?? subjectOf(task), inode, mask);
}

/** Owner of the inode or CAP_FOWNER: may chmod, set times, remove from sticky directories. */
export function ownerOrCapable(task: Task, inode: Inode): boolean {
  return task.creds.fsuid === inode.uid || task.capable(CAP_FOWNER);
}

/** May the name of `victim` in `dir` be removed (may_delete)? Write and search permission and the sticky bit. */
export function mayDelete(task: Task, dir: Path, victim: Inode): number {
  const error = permission(task, dir, MAY_WRITE | MAY_EXEC);
  if (error) return error;
  const sticky = dir.inode.mode & S_ISVTX;
  if (sticky && task.creds.fsuid !== dir.inode.uid && !ownerOrCapable(task, victim)) return -EPERM;
  return 0;
}

/** Owner and mode of a new inode in `dir`: set-group-ID directories pass their group on. `mode` without the umask's bits. */
export function newInodeOwner(task: Task, dir: Inode, mode: number): { mode: number; uid: number; gid: number } {
  let gid = task.creds.fsgid;
  if (dir.mode & S_ISGID) {
    gid = dir.gid;
    if (isDir(mode)) mode |= S_ISGID;
  }
  return { mode, uid: task.creds.fsuid, gid };
}
