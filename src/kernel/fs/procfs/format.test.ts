// Numbers and names in the texts of /proc. Expectations: lib/vsprintf.c, fs/seq_file.c, and lines that riscv64 Linux 6.12 printed.
import { describe, expect, test } from "vitest";
import { bitmap, bitmapList, hundredths, kbLine, mangle, parseNumber, statusKb, ticks } from "./format.ts";

describe("lines", () => {
  test("of smaps and meminfo", () => {
    expect(kbLine("Size", 1540)).toBe("Size:               1540 kB\n");
    expect(kbLine("Private_Hugetlb", 0)).toBe("Private_Hugetlb:       0 kB\n");
    expect(kbLine("VmallocTotal", 17592186044416)).toBe("VmallocTotal:   17592186044416 kB\n");
  });
  test("of status", () => {
    expect(statusKb("VmPeak", 1952)).toBe("VmPeak:\t    1952 kB\n");
  });
});

describe("sets of processors", () => {
  test.each<[bigint, number, string, string]>([
    [0b11n, 2, "3", "0-1"],
    [0b1n, 1, "1", "0"],
    [0b101101n, 6, "2d", "0,2-3,5"],
    [0n, 4, "0", ""],
    [(1n << 64n) - 1n, 64, "ffffffff,ffffffff", "0-63"],
    [1n << 33n, 34, "2,00000000", "33"],
    [1n, 33, "0,00000001", "0"],
  ])("%# of %d", (bits, size, mask, list) => {
    expect(bitmap(bits, size)).toBe(mask);
    expect(bitmapList(bits, size)).toBe(list);
  });
});

test("times", () => {
  expect(hundredths(1_289_999_999)).toBe("1.28");
  expect(hundredths(65_000_000)).toBe("0.06");
  expect(ticks(19_999_999)).toBe(1);
});

test("names with characters that would end a field", () => {
  expect(mangle("/tmp/a b\tc\nd\\e#f", " \t\n\\#")).toBe("/tmp/a\\040b\\011c\\012d\\134e\\043f");
  expect(mangle("/tmp/a b\n", "\n")).toBe("/tmp/a b\\012");
});

describe("numbers that programs write", () => {
  test.each([
    ["1", 1],
    ["0x10\n", 16],
    ["010", 8],
    [" -17 \n", -17],
    ["0", 0],
    ["+3", 3],
  ])("%j is %d", (text, value) => {
    expect(parseNumber(text)).toBe(value);
  });
  test.each(["", "x", "1x", "09", "1 2", "0x", "--1", "1.5"])("%j is none", (text) => {
    expect(parseNumber(text)).toBeUndefined();
  });
});
