// Terminals: a line discipline with a session, a foreground job, a window size and two ends. The console and the slave sides of ptys are Ttys;
// TtyFile is what opening one gives. Job control (who may read, write and set) is drivers/tty/tty_jobctrl.c's.

import { EAGAIN, EFAULT, EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser32, putUser32 } from "../../mm/usercopy.ts";
import type { ControllingTerminal, ProcessGroup, Session } from "../process.ts";
import { SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, SIGWINCH, SI_KERNEL, sigbit } from "../siginfo.ts";
import { SIG_IGN } from "../signal-handlers.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import {
  FIONREAD,
  O_NOCTTY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  TCFLSH,
  TCGETA,
  TCGETS,
  TCSBRK,
  TCSBRKP,
  TCSETA,
  TCSETAF,
  TCSETAW,
  TCSETS,
  TCSETSF,
  TCSETSW,
  TCXONC,
  TIOCEXCL,
  TIOCGETD,
  TIOCGLCKTRMIOS,
  TIOCGPGRP,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCSCTTY,
  TIOCSETD,
  TIOCSLCKTRMIOS,
  TIOCSPGRP,
  TIOCSTI,
  TIOCSWINSZ,
} from "./abi.ts";
import { OpenFile, type ReadResult } from "./file.ts";
import type { Path } from "./inode.ts";
import { LineDiscipline } from "./line-discipline.ts";
import { CAP_SYS_ADMIN } from "./permission.ts";
import {
  TERMIOS_SIZE,
  TERMIO_SIZE,
  TOSTOP,
  VMIN,
  VTIME,
  applyTermio,
  decodeTermios,
  encodeTermio,
  encodeTermios,
  keepLocked,
  nothingLocked,
} from "./termios.ts";

/** Rows and columns. */
export interface WindowSize {
  rows: number;
  columns: number;
  xpixel: number;
  ypixel: number;
}

/** How a terminal's output leaves it. */
export interface TtyOutput {
  write(bytes: Uint8Array): void;
  /** Bytes that can be written now. */
  room(): number;
}

export class Tty implements ControllingTerminal {
  readonly device: number;
  readonly line: LineDiscipline;
  foreground: ProcessGroup | null = null;
  session: Session | null = null;
  winsize: WindowSize = { rows: 0, columns: 0, xpixel: 0, ypixel: 0 };
  /** The other end is gone: reads end, writes fail. */
  hungUp = false;
  exclusive = false;
  /** TIOCSLCKTRMIOS: the bits of its settings that nobody changes. */
  locked = nothingLocked();
  /** Open files. */
  users = 0;
  readonly readers = new WaitQueue();
  readonly writers = new WaitQueue();
  readonly #output: TtyOutput;

  constructor(device: number, output: TtyOutput) {
    this.device = device;
    this.#output = output;
    this.line = new LineDiscipline({
      output: (bytes) => this.#output.write(bytes),
      signal: (signo) => this.#signalForeground(signo),
      inputReady: () => this.readers.wake(),
      outputStarted: () => this.writers.wake(),
    });
  }

  /** Bytes that arrive from the keyboard or the master side. */
  input(bytes: Uint8Array): void {
    this.line.input(bytes);
  }
  /** May a program's bytes go out now? */
  get writable(): boolean {
    return !this.line.stopped && this.#output.room() > 0;
  }
  outputRoom(): number {
    return this.#output.room();
  }

  #signalForeground(signo: number): void {
    if (this.foreground) this.#signalGroup(this.foreground, signo);
  }
  #signalGroup(group: ProcessGroup, signo: number): void {
    for (const process of group.members) {
      process.kernel.signals.sendToProcess(process, { signo, code: SI_KERNEL });
    }
  }

  /** The window has another size: SIGWINCH for the foreground. */
  resize(size: WindowSize): void {
    const old = this.winsize;
    this.winsize = size;
    if (old.rows === size.rows && old.columns === size.columns) return;
    this.#signalForeground(SIGWINCH);
  }

  /** Becomes the controlling terminal of `session`. */
  attach(session: Session, foreground: ProcessGroup): void {
    this.session = session;
    this.foreground = foreground;
    session.tty = this;
  }
  disassociate(): void {
    if (this.session) this.session.tty = null;
    this.session = null;
    this.foreground = null;
  }
  /** The carrier is gone (the master was closed): SIGHUP and SIGCONT for the session leader and the foreground, ends for all readers. */
  hangUp(): void {
    if (this.hungUp) return;
    this.hungUp = true;
    const { session, foreground } = this;
    this.disassociate();
    if (foreground) {
      const leader = [...foreground.members].some((p) => p.pid === session?.sid);
      if (session && !leader) this.#hangUpLeader(foreground, session.sid);
      this.#signalGroup(foreground, SIGHUP);
      this.#signalGroup(foreground, SIGCONT);
    }
    this.readers.wake();
    this.writers.wake();
  }
  #hangUpLeader(foreground: ProcessGroup, sid: number): void {
    for (const process of foreground.members) {
      const leader = process.kernel.processes.get(sid);
      if (!leader) return;
      process.kernel.signals.sendToProcess(leader, { signo: SIGHUP, code: SI_KERNEL });
      process.kernel.signals.sendToProcess(leader, { signo: SIGCONT, code: SI_KERNEL });
      return;
    }
  }

  /** A background job does something that only the foreground may: 0 to go on, or the signal was sent and the call ends with the result (__tty_check_change). */
  checkJob(task: Task, signo: number): number {
    const group = task.process.group;
    if (task.process.session.tty !== this || !this.foreground || group === this.foreground) return 0;
    const ignored = (task.sigmask & sigbit(signo)) !== 0n || task.process.handlers.get(signo).handler === SIG_IGN;
    if (ignored) return signo === SIGTTIN ? -EIO : 0;
    if (group.isOrphaned()) return -EIO;
    this.#signalGroup(group, signo);
    task.work = true;
    return -ERESTARTSYS;
  }
}

/** An open terminal. */
export class TtyFile extends OpenFile {
  readonly tty: Tty;

  constructor(tty: Tty, path: Path, flags: number) {
    super(flags & ~O_NOCTTY, path);
    this.tty = tty;
    tty.users++;
  }
  /** Opening a terminal makes it the controlling one of a session leader that has none (unless O_NOCTTY). */
  static open(task: Task, tty: Tty, path: Path, flags: number): TtyFile | number {
    if (tty.hungUp) return -EIO;
    const session = task.process.session;
    const leads = session.sid === task.process.pid;
    if (!(flags & O_NOCTTY) && leads && !session.tty && !tty.session) tty.attach(session, task.process.group);
    return new TtyFile(tty, path, flags);
  }
  protected override release(): void {
    this.tty.users--;
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    const { tty } = this;
    if (tty.hungUp) return new Uint8Array(0);
    const denied = tty.checkJob(task, SIGTTIN);
    if (denied) return denied;
    if (length === 0) return new Uint8Array(0);
    const { cc } = tty.line.termios;
    const min = tty.line.canonical ? 1 : Math.min(cc[VMIN]!, length);
    if (tty.line.readyFor(Math.max(min, 1))) return tty.line.take(length);
    if (!tty.line.canonical && min === 0 && cc[VTIME] === 0) return tty.line.take(length);
    if (this.nonblocking) return tty.line.available > 0 && !tty.line.canonical ? tty.line.take(length) : -EAGAIN;
    return this.#readWaiting(task, length);
  }
  *#readWaiting(task: Task, length: number): Generator<Wait, ReadResult> {
    const { tty } = this;
    const clock = task.kernel.clock;
    const interval = (): number => tty.line.termios.cc[VTIME]! * 1e8;
    // VTIME counts from the call with VMIN 0, and between bytes otherwise.
    let deadline: number | undefined;
    let had = tty.line.available;
    if (!tty.line.canonical && interval() > 0 && (tty.line.termios.cc[VMIN] === 0 || had > 0)) {
      deadline = clock.monotonic() + interval();
    }
    for (;;) {
      const reason = yield* wait(task, tty.readers, { deadline });
      if (tty.hungUp) return new Uint8Array(0);
      const raw = !tty.line.canonical;
      const min = raw ? Math.max(1, Math.min(tty.line.termios.cc[VMIN]!, length)) : 1;
      if (tty.line.readyFor(min)) return tty.line.take(length);
      if (reason === "timeout" && raw) return tty.line.take(length);
      if (reason === "signal") return raw && tty.line.available > 0 ? tty.line.take(length) : -ERESTARTSYS;
      const denied = tty.checkJob(task, SIGTTIN);
      if (denied) return denied;
      if (raw && interval() > 0 && tty.line.available > had) deadline = clock.monotonic() + interval();
      had = tty.line.available;
    }
  }
  override unread(data: Uint8Array): void {
    this.tty.line.untake(data);
  }

  override write(task: Task, data: Uint8Array): number | Generator<Wait, number> {
    const { tty } = this;
    if (tty.hungUp) return -EIO;
    if (tty.line.termios.lflag & TOSTOP) {
      const denied = tty.checkJob(task, SIGTTOU);
      if (denied) return denied;
    }
    if (tty.writable && data.length <= tty.outputRoom()) {
      tty.line.write(data);
      return data.length;
    }
    if (this.nonblocking) {
      if (!tty.writable) return -EAGAIN;
      const part = data.subarray(0, tty.outputRoom());
      tty.line.write(part);
      return part.length;
    }
    return this.#writeWaiting(task, data);
  }
  *#writeWaiting(task: Task, data: Uint8Array): Generator<Wait, number> {
    const { tty } = this;
    let written = 0;
    for (;;) {
      if (tty.hungUp) return written || -EIO;
      if (tty.writable) {
        const part = data.subarray(written, written + tty.outputRoom());
        tty.line.write(part);
        written += part.length;
        if (written === data.length) return written;
        continue;
      }
      if ((yield* wait(task, tty.writers)) === "signal") return written || -ERESTARTSYS;
    }
  }

  override poll(): number {
    const { tty } = this;
    if (tty.hungUp) return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP;
    const { cc } = tty.line.termios;
    const min = cc[VTIME] === 0 && cc[VMIN]! > 0 ? cc[VMIN]! : 1;
    return (tty.line.readyFor(min) ? POLLIN | POLLRDNORM : 0) | (tty.writable ? POLLOUT | POLLWRNORM : 0);
  }
  override pollQueues(): WaitQueue[] {
    return [this.tty.readers, this.tty.writers];
  }

  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    if (this.tty.hungUp) return request === TIOCSPGRP ? -ENOTTY : -EIO;
    return ttyIoctl(task, this.tty, request, arg, { slave: true });
  }
}

/** TCSETS*, and TCSETA* with the old structure: settings take effect at once, as output never waits. */
function setTermios(task: Task, tty: Tty, request: number, arg: number, end: { slave: boolean }): number {
  const old = request >= TCGETA;
  const bytes = copyFromUser(task.mm, arg, old ? TERMIO_SIZE : TERMIOS_SIZE);
  if (typeof bytes === "number") return bytes;
  const denied = end.slave ? tty.checkJob(task, SIGTTOU) : 0;
  if (denied) return denied;
  if (request === TCSETSF || request === TCSETAF) tty.line.flushInput();
  const wanted = old ? applyTermio(tty.line.termios, bytes) : decodeTermios(bytes);
  tty.line.setTermios(keepLocked(wanted, tty.line.termios, tty.locked));
  tty.readers.wake();
  return 0;
}

/** ioctls that both ends of a terminal answer. The master asks and sets its slave without job control (`slave: false`). */
export function ttyIoctl(task: Task, tty: Tty, request: number, arg: number, end: { slave: boolean }): SyscallResult {
  switch (request) {
    case TCGETS:
      return copyToUser(task.mm, arg, encodeTermios(tty.line.termios));
    case TCGETA:
      return copyToUser(task.mm, arg, encodeTermio(tty.line.termios));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
      return setTermios(task, tty, request, arg, end);
    case TIOCGLCKTRMIOS:
      return copyToUser(task.mm, arg, encodeTermios(tty.locked));
    case TIOCSLCKTRMIOS: {
      if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
      const bytes = copyFromUser(task.mm, arg, TERMIOS_SIZE);
      if (typeof bytes === "number") return bytes;
      tty.locked = decodeTermios(bytes);
      return 0;
    }
    case TIOCGWINSZ: {
      const { rows, columns, xpixel, ypixel } = tty.winsize;
      const bytes = new Uint8Array(Uint16Array.of(rows, columns, xpixel, ypixel).buffer);
      return copyToUser(task.mm, arg, bytes);
    }
    case TIOCSWINSZ: {
      const bytes = copyFromUser(task.mm, arg, 8);
      if (typeof bytes === "number") return bytes;
      const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
      const [rows, columns, xpixel, ypixel] = [0, 2, 4, 6].map((at) => view.getUint16(at, true)) as [
        number,
        number,
        number,
        number,
      ];
      tty.resize({ rows, columns, xpixel, ypixel });
      return 0;
    }
    case FIONREAD:
      return putUser32(task.mm, arg, tty.line.available);
    case TIOCOUTQ:
      return putUser32(task.mm, arg, 0);
    case TCFLSH:
      return flush(task, tty, arg, end);
    case TCXONC:
    case TCSBRK:
    case TCSBRKP:
      return end.slave ? tty.checkJob(task, SIGTTOU) : 0;
    case TIOCEXCL:
    case TIOCNXCL:
      tty.exclusive = request === TIOCEXCL;
      return 0;
    case TIOCGETD:
      return putUser32(task.mm, arg, 0);
    case TIOCSETD: {
      const discipline = getUser32(task.mm, arg);
      return discipline < 0 ? -EFAULT : discipline === 0 ? 0 : -EINVAL;
    }
    case TIOCSTI: {
      const byte = copyFromUser(task.mm, arg, 1);
      if (typeof byte === "number") return byte;
      // dev.tty.legacy_tiocsti is 0 in Debian's kernel: only CAP_SYS_ADMIN may push input.
      if (!task.capable(CAP_SYS_ADMIN)) return -EIO;
      tty.input(byte);
      return 0;
    }
    default:
      return jobIoctl(task, tty, request, arg, end);
  }
}

function flush(task: Task, tty: Tty, which: number, end: { slave: boolean }): number {
  const denied = end.slave ? tty.checkJob(task, SIGTTOU) : 0;
  if (denied) return denied;
  if (which > 2) return -EINVAL;
  if (which !== 1) tty.line.flushInput();
  return 0;
}

/** The ioctls of job control. */
function jobIoctl(task: Task, tty: Tty, request: number, arg: number, end: { slave: boolean }): SyscallResult {
  const { process } = task;
  const own = process.session.tty === tty;
  switch (request) {
    case TIOCGPGRP:
      if (end.slave && !own) return -ENOTTY;
      return putUser32(task.mm, arg, tty.foreground?.pgid ?? 0);
    case TIOCSPGRP: {
      const denied = end.slave ? tty.checkJob(task, SIGTTOU) : 0;
      if (denied) return denied === -EIO ? -ENOTTY : denied;
      if (!own) return -ENOTTY;
      const pgid = getUser32(task.mm, arg);
      if (pgid < 0) return -EFAULT;
      if ((pgid | 0) < 0) return -EINVAL;
      const group = task.kernel.groups.get(pgid);
      if (!group) return -ESRCH;
      if (group.session !== process.session) return -EPERM;
      tty.foreground = group;
      return 0;
    }
    case TIOCGSID:
      if (end.slave && !own) return -ENOTTY;
      return tty.session ? putUser32(task.mm, arg, tty.session.sid) : -ENOTTY;
    case TIOCSCTTY: {
      const session = process.session;
      if (own && session.sid === process.pid) return 0;
      if (session.sid !== process.pid || session.tty) return -EPERM;
      if (tty.session) {
        if (arg !== 1 || !task.capable(CAP_SYS_ADMIN)) return -EPERM;
        tty.disassociate();
      }
      tty.attach(session, process.group);
      return 0;
    }
    case TIOCNOTTY:
      if (!own) return -ENOTTY;
      if (process.session.sid === process.pid) {
        const foreground = tty.foreground;
        tty.disassociate();
        for (const member of foreground?.members ?? []) {
          member.kernel.signals.sendToProcess(member, { signo: SIGHUP, code: SI_KERNEL });
          member.kernel.signals.sendToProcess(member, { signo: SIGCONT, code: SI_KERNEL });
        }
      }
      return 0;
    default:
      return -ENOTTY;
  }
}
