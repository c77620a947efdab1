// Which memory groups a round of reclaim may take from: those within the group that must give, except those whose memory.min or memory.low protects
// them (mm/page_counter.c: page_counter_calculate_protection, with memory_recursiveprot as on Debian). Made by reclaim.ts for each round.
import type { MemoryGroup, MemoryGroups } from "./memcg.ts";

interface Protection {
  readonly group: MemoryGroup;
  /** Effective memory.min and memory.low: reclaim leaves the group alone while its usage is not above them. Pages. */
  readonly min: number;
  readonly low: number;
}

export class ReclaimScope {
  readonly #groups: MemoryGroups;
  readonly #takesRoot: boolean;
  readonly #protections = new Map<number, Protection>();
  /** memory.low does not count any more: nothing else could be taken. */
  #ignoresLow = false;
  #lowSkipped = false;

  /** `within`: the group that must give; the root for all. Its own protection does not count. */
  constructor(groups: MemoryGroups, within: MemoryGroup) {
    this.#groups = groups;
    this.#takesRoot = within === groups.root;
    this.#protections.set(within.id, { group: within, min: 0, low: 0 });
    this.#protectChildren(within, { min: 0, low: 0 }, true);
  }

  /** Whether a frame of group `id` may be taken. */
  allows(id: number): boolean {
    if (id === 0) return this.#takesRoot;
    const protection = this.#protections.get(id);
    if (protection === undefined) return false;
    const { group, min, low } = protection;
    const { usage } = group.memory;
    if (min > 0 && usage <= min) return false;
    if (low === 0 || usage > low) return true;
    if (this.#ignoresLow) return true;
    this.#lowSkipped = true;
    return false;
  }

  /** Nothing was found: whether there is more if memory.low is broken. Those groups are told. */
  breakLow(): boolean {
    if (!this.#lowSkipped || this.#ignoresLow) return false;
    this.#ignoresLow = true;
    for (const { group, low } of this.#protections.values())
      if (low > 0 && group.memory.usage <= low) group.note("low");
    return true;
  }

  /** A frame of group `id` was looked at, or freed. */
  count(id: number, event: "pgscan" | "pgsteal"): void {
    // Not by its number: with its last frame a removed group is gone.
    const protection = this.#protections.get(id);
    if (protection !== undefined) protection.group.stat[event]++;
  }

  #protectChildren(parent: MemoryGroup, effective: { min: number; low: number }, atTop: boolean): void {
    for (const child of parent.children) {
      const claim = (kind: "min" | "low"): number =>
        atTop
          ? Math.min(child[kind], child.memory.usage)
          : effectiveProtection(this.#groups, child, parent, effective, kind);
      const own = { min: claim("min"), low: claim("low") };
      this.#protections.set(child.id, { group: child, ...own });
      this.#protectChildren(child, own, false);
    }
  }
}

/**
 * effective_protection: what a group claims, its share of the parent's protection where the siblings claim more than that, and its share of what nobody
 * claims.
 */
function effectiveProtection(
  groups: MemoryGroups,
  group: MemoryGroup,
  parent: MemoryGroup,
  effective: { min: number; low: number },
  kind: "min" | "low",
): number {
  const { usage } = group.memory;
  const available = effective[kind];
  const claimed = Math.min(usage, group[kind]);
  let siblings = 0;
  for (const child of parent.children) siblings += Math.min(child.memory.usage, child[kind]);
  if (siblings > available) return Math.floor((claimed * available) / siblings);
  if (!groups.recursiveProtection) return claimed;
  const unclaimed = available - siblings;
  const unprotected = parent.memory.usage - siblings;
  if (unclaimed <= 0 || unprotected <= 0 || usage <= claimed) return claimed;
  return claimed + Math.floor((unclaimed * (usage - claimed)) / unprotected);
}
