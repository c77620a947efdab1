// What a region is charged for, and moving that to another memory group (mshare_transfer). Called by region.ts only.
import type { Pfn } from "../base/numbers.ts";
import { ENTRIES, ROOT_LEVEL, isTable, ptePfn } from "../machine/pte.ts";
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import { ShmemObject } from "../mm/object.ts";
import { AnonymousFile } from "../mm/vm-file.ts";
import type { Region } from "./region.ts";

/** Frames and swap slots. */
interface Charges {
  readonly pfns: Pfn[];
  readonly slots: number[];
}

/**
 * Everything that the region was charged for is charged to `group`: its tables, its anonymous memory, and of files and memfds what its group pays for; pages of
 * those that another group brought in stay with that. False, and nothing has moved: the group's limits do not allow it.
 */
export function moveCharges(region: Region, group: MemoryGroup): boolean {
  const { groups } = region.host.memory;
  if (!groups.active) return true;
  // What reclaim takes to make room is not to be moved: it is looked at again.
  const { pfns, slots } = chargesOf(region);
  return groups.move(group, pfns, slots);
}

function chargesOf(region: Region): Charges {
  const charges: Charges = { pfns: [], slots: [] };
  for (const mm of region.spaces()) addTables(charges.pfns, mm, mm.root, ROOT_LEVEL);
  addObjects(charges, region.host);
  return charges;
}

function addTables(pfns: Pfn[], mm: Mm, table: Pfn, level: number): void {
  pfns.push(table);
  if (level === 0) return;
  const { ram } = mm.memory;
  for (let i = 0; i < ENTRIES; i++) {
    const entry = ram.readPte(table, i);
    if (isTable(entry)) addTables(pfns, mm, ptePfn(entry), level - 1);
  }
}

/** The pages of the region's objects, as far as they are mapped; each once. */
function addObjects(charges: Charges, host: Mm): void {
  const { frames, swap } = host.memory;
  const { id } = host.memcg;
  const pfns = new Set<Pfn>();
  const slots = new Set<number>();
  for (const { object, file, pgoff, pages } of host.vmas) {
    if (object === null) continue;
    const all = file instanceof AnonymousFile;
    for (const index of object.pages.indices(pgoff, pgoff + pages)) {
      const pfn = object.pages.get(index);
      if (all || frames.group[pfn] === id) pfns.add(pfn);
    }
    if (!(object instanceof ShmemObject)) continue;
    for (const slot of object.slotsOf(pgoff, pgoff + pages)) if (all || swap!.group[slot] === id) slots.add(slot);
  }
  charges.pfns.push(...pfns);
  charges.slots.push(...slots);
}
