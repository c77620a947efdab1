// Calls that move bytes through descriptors: read and write in all their forms, lseek, truncation and allocation, ioctl. The rules
// here are fs/read_write.c's; what a file does is its own business (kernel/fs/file.ts). Hot: read and write of small sizes allocate little.
import { EAGAIN, EBADF, EFAULT, EFBIG, EINVAL, EISDIR, ENODEV, ENOTTY, EOPNOTSUPP, ESPIPE } from "../../base/errno.ts";
import { MAX_RW_COUNT, TASK_SIZE } from "../../base/limits.ts";
import { PAGE_SIZE, pageDown } from "../../base/numbers.ts";
import { KernelBug } from "../../base/bug.ts";
import { FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, O_NONBLOCK } from "../fs/abi.ts";
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_UNSHARE_RANGE,
  FALLOC_FL_ZERO_RANGE,
} from "../fs/abi.ts";
import { FASYNC, O_APPEND, S_IFBLK, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, isDir, isRegular } from "../fs/abi.ts";
import type { OpenFile, ReadResult } from "../fs/file.ts";
import { PipeFile } from "../fs/pipe.ts";
import { fileSizeLimit } from "../fs/raise.ts";
import { RegularFile } from "../fs/regular.ts";
import type { Task } from "../task.ts";
import type { Wait } from "../wait.ts";
import { copyFromUser, putUser32, readUser, writeUser } from "../../mm/usercopy.ts";
import { spliceCalls } from "./splice.ts";
import { syncCalls } from "./sync.ts";
import type { Args, Handler, SyscallEntry, SyscallResult } from "./table.ts";
import { type UserSpan, readVector, scatter, gather } from "./user-vector.ts";

/** Bytes that cross at a time: larger transfers to files go in pieces of this size. */
const CHUNK = 1 << 20;

/** Where a transfer goes on in the file: a position of the call's own, or the file's (undefined). */
type Position = number | undefined;

const isResult = (r: ReadResult | Generator<Wait, ReadResult>): r is ReadResult =>
  typeof r === "number" || r instanceof Uint8Array;

// Reading

/** Hands what a read gave to one user buffer: the bytes that got there, or -EFAULT. */
function deliver(task: Task, file: OpenFile, address: number, got: ReadResult, pos: Position): number {
  if (typeof got === "number") return got;
  const length = got.length;
  if (length === 0) return 0;
  let copied = writeUser(task.mm, address, got);
  if (copied === length) return length;
  copied = settledBytes(file, copied);
  if (pos === undefined) file.unread(got.subarray(copied));
  return copied || -EFAULT;
}
function* deliverLater(
  task: Task,
  file: OpenFile,
  address: number,
  got: Generator<Wait, ReadResult>,
  pos: Position,
): Generator<Wait, number> {
  return deliver(task, file, address, yield* got, pos);
}

/** read(2) and pread64(2) with the checks that are common to all files. */
function readInto(task: Task, file: OpenFile, address: number, length: number, pos: Position): SyscallResult {
  if (!file.readable) return -EBADF;
  if (address + length > TASK_SIZE) return -EFAULT;
  if (length > CHUNK) return readLong(task, file, address, Math.min(length, MAX_RW_COUNT), pos);
  if (isMappingOf(task, file, address, length))
    return byPages(file, length, pos, (from, count) => {
      const at = pos === undefined ? undefined : pos + from;
      const piece = file.read(task, count, at);
      return isResult(piece) ? deliver(task, file, address + from, piece, at) : -EINVAL;
    });
  const got = file.read(task, length, pos);
  return isResult(got) ? deliver(task, file, address, got, pos) : deliverLater(task, file, address, got, pos);
}
/** A long read: files that seek are read in pieces until one is short; others give what they have. */
function readLong(task: Task, file: OpenFile, address: number, length: number, pos: Position): SyscallResult {
  let done = 0;
  while (done < length) {
    const got = file.read(task, Math.min(CHUNK, length - done), pos === undefined ? undefined : pos + done);
    if (!isResult(got)) return done > 0 ? done : deliverLater(task, file, address, got, pos);
    const n = deliver(task, file, address + done, got, pos);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < CHUNK || !file.seekable) break;
  }
  return done;
}

function read(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  return file === undefined ? -EBADF : readInto(task, file, args.ptr(1), args.u(2), undefined);
}
function pread64(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  const pos = args.s(3);
  if (pos < 0) return -EINVAL;
  return file.seekable ? readInto(task, file, args.ptr(1), args.u(2), pos) : -ESPIPE;
}

/** readv and its relatives: one read of all that the buffers take, spread over them. */
function readSpans(task: Task, file: OpenFile, spans: readonly UserSpan[], pos: Position): SyscallResult {
  if (spans.length === 1) return readInto(task, file, spans[0].address, spans[0].length, pos);
  const length = spans.reduce((sum, span) => sum + span.length, 0);
  let done = 0;
  const finish = (got: ReadResult): number => {
    if (typeof got === "number") return got;
    let copied = scatter(task.mm, spans, done, got);
    if (copied < got.length) copied = settledBytes(file, copied);
    if (copied < got.length && pos === undefined) file.unread(got.subarray(copied));
    return copied === 0 && got.length > 0 ? -EFAULT : copied;
  };
  function* later(got: Generator<Wait, ReadResult>): Generator<Wait, number> {
    return finish(yield* got);
  }
  do {
    const want = Math.min(CHUNK, length - done);
    const got = file.read(task, want, pos === undefined ? undefined : pos + done);
    if (!isResult(got)) return done > 0 ? done : later(got);
    const n = finish(got);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < CHUNK || !file.seekable) break;
  } while (done < length);
  return done;
}

// Writing

/**
 * What a fault in the middle leaves of `copied` bytes: files take them all, pipes whole pages; messages and counters are whole or nothing.
 */
function settledBytes(file: OpenFile, copied: number): number {
  if (file instanceof PipeFile) return pageDown(copied);
  return file.seekable ? copied : 0;
}

/** Bytes of the user's for a write. */
const fetchBytes = (task: Task, address: number, length: number, file: OpenFile): Uint8Array | number => {
  const bytes = new Uint8Array(length);
  const copied = readUser(task.mm, address, bytes);
  if (copied === length) return bytes;
  const settled = settledBytes(file, copied);
  return settled > 0 ? bytes.subarray(0, settled) : -EFAULT;
};

/** write(2) and pwrite64(2) with the checks that are common to all files. */
function writeFrom(task: Task, file: OpenFile, address: number, length: number, pos: Position): SyscallResult {
  if (!file.writable) return -EBADF;
  if (address + length > TASK_SIZE) return -EFAULT;
  if (length > CHUNK) {
    return writePieces(task, file, Math.min(length, MAX_RW_COUNT), pos, (from, count) =>
      fetchBytes(task, address + from, count, file),
    );
  }
  if (isMappingOf(task, file, address, length))
    return byPages(file, length, pos, (from, count) => {
      const piece = fetchBytes(task, address + from, count, file);
      return typeof piece === "number" ? piece : file.write(task, piece, pos === undefined ? undefined : pos + from);
    });
  const data = fetchBytes(task, address, length, file);
  return typeof data === "number" ? data : file.write(task, data, pos);
}

/** Whether user memory at `address` is, in part, a mapping of the file itself. */
function isMappingOf(task: Task, file: OpenFile, address: number, length: number): boolean {
  if (!(file instanceof RegularFile)) return false;
  const { vmas } = task.mm;
  const { object } = file.inode;
  for (let i = vmas.indexAt(address); ; i++) {
    const vma = vmas.at(i);
    if (vma === null || vma.start >= address + length) return false;
    if (vma.object === object) return true;
  }
}

/**
 * A transfer between a file and a mapping of it, page by page of the file, as Linux makes every transfer: here it shows, because later pages see what
 * became of earlier ones. `move` transfers `count` bytes, `from` bytes into the call.
 */
function byPages(
  file: OpenFile,
  length: number,
  pos: Position,
  move: (from: number, count: number) => SyscallResult,
): number {
  let at = pos ?? (file.append ? (file.inode?.size ?? 0) : file.pos);
  for (let done = 0; ;) {
    const count = Math.min(PAGE_SIZE - (at % PAGE_SIZE), length - done);
    const n = count === 0 ? 0 : move(done, count);
    if (typeof n !== "number") throw new KernelBug("a regular file waits");
    if (n < 0) return done > 0 ? done : n;
    done += n;
    at += n;
    if (n < count || done === length) return done;
  }
}

/** A write of several pieces: goes on until one is short. `fetch` copies bytes in, or says -EFAULT. */
function writePieces(
  task: Task,
  file: OpenFile,
  length: number,
  pos: Position,
  fetch: (from: number, count: number) => Uint8Array | number,
): SyscallResult {
  let done = 0;
  function* rest(first: Generator<Wait, number>, asked: number): Generator<Wait, number> {
    let n = yield* first;
    for (;;) {
      if (n < 0) return done > 0 ? done : n;
      done += n;
      if (n < asked || done === length) return done;
      asked = Math.min(CHUNK, length - done);
      const data = fetch(done, asked);
      if (typeof data === "number") return done;
      const result = file.write(task, data, undefined);
      n = typeof result === "number" ? result : yield* result;
    }
  }
  do {
    const asked = Math.min(CHUNK, length - done);
    const data = fetch(done, asked);
    if (typeof data === "number") return done > 0 ? done : data;
    const n = file.write(task, data, pos === undefined ? undefined : pos + done);
    if (typeof n !== "number") return rest(n, asked);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < asked) break;
  } while (done < length);
  return done;
}

function write(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  return file === undefined ? -EBADF : writeFrom(task, file, args.ptr(1), args.u(2), undefined);
}
function pwrite64(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  const pos = args.s(3);
  if (pos < 0) return -EINVAL;
  return file.seekable ? writeFrom(task, file, args.ptr(1), args.u(2), pos) : -ESPIPE;
}
function writeSpans(task: Task, file: OpenFile, spans: readonly UserSpan[], pos: Position): SyscallResult {
  if (spans.length === 1) return writeFrom(task, file, spans[0].address, spans[0].length, pos);
  const length = spans.reduce((sum, span) => sum + span.length, 0);
  return writePieces(task, file, length, pos, (from, count) => {
    const bytes = gather(task.mm, spans, from, count);
    if (bytes.length === count) return bytes;
    const settled = settledBytes(file, bytes.length);
    return settled > 0 ? bytes.subarray(0, settled) : -EFAULT;
  });
}

// Vectors

const RWF_HIPRI = 1;
const RWF_DSYNC = 2;
const RWF_SYNC = 4;
const RWF_NOWAIT = 8;
const RWF_APPEND = 16;
const RWF_NOAPPEND = 32;

/** readv, preadv, preadv2. `pos` undefined: at the file's own position. */
function vectorRead(task: Task, args: Args, pos: Position, flags: number): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  if (pos !== undefined && pos < 0) return -EINVAL;
  if (!file.readable) return -EBADF;
  if (pos !== undefined && !file.seekable) return -ESPIPE;
  const spans = readVector(task.mm, args.ptr(1), args.u(2));
  if (typeof spans === "number") return spans;
  if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT)) return -EOPNOTSUPP;
  if (flags & RWF_NOWAIT && !(file instanceof PipeFile)) return -EOPNOTSUPP;
  if (spans.length === 0) return 0;
  const result = readSpans(task, file, spans, pos);
  return flags & RWF_NOWAIT && typeof result !== "number" ? -EAGAIN : result;
}
/** writev, pwritev, pwritev2. */
function vectorWrite(task: Task, args: Args, pos: Position, flags: number): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  if (pos !== undefined && pos < 0) return -EINVAL;
  if (!file.writable) return -EBADF;
  if (pos !== undefined && !file.seekable) return -ESPIPE;
  const spans = readVector(task.mm, args.ptr(1), args.u(2));
  if (typeof spans === "number") return spans;
  const known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
  if (flags & ~known || (flags & RWF_APPEND && flags & RWF_NOAPPEND)) return flags & ~known ? -EOPNOTSUPP : -EINVAL;
  if (flags & RWF_NOWAIT && !(file instanceof PipeFile)) return -EOPNOTSUPP;
  if (spans.length === 0) return 0;
  const was = file.flags;
  // The file looks at its flags when it is asked, before it waits.
  if (flags & RWF_APPEND) file.flags |= O_APPEND;
  if (flags & RWF_NOAPPEND) file.flags &= ~O_APPEND;
  const result = writeSpans(task, file, spans, pos);
  file.flags = was;
  return flags & RWF_NOWAIT && typeof result !== "number" ? -EAGAIN : result;
}
/** preadv2 and pwritev2: -1 means the file's own position. */
const ownPosition = (args: Args): Position => (args.s(3) === -1 ? undefined : args.s(3));

// Positions and sizes

function lseek(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  const whence = args.u32(2);
  return whence > 4 ? -EINVAL : file.seek(args.s(1), whence);
}

/** A new size against RLIMIT_FSIZE (inode_newsize_ok). */
export function checkNewSize(task: Task, oldSize: number, size: number): number {
  if (size <= oldSize) return 0;
  const limit = task.process.rlimit(1);
  if (size <= limit) return 0;
  fileSizeLimit(task, Infinity);
  return -EFBIG;
}

function ftruncate(task: Task, args: Args): SyscallResult {
  const size = args.s(1);
  if (size < 0) return -EINVAL;
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  if (!file.writable) return -EINVAL;
  const { inode } = file;
  if (inode !== null && isRegular(inode.mode)) {
    const error = checkNewSize(task, inode.size, size);
    if (error) return error;
  }
  return file.truncate(size);
}

/** Modes that make sense (vfs_fallocate): at most one operation, punching only with KEEP_SIZE, collapsing and inserting only without. */
function knownAllocation(mode: number): boolean {
  const keep = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_UNSHARE_RANGE:
      return true;
    case FALLOC_FL_PUNCH_HOLE:
      return keep;
    case FALLOC_FL_COLLAPSE_RANGE:
    case FALLOC_FL_INSERT_RANGE:
      return !keep;
    default:
      return false;
  }
}

function fallocate(task: Task, args: Args): SyscallResult {
  const file = task.files.io(args.u32(0));
  if (file === undefined) return -EBADF;
  const [mode, offset, length] = [args.i32(1), args.s(2), args.s(3)];
  if (offset < 0 || length <= 0) return -EINVAL;
  if (!knownAllocation(mode)) return -EOPNOTSUPP;
  if (!file.writable) return -EBADF;
  const type = (file.inode?.mode ?? 0) & S_IFMT;
  if (type === S_IFIFO) return -ESPIPE;
  if (type === S_IFDIR) return -EISDIR;
  if (type !== S_IFREG && type !== S_IFBLK) return -ENODEV;
  if (offset + length > Number.MAX_SAFE_INTEGER) return -EFBIG;
  if ((mode & 3) === 0) {
    const error = checkNewSize(task, file.inode!.size, offset + length);
    if (error) return error;
  }
  return file.fallocate(mode, offset, length);
}

// ioctl

/** ioctl(2): what holds for every file (do_vfs_ioctl), then the file's own. */
function ioctl(task: Task, args: Args): SyscallResult {
  const fd = args.u32(0);
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  const request = args.u32(1);
  const argument = args.ptr(2);
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
      task.files.setCloexec(fd, request === FIOCLEX);
      return 0;
    case FIONBIO:
    case FIOASYNC: {
      const bit = request === FIONBIO ? O_NONBLOCK : FASYNC;
      const value = copyFromUser(task.mm, argument, 4);
      if (typeof value === "number") return value;
      const on = value.some((byte) => byte !== 0);
      if (request === FIOASYNC && on !== ((file.flags & FASYNC) !== 0)) return -ENOTTY;
      file.flags = on ? file.flags | bit : file.flags & ~bit;
      return 0;
    }
    case FIGETBSZ:
      return file.inode !== null && !isDevice(file.inode.mode)
        ? putUser32(task.mm, argument, file.inode.blksize)
        : -EINVAL;
    case FIONREAD:
      if (file.inode !== null && isRegular(file.inode.mode)) {
        return putUser32(task.mm, argument, Math.max(0, file.inode.size - file.pos) >>> 0);
      }
  }
  return file.ioctl(task, request, argument);
}
const isDevice = (mode: number): boolean => !isRegular(mode) && !isDir(mode);

/** Counts what a call reads or writes for /proc/PID/io. */
function counting(way: "read" | "write", handler: Handler): Handler {
  const count = (task: Task, result: number): number => {
    if (result === -EBADF) return result;
    const { usage } = task;
    if (way === "read") {
      usage.readCalls++;
      if (result > 0) usage.readChars += result;
    } else {
      usage.writeCalls++;
      if (result > 0) usage.writeChars += result;
    }
    return result;
  };
  function* later(task: Task, call: Generator<Wait, number>): Generator<Wait, number> {
    return count(task, yield* call);
  }
  return (task, args) => {
    const result = handler(task, args);
    return typeof result === "number" ? count(task, result) : later(task, result);
  };
}

export const fileCalls: readonly SyscallEntry[] = [
  { nr: 29, name: "ioctl", handler: ioctl, args: "fd ioctl ioctlarg" },
  { nr: 46, name: "ftruncate", handler: ftruncate, args: "fd off" },
  { nr: 47, name: "fallocate", handler: fallocate, args: "fd hex off off" },
  { nr: 62, name: "lseek", handler: lseek, args: "fd off whence" },
  { nr: 63, name: "read", handler: counting("read", read), args: "fd rbuf size" },
  { nr: 64, name: "write", handler: counting("write", write), args: "fd buf size" },
  { nr: 65, name: "readv", handler: counting("read", (t, a) => vectorRead(t, a, undefined, 0)), args: "fd ptr size" },
  {
    nr: 66,
    name: "writev",
    handler: counting("write", (t, a) => vectorWrite(t, a, undefined, 0)),
    args: "fd iovec uint",
  },
  { nr: 67, name: "pread64", handler: counting("read", pread64), args: "fd rbuf size off" },
  { nr: 68, name: "pwrite64", handler: counting("write", pwrite64), args: "fd buf size off" },
  { nr: 69, name: "preadv", handler: counting("read", (t, a) => vectorRead(t, a, a.s(3), 0)), args: "fd ptr size off" },
  {
    nr: 70,
    name: "pwritev",
    handler: counting("write", (t, a) => vectorWrite(t, a, a.s(3), 0)),
    args: "fd ptr size off",
  },
  {
    nr: 286,
    name: "preadv2",
    handler: counting("read", (t, a) => vectorRead(t, a, ownPosition(a), a.i32(5))),
    args: "fd ptr size off off hex",
  },
  {
    nr: 287,
    name: "pwritev2",
    handler: counting("write", (t, a) => vectorWrite(t, a, ownPosition(a), a.i32(5))),
    args: "fd ptr size off off hex",
  },
  ...syncCalls,
  ...spliceCalls,
];
