// Tables to VMAs: expectations from what Sv48 and x86-64 tables are, counted by hand.
import { describe, expect, test } from "vitest";
import { type SlotPart, attribute } from "./attribute.ts";

const leaf = (slot: number, part: number, entries: number): SlotPart => ({ slot, part, entries, level: 0 });

describe("attribute", () => {
  test("one page needs a table at each of three levels", () => {
    const { bytes, tables } = attribute([leaf(7, 0, 1)], 1);
    expect(tables).toEqual([1, 1, 1]);
    expect(bytes[0]).toBe(3 * 4096);
  });

  test("two VMAs in one last-level table share it by entries", () => {
    const { bytes, tables } = attribute([leaf(7, 0, 3), leaf(7, 1, 1)], 2);
    expect(tables).toEqual([1, 1, 1]);
    expect(bytes[0]).toBe(3 * 3072);
    expect(bytes[1]).toBe(3 * 1024);
  });

  test("256 MiB need 128 last-level tables, one table above them and one above that", () => {
    const slots = Array.from({ length: 128 }, (_, i) => leaf(512 + i, 0, 512));
    const { bytes, tables } = attribute(slots, 1);
    expect(tables).toEqual([128, 1, 1]);
    expect(bytes[0]).toBe(130 * 4096);
  });

  test("a GiB boundary and a 512 GiB boundary begin new tables", () => {
    const { tables } = attribute([leaf(511, 0, 1), leaf(512, 0, 1), leaf(262144, 0, 1)], 1);
    expect(tables).toEqual([3, 3, 2]);
  });

  test("a 2 MiB entry has no last-level table, a 1 GiB entry none of level 1, a root entry none at all", () => {
    const at = (level: number): [number, number, number] =>
      attribute([{ slot: 0, part: 0, entries: 512, level }], 1).tables;
    expect(at(1)).toEqual([0, 1, 1]);
    expect(at(2)).toEqual([0, 0, 1]);
    expect(at(3)).toEqual([0, 0, 0]);
  });

  test("private huge pages keep a table in reserve", () => {
    const { bytes, tables } = attribute([{ slot: 0, part: 0, entries: 512, level: 1, deposit: true }], 1);
    expect(tables).toEqual([1, 1, 1]);
    expect(bytes[0]).toBe(3 * 4096);
  });

  test("what is attributed adds up to what there is", () => {
    const slots: SlotPart[] = [];
    for (let i = 0; i < 3000; i++)
      slots.push({ slot: Math.floor(i * 1.7), part: i % 7, entries: 1 + (i % 512), level: i % 11 === 0 ? 1 : 0 });
    const { bytes, tables } = attribute(slots, 7);
    const sum = bytes.reduce((total, b) => total + b, 0);
    expect(sum).toBeCloseTo(4096 * (tables[0] + tables[1] + tables[2]), 3);
  });
});
