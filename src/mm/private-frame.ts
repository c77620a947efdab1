// Frames for private pages: where they should be, and who they belong to. Used by fault.ts.
import { PMD_SIZE, type Pfn } from "../base/numbers.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import { FRAME_EXCLUSIVE, KIND_ANON } from "./frame.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { Mm } from "./mm.ts";
import { pmdWord } from "./page-table.ts";
import type { Vma } from "./vma.ts";

/** Tables that a VMA is taken to have at least, and at most, when their pages get frames. */
const LEAST_TABLES = 8;
const MOST_TABLES = 64;

/** A fresh private frame for `va`, exclusive, with its rmap set; contents undefined; `wanted`, if that is free. 0 if there is none. */
export function newPrivateFrame(
  space: Mm,
  va: number,
  vma: Vma,
  shift: number,
  wanted: number,
  payer?: MemoryGroup,
): Pfn {
  const anonVma = vma.anonVma ?? prepareAnonVma(vma, vma.mm.vmas.prev(vma), vma.mm.vmas.next(vma));
  const { frames } = space.memory;
  const pfn = space.memory.allocateFrame(space, KIND_ANON, payer, wanted);
  if (pfn === 0) return pfn;
  frames.flags[pfn] = FRAME_EXCLUSIVE;
  frames.owner[pfn] = anonVma;
  frames.index[pfn] = vma.pageIndex(va + shift);
  return pfn;
}

/** The frame that the private page at `va`, of an entry that had none, should have, so that those of its neighbours follow each other; 0: any. */
export function homeFrame(
  { memory: { ram, frames }, root }: Mm,
  va: number,
  vma: Vma,
  table: Pfn,
  index: number,
): number {
  const wanted = frames.homeFrame(table, index);
  if (wanted !== 0) return wanted;
  // A heap will grow.
  const tables = Math.ceil((vma.end - vma.start) / PMD_SIZE) + 1;
  frames.giveHome(table, pmdWord(ram, root, va), Math.min(MOST_TABLES, Math.max(LEAST_TABLES, tables)));
  return frames.homeFrame(table, index);
}
