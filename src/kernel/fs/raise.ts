// Signals that files raise on the task that uses them, and the limit behind one of them. Used by pipes, sockets and regular files.

import { EPIPE } from "../../base/errno.ts";
import { RLIMIT_FSIZE } from "../rlimit.ts";
import { SIGPIPE, SIGXFSZ, SI_USER } from "../siginfo.ts";
import type { Task } from "../task.ts";

/** Writing where nobody reads any more: SIGPIPE and -EPIPE. */
export function raiseSigpipe(task: Task): number {
  task.sendSignal(SIGPIPE, { code: SI_USER, pid: task.tgid, uid: task.creds.uid });
  return -EPIPE;
}

/** RLIMIT_FSIZE for a write that begins at `pos`: how far files may reach. If nothing may be written at all, SIGXFSZ is raised (and the caller returns -EFBIG). */
export function fileSizeLimit(task: Task, pos: number): number {
  const limit = task.process.rlimit(RLIMIT_FSIZE);
  if (pos >= limit) task.sendSignal(SIGXFSZ, { code: SI_USER, pid: task.tgid, uid: task.creds.uid });
  return limit;
}
