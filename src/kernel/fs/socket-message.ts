// Messages on their way through UNIX sockets (struct sk_buff with UNIXCB), and how much of its sender's buffer each takes. The sizes are
// those of Linux, since programs see where a buffer is full.

import { PAGE_SIZE, pageUp } from "../../base/numbers.ts";
import type { OpenFile } from "./file.ts";
import type { Ucred } from "./socket-abi.ts";
import type { UnixSocket } from "./socket.ts";

/** SKB_DATA_ALIGN(sizeof(struct sk_buff)) and of struct skb_shared_info. */
const SK_BUFF = 256;
const SHARED_INFO = 320;
/** The most bytes of one buffer in one piece, without and with large allocations (SKB_MAX_HEAD(0), SKB_MAX_ALLOC). */
export const SKB_MAX_HEAD = PAGE_SIZE - SHARED_INFO;
export const SKB_MAX_ALLOC = 4 * PAGE_SIZE - SHARED_INFO;
/** The pages that one buffer may have besides (MAX_SKB_FRAGS). */
const MAX_FRAGMENTS = 17 * PAGE_SIZE;
/** The rest of a stream's buffer is in pages, up to this (UNIX_SKB_FRAGS_SZ). */
const FRAGMENTS = 32768;

/** What a kmalloc of `bytes` takes. */
function kmallocSize(bytes: number): number {
  let size = 512;
  while (size < bytes) size *= 2;
  return size;
}

/** skb->truesize of a buffer for `length` bytes of which at most `head` are in one piece. */
function truesize(length: number, head: number): number {
  const pages = pageUp(Math.min(Math.max(0, length - head), MAX_FRAGMENTS));
  const linear = Math.max(0, length - pages);
  return SK_BUFF + kmallocSize(linear + SHARED_INFO) + pages;
}

/** What a stream sends at a time with a buffer of `sndbuf` bytes. */
export const streamChunk = (length: number, sndbuf: number): number =>
  Math.min(length, (sndbuf >> 1) - 64, SKB_MAX_HEAD + FRAGMENTS);

export const streamTruesize = (length: number): number => truesize(length, SKB_MAX_HEAD);
export const datagramTruesize = (length: number): number => truesize(length, SKB_MAX_ALLOC);

export interface Message {
  readonly data: Uint8Array;
  /** Bytes of `data` that a stream has read already. */
  taken: number;
  readonly sender: UnixSocket;
  /** Null if neither side wants credentials. */
  readonly creds: Ucred | null;
  /** Files on the way, each with a reference of the message's own; empty once they have been received. */
  files: readonly OpenFile[];
  readonly truesize: number;
}
