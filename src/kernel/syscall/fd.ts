// Calls that make, copy and configure descriptors: openat, openat2, close, close_range, dup, fcntl, flock, pipe2, memfd_create, umask
// (fs/open.c, fs/file.c, fs/fcntl.c, fs/locks.c).
import { E2BIG, EBADF, EFAULT, EINVAL, EMFILE, ENAMETOOLONG, EOPNOTSUPP, EOVERFLOW, EPERM } from "../../base/errno.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { copyFromUser, copyToUser, readString } from "../../mm/usercopy.ts";
import {
  FASYNC,
  FD_CLOEXEC,
  F_ADD_SEALS,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_DUPFD_QUERY,
  F_GETFD,
  F_GETFL,
  F_GETLEASE,
  F_GETLK,
  F_GETOWN,
  F_GETPIPE_SZ,
  F_GETSIG,
  F_GET_SEALS,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_SETFD,
  F_SETFL,
  F_SETLK,
  F_SETLKW,
  F_SETOWN,
  F_SETPIPE_SZ,
  F_SETSIG,
  F_UNLCK,
  F_WRLCK,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_LARGEFILE,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  __O_TMPFILE,
} from "../fs/abi.ts";
import type { OpenFile } from "../fs/file.ts";
import { FileLocks, LOCK_EX, LOCK_MAND, LOCK_NB, LOCK_SH, LOCK_UN, type RecordLock, lockType } from "../fs/lock.ts";
import { MFD_CLOEXEC, MFD_NAME_MAX, memfdCreate } from "../fs/memfd.ts";
import { ownerOrCapable } from "../fs/permission.ts";
import { PipeFile } from "../fs/pipe.ts";
import { put64 } from "../fs/stat.ts";
import { VALID_OPEN_FLAGS } from "../fs/vfs.ts";
import { RLIMIT_NOFILE } from "../rlimit.ts";
import type { Task } from "../task.ts";
import type { Wait } from "../wait.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const noFile = (task: Task): number => task.process.rlimit(RLIMIT_NOFILE);

/** Gives `file` (its reference goes with it) the lowest free descriptor, or drops it and says -EMFILE. */
function install(task: Task, file: OpenFile, options: { cloexec: boolean; from?: number }): number {
  const { cloexec, from } = options;
  const fd = task.files.install(file, { cloexec, from: from ?? 0, limit: noFile(task) });
  if (fd < 0) file.put();
  return fd;
}

// Opening

function open(task: Task, dirfd: number, path: string, flags: number, mode: number, resolve: number): SyscallResult {
  // A descriptor is found before anything is made or truncated.
  if (task.files.nextFree() >= noFile(task)) return -EMFILE;
  const file = task.kernel.vfs.open(task, dirfd, path, flags, mode, resolve);
  if (typeof file === "number") return file;
  const ready = file.opened(task);
  const cloexec = (flags & O_CLOEXEC) !== 0;
  if (typeof ready !== "number") return openWaiting(task, file, ready, { cloexec });
  if (ready === 0) return install(task, file, { cloexec });
  file.put();
  return ready;
}
function* openWaiting(
  task: Task,
  file: OpenFile,
  ready: Generator<Wait, number>,
  options: { cloexec: boolean },
): Generator<Wait, number> {
  const error = yield* ready;
  if (error === 0) return install(task, file, options);
  file.put();
  return error;
}

function openat(task: Task, args: Args): SyscallResult {
  const path = readString(task.mm, args.ptr(1), PATH_MAX);
  if (typeof path === "number") return path;
  const flags = (args.u32(2) & VALID_OPEN_FLAGS) | O_LARGEFILE;
  if (flags & __O_TMPFILE && flags & O_PATH) return open(task, args.i32(0), path, flags & ~__O_TMPFILE, 0, 0);
  return open(task, args.i32(0), path, flags, flags & (O_CREAT | __O_TMPFILE) ? args.u32(3) & 0o7777 : 0, 0);
}

const OPEN_HOW_SIZE = 24;
/** A struct of user memory that may be longer than we know it: its bytes, or -E2BIG if what we do not know is not zero (copy_struct_from_user). */
function extensible(task: Task, address: number, size: number, known: number): DataView | number {
  if (size < known) return -EINVAL;
  if (size > PAGE_SIZE) return -E2BIG;
  const bytes = copyFromUser(task.mm, address, size);
  if (typeof bytes === "number") return bytes;
  if (bytes.subarray(known).some((byte) => byte !== 0)) return -E2BIG;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function openat2(task: Task, args: Args): SyscallResult {
  const how = extensible(task, args.ptr(2), args.u(3), OPEN_HOW_SIZE);
  if (typeof how === "number") return how;
  const [flags, mode, resolve] = [how.getUint32(0, true), how.getUint32(8, true), how.getUint32(16, true)];
  if (how.getUint32(4, true) || how.getUint32(12, true) || how.getUint32(20, true)) return -EINVAL;
  const makes = (flags & (O_CREAT | __O_TMPFILE)) !== 0;
  if (flags & ~VALID_OPEN_FLAGS || resolve & ~0x3f) return -EINVAL;
  if (mode & ~0o7777 || (!makes && mode !== 0)) return -EINVAL;
  if (resolve & RESOLVE_BENEATH && resolve & RESOLVE_IN_ROOT) return -EINVAL;
  if (flags & O_PATH && flags & ~(O_PATH | 0o200000 | 0o400000 | O_CLOEXEC)) return -EINVAL;
  const path = readString(task.mm, args.ptr(1), PATH_MAX);
  return typeof path === "number" ? path : open(task, args.i32(0), path, flags, mode, resolve);
}

// Closing and copying

const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

function closeRange(task: Task, args: Args): SyscallResult {
  const [first, last, flags] = [args.u32(0), args.u32(1), args.u32(2)];
  if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last) return -EINVAL;
  if (flags & CLOSE_RANGE_UNSHARE && task.files.users > 1) {
    const own = task.files.fork();
    task.files.release();
    task.setFiles(own);
  }
  const { files } = task;
  for (let fd = first; fd <= last && fd < files.end; fd++) {
    if (flags & CLOSE_RANGE_CLOEXEC) files.setCloexec(fd, true);
    else files.close(fd);
  }
  return 0;
}

function dupFrom(task: Task, file: OpenFile, from: number, options: { cloexec: boolean }): number {
  if (from >= noFile(task)) return -EINVAL;
  file.get();
  return install(task, file, { cloexec: options.cloexec, from });
}
function dup(task: Task, args: Args): SyscallResult {
  const file = task.files.get(args.u32(0));
  if (!file) return -EBADF;
  file.get();
  return install(task, file, { cloexec: false });
}
function dup3(task: Task, args: Args): SyscallResult {
  const [from, to, flags] = [args.u32(0), args.u32(1), args.u32(2)];
  if (flags & ~O_CLOEXEC || from === to) return -EINVAL;
  if (to >= noFile(task)) return -EBADF;
  const file = task.files.get(from);
  if (!file) return -EBADF;
  file.get();
  return task.files.installAt(to, file, { cloexec: (flags & O_CLOEXEC) !== 0 });
}

function pipe2(task: Task, args: Args): SyscallResult {
  const flags = args.u32(1);
  if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) return -EINVAL;
  const cloexec = (flags & O_CLOEXEC) !== 0;
  const [reader, writer] = task.kernel.vfs.pipes.create(task, flags);
  const fds = new Uint32Array(2);
  const first = install(task, reader, { cloexec });
  if (first < 0) {
    writer.put();
    return first;
  }
  const second = install(task, writer, { cloexec });
  if (second < 0) {
    task.files.close(first);
    return second;
  }
  fds.set([first, second]);
  if (copyToUser(task.mm, args.ptr(0), new Uint8Array(fds.buffer)) === 0) return 0;
  task.files.close(first);
  task.files.close(second);
  return -EFAULT;
}

function memfd(task: Task, args: Args): SyscallResult {
  const flags = args.u32(1);
  const name = readString(task.mm, args.ptr(0), MFD_NAME_MAX + 1);
  if (typeof name === "number") return name === -ENAMETOOLONG ? -EINVAL : name;
  const file = memfdCreate(task, task.kernel.vfs.memfds, name, flags);
  return typeof file === "number" ? file : install(task, file, { cloexec: (flags & MFD_CLOEXEC) !== 0 });
}

function umask(task: Task, args: Args): SyscallResult {
  const old = task.fs.umask;
  task.fs.umask = args.u32(0) & 0o777;
  return old;
}

// fcntl

const F_SETOWN_EX = 15;
const F_GETOWN_EX = 16;
/** Flags that F_SETFL changes. */
const SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC;
/** What F_GETFL hides of the flags that open left in an open file. */
const hidden = (flags: number): number => flags & ~O_CLOEXEC;

function fcntl(task: Task, args: Args): SyscallResult {
  const fd = args.u32(0);
  const command = args.u32(1);
  const file = task.files.get(fd);
  if (!file) return -EBADF;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return dupFrom(task, file, args.u32(2), { cloexec: command === F_DUPFD_CLOEXEC });
    case F_GETFD:
      return task.files.cloexec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      task.files.setCloexec(fd, (args.u32(2) & FD_CLOEXEC) !== 0);
      return 0;
    case F_GETFL:
      return hidden(file.flags);
    case F_DUPFD_QUERY:
      return Number(task.files.get(args.u32(2)) === file);
  }
  if (file.flags & O_PATH) return -EBADF;
  switch (command) {
    case F_SETFL:
      return setFlags(task, file, args.u32(2));
    case F_GETLK:
    case F_OFD_GETLK:
      return getLock(task, file, args.ptr(2), { ofd: command === F_OFD_GETLK });
    case F_SETLK:
    case F_SETLKW:
      return setLock(task, fd, file, args.ptr(2), { ofd: false, wait: command === F_SETLKW });
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return setLock(task, fd, file, args.ptr(2), { ofd: true, wait: command === F_OFD_SETLKW });
    default:
      return fileControl(task, file, command, args);
  }
}

/** The commands that concern what kind of file it is, and its owner. */
function fileControl(task: Task, file: OpenFile, command: number, args: Args): SyscallResult {
  switch (command) {
    case F_GETOWN:
      return file.owner;
    case F_SETOWN:
      file.owner = args.i32(2);
      return 0;
    case F_GETOWN_EX: {
      const words = Int32Array.of(file.owner < 0 ? 2 : 1, Math.abs(file.owner));
      return copyToUser(task.mm, args.ptr(2), new Uint8Array(words.buffer));
    }
    case F_SETOWN_EX: {
      const bytes = copyFromUser(task.mm, args.ptr(2), 8);
      if (typeof bytes === "number") return bytes;
      const [type, pid] = new Int32Array(bytes.buffer, bytes.byteOffset, 2);
      if (type > 2) return -EINVAL;
      file.owner = type === 2 ? -pid : pid;
      return 0;
    }
    case F_GETSIG:
      return file.signal;
    case F_SETSIG:
      if (args.u32(2) > 64) return -EINVAL;
      file.signal = args.u32(2);
      return 0;
    case F_GETLEASE:
      return F_UNLCK;
    case F_GETPIPE_SZ:
      return file instanceof PipeFile ? file.pipe.ring.capacity : -EBADF;
    case F_SETPIPE_SZ:
      return file instanceof PipeFile ? file.setCapacity(task, args.u32(2)) : -EBADF;
    case F_ADD_SEALS:
      return file.addSeals(args.u32(2));
    case F_GET_SEALS:
      return file.getSeals();
    default:
      // Leases, directory notification, write hints: not supported here, which is what a file system without them says.
      return -EINVAL;
  }
}

function setFlags(task: Task, file: OpenFile, flags: number): number {
  const turnsOn = flags & ~file.flags;
  if (turnsOn & O_NOATIME && file.inode !== null && !ownerOrCapable(task, file.inode)) return -EPERM;
  if (flags & O_DIRECT && file instanceof PipeFile === false && !file.seekable) return -EINVAL;
  file.flags = (file.flags & ~SETTABLE) | (flags & SETTABLE);
  return 0;
}

// Record locks

const FLOCK_SIZE = 32;
const OFFSET_MAX = 2 ** 63;

/** struct flock: l_type, l_whence, l_start, l_len, l_pid. */
interface Flock {
  type: number;
  /** First and last byte; Infinity: to the end. */
  start: number;
  end: number;
  pid: number;
}

/** The range of a struct flock in user memory; -EFAULT, -EINVAL, -EOVERFLOW. */
function readFlock(task: Task, file: OpenFile, address: number): Flock | number {
  const bytes = copyFromUser(task.mm, address, FLOCK_SIZE);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FLOCK_SIZE);
  const whence = view.getInt16(2, true);
  const base =
    whence === SEEK_SET ? 0 : whence === SEEK_CUR ? file.pos : whence === SEEK_END ? (file.inode?.size ?? 0) : NaN;
  if (Number.isNaN(base)) return -EINVAL;
  const start = base + Number(view.getBigInt64(8, true));
  const length = Number(view.getBigInt64(16, true));
  if (start >= OFFSET_MAX) return -EOVERFLOW;
  if (start < 0) return -EINVAL;
  const flock = { type: view.getInt16(0, true), start, end: Infinity, pid: view.getInt32(24, true) };
  if (length > 0) {
    if (start + length - 1 >= OFFSET_MAX) return start + length - 1 > OFFSET_MAX ? -EOVERFLOW : flock;
    flock.end = start + length - 1;
  } else if (length < 0) {
    if (start + length < 0) return -EINVAL;
    flock.start = start + length;
    flock.end = start - 1;
  }
  return flock;
}

function getLock(task: Task, file: OpenFile, address: number, options: { ofd: boolean }): number {
  const wanted = readFlock(task, file, address);
  if (typeof wanted === "number") return wanted;
  const type = lockType(wanted.type);
  if (type === undefined || (type === F_UNLCK && !options.ofd)) return -EINVAL;
  if (options.ofd && wanted.pid !== 0) return -EINVAL;
  const owner = options.ofd ? file : task.files;
  const { start, end, pid } = wanted;
  const probe: RecordLock = { owner, type: type === F_WRLCK ? F_WRLCK : F_RDLCK, start, end, pid };
  const found = type === F_UNLCK ? undefined : file.inode?.locks?.conflict(probe);
  const out = copyFromUser(task.mm, address, FLOCK_SIZE);
  if (typeof out === "number") return out;
  const view = new DataView(out.buffer, out.byteOffset, FLOCK_SIZE);
  view.setInt16(0, found ? found.type : F_UNLCK, true);
  if (found) {
    view.setInt16(2, SEEK_SET, true);
    put64(view, 8, found.start);
    put64(view, 16, found.end === Infinity ? 0 : found.end - found.start + 1);
    view.setInt32(24, found.pid, true);
  }
  return copyToUser(task.mm, address, out);
}

function setLock(
  task: Task,
  fd: number,
  file: OpenFile,
  address: number,
  options: { ofd: boolean; wait: boolean },
): SyscallResult {
  const wanted = readFlock(task, file, address);
  if (typeof wanted === "number") return wanted;
  const type = lockType(wanted.type);
  if (type === undefined) return -EINVAL;
  if (type === F_RDLCK && !file.readable) return -EBADF;
  if (type === F_WRLCK && !file.writable) return -EBADF;
  if (options.ofd && wanted.pid !== 0) return -EINVAL;
  const { inode } = file;
  if (inode === null) return -EBADF;
  const owner = options.ofd ? file : task.files;
  const pid = options.ofd ? -1 : task.tgid;
  const { start, end } = wanted;
  if (type === F_UNLCK) {
    inode.locks?.set({ owner, type, start, end, pid });
    return 0;
  }
  const locks = (inode.locks ??= new FileLocks());
  const result = task.kernel.vfs.locks.lock(
    task,
    locks,
    { owner, type, start, end, pid },
    {
      wait: options.wait,
      posix: !options.ofd,
    },
  );
  if (typeof result === "number") return result;
  return lockWaiting(task, fd, file, locks, result);
}
/** If another thread closed the descriptor meanwhile, the lock that was got goes again. */
function* lockWaiting(
  task: Task,
  fd: number,
  file: OpenFile,
  locks: FileLocks,
  waiting: Generator<Wait, number>,
): Generator<Wait, number> {
  const result = yield* waiting;
  if (result === 0 && task.files.get(fd) !== file) {
    locks.removeRecords(task.files);
    return -EBADF;
  }
  return result;
}

function flock(task: Task, args: Args): SyscallResult {
  const operation = args.u32(1);
  if (operation & LOCK_MAND) return -EOPNOTSUPP;
  const type = operation & ~LOCK_NB;
  if (type !== LOCK_SH && type !== LOCK_EX && type !== LOCK_UN) return -EINVAL;
  const file = task.files.io(args.u32(0));
  if (!file) return -EBADF;
  if (type !== LOCK_UN && !file.readable && !file.writable) return -EBADF;
  const { inode } = file;
  if (inode === null) return -EBADF;
  const locks = (inode.locks ??= new FileLocks());
  return task.kernel.vfs.locks.flock(task, locks, file, operation);
}

export const fdCalls: readonly SyscallEntry[] = [
  { nr: 23, name: "dup", handler: dup, args: "fd" },
  { nr: 24, name: "dup3", handler: dup3, args: "fd fd oflags" },
  { nr: 25, name: "fcntl", handler: fcntl, args: "fd fcntl fcntlarg" },
  { nr: 32, name: "flock", handler: flock, args: "fd hex" },
  { nr: 56, name: "openat", handler: openat, args: "dirfd path oflags mode" },
  { nr: 57, name: "close", handler: (task, args) => task.files.close(args.u32(0)), args: "fd" },
  { nr: 59, name: "pipe2", handler: pipe2, args: "fdpair oflags" },
  { nr: 166, name: "umask", handler: umask, args: "mode" },
  { nr: 279, name: "memfd_create", handler: memfd, args: "path hex" },
  { nr: 436, name: "close_range", handler: closeRange, args: "uint uint hex" },
  { nr: 437, name: "openat2", handler: openat2, args: "dirfd path ptr size" },
];
