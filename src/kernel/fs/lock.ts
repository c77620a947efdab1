// File locks (fs/locks.c): POSIX record locks owned by a descriptor table, open-file-description locks and flock locks owned by an open file.
// FileLocks hang on the inode; LockTable, one per kernel, knows who waits for whom, so that a circle of waiters is EDEADLK.

import { EAGAIN, EDEADLK, ERESTARTSYS } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import { F_RDLCK, F_UNLCK, F_WRLCK } from "./abi.ts";

/** Whose a lock is: a FileTable (POSIX) or an OpenFile (OFD, flock). */
export type LockOwner = object;

/** A lock on bytes [start, end], end inclusive; Infinity: to the end of the file however far it grows. */
export interface RecordLock {
  readonly owner: LockOwner;
  readonly type: typeof F_RDLCK | typeof F_WRLCK;
  readonly start: number;
  readonly end: number;
  /** Shown by F_GETLK: the locker's pid, or -1 for an OFD lock. */
  readonly pid: number;
}

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
export const LOCK_MAND = 32;

/** All locks on one inode. */
export class FileLocks {
  #records: RecordLock[] = [];
  readonly #flocks = new Map<LockOwner, typeof LOCK_SH | typeof LOCK_EX>();
  /** Woken when a lock was taken away or weakened. */
  readonly changed = new WaitQueue();

  /** A lock of somebody else that stands in the way of `wanted`. */
  conflict(wanted: RecordLock): RecordLock | undefined {
    return this.#records.find(
      (lock) =>
        lock.owner !== wanted.owner &&
        lock.start <= wanted.end &&
        wanted.start <= lock.end &&
        (lock.type === F_WRLCK || wanted.type === F_WRLCK),
    );
  }
  /** Makes [start, end] of `owner` be of `type`: what it had there is replaced, neighbours of the same type join. The caller has looked for conflicts. */
  set(request: Omit<RecordLock, "type"> & { type: number }): void {
    const { owner, start, end, type } = request;
    const next: RecordLock[] = [];
    const own: RecordLock[] = [];
    for (const lock of this.#records) (lock.owner === owner ? own : next).push(lock);
    let from = start;
    let to = end;
    for (const lock of own) {
      const apart = lock.end < start - 1 || lock.start > end + 1;
      if (apart) next.push(lock);
      else if (lock.type === type) {
        from = Math.min(from, lock.start);
        to = Math.max(to, lock.end);
      } else {
        if (lock.start < start) next.push({ ...lock, end: Math.min(lock.end, start - 1) });
        if (lock.end > end) next.push({ ...lock, start: Math.max(lock.start, end + 1) });
      }
    }
    if (type === F_RDLCK || type === F_WRLCK) next.push({ owner, type, start: from, end: to, pid: request.pid });
    this.#records = next.sort((a, b) => a.start - b.start);
    if (type !== F_WRLCK) this.changed.wake();
  }
  /** `owner` is gone or has closed the file: its record locks go. */
  removeRecords(owner: LockOwner): void {
    const kept = this.#records.filter((lock) => lock.owner !== owner);
    if (kept.length === this.#records.length) return;
    this.#records = kept;
    this.changed.wake();
  }
  removeFlock(owner: LockOwner): void {
    if (this.#flocks.delete(owner)) this.changed.wake();
  }
  flockConflict(owner: LockOwner, type: number): boolean {
    for (const [other, held] of this.#flocks) {
      if (other !== owner && (held === LOCK_EX || type === LOCK_EX)) return true;
    }
    return false;
  }
  flockHeld(owner: LockOwner): number | undefined {
    return this.#flocks.get(owner);
  }
  setFlock(owner: LockOwner, type: typeof LOCK_SH | typeof LOCK_EX): void {
    this.#flocks.set(owner, type);
  }
}

/** Who waits for a record lock of whom. */
export class LockTable {
  readonly #waitsFor = new WeakMap<LockOwner, LockOwner>();

  /** F_SETLK and F_SETLKW: 0, -EAGAIN, -EDEADLK, or a wait. `posix`: circles of waiters are looked for (OFD locks have no such check). */
  lock(
    task: Task,
    locks: FileLocks,
    wanted: RecordLock,
    options: { wait: boolean; posix: boolean },
  ): number | Generator<Wait, number> {
    const blocker = locks.conflict(wanted);
    if (!blocker) {
      locks.set(wanted);
      return 0;
    }
    if (!options.wait) return -EAGAIN;
    if (options.posix && this.#circle(blocker.owner, wanted.owner)) return -EDEADLK;
    return this.#waiting(task, locks, wanted, options.posix);
  }
  *#waiting(task: Task, locks: FileLocks, wanted: RecordLock, posix: boolean): Generator<Wait, number> {
    for (;;) {
      const blocker = locks.conflict(wanted);
      if (!blocker) break;
      if (posix && this.#circle(blocker.owner, wanted.owner)) return -EDEADLK;
      if (posix) this.#waitsFor.set(wanted.owner, blocker.owner);
      const reason = yield* wait(task, locks.changed);
      this.#waitsFor.delete(wanted.owner);
      if (reason === "signal") return -ERESTARTSYS;
    }
    locks.set(wanted);
    return 0;
  }
  #circle(from: LockOwner, me: LockOwner): boolean {
    for (let at: LockOwner | undefined = from; at; at = this.#waitsFor.get(at)) if (at === me) return true;
    return false;
  }

  /** flock(2) with LOCK_SH, LOCK_EX or LOCK_UN, perhaps LOCK_NB. */
  flock(task: Task, locks: FileLocks, owner: LockOwner, operation: number): number | Generator<Wait, number> {
    const type = operation & ~LOCK_NB;
    if (type === LOCK_UN) {
      locks.removeFlock(owner);
      return 0;
    }
    const wanted = type === LOCK_EX ? LOCK_EX : LOCK_SH;
    if (locks.flockHeld(owner) === wanted) return 0;
    // A conversion gives the old lock up first, even if the new one cannot be had.
    locks.removeFlock(owner);
    if (!locks.flockConflict(owner, wanted)) {
      locks.setFlock(owner, wanted);
      return 0;
    }
    return operation & LOCK_NB ? -EAGAIN : this.#flockWaiting(task, locks, owner, wanted);
  }
  *#flockWaiting(
    task: Task,
    locks: FileLocks,
    owner: LockOwner,
    wanted: typeof LOCK_SH | typeof LOCK_EX,
  ): Generator<Wait, number> {
    while (locks.flockConflict(owner, wanted)) {
      if ((yield* wait(task, locks.changed)) === "signal") return -ERESTARTSYS;
    }
    locks.setFlock(owner, wanted);
    return 0;
  }
}

/** The fcntl type of a lock request, or undefined for another number. */
export const lockType = (type: number): typeof F_RDLCK | typeof F_WRLCK | typeof F_UNLCK | undefined =>
  type === F_RDLCK || type === F_WRLCK || type === F_UNLCK ? type : undefined;
