// Sending and receiving through UNIX sockets: streams, datagrams and sequenced packets, with files and credentials (unix_stream_sendmsg,
// unix_stream_read_generic, unix_dgram_sendmsg, __unix_dgram_recvmsg). Called by socket.ts for read and write, by syscall/socket.ts for the rest.

import {
  EAGAIN,
  ECONNREFUSED,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPIPE,
} from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { type Wait, wait } from "../wait.ts";
import type { OpenFile } from "./file.ts";
import { raiseSigpipe } from "./raise.ts";
import {
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  RCV_SHUTDOWN,
  SEND_SHUTDOWN,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  type Ucred,
} from "./socket-abi.ts";
import { type Message, datagramTruesize, streamChunk, streamTruesize } from "./socket-message.ts";
import { type UnixSocket, interrupted, ucredOf } from "./socket.ts";

export interface SendRequest {
  readonly data: Uint8Array;
  /** MSG_* */
  readonly flags: number;
  /** O_NONBLOCK is set. */
  readonly nonblocking: boolean;
  /** Files to send along; `send` takes references of its own. */
  readonly files: readonly OpenFile[];
  /** Credentials that the sender gave itself, checked; null: the kernel's, where somebody wants them. */
  readonly creds: Ucred | null;
  /** sun_path of msg_name; null: the peer. */
  readonly to: string | null;
}

export interface ReceiveRequest {
  readonly length: number;
  readonly flags: number;
  readonly nonblocking: boolean;
}

export interface Received {
  readonly data: Uint8Array;
  /** Length of the whole datagram; of a stream that of `data`. */
  readonly whole: number;
  /** Who sent it: sun_path, or null for a socket without a name. */
  readonly from: string | null;
  /** The sender's; null if it sent none, undefined if nothing was received. */
  readonly creds: Ucred | null | undefined;
  /** Each with a reference that now is the receiver's. */
  readonly files: readonly OpenFile[];
}

type Later<T> = T | Generator<Wait, T>;

/** The number of bytes sent, or -errno. */
export function send(task: Task, socket: UnixSocket, request: SendRequest): Later<number> {
  if (request.flags & MSG_OOB) return -EOPNOTSUPP;
  return socket.type === SOCK_STREAM ? sendStream(task, socket, request) : sendDatagram(task, socket, request);
}

/** Puts a message into the queue of `to`. */
function deliver(
  task: Task,
  socket: UnixSocket,
  to: UnixSocket,
  data: Uint8Array,
  truesize: number,
  request: { files: readonly OpenFile[]; creds: Ucred | null },
): void {
  const { files } = request;
  for (const file of files) file.get();
  socket.fs.launched(files);
  const creds = request.creds ?? (socket.passCred || to.passCred || to.file === null ? ucredOf(task) : null);
  socket.sent += truesize;
  to.queue.push({ data: data.slice(), taken: 0, sender: socket, creds, files, truesize });
  to.readable.wake();
}

/** What keeps a socket from sending messages at all (sock_alloc_send_pskb): an error to report, or its own shutdown. */
function sendError(socket: UnixSocket): number {
  const error = socket.takeError();
  if (error) return -error;
  return socket.shutdownBits & SEND_SHUTDOWN ? -EPIPE : 0;
}

function sendStream(task: Task, socket: UnixSocket, request: SendRequest): Later<number> {
  if (request.to !== null) return socket.state === "connected" ? -EISCONN : -EOPNOTSUPP;
  if (socket.peer === null) return -ENOTCONN;
  if (socket.shutdownBits & SEND_SHUTDOWN) return brokenPipe(task, request);
  const progress = { sent: 0 };
  const result = streamPieces(task, socket, request, progress);
  if (result !== -EAGAIN || request.nonblocking || request.flags & MSG_DONTWAIT) return progress.sent || result;
  return streamWaiting(task, socket, request, progress);
}

const brokenPipe = (task: Task, request: SendRequest): number =>
  request.flags & MSG_NOSIGNAL ? -EPIPE : raiseSigpipe(task);

/** Sends as much as fits: 0 when all is sent, -EAGAIN when there is no room, -EPIPE (and SIGPIPE) or another error. */
function streamPieces(task: Task, socket: UnixSocket, request: SendRequest, progress: { sent: number }): number {
  const { data } = request;
  while (progress.sent < data.length) {
    const { peer } = socket;
    const closed = peer === null || peer.dead || (peer.shutdownBits & RCV_SHUTDOWN) !== 0;
    if (closed || socket.shutdownBits & SEND_SHUTDOWN) return progress.sent === 0 ? brokenPipe(task, request) : -EPIPE;
    const error = socket.takeError();
    if (error) return -error;
    if (socket.sent >= socket.sendBuffer) return -EAGAIN;
    const length = streamChunk(data.length - progress.sent, socket.sendBuffer);
    const piece = data.subarray(progress.sent, progress.sent + length);
    const files = progress.sent === 0 ? request.files : [];
    deliver(task, socket, peer, piece, streamTruesize(length), { files, creds: request.creds });
    progress.sent += length;
  }
  return 0;
}

function* streamWaiting(
  task: Task,
  socket: UnixSocket,
  request: SendRequest,
  progress: { sent: number },
): Generator<Wait, number> {
  const deadline = socket.deadline(task, socket.sendTimeout);
  for (;;) {
    const reason = yield* wait(task, socket.writable, { deadline });
    if (reason === "signal") return progress.sent || interrupted(socket.sendTimeout);
    const result = streamPieces(task, socket, request, progress);
    if (result !== -EAGAIN || reason === "timeout") return progress.sent || result;
  }
}

/** What keeps a socket of sequenced packets from sending, whatever the message is: 0 or -errno. */
export function refusesPackets(socket: UnixSocket): number {
  if (socket.type !== SOCK_SEQPACKET) return 0;
  const error = socket.takeError();
  return error ? -error : socket.state === "connected" ? 0 : -ENOTCONN;
}

function sendDatagram(task: Task, socket: UnixSocket, request: SendRequest): Later<number> {
  const refused = refusesPackets(socket);
  if (refused) return refused;
  if (request.to === null && socket.peer === null) return -ENOTCONN;
  if (socket.passCred && socket.name === null) {
    const error = socket.fs.autobind(task, socket);
    if (error) return error;
  }
  if (request.data.length > socket.sendBuffer - 32) return -EMSGSIZE;
  const result = tryDatagram(task, socket, request);
  if (typeof result === "number") return result;
  if (request.nonblocking || request.flags & MSG_DONTWAIT) return -EAGAIN;
  return datagramWaiting(task, socket, request, result);
}

/** Sends one message: its length, -errno, or the queue to wait at for room. */
function tryDatagram(task: Task, socket: UnixSocket, request: SendRequest): number | UnixSocket["room"] {
  const { data } = request;
  const own = sendError(socket);
  if (own) return own;
  if (socket.sent >= socket.sendBuffer) return socket.writable;
  const to = destination(task, socket, request);
  if (typeof to === "number") return to;
  if (to.dead) return peerIsGone(socket, to);
  if (!to.mayReceiveFrom(socket)) return -EPERM;
  if (to.shutdownBits & RCV_SHUTDOWN) return -EPIPE;
  if (to !== socket && to.peer !== socket && to.isFull) return to.room;
  deliver(task, socket, to, data, datagramTruesize(data.length), request);
  return data.length;
}

function destination(task: Task, socket: UnixSocket, request: SendRequest): UnixSocket | number {
  if (request.to !== null && socket.type !== SOCK_SEQPACKET) return socket.fs.find(task, request.to, socket.type);
  return socket.peer ?? -ENOTCONN;
}

/** The receiver has been closed: a connected datagram socket forgets it. */
function peerIsGone(socket: UnixSocket, to: UnixSocket): number {
  if (socket.type === SOCK_SEQPACKET) return -EPIPE;
  if (socket.peer === to) {
    socket.peer = null;
    socket.state = "closed";
    socket.dropMessages();
  }
  return -ECONNREFUSED;
}

function* datagramWaiting(
  task: Task,
  socket: UnixSocket,
  request: SendRequest,
  queue: UnixSocket["room"],
): Generator<Wait, number> {
  const deadline = socket.deadline(task, socket.sendTimeout);
  for (;;) {
    const reason = yield* wait(task, queue, { deadline });
    if (reason === "signal") return interrupted(socket.sendTimeout);
    const result = tryDatagram(task, socket, request);
    if (typeof result === "number") return result;
    if (reason === "timeout") return -EAGAIN;
    queue = result;
  }
}

/** What has come, or -errno. At the end of a stream `data` is empty. */
export function receive(
  task: Task,
  socket: UnixSocket,
  request: ReceiveRequest,
): Received | number | Generator<Wait, Received | number> {
  if (socket.type !== SOCK_STREAM) return receiveDatagram(task, socket, request);
  if (socket.state !== "connected") return -EINVAL;
  if (request.flags & MSG_OOB) return -EINVAL;
  const stream = new StreamRead(socket, request);
  const done = stream.step();
  if (done !== -EAGAIN) return stream.result(done);
  if (request.nonblocking || request.flags & MSG_DONTWAIT) return stream.result(-EAGAIN);
  return receiveStreamWaiting(task, socket, stream);
}

function* receiveStreamWaiting(task: Task, socket: UnixSocket, stream: StreamRead): Generator<Wait, Received | number> {
  const deadline = socket.deadline(task, socket.receiveTimeout);
  for (;;) {
    const reason = yield* wait(task, socket.readable, { deadline });
    if (reason === "signal") return stream.result(interrupted(socket.receiveTimeout));
    const done = stream.step();
    if (done !== -EAGAIN || reason === "timeout") return stream.result(done);
  }
}

/** One receive from a stream: gathers messages until there is enough. */
class StreamRead {
  readonly #socket: UnixSocket;
  readonly #length: number;
  readonly #peek: boolean;
  /** Bytes that must be there before the call ends. */
  readonly #target: number;
  readonly #parts: Uint8Array[] = [];
  #copied = 0;
  #creds: Ucred | null | undefined = undefined;
  #files: readonly OpenFile[] = [];
  #from: string | null = null;

  constructor(socket: UnixSocket, request: ReceiveRequest) {
    this.#socket = socket;
    this.#length = request.length;
    this.#peek = (request.flags & MSG_PEEK) !== 0;
    const all = (request.flags & MSG_WAITALL) !== 0;
    this.#target = (all ? request.length : Math.min(socket.receiveLowat, request.length)) || 1;
  }

  /** Takes what is there: 0 when the call is over, -EAGAIN when it must wait, or -errno. */
  step(): number {
    const socket = this.#socket;
    let peeked = 0;
    // A look ahead begins at the front again.
    if (this.#peek) this.#startOver();
    for (;;) {
      const message = socket.queue[this.#peek ? peeked : 0];
      // Looking ahead never waits for more than there is.
      if (message === undefined) return peeked > 0 ? 0 : this.#empty();
      if (this.#creds === undefined) this.#creds = socket.passCred ? message.creds : undefined;
      else if (!sameCreds(this.#creds, message.creds)) return 0;
      const part = message.data.subarray(message.taken, message.taken + this.#length - this.#copied);
      this.#parts.push(part);
      this.#copied += part.length;
      this.#from = message.sender.name?.text ?? null;
      if (this.#takeFiles(message, part.length)) return 0;
      // Linux looks on where nothing more fits, up to the next files.
      if (this.#peek) peeked++;
      else if (this.#copied === this.#length) return 0;
    }
  }
  /** Moves on in the queue; true if files came with the message, which end the read. */
  #takeFiles(message: Message, length: number): boolean {
    const socket = this.#socket;
    const withFiles = message.files.length > 0;
    if (withFiles) this.#files = message.files;
    if (this.#peek) {
      for (const file of withFiles ? message.files : []) file.get();
      return withFiles;
    }
    socket.fs.landed(message.files);
    message.files = [];
    message.taken += length;
    if (message.taken === message.data.length) {
      socket.queue.shift();
      socket.consumed(message);
    }
    return withFiles;
  }
  /** Nothing (more) in the queue. */
  #empty(): number {
    const socket = this.#socket;
    if (this.#copied >= this.#target) return 0;
    const error = socket.takeError();
    if (error) return -error;
    return socket.shutdownBits & RCV_SHUTDOWN ? 0 : -EAGAIN;
  }
  #startOver(): void {
    this.#parts.length = 0;
    this.#copied = 0;
    this.#creds = undefined;
  }
  /** What the call gives if it ends with `error` (0 or -errno): bytes count more. */
  result(error: number): Received | number {
    if (this.#copied === 0 && error < 0) return error;
    const data = this.#parts.length === 1 ? this.#parts[0] : join(this.#parts, this.#copied);
    // At the end of a stream Linux hands out credentials that nobody has filled in.
    const creds = this.#creds === undefined ? { pid: 0, uid: 0, gid: 0 } : this.#creds;
    return { data, whole: data.length, from: this.#from, creds, files: this.#files };
  }
}

const sameCreds = (a: Ucred | null, b: Ucred | null): boolean =>
  a?.pid === b?.pid && a?.uid === b?.uid && a?.gid === b?.gid;

function join(parts: readonly Uint8Array[], length: number): Uint8Array {
  const data = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

function receiveDatagram(
  task: Task,
  socket: UnixSocket,
  request: ReceiveRequest,
): Received | number | Generator<Wait, Received | number> {
  if (request.flags & MSG_OOB) return -EOPNOTSUPP;
  if (socket.type === SOCK_SEQPACKET && socket.state !== "connected") return -ENOTCONN;
  const nonblocking = request.nonblocking || (request.flags & MSG_DONTWAIT) !== 0;
  const got = tryReceive(socket, request, { nonblocking });
  return got !== -EAGAIN || nonblocking ? got : receiveDatagramWaiting(task, socket, request);
}

function* receiveDatagramWaiting(
  task: Task,
  socket: UnixSocket,
  request: ReceiveRequest,
): Generator<Wait, Received | number> {
  const deadline = socket.deadline(task, socket.receiveTimeout);
  for (;;) {
    const reason = yield* wait(task, socket.readable, { deadline });
    if (reason === "signal") return interrupted(socket.receiveTimeout);
    const got = tryReceive(socket, request, { nonblocking: reason === "timeout" });
    if (got !== -EAGAIN || reason === "timeout") return got;
  }
}

const NOTHING: Received = { data: new Uint8Array(0), whole: 0, from: null, creds: undefined, files: [] };

function tryReceive(socket: UnixSocket, request: ReceiveRequest, options: { nonblocking: boolean }): Received | number {
  // Errors come before messages, unlike with streams.
  const error = socket.takeError();
  if (error) return -error;
  const message = socket.queue[0];
  if (message === undefined) {
    // A call that would not wait does not see the shutdown of a datagram socket.
    const seesEnd = socket.type === SOCK_SEQPACKET || !options.nonblocking;
    return seesEnd && socket.shutdownBits & RCV_SHUTDOWN ? NOTHING : -EAGAIN;
  }
  const { data, files, creds } = message;
  const from = message.sender.name?.text ?? null;
  if (request.flags & MSG_PEEK) {
    for (const file of files) file.get();
  } else {
    socket.queue.shift();
    socket.fs.landed(files);
    socket.consumed(message);
  }
  return { data: data.subarray(0, request.length), whole: data.length, from, creds, files };
}

/** Part of a datagram did not fit. */
export const truncated = (got: Received): number => (got.whole > got.data.length ? MSG_TRUNC : 0);
