// Calls that move bytes from one descriptor to another inside the kernel: sendfile, splice, tee, vmsplice, copy_file_range (fs/splice.c,
// fs/read_write.c). Here they copy; which descriptors may go together, what waits and what a short transfer is are Linux's.
import {
  EAGAIN,
  EBADF,
  EFAULT,
  EFBIG,
  EINVAL,
  EISDIR,
  EOVERFLOW,
  ERESTARTSYS,
  ESPIPE,
  EXDEV,
} from "../../base/errno.ts";
import { MAX_RW_COUNT } from "../../base/limits.ts";
import { getUser64, putUser64 } from "../../mm/usercopy.ts";
import { isDir, isRegular } from "../fs/abi.ts";
import type { OpenFile, ReadResult } from "../fs/file.ts";
import { type Pipe, PipeFile } from "../fs/pipe.ts";
import { fileSizeLimit, raiseSigpipe } from "../fs/raise.ts";
import type { Task } from "../task.ts";
import { type Wait, type WaitQueue, wait } from "../wait.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";
import { gather, readVector, scatter, totalLength } from "./user-vector.ts";

const SPLICE_F_NONBLOCK = 2;
const SPLICE_F_ALL = 0xf;
/** Bytes that move at a time: what a pipe holds. */
const PIECE = 65536;

/** An optional loff_t in user memory: undefined if `address` is 0; -EFAULT. */
function readOffset(task: Task, address: number): { offset: number | undefined } | number {
  if (address === 0) return { offset: undefined };
  const value = getUser64(task.mm, address);
  if (typeof value === "number") return -EFAULT;
  return { offset: Number(BigInt.asIntN(64, value)) };
}
/** Stores a moved-on offset; the result of the call stays what it is unless the memory has gone. */
function storeOffset(task: Task, address: number, offset: number | undefined, result: number): number {
  if (address === 0 || offset === undefined || result <= 0) return result;
  return putUser64(task.mm, address, offset + result) < 0 ? -EFAULT : result;
}

const settle = <T extends ReadResult>(value: T | Generator<Wait, T>): Generator<Wait, T> | T => value;
function* resolved<T extends ReadResult>(value: T | Generator<Wait, T>): Generator<Wait, T> {
  const result = settle(value);
  return typeof result === "number" || result instanceof Uint8Array ? result : yield* result;
}

/** Waits until `ready()`; "nonblocking" says -EAGAIN instead. 0 or -errno. */
function* until(
  task: Task,
  queue: WaitQueue,
  ready: () => boolean,
  options: { nonblocking: boolean },
): Generator<Wait, number> {
  while (!ready()) {
    if (options.nonblocking) return -EAGAIN;
    if ((yield* wait(task, queue)) === "signal") return -ERESTARTSYS;
  }
  return 0;
}
const hasDataOrEnd = (pipe: Pipe) => (): boolean => pipe.ring.length > 0 || pipe.writers === 0;
const hasRoomOrEnd = (pipe: Pipe) => (): boolean => pipe.ring.free > 0 || pipe.readers === 0;

/** Data, then room: 0 when something can move from `from` to `to`, 1 at the end of input, or -errno. */
function* bothReady(task: Task, from: PipeFile, to: PipeFile, flags: number): Generator<Wait, number> {
  const nonblocking = (flags & SPLICE_F_NONBLOCK) !== 0;
  for (;;) {
    const empty = yield* until(task, from.pipe.readable, hasDataOrEnd(from.pipe), {
      nonblocking: nonblocking || from.nonblocking,
    });
    if (empty) return empty;
    if (from.pipe.ring.length === 0) return 1;
    const full = yield* until(task, to.pipe.writable, hasRoomOrEnd(to.pipe), {
      nonblocking: nonblocking || to.nonblocking,
    });
    if (full) return full;
    if (to.pipe.readers === 0) return raiseSigpipe(task);
    if (from.pipe.ring.length > 0) return 0;
  }
}

function* pipeToPipe(task: Task, from: PipeFile, to: PipeFile, length: number, flags: number): Generator<Wait, number> {
  const state = yield* bothReady(task, from, to, flags);
  if (state !== 0) return state === 1 ? 0 : state;
  const data = from.pipe.ring.peek(Math.min(length, to.pipe.ring.free)).slice();
  from.pipe.ring.skip(data.length);
  to.pipe.ring.push(data);
  from.pipe.writable.wake();
  to.pipe.readable.wake();
  return data.length;
}

function* pipeToFile(
  task: Task,
  from: PipeFile,
  to: OpenFile,
  pos: number | undefined,
  length: number,
  flags: number,
): Generator<Wait, number> {
  const { pipe } = from;
  const nonblocking = from.nonblocking || (flags & SPLICE_F_NONBLOCK) !== 0;
  const empty = yield* until(task, pipe.readable, hasDataOrEnd(pipe), { nonblocking });
  if (empty) return empty;
  let done = 0;
  while (done < length && pipe.ring.length > 0) {
    const data = pipe.ring.peek(Math.min(length - done, PIECE)).slice();
    const n = yield* resolved(to.write(task, data, pos === undefined ? undefined : pos + done));
    if (n < 0) return done || n;
    pipe.ring.skip(n);
    pipe.writable.wake();
    done += n;
    if (n < data.length) break;
  }
  return done;
}

function* fileToPipe(
  task: Task,
  from: OpenFile,
  pos: number | undefined,
  to: PipeFile,
  length: number,
  flags: number,
): Generator<Wait, number> {
  const { pipe } = to;
  const nonblocking = to.nonblocking || (flags & SPLICE_F_NONBLOCK) !== 0;
  const full = yield* until(task, pipe.writable, hasRoomOrEnd(pipe), { nonblocking });
  if (full) return full;
  if (pipe.readers === 0) return raiseSigpipe(task);
  const got = yield* resolved(from.read(task, Math.min(length, pipe.ring.free), pos));
  if (typeof got === "number") return got;
  const pushed = pipe.ring.push(got);
  if (pushed < got.length && pos === undefined) from.unread(got.subarray(pushed));
  if (pushed > 0) pipe.readable.wake();
  return pushed;
}

function splice(task: Task, args: Args): SyscallResult {
  const length = Math.min(args.u(4), MAX_RW_COUNT);
  const flags = args.u32(5);
  if (length === 0) return 0;
  if (flags & ~SPLICE_F_ALL) return -EINVAL;
  const from = task.files.io(args.u32(0));
  const to = task.files.io(args.u32(2));
  if (!from || !to) return -EBADF;
  const [inAddress, outAddress] = [args.ptr(1), args.ptr(3)];
  if (from instanceof PipeFile && inAddress !== 0) return -ESPIPE;
  if (to instanceof PipeFile && outAddress !== 0) return -ESPIPE;
  if (!from.readable || !to.writable) return -EBADF;
  const input = readOffset(task, inAddress);
  const output = readOffset(task, outAddress);
  if (typeof input === "number" || typeof output === "number") return -EFAULT;
  if ((input.offset ?? 0) < 0 || (output.offset ?? 0) < 0) return -EINVAL;
  if (from instanceof PipeFile && to instanceof PipeFile) {
    return from.pipe === to.pipe ? -EINVAL : pipeToPipe(task, from, to, length, flags);
  }
  if (from instanceof PipeFile) {
    if (output.offset !== undefined && !to.seekable) return -EINVAL;
    if (to.append || (to.inode !== null && isDir(to.inode.mode))) return -EINVAL;
    return thenStore(task, pipeToFile(task, from, to, output.offset, length, flags), outAddress, output.offset);
  }
  if (!(to instanceof PipeFile)) return -EINVAL;
  if (input.offset !== undefined && !from.seekable) return -EINVAL;
  if (!from.spliceable || (from.inode !== null && isDir(from.inode.mode))) return -EINVAL;
  return thenStore(task, fileToPipe(task, from, input.offset, to, length, flags), inAddress, input.offset);
}
function* thenStore(
  task: Task,
  moving: Generator<Wait, number>,
  address: number,
  offset: number | undefined,
): Generator<Wait, number> {
  return storeOffset(task, address, offset, yield* moving);
}

function tee(task: Task, args: Args): SyscallResult {
  const length = Math.min(args.u(2), MAX_RW_COUNT);
  const flags = args.u32(3);
  if (flags & ~SPLICE_F_ALL) return -EINVAL;
  if (length === 0) return 0;
  const from = task.files.io(args.u32(0));
  const to = task.files.io(args.u32(1));
  if (!from || !to || !from.readable || !to.writable) return -EBADF;
  if (!(from instanceof PipeFile) || !(to instanceof PipeFile) || from.pipe === to.pipe) return -EINVAL;
  return teeing(task, from, to, length, flags);
}
function* teeing(task: Task, from: PipeFile, to: PipeFile, length: number, flags: number): Generator<Wait, number> {
  const state = yield* bothReady(task, from, to, flags);
  if (state !== 0) return state === 1 ? 0 : state;
  const pushed = to.pipe.ring.push(from.pipe.ring.peek(length).slice());
  to.pipe.readable.wake();
  return pushed;
}

function vmsplice(task: Task, args: Args): SyscallResult {
  const flags = args.u32(3);
  if (flags & ~SPLICE_F_ALL) return -EINVAL;
  const file = task.files.io(args.u32(0));
  if (!file) return -EBADF;
  if (!file.readable && !file.writable) return -EBADF;
  const spans = readVector(task.mm, args.ptr(1), args.u(2));
  if (typeof spans === "number") return spans;
  if (!(file instanceof PipeFile)) return -EBADF;
  if (spans.length === 0) return 0;
  const nonblocking = file.nonblocking || (flags & SPLICE_F_NONBLOCK) !== 0;
  const { pipe } = file;
  function* toPipe(): Generator<Wait, number> {
    const full = yield* until(task, pipe.writable, hasRoomOrEnd(pipe), { nonblocking });
    if (full) return full;
    if (pipe.readers === 0) return raiseSigpipe(task);
    const bytes = gather(task.mm, spans as Exclude<typeof spans, number>, 0, pipe.ring.free);
    if (bytes.length === 0) return -EFAULT;
    const pushed = pipe.ring.push(bytes);
    pipe.readable.wake();
    return pushed;
  }
  function* toUser(): Generator<Wait, number> {
    const empty = yield* until(task, pipe.readable, hasDataOrEnd(pipe), { nonblocking });
    if (empty) return empty;
    const list = spans as Exclude<typeof spans, number>;
    const data = pipe.ring.peek(totalLength(list));
    const put = scatter(task.mm, list, 0, data);
    if (put === 0 && data.length > 0) return -EFAULT;
    pipe.ring.skip(put);
    if (put > 0) pipe.writable.wake();
    return put;
  }
  return file.writable ? toPipe() : toUser();
}

function sendfile(task: Task, args: Args): SyscallResult {
  const offsetAddress = args.ptr(2);
  const given = readOffset(task, offsetAddress);
  if (typeof given === "number") return given;
  const from = task.files.io(args.u32(1));
  if (!from || !from.readable) return -EBADF;
  if (given.offset !== undefined && !from.seekable) return -ESPIPE;
  if ((given.offset ?? 0) < 0) return -EINVAL;
  const to = task.files.io(args.u32(0));
  if (!to || !to.writable) return -EBADF;
  if (args.s(3) < 0) return -EINVAL;
  const length = Math.min(args.u(3), MAX_RW_COUNT);
  if (!from.seekable || !from.spliceable || (from.inode !== null && isDir(from.inode.mode))) return -EINVAL;
  if (to.append) return -EINVAL;
  if (length === 0) return 0;
  return thenStore(task, sending(task, from, given.offset, to, length), offsetAddress, given.offset);
}
function* sending(
  task: Task,
  from: OpenFile,
  offset: number | undefined,
  to: OpenFile,
  length: number,
): Generator<Wait, number> {
  let done = 0;
  while (done < length) {
    const at = offset === undefined ? undefined : offset + done;
    const got = yield* resolved(from.read(task, Math.min(PIECE, length - done), at));
    if (typeof got === "number") return done || got;
    if (got.length === 0) break;
    const data = got.slice();
    const n = yield* resolved(to.write(task, data, undefined));
    const sent = Math.max(0, n);
    if (sent < data.length && at === undefined) from.unread(data.subarray(sent));
    if (n < 0) return done || n;
    done += n;
    if (n < data.length) break;
  }
  return done;
}

function copyFileRange(task: Task, args: Args): SyscallResult {
  const from = task.files.io(args.u32(0));
  const to = task.files.io(args.u32(2));
  if (!from || !to) return -EBADF;
  const [inAddress, outAddress] = [args.ptr(1), args.ptr(3)];
  const input = readOffset(task, inAddress);
  const output = readOffset(task, outAddress);
  if (typeof input === "number" || typeof output === "number") return -EFAULT;
  if (args.u32(5) !== 0) return -EINVAL;
  const [source, target] = [from.inode, to.inode];
  if ((source && isDir(source.mode)) || (target && isDir(target.mode))) return -EISDIR;
  if (!source || !target || !isRegular(source.mode) || !isRegular(target.mode)) return -EINVAL;
  if (!from.readable || !to.writable || to.append) return -EBADF;
  if (source.fs !== target.fs) return -EXDEV;
  let length = args.u(4);
  const at = input.offset ?? from.pos;
  const into = output.offset ?? to.pos;
  if (at < 0 || into < 0) return -EINVAL;
  if (at + length > Number.MAX_SAFE_INTEGER || into + length > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
  length = Math.max(0, Math.min(length, source.size - at, MAX_RW_COUNT));
  const limit = fileSizeLimit(task, into);
  if (limit <= into) return -EFBIG;
  length = Math.min(length, limit - into);
  if (source === target && at < into + length && into < at + length) return -EINVAL;
  const done = copyRange(task, from, at, to, into, length);
  if (done <= 0) return done;
  if (input.offset === undefined) from.pos = at + done;
  else if (putUser64(task.mm, inAddress, at + done) < 0) return -EFAULT;
  if (output.offset === undefined) to.pos = into + done;
  else if (putUser64(task.mm, outAddress, into + done) < 0) return -EFAULT;
  return done;
}
/** Copies between regular files, which never wait. */
function copyRange(task: Task, from: OpenFile, at: number, to: OpenFile, into: number, length: number): number {
  let done = 0;
  while (done < length) {
    const got = from.read(task, Math.min(PIECE, length - done), at + done);
    if (typeof got === "number" && got < 0) return done || got;
    if (!(got instanceof Uint8Array) || got.length === 0) break;
    const n = to.write(task, got, into + done);
    if (typeof n !== "number" || n < 0) return done || (typeof n === "number" ? n : -EINVAL);
    done += n;
    if (n < got.length) break;
  }
  return done;
}

export const spliceCalls: readonly SyscallEntry[] = [
  { nr: 71, name: "sendfile", handler: sendfile, args: "fd fd ptr size" },
  { nr: 75, name: "vmsplice", handler: vmsplice, args: "fd ptr size hex" },
  { nr: 76, name: "splice", handler: splice, args: "fd ptr fd ptr size hex" },
  { nr: 77, name: "tee", handler: tee, args: "fd fd size hex" },
  { nr: 285, name: "copy_file_range", handler: copyFileRange, args: "fd ptr fd ptr size hex" },
];
