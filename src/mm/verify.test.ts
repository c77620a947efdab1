// The recount finds what is wrong: one broken thing at a time.
import { describe, expect, it } from "vitest";
import { PTE_W, PTE_X } from "../machine/pte.ts";
import { KIND_ANON } from "./frame.ts";
import { findTable, leafIndex } from "./page-table.ts";
import { MADV_PAGEOUT, MAP_SHARED, PROT_READ } from "./constants.ts";
import { FileObject } from "./file-object.ts";
import { SwapArea } from "./swap.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";
import type { Vma } from "./vma.ts";

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
  ["a file page not counted", /rssFile is 0, should be 1/, ({ mm }) => mm.rssFile--],
  ["a shared page not counted", /rssShmem is 1, should be 2/, ({ mm }) => mm.rssShmem--],
  ["a page in swap not counted", /swapPages is 0, should be 1/, ({ mm }) => mm.swapPages--],
  ["data not counted", /dataVm/, ({ mm }) => mm.dataVm--],
  ["code not counted", /execVm/, ({ mm }) => mm.execVm++],
  ["a stack not counted", /stackVm/, ({ mm }) => mm.stackVm++],
  ["a frame of the wrong kind", /frames of kind 1/, ({ memory }) => memory.frames.used[KIND_ANON]++],
  ["a swap slot referred to too often", /references of swap slot 1 is 2/, ({ memory }) => memory.swap!.get(1)],
  ["a page of no object", /is not the page of its object|frame .* does not know/, (space) => spoilObject(space)],
  ["a VMA that its object does not list", /not in its object's list/, ({ mm }) => unlist(mm.vmas.lookup(SHARED)!)],
  ["a private page that rmap cannot find", /cannot be found from its anon_vma/, (space) => hideFromRmap(space)],
  ["a commitment that nobody made", /committed pages/, ({ memory }) => memory.commit(1)],
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

const SHARED = ARENA + 20 * P;

function unlist(vma: Vma): void {
  vma.object!.mappings.delete(vma);
}
function spoilObject({ mm, memory }: TestSpace): void {
  memory.frames.index[mm.vmas.lookup(SHARED)!.object!.pages.get(0)]++;
}
function hideFromRmap(space: TestSpace): void {
  space.memory.frames.owner[frameOf(space, 0)] = null;
}

describe("verify finds", () => {
  it.each(spoil)("%s", (_name, message, change) => {
    const space = new TestSpace();
    space.map(0, 4);
    space.map(8, 1, { prot: PROT_READ });
    space.write(0);
    space.write(1);
    space.read(8);
    // Two shared pages, one of a file on a disk, one in swap.
    space.mapShared(20, 2);
    space.write(20);
    space.write(21);
    const source = { readPage: (): number => 0, writePage: (): number => 0 };
    const object = new FileObject(space.memory, source, P);
    space.map(30, 1, { flags: MAP_SHARED, file: new TestFile(space.memory, { object }) });
    space.read(30);
    space.memory.swap = new SwapArea("test", 4);
    space.map(40, 1);
    space.write(40);
    space.mm.madvise(ARENA + 40 * P, P, MADV_PAGEOUT);
    change(space);
    expect(() => space.check()).toThrow(message);
  });
});
