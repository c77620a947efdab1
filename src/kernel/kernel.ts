// One running system: everything that exists once in it. Built by boot.ts, driven by the scheduler, reached by all of the kernel as `task.kernel`.
import type { Hardware } from "../machine/hardware.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { MshareManager } from "../mshare/manager.ts";
import { CgroupTree } from "./cgroup.ts";
import type { Clock } from "./clock.ts";
import type { CoreSettings } from "./core-pattern.ts";
import { AnonInodes } from "./fs/anon.ts";
import type { FutexTable } from "./futex.ts";
import type { RegionFs } from "./fs/region-file.ts";
import type { Vfs } from "./fs/vfs.ts";
import type { HostPorts } from "./ports.ts";
import type { Process, ProcessGroup } from "./process.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";
import { MessageTable } from "./msg.ts";
import { SemTable } from "./sem.ts";
import type { ShmTable } from "./shm.ts";
import type { SigInfo } from "./siginfo.ts";
import type { Signals } from "./signal.ts";
import type { Strace } from "./strace.ts";
import type { SyscallTable } from "./syscall/all.ts";
import type { Task } from "./task.ts";
import type { TimerQueue } from "./timer.ts";
import type { Vdso } from "./vdso.ts";
import type { Verifier } from "./verifier.ts";
import { PID_MAX } from "../base/limits.ts";

/** Minor device number of anon_inodefs (major 0). */
const ANON_INODE_MINOR = 14;

/** What uname(2) says; sethostname and setdomainname change it. */
export interface UtsName {
  readonly sysname: string;
  nodename: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
  domainname: string;
}

export interface KernelOptions {
  /** Same seed, same run: clock and randomness come from it. */
  seed?: number | undefined;
  /** Share page tables in mshare regions (false: --no-share, the baseline). */
  share: boolean;
  /** Recount memory (verifier.ts): after every call and fault in machines up to 32 MiB, less often in larger ones. */
  verify?: boolean | undefined;
  /** Pages of a swap device, in use from the start; none by default. */
  swapPages?: number | undefined;
  /** Huge pages of 2 MiB to have in the pool, as far as there is room; none by default. */
  hugepages?: number | undefined;
  /** Print each system call. */
  strace?: ((line: string) => void) | undefined;
}

/** The rooms that boot puts together. */
export interface KernelParts {
  readonly hardware: Hardware;
  readonly memory: MemoryManager;
  readonly mshare: MshareManager;
  readonly ports: HostPorts;
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly random: Random;
  readonly futexes: FutexTable;
  readonly shm: ShmTable;
  readonly vdso: Vdso;
}

export class Kernel implements KernelParts {
  readonly hardware: Hardware;
  readonly memory: MemoryManager;
  readonly mshare: MshareManager;
  readonly ports: HostPorts;
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly random: Random;
  readonly futexes: FutexTable;
  readonly shm: ShmTable;
  readonly vdso: Vdso;
  readonly options: KernelOptions;
  // Set by boot, which must have the kernel to make them.
  vfs!: Vfs;
  /** Where the descriptors of mshare regions live (installMshare). */
  regionFs!: RegionFs;
  scheduler!: Scheduler;
  signals!: Signals;
  syscalls!: SyscallTable;
  strace: Strace | null = null;
  /** Recounts memory; null unless the options ask for it. */
  verifier: Verifier | null = null;
  /** The inode of eventfds, epolls, timerfds, signalfds, pidfds (anon_inodefs). */
  readonly anonInodes: AnonInodes;
  /** pid 1: takes in orphans and waits for them. Runs no guest code. */
  init!: Process;

  readonly cgroups: CgroupTree;
  /** System V semaphores and message queues. */
  readonly semaphores = new SemTable();
  readonly messages = new MessageTable();
  /** All tasks by tid, zombies that lead a process included. */
  readonly tasks = new Map<number, Task>();
  /** All processes by pid, zombies included. */
  readonly processes = new Map<number, Process>();
  /** All process groups by id. */
  readonly groups = new Map<number, ProcessGroup>();
  readonly uts: UtsName = {
    sysname: "Linux",
    nodename: "mshare",
    release: "6.12.0-mshare",
    version: "#1 SMP PREEMPT mshare",
    machine: "riscv64",
    domainname: "(none)",
  };
  /** Called when a signal that dumps core ends a program, before its memory goes: for `--verbose` reports. */
  onFatalSignal: ((task: Task, info: SigInfo) => void) | null = null;
  /** Called when the last thread of a process is about to exit, while it still has its memory: audits are taken then. */
  beforeExit: ((process: Process) => void) | null = null;
  /** Called when the last thread of a process has exited and its files and memory are released (mshare: regions lose their owner). */
  readonly processExitHooks: ((process: Process) => void)[] = [];
  /** Called when a process has been reaped (Machine.run waits for its program so). */
  onReap: ((process: Process) => void) | null = null;
  /** Size of the machine's swap device, in pages; 0: there is none. */
  swapDevicePages = 0;
  /** What core files are called. */
  readonly core: CoreSettings = { pattern: "core", usesPid: false };
  /** Yama's restriction of ptrace (yama.ts); as on Debian, none. */
  ptraceScope = 0;
  /** vm.hugetlb_shm_group: its members may make segments of huge pages without CAP_IPC_LOCK. */
  hugetlbShmGroup = 0;
  /** Processes and threads created since boot (processes of /proc/stat). */
  forks = 0;
  #lastPid = 0;

  constructor(parts: KernelParts, options: KernelOptions) {
    this.hardware = parts.hardware;
    this.memory = parts.memory;
    this.mshare = parts.mshare;
    this.ports = parts.ports;
    this.clock = parts.clock;
    this.timers = parts.timers;
    this.random = parts.random;
    this.futexes = parts.futexes;
    this.shm = parts.shm;
    this.vdso = parts.vdso;
    this.options = options;
    this.cgroups = new CgroupTree(this);
    this.anonInodes = new AnonInodes(ANON_INODE_MINOR, () => parts.clock.realtime());
  }

  /** The live process with this pid: not one that has been reaped, but zombies count. */
  process(pid: number): Process | undefined {
    return this.processes.get(pid);
  }
  task(tid: number): Task | undefined {
    return this.tasks.get(tid);
  }

  /** The next free id (for a task, process, group and session alike), or 0 if none is free. */
  allocatePid(): number {
    for (let tries = 0; tries < PID_MAX; tries++) {
      // After the first round the low numbers are left to the system (RESERVED_PIDS).
      this.#lastPid = this.#lastPid + 1 >= PID_MAX ? 300 : this.#lastPid + 1;
      const pid = this.#lastPid;
      if (!this.tasks.has(pid) && !this.groups.has(pid) && !this.processes.has(pid)) return pid;
    }
    return 0;
  }

  /** A message of the kernel for the person who runs it (one line on stderr). */
  log(line: string): void {
    this.ports.log(line);
  }
}
