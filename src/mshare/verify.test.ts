// The recount finds what is wrong with regions: share counts, links, sharers, views, private copies, translations; one broken thing at a time.
import { describe, expect, it } from "vitest";
import { PTE_V, PTE_W, makePte } from "../machine/pte.ts";
import type { Mm } from "../mm/mm.ts";
import { ensureTable, findTable, leafIndex } from "../mm/page-table.ts";
import { SwapArea } from "../mm/swap.ts";
import { MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import type { Region } from "./region.ts";
import { GIB, MIB, PAGE, TestWorld } from "./test-world.ts";
import { MshareWindow } from "./window.ts";

/** A region with a writer, a reader (the view) and a private window with a copy at page 1. */
class Spoilt {
  readonly world = new TestWorld();
  readonly region: Region;
  readonly reader: Mm;
  readonly writer: Mm;
  readonly addr: number;
  readonly readAddr: number;
  readonly copyAddr: number;

  constructor() {
    const { world } = this;
    world.memory.swap = new SwapArea("test", 8);
    this.region = world.region(4 * MIB);
    world.map(this.region, 0, 4 * MIB);
    this.reader = world.newMm();
    this.writer = world.newMm();
    this.addr = world.attach(this.region, world.mm);
    this.readAddr = world.attach(this.region, this.reader, { flags: MSHARE_RDONLY });
    this.copyAddr = world.attach(this.region, this.writer, { flags: MSHARE_PRIVATE });
    for (const page of [0, 1]) world.touch(world.mm, this.addr + page * PAGE);
    world.touch(this.reader, this.readAddr, "read");
    world.touch(this.writer, this.copyAddr + PAGE);
    world.memory.verify();
  }

  window(mm: Mm, addr: number): MshareWindow {
    const { window } = mm.vmas.lookup(addr)!;
    if (!(window instanceof MshareWindow)) throw new Error("no window");
    return window;
  }
  /** The word of the leaf entry that a process reaches. */
  entry(mm: Mm, va: number): number {
    return (findTable(this.world.memory.ram, mm.root, va) << 10) + 2 * leafIndex(va);
  }
}

const spoil: [name: string, message: RegExp, change: (s: Spoilt) => void][] = [
  [
    "a share count",
    /page-table frame \d+ has \d references/,
    ({ world, addr }) => world.memory.frames.refcount[findTable(world.memory.ram, world.mm.root, addr)]++,
  ],
  ["a window's links", /counts 2 links, has 1/, (s) => s.window(s.world.mm, s.addr).links++],
  [
    "a sharer that is not known",
    /window at .* is not known/,
    ({ region, reader }) => region.host.sharers.delete(reader),
  ],
  [
    "a sharer without a window",
    /which has no window on it/,
    ({ world, region }) => region.host.sharers.add(world.newMm()),
  ],
  [
    "a link outside of a window",
    /is linked to a table of mm \d+ without a window there/,
    ({ world, addr }) => {
      const { ram, frames } = world.memory;
      const target = findTable(ram, world.mm.root, addr);
      const table = ensureTable(world.mm, 300 * GIB, 1);
      ram.writePte(table, 0, makePte(target, PTE_V));
      frames.refcount[target]++;
    },
  ],
  [
    "a view that can be written",
    /allows more than its VMA/,
    (s) => void (s.world.memory.ram.u32[s.entry(s.reader, s.readAddr)] |= PTE_W),
  ],
  [
    "a view's page that the host has lost",
    /map count \d, \d entries/,
    (s) => void (s.world.memory.ram.u32[s.entry(s.region.host, s.region.hostAddress(0))] = 0),
  ],
  ["a view's tables", /tableBytes/, (s) => (s.window(s.reader, s.readAddr).view!.mm.tableBytes += PAGE)],
  ["a private copy not counted", /rssAnon is 0, should be 1/, ({ writer }) => writer.rssAnon--],
  ["the region's pages counted in a sharer", /rssShmem is 1, should be 0/, ({ world }) => world.mm.rssShmem++],
  ["the region's pages not counted in the host", /rssShmem is 1, should be 2/, ({ region }) => region.host.rssShmem--],
  ["a private window's commitment", /committed pages/, ({ world }) => world.memory.uncommit(1)],
];

describe("verify finds", () => {
  it.each(spoil)("%s", (_name, message, change) => {
    const spoilt = new Spoilt();
    change(spoilt);
    expect(() => {
      spoilt.world.memory.verify();
    }).toThrow(message);
  });
});
