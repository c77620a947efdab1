// The files of /proc about the whole system: memory, processors, time, file systems (fs/proc/*.c, mm/vmstat.c, arch/riscv/kernel/cpu.c).

import { PAGE_SIZE } from "../../../base/numbers.ts";
import {
  BLOCK_FRAMES,
  FRAME_DIRTY,
  KIND_ANON,
  KIND_FILE,
  KIND_FREE,
  KIND_SHMEM,
  KIND_TABLE,
} from "../../../mm/frame.ts";
import type { MemoryManager } from "../../../mm/memory-manager.ts";
import { VM_LOCKED } from "../../../mm/vma.ts";
import type { Kernel } from "../../kernel.ts";
import type { Task } from "../../task.ts";
import { hundredths, kbLine, ticks } from "./format.ts";
import { walkLeaves } from "./smaps.ts";

/** Pages by what they are used for. */
function usage(kernel: Kernel) {
  const { used, free, total } = kernel.memory.frames;
  return {
    total,
    free,
    anon: used[KIND_ANON],
    file: used[KIND_FILE],
    shmem: used[KIND_SHMEM],
    tables: used[KIND_TABLE],
  };
}

/** Pages of files and shared memory that somebody maps; file pages that are not written back yet. */
function scanFrames(kernel: Kernel): { mapped: number; dirty: number } {
  const { frames, ram } = kernel.memory;
  let mapped = 0;
  let dirty = 0;
  for (let pfn: number = ram.firstPfn; pfn < ram.endPfn; pfn++) {
    const kind = frames.kind[pfn];
    if (kind === KIND_FREE) continue;
    if ((kind === KIND_FILE || kind === KIND_SHMEM) && frames.mapcount[pfn] > 0) mapped++;
    if (kind === KIND_FILE && frames.flags[pfn] & FRAME_DIRTY) dirty++;
  }
  return { mapped, dirty };
}

/** Pages present in locked VMAs. */
function lockedPages(kernel: Kernel): number {
  let pages = 0;
  for (const mm of kernel.memory.mms) {
    if (mm.lockedVm === 0 || mm.users === 0) continue;
    for (const vma of mm.vmas) {
      if (vma.flags & VM_LOCKED && vma.window === null) walkLeaves(mm, vma.start, vma.end, () => pages++);
    }
  }
  return pages;
}

/** /proc/meminfo */
export function meminfoText(kernel: Kernel): string {
  const { memory } = kernel;
  const { total, free, anon, file, shmem, tables } = usage(kernel);
  const { mapped, dirty } = scanFrames(kernel);
  const locked = lockedPages(kernel);
  const swap = memory.swapTotal;
  const lines: [string, number][] = [
    ["MemTotal", total],
    ["MemFree", free],
    ["MemAvailable", free + file - dirty],
    ["Buffers", 0],
    ["Cached", file + shmem],
    ["SwapCached", 0],
    ["Active", Math.max(0, anon + shmem + file - locked)],
    ["Inactive", 0],
    ["Active(anon)", Math.max(0, anon + shmem - locked)],
    ["Inactive(anon)", 0],
    ["Active(file)", file],
    ["Inactive(file)", 0],
    ["Unevictable", locked],
    ["Mlocked", locked],
    ["SwapTotal", swap],
    ["SwapFree", swap - (memory.swap?.used ?? 0)],
    ["Zswap", 0],
    ["Zswapped", 0],
    ["Dirty", dirty],
    ["Writeback", 0],
    ["AnonPages", anon],
    ["Mapped", mapped],
    ["Shmem", shmem],
    ["KReclaimable", 0],
    ["Slab", 0],
    ["SReclaimable", 0],
    ["SUnreclaim", 0],
    ["KernelStack", 0],
    ["PageTables", tables],
    ["SecPageTables", 0],
    ["NFS_Unstable", 0],
    ["Bounce", 0],
    ["WritebackTmp", 0],
    ["CommitLimit", memory.commitLimit()],
    ["Committed_AS", memory.committed()],
    ["VmallocTotal", 0],
    ["VmallocUsed", 0],
    ["VmallocChunk", 0],
    ["Percpu", 0],
    ["AnonHugePages", memory.frames.hugeMapped[KIND_ANON] * BLOCK_FRAMES],
    ["ShmemHugePages", memory.frames.shmemHuge * BLOCK_FRAMES],
    ["ShmemPmdMapped", memory.frames.hugeMapped[KIND_SHMEM] * BLOCK_FRAMES],
    ["FileHugePages", 0],
    ["FilePmdMapped", 0],
  ];
  return lines.map(([name, pages]) => kbLine(name, (pages * PAGE_SIZE) / 1024)).join("") + hugetlbLines(memory);
}

/** The default pool's counts, and what all pools hold (hugetlb_report_meminfo). */
function hugetlbLines({ hugetlb }: MemoryManager): string {
  const { total, free, reserved, surplus, size } = hugetlb.defaultPool;
  const count = (name: string, value: number): string => `${`${name}:`.padEnd(16)}${String(value).padStart(8)}\n`;
  return (
    count("HugePages_Total", total) +
    count("HugePages_Free", free) +
    count("HugePages_Rsvd", reserved) +
    count("HugePages_Surp", surplus) +
    kbLine("Hugepagesize", size / 1024) +
    kbLine("Hugetlb", (hugetlb.totalFrames * PAGE_SIZE) / 1024)
  );
}

/** /proc/vmstat: the counters that exist here under Linux's names, then those of page-table sharing. */
export function vmstatText(kernel: Kernel): string {
  const { memory } = kernel;
  const { stat, frames } = memory;
  const { free, anon, file, shmem, tables } = usage(kernel);
  const { mapped, dirty } = scanFrames(kernel);
  const counters: [string, number][] = [
    ["nr_free_pages", free],
    ["nr_mlock", lockedPages(kernel)],
    ["nr_anon_pages", anon],
    ["nr_mapped", mapped],
    ["nr_file_pages", file + shmem],
    ["nr_dirty", dirty],
    ["nr_writeback", 0],
    ["nr_shmem", shmem],
    ["nr_page_table_pages", tables],
    ["pgpgin", 0],
    ["pgpgout", 0],
    ["pswpin", stat.pswpin],
    ["pswpout", stat.pswpout],
    ["pgalloc_normal", frames.allocated],
    ["pgfree", frames.freed],
    ["pgfault", stat.pgfault],
    ["pgmajfault", stat.pgmajfault],
    ["pgreuse", stat.pgreuse],
    ["oom_kill", stat.oom_kill],
    ["nr_shmem_hugepages", frames.shmemHuge],
    ["nr_shmem_pmdmapped", frames.hugeMapped[KIND_SHMEM]],
    ["nr_file_hugepages", 0],
    ["nr_file_pmdmapped", 0],
    ["nr_anon_transparent_hugepages", frames.hugeMapped[KIND_ANON]],
    ["thp_fault_alloc", stat.thp_fault_alloc],
    ["thp_fault_fallback", stat.thp_fault_fallback],
    ["thp_collapse_alloc", stat.thp_collapse_alloc],
    ["thp_collapse_alloc_failed", stat.thp_collapse_alloc_failed],
    ["thp_file_alloc", stat.thp_file_alloc],
    ["thp_file_fallback", stat.thp_file_fallback],
    ["thp_file_mapped", stat.thp_file_mapped],
    ["thp_split_page", stat.thp_split_page],
    ["thp_split_pmd", stat.thp_split_pmd],
    ["thp_scan_exceed_none_pte", stat.thp_scan_exceed_none_pte],
    ["thp_scan_exceed_swap_pte", stat.thp_scan_exceed_swap_pte],
    ["thp_scan_exceed_share_pte", stat.thp_scan_exceed_share_pte],
    ["thp_zero_page_alloc", stat.thp_zero_page_alloc],
    ["thp_zero_page_alloc_failed", stat.thp_zero_page_alloc_failed],
    ["mshare_links", stat.links],
    ["mshare_host_faults", stat.host_faults],
    ["cow_copies", stat.cow_copies],
    ["tlb_shootdowns", stat.shootdowns],
    ["tlb_flushes", stat.tlb_flushes],
    ["tlb_flush_harts", stat.tlb_harts],
    ["tlb_flush_entries", stat.tlb_entries],
    ["tlb_misses", kernel.hardware.stats.tlbMisses],
  ];
  return counters.map(([name, value]) => `${name} ${value}\n`).join("");
}

/** Nanoseconds that a processor has been idle. */
function idleNs(kernel: Kernel, cpu: number): number {
  const { user, nice, system } = kernel.scheduler.cpus[cpu].time;
  return Math.max(0, kernel.clock.monotonic() - user - nice - system);
}

function idleNsOfAll(kernel: Kernel): number {
  return kernel.scheduler.cpus.reduce((sum, cpu) => sum + idleNs(kernel, cpu.index), 0);
}

/** /proc/stat */
export function statText(kernel: Kernel): string {
  const { scheduler, clock } = kernel;
  scheduler.account();
  const sum = { user: 0, nice: 0, system: 0 };
  let lines = "";
  for (const { index, time } of scheduler.cpus) {
    sum.user += time.user;
    sum.nice += time.nice;
    sum.system += time.system;
    lines += cpuLine(`cpu${index}`, time, idleNs(kernel, index));
  }
  let blocked = 0;
  for (const task of kernel.tasks.values()) if (task.state === "D") blocked++;
  return (
    `${cpuLine("cpu ", sum, idleNsOfAll(kernel))}${lines}intr 0\nctxt ${scheduler.contextSwitches}\n` +
    `btime ${clock.bootTime.sec}\nprocesses ${kernel.forks}\nprocs_running ${scheduler.runnable}\n` +
    `procs_blocked ${blocked}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n`
  );
}

function cpuLine(name: string, time: { user: number; nice: number; system: number }, idle: number): string {
  return `${name} ${ticks(time.user)} ${ticks(time.nice)} ${ticks(time.system)} ${ticks(idle)} 0 0 0 0 0 0\n`;
}

/** /proc/uptime */
export function uptimeText(kernel: Kernel): string {
  kernel.scheduler.account();
  return `${hundredths(kernel.clock.monotonic())} ${hundredths(idleNsOfAll(kernel))}\n`;
}

/** /proc/loadavg */
export function loadavgText(kernel: Kernel): string {
  const { scheduler } = kernel;
  const loads = scheduler.load.averages().map((load) => load.toFixed(2));
  let last = 0;
  for (const tid of kernel.tasks.keys()) last = tid;
  return `${loads.join(" ")} ${scheduler.runnable}/${kernel.tasks.size} ${last}\n`;
}

/** /proc/version */
export function versionText({ uts }: Kernel): string {
  return `${uts.sysname} version ${uts.release} (mshare@${uts.machine}) (TypeScript) ${uts.version}\n`;
}

/** What the harts are: RV64GC with the counters that user programs read. */
const ISA = "rv64imafdc_zicntr_zicsr_zifencei_zca_zcd";

/** /proc/cpuinfo */
export function cpuinfoText(kernel: Kernel): string {
  return kernel.hardware.harts
    .map(
      ({ id }) =>
        `processor\t: ${id}\nhart\t\t: ${id}\nisa\t\t: ${ISA}\nmmu\t\t: sv48\n` +
        `mvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\nhart isa\t: ${ISA}\n\n`,
    )
    .join("");
}

/** /proc/filesystems */
export function filesystemsText({ vfs }: Kernel): string {
  const names = new Map<string, boolean>();
  for (const [name, { nodev }] of vfs.types) names.set(name, nodev);
  for (const { fs } of vfs.mounts) if (!names.has(fs.type)) names.set(fs.type, true);
  for (const name of ["sockfs", "pipefs"]) names.set(name, true);
  return [...names].map(([name, nodev]) => `${nodev ? "nodev" : ""}\t${name}\n`).join("");
}

/** /proc/interrupts: only the timer interrupts here, and it is not counted. */
export function interruptsText(kernel: Kernel): string {
  const columns = kernel.hardware.harts.map(({ id }) => `CPU${id}`.padEnd(11)).join("");
  return `           ${columns}\n`;
}

/** /proc/swaps */
export function swapsText({ memory }: Kernel): string {
  const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  const { swap } = memory;
  if (swap === null) return head;
  const kib = (pages: number): number => pages * (PAGE_SIZE / 1024);
  const [size, used] = [kib(swap.pages), kib(swap.used)];
  const type = swap.name.startsWith("/dev/") ? "partition" : "file\t";
  const tab = (n: number): string => (n < 10000000 ? "\t" : "");
  return `${head}${swap.name.padEnd(40)}${type}\t${size}\t${tab(size)}${used}\t${tab(used)}${swap.priority}\n`;
}

export const DEVICES_TEXT =
  "Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n128 ptm\n136 pts\n\nBlock devices:\n";

/** How a text about the kernel becomes the text of a file. */
export const ofKernel =
  (text: (kernel: Kernel) => string) =>
  (reader: Task): string =>
    text(reader.kernel);
