// What the three kinds of System V IPC share: identifiers, keys, owners and permissions (ipc/util.c). Used by shm.ts, sem.ts and msg.ts.
import { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM } from "../base/errno.ts";
import { CAP_IPC_OWNER, CAP_SYS_ADMIN } from "./creds.ts";
import type { Task } from "./task.ts";

export const IPC_PRIVATE = 0;
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;
export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;
export const IPC_INFO = 3;

/** Read and write for all three classes: what permission checks ask for. */
export const S_IRUGO = 0o444;
export const S_IWUGO = 0o222;

/** Bits of an id that are the place in the table; the rest counts reuses. */
const IPCMNI_SHIFT = 15;
const SEQ_MAX = 0xffff;
const IPC64_PERM_SIZE = 48;

/** One segment, semaphore set or queue. */
export abstract class IpcObject {
  /** Set by its table. */
  id = -1;
  seq = 0;
  key: number;
  uid: number;
  gid: number;
  readonly cuid: number;
  readonly cgid: number;
  /** Permission bits and what the kind adds above them. */
  mode: number;
  /** Seconds since the epoch. */
  changeTime: number;
  /** Removed: who still waits or is about to act gets EIDRM. */
  removed = false;

  constructor(task: Task, key: number, flags: number) {
    const { euid, egid } = task.creds;
    this.key = key;
    this.uid = this.cuid = euid;
    this.gid = this.cgid = egid;
    this.mode = flags & 0o777;
    this.changeTime = task.kernel.clock.realtime().sec;
  }

  /** Whether `task` has the rights in `wanted` (S_IRUGO, S_IWUGO or what the caller of *get asks for): 0 or -EACCES. */
  permission(task: Task, wanted: number): number {
    const { creds } = task;
    const asked = (wanted >> 6) | (wanted >> 3) | wanted;
    let granted = this.mode;
    if (creds.euid === this.cuid || creds.euid === this.uid) granted >>= 6;
    else if ([this.cgid, this.gid].some((gid) => gid === creds.egid || creds.groups.includes(gid))) granted >>= 3;
    return (asked & ~granted & 0o7) !== 0 && !task.capable(CAP_IPC_OWNER) ? -EACCES : 0;
  }
  /** Whether `task` may change or remove it: 0 or -EPERM. */
  ownership(task: Task): number {
    const { euid } = task.creds;
    return euid === this.cuid || euid === this.uid || task.capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
  }

  /** IPC_SET: uid, gid and permission bits from a struct ipc64_perm. */
  setPerm(v: DataView, now: number): void {
    this.uid = v.getUint32(4, true);
    this.gid = v.getUint32(8, true);
    this.mode = (this.mode & ~0o777) | (v.getUint32(20, true) & 0o777);
    this.changeTime = now;
  }
  /** struct ipc64_perm at the start of `v`. Returns its size. */
  encodePerm(v: DataView): number {
    v.setInt32(0, this.key, true);
    v.setUint32(4, this.uid, true);
    v.setUint32(8, this.gid, true);
    v.setUint32(12, this.cuid, true);
    v.setUint32(16, this.cgid, true);
    v.setUint32(20, this.mode, true);
    v.setUint16(24, this.seq, true);
    return IPC64_PERM_SIZE;
  }
}

/** All objects of one kind. */
export class IpcTable<T extends IpcObject> {
  /** By place: the lowest free one is taken. */
  readonly #slots: (T | undefined)[] = [];
  readonly #byKey = new Map<number, T>();
  readonly #max: number;
  #seq = 0;
  #last = -1;
  count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** The highest place in use; 0 if there is none, as IPC_INFO returns it. */
  get highest(): number {
    for (let i = this.#slots.length - 1; i > 0; i--) if (this.#slots[i] !== undefined) return i;
    return 0;
  }
  *values(): Generator<T> {
    for (const object of this.#slots) if (object !== undefined) yield object;
  }
  /** By place (SHM_STAT and relatives). */
  at(index: number): T | number {
    return this.#slots[index] ?? -EINVAL;
  }
  /** By id; -EINVAL, also if the place belongs to a later one by now. */
  find(id: number): T | number {
    const object = id < 0 ? undefined : this.#slots[id & ((1 << IPCMNI_SHIFT) - 1)];
    if (object === undefined) return -EINVAL;
    return object.id === id ? object : -EINVAL;
  }

  /** shmget, semget, msgget: the id. `check` looks at one that exists, `make` makes a new one (-errno if it cannot). */
  get(task: Task, key: number, flags: number, check: (object: T) => number, make: () => T | number): number {
    const known = key === IPC_PRIVATE ? undefined : this.#byKey.get(key);
    if (known === undefined) {
      if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) return -ENOENT;
      const object = make();
      return typeof object === "number" ? object : this.#add(object);
    }
    if ((flags & IPC_CREAT) !== 0 && (flags & IPC_EXCL) !== 0) return -EEXIST;
    return check(known) || known.permission(task, flags) || known.id;
  }
  get full(): boolean {
    return this.count >= this.#max;
  }
  #add(object: T): number {
    if (this.full) return -ENOSPC;
    let index = this.#slots.indexOf(undefined);
    if (index < 0) index = this.#slots.length;
    if (index <= this.#last) this.#seq = this.#seq >= SEQ_MAX ? 0 : this.#seq + 1;
    this.#last = index;
    object.seq = this.#seq;
    object.id = (this.#seq << IPCMNI_SHIFT) + index;
    this.#slots[index] = object;
    if (object.key !== IPC_PRIVATE) this.#byKey.set(object.key, object);
    this.count++;
    return object.id;
  }
  /** Its key is free again; the id stays valid. */
  forgetKey(object: T): void {
    if (object.key !== IPC_PRIVATE) this.#byKey.delete(object.key);
    object.key = IPC_PRIVATE;
  }
  remove(object: T): void {
    if (object.key !== IPC_PRIVATE) this.#byKey.delete(object.key);
    this.#slots[object.id & ((1 << IPCMNI_SHIFT) - 1)] = undefined;
    object.removed = true;
    this.count--;
  }
}

/** One line of a file in /proc/sysvipc: right-aligned columns. */
export const sysvipcLine = (columns: readonly [value: number, width: number][]): string =>
  columns.map(([value, width]) => String(value).padStart(width)).join(" ") + "\n";
