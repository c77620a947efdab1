// The recount finds what is wrong: one broken thing at a time.
import { describe, expect, it } from "vitest";
import { PTE_W, PTE_X } from "../machine/pte.ts";
import { KIND_ANON } from "./frame.ts";
import { findTable, leafIndex } from "./page-table.ts";
import { PROT_READ } from "./constants.ts";
import { ARENA, P, TestSpace } from "./test-space.ts";

const spoil: [name: string, message: RegExp, change: (space: TestSpace) => void][] = [
  ["a page counted twice", /rssAnon is 3, should be 2/, ({ mm }) => mm.rssAnon++],
  ["a table not counted", /tableBytes/, ({ mm }) => (mm.tableBytes -= P)],
  ["a VMA not counted", /totalVm/, ({ mm }) => mm.totalVm++],
  ["a leaked frame", /has 1 references, 0 were found/, ({ memory }) => memory.frames.allocate(KIND_ANON)],
  ["a commitment lost", /committed pages/, ({ memory }) => memory.uncommit(1)],
  ["a reference too few", /references/, (space) => space.memory.frames.refcount[frameOf(space, 0)]++],
  ["a map count too many", /map count 2, 1 entries/, (space) => space.memory.frames.mapcount[frameOf(space, 0)]++],
  ["an entry that allows too much", /allows more than its VMA/, (space) => setBits(space, 8, PTE_W)],
  ["an entry that can be executed", /allows more than its VMA/, (space) => setBits(space, 0, PTE_X)],
  ["a page at the wrong place", /page index/, (space) => space.memory.frames.index[frameOf(space, 0)]++],
];

function entryOf(space: TestSpace, page: number): number {
  const va = ARENA + page * P;
  return (findTable(space.memory.ram, space.mm.root, va) << 10) + 2 * leafIndex(va);
}

const frameOf = (space: TestSpace, page: number): number => space.memory.ram.u32[entryOf(space, page)] >>> 10;

function setBits(space: TestSpace, page: number, bits: number): void {
  space.memory.ram.u32[entryOf(space, page)] |= bits;
}

describe("verify finds", () => {
  it.each(spoil)("%s", (_name, message, change) => {
    const space = new TestSpace();
    space.map(0, 4);
    space.map(8, 1, { prot: PROT_READ });
    space.write(0);
    space.write(1);
    space.read(8);
    change(space);
    expect(() => space.check()).toThrow(message);
  });
});
