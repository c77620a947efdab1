// Boot: puts the rooms together and makes pid 1. And the way in for programs that the host starts. The command and the library call these two.
import { KernelBug } from "../base/bug.ts";
import { EAGAIN } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { RegisterFile } from "../machine/hart.ts";
import type { Hardware } from "../machine/hardware.ts";
import { MemoryManager, type MemoryOptions } from "../mm/memory-manager.ts";
import { MshareManager } from "../mshare/manager.ts";
import { Clock } from "./clock.ts";
import { Creds } from "./creds.ts";
import { loadInto } from "./exec.ts";
import { commOf, openProgram } from "./exec-open.ts";
import { AT_FDCWD } from "./fs/abi.ts";
import { FileTable } from "./fs/file.ts";
import { type FileSetupOptions, openStandardStreams, setUpFiles } from "./fs/setup.ts";
import { FsContext } from "./fs-context.ts";
import { FutexTable } from "./futex.ts";
import { Kernel, type KernelOptions } from "./kernel.ts";
import { installMshare } from "./mshare-boot.ts";
import { installOomKiller } from "./oom.ts";
import type { HostPorts } from "./ports.ts";
import { Process, ProcessGroup, Session } from "./process.ts";
import { HostRandom, SeededRandom } from "./random.ts";
import { Rlimits } from "./rlimit.ts";
import { Scheduler } from "./scheduler.ts";
import { ShmTable } from "./shm.ts";
import { SignalHandlers } from "./signal-handlers.ts";
import { Signals } from "./signal.ts";
import { SIGCHLD } from "./siginfo.ts";
import { Strace } from "./strace.ts";
import { ALL_CALLS, SyscallTable } from "./syscall/all.ts";
import { useSwapDevice } from "./syscall/swap.ts";
import { Task } from "./task.ts";
import { TimerQueue } from "./timer.ts";
import { Vdso } from "./vdso.ts";
import { Verifier } from "./verifier.ts";

/** Bytes of RAM for each thread that there may be (set_max_threads: an eighth of memory for stacks of 16 KiB). */
const RAM_PER_THREAD = 8 * 16384;

export interface BootOptions {
  readonly hardware: Hardware;
  readonly ports: HostPorts;
  readonly memory?: MemoryOptions;
  readonly kernel: KernelOptions;
  readonly files?: FileSetupOptions;
}

/**
 * A running system without programs.
 * @example
 * const kernel = boot({ hardware, ports, kernel: { share: true } });
 * const process = startProgram(kernel, { path: "/bin/hello", argv: ["hello"], env: [] });
 * kernel.scheduler.run(Infinity, () => false);
 */
export function boot(options: BootOptions): Kernel {
  const { hardware, ports } = options;
  const { seed, share, verify } = options.kernel;

  // 1. Time and chance: the host's, or made from the seed.
  let scheduler: Scheduler | null = null;
  const clock: Clock = new Clock(ports, {
    simulated: seed !== undefined,
    // Nothing has run before there is a scheduler.
    instructions: () => scheduler?.instructions() ?? 0,
  });
  const random = seed === undefined ? new HostRandom(ports) : new SeededRandom(seed);
  const fraction = (): number => random.below(2 ** 52) / 2 ** 52;
  hardware.readTime = () => BigInt(clock.ticks());

  // 2. Memory, and the regions on top of it.
  const memory = new MemoryManager(hardware, { random: fraction, verify: verify ?? false, ...options.memory });
  memory.hugetlb.defaultPool.setMax(options.kernel.hugepages ?? 0);
  const mshare = new MshareManager(memory, { share, random: fraction });

  // 3. The kernel, with the tables that exist once.
  const kernel: Kernel = new Kernel(
    {
      hardware,
      memory,
      mshare,
      ports,
      clock,
      timers: new TimerQueue(),
      random,
      futexes: new FutexTable(),
      shm: new ShmTable(),
      vdso: new Vdso(memory),
    },
    options.kernel,
  );
  kernel.signals = new Signals(kernel);
  kernel.scheduler = scheduler = new Scheduler(kernel);
  kernel.syscalls = new SyscallTable(kernel, ALL_CALLS);
  if (options.kernel.strace !== undefined) kernel.strace = new Strace(kernel, options.kernel.strace);
  kernel.verifier = verify ? new Verifier(memory) : null;

  if (options.kernel.swapPages !== undefined) {
    kernel.swapDevicePages = options.kernel.swapPages;
    useSwapDevice(kernel);
  }

  // 4. The file tree.
  setUpFiles(kernel, options.files ?? {});

  // 5. pid 1, and what ends along with processes.
  kernel.init = makeInit(kernel);
  installMshare(kernel);
  installOomKiller(kernel);
  if (kernel.verifier !== null) kernel.processExitHooks.push(() => kernel.verifier!.exited());
  return kernel;
}

/** A process with one task, known to the kernel; its parent is pid 1 if there is one. A session and a group of its own. */
function makeProcess(kernel: Kernel, options: { comm: string; rlimits: Rlimits; creds: Creds }): Task | number {
  const pid = kernel.allocatePid();
  if (pid === 0) return -EAGAIN;
  const group = new ProcessGroup(pid, new Session(pid));
  kernel.groups.set(pid, group);
  const parent = pid === 1 ? null : kernel.init;
  const process = new Process(kernel, pid, parent, group, new SignalHandlers(), options.rlimits);
  process.exitSignal = SIGCHLD;
  const task = new Task({
    kernel,
    tid: pid,
    process,
    regs: RegisterFile.create(),
    mm: null,
    files: new FileTable(),
    fs: new FsContext(kernel.vfs.root, kernel.vfs.root),
    creds: options.creds,
  });
  task.comm = options.comm;
  process.leader = task;
  process.threads.set(pid, task);
  kernel.tasks.set(pid, task);
  kernel.processes.set(pid, process);
  kernel.cgroups.enter(process, kernel.cgroups.root);
  return task;
}

function makeInit(kernel: Kernel): Process {
  const maxThreads = Math.max(64, Math.floor((kernel.memory.frames.total * PAGE_SIZE) / RAM_PER_THREAD));
  const rlimits = Rlimits.initial(maxThreads);
  const task = makeProcess(kernel, { comm: "init", rlimits, creds: new Creds() });
  if (typeof task === "number" || task.tid !== 1) throw new KernelBug("the first process is not pid 1");
  task.state = "S";
  return task.process;
}

/** What the host wants to run. Strings are byte strings. */
export interface ProgramRequest {
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Where it starts; "/" otherwise. */
  readonly cwd?: string;
}

/**
 * Starts a program on the standard streams: a session of its own, child of pid 1. The process is runnable; -errno as of execve, or of the
 * directory.
 */
export function startProgram(kernel: Kernel, request: ProgramRequest): Process | number {
  const { init } = kernel;
  // What is brought in meanwhile is nobody's.
  kernel.memory.groups.current = kernel.cgroups.root.memcg;
  const rlimits = init.rlimits.clone();
  const task = makeProcess(kernel, { comm: commOf(request.path), rlimits, creds: init.leader.creds.clone() });
  if (typeof task === "number") return task;
  const error = loadFirst(kernel, task, request);
  if (error === 0) {
    openStandardStreams(kernel, task);
    kernel.forks++;
    kernel.scheduler.wake(task);
    return task.process;
  }
  forget(task);
  return error;
}

function loadFirst(kernel: Kernel, task: Task, request: ProgramRequest): number {
  const { cwd, argv, env } = request;
  if (cwd !== undefined) {
    const path = kernel.vfs.resolve(task, AT_FDCWD, cwd, { follow: true });
    if (typeof path === "number") return path;
    task.fs.cwd = path;
  }
  const at = { dirfd: AT_FDCWD, path: request.path, follow: true, empty: false };
  const opened = openProgram(task, at, argv);
  if (typeof opened === "number") return opened;
  const mm = kernel.memory.newMm(task.process.cgroup.memcg);
  if (typeof mm === "number") {
    opened.release();
    return mm;
  }
  task.setMm(mm);
  const error = loadInto(task, mm, { opened, env }, { secure: false });
  if (error === 0) task.process.setExecutable(opened.file);
  task.process.didExec = true;
  opened.release();
  return error;
}

/** A process that could not be started: it was never there. */
function forget(task: Task): void {
  const { kernel, process } = task;
  const mm = task.mmOrNull;
  task.setMm(null);
  mm?.put();
  task.files.release();
  task.fs.release();
  process.state = "dead";
  task.state = "X";
  process.parent?.children.delete(process);
  kernel.cgroups.leave(process);
  kernel.groups.delete(process.group.pgid);
  kernel.tasks.delete(task.tid);
  kernel.processes.delete(process.pid);
}
