// Open file descriptions (struct file) and descriptor tables. Every kind of open thing — regular file, directory, pipe, socket, terminal, epoll,
// region — is a subclass of OpenFile; what a kind cannot do keeps Linux's errno for a file without that method.

import { EBADF, EINVAL, EMFILE, ENODEV, ENOTTY, EOPNOTSUPP, ESPIPE } from "../../base/errno.ts";
import type { VmFile } from "../../mm/vma.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import type { Wait, WaitQueue } from "../wait.ts";
import {
  DEFAULT_POLLMASK,
  FALLOC_FL_KEEP_SIZE,
  O_ACCMODE,
  O_APPEND,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
} from "./abi.ts";
import type { Inode, Path } from "./inode.ts";
import type { Stat } from "./stat.ts";

/** What a read gives: bytes (none at the end of the file) or -errno. */
export type ReadResult = Uint8Array | number;

/** What watches a file until it is released (epoll). */
export interface ReleaseWatcher {
  fileReleased(file: OpenFile): void;
}

/** One open file description: flags, position, references. */
export abstract class OpenFile {
  /** O_* as open(2) and F_SETFL set them, with the access mode; without O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC and O_CLOEXEC. */
  flags: number;
  /** Position in bytes. */
  pos = 0;
  readonly path: Path | null;
  readonly inode: Inode | null;
  /** Receiver of SIGIO and what else F_SETOWN sets; kept, delivered by those files that can. */
  owner = 0;
  signal = 0;
  readonly watchers = new Set<ReleaseWatcher>();
  #refs = 1;
  #countsAsWriter = false;

  constructor(flags: number, path: Path | null = null, inode: Inode | null = path?.inode ?? null) {
    this.flags = flags;
    this.path = path;
    this.inode = inode;
    inode?.hold();
  }

  get refs(): number {
    return this.#refs;
  }
  get(): void {
    this.#refs++;
  }
  put(): void {
    if (--this.#refs > 0) return;
    if (this.#refs < 0) throw new Error(`file ${this.linkText()} put more often than it was got`);
    for (const watcher of this.watchers) watcher.fileReleased(this);
    this.inode?.locks?.removeRecords(this);
    this.inode?.locks?.removeFlock(this);
    if (this.#countsAsWriter) this.inode!.writers--;
    this.release();
    this.inode?.drop();
  }
  /** It is a regular file opened for writing: nobody can run it until it is released (get_write_access). */
  countAsWriter(): void {
    this.#countsAsWriter = true;
    this.inode!.writers++;
  }
  /** The last reference is gone. */
  protected release(): void {}

  get readable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_WRONLY;
  }
  get writable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_RDONLY;
  }
  get nonblocking(): boolean {
    return (this.flags & O_NONBLOCK) !== 0;
  }
  get append(): boolean {
    return (this.flags & O_APPEND) !== 0;
  }
  /** pread, pwrite and lseek make sense. */
  get seekable(): boolean {
    return false;
  }

  /** Runs after a successful open; what must wait there (a FIFO for its other end) waits here. 0 or -errno. */
  opened(_task: Task): number | Generator<Wait, number> {
    return 0;
  }
  /** A descriptor of it has been closed by the holder of `table` (flush): its record locks on the file go. */
  closed(table: FileTable): void {
    this.inode?.locks?.removeRecords(table);
  }

  /** Up to `length` bytes at `pos`, or at the file's own position (which advances) if undefined. The bytes may be a view: use them at once. */
  read(_task: Task, _length: number, _pos: number | undefined): ReadResult | Generator<Wait, ReadResult> {
    return -EINVAL;
  }
  /** Writes `data` at `pos`, or at the file's own position (its end with O_APPEND): the bytes written, or -errno. */
  write(_task: Task, _data: Uint8Array, _pos: number | undefined): number | Generator<Wait, number> {
    return -EINVAL;
  }
  /** Takes back what read() handed out and the user's buffer could not take. */
  unread(data: Uint8Array): void {
    if (this.seekable) this.pos -= data.length;
  }

  /** Ready events (POLL*). */
  poll(): number {
    return DEFAULT_POLLMASK;
  }
  /** Queues that are woken when the answer of poll() may have changed, for the events asked for. */
  pollQueues(_events?: number): WaitQueue[] {
    return [];
  }
  /** Has a poll method at all: epoll refuses files that have none (EPERM). */
  get pollable(): boolean {
    return true;
  }

  /** sendfile and splice can read from it (splice_read). */
  get spliceable(): boolean {
    return true;
  }

  ioctl(_task: Task, _request: number, _arg: number): SyscallResult {
    return -ENOTTY;
  }

  seek(offset: number, whence: number): number {
    if (!this.seekable) return -ESPIPE;
    const base = whence === SEEK_SET ? 0 : whence === SEEK_CUR ? this.pos : whence === SEEK_END ? this.end() : NaN;
    const to = base + offset;
    if (!(to >= 0)) return -EINVAL;
    return (this.pos = to);
  }
  /** What SEEK_END counts from. */
  protected end(): number {
    return this.inode?.size ?? 0;
  }

  stat(): Stat | number {
    return this.inode ? this.inode.stat() : -EBADF;
  }
  truncate(_size: number): number {
    return -EINVAL;
  }
  fallocate(mode: number, _offset: number, _length: number): number {
    return mode & ~FALLOC_FL_KEEP_SIZE ? -EOPNOTSUPP : -ENODEV;
  }
  fsync(): number {
    return -EINVAL;
  }
  mmap(_request: { prot: number; flags: number; offset: number }): VmFile | number {
    return -ENODEV;
  }
  addSeals(_seals: number): number {
    return -EINVAL;
  }
  getSeals(): number {
    return -EINVAL;
  }
  /** The text of /proc/PID/fd/N. */
  linkText(task?: Task): string {
    return this.path && task ? task.kernel.vfs.pathName(this.path, task.fs.root) : "";
  }
  /** Lines of its own in /proc/PID/fdinfo/N, each with its newline. */
  fdinfo(): string {
    return "";
  }
  /** Opens what a /proc/PID/fd/N link of it names a second time; undefined: open its inode. -EACCES etc. if that cannot be. */
  reopen(_task: Task, _flags: number): OpenFile | number | undefined {
    return undefined;
  }
}

/** An O_PATH descriptor: only a place in the tree. */
export class PathFile extends OpenFile {
  constructor(path: Path, flags: number) {
    super(flags, path);
  }
}

interface Slot {
  readonly file: OpenFile;
  cloexec: boolean;
}

/** A descriptor table (struct files_struct), shared by the threads that share it: get() and put(). */
export class FileTable {
  readonly #slots: (Slot | undefined)[] = [];
  /** No descriptor below it is free. */
  #firstFree = 0;
  #users = 1;

  retain(): this {
    this.#users++;
    return this;
  }
  /** A task stops using the table; the last one closes everything. */
  release(): void {
    if (--this.#users > 0) return;
    for (let fd = 0; fd < this.#slots.length; fd++) this.close(fd);
  }
  get users(): number {
    return this.#users;
  }

  /** The open file at `fd`, O_PATH ones included; undefined if there is none. */
  get(fd: number): OpenFile | undefined {
    return this.#slots[fd]?.file;
  }
  /** The open file at `fd` for I/O: O_PATH descriptors count as not open. */
  io(fd: number): OpenFile | undefined {
    const file = this.#slots[fd]?.file;
    return file && file.flags & O_PATH ? undefined : file;
  }
  cloexec(fd: number): boolean {
    return this.#slots[fd]?.cloexec ?? false;
  }
  setCloexec(fd: number, on: boolean): void {
    const slot = this.#slots[fd];
    if (slot) slot.cloexec = on;
  }

  /** Puts `file` (the caller's reference goes with it) at the lowest free descriptor from `from` on: fd, or -EMFILE at `limit`; then the caller keeps the reference. */
  install(file: OpenFile, options: { cloexec: boolean; from?: number; limit?: number }): number {
    const fd = this.#lowestFree(options.from ?? 0);
    if (fd >= (options.limit ?? 1048576)) return -EMFILE;
    this.#slots[fd] = { file, cloexec: options.cloexec };
    if (fd === this.#firstFree) this.#firstFree = fd + 1;
    return fd;
  }
  /** Puts `file` at `fd`, closing what is there (dup3). */
  installAt(fd: number, file: OpenFile, options: { cloexec: boolean }): number {
    if (this.#slots[fd]) this.close(fd);
    while (this.#slots.length < fd) this.#slots.push(undefined);
    this.#slots[fd] = { file, cloexec: options.cloexec };
    return fd;
  }
  /** 0 or -EBADF. */
  close(fd: number): number {
    const slot = this.#slots[fd];
    if (!slot) return -EBADF;
    this.#slots[fd] = undefined;
    if (fd < this.#firstFree) this.#firstFree = fd;
    slot.file.closed(this);
    slot.file.put();
    return 0;
  }
  /** A copy with references of its own (fork, unshare). */
  fork(): FileTable {
    const copy = new FileTable();
    this.#slots.forEach((slot, fd) => {
      if (!slot) return;
      slot.file.get();
      copy.installAt(fd, slot.file, slot);
    });
    return copy;
  }
  closeOnExec(): void {
    this.#slots.forEach((slot, fd) => slot?.cloexec && this.close(fd));
  }
  /** Open descriptors in ascending order. */
  *entries(): Generator<[fd: number, file: OpenFile]> {
    for (let fd = 0; fd < this.#slots.length; fd++) {
      const slot = this.#slots[fd];
      if (slot) yield [fd, slot.file];
    }
  }
  /** One more than the highest descriptor that was ever open. */
  get end(): number {
    return this.#slots.length;
  }
  /** FDSize of /proc/PID/status: 64 or the next power of two that holds every descriptor so far. */
  get capacity(): number {
    let n = 64;
    while (n < this.#slots.length) n *= 2;
    return n;
  }

  /** The descriptor that install() would choose. */
  nextFree(): number {
    return this.#lowestFree(0);
  }
  #lowestFree(from: number): number {
    let fd = Math.max(from, this.#firstFree);
    while (this.#slots[fd]) fd++;
    while (this.#slots.length < fd) this.#slots.push(undefined);
    return fd;
  }
}
