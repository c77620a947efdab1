// Profiles: symbols of a real ELF file, counts, and the format that speedscope reads.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Profile, Symbols } from "./profile.ts";

/** A file with one loadable segment (offset 0x1000 at 0x11000) and two functions, written by hand from the ELF specification. */
function elf(): Uint8Array {
  const bytes = new Uint8Array(0x400);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, n: number): void => view.setBigUint64(at, BigInt(n), true);
  u64(32, 64);
  view.setUint16(56, 1, true);
  u64(40, 0x200);
  view.setUint16(60, 2, true);
  view.setUint32(64, 1, true);
  u64(64 + 8, 0x1000);
  u64(64 + 16, 0x11000);
  u64(64 + 32, 0x100);
  // Section 0: the symbol table, its strings in section 1.
  view.setUint32(0x200 + 4, 2, true);
  u64(0x200 + 24, 0x100);
  u64(0x200 + 32, 48);
  view.setUint32(0x200 + 40, 1, true);
  u64(0x240 + 24, 0x180);
  bytes.set(new TextEncoder().encode("\0main\0work\0"), 0x180);
  const symbol = (at: number, name: number, start: number, size: number): void => {
    view.setUint32(at, name, true);
    view.setUint8(at + 4, 2);
    u64(at + 8, start);
    u64(at + 16, size);
  };
  symbol(0x100, 6, 0x11040, 16);
  symbol(0x118, 1, 0x11000, 32);
  return bytes;
}

test("functions by offset in the file", () => {
  const symbols = new Symbols(elf());
  expect([0x1000, 0x101f, 0x1020, 0x1040, 0x104f, 0x1050, 0x5000].map((at) => symbols.at(at))).toEqual([
    "main",
    "main",
    undefined,
    "work",
    "work",
    undefined,
    undefined,
  ]);
});

test("a file that is no ELF file, or is cut off, has no functions", () => {
  expect(new Symbols(new Uint8Array(0)).at(0)).toBeUndefined();
  expect(new Symbols(elf().subarray(0, 0x210)).at(0x1000)).toBeUndefined();
  expect(new Symbols(readFileSync(new URL("profile.ts", import.meta.url))).at(0)).toBeUndefined();
});

test("speedscope's format: weights add up, heaviest first", () => {
  const profile = new Profile(1000);
  for (const name of ["a", "b", "b"]) profile.add({ process: "demo", file: "/bin/demo", function: name });
  const { shared, profiles } = JSON.parse(profile.speedscope("demo")) as {
    shared: { frames: { name: string }[] };
    profiles: { type: string; endValue: number; samples: number[][]; weights: number[] }[];
  };
  expect(profiles).toHaveLength(1);
  const [{ type, endValue, samples, weights }] = profiles;
  expect({ type, endValue, weights }).toEqual({ type: "sampled", endValue: 3000, weights: [2000, 1000] });
  expect(samples.map((stack) => stack.map((i) => shared.frames[i].name))).toEqual([
    ["/bin/demo", "b"],
    ["/bin/demo", "a"],
  ]);
});
