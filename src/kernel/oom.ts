// The OOM killer (mm/oom_kill.c): no frame is left and none can be reclaimed, so the process with the highest score dies and its memory is taken at
// once; or a memory group has come to its limit, and that happens among its processes. memory-manager.ts and memcg.ts ask through `onOom` in the middle of
// whatever needed the frame; nothing here may allocate.
import { PAGE_SIZE } from "../base/numbers.ts";
import { MADV_DONTNEED } from "../mm/constants.ts";
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import { VM_LOCKED, VM_SHARED } from "../mm/vma.ts";
import { groupExit } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { reapRegions, regionPages } from "./mshare-boot.ts";
import type { Process } from "./process.ts";
import { SIGKILL } from "./siginfo.ts";

/** oom_score_adj that exempts a process. */
const OOM_SCORE_ADJ_MIN = -1000;

/** oom_badness: pages that its end would free, shifted by oom_score_adj; null: not to be killed. */
export function oomBadness(process: Process, totalPages: number): number | null {
  const { mm, oomScoreAdj } = process;
  if (mm === null || process.state !== "alive" || oomScoreAdj === OOM_SCORE_ADJ_MIN) return null;
  // A region's memory counts for its owner: nobody else's end would free it.
  return (
    mm.rss +
    Math.floor(mm.tableBytes / PAGE_SIZE) +
    regionPages(process) +
    Math.floor((oomScoreAdj * totalPages) / 1000)
  );
}

/** Hooks the killer into memory management. */
export function installOomKiller(kernel: Kernel): void {
  kernel.memory.onOom = (mm) => outOfMemory(kernel, mm);
  kernel.memory.groups.onOom = (over, mm) => groupOutOfMemory(kernel, over, mm);
}

/** Kills somebody. "retry": there are free frames now. "kill-current": it is the current process that must give way. "nobody": there is none to kill. */
function outOfMemory(kernel: Kernel, mm: Mm | null): "retry" | "kill-current" | "nobody" {
  const victim = selectVictim(kernel, null);
  if (victim === null) return "nobody";
  const { free } = kernel.memory.frames;
  const ended = oomGroupOf(kernel, victim, null).map((process) => kill(kernel, process, mm, "out of memory"));
  return ended.every((other) => other) && kernel.memory.frames.free > free ? "retry" : "kill-current";
}

/** Kills somebody in a memory group that is over its limit. "retry": somebody else than the current process; it may take more than one to get below. */
function groupOutOfMemory(kernel: Kernel, over: MemoryGroup, mm: Mm | null): "retry" | "kill-current" | "nobody" {
  const victim = selectVictim(kernel, over);
  if (victim === null) return "nobody";
  const ended = oomGroupOf(kernel, victim, over).map((process) =>
    kill(kernel, process, mm, "memory cgroup out of memory"),
  );
  return ended.every((other) => other) ? "retry" : "kill-current";
}

/** mem_cgroup_get_oom_group: who dies together with a victim — all of the highest group with memory.oom.group, within the one over its limit. */
function oomGroupOf(kernel: Kernel, victim: Process, over: MemoryGroup | null): Process[] {
  let together: MemoryGroup | null = null;
  for (let at: MemoryGroup | null = victim.cgroup.memcg; at !== null && at.parent !== null; at = at.parent) {
    if (at.oomGroup) together = at;
    if (at === over) break;
  }
  if (together === null) return [victim];
  together.note("oomGroupKill");
  // Linux goes through the group after it has killed the victim, and counts that one again.
  victim.cgroup.memcg.note("oomKill");
  const { total } = kernel.memory.frames;
  const others = [...kernel.processes.values()].filter(
    (process) =>
      process !== victim && !process.exiting && isIn(process, together) && oomBadness(process, total) !== null,
  );
  return [victim, ...others];
}

const isIn = (process: Process, group: MemoryGroup): boolean => process.cgroup.memcg.isWithin(group);

/** Kills one process and takes what only it holds. False if it is the one that needs the memory: then it must get out of there first. */
function kill(kernel: Kernel, victim: Process, mm: Mm | null, why: string): boolean {
  const { memory, scheduler } = kernel;
  const { mm: spoils, leader, pid } = victim;
  memory.stat.oom_kill++;
  spoils!.memcg.note("oomKill");
  const kib = (pages: number): number => pages * (PAGE_SIZE / 1024);
  kernel.log(
    `mshare: ${why}: killed process ${pid} (${leader.comm}), anonymous ${kib(spoils!.rssAnon)} KiB, ` +
      `file ${kib(spoils!.rssFile)} KiB, shmem ${kib(spoils!.rssShmem)} KiB`,
  );
  groupExit(victim, SIGKILL);
  const current = scheduler.current?.mmOrNull ?? null;
  if (spoils === mm || spoils === current) return false;
  reapMemory(spoils!);
  reapRegions(victim);
  return true;
}

/** The process with the highest badness; one that is dying already holds nothing that it will not give back. */
function selectVictim(kernel: Kernel, over: MemoryGroup | null): Process | null {
  const total = Math.min(kernel.memory.frames.total, over?.memory.max ?? Infinity);
  let victim: Process | null = null;
  let worst = -Infinity;
  for (const process of kernel.processes.values()) {
    if (process === kernel.init || process.exiting) continue;
    if (over !== null && !isIn(process, over)) continue;
    const badness = oomBadness(process, total);
    if (badness !== null && badness > worst) {
      victim = process;
      worst = badness;
    }
  }
  return victim;
}

/** __oom_reap_task_mm: what is private to the victim goes now; it will not run again. */
export function reapMemory(mm: Mm): void {
  for (const vma of [...mm.vmas]) {
    if ((vma.flags & (VM_SHARED | VM_LOCKED)) === 0 && vma.window === null) {
      mm.madvise(vma.start, vma.end - vma.start, MADV_DONTNEED);
    }
  }
}
