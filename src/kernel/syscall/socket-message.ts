// sendmsg, recvmsg and their relatives: from struct msghdr in user memory to a socket and back (net/socket.c). Used by socket.ts.

import { EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENOBUFS } from "../../base/errno.ts";
import type { Mm } from "../../mm/mm.ts";
import { copyFromUser, copyToUser, putUser32 } from "../../mm/usercopy.ts";
import { MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITFORONE, SOCK_STREAM } from "../fs/socket-abi.ts";
import { type Received, receive, refusesPackets, send, truncated } from "../fs/socket-transfer.ts";
import type { SocketFile } from "../fs/socket.ts";
import type { Task } from "../task.ts";
import { readValidTimespec, timeToNs, writeTimespec } from "../timespec.ts";
import { splitNs } from "../clock.ts";
import type { Wait } from "../wait.ts";
import { readAddress, unixName, writeSender } from "./socket-address.ts";
import { readControl, writeControl } from "./socket-control.ts";
import type { SyscallResult } from "./table.ts";
import { type UserSpan, gather, readVector, scatter, totalLength } from "./user-vector.ts";

// struct msghdr
const MSGHDR = 56;
const NAMELEN = 8;
const CONTROLLEN = 40;
// struct mmsghdr
const MMSGHDR = 64;
const MMSG_LEN = 56;

const UIO_MAXIOV = 1024;
/** net.core.optmem_max */
const OPTMEM_MAX = 131072;
/** MSG_CMSG_COMPAT: only for the kernel itself. */
const MSG_CMSG_COMPAT = 0x80000000;

interface Msghdr {
  readonly at: number;
  readonly name: number;
  readonly nameLength: number;
  readonly spans: readonly UserSpan[];
  readonly control: number;
  readonly controlLength: number;
}

function readHeader(mm: Mm, at: number): Msghdr | number {
  const bytes = copyFromUser(mm, at, MSGHDR);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (p: number): number => view.getUint32(p, true) + view.getUint32(p + 4, true) * 2 ** 32;
  const nameLength = view.getInt32(NAMELEN, true);
  if (nameLength < 0) return -EINVAL;
  if (word(24) > UIO_MAXIOV) return -EMSGSIZE;
  const spans = readVector(mm, word(16), word(24));
  if (typeof spans === "number") return spans;
  const name = nameLength === 0 ? 0 : word(0);
  return { at, name, nameLength: Math.min(nameLength, 128), spans, control: word(32), controlLength: word(CONTROLLEN) };
}

/** One message to send, however the call describes it. */
interface Outgoing {
  readonly spans: readonly UserSpan[];
  readonly name: number;
  readonly nameLength: number;
  readonly control: number;
  readonly controlLength: number;
}

/** Sends one message: bytes sent or -errno. */
export function sendOne(task: Task, file: SocketFile, message: Outgoing, flags: number): SyscallResult {
  const { socket } = file;
  let to: string | null = null;
  if (message.name !== 0 && message.nameLength > 0) {
    const address = readAddress(task.mm, message.name, message.nameLength);
    if (typeof address === "number") return address;
    const name = unixName(address);
    // A socket with connections does not look at the name.
    if (typeof name === "number" && socket.isDatagram) return name;
    to = typeof name === "number" ? "" : name;
  }
  if (message.controlLength > OPTMEM_MAX) return -ENOBUFS;
  const refused = refusesPackets(socket);
  if (refused) return refused;
  const hasControl = message.control !== 0 && message.controlLength > 0;
  const control = hasControl ? readControl(task, socket, message.control, message.controlLength) : NO_CONTROL;
  if (typeof control === "number") return control;
  const length = totalLength(message.spans);
  // Messages longer than the buffer are refused anyway: as many bytes as show that are enough.
  const wanted = socket.type === SOCK_STREAM ? length : Math.min(length, socket.sendBuffer);
  const data = gather(task.mm, message.spans, 0, wanted);
  if (data.length < wanted) return -EFAULT;
  return send(task, socket, { data, flags, nonblocking: file.nonblocking, to, ...control });
}

const NO_CONTROL = { files: [], creds: null };

export function sendmsg(task: Task, file: SocketFile, at: number, flags: number): SyscallResult {
  if (flags & MSG_CMSG_COMPAT) return -EINVAL;
  const header = readHeader(task.mm, at);
  return typeof header === "number" ? header : sendOne(task, file, header, flags);
}

/** sendmmsg(2): how many messages were sent, or the error of the first. */
export function* sendmmsg(task: Task, file: SocketFile, at: number, count: number, flags: number) {
  let sent = 0;
  for (; sent < Math.min(count, UIO_MAXIOV); sent++) {
    const header = at + sent * MMSGHDR;
    const result = sendmsg(task, file, header, flags);
    const n = typeof result === "number" ? result : yield* result;
    if (n < 0) return sent || n;
    if (putUser32(task.mm, header + MMSG_LEN, n) < 0) return sent || -EFAULT;
  }
  return sent;
}

/** Hands the bytes of a message to the buffers: what the call returns, or -EFAULT. */
function deliver(task: Task, file: SocketFile, spans: readonly UserSpan[], got: Received, flags: number): number {
  const copied = scatter(task.mm, spans, 0, got.data);
  if (copied < got.data.length) {
    if (!(flags & MSG_PEEK)) file.unread(got.data.subarray(copied));
    if (copied === 0 || file.socket.type !== SOCK_STREAM) {
      for (const carried of got.files) carried.put();
      return -EFAULT;
    }
    return copied;
  }
  return flags & MSG_TRUNC && file.socket.type !== SOCK_STREAM ? got.whole : got.data.length;
}

/** Receives into `spans`; `finish` writes what came besides the bytes, and may fail. */
function receiveInto(
  task: Task,
  file: SocketFile,
  spans: readonly UserSpan[],
  flags: number,
  finish: (got: Received) => number,
): SyscallResult {
  const { nonblocking, socket } = file;
  const complete = (got: Received | number): number => {
    if (typeof got === "number") return got;
    const n = deliver(task, file, spans, got, flags);
    if (n < 0) return n;
    const error = finish(got);
    return error < 0 ? error : n;
  };
  function* later(got: Generator<Wait, Received | number>): Generator<Wait, number> {
    return complete(yield* got);
  }
  const got = receive(task, socket, { length: totalLength(spans), flags, nonblocking });
  return typeof got === "number" || "data" in got ? complete(got) : later(got);
}

/** recvfrom(2): files that came along are closed. */
export function recvfrom(
  task: Task,
  file: SocketFile,
  spans: readonly UserSpan[],
  flags: number,
  name: { at: number; lengthAt: number },
): SyscallResult {
  return receiveInto(task, file, spans, flags, (got) => {
    for (const carried of got.files) carried.put();
    return name.at === 0 ? 0 : writeSender(task.mm, name.at, name.lengthAt, got.from);
  });
}

export function recvmsg(task: Task, file: SocketFile, at: number, flags: number): SyscallResult {
  if (flags & MSG_CMSG_COMPAT) return -EINVAL;
  const header = readHeader(task.mm, at);
  if (typeof header === "number") return header;
  return receiveInto(task, file, header.spans, flags, (got) => finishHeader(task, file, header, got, flags));
}

function finishHeader(task: Task, file: SocketFile, header: Msghdr, got: Received, flags: number): number {
  const { mm } = task;
  const capacity = header.controlLength;
  const control = writeControl(task, file.socket, got, { at: header.control, capacity, flags });
  if (header.name !== 0) {
    const error = writeSender(mm, header.name, header.at + NAMELEN, got.from);
    if (error < 0) return error;
  } else if (putUser32(mm, header.at + NAMELEN, 0) < 0) return -EFAULT;
  const shown = (flags & MSG_CMSG_CLOEXEC) | control.flags | (file.socket.type === SOCK_STREAM ? 0 : truncated(got));
  // msg_controllen and msg_flags
  const tail = new DataView(new ArrayBuffer(12));
  tail.setUint32(0, control.used, true);
  tail.setUint32(8, shown, true);
  return copyToUser(mm, header.at + CONTROLLEN, new Uint8Array(tail.buffer));
}

/** recvmmsg(2): how many messages came, or the error of the first. The time limit is looked at between messages. */
export function* recvmmsg(
  task: Task,
  file: SocketFile,
  batch: { at: number; count: number; flags: number; timeoutAt: number },
): Generator<Wait, number> {
  const { clock } = task.kernel;
  let deadline = Infinity;
  if (batch.timeoutAt !== 0) {
    const limit = readValidTimespec(task.mm, batch.timeoutAt);
    if (typeof limit === "number") return limit;
    deadline = clock.monotonic() + timeToNs(limit);
  }
  const error = file.socket.takeError();
  if (error) return -error;
  let flags = batch.flags & ~MSG_WAITFORONE;
  let received = 0;
  for (; received < Math.min(batch.count, UIO_MAXIOV); received++) {
    const header = batch.at + received * MMSGHDR;
    const result = recvmsg(task, file, header, flags);
    const n = typeof result === "number" ? result : yield* result;
    if (n < 0) {
      if (received === 0) return n;
      if (n !== -EAGAIN) file.socket.pendingError = -n;
      break;
    }
    if (putUser32(task.mm, header + MMSG_LEN, n) < 0) return received || -EFAULT;
    if (batch.flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
    if (clock.monotonic() >= deadline) {
      received++;
      break;
    }
  }
  if (batch.timeoutAt !== 0) {
    const left = Math.max(0, deadline - clock.monotonic());
    if (writeTimespec(task.mm, batch.timeoutAt, splitNs(left)) < 0) return -EFAULT;
  }
  return received;
}
