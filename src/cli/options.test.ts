// Values of options: what is understood, and that what is not gets one clear sentence.
import { describe, expect, test } from "vitest";
import { parseEnv, parseHarts, parseMemory, parseMount, parseNeighbours, parseSeed, parseSize } from "./options.ts";
import { parsePc } from "./profile.ts";

describe("sizes", () => {
  test.each([
    ["64", 64],
    ["64K", 65536],
    ["512M", 2 ** 29],
    ["512m", 2 ** 29],
    ["512MB", 2 ** 29],
    ["512MiB", 2 ** 29],
    ["1.5G", 1.5 * 2 ** 30],
    ["2 G", 2 ** 31],
  ])("%s", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });
  test.each(["", "M", "-1M", "1X", "1e3", "0.3K", "99999999T", "12 34"])("not %j", (text) => {
    expect(() => parseSize(text)).toThrow("A size is a number with K, M or G behind it, as 512M.");
  });
  test("of memory have limits", () => {
    expect(parseMemory("8M")).toBe(2 ** 23);
    expect(parseMemory("3.5G")).toBe(3.5 * 2 ** 30);
    expect(() => parseMemory("7M")).toThrow("Too little: at least 8M are needed.");
    expect(() => parseMemory("4G")).toThrow("Too much: at most 3.5G are possible.");
  });
});

test("addresses are hexadecimal, as nm writes them or shorter", () => {
  for (const text of ["0x00000000000107c6", "00000000000107C6", "0x107c6", "107c6"])
    expect(parsePc(text)).toBe(0x107c6);
  expect(parsePc("0")).toBe(0);
  for (const text of ["", "0x", "main", "-1", "10000000000000"])
    expect(() => parsePc(text)).toThrow("An address is hexadecimal, as 0x10650.");
});

test("harts are 1 to 64", () => {
  expect(parseHarts("64")).toBe(64);
  for (const text of ["0", "65", "-1", "1.5", "x", ""]) expect(() => parseHarts(text)).toThrow("1 to 64 are possible.");
});

test("a TLB miss enters 1 to 512 pages", () => {
  expect([parseNeighbours("1"), parseNeighbours("512")]).toEqual([1, 512]);
  for (const text of ["0", "513", "-1", "8.5", "x", ""])
    expect(() => parseNeighbours(text)).toThrow("1 to 512 are possible.");
});

test("seeds are whole numbers", () => {
  expect(parseSeed("0")).toBe(0);
  for (const text of ["", "-1", "1.5", "abc", "9007199254740992"])
    expect(() => parseSeed(text)).toThrow("A seed is a whole number");
});

test("mounts are read-only unless said otherwise", () => {
  expect(parseMount("/tmp:/data", [])).toEqual([{ host: "/tmp", guest: "/data", writable: false }]);
  expect(parseMount("/tmp:/data:ro", [])).toEqual([{ host: "/tmp", guest: "/data", writable: false }]);
  expect(parseMount("/tmp:/:rw", [{ host: "/x", guest: "/y" }])).toEqual([
    { host: "/x", guest: "/y" },
    { host: "/tmp", guest: "/", writable: true },
  ]);
  for (const text of ["/tmp", "/tmp:", "/tmp:data", "/tmp:/data:rx", ":/data"])
    expect(() => parseMount(text, [])).toThrow("A mount is HOST:GUEST");
  expect(() => parseMount("/no/such:/data", [])).toThrow("There is no directory /no/such.");
  expect(() => parseMount("/etc/passwd:/data", [])).toThrow("/etc/passwd is not a directory.");
});

test("environment variables", () => {
  expect(parseEnv("A=b=c", { X: "y" })).toEqual({ X: "y", A: "b=c" });
  expect(parseEnv("A=", {})).toEqual({ A: "" });
  expect(parseEnv("PATH", {})).toEqual({ PATH: process.env.PATH });
  expect(parseEnv("NO_SUCH_VARIABLE_HERE", {})).toEqual({});
  for (const text of ["", "=x"]) expect(() => parseEnv(text, {})).toThrow("An environment variable is NAME=VALUE.");
});
