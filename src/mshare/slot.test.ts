// Slots and link levels (DESIGN.md §4, "Slots and links") as arithmetic, against a brute-force reading of the rule.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ENOMEM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from "../mm/constants.ts";
import { type LinkExtent, linkLevel, pickSlot } from "./slot.ts";
import { GIB, GRANULE, MIB, PAGE, RW, TestWorld } from "./test-world.ts";

const UNITS = [0, 2 * MIB, GIB, 512 * GIB];

/** All that the entry covers lies in the slot and, in the region, inside the window or beyond the region's end, at the same alignment. */
function allowed(window: LinkExtent, va: number, level: number): boolean {
  const unit = UNITS[level];
  const start = Math.floor(va / unit) * unit;
  const offset = window.offset + start - window.slotStart;
  const inSlot = start >= window.slotStart && start + unit <= window.slotEnd;
  const inWindow = window.toEnd || start + unit <= window.slotStart + window.length;
  return inSlot && inWindow && offset % unit === 0;
}

describe("linkLevel", () => {
  it("is the highest level that the rule allows", () => {
    const granules = fc.integer({ min: 0, max: 2 ** 20 });
    fc.assert(
      fc.property(
        granules,
        granules,
        granules,
        granules,
        granules,
        fc.boolean(),
        (start, length, more, offset, at, toEnd) => {
          const window = {
            slotStart: 64 * GIB + start * GRANULE,
            slotEnd: 64 * GIB + (start + length + 1 + more) * GRANULE,
            offset: offset * GRANULE,
            length: (length + 1) * GRANULE,
            toEnd,
          };
          const va = window.slotStart + (at % (length + 1)) * GRANULE;
          expect(linkLevel(window, va)).toBe([3, 2, 1].find((level) => allowed(window, va, level)));
        },
      ),
    );
  });

  it("a 256 MiB region where the kernel picks costs one entry of 1 GiB; at an odd place 2 MiB entries", () => {
    const window = { slotStart: 64 * GIB, slotEnd: 65 * GIB, offset: 0, length: 256 * MIB, toEnd: true };
    expect(linkLevel(window, 64 * GIB + 255 * MIB)).toBe(2);
    expect(linkLevel({ ...window, slotEnd: 64 * GIB + 256 * MIB }, 64 * GIB)).toBe(1);
    expect(linkLevel({ ...window, toEnd: false }, 64 * GIB)).toBe(1);
    expect(linkLevel({ ...window, offset: GRANULE }, 64 * GIB)).toBe(1);
  });
});

describe("pickSlot", () => {
  const random = (): number => 0.7;

  it("rounds to 1 GiB, above 64 GiB to 512 GiB, congruent to the offset", () => {
    const { mm } = new TestWorld();
    for (const [size, offset, unit] of [
      [256 * MIB, 0, GIB],
      [PAGE, 0, GIB],
      [3 * GIB, 5 * GRANULE, GIB],
      [64 * GIB, 0, GIB],
      [64 * GIB + GRANULE, 0, 512 * GIB],
      [600 * GIB, 7 * GIB, 512 * GIB],
    ]) {
      const slot = pickSlot(mm, size, offset, random);
      if (typeof slot === "number") throw new Error("no slot");
      expect(slot.start % unit).toBe(offset % unit);
      expect(slot.slotEnd % unit).toBe(0);
      expect(slot.slotEnd - slot.start).toBeGreaterThanOrEqual(size);
      expect(slot.slotEnd - slot.start).toBeLessThan(size + 2 * unit);
    }
  });

  it("takes the next lower level where the higher is crowded, and says ENOMEM when nothing is left", () => {
    const { mm } = new TestWorld();
    const block = (addr: number, length: number): void => {
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | 0x4000;
      expect(mm.mmap({ addr, length, prot: RW, flags, file: null, offset: 0 })).toBe(addr);
    };
    // All is taken but 600 MiB that hold no whole GiB.
    block(65536, GIB + 300 * MIB - 65536);
    block(GIB + 900 * MIB, TASK_SIZE - GIB - 900 * MIB);
    const slot = pickSlot(mm, 500 * MIB, 0, random);
    if (typeof slot === "number") throw new Error("no slot");
    expect(slot.start % GRANULE).toBe(0);
    expect(slot.start).toBeGreaterThanOrEqual(GIB + 300 * MIB);
    expect(slot.slotEnd).toBeLessThanOrEqual(GIB + 900 * MIB);
    expect(pickSlot(mm, 601 * MIB, 0, random)).toBe(-ENOMEM);
  });

  it("places differ", () => {
    const { mm } = new TestWorld();
    const places = [0.1, 0.5, 0.9].map((r) => {
      const slot = pickSlot(mm, GIB, 0, () => r);
      return typeof slot === "number" ? slot : slot.start;
    });
    expect(new Set(places).size).toBe(3);
  });
});
