// struct iovec arrays of readv, writev and their relatives: reading them (import_iovec), and moving bytes between the buffers that they name
// and one array. Used by the file, splice and socket families.
import { EFAULT, EINVAL } from "../../base/errno.ts";
import { MAX_RW_COUNT, TASK_SIZE } from "../../base/limits.ts";
import type { Mm } from "../../mm/mm.ts";
import { copyFromUser, readUser, writeUser } from "../../mm/usercopy.ts";

/** One buffer in user memory: address and bytes. */
export interface UserSpan {
  readonly address: number;
  readonly length: number;
}

const UIO_MAXIOV = 1024;

/** The buffers of `count` iovecs at `address`, empty ones left out, MAX_RW_COUNT bytes at most; -EINVAL or -EFAULT. */
export function readVector(mm: Mm, address: number, count: number): UserSpan[] | number {
  if (count > UIO_MAXIOV) return -EINVAL;
  if (count === 0) return [];
  const raw = copyFromUser(mm, address, count * 16);
  if (typeof raw === "number") return raw;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const spans: UserSpan[] = [];
  let total = 0;
  for (let at = 0; at < raw.length; at += 16) {
    const base = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
    const high = view.getInt32(at + 12, true);
    if (high < 0) return -EINVAL;
    let length = view.getUint32(at + 8, true) + high * 2 ** 32;
    if (base + length > TASK_SIZE) return -EFAULT;
    length = Math.min(length, MAX_RW_COUNT - total);
    total += length;
    if (length > 0) spans.push({ address: base, length });
  }
  return spans;
}

/** Bytes of all spans. */
export const totalLength = (spans: readonly UserSpan[]): number => spans.reduce((sum, span) => sum + span.length, 0);

/** Up to `count` bytes of the spans, from byte `from` of them on; fewer where memory faults or the spans end. */
export function gather(mm: Mm, spans: readonly UserSpan[], from: number, count: number): Uint8Array {
  const out = new Uint8Array(Math.min(count, totalLength(spans) - from));
  let filled = 0;
  let skip = from;
  for (const { address, length } of spans) {
    if (skip >= length) {
      skip -= length;
      continue;
    }
    if (filled === out.length) break;
    const want = Math.min(length - skip, out.length - filled);
    const got = readUser(mm, address + skip, out.subarray(filled, filled + want));
    filled += got;
    if (got < want) return out.subarray(0, filled);
    skip = 0;
  }
  return out;
}

/** Stores `data` in the spans from byte `from` of them on: bytes stored before a fault or the end. */
export function scatter(mm: Mm, spans: readonly UserSpan[], from: number, data: Uint8Array): number {
  let done = 0;
  let skip = from;
  for (const { address, length } of spans) {
    if (skip >= length) {
      skip -= length;
      continue;
    }
    if (done === data.length) break;
    const want = Math.min(length - skip, data.length - done);
    const put = writeUser(mm, address + skip, data.subarray(done, done + want));
    done += put;
    if (put < want) break;
    skip = 0;
  }
  return done;
}
