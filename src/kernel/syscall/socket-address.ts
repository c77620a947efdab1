// struct sockaddr_un in user memory: reading the names that programs give, writing the names of sockets. Used by the socket calls.

import { EINVAL } from "../../base/errno.ts";
import type { Mm } from "../../mm/mm.ts";
import { copyFromUser, copyToUser, getUser32, putUser32 } from "../../mm/usercopy.ts";
import { bytesToString, stringToBytes } from "../fs/abi.ts";
import { AF_UNIX, SOCKADDR_UN_SIZE, SUN_PATH } from "../fs/socket-abi.ts";

/** sizeof(struct sockaddr_storage) */
const STORAGE = 128;

/** An address as a program gives it: its family, and what follows. */
export interface UserAddress {
  readonly family: number;
  readonly length: number;
  /** sun_path with all its bytes. */
  readonly path: string;
}

/** The `length` bytes at `at`: -EINVAL for impossible lengths, -EFAULT. */
export function readAddress(mm: Mm, at: number, length: number): UserAddress | number {
  if (length < 0 || length > STORAGE) return -EINVAL;
  if (length === 0) return { family: 0, length, path: "" };
  const bytes = copyFromUser(mm, at, length);
  if (typeof bytes === "number") return bytes;
  const family = bytes[0] | ((bytes[1] ?? 0) << 8);
  return { family, length, path: bytesToString(bytes.subarray(SUN_PATH)) };
}

/** The name in a sockaddr_un (unix_validate_addr): a path ends at its NUL, an abstract name is all that is there. -EINVAL. */
export function unixName(address: UserAddress): string | number {
  const { length, family, path } = address;
  if (length <= SUN_PATH || length > SOCKADDR_UN_SIZE || family !== AF_UNIX) return -EINVAL;
  return path.startsWith("\0") ? path : path.split("\0")[0];
}

/** sockaddr_un with `name`: only the family for a socket without one (null). */
function encode(name: string | null): Uint8Array {
  if (name === null) return Uint8Array.of(AF_UNIX, 0);
  const end = name.startsWith("\0") ? "" : "\0";
  return stringToBytes(`\x01\0${name}${end}`);
}

/** Writes a socket's name to a buffer whose size is at `lengthAt`, and there its real length. 0, -EINVAL, -EFAULT. */
export function writeAddress(mm: Mm, at: number, lengthAt: number, name: string | null): number {
  return writeBytes(mm, at, lengthAt, encode(name));
}

/** The same for the sender of a message: one without a name has no address at all. */
export function writeSender(mm: Mm, at: number, lengthAt: number, name: string | null): number {
  return writeBytes(mm, at, lengthAt, name === null ? new Uint8Array(0) : encode(name));
}

function writeBytes(mm: Mm, at: number, lengthAt: number, bytes: Uint8Array): number {
  const capacity = getUser32(mm, lengthAt);
  if (capacity < 0) return capacity;
  if (capacity > 0x7fffffff) return -EINVAL;
  const error = copyToUser(mm, at, bytes.subarray(0, capacity));
  return error < 0 ? error : putUser32(mm, lengthAt, bytes.length);
}
