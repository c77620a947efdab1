// Memory groups that random tests shake: made, removed, given limits, reclaimed from, with address spaces and charges moving between them, while the tests do
// what they do. Not for production code.
import { asPfn } from "../base/numbers.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";

export class RandomGroups {
  readonly #memory: MemoryManager;
  readonly #random: (n: number) => number;
  readonly #groups: MemoryGroup[] = [];

  /** `random(n)`: [0, n). */
  constructor(memory: MemoryManager, random: (n: number) => number) {
    this.#memory = memory;
    this.#random = random;
    memory.groups.onOom = () => (random(2) === 0 ? "kill-current" : "nobody");
  }

  /** One random act; `mms` are the address spaces that may be moved. Its name. */
  step(mms: readonly Mm[]): string {
    const random = this.#random;
    const { groups } = this.#memory;
    if (this.#groups.length === 0 || random(8) === 0) return this.#create();
    const group = this.#pick();
    switch (random(9)) {
      case 0:
        return this.#remove(group);
      case 1:
      case 2:
        if (mms.length > 0) mms[random(mms.length)].memcg = group;
        return "mm moves";
      case 3:
        groups.current = random(3) === 0 ? groups.root : group;
        return "current";
      case 4:
        group.memory.max = random(2) === 0 ? Infinity : random(60);
        return `max ${group.memory.max}`;
      case 5:
        group[random(2) === 0 ? "min" : "low"] = random(2) === 0 ? 0 : random(60);
        group.high = random(2) === 0 ? Infinity : random(60);
        return "min, low, high";
      case 6:
        group.swap.max = random(2) === 0 ? Infinity : random(10);
        return `swap.max ${group.swap.max}`;
      case 7:
        return `reclaim ${groups.reclaim(random(4) === 0 ? groups.root : group, random(20))}`;
      default:
        return this.#moveCharges(group, random(4) === 0 ? groups.root : this.#pick());
    }
  }

  /** Everything is unmapped: all groups go, and nothing is left of them. */
  end(): void {
    const { groups } = this.#memory;
    for (const group of this.#groups.reverse()) groups.remove(group);
    if (groups.active || [...groups.all()].length > 0) throw new Error("memory groups are left");
  }

  /** One of the groups, or the root. */
  any(): MemoryGroup {
    return this.#groups.length === 0 || this.#random(4) === 0 ? this.#memory.groups.root : this.#pick();
  }

  #pick(): MemoryGroup {
    return this.#groups[this.#random(this.#groups.length)];
  }

  #create(): string {
    if (this.#groups.length === 7) return "";
    const { groups } = this.#memory;
    const parent = this.#groups.length > 0 && this.#random(2) === 0 ? this.#pick() : groups.root;
    const group = groups.create(parent);
    if (typeof group === "number") throw new Error("no more groups");
    this.#groups.push(group);
    return `group ${group.id} in ${parent.id}`;
  }

  /** As the kernel: only without groups below, and with its address spaces somewhere else. */
  #remove(group: MemoryGroup): string {
    if (this.#groups.some((other) => other.parent === group)) return "";
    this.#groups.splice(this.#groups.indexOf(group), 1);
    this.#memory.groups.remove(group);
    return `remove ${group.id}`;
  }

  #moveCharges(from: MemoryGroup, to: MemoryGroup): string {
    const { frames, swap, groups } = this.#memory;
    const places = (ids: Uint16Array): number[] => [...ids.keys()].filter((place) => ids[place] === from.id);
    const slots = swap === null ? [] : places(swap.group);
    return `move ${groups.move(to, places(frames.group).map(asPfn), slots)}`;
  }
}
