// Whom a directory of /proc is about: a process, or one thread of it. Shared by the files in it; decides whether it still exists and who may look.

import { EACCES, ESRCH } from "../../../base/errno.ts";
import type { Mm } from "../../../mm/mm.ts";
import type { Process } from "../../process.ts";
import { type AccessMode, ptraceMayAccess } from "../../ptrace.ts";
import type { Task } from "../../task.ts";
import type { Owner } from "./node.ts";

/** The process of /proc/PID (`thread` null) or the thread of /proc/PID/task/TID. */
export class Subject {
  readonly process: Process;
  readonly thread: Task | null;
  constructor(process: Process, thread: Task | null) {
    this.process = process;
    this.thread = thread;
  }

  /** The task, zombies included; null once it has been reaped. */
  get task(): Task | null {
    const { thread, process } = this;
    if (thread === null) return process.state === "dead" ? null : process.leader;
    return process.kernel.tasks.get(thread.tid) === thread ? thread : null;
  }
  /** Numbers of the whole process, not of one thread. */
  get whole(): boolean {
    return this.thread === null;
  }

  /** Owner of the files (task_dump_owner): the effective ids; root if the program may not be inspected. */
  owner(): Owner {
    const { task, process } = this;
    if (task === null || (process.dumpable !== 1 && task.mmOrNull !== null)) return { uid: 0, gid: 0 };
    return { uid: task.creds.euid, gid: task.creds.egid };
  }

  /** The task if `reader` may inspect it: else -ESRCH or -EACCES. */
  inspect(reader: Task, mode: AccessMode = { creds: "fs" }): Task | number {
    const { task } = this;
    if (task === null) return -ESRCH;
    return ptraceMayAccess(reader, task, mode) < 0 ? -EACCES : task;
  }
  /** Its memory for `reader` (proc_mem_open): -ESRCH, -EACCES, or null after exit. */
  memory(reader: Task, mode?: AccessMode): Mm | null | number {
    const task = this.inspect(reader, mode);
    return typeof task === "number" ? task : task.mmOrNull;
  }
}
