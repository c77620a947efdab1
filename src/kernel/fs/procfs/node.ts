// What /proc (and /sys) are made of: directories with fixed names, files whose text is made when they are read, links. The trees are put
// together in procfs.ts, pid.ts and sysfs.ts.

import { EINVAL, EIO, ENOENT, EPERM } from "../../../base/errno.ts";
import type { Task } from "../../task.ts";
import { SEEK_CUR, SEEK_SET, S_IFDIR, S_IFLNK, S_IFREG, bytesToString, stringToBytes } from "../abi.ts";
import { DirFile } from "../dirfile.ts";
import { OpenFile } from "../file.ts";
import { type AttrChange, type DirEntry, type Filesystem, Inode, type Path, entryOf } from "../inode.ts";
import type { Stat } from "../stat.ts";

/** The ids that own an inode at the moment. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** An inode whose owner may change by itself (a process changes its credentials). Files of the system belong to root. */
export abstract class PseudoInode extends Inode {
  protected owner(): Owner | null {
    return null;
  }
  #refresh(): void {
    const owner = this.owner();
    if (!owner) return;
    this.uid = owner.uid;
    this.gid = owner.gid;
  }
  override stat(): Stat {
    this.#refresh();
    return super.stat();
  }
  override permission(_task: Task, _mask: number): number | undefined {
    this.#refresh();
    return undefined;
  }
  override setAttr(change: AttrChange): number {
    // chown passes the mode on as it is.
    const changes = change.mode !== undefined && ((change.mode ^ this.mode) & 0o7777) !== 0;
    return changes ? -EPERM : super.setAttr(change);
  }
  override truncate(): number {
    // open(O_TRUNC) of a file that takes writes means nothing (sh: `echo 1 > /proc/sys/…`).
    return 0;
  }
}

/** A directory; subclasses say what is in it. */
export abstract class PseudoDir extends PseudoInode {
  constructor(fs: Filesystem, mode = 0o555, ino?: number) {
    super(fs, S_IFDIR | mode, ino);
    this.nlink = 2;
    this.blksize = 1024;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile | number {
    return new DirFile(path, flags);
  }

  // A name that is not there cannot be made: already looking for it fails.
  override create(): number {
    return -ENOENT;
  }
  override mkdir(): number {
    return -ENOENT;
  }
  override symlink(): number {
    return -ENOENT;
  }
  override link(): number {
    return -ENOENT;
  }
  override rename(_name: string, _inode: Inode, _newDir: Inode, _newName: string, target: Inode | null): number {
    return target === null ? -ENOENT : -EPERM;
  }
}

/** A directory whose names stay as they are, listed in the order in which they were added. */
export class StaticDir extends PseudoDir {
  readonly names = new Map<string, Inode>();

  /** Adds an entry and returns it. */
  add<T extends Inode>(name: string, inode: T): T {
    this.names.set(name, inode);
    if (inode.isDir) this.nlink++;
    return inode;
  }
  override lookup(name: string, _task: Task | null): Inode | number {
    return this.names.get(name) ?? -ENOENT;
  }
  override entries(_task: Task): DirEntry[] | number {
    return [...this.names].map(([name, inode]) => entryOf(name, inode));
  }
}

/** What a file of text does. Numbers that these functions return are 0 or -errno. */
export interface TextActions {
  /** The whole text for `reader`. */
  read?: (reader: Task) => string | number;
  /** Takes what one write(2) wrote. */
  write?: (writer: Task, text: string) => number;
  /** Checked at open. */
  open?: (opener: Task, flags: number) => number;
}

/** What an open TextFile works on. */
export interface TextSource {
  readonly actions: TextActions;
  /** The error of a missing action: EIO, but EINVAL in the directories of processes (their files have operations of their own). */
  readonly missing: number;
  /** sendfile and splice can read it; those of processes not. */
  readonly spliceable: boolean;
}

/** A file whose text is made when it is read (seq_file). */
export class TextInode extends PseudoInode implements TextSource {
  readonly actions: TextActions;
  readonly missing: number = EIO;
  readonly spliceable: boolean = true;
  /** `mode`: permission bits. */
  constructor(fs: Filesystem, mode: number, actions: TextActions, ino?: number) {
    super(fs, S_IFREG | mode, ino);
    this.blksize = 1024;
    this.actions = actions;
  }
  override open(task: Task, path: Path, flags: number): OpenFile | number {
    const error = this.actions.open?.(task, flags) ?? 0;
    return error < 0 ? error : new TextFile(this, path, flags);
  }
}

/** An open TextInode. The text is made when reading begins at 0 or jumps, and kept for the reads that go on from there. */
export class TextFile extends OpenFile {
  readonly #source: TextSource;
  #text: Uint8Array | null = null;
  /** Where the last read ended. */
  #next = 0;

  constructor(source: TextSource, path: Path, flags: number) {
    super(flags, path);
    this.#source = source;
  }
  override get seekable(): boolean {
    return true;
  }
  override get pollable(): boolean {
    return false;
  }
  override get spliceable(): boolean {
    return this.#source.spliceable;
  }
  override seek(offset: number, whence: number): number {
    return whence === SEEK_SET || whence === SEEK_CUR ? super.seek(offset, whence) : -EINVAL;
  }
  override read(task: Task, length: number, pos: number | undefined): Uint8Array | number {
    const at = pos ?? this.pos;
    if (this.#text === null || at === 0 || at !== this.#next) {
      const { actions, missing } = this.#source;
      const text = actions.read ? actions.read(task) : -missing;
      if (typeof text === "number") return text;
      this.#text = stringToBytes(text);
    }
    const data = this.#text.subarray(at, at + length);
    this.#next = at + data.length;
    if (pos === undefined) this.pos = this.#next;
    return data;
  }
  override write(task: Task, data: Uint8Array, pos: number | undefined): number {
    const { actions, missing } = this.#source;
    if (!actions.write) return -missing;
    const error = actions.write(task, bytesToString(data));
    if (error < 0) return error;
    if (pos === undefined) this.pos += data.length;
    return data.length;
  }
}

/** A symbolic link whose text depends on who follows it. */
export class TextLink extends PseudoInode {
  readonly #text: (task: Task) => string | number;
  constructor(fs: Filesystem, text: string | ((task: Task) => string | number), ino?: number) {
    super(fs, S_IFLNK | 0o777, ino);
    this.blksize = 1024;
    this.#text = typeof text === "string" ? () => text : text;
  }
  override readlink(task: Task): string | number {
    return this.#text(task);
  }
}
