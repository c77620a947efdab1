// The socket calls (net/socket.c). There is no network here: UNIX sockets are the only family, the others are EAFNOSUPPORT, as in a kernel
// without them. What sockets do is kernel/fs/socket*.ts.

import {
  EAFNOSUPPORT,
  EBADF,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOTCONN,
  ENOTSOCK,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from "../../base/errno.ts";
import { MAX_RW_COUNT, TASK_SIZE } from "../../base/limits.ts";
import { copyToUser } from "../../mm/usercopy.ts";
import { O_NONBLOCK } from "../fs/abi.ts";
import {
  AF_MAX,
  AF_UNIX,
  AF_UNSPEC,
  SHUT_RD,
  SHUT_RDWR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_MAX,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOCK_TYPE_MASK,
  SUN_PATH,
} from "../fs/socket-abi.ts";
import { SocketFile, UnixSocket, ucredOf } from "../fs/socket.ts";
import { RLIMIT_NOFILE } from "../rlimit.ts";
import type { Task } from "../task.ts";
import type { Wait } from "../wait.ts";
import { readAddress, unixName, writeAddress } from "./socket-address.ts";
import { recvfrom, recvmmsg, recvmsg, sendOne, sendmmsg, sendmsg } from "./socket-message.ts";
import { getsockopt, setsockopt } from "./socket-option.ts";
import type { Args, Handler, SyscallEntry, SyscallResult } from "./table.ts";
import type { UserSpan } from "./user-vector.ts";

/** The open socket at `fd`: -EBADF, -ENOTSOCK. */
function socketAt(task: Task, fd: number): SocketFile | number {
  const file = task.files.io(fd);
  if (file === undefined) return -EBADF;
  return file instanceof SocketFile ? file : -ENOTSOCK;
}

/** A handler whose first argument is a socket. */
const onSocket =
  (handler: (task: Task, file: SocketFile, args: Args) => SyscallResult): Handler =>
  (task, args) => {
    const file = socketAt(task, args.u32(0));
    return typeof file === "number" ? file : handler(task, file, args);
  };

function install(task: Task, file: SocketFile, flags: number): number {
  const options = { cloexec: (flags & SOCK_CLOEXEC) !== 0, limit: task.process.rlimit(RLIMIT_NOFILE) };
  const fd = task.files.install(file, options);
  if (fd < 0) file.put();
  return fd;
}

/** The type of socket that family, type and protocol ask for (__sock_create, unix_create), or -errno. */
function socketType(family: number, typeAndFlags: number, protocol: number): number {
  const flags = typeAndFlags & ~SOCK_TYPE_MASK;
  if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return -EINVAL;
  const type = typeAndFlags & SOCK_TYPE_MASK;
  if (family < 0 || family >= AF_MAX) return -EAFNOSUPPORT;
  if (type >= SOCK_MAX) return -EINVAL;
  if (family !== AF_UNIX) return -EAFNOSUPPORT;
  if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
  if (type === SOCK_RAW) return SOCK_DGRAM;
  return type === SOCK_STREAM || type === SOCK_DGRAM || type === SOCK_SEQPACKET ? type : -ESOCKTNOSUPPORT;
}

const fileFlags = (flags: number): number => (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);

function socket(task: Task, args: Args): number {
  const flags = args.i32(1);
  const type = socketType(args.i32(0), flags, args.i32(2));
  if (type < 0) return type;
  return install(task, task.kernel.vfs.sockets.open(task, type, fileFlags(flags)), flags);
}

function socketpair(task: Task, args: Args): number {
  const flags = args.i32(1);
  const type = socketType(args.i32(0), flags, args.i32(2));
  if (type < 0) return type;
  const { sockets } = task.kernel.vfs;
  const a = sockets.open(task, type, fileFlags(flags));
  const b = sockets.open(task, type, fileFlags(flags));
  a.socket.connectTo(b.socket);
  b.socket.connectTo(a.socket);
  for (const { socket: end } of [a, b]) {
    end.peerCred = ucredOf(task);
    end.peerGroups = task.creds.groups;
  }
  const first = install(task, a, flags);
  if (first < 0) {
    b.put();
    return first;
  }
  const second = install(task, b, flags);
  const error =
    second < 0 ? second : copyToUser(task.mm, args.ptr(3), new Uint8Array(Int32Array.of(first, second).buffer));
  if (error >= 0) return 0;
  task.files.close(first);
  if (second >= 0) task.files.close(second);
  return error;
}

const bind = onSocket((task, file, args) => {
  const address = readAddress(task.mm, args.ptr(1), args.i32(2));
  if (typeof address === "number") return address;
  const { sockets } = task.kernel.vfs;
  if (address.length === SUN_PATH && address.family === AF_UNIX) return sockets.bind(task, file.socket, "");
  const name = unixName(address);
  return typeof name === "number" ? name : sockets.bind(task, file.socket, name);
});

const listen = onSocket((task, file, args) => file.socket.listen(task, args.i32(1)));

const connect = onSocket((task, file, args) => {
  const address = readAddress(task.mm, args.ptr(1), args.i32(2));
  if (typeof address === "number") return address;
  const { socket: own, nonblocking } = file;
  const { sockets } = task.kernel.vfs;
  if (own.isDatagram) {
    if (address.length < SUN_PATH) return -EINVAL;
    if (address.family === AF_UNSPEC) return own.connectDatagram(null);
  }
  const name = unixName(address);
  if (typeof name === "number") return name;
  if (own.passCred && own.name === null) {
    const error = sockets.autobind(task, own);
    if (error) return error;
  }
  const find = () => sockets.find(task, name, own.type);
  if (!own.isDatagram) return own.connect(task, find, { nonblocking });
  const other = find();
  return typeof other === "number" ? other : own.connectDatagram(other);
});

function acceptFlags(task: Task, file: SocketFile, args: Args, flags: number): SyscallResult {
  if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return -EINVAL;
  if (task.files.nextFree() >= task.process.rlimit(RLIMIT_NOFILE)) return -EMFILE;
  const [at, lengthAt] = [args.ptr(1), args.ptr(2)];
  const finish = (accepted: UnixSocket | number): number => {
    if (typeof accepted === "number") return accepted;
    const open = task.kernel.vfs.sockets.open(task, accepted, fileFlags(flags));
    if (at !== 0) {
      const error = writeAddress(task.mm, at, lengthAt, accepted.peer?.name?.text ?? null);
      if (error < 0) {
        open.put();
        return error;
      }
    }
    return install(task, open, flags);
  };
  function* later(waiting: Generator<Wait, UnixSocket | number>): Generator<Wait, number> {
    return finish(yield* waiting);
  }
  const accepted = file.socket.accept(task, { nonblocking: file.nonblocking });
  return typeof accepted === "number" || accepted instanceof UnixSocket ? finish(accepted) : later(accepted);
}
const accept = onSocket((task, file, args) => acceptFlags(task, file, args, 0));
const accept4 = onSocket((task, file, args) => acceptFlags(task, file, args, args.i32(3)));

const getsockname = onSocket((task, file, args) =>
  writeAddress(task.mm, args.ptr(1), args.ptr(2), file.socket.name?.text ?? null),
);
const getpeername = onSocket((task, file, args) => {
  const { peer } = file.socket;
  return peer === null ? -ENOTCONN : writeAddress(task.mm, args.ptr(1), args.ptr(2), peer.name?.text ?? null);
});

/** The one buffer of sendto and recvfrom (import_ubuf). */
function buffer(args: Args): UserSpan[] | number {
  const address = args.ptr(1);
  const length = Math.min(args.u(2), MAX_RW_COUNT);
  if (address + length > TASK_SIZE) return -EFAULT;
  return length > 0 ? [{ address, length }] : [];
}

const sendto = onSocket((task, file, args) => {
  const spans = buffer(args);
  if (typeof spans === "number") return spans;
  const message = { spans, name: args.ptr(4), nameLength: args.i32(5), control: 0, controlLength: 0 };
  if (message.name !== 0 && message.nameLength < 0) return -EINVAL;
  return sendOne(task, file, message, args.u32(3));
});
const recvfromCall = onSocket((task, file, args) => {
  const spans = buffer(args);
  if (typeof spans === "number") return spans;
  return recvfrom(task, file, spans, args.u32(3), { at: args.ptr(4), lengthAt: args.ptr(5) });
});

const shutdown = onSocket((_task, file, args) => {
  const how = args.i32(1);
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  file.socket.shutdown(how + 1);
  return 0;
});

const setOption = onSocket((task, file, args) => {
  const length = args.i32(4);
  if (length < 0) return -EINVAL;
  return setsockopt(task, file.socket, args.i32(1), args.i32(2), { at: args.ptr(3), length });
});
const getOption = onSocket((task, file, args) =>
  getsockopt(task, file.socket, args.i32(1), args.i32(2), { at: args.ptr(3), lengthAt: args.ptr(4) }),
);

export const socketCalls: readonly SyscallEntry[] = [
  { nr: 198, name: "socket", handler: socket, args: "int hex int" },
  { nr: 199, name: "socketpair", handler: socketpair, args: "int hex int ptr" },
  { nr: 200, name: "bind", handler: bind, args: "fd ptr int" },
  { nr: 201, name: "listen", handler: listen, args: "fd int" },
  { nr: 202, name: "accept", handler: accept, args: "fd ptr ptr" },
  { nr: 203, name: "connect", handler: connect, args: "fd ptr int" },
  { nr: 204, name: "getsockname", handler: getsockname, args: "fd ptr ptr" },
  { nr: 205, name: "getpeername", handler: getpeername, args: "fd ptr ptr" },
  { nr: 206, name: "sendto", handler: sendto, args: "fd buf size hex ptr int" },
  { nr: 207, name: "recvfrom", handler: recvfromCall, args: "fd rbuf size hex ptr ptr" },
  { nr: 208, name: "setsockopt", handler: setOption, args: "fd int int ptr int" },
  { nr: 209, name: "getsockopt", handler: getOption, args: "fd int int ptr ptr" },
  { nr: 210, name: "shutdown", handler: shutdown, args: "fd int" },
  {
    nr: 211,
    name: "sendmsg",
    handler: onSocket((task, file, args) => sendmsg(task, file, args.ptr(1), args.u32(2))),
    args: "fd ptr hex",
  },
  {
    nr: 212,
    name: "recvmsg",
    handler: onSocket((task, file, args) => recvmsg(task, file, args.ptr(1), args.u32(2))),
    args: "fd ptr hex",
  },
  { nr: 242, name: "accept4", handler: accept4, args: "fd ptr ptr hex" },
  {
    nr: 243,
    name: "recvmmsg",
    handler: onSocket((task, file, args) => {
      const batch = { at: args.ptr(1), count: args.u32(2), flags: args.u32(3), timeoutAt: args.ptr(4) };
      return recvmmsg(task, file, batch);
    }),
    args: "fd ptr uint hex timespec",
  },
  {
    nr: 269,
    name: "sendmmsg",
    handler: onSocket((task, file, args) => sendmmsg(task, file, args.ptr(1), args.u32(2), args.u32(3))),
    args: "fd ptr uint hex",
  },
];
