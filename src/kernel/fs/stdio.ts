// The guest's standard streams on the host's: the console terminal where the host has one, else files like the ends of pipes.
// boot.ts makes them; Standard.open() gives descriptors 0, 1, 2 of the first program.

import { EAGAIN, EINVAL, ENOTTY, ERESTARTSYS, EBADF } from "../../base/errno.ts";
import { putUser32 } from "../../mm/usercopy.ts";
import type { HostInput, HostOutput, HostPorts } from "../ports.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import {
  FIONREAD,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  S_IFIFO,
  makeDev,
} from "./abi.ts";
import { OpenFile, type ReadResult } from "./file.ts";
import type { Inode, Path } from "./inode.ts";
import { AnonInode, type PipeFs } from "./pipe.ts";
import { raiseSigpipe } from "./raise.ts";
import { Tty, TtyFile } from "./tty.ts";

/** Bytes taken from the host at a time for the terminal. */
const INPUT_CHUNK = 4096;

/** Standard input that is no terminal: read like a pipe. */
class HostInputFile extends OpenFile {
  readonly #input: HostInput;
  readonly #readers: WaitQueue;
  #returned: Uint8Array = new Uint8Array(0);

  constructor(input: HostInput, readers: WaitQueue, inode: Inode) {
    super(O_RDONLY, null, inode);
    this.#input = input;
    this.#readers = readers;
  }
  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    const data = this.#now(length);
    if (data !== undefined) return data;
    return this.nonblocking ? -EAGAIN : this.#readWaiting(task, length);
  }
  *#readWaiting(task: Task, length: number): Generator<Wait, ReadResult> {
    for (;;) {
      if ((yield* wait(task, this.#readers)) === "signal") return -ERESTARTSYS;
      const data = this.#now(length);
      if (data !== undefined) return data;
    }
  }
  #now(length: number): Uint8Array | undefined {
    if (this.#returned.length > 0) {
      const data = this.#returned.subarray(0, length);
      this.#returned = this.#returned.subarray(data.length);
      return data;
    }
    if (length === 0) return new Uint8Array(0);
    const data = this.#input.read(length);
    return data === "eof" ? new Uint8Array(0) : data;
  }
  override unread(data: Uint8Array): void {
    const all = new Uint8Array(data.length + this.#returned.length);
    all.set(data);
    all.set(this.#returned, data.length);
    this.#returned = all;
  }
  override write(): number {
    return -EBADF;
  }
  override poll(): number {
    return this.#returned.length > 0 || this.#input.available > 0 ? POLLIN | POLLRDNORM : 0;
  }
  override pollQueues(): WaitQueue[] {
    return [this.#readers];
  }
  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    if (request !== FIONREAD) return -ENOTTY;
    return putUser32(task.mm, arg, this.#returned.length + this.#input.available);
  }
  override linkText(): string {
    return `pipe:[${this.inode!.ino}]`;
  }
  /** /dev/stdin: the same stream again. */
  override reopen(): OpenFile {
    this.get();
    return this;
  }
}

/** Standard output or error that is no terminal: takes everything at once. */
class HostOutputFile extends OpenFile {
  readonly #output: HostOutput;
  constructor(output: HostOutput, inode: Inode) {
    super(O_WRONLY, null, inode);
    this.#output = output;
  }
  override read(): number {
    return -EBADF;
  }
  override write(task: Task, data: Uint8Array): number {
    return this.#output.write(data) < 0 ? raiseSigpipe(task) : data.length;
  }
  override poll(): number {
    return POLLOUT | POLLWRNORM;
  }
  override fsync(): number {
    return -EINVAL;
  }
  override linkText(): string {
    return `pipe:[${this.inode!.ino}]`;
  }
  override reopen(): OpenFile {
    this.get();
    return this;
  }
}

/** The console and the three streams of one machine. */
export class Standard {
  readonly console: Tty;
  readonly #ports: HostPorts;
  readonly #readers = new WaitQueue();
  readonly #inodes: { in: Inode; out: Inode; err: Inode };

  constructor(ports: HostPorts, pipes: PipeFs) {
    this.#ports = ports;
    const make = (): Inode => new AnonInode(pipes, S_IFIFO | 0o600);
    this.#inodes = { in: make(), out: make(), err: make() };
    const output = ports.stdout.terminal || !ports.stderr.terminal ? ports.stdout : ports.stderr;
    this.console = new Tty(makeDev(5, 1), { write: (bytes) => void output.write(bytes), room: () => 1 << 16 });
    const size = ports.stdout.terminal ?? ports.stdin.terminal;
    if (size) this.console.winsize = { rows: size.rows, columns: size.columns, xpixel: 0, ypixel: 0 };
    ports.onResize = () => this.#resized();
    ports.stdin.onReady = () => this.inputReady();
  }

  #resized(): void {
    const size = this.#ports.stdout.terminal ?? this.#ports.stdin.terminal;
    if (size) this.console.resize({ rows: size.rows, columns: size.columns, xpixel: 0, ypixel: 0 });
  }

  /** More has come from the host. */
  inputReady(): void {
    if (!this.#ports.stdin.terminal) {
      this.#readers.wake();
      return;
    }
    for (;;) {
      const data = this.#ports.stdin.read(INPUT_CHUNK);
      if (data === undefined) return;
      if (data === "eof") return this.console.hangUp();
      this.console.input(data);
    }
  }

  /** The open files for descriptors 0, 1 and 2; `console` is /dev/console's place in the tree. */
  open(console: Path): [OpenFile, OpenFile, OpenFile] {
    const { stdin, stdout, stderr } = this.#ports;
    const terminal = (): OpenFile => new TtyFile(this.console, console, O_RDWR);
    return [
      stdin.terminal ? terminal() : new HostInputFile(stdin, this.#readers, this.#inodes.in),
      stdout.terminal ? terminal() : new HostOutputFile(stdout, this.#inodes.out),
      stderr.terminal ? terminal() : new HostOutputFile(stderr, this.#inodes.err),
    ];
  }
}
