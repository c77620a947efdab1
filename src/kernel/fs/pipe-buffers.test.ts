// Tests of what a pipe holds: slots, merging and packets (pipe(7), and fs/pipe.c where that is silent).
import { describe, expect, test } from "vitest";
import { SeededRandom } from "../random.ts";
import { PipeBuffers } from "./pipe-buffers.ts";

const bytes = (length: number, first = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);

describe("slots", () => {
  test("a page that is not read to its end keeps its slot", () => {
    const pipe = new PipeBuffers(1);
    expect(pipe.push(bytes(4096))).toBe(4096);
    expect(pipe.full).toBe(true);
    expect(pipe.take(100)).toEqual(bytes(100));
    expect(pipe.push(bytes(100))).toBe(0);
    pipe.take(3996);
    expect(pipe.push(bytes(100))).toBe(100);
  });
  test("small writes share a page, if they fit whole", () => {
    const pipe = new PipeBuffers(2);
    pipe.push(bytes(4000));
    pipe.push(bytes(96));
    expect(pipe.used).toBe(1);
    pipe.push(bytes(1));
    expect(pipe.used).toBe(2);
  });
  test("PIPE_BUF bytes go in whole or not at all", () => {
    const pipe = new PipeBuffers(2);
    pipe.push(bytes(4096));
    pipe.push(bytes(50));
    expect(pipe.push(bytes(4096))).toBe(0);
    expect(pipe.length).toBe(4146);
  });
});

test("packets keep their boundaries; what is not read of one is lost", () => {
  const pipe = new PipeBuffers(16);
  pipe.push(bytes(3), { packet: true });
  pipe.push(bytes(6), { packet: true });
  expect(pipe.take(100)).toEqual(bytes(3));
  expect(pipe.take(2)).toEqual(bytes(2));
  expect(pipe.length).toBe(0);
});

test("bytes come out in the order in which they went in, whatever the sizes", () => {
  const random = new SeededRandom(7);
  const pipe = new PipeBuffers(4);
  let [into, out] = [0, 0];
  for (let i = 0; i < 3000; i++) {
    const size = random.below(6000) + 1;
    if (random.below(2) === 0) into += pipe.push(bytes(size, into));
    else {
      const got = pipe.take(size).slice();
      expect(Buffer.compare(got, bytes(got.length, out)), `step ${i}`).toBe(0);
      out += got.length;
      const back = random.below(got.length + 1);
      if (random.below(8) === 0 && back > 0) {
        pipe.unread(got.subarray(got.length - back));
        out -= back;
      }
    }
    expect(pipe.length).toBe(into - out);
  }
});
