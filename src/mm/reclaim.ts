// Reclaim (mm/vmscan.c): takes frames from who has not used them lately. A clock hand goes round all frames; a page whose A bits are set gets a second chance, others
// are unmapped everywhere (one visit per entry: one for a region's page, however many processes share it), written to where they belong — swap for private and
// shmem pages, the file for dirty cache pages — and freed. Called by MemoryManager.allocateFrame when nothing is free, by memory cgroups, MADV_PAGEOUT and drop_caches.
import { type Pfn, asPfn } from "../base/numbers.ts";
import { PTE_A, PTE_D } from "../machine/pte.ts";
import { FRAME_DIRTY, FRAME_EXCLUSIVE, FRAME_LAZYFREE, KIND_ANON, KIND_FILE, KIND_SHMEM } from "./frame.ts";
import type { MemoryGroup } from "./memcg.ts";
import { ReclaimScope } from "./memcg-reclaim.ts";
import { type Mapping, mappingsOf } from "./mappings.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { FileObject } from "./file-object.ts";
import { type MemoryObject, ShmemObject } from "./object.ts";
import { countRss } from "./rmap.ts";
import { makeSwapPte } from "./swap.ts";
import { splitHuge } from "./thp-split.ts";
import { VM_LOCKED } from "./vma.ts";

/** Frames that one call for a single frame tries to free (SWAP_CLUSTER_MAX). */
export const RECLAIM_BATCH = 32;
/**
 * A machine in which fewer frames than this can be had is out of memory: Linux's smallest min watermark (128 KiB, should_reclaim_retry). Going on with less would never
 * end: the page with an instruction and the page that it reads would take each other's place.
 */
export const LEAST_FRAMES = 32;
/** The same for a memory group, which has no watermarks: what one instruction may need at once, two pages of code and two of data. */
export const LEAST_OF_GROUP = 4;

export interface ReclaimRequest {
  /** Frames to free. */
  readonly target: number;
  /** Only frames of this memory group and those below it. */
  readonly group?: MemoryGroup;
}

const isReclaimable = (kind: number): boolean => kind === KIND_ANON || kind === KIND_SHMEM || kind === KIND_FILE;

/** Frees frames; how many. Two rounds of the hand at most: the first clears A bits, the second finds them still clear. */
export function reclaim(memory: MemoryManager, request: ReclaimRequest): number {
  const { groups } = memory;
  const scope = groups.active ? new ReclaimScope(groups, request.group ?? groups.root) : null;
  const freed = goRound(memory, request.target, scope);
  if (freed > 0 || scope === null || !scope.breakLow()) return freed;
  return goRound(memory, request.target, scope);
}

function goRound(memory: MemoryManager, target: number, scope: ReclaimScope | null): number {
  const { frames, ram } = memory;
  const first = Math.max(1, ram.firstPfn);
  let freed = 0;
  let hand = memory.reclaimHand < first ? first : memory.reclaimHand;
  for (let left = 2 * frames.total; left > 0 && freed < target; left--) {
    const pfn = asPfn(hand);
    hand = hand + 1 < ram.endPfn ? hand + 1 : first;
    if (!isReclaimable(frames.kind[pfn])) continue;
    const group = frames.group[pfn];
    if (scope !== null && !scope.allows(group)) continue;
    memory.stat.pgscan++;
    scope?.count(group, "pgscan");
    const mappings = mappingsOf(memory, pfn);
    if (wasReferenced(memory, mappings) || hasNowhereToGo(memory, pfn)) continue;
    if (!pageOut(memory, pfn, mappings)) continue;
    freed++;
    scope?.count(group, "pgsteal");
  }
  memory.reclaimHand = hand;
  memory.stat.pgsteal += freed;
  return freed;
}

/** Reads and clears the A bits. TLBs are not told, as in Linux: a translation in use may hide an access for a while. */
function wasReferenced(memory: MemoryManager, mappings: readonly Mapping[]): boolean {
  const { ram } = memory;
  let referenced = false;
  for (const { table, index } of mappings) {
    const pte = ram.readPte(table, index);
    if ((pte & PTE_A) === 0) continue;
    referenced = true;
    ram.writePte(table, index, pte & ~PTE_A);
  }
  return referenced;
}

/** Private pages without swap: not worth taking a huge page apart. */
function hasNowhereToGo(memory: MemoryManager, pfn: Pfn): boolean {
  const { kind, flags } = memory.frames;
  return kind[pfn] === KIND_ANON && memory.swap === null && (flags[pfn] & FRAME_LAZYFREE) === 0;
}

/** A page leaves a huge page: the huge leaves that map it are split. Returns what maps it then. */
export function splitMappings(memory: MemoryManager, pfn: Pfn, mappings: readonly Mapping[]): readonly Mapping[] {
  if (!mappings.some(({ huge }) => huge)) return mappings;
  const gather = memory.beginGather();
  for (const { mm, table, index, huge, rss } of mappings)
    if (huge) splitHuge(mm, (table << 10) + 2 * index, gather, rss);
  gather.finish();
  return mappingsOf(memory, pfn);
}

/**
 * Takes a page out of memory: unmaps it everywhere, writes it where it belongs, frees the frame. False if it is in use, locked, or has nowhere to
 * go (then nothing has changed, but huge leaves that mapped it are split). `mappings` are all that map it.
 */
export function pageOut(
  memory: MemoryManager,
  pfn: Pfn,
  mappings: readonly Mapping[] = mappingsOf(memory, pfn),
): boolean {
  const { frames } = memory;
  const kind = frames.kind[pfn];
  const cached = kind === KIND_ANON ? 0 : 1;
  // Somebody holds it beyond its entries and the cache, or has entries that the walk does not reach.
  if (mappings.length !== frames.mapcount[pfn] || frames.refcount[pfn] !== mappings.length + cached) return false;
  if (mappings.some(({ vma }) => (vma.flags & VM_LOCKED) !== 0)) return false;
  mappings = splitMappings(memory, pfn, mappings);
  if (kind === KIND_ANON) return privatePageOut(memory, pfn, mappings);
  const object = frames.owner[pfn] as MemoryObject;
  const index = frames.index[pfn];
  if (object instanceof ShmemObject) {
    const slot = isClean(memory, pfn, mappings) ? 0 : memory.storeInSwap(pfn);
    if (slot === 0 && !isClean(memory, pfn, mappings)) return false;
    unmap(memory, pfn, mappings, () => 0);
    object.swapOut(index, slot);
    return true;
  }
  if (!(object instanceof FileObject)) return false;
  unmap(memory, pfn, mappings, () => 0);
  if (object.writeBack(index) < 0) return false;
  object.evict(index);
  return true;
}

/** A shmem page that was never written: zeros, which need no place to be kept. */
function isClean(memory: MemoryManager, pfn: Pfn, mappings: readonly Mapping[]): boolean {
  const { frames, ram } = memory;
  if ((frames.flags[pfn] & FRAME_DIRTY) !== 0) return false;
  return mappings.every(({ table, index }) => (ram.readPte(table, index) & PTE_D) === 0);
}

function privatePageOut(memory: MemoryManager, pfn: Pfn, mappings: readonly Mapping[]): boolean {
  const { frames, ram, swap } = memory;
  if (mappings.length === 0) return false;
  const clean = mappings.every(({ table, index }) => (ram.readPte(table, index) & PTE_D) === 0);
  if ((frames.flags[pfn] & FRAME_LAZYFREE) !== 0 && clean) {
    unmap(memory, pfn, mappings, () => 0);
    return true;
  }
  const slot = memory.storeInSwap(pfn);
  if (slot === 0) return false;
  frames.flags[pfn] &= ~FRAME_EXCLUSIVE;
  mappings.forEach(({ mm }, i) => {
    if (i > 0) swap!.get(slot);
    mm.swapPages++;
  });
  unmap(memory, pfn, mappings, () => makeSwapPte(slot));
  return true;
}

/** Replaces every entry of a page, flushes, and drops the entries' references. */
function unmap(memory: MemoryManager, pfn: Pfn, mappings: readonly Mapping[], entry: () => number): void {
  const { frames, ram } = memory;
  const kind = frames.kind[pfn];
  const gather = memory.beginGather();
  for (const { mm, table, index, rss } of mappings) {
    if ((ram.readPte(table, index) & PTE_D) !== 0 && kind !== KIND_ANON) frames.flags[pfn] |= FRAME_DIRTY;
    ram.writePte(table, index, entry());
    gather.touch(mm, table, index);
    frames.mapcount[pfn]--;
    if (rss !== null) {
      rss.noteHighWater();
      countRss(rss, kind, -1);
    }
    gather.release(pfn);
  }
  gather.finish();
}
