// The kinds of files that directories about a process have: by what they need of it, and by what happens once it has exited. pid.ts names them.

import { EINVAL, ENOENT, ESRCH } from "../../../base/errno.ts";
import type { Mm } from "../../../mm/mm.ts";
import type { Process } from "../../process.ts";
import type { AccessMode } from "../../ptrace.ts";
import type { Task } from "../../task.ts";
import { S_IFLNK, S_IFREG } from "../abi.ts";
import type { OpenFile } from "../file.ts";
import { FilePath, type Filesystem, type Inode, Path } from "../inode.ts";
import { OwnedText } from "./fd.ts";
import { parseNumber } from "./format.ts";
import { type Owner, PseudoInode, TextFile } from "./node.ts";
import type { Subject } from "./subject.ts";

/** What makes an entry of a directory about `subject`. */
export type Maker = (fs: Filesystem, subject: Subject) => Inode;

/** A file whose text needs only the task (proc_single): ESRCH once that is gone. */
export function single(mode: number, read: (task: Task, subject: Subject, reader: Task) => string | number): Maker {
  return (fs, subject) =>
    new OwnedText(fs, mode, subject, {
      read: (reader) => {
        const { task } = subject;
        return task === null ? -ESRCH : read(task, subject, reader);
      },
    });
}

/** A file of which only those who may inspect the task see the text. */
export function inspected(mode: number, read: (task: Task, reader: Task) => string): Maker {
  return (fs, subject) =>
    new OwnedText(fs, mode, subject, {
      read: (reader) => {
        const task = subject.inspect(reader);
        return typeof task === "number" ? task : read(task, reader);
      },
    });
}

/**
 * When the memory has gone: "empty" files open and read as empty, ESRCH once the task is gone; "kept" ones cannot be opened (ESRCH) but those
 * that are open read as empty; "ESRCH" says so in both cases.
 */
type Exited = "empty" | "kept" | "ESRCH";

/** A file about memory. The memory is that of the time of open: what exec has brought since is not shown. */
class MemoryText extends OwnedText {
  readonly #subject: Subject;
  readonly #read: (mm: Mm, process: Process) => string;
  readonly #exited: Exited;

  constructor(fs: Filesystem, mode: number, subject: Subject, read: MemoryText["text"], exited: Exited) {
    super(fs, mode, subject, {});
    this.#subject = subject;
    this.#read = read;
    this.#exited = exited;
  }
  text(mm: Mm, process: Process): string {
    return this.#read(mm, process);
  }
  override open(opener: Task, path: Path, flags: number): OpenFile | number {
    const mm = this.#subject.memory(opener);
    if (typeof mm === "number") return mm;
    if (mm === null && this.#exited !== "empty") return -ESRCH;
    const { missing, spliceable } = this;
    return new TextFile({ missing, spliceable, actions: { read: () => this.#textOf(mm) } }, path, flags);
  }
  #textOf(mm: Mm | null): string | number {
    if (mm !== null && mm.users > 0) return this.text(mm, this.#subject.process);
    if (this.#exited === "ESRCH") return -ESRCH;
    return this.#exited === "empty" && this.#subject.task === null ? -ESRCH : "";
  }
}

export function memory(mode: number, read: (mm: Mm, process: Process) => string, exited: Exited): Maker {
  return (fs, subject) => new MemoryText(fs, mode, subject, read, exited);
}

/** A link that leads to a place directly (exe, cwd, root). */
class PlaceLink extends PseudoInode {
  readonly #subject: Subject;
  readonly #place: (task: Task) => Path | null;
  constructor(fs: Filesystem, subject: Subject, place: (task: Task) => Path | null) {
    super(fs, S_IFLNK | 0o777);
    this.#subject = subject;
    this.#place = place;
    this.blksize = 1024;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
  override magic(reader: Task): Path | number {
    const task = this.#subject.inspect(reader);
    if (typeof task === "number") return task === -ESRCH ? -ENOENT : task;
    return this.#place(task) ?? -ENOENT;
  }
  override readlink(reader: Task): string | number {
    const path = this.magic(reader);
    if (typeof path === "number") return path;
    if (path instanceof FilePath) return path.file.linkText(reader);
    return reader.kernel.vfs.pathName(path, reader.fs.root);
  }
}

export const place =
  (find: (task: Task) => Path | null): Maker =>
  (fs, subject) =>
    new PlaceLink(fs, subject, find);

type MemoryOpener = (opener: Task, mm: Mm, path: Path, flags: number) => OpenFile;

/** mem and pagemap: files of their own kind. */
class MemoryInode extends PseudoInode {
  readonly #subject: Subject;
  readonly #make: MemoryOpener;
  readonly #access: AccessMode;
  constructor(fs: Filesystem, mode: number, subject: Subject, make: MemoryOpener, access: AccessMode) {
    super(fs, S_IFREG | mode);
    this.#subject = subject;
    this.#access = access;
    this.#make = make;
    this.blksize = 1024;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
  override open(opener: Task, path: Path, flags: number): OpenFile | number {
    const mm = this.#subject.memory(opener, this.#access);
    if (mm === null) return -ESRCH;
    return typeof mm === "number" ? mm : this.#make(opener, mm, path, flags);
  }
}

/** A file of its own kind about memory. */
export const memoryFile =
  (mode: number, make: MemoryOpener, access: AccessMode = { creds: "fs" }): Maker =>
  (fs, subject) =>
    new MemoryInode(fs, mode, subject, make, access);

/** A decimal setting that the process itself or root writes. */
export function setting(
  mode: number,
  get: (task: Task) => string,
  set: (task: Task, value: number, writer: Task) => number,
): Maker {
  return (fs, subject) =>
    new OwnedText(fs, mode, subject, {
      read: () => (subject.task === null ? -ESRCH : get(subject.task)),
      write: (writer, text) => {
        if (subject.task === null) return -ESRCH;
        const value = parseNumber(text);
        return value === undefined ? -EINVAL : set(subject.task, value, writer);
      },
    });
}

/** A file about mounts: no process that has exited has any. */
export const mountFile =
  (mode: number, text: (task: Task) => string | number): Maker =>
  (fs, subject) =>
    new OwnedText(fs, mode, subject, {
      open: () => (subject.task === null || subject.task.fsOrNull === null ? -EINVAL : 0),
      read: () => (subject.task === null ? -EINVAL : text(subject.task)),
    });
