// How much fits into a socket's buffer. Expectations: what riscv64 Linux 6.12 showed (guest/tests/sock-stream.expected has the whole table).
import { describe, expect, test } from "vitest";
import { SOCKET_BUFFER } from "./socket-abi.ts";
import { datagramTruesize, streamChunk, streamTruesize } from "./socket-message.ts";

/** Bytes that a stream takes in writes of `size` before it would wait. */
function capacity(size: number): number {
  let queued = 0;
  let bytes = 0;
  for (;;) {
    for (let left = size; left > 0;) {
      if (queued >= SOCKET_BUFFER) return bytes;
      const chunk = streamChunk(left, SOCKET_BUFFER);
      queued += streamTruesize(chunk);
      bytes += chunk;
      left -= chunk;
    }
  }
}

describe("streams", () => {
  test("278 writes of one byte", () => {
    expect(capacity(1)).toBe(278);
  });
  test("219264 bytes in large writes", () => {
    expect(capacity(1_000_000)).toBe(219264);
  });
});

test("datagrams: 768 bytes for a small one", () => {
  expect(datagramTruesize(1)).toBe(768);
  expect(datagramTruesize(0)).toBe(768);
});
