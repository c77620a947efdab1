// UNIX sockets (net/unix/af_unix.c): endpoints and their connections. Sending and receiving is socket-transfer.ts; names are socket-names.ts;
// sockets that only messages refer to are socket-gc.ts. syscall/socket.ts comes in here.

import { EAGAIN, ECONNREFUSED, ECONNRESET, EINTR, EINVAL, EISCONN, ENOTTY, EOPNOTSUPP } from "../../base/errno.ts";
import { EPERM, EPROTOTYPE, ERESTARTSYS } from "../../base/errno.ts";
import { putUser32 } from "../../mm/usercopy.ts";
import type { SyscallResult } from "../syscall/table.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import {
  FIONREAD,
  O_RDWR,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  TIOCOUTQ,
} from "./abi.ts";
import { OpenFile, type ReadResult } from "./file.ts";
import {
  MAX_DGRAM_QLEN,
  NO_PEER,
  RCV_SHUTDOWN,
  SEND_SHUTDOWN,
  SHUTDOWN_MASK,
  SOCKET_BUFFER,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOMAXCONN,
  type Ucred,
} from "./socket-abi.ts";
import { collectGarbage } from "./socket-gc.ts";
import type { Message } from "./socket-message.ts";
import type { SocketFs, SocketInode, UnixName } from "./socket-names.ts";
import { receive, send } from "./socket-transfer.ts";

export const ucredOf = (task: Task): Ucred => ({ pid: task.tgid, uid: task.creds.euid, gid: task.creds.egid });

/** The error of a wait that a signal ended: calls with a time limit are not restarted (sock_intr_errno). */
export const interrupted = (timeout: number): number => (timeout === Infinity ? -ERESTARTSYS : -EINTR);

/** One endpoint (struct unix_sock). */
export class UnixSocket {
  readonly fs: SocketFs;
  readonly type: number;
  state: "closed" | "listening" | "connected" = "closed";
  /** The last descriptor is closed. */
  dead = false;
  peer: UnixSocket | null = null;
  name: UnixName | null = null;
  /** Messages to be received, oldest first. */
  readonly queue: Message[] = [];
  /** Connections that accept(2) has yet to take, and how many may wait. */
  readonly connections: UnixSocket[] = [];
  backlog = MAX_DGRAM_QLEN;
  /** RCV_SHUTDOWN, SEND_SHUTDOWN. */
  shutdownBits = 0;
  /** SO_ERROR: reported once. */
  pendingError = 0;
  /** Bytes of buffers sent and not yet received. */
  sent = 0;
  peerCred: Ucred = NO_PEER;
  peerGroups: readonly number[] = [];

  // Options
  passCred = false;
  sendBuffer = SOCKET_BUFFER;
  receiveBuffer = SOCKET_BUFFER;
  /** Nanoseconds. */
  receiveTimeout = Infinity;
  sendTimeout = Infinity;
  receiveLowat = 1;
  /** Options that mean nothing to UNIX sockets, kept as they were set. */
  readonly flags = new Map<number, number>();

  /** Woken when there is something to receive or accept, or the state has changed. */
  readonly readable = new WaitQueue();
  /** Woken when there is room to send. */
  readonly writable = new WaitQueue();
  /** Woken when this socket's own queue has room: those who send or connect to it. */
  readonly room = new WaitQueue();
  /** Its open file; null for a connection that has not been accepted. */
  file: SocketFile | null = null;
  /** Messages that carry it. */
  inFlight = 0;

  constructor(fs: SocketFs, type: number) {
    this.fs = fs;
    this.type = type;
    fs.sockets.add(this);
  }

  get isDatagram(): boolean {
    return this.type === SOCK_DGRAM;
  }
  takeError(): number {
    const error = this.pendingError;
    this.pendingError = 0;
    return error;
  }
  /** Room for a whole buffer more (unix_writable). */
  get hasSendSpace(): boolean {
    return this.state !== "listening" && this.sent * 4 <= this.sendBuffer;
  }
  /** Its queue is as long as others may make it (unix_recvq_full). */
  get isFull(): boolean {
    return (this.state === "listening" ? this.connections.length : this.queue.length) > this.backlog;
  }
  /** The other side of both directions at once. */
  connectTo(peer: UnixSocket): void {
    this.peer = peer;
    this.state = "connected";
  }
  /** Wakes everybody who waits for this socket in any way. */
  changed(): void {
    this.readable.wake();
    this.writable.wake();
  }

  /** A message has been received or thrown away: its sender has room again. */
  consumed(message: Message): void {
    const { sender } = message;
    sender.sent -= message.truesize;
    if (sender.hasSendSpace) sender.writable.wake();
    if (!this.isFull) this.room.wake();
  }

  listen(task: Task, backlog: number): number {
    if (this.isDatagram) return -EOPNOTSUPP;
    if (this.name === null || this.state === "connected") return -EINVAL;
    this.backlog = Math.min(backlog >>> 0, SOMAXCONN);
    this.state = "listening";
    this.peerCred = ucredOf(task);
    this.peerGroups = task.creds.groups;
    this.room.wake();
    return 0;
  }

  /** Connects a datagram socket: sets where it sends to, and whom it hears. Null: disconnects. */
  connectDatagram(other: UnixSocket | null): number {
    if (other !== null && !other.mayReceiveFrom(this)) return -EPERM;
    const old = this.peer;
    this.peer = other;
    this.state = other === null ? "closed" : "connected";
    if (old !== null && old !== other) this.#datagramsAreStale(old);
    return 0;
  }
  /** Messages from a peer that is no longer ours are dropped; the peer hears of it (unix_dgram_disconnected). */
  #datagramsAreStale(old: UnixSocket): void {
    if (this.queue.length === 0) return;
    this.dropMessages();
    if (!old.dead && old.peer === this) {
      old.pendingError = ECONNRESET;
      old.changed();
    }
  }
  /** unix_may_send */
  mayReceiveFrom(sender: UnixSocket): boolean {
    return this.peer === null || this.peer === sender;
  }

  /** Connects to a listening socket that `find` looks up: 0 or -errno; waits while its queue is full. */
  connect(
    task: Task,
    find: () => UnixSocket | number,
    options: { nonblocking: boolean },
  ): number | Generator<Wait, number> {
    const result = this.#tryConnect(task, find);
    if (result !== -EAGAIN || options.nonblocking) return result;
    return this.#connectWaiting(task, find);
  }
  /** 0, -errno, or -EAGAIN while the listener's queue is full. */
  #tryConnect(task: Task, find: () => UnixSocket | number): number {
    const listener = find();
    if (typeof listener === "number") return listener;
    if (listener.state !== "listening" || listener.shutdownBits & RCV_SHUTDOWN) return -ECONNREFUSED;
    if (listener.isFull) return -EAGAIN;
    if (this.state !== "closed") return this.state === "connected" ? -EISCONN : -EINVAL;
    if (listener.type !== this.type) return -EPROTOTYPE;
    const accepted = new UnixSocket(this.fs, this.type);
    accepted.connectTo(this);
    accepted.peerCred = ucredOf(task);
    accepted.peerGroups = task.creds.groups;
    accepted.name = listener.name?.share() ?? null;
    accepted.passCred = listener.passCred;
    this.connectTo(accepted);
    this.peerCred = listener.peerCred;
    this.peerGroups = listener.peerGroups;
    listener.connections.push(accepted);
    listener.readable.wake();
    return 0;
  }
  *#connectWaiting(task: Task, find: () => UnixSocket | number): Generator<Wait, number> {
    const deadline = this.deadline(task, this.sendTimeout);
    for (;;) {
      const listener = find();
      if (typeof listener === "number") return listener;
      const reason = yield* wait(task, listener.room, { deadline });
      if (reason === "signal") return interrupted(this.sendTimeout);
      const result = this.#tryConnect(task, find);
      if (result !== -EAGAIN) return result;
      if (reason === "timeout") return -EAGAIN;
    }
  }
  /** When a wait that may last `timeout` ends. */
  deadline(task: Task, timeout: number): number | undefined {
    return timeout === Infinity ? undefined : task.kernel.clock.monotonic() + timeout;
  }

  /** Takes the next connection, waiting for one: a socket without a file, or -errno. */
  accept(task: Task, options: { nonblocking: boolean }): UnixSocket | number | Generator<Wait, UnixSocket | number> {
    const now = this.#tryAccept(options);
    return now !== -EAGAIN || options.nonblocking ? now : this.#acceptWaiting(task);
  }
  /** Only who would wait sees that the listener is shut down. */
  #tryAccept(options: { nonblocking: boolean }): UnixSocket | number {
    if (this.isDatagram) return -EOPNOTSUPP;
    if (this.state !== "listening") return -EINVAL;
    const accepted = this.connections.shift();
    if (accepted === undefined) return !options.nonblocking && this.shutdownBits & RCV_SHUTDOWN ? -EINVAL : -EAGAIN;
    this.room.wake();
    return accepted;
  }
  *#acceptWaiting(task: Task): Generator<Wait, UnixSocket | number> {
    const deadline = this.deadline(task, this.receiveTimeout);
    for (;;) {
      const reason = yield* wait(task, this.readable, { deadline });
      if (reason === "signal") return interrupted(this.receiveTimeout);
      const now = this.#tryAccept({ nonblocking: false });
      if (now !== -EAGAIN || reason === "timeout") return now;
    }
  }

  /** shutdown(2): `bits` of this side; the peer of a connection sees them mirrored. */
  shutdown(bits: number): void {
    this.shutdownBits |= bits;
    const { peer } = this;
    if (peer !== null && !this.isDatagram) {
      if (bits & RCV_SHUTDOWN) peer.shutdownBits |= SEND_SHUTDOWN;
      if (bits & SEND_SHUTDOWN) peer.shutdownBits |= RCV_SHUTDOWN;
      peer.changed();
    }
    this.changed();
    this.room.wake();
  }

  /** The last descriptor is closed, or nobody will accept it (unix_release_sock). */
  close(): void {
    if (this.dead) return;
    this.dead = true;
    this.shutdownBits = SHUTDOWN_MASK;
    this.state = "closed";
    this.fs.sockets.delete(this);
    this.name?.release(this);
    const { peer } = this;
    this.peer = null;
    if (peer !== null) this.#leave(peer);
    for (const connection of this.connections.splice(0)) connection.#refuse();
    this.dropMessages();
    this.changed();
    this.room.wake();
  }
  #leave(peer: UnixSocket): void {
    if (this.isDatagram) {
      peer.changed();
      return;
    }
    peer.shutdownBits = SHUTDOWN_MASK;
    // One empty packet at the front does not count as unread, as in Linux (it looks like out-of-band data that was taken).
    const unread = this.queue.length - Number(this.queue[0]?.data.length === 0);
    if (unread > 0 || this.file === null) peer.pendingError = ECONNRESET;
    peer.changed();
  }
  /** The listener is gone before it was accepted. */
  #refuse(): void {
    this.close();
  }
  /** Throws the queue away, with the files in it. */
  dropMessages(): void {
    for (const file of this.takeMessages()) file.put();
  }
  /** Empties the queue; the files that were in it are the caller's. */
  takeMessages(): OpenFile[] {
    const files: OpenFile[] = [];
    for (const message of this.queue.splice(0)) {
      this.consumed(message);
      this.fs.landed(message.files);
      files.push(...message.files);
    }
    return files;
  }

  /** Bytes that a read could give; of a datagram socket those of the first message. */
  get available(): number {
    if (this.isDatagram) return this.queue[0]?.data.length ?? 0;
    return this.queue.reduce((sum, { data, taken }) => sum + data.length - taken, 0);
  }

  poll(): number {
    let mask = 0;
    if (this.pendingError !== 0) mask |= POLLERR;
    if (this.shutdownBits === SHUTDOWN_MASK) mask |= POLLHUP;
    if (this.shutdownBits & RCV_SHUTDOWN) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (this.queue.length > 0 || this.connections.length > 0) mask |= POLLIN | POLLRDNORM;
    if (!this.isDatagram && this.state === "closed") mask |= POLLHUP;
    if (this.hasSendSpace && !this.#peerIsFull()) mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return mask;
  }
  #peerIsFull(): boolean {
    const { peer } = this;
    return this.type !== 1 && peer !== null && peer.peer !== this && peer.isFull;
  }
  /** Ends and errors wake both queues: who waits for one direction need not be told of the other. */
  pollQueues(events: number): WaitQueue[] {
    const { peer } = this;
    const output = (events & (POLLOUT | POLLWRNORM | POLLWRBAND)) !== 0;
    const input = (events & (POLLIN | POLLRDNORM | POLLRDHUP)) !== 0;
    const queues: WaitQueue[] = [];
    if (input || !output) queues.push(this.readable);
    if (output) queues.push(this.writable);
    if (output && this.isDatagram && peer !== null && peer.peer !== this) queues.push(peer.room);
    return queues;
  }
}

/** A descriptor of a socket. */
export class SocketFile extends OpenFile {
  readonly socket: UnixSocket;

  constructor(socket: UnixSocket, inode: SocketInode, flags: number) {
    super(O_RDWR | flags, null, inode);
    this.socket = socket;
    socket.file = this;
  }
  protected override release(): void {
    this.socket.close();
    collectGarbage(this.socket.fs);
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    if (length === 0) return new Uint8Array(0);
    const got = receive(task, this.socket, { length, flags: 0, nonblocking: this.nonblocking });
    if (typeof got === "number") return got;
    if (Symbol.iterator in got) return this.#readWaiting(got);
    this.#discard(got.files);
    return got.data;
  }
  *#readWaiting(got: Exclude<ReturnType<typeof receive>, number | { data: Uint8Array }>): Generator<Wait, ReadResult> {
    const received = yield* got;
    if (typeof received === "number") return received;
    this.#discard(received.files);
    return received.data;
  }
  /** read(2) has no room for files: they are closed. */
  #discard(files: readonly OpenFile[]): void {
    for (const file of files) file.put();
  }
  override unread(data: Uint8Array): void {
    const { socket } = this;
    if (socket.isDatagram || socket.type === SOCK_SEQPACKET) return;
    const sender = socket.peer ?? socket;
    socket.queue.unshift({ data: data.slice(), taken: 0, sender, creds: null, files: [], truesize: 0 });
    socket.readable.wake();
  }
  override write(task: Task, data: Uint8Array): number | Generator<Wait, number> {
    const { nonblocking } = this;
    return send(task, this.socket, { data, flags: 0, nonblocking, files: [], creds: null, to: null });
  }

  override poll(): number {
    return this.socket.poll();
  }
  override pollQueues(events = -1): WaitQueue[] {
    return this.socket.pollQueues(events);
  }
  override ioctl(task: Task, request: number, arg: number): SyscallResult {
    const { socket } = this;
    if (request === FIONREAD) return socket.state === "listening" ? -EINVAL : putUser32(task.mm, arg, socket.available);
    if (request === TIOCOUTQ) return putUser32(task.mm, arg, socket.sent);
    return -ENOTTY;
  }
  override linkText(): string {
    return `socket:[${this.inode!.ino}]`;
  }
  override fdinfo(): string {
    return `scm_fds: ${this.socket.queue.reduce((sum, { files }) => sum + files.length, 0)}\n`;
  }
}
