// /proc: what the kernel knows about itself and about processes, as files (fs/proc). The texts are made in procfs/*; here is the root and what
// is in it. Each mount has a ProcFs of its own, made by setup.ts and mount(2).

import { ENOENT } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { Process } from "../process.ts";
import type { Task } from "../task.ts";
import { PROC_SUPER_MAGIC } from "./abi.ts";
import { type DirEntry, Filesystem, type Inode, entryOf, plainStatFs } from "./inode.ts";
import { StaticDir, TextInode, TextLink } from "./procfs/node.ts";
import { ProcessDirs, SubjectDir } from "./procfs/pid.ts";
import { Subject } from "./procfs/subject.ts";
import { makeSysctl } from "./procfs/sysctl.ts";
import * as system from "./procfs/system.ts";
import type { Stat, StatFs } from "./stat.ts";

/** Where Linux numbers its fixed entries (PROC_DYNAMIC_FIRST). */
const FIRST_FIXED_INO = 0xf0000000;

export class ProcFs extends Filesystem {
  readonly type = "proc";
  readonly root: ProcRoot;
  override readonly volatileNames = true;

  constructor(kernel: Kernel, devMinor: number) {
    super(devMinor, () => kernel.clock.realtime());
    this.nextIno = FIRST_FIXED_INO;
    this.root = new ProcRoot(this, kernel);
  }
  override statfs(): StatFs {
    return plainStatFs(PROC_SUPER_MAGIC);
  }
}

/** The root: fixed names, then self and thread-self, then a directory for each process. */
class ProcRoot extends StaticDir {
  readonly #kernel: Kernel;
  readonly #processes: ProcessDirs;
  readonly #threads = new WeakMap<Task, SubjectDir>();
  readonly #self: TextLink;
  readonly #threadSelf: TextLink;

  constructor(fs: Filesystem, kernel: Kernel) {
    super(fs, 0o555, 1);
    this.#kernel = kernel;
    this.#processes = new ProcessDirs(fs);
    this.#self = new TextLink(fs, (task) => String(task.tgid));
    this.#threadSelf = new TextLink(fs, (task) => `${task.tgid}/task/${task.tid}`);
    this.#addFiles(fs, kernel);
  }

  #addFiles(fs: Filesystem, kernel: Kernel): void {
    const file = (name: string, text: string | ((kernel: Kernel) => string)): void => {
      const read = typeof text === "string" ? () => text : () => text(kernel);
      this.add(name, new TextInode(fs, 0o444, { read }));
    };
    // In the order in which Linux lists them: shorter names first.
    this.add("net", new TextLink(fs, "self/net"));
    file("stat", system.statText);
    this.add("sys", makeSysctl(fs, kernel));
    file("swaps", system.swapsText);
    file("mshare", ({ mshare }) => mshare.text());
    this.add("mounts", new TextLink(fs, "self/mounts"));
    file("uptime", system.uptimeText);
    file("vmstat", system.vmstatText);
    file("cgroups", ({ cgroups }) => cgroups.controllersText());
    file("cmdline", "\n");
    file("cpuinfo", system.cpuinfoText);
    file("devices", system.DEVICES_TEXT);
    file("modules", "");
    file("loadavg", system.loadavgText);
    file("meminfo", system.meminfoText);
    file("version", system.versionText);
    file("diskstats", "");
    file("interrupts", system.interruptsText);
    file("partitions", "");
    file("filesystems", system.filesystemsText);
    const ipc = new StaticDir(fs);
    ipc.add("shm", new TextInode(fs, 0o444, { read: () => kernel.shm.text() }));
    ipc.add("sem", new TextInode(fs, 0o444, { read: () => kernel.semaphores.text() }));
    ipc.add("msg", new TextInode(fs, 0o444, { read: () => kernel.messages.text() }));
    this.add("sysvipc", ipc);
  }

  override stat(): Stat {
    return { ...super.stat(), nlink: this.nlink + this.#kernel.processes.size };
  }

  override lookup(name: string): Inode | number {
    if (/^[1-9][0-9]*$/.test(name)) return this.#byPid(Number(name));
    if (name === "self") return this.#self;
    if (name === "thread-self") return this.#threadSelf;
    return super.lookup(name, null);
  }

  /** A process, or any other thread: those are found by their number but not listed. */
  #byPid(pid: number): Inode | number {
    const process = this.#kernel.process(pid);
    if (process) return this.#processes.of(process);
    const task = this.#kernel.task(pid);
    if (!task) return -ENOENT;
    let dir = this.#threads.get(task);
    if (!dir) this.#threads.set(task, (dir = new SubjectDir(this.fs, new Subject(task.process, task))));
    return dir;
  }

  override entries(task: Task): DirEntry[] {
    const fixed = super.entries(task) as DirEntry[];
    const links = [entryOf("self", this.#self), entryOf("thread-self", this.#threadSelf)];
    const byPid = (a: Process, b: Process): number => a.pid - b.pid;
    const processes = [...this.#kernel.processes.values()].sort(byPid);
    return [...fixed, ...links, ...processes.map((p) => entryOf(String(p.pid), this.#processes.of(p)))];
  }
}
