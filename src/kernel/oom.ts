// The OOM killer (mm/oom_kill.c): no frame is left and none can be reclaimed, so the process with the highest score dies and its memory is taken at
// once. memory-manager.ts asks through `onOom` in the middle of whatever needed the frame; nothing here may allocate.
import { PAGE_SIZE } from "../base/numbers.ts";
import { MADV_DONTNEED } from "../mm/constants.ts";
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
}

/** Kills somebody. "retry": there are free frames now. "kill-current": it is the current process that must give way. */
function outOfMemory(kernel: Kernel, mm: Mm | null): "retry" | "kill-current" {
  const victim = selectVictim(kernel);
  if (victim === null) return "kill-current";
  const { memory, scheduler } = kernel;
  const { mm: spoils, leader, pid } = victim;
  memory.stat.oom_kill++;
  const kib = (pages: number): number => pages * (PAGE_SIZE / 1024);
  kernel.log(
    `mshare: out of memory: killed process ${pid} (${leader.comm}), anonymous ${kib(spoils!.rssAnon)} KiB, ` +
      `file ${kib(spoils!.rssFile)} KiB, shmem ${kib(spoils!.rssShmem)} KiB`,
  );
  groupExit(victim, SIGKILL);
  const current = scheduler.current?.mmOrNull ?? null;
  if (spoils === mm || spoils === current) return "kill-current";
  const { free } = memory.frames;
  reapMemory(spoils!);
  reapRegions(victim);
  return memory.frames.free > free ? "retry" : "kill-current";
}

/** The process with the highest badness; one that is dying already holds nothing that it will not give back. */
function selectVictim(kernel: Kernel): Process | null {
  const { total } = kernel.memory.frames;
  let victim: Process | null = null;
  let worst = -Infinity;
  for (const process of kernel.processes.values()) {
    if (process === kernel.init || process.exiting) continue;
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
