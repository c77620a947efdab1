// System V semaphores: semget, semctl, semop, semtimedop (sets are in kernel/sem.ts).
import { E2BIG, EINVAL, ERANGE } from "../../base/errno.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, S_IRUGO, S_IWUGO } from "../ipc.ts";
import { SEMMNI, SEMMNS, SEMMSL, SEMOPM, SEMVMX, type SemOperation, type SemSet } from "../sem.ts";
import type { Task } from "../task.ts";
import { readTimeout } from "../timespec.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const GETPID = 11;
const GETVAL = 12;
const GETALL = 13;
const GETNCNT = 14;
const GETZCNT = 15;
const SETVAL = 16;
const SETALL = 17;
const SEM_STAT = 18;
const SEM_INFO = 19;
const SEM_STAT_ANY = 20;
const SEMBUF_SIZE = 6;
const SEMID_DS_SIZE = 88;

function semop(task: Task, args: Args, timeoutAt: number): SyscallResult {
  const [id, count] = [args.i32(0), args.u32(2)];
  const deadline = readTimeout(task.mm, task.kernel.clock, timeoutAt);
  if (deadline !== undefined && deadline < 0) return deadline;
  if (count < 1 || id < 0) return -EINVAL;
  if (count > SEMOPM) return -E2BIG;
  const bytes = copyFromUser(task.mm, args.ptr(1), count * SEMBUF_SIZE);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const operations: SemOperation[] = [];
  for (let at = 0; at < bytes.length; at += SEMBUF_SIZE) {
    operations.push({
      num: v.getUint16(at, true),
      op: v.getInt16(at + 2, true),
      flags: v.getInt16(at + 4, true),
    });
  }
  return task.kernel.semaphores.operate(task, id, operations, deadline);
}

function semctl(task: Task, args: Args): number {
  const [id, num, command] = [args.i32(0), args.i32(1), args.i32(2)];
  if (id < 0) return -EINVAL;
  const { sets } = task.kernel.semaphores;
  if (command === IPC_INFO || command === SEM_INFO) {
    return copyToUser(task.mm, args.ptr(3), seminfo(task, command)) || sets.highest;
  }
  const byIndex = command === SEM_STAT || command === SEM_STAT_ANY;
  const set = byIndex ? sets.at(id) : sets.find(id);
  if (typeof set === "number") return set;
  switch (command) {
    case SEM_STAT_ANY:
      return copyToUser(task.mm, args.ptr(3), semidDs(set)) || set.id;
    case SEM_STAT:
    case IPC_STAT: {
      const allowed = set.permission(task, S_IRUGO);
      if (allowed !== 0) return allowed;
      return copyToUser(task.mm, args.ptr(3), semidDs(set)) || (byIndex ? set.id : 0);
    }
    case IPC_RMID: {
      const allowed = set.ownership(task);
      if (allowed === 0) task.kernel.semaphores.remove(set);
      return allowed;
    }
    case IPC_SET:
      return setOwner(task, set, args.ptr(3));
    case SETVAL:
    case SETALL:
      return setValues(task, set, command, num, args);
    default:
      return getValues(task, set, command, num, args.ptr(3));
  }
}

function setOwner(task: Task, set: SemSet, at: number): number {
  const given = copyFromUser(task.mm, at, SEMID_DS_SIZE);
  if (typeof given === "number") return given;
  const allowed = set.ownership(task);
  if (allowed === 0) set.setPerm(new DataView(given.buffer, given.byteOffset), task.kernel.clock.realtime().sec);
  return allowed;
}

function setValues(task: Task, set: SemSet, command: number, num: number, args: Args): number {
  const allowed = set.permission(task, S_IWUGO);
  if (command === SETVAL) {
    const value = args.i32(3);
    if (value < 0 || value > SEMVMX) return -ERANGE;
    if (allowed !== 0) return allowed;
    if (num < 0 || num >= set.values.length) return -EINVAL;
    set.setValues(task, [value], num);
    return 0;
  }
  if (allowed !== 0) return allowed;
  const bytes = copyFromUser(task.mm, args.ptr(3), 2 * set.values.length);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const values = Array.from(set.values, (_, i) => v.getUint16(2 * i, true));
  if (values.some((value) => value > SEMVMX)) return -ERANGE;
  set.setValues(task, values);
  return 0;
}

function getValues(task: Task, set: SemSet, command: number, num: number, at: number): number {
  if (![GETALL, GETVAL, GETPID, GETNCNT, GETZCNT].includes(command)) return -EINVAL;
  const allowed = set.permission(task, S_IRUGO);
  if (allowed !== 0) return allowed;
  if (command === GETALL) {
    const out = new Uint8Array(2 * set.values.length);
    const v = new DataView(out.buffer);
    set.values.forEach((value, i) => v.setUint16(2 * i, value, true));
    return copyToUser(task.mm, at, out);
  }
  if (num < 0 || num >= set.values.length) return -EINVAL;
  if (command === GETVAL) return set.values[num]!;
  if (command === GETPID) return set.pids[num]!;
  return set.waiting(num, command === GETNCNT ? "grow" : "zero");
}

/** struct semid64_ds */
function semidDs(set: SemSet): Uint8Array {
  const out = new Uint8Array(SEMID_DS_SIZE);
  const v = new DataView(out.buffer);
  set.encodePerm(v);
  v.setBigInt64(48, BigInt(set.operationTime), true);
  v.setBigInt64(56, BigInt(set.changeTime), true);
  v.setBigUint64(64, BigInt(set.values.length), true);
  return out;
}
/** struct seminfo: limits, and with SEM_INFO what is used. */
function seminfo(task: Task, command: number): Uint8Array {
  const { sets, semaphores } = task.kernel.semaphores.totals();
  const used = command === SEM_INFO;
  const semusz = used ? sets : 20;
  const semaem = used ? semaphores : SEMVMX;
  return new Uint8Array(
    new Int32Array([SEMMNS, SEMMNI, SEMMNS, SEMMNS, SEMMSL, SEMOPM, SEMOPM, semusz, SEMVMX, semaem]).buffer,
  );
}

export const semCalls: readonly SyscallEntry[] = [
  {
    nr: 190,
    name: "semget",
    handler: (task, args) => task.kernel.semaphores.get(task, args.i32(0), args.i32(1), args.i32(2)),
    args: "ipckey int ipcflags",
  },
  { nr: 191, name: "semctl", handler: semctl, args: "int int semcmd ptr" },
  {
    nr: 192,
    name: "semtimedop",
    handler: (task, args) => semop(task, args, args.ptr(3)),
    args: "int ptr uint timespec",
  },
  { nr: 193, name: "semop", handler: (task, args) => semop(task, args, 0), args: "int ptr uint" },
];
