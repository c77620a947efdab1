// Pipes and FIFOs: a ring of bytes between readers and writers (fs/pipe.c). pipe2(2) makes both ends; opening a FIFO's name makes one.
// PIPE_BUF atomicity, capacity, SIGPIPE and hang-up are Linux's.

import { EAGAIN, EBUSY, EINVAL, ENOTTY, ENXIO, EPERM, ERESTARTSYS } from "../../base/errno.ts";
import { PIPE_SIZE } from "../../base/limits.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { putUser32 } from "../../mm/usercopy.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import type { Timespec } from "./abi.ts";
import {
  FIONREAD,
  O_ACCMODE,
  O_DIRECT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PIPEFS_MAGIC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  S_IFIFO,
} from "./abi.ts";
import { OpenFile, type ReadResult } from "./file.ts";
import { Filesystem, Inode, type Path, plainStatFs } from "./inode.ts";
import { CAP_SYS_RESOURCE } from "./permission.ts";
import { PipeBuffers } from "./pipe-buffers.ts";
import { raiseSigpipe } from "./raise.ts";
import type { StatFs } from "./stat.ts";

/** fs.pipe-max-size: the largest capacity without CAP_SYS_RESOURCE. */
const PIPE_MAX_SIZE = 1 << 20;

/** The pipe between its ends (struct pipe_inode_info). */
export class Pipe {
  readonly ring = new PipeBuffers(PIPE_SIZE / PAGE_SIZE);
  /** Woken when there is something to read, or no writer any more. */
  readonly readable = new WaitQueue();
  /** Woken when there is room, or no reader any more. */
  readonly writable = new WaitQueue();
  readers = 0;
  writers = 0;
  /** How often an end was opened: what a FIFO's open waits for. */
  readerGeneration = 0;
  writerGeneration = 0;
}

/** One end (or, opened O_RDWR, both). */
export class PipeFile extends OpenFile {
  readonly pipe: Pipe;

  constructor(pipe: Pipe, flags: number, path: Path | null, inode: Inode) {
    super(flags, path, inode);
    this.pipe = pipe;
    if (this.readable) {
      pipe.readers++;
      pipe.readerGeneration++;
      pipe.writable.wake();
    }
    if (this.writable) {
      pipe.writers++;
      pipe.writerGeneration++;
      pipe.readable.wake();
    }
  }
  protected override release(): void {
    const pipe = this.pipe;
    if (this.readable) pipe.readers--;
    if (this.writable) pipe.writers--;
    if (pipe.readers === 0 && pipe.writers === 0) pipe.ring.clear();
    pipe.readable.wake();
    pipe.writable.wake();
  }

  /** open(2) of a FIFO waits for the other end. */
  override opened(task: Task): number | Generator<Wait, number> {
    if (this.path === null) return 0;
    const pipe = this.pipe;
    const access = this.flags & O_ACCMODE;
    if (access === O_RDONLY && pipe.writers === 0 && !this.nonblocking) {
      return this.#otherEnd(task, pipe.readable, () => pipe.writerGeneration);
    }
    if (access === O_WRONLY && pipe.readers === 0) {
      if (this.nonblocking) return -ENXIO;
      return this.#otherEnd(task, pipe.writable, () => pipe.readerGeneration);
    }
    return 0;
  }
  *#otherEnd(task: Task, queue: WaitQueue, generation: () => number): Generator<Wait, number> {
    const before = generation();
    while (generation() === before) if ((yield* wait(task, queue)) === "signal") return -ERESTARTSYS;
    return 0;
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    const pipe = this.pipe;
    if (length === 0) return new Uint8Array(0);
    if (pipe.ring.length > 0) return this.#take(length);
    if (pipe.writers === 0) return new Uint8Array(0);
    if (this.nonblocking) return -EAGAIN;
    return this.#readWaiting(task, length);
  }
  #take(length: number): Uint8Array {
    const { ring } = this.pipe;
    const wasFull = ring.full;
    const data = ring.take(length);
    if (wasFull && !ring.full) this.pipe.writable.wake();
    return data;
  }
  *#readWaiting(task: Task, length: number): Generator<Wait, ReadResult> {
    const pipe = this.pipe;
    for (;;) {
      if ((yield* wait(task, pipe.readable)) === "signal") return -ERESTARTSYS;
      if (pipe.ring.length > 0) return this.#take(length);
      if (pipe.writers === 0) return new Uint8Array(0);
    }
  }
  override unread(data: Uint8Array): void {
    this.pipe.ring.unread(data);
    this.pipe.readable.wake();
  }

  override write(task: Task, data: Uint8Array): number | Generator<Wait, number> {
    const pipe = this.pipe;
    if (data.length === 0) return 0;
    if (pipe.readers === 0) return raiseSigpipe(task);
    const written = this.#push(data);
    if (written === data.length) return written;
    if (this.nonblocking) return written || -EAGAIN;
    return this.#writeWaiting(task, data, written);
  }
  #push(data: Uint8Array): number {
    const written = this.pipe.ring.push(data, { packet: (this.flags & O_DIRECT) !== 0 });
    if (written > 0) this.pipe.readable.wake();
    return written;
  }
  *#writeWaiting(task: Task, data: Uint8Array, begun: number): Generator<Wait, number> {
    const pipe = this.pipe;
    let written = begun;
    for (;;) {
      if ((yield* wait(task, pipe.writable)) === "signal") return written || -ERESTARTSYS;
      if (pipe.readers === 0) return written || raiseSigpipe(task);
      written += this.#push(data.subarray(written));
      if (written === data.length) return written;
    }
  }

  override poll(): number {
    const pipe = this.pipe;
    let mask = 0;
    if (this.readable) {
      if (pipe.ring.length > 0) mask |= POLLIN | POLLRDNORM;
      if (pipe.writers === 0 && (this.path === null || pipe.writerGeneration > 0)) mask |= POLLHUP;
    }
    if (this.writable) {
      if (!pipe.ring.full) mask |= POLLOUT | POLLWRNORM;
      if (pipe.readers === 0) mask |= POLLERR;
    }
    return mask;
  }
  override pollQueues(): WaitQueue[] {
    const queues: WaitQueue[] = [];
    if (this.readable) queues.push(this.pipe.readable);
    if (this.writable) queues.push(this.pipe.writable);
    return queues;
  }

  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    if (request === FIONREAD) return putUser32(task.mm, arg, this.pipe.ring.length);
    return -ENOTTY;
  }
  /** F_SETPIPE_SZ: the new capacity, or -EBUSY if it holds more, -EPERM above the limit. */
  setCapacity(task: Task, bytes: number): number {
    if (bytes > 2 ** 31) return -EINVAL;
    let size = PAGE_SIZE;
    while (size < bytes) size *= 2;
    const pipe = this.pipe;
    if (size > pipe.ring.capacity && size > PIPE_MAX_SIZE && !task.capable(CAP_SYS_RESOURCE)) return -EPERM;
    if (pipe.ring.used > size / PAGE_SIZE) return -EBUSY;
    pipe.ring.slots = size / PAGE_SIZE;
    pipe.writable.wake();
    return size;
  }

  override linkText(task?: Task): string {
    return this.path ? super.linkText(task) : `pipe:[${this.inode!.ino}]`;
  }
  override reopen(_task: Task, flags: number): OpenFile | undefined {
    return this.path ? undefined : new PipeFile(this.pipe, flags, null, this.inode!);
  }
}

/** The file system of unnamed pipes, and the pipes behind FIFOs that are open. One per kernel. */
export class PipeFs extends Filesystem {
  readonly type = "pipefs";
  readonly root: Inode;
  readonly #fifos = new WeakMap<Inode, Pipe>();

  constructor(devMinor: number, now: () => Timespec) {
    super(devMinor, now);
    this.nextIno = 1024;
    this.root = new AnonInode(this, S_IFIFO);
  }
  override statfs(): StatFs {
    return plainStatFs(PIPEFS_MAGIC);
  }
  /** Both ends of a new pipe; `flags` holds O_NONBLOCK and O_DIRECT for both. */
  create(task: Task, flags: number): [PipeFile, PipeFile] {
    const inode = new AnonInode(this, S_IFIFO | 0o600);
    inode.uid = task.creds.fsuid;
    inode.gid = task.creds.fsgid;
    const pipe = new Pipe();
    const kept = flags & (O_NONBLOCK | O_DIRECT);
    return [new PipeFile(pipe, O_RDONLY | kept, null, inode), new PipeFile(pipe, O_WRONLY | kept, null, inode)];
  }
  /** The open file of the FIFO at `path`: its pipe lives as long as somebody has it open. */
  openFifo(path: Path, flags: number): PipeFile | number {
    let pipe = this.#fifos.get(path.inode);
    if (!pipe) this.#fifos.set(path.inode, (pipe = new Pipe()));
    if ((flags & O_ACCMODE) > O_RDWR) return -EINVAL;
    if ((flags & (O_ACCMODE | O_NONBLOCK)) === (O_WRONLY | O_NONBLOCK) && pipe.readers === 0) return -ENXIO;
    return new PipeFile(pipe, flags, path, path.inode);
  }
}

/** The inode of something without a name. */
export class AnonInode extends Inode {}
