// System V semaphores (ipc/sem.c): sets of counters, changed together or not at all. Those who cannot go on wait on the set and try again when it
// has changed. One SemTable per kernel; the calls are in syscall/sem.ts.
import { EACCES, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOMEM, ENOSPC, ERANGE } from "../base/errno.ts";
import { IPC_NOWAIT, IpcObject, IpcTable, S_IRUGO, S_IWUGO, sysvipcLine } from "./ipc.ts";
import type { Process } from "./process.ts";
import type { Task } from "./task.ts";
import { type Wait, WaitQueue, wait } from "./wait.ts";

export const SEMMNI = 32000;
export const SEMMSL = 32000;
export const SEMMNS = SEMMNI * SEMMSL;
export const SEMOPM = 500;
export const SEMVMX = 32767;
/** Semaphores in all sets: what kernel memory is good for. */
const MEMORY_LIMIT = 4_000_000;
const SEM_UNDO = 0x1000;

/** struct sembuf. */
export interface SemOperation {
  readonly num: number;
  readonly op: number;
  readonly flags: number;
}

/** One task that waits, and the operation on which it is stuck: for GETNCNT and GETZCNT. */
interface Blocked {
  readonly num: number;
  readonly forZero: boolean;
}

export class SemSet extends IpcObject {
  readonly values: Int32Array;
  /** The process that changed each last. */
  readonly pids: Int32Array;
  operationTime = 0;
  readonly changed = new WaitQueue();
  readonly blocked = new Set<Blocked>();
  /** What exit gives back, by process (SEM_UNDO). */
  readonly undo = new Map<Process, Int32Array>();

  constructor(task: Task, key: number, flags: number, count: number) {
    super(task, key, flags);
    this.values = new Int32Array(count);
    this.pids = new Int32Array(count);
  }

  /** How many wait for `num` to grow, or to become zero. */
  waiting(num: number, kind: "grow" | "zero"): number {
    let count = 0;
    for (const entry of this.blocked) if (entry.num === num && entry.forZero === (kind === "zero")) count++;
    return count;
  }
  /** Sets one or (num undefined) all values: undo entries of them are void. */
  setValues(task: Task, values: readonly number[], num?: number): void {
    const first = num ?? 0;
    for (const [i, value] of values.entries()) {
      this.values[first + i] = value;
      this.pids[first + i] = task.tgid;
      for (const adjust of this.undo.values()) adjust[first + i] = 0;
    }
    this.changeTime = task.kernel.clock.realtime().sec;
    this.changed.wake();
  }
}

export class SemTable {
  readonly sets = new IpcTable<SemSet>(SEMMNI);
  #watchesExits = false;

  /** semget(2). */
  get(task: Task, key: number, count: number, flags: number): number {
    if (count < 0 || count > SEMMSL) return -EINVAL;
    const check = (set: SemSet): number => (count > set.values.length ? -EINVAL : 0);
    return this.sets.get(task, key, flags, check, () => {
      if (count === 0) return -EINVAL;
      if (this.sets.full) return -ENOSPC;
      return this.totals().semaphores + count > MEMORY_LIMIT ? -ENOMEM : new SemSet(task, key, flags, count);
    });
  }

  /** semop(2): all of `operations` or none. `deadline` in ns on CLOCK_MONOTONIC; -EAGAIN when it passes. */
  operate(
    task: Task,
    id: number,
    operations: readonly SemOperation[],
    deadline: number | undefined,
  ): number | Generator<Wait, number> {
    const set = this.sets.find(id);
    if (typeof set === "number") return set;
    if (operations.some(({ num }) => num >= set.values.length)) return -EFBIG;
    const alters = operations.some(({ op }) => op !== 0);
    if (set.permission(task, alters ? S_IWUGO : S_IRUGO) !== 0) return -EACCES;
    if (operations.some(({ flags }) => (flags & SEM_UNDO) !== 0)) this.#watchExits(task);
    const tried = tryOperations(task, set, operations);
    return typeof tried === "number" ? tried : this.#wait(task, set, operations, tried, deadline);
  }
  *#wait(
    task: Task,
    set: SemSet,
    operations: readonly SemOperation[],
    stuck: Blocked,
    deadline: number | undefined,
  ): Generator<Wait, number> {
    let tried: number | Blocked = stuck;
    while (typeof tried !== "number") {
      set.blocked.add(tried);
      const reason = yield* wait(task, set.changed, { deadline });
      set.blocked.delete(tried);
      if (set.removed) return -EIDRM;
      tried = tryOperations(task, set, operations);
      if (typeof tried === "number") return tried;
      if (reason === "timeout") return -EAGAIN;
      if (reason === "signal") return -EINTR;
    }
    return tried;
  }

  remove(set: SemSet): void {
    this.sets.remove(set);
    set.changed.wake();
  }

  #watchExits(task: Task): void {
    if (this.#watchesExits) return;
    this.#watchesExits = true;
    task.kernel.processExitHooks.push((process) => this.#exitSem(process));
  }
  /** A process ends: what it asked to be undone is undone, as far as values allow. */
  #exitSem(process: Process): void {
    for (const set of this.sets.values()) {
      const adjust = set.undo.get(process);
      if (adjust === undefined) continue;
      set.undo.delete(process);
      adjust.forEach((by, num) => {
        if (by === 0) return;
        set.values[num] = Math.max(0, Math.min(SEMVMX, set.values[num]! + by));
        set.pids[num] = process.pid;
      });
      set.changed.wake();
    }
  }

  /** Sets, and semaphores in them. */
  totals(): { sets: number; semaphores: number } {
    let semaphores = 0;
    for (const set of this.sets.values()) semaphores += set.values.length;
    return { sets: this.sets.count, semaphores };
  }

  /** The text of /proc/sysvipc/sem. */
  text(): string {
    let text = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
    for (const s of this.sets.values()) {
      const owners = [s.uid, s.gid, s.cuid, s.cgid].map((id): [number, number] => [id, 5]);
      const mode = (s.mode & 0o7777).toString(8).padStart(4);
      const rest = sysvipcLine([[s.values.length, 10], ...owners, [s.operationTime, 10], [s.changeTime, 10]]);
      text += `${String(s.key).padStart(10)} ${String(s.id).padStart(10)}  ${mode} ${rest}`;
    }
    return text;
  }
}

/** perform_atomic_semop: 0, -errno, or the operation that cannot be done yet. */
function tryOperations(task: Task, set: SemSet, operations: readonly SemOperation[]): number | Blocked {
  const values = set.values.slice();
  const undo = set.undo.get(task.process)?.slice() ?? new Int32Array(values.length);
  for (const { num, op, flags } of operations) {
    const result = values[num]! + op;
    if (op === 0 ? values[num] !== 0 : result < 0) {
      return (flags & IPC_NOWAIT) !== 0 ? -EAGAIN : { num, forZero: op === 0 };
    }
    if (result > SEMVMX) return -ERANGE;
    if ((flags & SEM_UNDO) !== 0) {
      undo[num]! -= op;
      if (undo[num]! < -SEMVMX - 1 || undo[num]! > SEMVMX) return -ERANGE;
    }
    values[num] = result;
  }
  const changed = operations.some(({ op }) => op !== 0);
  set.values.set(values);
  for (const { num } of operations) set.pids[num] = task.tgid;
  if (operations.some(({ flags }) => (flags & SEM_UNDO) !== 0)) set.undo.set(task.process, undo);
  set.operationTime = task.kernel.clock.realtime().sec;
  if (changed) set.changed.wake();
  return 0;
}
