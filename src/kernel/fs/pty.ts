// Pseudo-terminals: /dev/ptmx makes a pair, the master file and a slave Tty under /dev/pts (drivers/tty/pty.c, fs/devpts).

import { EAGAIN, EFAULT, EINVAL, EIO, ENOENT, ERESTARTSYS } from "../../base/errno.ts";
import { getUser32, putUser32 } from "../../mm/usercopy.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import {
  DEVPTS_SUPER_MAGIC,
  FIONREAD,
  O_CLOEXEC,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  S_IFCHR,
  S_IFDIR,
  TCFLSH,
  TCOFLUSH,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCPKT,
  TIOCSPTLCK,
  type Timespec,
  makeDev,
} from "./abi.ts";
import { DirFile } from "./dirfile.ts";
import { OpenFile, type ReadResult } from "./file.ts";
import { Dentry, type DirEntry, Filesystem, Inode, Path, entryOf, plainStatFs } from "./inode.ts";
import { ByteRing } from "./byte-ring.ts";
import type { StatFs } from "./stat.ts";
import { HUPCL } from "./termios.ts";
import { Tty, TtyFile, ttyIoctl } from "./tty.ts";

const PTY_SLAVE_MAJOR = 136;
/** Bytes that wait between a slave's writes and the master's reads. */
const OUTPUT_SIZE = 8192;

/** One pair. */
class Pty {
  readonly index: number;
  readonly tty: Tty;
  readonly toMaster = new ByteRing(OUTPUT_SIZE);
  readonly masterReaders = new WaitQueue();
  locked = true;
  /** A slave has been opened at least once. */
  slaveOpened = false;

  constructor(index: number) {
    this.index = index;
    this.tty = new Tty(makeDev(PTY_SLAVE_MAJOR, index), {
      // Output processing may make two bytes of one: the ring grows rather than lose any.
      write: (bytes) => {
        this.toMaster.capacity = Math.max(OUTPUT_SIZE, this.toMaster.length + bytes.length);
        this.toMaster.push(bytes);
        this.masterReaders.wake();
      },
      room: () => Math.max(0, OUTPUT_SIZE - this.toMaster.length) >> 1,
    });
    this.tty.line.termios.cflag &= ~HUPCL;
  }
}

/** The slave side: an ordinary terminal that tells the master when it closes. */
class SlaveFile extends TtyFile {
  readonly #pty: Pty;
  constructor(pty: Pty, path: Path, flags: number) {
    super(pty.tty, path, flags);
    this.#pty = pty;
    pty.slaveOpened = true;
  }
  protected override release(): void {
    super.release();
    this.#pty.masterReaders.wake();
  }
}

/** The master side. */
class MasterFile extends OpenFile {
  readonly #pty: Pty;
  readonly #fs: PtsFs;

  constructor(fs: PtsFs, pty: Pty, path: Path, flags: number) {
    super(flags, path);
    this.#fs = fs;
    this.#pty = pty;
  }
  protected override release(): void {
    this.#fs.remove(this.#pty.index);
    this.#pty.tty.hangUp();
  }
  get #slaveGone(): boolean {
    return this.#pty.slaveOpened && this.#pty.tty.users === 0;
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    if (this.#pty.toMaster.length > 0) return this.#take(length);
    if (this.#slaveGone) return -EIO;
    if (this.nonblocking) return -EAGAIN;
    return this.#readWaiting(task, length);
  }
  *#readWaiting(task: Task, length: number): Generator<Wait, ReadResult> {
    for (;;) {
      if ((yield* wait(task, this.#pty.masterReaders)) === "signal") return -ERESTARTSYS;
      if (this.#pty.toMaster.length > 0) return this.#take(length);
      if (this.#slaveGone) return -EIO;
    }
  }
  #take(length: number): Uint8Array {
    const data = this.#pty.toMaster.peek(length).slice();
    this.#pty.toMaster.skip(data.length);
    this.#pty.tty.writers.wake();
    return data;
  }
  override unread(data: Uint8Array): void {
    this.#pty.toMaster.unshift(data);
  }
  override write(_task: Task, data: Uint8Array): number {
    this.#pty.tty.input(data);
    return data.length;
  }
  override poll(): number {
    return (
      POLLOUT | POLLWRNORM | (this.#pty.toMaster.length > 0 ? POLLIN | POLLRDNORM : 0) | (this.#slaveGone ? POLLHUP : 0)
    );
  }
  override pollQueues(): WaitQueue[] {
    return [this.#pty.masterReaders];
  }

  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    const pty = this.#pty;
    switch (request) {
      case TIOCGPTN:
        return putUser32(task.mm, arg, pty.index);
      case TIOCSPTLCK: {
        const lock = getUser32(task.mm, arg);
        if (lock < 0) return -EFAULT;
        pty.locked = lock !== 0;
        return 0;
      }
      case TIOCGPTLCK:
        return putUser32(task.mm, arg, Number(pty.locked));
      case TIOCGPTPEER: {
        const path = this.#fs.slavePath(pty.index);
        if (!path) return -EIO;
        const file = new SlaveFile(pty, path, arg & ~O_CLOEXEC);
        const fd = task.files.install(file, { cloexec: (arg & O_CLOEXEC) !== 0 });
        if (fd < 0) file.put();
        return fd;
      }
      case TIOCPKT:
        return -EINVAL;
      case FIONREAD:
        return putUser32(task.mm, arg, pty.toMaster.length);
      case TCFLSH:
        // The master's input is what the slave has written.
        if (arg > 2) return -EINVAL;
        if (arg !== TCOFLUSH) pty.toMaster.clear();
        pty.tty.writers.wake();
        return 0;
      default:
        return ttyIoctl(task, pty.tty, request, arg, { slave: false });
    }
  }
}

/** The file system of /dev/pts: a device for each pair that is open. */
export class PtsFs extends Filesystem {
  readonly type = "devpts";
  readonly root: PtsDir;
  readonly #ptys = new Map<number, { pty: Pty; inode: SlaveInode }>();
  readonly #dentry: Dentry;
  #mountPath: Path | null = null;

  constructor(devMinor: number, now: () => Timespec) {
    super(devMinor, now);
    this.root = new PtsDir(this);
    this.#dentry = new Dentry("/", null, this.root);
    this.options = "gid=5,mode=620,ptmxmode=000";
  }
  statfs(): StatFs {
    return plainStatFs(DEVPTS_SUPER_MAGIC);
  }
  /** Where it is mounted: for names of slaves that nobody looked up. */
  mountedAt(path: Path): void {
    this.#mountPath = path;
  }
  /** Opens /dev/ptmx: a new pair. */
  openMaster(task: Task, path: Path, flags: number): OpenFile {
    let index = 0;
    while (this.#ptys.has(index)) index++;
    const pty = new Pty(index);
    const inode = new SlaveInode(this, pty.tty.device, index + 3);
    inode.uid = task.creds.fsuid;
    inode.gid = 5;
    this.#ptys.set(index, { pty, inode });
    return new MasterFile(this, pty, path, flags);
  }
  /** Opens the slave with device number `rdev`. */
  openSlave(task: Task, path: Path, flags: number, index: number): OpenFile | number {
    const pty = this.#ptys.get(index)?.pty;
    if (!pty || pty.locked) return -EIO;
    const file = TtyFile.open(task, pty.tty, path, flags);
    if (typeof file === "number") return file;
    const slave = new SlaveFile(pty, path, flags);
    file.put();
    return slave;
  }
  slavePath(index: number): Path | null {
    const entry = this.#ptys.get(index);
    if (!entry || !this.#mountPath) return null;
    return new Path(this.#mountPath.mount, this.#mountPath.dentry.child(String(index), entry.inode));
  }
  lookup(name: string): Inode | number {
    return (/^(0|[1-9]\d*)$/.test(name) && this.#ptys.get(Number(name))?.inode) || -ENOENT;
  }
  list(): DirEntry[] {
    return [...this.#ptys].map(([index, { inode }]) => entryOf(String(index), inode));
  }
  remove(index: number): void {
    this.#ptys.delete(index);
    this.#dentry.forget(String(index));
  }
}

class PtsDir extends Inode {
  declare readonly fs: PtsFs;
  constructor(fs: PtsFs) {
    super(fs, S_IFDIR | 0o755);
    this.nlink = 2;
  }
  override lookup(name: string): Inode | number {
    return this.fs.lookup(name);
  }
  override entries(): DirEntry[] {
    return this.fs.list();
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new DirFile(path, flags);
  }
}

class SlaveInode extends Inode {
  constructor(fs: PtsFs, rdev: number, ino: number) {
    super(fs, S_IFCHR | 0o620, ino);
    this.rdev = rdev;
    this.blksize = 1024;
  }
}

export { PTY_SLAVE_MAJOR };
