// /proc/PID/fd and fdinfo: the open files of a task, as links that lead to the files themselves, and as text.

import { EACCES, EBADF, EINVAL, ENOENT, ESRCH } from "../../../base/errno.ts";
import type { Task } from "../../task.ts";
import { O_CLOEXEC, S_IFLNK, S_IFMT } from "../abi.ts";
import type { OpenFile } from "../file.ts";
import { type DirEntry, type Filesystem, type Inode, type Path, entryOf, placeOf } from "../inode.ts";
import { type Owner, PseudoDir, PseudoInode, TextInode } from "./node.ts";
import type { Subject } from "./subject.ts";
import type { Stat } from "../stat.ts";

/** The descriptor that `name` means, or -1. */
function descriptor(name: string): number {
  return /^(0|[1-9][0-9]{0,9})$/.test(name) ? Number(name) : -1;
}

/** What fd and fdinfo have in common: a name for each open descriptor. */
abstract class DescriptorDir extends PseudoDir {
  protected readonly subject: Subject;
  readonly #inodes = new Map<number, Inode>();

  constructor(fs: Filesystem, subject: Subject, mode: number) {
    super(fs, mode);
    this.subject = subject;
  }
  protected override owner(): Owner {
    return this.subject.owner();
  }
  /** The open file behind `fd`, or null. */
  protected file(fd: number): OpenFile | null {
    return this.subject.task?.filesOrNull?.get(fd) ?? null;
  }
  protected abstract make(fd: number): Inode;

  #inode(fd: number): Inode {
    let inode = this.#inodes.get(fd);
    if (!inode) this.#inodes.set(fd, (inode = this.make(fd)));
    return inode;
  }
  override lookup(name: string): Inode | number {
    const fd = descriptor(name);
    if (fd < 0 || this.file(fd) === null) return -ENOENT;
    return this.#inode(fd);
  }
  override entries(): DirEntry[] | number {
    const { task } = this.subject;
    if (task === null) return -ENOENT;
    const list: DirEntry[] = [];
    for (const [fd] of task.filesOrNull?.entries() ?? []) list.push(entryOf(String(fd), this.#inode(fd)));
    return list;
  }
}

/** /proc/PID/fd. Its size is the number of descriptors. */
export class FdDir extends DescriptorDir {
  constructor(fs: Filesystem, subject: Subject) {
    super(fs, subject, 0o500);
  }
  override get size(): number {
    return [...(this.subject.task?.filesOrNull?.entries() ?? [])].length;
  }
  /** Threads of the process may always look, whatever the mode says (proc_fd_permission). */
  override permission(task: Task, mask: number): number | undefined {
    super.permission(task, mask);
    return task.process === this.subject.process ? 0 : undefined;
  }
  protected override make(fd: number): Inode {
    return new FdLink(this.fs, this.subject, fd);
  }
}

/** /proc/PID/fd/N: a link that leads to the open file itself. */
class FdLink extends PseudoInode {
  readonly #subject: Subject;
  readonly #fd: number;
  constructor(fs: Filesystem, subject: Subject, fd: number) {
    super(fs, S_IFLNK);
    this.#subject = subject;
    this.#fd = fd;
    this.blksize = 1024;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
  override get size(): number {
    return 64;
  }
  /** Which ways the file is open shows in the mode. */
  override stat(): Stat {
    const file = this.#subject.task?.filesOrNull?.get(this.#fd);
    this.mode = (this.mode & S_IFMT) | (file?.readable ? 0o500 : 0) | (file?.writable ? 0o300 : 0);
    return super.stat();
  }
  #file(reader: Task): OpenFile | number {
    const task = this.#subject.inspect(reader);
    if (typeof task === "number") return task === -ESRCH ? -ENOENT : task;
    return task.filesOrNull?.get(this.#fd) ?? -ENOENT;
  }
  override readlink(reader: Task): string | number {
    const file = this.#file(reader);
    return typeof file === "number" ? file : file.linkText(reader);
  }
  override magic(reader: Task): Path | number {
    const file = this.#file(reader);
    return typeof file === "number" ? file : placeOf(file);
  }
}

/** /proc/PID/fdinfo. */
export class FdInfoDir extends DescriptorDir {
  constructor(fs: Filesystem, subject: Subject) {
    super(fs, subject, 0o555);
  }
  /** proc_fdinfo_permission */
  override permission(task: Task, mask: number): number | undefined {
    super.permission(task, mask);
    return typeof this.subject.inspect(task) === "number" ? -EACCES : undefined;
  }
  protected override make(fd: number): Inode {
    const { subject } = this;
    return new OwnedText(this.fs, 0o444, subject, {
      read: () => {
        const { task } = subject;
        if (task === null) return -ESRCH;
        const file = this.file(fd);
        return file === null ? -EBADF : fdInfoText(task, fd, file);
      },
    });
  }
}

function fdInfoText(task: Task, fd: number, file: OpenFile): string {
  const flags = file.flags | (task.files.cloexec(fd) ? O_CLOEXEC : 0);
  const mount = file.path?.mount.id ?? 0;
  const head = `pos:\t${file.pos}\nflags:\t0${flags.toString(8)}\nmnt_id:\t${mount}\nino:\t${file.inode?.ino ?? 0}\n`;
  return head + file.fdinfo();
}

/** A text file that belongs to whom its directory is about. */
export class OwnedText extends TextInode {
  override readonly missing = EINVAL;
  override readonly spliceable = false;
  readonly #subject: Subject;
  constructor(fs: Filesystem, mode: number, subject: Subject, actions: TextInode["actions"]) {
    super(fs, mode, actions);
    this.#subject = subject;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
}
