// setsockopt and getsockopt at the level of the socket (net/core/sock.c), as far as UNIX sockets have them. Used by socket.ts.

import { EDOM, EINVAL, ENODATA, ENOPROTOOPT, EOPNOTSUPP, EPERM, ERANGE } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser32, putUser32 } from "../../mm/usercopy.ts";
import { NSEC_PER_SEC, splitNs } from "../clock.ts";
import * as abi from "../fs/socket-abi.ts";
import type { UnixSocket } from "../fs/socket.ts";
import type { Task } from "../task.ts";

const CAP_NET_ADMIN = 12;
/** Time limits are kept in ticks of the kernel: 250 a second in Debian's. */
const JIFFY = 4_000_000;
/** SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF. */
const MIN_SEND_BUFFER = 4608;
const MIN_RECEIVE_BUFFER = 2304;

/** Options that are on or off and do nothing for UNIX sockets. */
const SWITCHES: ReadonlySet<number> = new Set([
  abi.SO_DEBUG,
  abi.SO_REUSEADDR,
  abi.SO_DONTROUTE,
  abi.SO_BROADCAST,
  abi.SO_KEEPALIVE,
  abi.SO_OOBINLINE,
  abi.SO_REUSEPORT,
  abi.SO_TIMESTAMP,
]);

const bufferSize = (asked: number, least: number): number => Math.max(Math.min(asked, abi.SOCKET_BUFFER) * 2, least);

export function setsockopt(
  task: Task,
  socket: UnixSocket,
  level: number,
  name: number,
  value: { at: number; length: number },
): number {
  if (level !== abi.SOL_SOCKET) return -EOPNOTSUPP;
  if (value.length < 4) return -EINVAL;
  if (name === abi.SO_RCVTIMEO || name === abi.SO_SNDTIMEO) return setTimeout(task, socket, name, value);
  const raw = getUser32(task.mm, value.at);
  if (raw < 0) return raw;
  const number = raw | 0;
  if (SWITCHES.has(name)) {
    socket.flags.set(name, Number(number !== 0));
    return 0;
  }
  return setNumber(task, socket, name, number);
}

function setNumber(task: Task, socket: UnixSocket, name: number, value: number): number {
  switch (name) {
    case abi.SO_PASSCRED:
      socket.passCred = value !== 0;
      return 0;
    case abi.SO_SNDBUFFORCE:
      if (!task.capable(CAP_NET_ADMIN)) return -EPERM;
      socket.sendBuffer = Math.max(Math.min(value, 0x3fffffff) * 2, MIN_SEND_BUFFER);
      break;
    case abi.SO_SNDBUF:
      socket.sendBuffer = bufferSize(value, MIN_SEND_BUFFER);
      break;
    case abi.SO_RCVBUFFORCE:
      if (!task.capable(CAP_NET_ADMIN)) return -EPERM;
      socket.receiveBuffer = Math.max(Math.min(value, 0x3fffffff) * 2, MIN_RECEIVE_BUFFER);
      return 0;
    case abi.SO_RCVBUF:
      socket.receiveBuffer = bufferSize(value, MIN_RECEIVE_BUFFER);
      return 0;
    case abi.SO_RCVLOWAT:
      socket.receiveLowat = value < 0 ? 0x7fffffff : value || 1;
      return 0;
    case abi.SO_PRIORITY:
      if ((value < 0 || value > 6) && !task.capable(CAP_NET_ADMIN)) return -EPERM;
      socket.flags.set(name, value);
      return 0;
    case abi.SO_LINGER:
      return 0;
    default:
      return -ENOPROTOOPT;
  }
  if (socket.hasSendSpace) socket.writable.wake();
  return 0;
}

/** struct timeval; 0 is no limit (sock_set_timeout). */
function setTimeout(task: Task, socket: UnixSocket, name: number, value: { at: number; length: number }): number {
  if (value.length < 16) return -EINVAL;
  const bytes = copyFromUser(task.mm, value.at, 16);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const seconds = Number(view.getBigInt64(0, true));
  const micros = Number(view.getBigInt64(8, true));
  if (micros < 0 || micros >= 1e6) return -EDOM;
  const ns = seconds < 0 ? 0 : seconds * NSEC_PER_SEC + Math.ceil((micros * 1000) / JIFFY) * JIFFY;
  const timeout = ns === 0 && seconds >= 0 ? Infinity : ns;
  if (name === abi.SO_RCVTIMEO) socket.receiveTimeout = timeout;
  else socket.sendTimeout = timeout;
  return 0;
}

export function getsockopt(
  task: Task,
  socket: UnixSocket,
  level: number,
  name: number,
  result: { at: number; lengthAt: number },
): number {
  if (level !== abi.SOL_SOCKET) return -EOPNOTSUPP;
  const capacity = getUser32(task.mm, result.lengthAt);
  if (capacity < 0) return capacity;
  if (capacity > 0x7fffffff) return -EINVAL;
  const value = optionValue(socket, name, capacity);
  if (value === -ERANGE) {
    const error = putUser32(task.mm, result.lengthAt, socket.peerGroups.length * 4);
    return error < 0 ? error : -ERANGE;
  }
  if (typeof value === "number") return value;
  const bytes = value.subarray(0, capacity);
  const error = copyToUser(task.mm, result.at, bytes);
  return error < 0 ? error : putUser32(task.mm, result.lengthAt, bytes.length);
}

const ints = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values, (v) => v >>> 0).buffer);

/** The bytes of an option, or -errno. */
function optionValue(socket: UnixSocket, name: number, capacity: number): Uint8Array | number {
  if (SWITCHES.has(name) || name === abi.SO_PRIORITY) return ints(socket.flags.get(name) ?? 0);
  switch (name) {
    case abi.SO_TYPE:
      return ints(socket.type);
    case abi.SO_ERROR:
      return ints(socket.takeError());
    case abi.SO_DOMAIN:
      return ints(abi.AF_UNIX);
    case abi.SO_PROTOCOL:
      return ints(0);
    case abi.SO_ACCEPTCONN:
      return ints(Number(socket.state === "listening"));
    case abi.SO_SNDBUF:
      return ints(socket.sendBuffer);
    case abi.SO_RCVBUF:
      return ints(socket.receiveBuffer);
    case abi.SO_RCVLOWAT:
      return ints(socket.receiveLowat);
    case abi.SO_SNDLOWAT:
      return ints(1);
    case abi.SO_PASSCRED:
      return ints(Number(socket.passCred));
    case abi.SO_LINGER:
      return ints(0, 0);
    case abi.SO_RCVTIMEO:
      return timeval(socket.receiveTimeout);
    case abi.SO_SNDTIMEO:
      return timeval(socket.sendTimeout);
    case abi.SO_PEERCRED:
      return ints(socket.peerCred.pid, socket.peerCred.uid, socket.peerCred.gid);
    case abi.SO_PEERGROUPS:
      if (socket.peerCred === abi.NO_PEER) return -ENODATA;
      return capacity < socket.peerGroups.length * 4 ? -ERANGE : ints(...socket.peerGroups);
    default:
      return -ENOPROTOOPT;
  }
}

function timeval(ns: number): Uint8Array {
  const { sec, nsec } = splitNs(ns === Infinity ? 0 : ns);
  const view = new DataView(new ArrayBuffer(16));
  view.setBigInt64(0, BigInt(sec), true);
  view.setBigInt64(8, BigInt(Math.floor(nsec / 1000)), true);
  return new Uint8Array(view.buffer);
}
