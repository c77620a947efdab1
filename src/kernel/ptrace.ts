// Who may look into another process (kernel/ptrace.c: ptrace_may_access). Asked by ptrace, procfs, pidfd_getfd, process_vm_readv and the like.
import { EPERM } from "../base/errno.ts";
import { CAP_SYS_PTRACE } from "./creds.ts";
import type { Task } from "./task.ts";
import { yamaMayAttach } from "./yama.ts";

export interface AccessMode {
  /** By the file-system ids and effective capabilities (procfs), else the real ids and permitted ones (calls). */
  readonly creds: "fs" | "real";
  /** To control it or change its memory (PTRACE_MODE_ATTACH), not only to look: Yama is asked too. */
  readonly attach?: true;
}

/** 0 if `task` may inspect `target`, else -EPERM. Threads of one process always may. */
export function ptraceMayAccess(task: Task, target: Task, mode: AccessMode): number {
  if (task.process === target.process) return 0;
  const fs = mode.creds === "fs";
  const { creds } = task;
  const uid = fs ? creds.fsuid : creds.uid;
  const gid = fs ? creds.fsgid : creds.gid;
  const other = target.creds;
  const sameIds =
    uid === other.euid &&
    uid === other.suid &&
    uid === other.uid &&
    gid === other.egid &&
    gid === other.sgid &&
    gid === other.gid;
  const capable = task.capable(CAP_SYS_PTRACE);
  if (!sameIds && !capable) return -EPERM;
  if (target.mmOrNull !== null && target.process.dumpable !== 1 && !capable) return -EPERM;
  // cap_ptrace_access_check: never more than one has oneself.
  const own = fs ? creds.effective : creds.permitted;
  if ((other.permitted & ~own) !== 0n && !capable) return -EPERM;
  return mode.attach ? yamaMayAttach(task, target) : 0;
}
