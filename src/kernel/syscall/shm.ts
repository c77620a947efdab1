// System V shared memory: shmget, shmctl, shmat, shmdt (segments are in kernel/shm.ts).
import { EINVAL, EPERM } from "../../base/errno.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { CAP_IPC_LOCK } from "../creds.ts";
import { IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, S_IRUGO } from "../ipc.ts";
import { RLIMIT_MEMLOCK } from "../rlimit.ts";
import { SHMMNI, SHM_LOCKED, SHM_UNLIMITED, type Segment } from "../shm.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";

const SHM_LOCK = 11;
const SHM_UNLOCK = 12;
const SHM_STAT = 13;
const SHM_INFO = 14;
const SHM_STAT_ANY = 15;
const SHMID_DS_SIZE = 112;
const SHMINFO_SIZE = 72;
const SHM_INFO_SIZE = 48;

function shmctl(task: Task, args: Args): number {
  const [id, command, at] = [args.i32(0), args.i32(1), args.ptr(2)];
  if (id < 0 || command < 0) return -EINVAL;
  const { segments } = task.kernel.shm;
  if (command === IPC_INFO) return copyToUser(task.mm, at, shminfo()) || segments.highest;
  if (command === SHM_INFO) return copyToUser(task.mm, at, shmInfo(task)) || segments.highest;
  const byIndex = command === SHM_STAT || command === SHM_STAT_ANY;
  const segment = byIndex ? segments.at(id) : segments.find(id);
  if (typeof segment === "number") return segment;
  switch (command) {
    case SHM_STAT:
    case IPC_STAT: {
      const allowed = segment.permission(task, S_IRUGO);
      if (allowed !== 0) return allowed;
      return copyToUser(task.mm, at, shmidDs(segment)) || (byIndex ? segment.id : 0);
    }
    case SHM_STAT_ANY:
      return copyToUser(task.mm, at, shmidDs(segment)) || segment.id;
    case IPC_RMID: {
      const allowed = segment.ownership(task);
      if (allowed === 0) task.kernel.shm.remove(segment);
      return allowed;
    }
    case IPC_SET: {
      const given = copyFromUser(task.mm, at, SHMID_DS_SIZE);
      if (typeof given === "number") return given;
      const allowed = segment.ownership(task);
      if (allowed !== 0) return allowed;
      segment.setPerm(new DataView(given.buffer, given.byteOffset), task.kernel.clock.realtime().sec);
      return 0;
    }
    case SHM_LOCK:
    case SHM_UNLOCK:
      return lock(task, segment, command);
    default:
      return -EINVAL;
  }
}

/** SHM_LOCK, SHM_UNLOCK: the mark; segments are never swapped out here. */
function lock(task: Task, segment: Segment, command: number): number {
  if (!task.capable(CAP_IPC_LOCK)) {
    const { euid } = task.creds;
    if (euid !== segment.uid && euid !== segment.cuid) return -EPERM;
    if (command === SHM_LOCK && task.process.rlimit(RLIMIT_MEMLOCK) === 0) return -EPERM;
  }
  segment.mode = command === SHM_LOCK ? segment.mode | SHM_LOCKED : segment.mode & ~SHM_LOCKED;
  return 0;
}

/** struct shmid64_ds */
function shmidDs(segment: Segment): Uint8Array {
  const out = new Uint8Array(SHMID_DS_SIZE);
  const v = new DataView(out.buffer);
  segment.encodePerm(v);
  v.setBigUint64(48, BigInt(segment.size), true);
  v.setBigInt64(56, BigInt(segment.attachTime), true);
  v.setBigInt64(64, BigInt(segment.detachTime), true);
  v.setBigInt64(72, BigInt(segment.changeTime), true);
  v.setInt32(80, segment.creator, true);
  v.setInt32(84, segment.lastPid, true);
  v.setBigUint64(88, BigInt(segment.attached), true);
  return out;
}
/** struct shminfo64: the limits. */
function shminfo(): Uint8Array {
  const out = new Uint8Array(SHMINFO_SIZE);
  const v = new DataView(out.buffer);
  [SHM_UNLIMITED, 1n, BigInt(SHMMNI), BigInt(SHMMNI), SHM_UNLIMITED].forEach((value, i) =>
    v.setBigUint64(8 * i, value, true),
  );
  return out;
}
/** struct shm_info: what is used. */
function shmInfo(task: Task): Uint8Array {
  const { shm } = task.kernel;
  const { pages, resident } = shm.totals();
  const out = new Uint8Array(SHM_INFO_SIZE);
  const v = new DataView(out.buffer);
  v.setInt32(0, shm.segments.count, true);
  v.setBigUint64(8, BigInt(pages), true);
  v.setBigUint64(16, BigInt(resident), true);
  return out;
}

export const shmCalls: readonly SyscallEntry[] = [
  {
    nr: 194,
    name: "shmget",
    handler: (task, args) => task.kernel.shm.get(task, args.i32(0), args.u(1), args.i32(2)),
    args: "ipckey size ipcflags",
  },
  { nr: 195, name: "shmctl", handler: shmctl, args: "int ipccmd ptr" },
  {
    nr: 196,
    name: "shmat",
    handler: (task, args) => task.kernel.shm.attach(task, args.i32(0), args.ptr(1), args.i32(2)),
    args: "int ptr shmflags",
  },
  { nr: 197, name: "shmdt", handler: (task, args) => task.kernel.shm.detach(task, args.ptr(0)), args: "ptr" },
];
