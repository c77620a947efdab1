// The files of the memory controller (mm/memcontrol.c: memory_files, swap_files). The counts are src/mm/memcg.ts's.
import { EAGAIN, EINTR, EINVAL } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { GroupEvents, PeakWatcher } from "../../mm/memcg-counters.ts";
import type { MemoryGroup } from "../../mm/memcg.ts";
import { memoryStat } from "../../mm/memcg-stat.ts";
import type { Task } from "../task.ts";
import { type CgroupFileType, parseInteger, parsePages } from "./cgroup-files.ts";

/** MAX_RECLAIM_RETRIES */
const RECLAIM_RETRIES = 16;

/** PAGE_COUNTER_MAX */
const MAX_PAGES = Number((2n ** 63n - 1n) / BigInt(PAGE_SIZE));

/** page_counter_memparse: pages, rounded down; Infinity for "max"; -EINVAL. */
function parseLimit(text: string): number {
  const pages = text === "max" ? Infinity : parsePages(text);
  return pages >= MAX_PAGES ? Infinity : pages;
}

const bytesText = (pages: number): string => (pages === Infinity ? "max\n" : `${BigInt(pages) * BigInt(PAGE_SIZE)}\n`);

/** A file that holds a number of pages, "max" included. `changed` runs after it was set. */
function limitFile(
  name: string,
  get: (group: MemoryGroup) => number,
  set: (group: MemoryGroup, pages: number) => void,
  changed?: (group: MemoryGroup, writer: Task) => void,
): CgroupFileType {
  return {
    ...common,
    name,
    read: ({ memcg }) => bytesText(get(memcg)),
    write: ({ memcg }, text, writer) => {
      const pages = parseLimit(text);
      if (pages < 0) return pages;
      set(memcg, pages);
      changed?.(memcg, writer);
      return 0;
    },
  };
}

/** memory.max has been lowered: reclaim until it holds, then kill until it holds or there is nobody left. */
function enforceMax(group: MemoryGroup, writer: Task): void {
  const { memory } = group;
  const { groups } = writer.kernel.memory;
  let retries = RECLAIM_RETRIES;
  while (memory.usage > memory.max && !writer.signalPending()) {
    if (retries > 0) {
      if (groups.reclaim(group, memory.usage - memory.max) === 0) retries = 0;
      continue;
    }
    group.note("oom");
    if (groups.onOom(group, null) !== "retry") return;
  }
}

/** memory.high has been lowered: what can be reclaimed is. */
function enforceHigh(group: MemoryGroup, writer: Task): void {
  const { memory } = group;
  group.nextHigh = 0;
  while (memory.usage > group.high && !writer.signalPending())
    if (writer.kernel.memory.groups.reclaim(group, memory.usage - group.high) === 0) return;
}

/** memory.reclaim: -EAGAIN if less could be freed than was asked for. `swappiness=` is not known. */
function writeReclaim(group: MemoryGroup, text: string, writer: Task): number {
  const pages = parsePages(text);
  if (pages < 0) return pages;
  const { groups } = writer.kernel.memory;
  for (let left = pages; left > 0;) {
    if (writer.signalPending()) return -EINTR;
    const freed = groups.reclaim(group, left);
    if (freed === 0) return -EAGAIN;
    left -= freed;
  }
  return 0;
}

function writeOomGroup(group: MemoryGroup, text: string): number {
  const value = parseInteger(text);
  if (value !== 0 && value !== 1) return -EINVAL;
  group.oomGroup = value === 1;
  return 0;
}

const memoryEvents = (events: GroupEvents): string =>
  `low ${events.low}\nhigh ${events.high}\nmax ${events.max}\noom ${events.oom}\n` +
  `oom_kill ${events.oomKill}\noom_group_kill ${events.oomGroupKill}\n`;
const swapEvents = ({ swapHigh, swapMax, swapFail }: GroupEvents): string =>
  `high ${swapHigh}\nmax ${swapMax}\nfail ${swapFail}\n`;

const statText = (group: MemoryGroup, { kernel }: Task): string =>
  [...memoryStat(kernel.memory, group)].map(([name, value]) => `${name} ${value}\n`).join("");

/** The high-water mark that an open memory.peak shows: the counter's, or its own since it was written to. */
export function peakText(watermark: number, watcher: PeakWatcher | null): string {
  return bytesText(watcher === null ? watermark : watcher.peak);
}

const common = { controller: "memory", notInRoot: true } as const;

export const MEMORY_FILES: readonly CgroupFileType[] = [
  { ...common, name: "memory.current", read: ({ memcg }) => bytesText(memcg.memory.usage) },
  { ...common, name: "memory.peak", peakOf: ({ memcg }) => memcg.memory },
  limitFile(
    "memory.min",
    ({ min }) => min,
    (group, pages) => (group.min = pages),
  ),
  limitFile(
    "memory.low",
    ({ low }) => low,
    (group, pages) => (group.low = pages),
  ),
  limitFile(
    "memory.high",
    ({ high }) => high,
    (group, pages) => (group.high = pages),
    enforceHigh,
  ),
  limitFile(
    "memory.max",
    ({ memory }) => memory.max,
    ({ memory }, pages) => (memory.max = pages),
    enforceMax,
  ),
  { ...common, name: "memory.events", notifies: "memory.events", read: ({ memcg }) => memoryEvents(memcg.events) },
  { ...common, name: "memory.events.local", read: ({ memcg }) => memoryEvents(memcg.localEvents) },
  { controller: "memory", name: "memory.stat", read: ({ memcg }, reader) => statText(memcg, reader) },
  {
    ...common,
    name: "memory.oom.group",
    read: ({ memcg }) => `${memcg.oomGroup ? 1 : 0}\n`,
    write: ({ memcg }, text) => writeOomGroup(memcg, text),
  },
  {
    controller: "memory",
    name: "memory.reclaim",
    write: ({ memcg }, text, writer) => writeReclaim(memcg, text, writer),
  },
  { ...common, name: "memory.swap.current", read: ({ memcg }) => bytesText(memcg.swap.usage) },
  limitFile(
    "memory.swap.high",
    ({ swapHigh }) => swapHigh,
    (group, pages) => (group.swapHigh = pages),
  ),
  limitFile(
    "memory.swap.max",
    ({ swap }) => swap.max,
    ({ swap }, pages) => (swap.max = pages),
  ),
  { ...common, name: "memory.swap.peak", peakOf: ({ memcg }) => memcg.swap },
  {
    ...common,
    name: "memory.swap.events",
    notifies: "memory.swap.events",
    read: ({ memcg }) => swapEvents(memcg.events),
  },
];
