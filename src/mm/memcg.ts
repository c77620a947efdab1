// Memory control groups (mm/memcontrol.c): who is charged for each frame and each swap slot, what groups may use, and what happens when they would
// use more. Owns the tree of groups and their counts; frames carry the number of their group (FrameAllocator.group), slots too (SwapArea.group).
// MemoryManager charges here when it allocates; kernel/cgroup.ts makes and configures groups. The root is not counted: it is what is left over.
//
// A group that is removed while something is charged to it stays, offline, under its parent until the last charge is gone.
import { ENOMEM } from "../base/errno.ts";
import type { Pfn } from "../base/numbers.ts";
import { KINDS } from "./frame.ts";
import { GroupCounter, GroupEvents, GroupStat } from "./memcg-counters.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { LEAST_OF_GROUP, RECLAIM_BATCH, reclaim } from "./reclaim.ts";

/** MEM_CGROUP_ID_MAX. Number 0 is the root. */
const MAX_ID = 65535;
/** Charges of more than this many pages fail rather than have anything reclaimed or somebody killed (PAGE_ALLOC_COSTLY_ORDER). */
const COSTLY_PAGES = 8;

/** One group (struct mem_cgroup). Limits are in pages; Infinity is "max". */
export class MemoryGroup {
  readonly id: number;
  /** Null: the root. */
  readonly parent: MemoryGroup | null;
  readonly children = new Set<MemoryGroup>();
  /** False: removed (a zombie as long as something is charged to it). New charges go to the nearest ancestor that is there. */
  online = true;
  /** Removed, and nothing is charged to it any more. */
  forgotten = false;

  /** Frames charged to this group itself, by kind. */
  readonly frames = new Int32Array(KINDS);
  /** Slots charged to this group itself. */
  slots = 0;
  /** Pages charged to the group and to all below it: memory.current, swap.current. */
  readonly memory = new GroupCounter();
  readonly swap = new GroupCounter();

  high = Infinity;
  min = 0;
  low = 0;
  swapHigh = Infinity;
  /** memory.oom.group: the OOM killer takes all of the group, or nobody. */
  oomGroup = false;

  /** What happened in the group or below it, and in the group itself. */
  readonly events = new GroupEvents();
  readonly localEvents = new GroupEvents();
  readonly stat = new GroupStat();
  /** Told of changes of `events` ("memory") and of the swap events ("swap"). */
  onEvent: ((file: "memory" | "swap") => void) | null = null;
  /** memory.high is looked at again from this usage on: a group in which nothing can be reclaimed is not scanned at every fault. */
  nextHigh = 0;

  constructor(id: number, parent: MemoryGroup | null) {
    this.id = id;
    this.parent = parent;
  }

  /** Whether the group is `other` or below it. */
  isWithin(other: MemoryGroup): boolean {
    return this === other || (this.parent !== null && this.parent.isWithin(other));
  }

  /** This group and all below it, removed ones too. */
  *subtree(): Generator<MemoryGroup> {
    yield this;
    for (const child of this.children) yield* child.subtree();
  }

  /** Something happened: counted here and in all groups above. */
  note(event: keyof GroupEvents): void {
    this.localEvents[event]++;
    this.#noteAbove(event, event.startsWith("swap") ? "swap" : "memory");
  }
  #noteAbove(event: keyof GroupEvents, file: "memory" | "swap"): void {
    if (this.parent === null) return;
    this.events[event]++;
    this.onEvent?.(file);
    this.parent.#noteAbove(event, file);
  }
}

export class MemoryGroups {
  readonly root = new MemoryGroup(0, null);
  /** There are groups besides the root. Nothing is counted while there are none. */
  active = false;
  /** The group of the task that runs: charged for page cache and new address spaces. The kernel sets it; faults in regions set the owner's. */
  current: MemoryGroup = this.root;
  /** Mounted with memory_recursiveprot: what a group has of protection is for all below it, whether they ask for it or not. */
  recursiveProtection = true;
  /** A charge would exceed the limit of `over` and nothing can be reclaimed there: as MemoryManager.onOom, among its processes. "nobody": none can be killed. */
  onOom: (over: MemoryGroup, mm: Mm | null) => "retry" | "kill-current" | "nobody" = () => "nobody";
  /** The last charge that failed found nobody to kill: a fault is tried again then (pagefault_out_of_memory). */
  stuck = false;
  readonly #memory: MemoryManager;
  readonly #byId: (MemoryGroup | undefined)[] = [this.root];
  readonly #freeIds: number[] = [];

  constructor(memory: MemoryManager) {
    this.#memory = memory;
  }

  /** A new group under `parent`; -ENOMEM when there are 65535. */
  create(parent: MemoryGroup): MemoryGroup | number {
    const id = this.#freeIds.pop() ?? this.#byId.length;
    if (id > MAX_ID) return -ENOMEM;
    const group = new MemoryGroup(id, parent);
    this.#byId[id] = group;
    parent.children.add(group);
    this.active = true;
    return group;
  }

  /** A group is removed: its address spaces belong to others now. */
  remove(group: MemoryGroup): void {
    group.online = false;
    group.onEvent = null;
    // Nothing is kept from the outside for what nobody can configure any more (mem_cgroup_css_offline).
    group.min = group.low = 0;
    const heir = onlineOf(group);
    if (this.current === group) this.current = heir;
    for (const mm of this.#memory.mms) if (mm.memcg === group) mm.memcg = heir;
    this.#forgetIfEmpty(group);
  }

  /** Runs `action`; what it brings into memory is charged to `group` instead of the task's. */
  chargingTo<T>(group: MemoryGroup, action: () => T): T {
    const outer = this.current;
    this.current = group;
    try {
      return action();
    } finally {
      this.current = outer;
    }
  }

  /** The group with this number, as frames and slots carry it. */
  byId(id: number): MemoryGroup {
    const group = this.#byId[id];
    if (group === undefined) throw new Error(`no memory group has number ${id}`);
    return group;
  }

  /** Groups besides the root, removed ones too. */
  *all(): Generator<MemoryGroup> {
    for (const group of this.#byId) if (group !== undefined && group !== this.root) yield group;
  }

  /** The group that is charged for what is brought in from a swap slot: the one that was charged for the slot, if it is still there. */
  ofSlot(slot: number, mm: Mm | null): MemoryGroup {
    const id = this.#memory.swap!.group[slot];
    const group = id === 0 ? this.root : this.byId(id);
    return group.online ? group : mm === null ? this.current : mm.memcg;
  }

  /**
   * try_charge: `group` pays for `pages` frames of `kind`, which must then be `assign`ed. The group that has paid; null: the limit of the group, or of one
   * above it, does not allow it, though everything that could be was reclaimed and the OOM killer was asked. For a huge page, which small ones can stand in for,
   * neither is done (GFP_TRANSHUGE_LIGHT).
   */
  charge(group: MemoryGroup, kind: number, pages: number, mm: Mm | null): MemoryGroup | null {
    const payer = onlineOf(group);
    if (payer === this.root) return payer;
    for (;;) {
      const over = this.#add(payer, pages);
      if (over === null) break;
      this.stuck = false;
      if (pages > COSTLY_PAGES) return null;
      over.note("max");
      const freed = this.reclaim(over, RECLAIM_BATCH);
      const hasRoom = over.memory.usage + pages <= over.memory.max;
      if (freed >= LEAST_OF_GROUP || (freed === 0 && hasRoom)) continue;
      over.note("oom");
      const outcome = this.onOom(over, mm);
      if (outcome === "retry" || (outcome === "nobody" && hasRoom)) continue;
      this.stuck = outcome === "nobody";
      return null;
    }
    payer.frames[kind] += pages;
    this.#keepBelowHigh(payer);
    return payer;
  }

  /** Frames [pfn, pfn + count) are what `payer` was charged for. */
  assign(pfn: Pfn, count: number, payer: MemoryGroup): void {
    this.#memory.frames.group.fill(payer.id, pfn, pfn + count);
  }

  /** A frame of `kind` that was charged to group `id` is free again, or was not to be had. */
  uncharge(id: number, kind: number, pages = 1): void {
    if (id === 0) return;
    const group = this.byId(id);
    group.frames[kind] -= pages;
    for (let at = group; at.parent !== null; at = at.parent) at.memory.usage -= pages;
    if (!group.online) this.#forgetIfEmpty(group);
  }

  /** A swap slot for a page that group `id` pays for. False: memory.swap.max does not allow it. */
  chargeSwap(id: number): boolean {
    if (id === 0) return true;
    const group = this.byId(id);
    for (let at = group; at.parent !== null; at = at.parent) {
      if (at.swap.usage + 1 <= at.swap.max) continue;
      at.note("swapMax");
      at.note("swapFail");
      return false;
    }
    for (let at = group; at.parent !== null; at = at.parent) {
      at.swap.add(1);
      if (at.swap.usage > at.swapHigh) at.note("swapHigh");
    }
    group.slots++;
    return true;
  }

  /** A slot that was charged to group `id` is free. */
  unchargeSwap(id: number): void {
    const group = this.byId(id);
    group.slots--;
    for (let at = group; at.parent !== null; at = at.parent) at.swap.usage--;
    if (!group.online) this.#forgetIfEmpty(group);
  }

  /** Frees up to `target` frames of `group` and those below it; how many (try_to_free_mem_cgroup_pages). */
  reclaim(group: MemoryGroup, target: number): number {
    return reclaim(this.#memory, { target, group });
  }

  /**
   * Charges frames and swap slots to `group`, whoever has paid for them (mshare_transfer). False, and nothing has moved: a limit does not allow it, though
   * everything that could be was reclaimed there.
   */
  move(group: MemoryGroup, pfns: readonly Pfn[], slots: readonly number[]): boolean {
    if (!this.active) return true;
    const to = onlineOf(group);
    const { frames, swap } = this.#memory;
    const newTo = (at: MemoryGroup, ids: Uint16Array, places: readonly number[]): number =>
      places.reduce((sum, place) => (this.byId(ids[place]).isWithin(at) ? sum : sum + 1), 0);
    for (let at = to; at.parent !== null; at = at.parent) {
      if (!this.#makeRoom(at, newTo(at, frames.group, pfns))) return false;
      if (slots.length > 0 && at.swap.usage + newTo(at, swap!.group, slots) > at.swap.max) return false;
    }
    for (const pfn of pfns) {
      // Making room may have taken it: then it was the group's already.
      if (frames.refcount[pfn] === 0) continue;
      const from = this.byId(frames.group[pfn]);
      if (from === to) continue;
      const kind = frames.kind[pfn];
      if (to.parent !== null) to.frames[kind]++;
      for (let at = to; at.parent !== null; at = at.parent) at.memory.add(1);
      frames.group[pfn] = to.id;
      if (from.parent !== null) this.uncharge(from.id, kind);
    }
    for (const slot of slots) {
      const from = this.byId(swap!.group[slot]);
      if (from === to) continue;
      if (to.parent !== null) to.slots++;
      for (let at = to; at.parent !== null; at = at.parent) at.swap.add(1);
      swap!.group[slot] = to.id;
      if (from.parent !== null) this.unchargeSwap(from.id);
    }
    return true;
  }

  /** Whether a group's limit has room for `pages` more, reclaiming there if need be. */
  #makeRoom(group: MemoryGroup, pages: number): boolean {
    while (pages > 0 && group.memory.usage + pages > group.memory.max) {
      group.note("max");
      if (this.reclaim(group, group.memory.usage + pages - group.memory.max) === 0) return false;
    }
    return true;
  }

  /** Adds pages to a group and all above it; or returns the one whose limit does not allow it, and adds nothing. */
  #add(group: MemoryGroup, pages: number): MemoryGroup | null {
    for (let at = group; at.parent !== null; at = at.parent) {
      if (at.memory.usage + pages > at.memory.max) return at;
    }
    for (let at = group; at.parent !== null; at = at.parent) at.memory.add(pages);
    return null;
  }

  /** Groups that have gone over memory.high are brought back, as far as that goes. Nobody is made to wait. */
  #keepBelowHigh(group: MemoryGroup): void {
    for (let at = group; at.parent !== null; at = at.parent) {
      const { usage } = at.memory;
      if (usage <= at.high || usage < at.nextHigh) continue;
      at.note("high");
      this.reclaim(at, Math.max(usage - at.high, RECLAIM_BATCH));
      at.nextHigh = at.memory.usage > at.high ? at.memory.usage + RECLAIM_BATCH : 0;
    }
  }

  #forgetIfEmpty(group: MemoryGroup): void {
    const { parent } = group;
    if (parent === null || group.online || group.children.size > 0) return;
    if (group.memory.usage !== 0 || group.swap.usage !== 0 || this.#byId[group.id] !== group) return;
    parent.children.delete(group);
    group.forgotten = true;
    // What it has seen stays in the sums of those above.
    parent.stat.add(group.stat);
    this.#byId[group.id] = undefined;
    this.#freeIds.push(group.id);
    if (this.root.children.size === 0) this.active = false;
    this.#forgetIfEmpty(parent);
  }
}

/** The group itself, or if it has been removed the nearest above it that has not. */
export function onlineOf(group: MemoryGroup): MemoryGroup {
  let at = group;
  while (!at.online && at.parent !== null) at = at.parent;
  return at;
}
