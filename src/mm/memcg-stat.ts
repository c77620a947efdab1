// memory.stat of a memory group: names and units as Linux's (mm/memcontrol.c: memory_stats), in its order. What mechanisms that are not here would count is left
// out (docs/differences.md). Some values are counted from the frames when they are asked for, so that nothing on the way of a fault keeps them.
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { BLOCK_FRAMES, FRAME_DIRTY, KIND_ANON, KIND_FILE, KIND_SHMEM, KIND_TABLE } from "./frame.ts";
import { mappingsOf } from "./mappings.ts";
import { GroupStat } from "./memcg-counters.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { ShmemObject } from "./object.ts";
import { VM_LOCKED } from "./vma.ts";

/** Pages of a group and all below it, by what is the case now. */
interface Census {
  anon: number;
  file: number;
  shmem: number;
  tables: number;
  fileMapped: number;
  fileDirty: number;
  /** Locked pages, which are not on the lists of anon and file. */
  lockedAnon: number;
  lockedFile: number;
  anonHuge: number;
  shmemHuge: number;
}

/** The names and values of memory.stat: bytes, then counts of events. */
export function memoryStat(memory: MemoryManager, group: MemoryGroup): Map<string, number> {
  const census = takeCensus(memory, group);
  const bytes = (pages: number): number => pages * PAGE_SIZE;
  const { anon, file, shmem, tables, lockedAnon, lockedFile } = census;
  const stat = new Map<string, number>([
    ["anon", bytes(anon)],
    ["file", bytes(file + shmem)],
    ["kernel", bytes(tables)],
    ["kernel_stack", 0],
    ["pagetables", bytes(tables)],
    ["sec_pagetables", 0],
    ["percpu", 0],
    ["sock", 0],
    ["vmalloc", 0],
    ["shmem", bytes(shmem)],
    ["file_mapped", bytes(census.fileMapped)],
    ["file_dirty", bytes(census.fileDirty)],
    ["file_writeback", 0],
    ["swapcached", 0],
    ["anon_thp", bytes(census.anonHuge)],
    ["file_thp", 0],
    ["shmem_thp", bytes(census.shmemHuge)],
    ["inactive_anon", bytes(anon + shmem - lockedAnon)],
    ["active_anon", 0],
    ["inactive_file", bytes(file - lockedFile)],
    ["active_file", 0],
    ["unevictable", bytes(lockedAnon + lockedFile)],
    ["slab_reclaimable", 0],
    ["slab_unreclaimable", 0],
    ["slab", 0],
  ]);
  addEvents(stat, memory, group);
  return stat;
}

function addEvents(stat: Map<string, number>, memory: MemoryManager, group: MemoryGroup): void {
  const events = new GroupStat();
  if (group.parent === null) {
    // Everything that happens happens below the root.
    const { pgfault, pgmajfault, pgscan, pgsteal, pswpin, pswpout } = memory.stat;
    Object.assign(events, { pgfault, pgmajfault, pgscan, pgsteal, pswpin, pswpout });
    events.thpFaultAlloc = memory.stat.thp_fault_alloc;
    events.thpCollapseAlloc = memory.stat.thp_collapse_alloc;
  } else for (const { stat: own } of group.subtree()) events.add(own);
  // All reclaim is direct: there is no kswapd.
  stat.set("pswpin", events.pswpin);
  stat.set("pswpout", events.pswpout);
  stat.set("pgscan", events.pgscan);
  stat.set("pgsteal", events.pgsteal);
  stat.set("pgscan_kswapd", 0);
  stat.set("pgscan_direct", events.pgscan);
  stat.set("pgsteal_kswapd", 0);
  stat.set("pgsteal_direct", events.pgsteal);
  stat.set("pgfault", events.pgfault);
  stat.set("pgmajfault", events.pgmajfault);
  stat.set("thp_fault_alloc", events.thpFaultAlloc);
  stat.set("thp_collapse_alloc", events.thpCollapseAlloc);
}

function takeCensus(memory: MemoryManager, group: MemoryGroup): Census {
  const { frames, ram } = memory;
  const isLocking = [...memory.mms].some(({ lockedVm }) => lockedVm > 0);
  const counted = { anon: 0, file: 0, shmem: 0, tables: 0, fileMapped: 0, fileDirty: 0, lockedAnon: 0, lockedFile: 0 };
  const isRoot = group.parent === null;
  const within = new Set([...group.subtree()].map(({ id }) => id));
  const isCharged = (pfn: number): boolean => isRoot || within.has(frames.group[pfn]);
  const census: Census = { ...counted, ...hugePages(memory, isCharged) };
  for (let pfn = Math.max(1, ram.firstPfn); pfn < ram.endPfn; pfn++) {
    if (!isCharged(pfn)) continue;
    const kind = frames.kind[pfn];
    if (kind === KIND_TABLE) census.tables++;
    if (kind !== KIND_ANON && kind !== KIND_FILE && kind !== KIND_SHMEM) continue;
    if (kind === KIND_ANON) census.anon++;
    else {
      if (kind === KIND_SHMEM) census.shmem++;
      else census.file++;
      if (frames.mapcount[pfn] > 0) census.fileMapped++;
      if (kind === KIND_FILE && (frames.flags[pfn] & FRAME_DIRTY) !== 0) census.fileDirty++;
    }
    if (isLocking && isLocked(memory, pfn as Pfn)) census[kind === KIND_FILE ? "lockedFile" : "lockedAnon"]++;
  }
  return census;
}

/** Pages of private memory that huge leaves map, and of shmem that are in huge pages. */
function hugePages(memory: MemoryManager, isCharged: (pfn: number) => boolean): Pick<Census, "anonHuge" | "shmemHuge"> {
  const { frames, objects } = memory;
  let [anonHuge, shmemHuge] = [0, 0];
  frames.leaves.forEach((count, block) => {
    const pfn = block * BLOCK_FRAMES;
    if (count > 0 && frames.kind[pfn] === KIND_ANON && isCharged(pfn)) anonHuge += BLOCK_FRAMES;
  });
  for (const object of objects)
    if (object instanceof ShmemObject)
      for (const first of object.huge.starts) if (isCharged(object.pages.get(first))) shmemHuge += BLOCK_FRAMES;
  return { anonHuge, shmemHuge };
}

const isLocked = (memory: MemoryManager, pfn: Pfn): boolean =>
  mappingsOf(memory, pfn).some(({ vma }) => (vma.flags & VM_LOCKED) !== 0);
