// The recount of memory groups' charges, for verify(): from the frames and swap slots to the groups, and from groups to those above them.
import { KINDS, KIND_FREE, KIND_HUGETLB, KIND_ZERO } from "./frame.ts";
import type { MemoryGroup } from "./memcg.ts";
import type { MemoryManager } from "./memory-manager.ts";

/** What does not add up, a line each. */
export function checkCharges(memory: MemoryManager): string[] {
  const problems: string[] = [];
  const found = new Map<number, Found>();
  countFrames(memory, found, problems);
  countSlots(memory, found, problems);
  const { groups } = memory;
  for (const id of found.keys())
    if (![...groups.all()].some((group) => group.id === id))
      problems.push(`something is charged to group ${id}, which is not there`);
  for (const group of groups.all()) checkGroup(group, found, problems);
  if (groups.active !== groups.root.children.size > 0)
    problems.push(`memory groups are ${groups.active ? "" : "not "}active`);
  for (const mm of memory.mms)
    if (!mm.memcg.online) problems.push(`mm ${mm.id} belongs to group ${mm.memcg.id}, which has been removed`);
  return problems;
}

/** What is charged to one group itself. */
interface Found {
  readonly frames: Int32Array;
  slots: number;
}

function entry(found: Map<number, Found>, id: number): Found {
  let at = found.get(id);
  if (at === undefined) found.set(id, (at = { frames: new Int32Array(KINDS), slots: 0 }));
  return at;
}

function countFrames({ frames, ram }: MemoryManager, found: Map<number, Found>, problems: string[]): void {
  for (let pfn = Math.max(1, ram.firstPfn); pfn < ram.endPfn; pfn++) {
    const id = frames.group[pfn];
    if (id === 0) continue;
    const kind = frames.kind[pfn];
    if (kind === KIND_FREE || kind === KIND_ZERO || kind === KIND_HUGETLB) {
      problems.push(`frame ${pfn} of kind ${kind} is charged to group ${id}`);
    } else entry(found, id).frames[kind]++;
  }
}

function countSlots({ swap }: MemoryManager, found: Map<number, Found>, problems: string[]): void {
  if (swap === null) return;
  swap.group.forEach((id, slot) => {
    if (id === 0) return;
    if (swap.references(slot) === 0) problems.push(`swap slot ${slot} is free and charged to group ${id}`);
    else entry(found, id).slots++;
  });
}

function checkGroup(group: MemoryGroup, found: Map<number, Found>, problems: string[]): void {
  const expect = (what: string, is: number, should: number): void => {
    if (is !== should) problems.push(`group ${group.id}: ${what} is ${is}, should be ${should}`);
  };
  let usage = 0;
  let slots = 0;
  for (const { id } of group.subtree()) {
    const { frames, slots: own } = found.get(id) ?? { frames: new Int32Array(KINDS), slots: 0 };
    usage += frames.reduce((sum, count) => sum + count, 0);
    slots += own;
  }
  const own = found.get(group.id);
  for (let kind = 1; kind < KINDS; kind++)
    expect(`charge for frames of kind ${kind}`, group.frames[kind], own?.frames[kind] ?? 0);
  expect("charge for swap slots", group.slots, own?.slots ?? 0);
  expect("usage", group.memory.usage, usage);
  expect("swap usage", group.swap.usage, slots);
}
