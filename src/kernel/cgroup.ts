// Control groups, version 2 (kernel/cgroup/cgroup.c): the tree of groups, who is in which, and which controllers each has. Owned by the Kernel; new processes
// come in through clone.ts and boot.ts, leave through exit.ts; fs/cgroupfs.ts is how programs see it. What the controllers do is src/mm/memcg.ts and pids below.
//
// A process is in a group as a whole: there are no threaded groups.
import { EAGAIN, EBUSY, ENODEV, ENOENT, ENOMEM, EOPNOTSUPP } from "../base/errno.ts";
import type { MemoryGroup } from "../mm/memcg.ts";
import type { Mm } from "../mm/mm.ts";
import type { Kernel } from "./kernel.ts";
import { moveRegions } from "./mshare-boot.ts";
import type { Process } from "./process.ts";
import { SIGKILL, SI_USER } from "./siginfo.ts";
import { WaitQueue } from "./wait.ts";

export type Controller = "memory" | "pids";
/** In the order of cgroup.controllers. */
export const CONTROLLERS: readonly Controller[] = ["memory", "pids"];
/** Those whose groups may compete with single processes: only the others demand that groups with children hold none. */
const THREADED: readonly Controller[] = ["pids"];

/** Files that tell their pollers when they change. */
export type NotifyingFile = "cgroup.events" | "memory.events" | "memory.swap.events" | "pids.events";

/** Limit and counts of the pids controller. */
export class PidsGroup {
  max = Infinity;
  peak = 0;
  /** Forks that the limit has refused: of this group's own, and of those below it too. */
  refusedLocal = 0;
  refused = 0;
}

/** One group. */
export class Cgroup {
  /** Its inode number, which is its id. */
  readonly id: number;
  readonly name: string;
  /** Null: the root. */
  readonly parent: Cgroup | null;
  /** This group and all above it. */
  readonly ancestry: readonly Cgroup[];
  readonly children = new Map<string, Cgroup>();
  /** The processes in it that have not exited. */
  readonly processes = new Set<Process>();
  /** How many there are here and below. */
  live = 0;
  /** Controllers that its children have. */
  readonly subtreeControl = new Set<Controller>();
  maxDepth = Infinity;
  maxDescendants = Infinity;
  /** Has been removed. */
  removed = false;
  /** Removed groups below that something is charged to still. */
  readonly dying = new Set<Cgroup>();

  /** What it has of its own of each controller; null: the controller is not enabled for it, and its processes count for its parent. */
  ownMemory: MemoryGroup | null;
  pids: PidsGroup | null;

  /** Changes of each file, for pollers. */
  readonly notes = new Map<NotifyingFile, { count: number; readonly queue: WaitQueue }>();

  constructor(id: number, name: string, parent: Cgroup | null) {
    this.id = id;
    this.name = name;
    this.parent = parent;
    this.ancestry = [this, ...(parent?.ancestry ?? [])];
    this.ownMemory = null;
    this.pids = null;
  }

  /** The memory group that pays for its processes. */
  get memcg(): MemoryGroup {
    return this.ownMemory ?? this.parent!.memcg;
  }
  /** The controllers that it can give to its children: cgroup.controllers. */
  get controllers(): ReadonlySet<Controller> {
    return this.parent === null ? new Set(CONTROLLERS) : this.parent.subtreeControl;
  }
  /** Its path from the root: "/", "/a/b". */
  get path(): string {
    if (this.parent === null) return "/";
    return `${this.parent.parent === null ? "" : this.parent.path}/${this.name}`;
  }
  /** This group and all below it that have not been removed, parents first. */
  *subtree(): Generator<Cgroup> {
    yield this;
    for (const child of this.children.values()) yield* child.subtree();
  }
  /** It holds processes and gives controllers to its children that can cope with that (cgroup_is_thread_root). */
  get isThreadRoot(): boolean {
    return this.parent !== null && this.processes.size > 0 && THREADED.some((name) => this.subtreeControl.has(name));
  }
  /** No group above it holds processes that compete with it: else it can hold none (cgroup_is_valid_domain). */
  get isValid(): boolean {
    for (let at = this.parent; at !== null; at = at.parent) if (at.isThreadRoot) return false;
    return true;
  }

  /** A file has changed. */
  notify(file: NotifyingFile): void {
    const note = this.notes.get(file);
    if (note === undefined) return;
    note.count++;
    note.queue.wake();
  }
  /** The changes of a file so far, counted from when somebody first asks. */
  noteOf(file: NotifyingFile): { readonly count: number; readonly queue: WaitQueue } {
    let note = this.notes.get(file);
    if (note === undefined) this.notes.set(file, (note = { count: 0, queue: new WaitQueue() }));
    return note;
  }
}

export class CgroupTree {
  readonly root: Cgroup;
  readonly #kernel: Kernel;
  #nextId = 2;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.root = new Cgroup(1, "", null);
    this.root.ownMemory = kernel.memory.groups.root;
  }

  /** mkdir: -ENODEV (the parent has been removed), -EAGAIN (cgroup.max.*), -ENOMEM. */
  create(parent: Cgroup, name: string): Cgroup | number {
    if (parent.removed) return -ENODEV;
    let depth = 1;
    for (const above of parent.ancestry) {
      if (descendants(above) >= above.maxDescendants || depth > above.maxDepth) return -EAGAIN;
      depth++;
    }
    const group = new Cgroup(this.#nextId++, name, parent);
    for (const controller of parent.subtreeControl) {
      if (this.#enable(group, controller)) continue;
      return -ENOMEM;
    }
    parent.children.set(name, group);
    return group;
  }

  /** rmdir: -EBUSY while there are processes in it or groups below it. */
  remove(group: Cgroup): number {
    if (group.live > 0 || group.children.size > 0) return -EBUSY;
    group.removed = true;
    group.parent!.children.delete(group.name);
    const { ownMemory } = group;
    for (const controller of group.parent!.subtreeControl) this.#disable(group, controller);
    if (ownMemory !== null && !ownMemory.forgotten) {
      group.ownMemory = ownMemory;
      for (const above of group.parent!.ancestry) above.dying.add(group);
    }
    for (const { queue } of group.notes.values()) queue.wake();
    return 0;
  }

  /** A new process, which is ready to run, starts in `group`. */
  enter(process: Process, group: Cgroup): void {
    process.cgroup = group;
    group.processes.add(process);
    this.#count(group, 1);
    this.noteTasks(group);
  }

  /** There are more threads in a group than before. */
  noteTasks(group: Cgroup): void {
    for (const at of group.ancestry) if (at.pids !== null) at.pids.peak = Math.max(at.pids.peak, this.tasksIn(at));
  }

  /** A process has exited: it does not count any more; what it was in can be seen until it is reaped. */
  leave(process: Process): void {
    const { cgroup } = process;
    if (cgroup.processes.delete(process)) this.#count(cgroup, -1);
  }

  /** Moves a process: -ENODEV, -EBUSY (groups that give controllers to their children hold no processes, the root excepted). */
  attach(process: Process, to: Cgroup): number {
    const error = this.mayHold(to);
    if (error < 0 || process.cgroup === to) return error;
    this.leave(process);
    this.enter(process, to);
    this.#charge(process);
    return 0;
  }

  /** cgroup_migrate_vet_dst: whether processes can be put into a group: 0, -ENODEV, -EOPNOTSUPP (of no valid type), -EBUSY. */
  mayHold(group: Cgroup): number {
    if (group.removed) return -ENODEV;
    if (group.parent === null) return 0;
    if (!group.isValid) return -EOPNOTSUPP;
    return hasDomainController(group.subtreeControl) ? -EBUSY : 0;
  }

  /** cgroup_vet_subtree_control_enable */
  #mayEnable(group: Cgroup, added: readonly Controller[]): number {
    if (added.length === 0) return 0;
    if (!group.isValid) return -EOPNOTSUPP;
    if (group.parent === null) return 0;
    if (hasDomainController(added)) {
      if (group.isThreadRoot) return -EOPNOTSUPP;
    } else if (!hasDomainController(group.subtreeControl)) return 0;
    return group.processes.size > 0 ? -EBUSY : 0;
  }

  /**
   * cgroup.subtree_control: 0, -ENOENT (not in cgroup.controllers), -EBUSY (a child gives it to its children; there are processes in the group),
   * -EOPNOTSUPP (of no valid type for it), -ENODEV, -ENOMEM.
   */
  control(group: Cgroup, enable: ReadonlySet<Controller>, disable: ReadonlySet<Controller>): number {
    const added = [...enable].filter((controller) => !group.subtreeControl.has(controller));
    const taken = [...disable].filter((controller) => group.subtreeControl.has(controller));
    if (group.removed) return -ENODEV;
    for (const controller of added) if (!group.controllers.has(controller)) return -ENOENT;
    for (const controller of taken)
      for (const child of group.children.values()) if (child.subtreeControl.has(controller)) return -EBUSY;
    const error = this.#mayEnable(group, added);
    if (error < 0) return error;
    for (const controller of added) {
      group.subtreeControl.add(controller);
      for (const child of group.children.values()) if (!this.#enable(child, controller)) return -ENOMEM;
    }
    for (const controller of taken) {
      group.subtreeControl.delete(controller);
      for (const child of group.children.values()) this.#disable(child, controller);
    }
    return 0;
  }

  /** cgroup.kill: SIGKILL for everything in the group and below. */
  kill(group: Cgroup): void {
    for (const { processes } of group.subtree())
      for (const process of [...processes])
        if (process !== this.#kernel.init)
          this.#kernel.signals.sendToProcess(process, { signo: SIGKILL, code: SI_USER });
  }

  /** Threads in a group and below it; zombies that nobody has waited for count. */
  tasksIn(group: Cgroup): number {
    let count = 0;
    for (const { process } of this.#kernel.tasks.values()) {
      for (const at of process.cgroup.ancestry) {
        if (at !== group) continue;
        count++;
        break;
      }
    }
    return count;
  }

  /** pids.max: whether one more thread may start in `group`; else -EAGAIN. */
  mayFork(group: Cgroup): number {
    for (const at of group.ancestry) {
      if (at.pids === null || at.pids.max === Infinity || this.tasksIn(at) < at.pids.max) continue;
      at.pids.refusedLocal++;
      for (const above of at.ancestry) {
        if (above.pids === null) continue;
        above.pids.refused++;
        above.notify("pids.events");
      }
      return -EAGAIN;
    }
    return 0;
  }

  /** Removed groups below `group` to which something is charged still. */
  dyingBelow(group: Cgroup): number {
    for (const dead of group.dying) if (dead.ownMemory === null || dead.ownMemory.forgotten) group.dying.delete(dead);
    return group.dying.size;
  }

  /** The text of /proc/cgroups. All controllers are in version 2's hierarchy, number 0. */
  controllersText(): string {
    const groups = [...this.root.subtree()];
    const count = (name: Controller): number => groups.filter(({ controllers }) => controllers.has(name)).length;
    const lines = CONTROLLERS.map((name) => `${name}\t0\t${count(name)}\t1\n`);
    return `#subsys_name\thierarchy\tnum_cgroups\tenabled\n${lines.join("")}`;
  }

  /** Memory that a process brings in from now on is charged to its group's memory group. What is there stays where it is. */
  #charge(process: Process): void {
    const { memcg } = process.cgroup;
    const { memory, scheduler } = this.#kernel;
    const { mm } = process;
    if (mm !== null && this.#ownerOf(mm) === process) mm.memcg = memcg;
    if (scheduler.current?.process === process) memory.groups.current = memcg;
    moveRegions(process);
  }

  /** mm->owner: of the processes that share an address space (vfork), the first. */
  #ownerOf(mm: Mm): Process | null {
    for (const process of this.#kernel.processes.values()) if (process.mm === mm) return process;
    return null;
  }

  #count(group: Cgroup, delta: number): void {
    for (const at of group.ancestry) {
      const before = at.live;
      at.live += delta;
      if ((before === 0) !== (at.live === 0)) at.notify("cgroup.events");
    }
  }

  /** False: there are too many memory groups. */
  #enable(group: Cgroup, controller: Controller): boolean {
    if (controller === "pids") {
      group.pids = new PidsGroup();
      return true;
    }
    const own = this.#kernel.memory.groups.create(group.parent!.memcg);
    if (typeof own === "number") return false;
    own.onEvent = (file) => {
      group.notify(file === "swap" ? "memory.swap.events" : "memory.events");
    };
    group.ownMemory = own;
    this.#chargeAll(group);
    return true;
  }

  #disable(group: Cgroup, controller: Controller): void {
    if (controller === "pids") {
      group.pids = null;
      return;
    }
    const own = group.ownMemory!;
    group.ownMemory = null;
    this.#chargeAll(group);
    this.#kernel.memory.groups.remove(own);
  }

  /** The memory group of all processes of a group and below has changed. */
  #chargeAll(group: Cgroup): void {
    for (const { processes } of group.subtree()) for (const process of processes) this.#charge(process);
  }
}

const hasDomainController = (controllers: Iterable<Controller>): boolean =>
  [...controllers].some((name) => !THREADED.includes(name));

/** Groups below. */
export const descendants = (group: Cgroup): number => [...group.subtree()].length - 1;
