// pidfds: a process (or, with PIDFD_THREAD, a thread) as a descriptor (fs/pidfs.c). Made by pidfd_open and clone; wait, kill, getfd and
// process_madvise take them.
import { EBADF } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { Process } from "../process.ts";
import type { Task } from "../task.ts";
import type { WaitQueue } from "../wait.ts";
import { O_RDWR, POLLHUP, POLLIN, POLLRDNORM } from "./abi.ts";
import { AnonFile } from "./anon.ts";

export class PidFile extends AnonFile {
  readonly process: Process;
  /** PIDFD_THREAD: the one thread that it stands for. */
  readonly thread: Task | null;

  /** `flags`: O_NONBLOCK (makes waitid not wait). */
  constructor(kernel: Kernel, target: { process: Process; thread?: Task }, flags: number) {
    super(kernel.anonInodes, "[pidfd]", O_RDWR | flags);
    this.process = target.process;
    this.thread = target.thread ?? null;
  }

  /** Its process or thread is gone and its id may belong to somebody else. */
  get gone(): boolean {
    return this.thread === null || this.thread.isLeader ? this.process.state === "dead" : this.thread.state === "X";
  }
  override poll(): number {
    if (this.gone) return POLLIN | POLLRDNORM | POLLHUP;
    const ended = this.thread === null ? this.process.state !== "alive" : this.thread.exited;
    return ended ? POLLIN | POLLRDNORM : 0;
  }
  override pollQueues(): WaitQueue[] {
    return [this.thread === null ? this.process.ended : this.thread.ended];
  }
  override fdinfo(): string {
    const pid = this.gone ? -1 : (this.thread?.tid ?? this.process.pid);
    return `Pid:\t${pid}\nNSpid:\t${pid}\n`;
  }
}

/** The process behind descriptor `fd` of `task`; -EBADF if it is no pidfd. */
export function processOfPidfd(task: Task, fd: number): Process | number {
  const file = task.files.io(fd);
  return file instanceof PidFile ? file.process : -EBADF;
}
