// The layout of the machine's memory: nothing reaches into what follows it.
import { expect, test } from "vitest";
import { MAX_GUEST_RAM } from "../base/limits.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { CODE_PAGE_BYTES, HART_BYTES, TARGET_ENTRIES, TLB_SLOT_BYTES, layOut } from "./layout.ts";

test.each([
  [2 ** 20, 1],
  [64 * 2 ** 20, 1],
  [64 * 2 ** 20, 17],
  [64 * 2 ** 20, 64],
  [2 ** 30, 2],
  [MAX_GUEST_RAM, 64],
])("%i bytes, %i harts", (ramBytes, harts) => {
  const at = layOut(ramBytes, harts);
  const frames = Math.ceil((at.ram + at.ramBytes) / PAGE_SIZE);
  const sizes: [start: number, bytes: number][] = [
    [at.harts, harts * HART_BYTES],
    [at.stubs, harts * CODE_PAGE_BYTES],
    [at.tlb, at.tlbSlots * TLB_SLOT_BYTES],
    [at.targets, TARGET_ENTRIES * 8],
    [at.hasCode, frames],
    [at.writable, frames],
    [at.cachedFrom, frames],
    [at.code, at.codePages * CODE_PAGE_BYTES],
    [at.ram, ramBytes],
  ];
  sizes.forEach(([start, bytes], i) => {
    expect(start + bytes).toBeLessThanOrEqual(sizes[i + 1]?.[0] ?? at.pages * 65536);
  });
  expect(at.pages).toBeLessThanOrEqual(65536);
});
