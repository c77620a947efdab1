// System calls about who a task is: user and group ids, supplementary groups, capabilities (kernel/sys.c, kernel/groups.c, kernel/capability.c).
import { EFAULT, EINVAL, EPERM, ESRCH } from "../../base/errno.ts";
import { copyFromUser, copyToUser, putUser32 } from "../../mm/usercopy.ts";
import { CAP_FULL_SET, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, type Creds } from "../creds.ts";
import { applyMemoryLimits } from "../rlimit.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";

const NGROUPS_MAX = 65536;
/** "Leave it as it is." */
const KEEP = 0xffffffff;
/** Capabilities that go with the file-system user id (CAP_FS_SET). */
const CAP_FS_SET = [0, 1, 2, 3, 4, 9, 27, 32].reduce((set, capability) => set | (1n << BigInt(capability)), 0n);

/** Puts changed credentials in force; `old` are those before (commit_creds). */
export function commitCreds(task: Task, creds: Creds): number {
  const old = task.creds;
  task.creds = creds;
  const idsChanged = creds.euid !== old.euid || creds.egid !== old.egid || creds.fsuid !== old.fsuid;
  if (idsChanged || creds.fsgid !== old.fsgid || (creds.permitted & ~old.permitted) !== 0n) {
    task.process.dumpable = 0;
    task.parentDeathSignal = 0;
  }
  applyMemoryLimits(task.mm, task.process, task);
  return 0;
}

function commitUids(task: Task, creds: Creds): number {
  creds.uidsChanged(task.creds, { keepCaps: task.keepCaps });
  return commitCreds(task, creds);
}

function sysSetreuid(task: Task, args: Args): number {
  const [ruid, euid] = [args.u32(0), args.u32(1)];
  const { creds: old } = task;
  const creds = old.clone();
  const mayAny = task.capable(CAP_SETUID);
  if (ruid !== KEEP) {
    if (!mayAny && ruid !== old.uid && ruid !== old.euid) return -EPERM;
    creds.uid = ruid;
  }
  if (euid !== KEEP) {
    if (!mayAny && euid !== old.uid && euid !== old.euid && euid !== old.suid) return -EPERM;
    creds.euid = euid;
  }
  if (ruid !== KEEP || (euid !== KEEP && euid !== old.uid)) creds.suid = creds.euid;
  creds.fsuid = creds.euid;
  return commitUids(task, creds);
}

function sysSetregid(task: Task, args: Args): number {
  const [rgid, egid] = [args.u32(0), args.u32(1)];
  const { creds: old } = task;
  const creds = old.clone();
  const mayAny = task.capable(CAP_SETGID);
  if (rgid !== KEEP) {
    if (!mayAny && rgid !== old.gid && rgid !== old.egid) return -EPERM;
    creds.gid = rgid;
  }
  if (egid !== KEEP) {
    if (!mayAny && egid !== old.gid && egid !== old.egid && egid !== old.sgid) return -EPERM;
    creds.egid = egid;
  }
  if (rgid !== KEEP || (egid !== KEEP && egid !== old.gid)) creds.sgid = creds.egid;
  creds.fsgid = creds.egid;
  return commitCreds(task, creds);
}

function sysSetuid(task: Task, args: Args): number {
  const uid = args.u32(0);
  if (uid === KEEP) return -EINVAL;
  const { creds: old } = task;
  const creds = old.clone();
  if (task.capable(CAP_SETUID)) creds.uid = creds.suid = uid;
  else if (uid !== old.uid && uid !== old.suid) return -EPERM;
  creds.euid = creds.fsuid = uid;
  return commitUids(task, creds);
}

function sysSetgid(task: Task, args: Args): number {
  const gid = args.u32(0);
  if (gid === KEEP) return -EINVAL;
  const { creds: old } = task;
  const creds = old.clone();
  if (task.capable(CAP_SETGID)) creds.gid = creds.sgid = gid;
  else if (gid !== old.gid && gid !== old.sgid) return -EPERM;
  creds.egid = creds.fsgid = gid;
  return commitCreds(task, creds);
}

function sysSetresuid(task: Task, args: Args): number {
  const { creds: old } = task;
  const wanted = [args.u32(0), args.u32(1), args.u32(2)];
  const own = [old.uid, old.euid, old.suid];
  if (!task.capable(CAP_SETUID) && wanted.some((id) => id !== KEEP && !own.includes(id))) return -EPERM;
  const creds = old.clone();
  [creds.uid, creds.euid, creds.suid] = wanted.map((id, i) => (id === KEEP ? own[i] : id));
  creds.fsuid = creds.euid;
  return commitUids(task, creds);
}

function sysSetresgid(task: Task, args: Args): number {
  const { creds: old } = task;
  const wanted = [args.u32(0), args.u32(1), args.u32(2)];
  const own = [old.gid, old.egid, old.sgid];
  if (!task.capable(CAP_SETGID) && wanted.some((id) => id !== KEEP && !own.includes(id))) return -EPERM;
  const creds = old.clone();
  [creds.gid, creds.egid, creds.sgid] = wanted.map((id, i) => (id === KEEP ? own[i] : id));
  creds.fsgid = creds.egid;
  return commitCreds(task, creds);
}

function putThree(task: Task, args: Args, values: [number, number, number]): number {
  return values.every((value, i) => putUser32(task.mm, args.ptr(i), value) === 0) ? 0 : -EFAULT;
}

/** Always the former id; there is no error. */
function sysSetfsuid(task: Task, args: Args): number {
  const uid = args.u32(0);
  const { creds: old } = task;
  const allowed = [old.uid, old.euid, old.suid, old.fsuid].includes(uid) || task.capable(CAP_SETUID);
  if (uid === KEEP || uid === old.fsuid || !allowed) return old.fsuid;
  const creds = old.clone();
  creds.fsuid = uid;
  if (old.fsuid === 0) creds.effective &= ~CAP_FS_SET;
  if (uid === 0) creds.effective |= creds.permitted & CAP_FS_SET;
  commitCreds(task, creds);
  return old.fsuid;
}

function sysSetfsgid(task: Task, args: Args): number {
  const gid = args.u32(0);
  const { creds: old } = task;
  const allowed = [old.gid, old.egid, old.sgid, old.fsgid].includes(gid) || task.capable(CAP_SETGID);
  if (gid === KEEP || gid === old.fsgid || !allowed) return old.fsgid;
  const creds = old.clone();
  creds.fsgid = gid;
  commitCreds(task, creds);
  return old.fsgid;
}

function sysGetgroups(task: Task, args: Args): number {
  const size = args.i32(0);
  const { groups } = task.creds;
  if (size < 0) return -EINVAL;
  if (size === 0) return groups.length;
  if (size < groups.length) return -EINVAL;
  const bytes = new Uint8Array(Uint32Array.from(groups).buffer);
  return copyToUser(task.mm, args.ptr(1), bytes) === 0 ? groups.length : -EFAULT;
}

function sysSetgroups(task: Task, args: Args): number {
  const size = args.i32(0);
  if (!task.capable(CAP_SETGID)) return -EPERM;
  if (size < 0 || size > NGROUPS_MAX) return -EINVAL;
  const bytes = copyFromUser(task.mm, args.ptr(1), 4 * size);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Array.from({ length: size }, (_, i) => v.getUint32(4 * i, true));
  if (groups.includes(KEEP)) return -EINVAL;
  const creds = task.creds.clone();
  creds.groups = groups.sort((a, b) => a - b);
  return commitCreds(task, creds);
}

// Capabilities

/** Known versions of the header, and how many 32-bit words the sets have. */
const CAPABILITY_WORDS = new Map([
  [0x19980330, 1],
  [0x20071026, 2],
  [0x20080522, 2],
]);
const PREFERRED_VERSION = 0x20080522;

/** The header's words and pid, or -errno; an unknown version is answered with the one to use. */
function capabilityHeader(task: Task, at: number): { words: number; pid: number } | number {
  const bytes = copyFromUser(task.mm, at, 8);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const words = CAPABILITY_WORDS.get(v.getUint32(0, true));
  if (words !== undefined) return { words, pid: v.getInt32(4, true) };
  return putUser32(task.mm, at, PREFERRED_VERSION) === 0 ? -EINVAL : -EFAULT;
}

function sysCapget(task: Task, args: Args): number {
  const header = capabilityHeader(task, args.ptr(0));
  const dataAt = args.ptr(1);
  if (typeof header === "number") return dataAt === 0 && header === -EINVAL ? 0 : header;
  if (header.pid < 0) return -EINVAL;
  const target = header.pid === 0 ? task : task.kernel.task(header.pid);
  if (target === undefined) return -ESRCH;
  if (dataAt === 0) return 0;
  const { effective, permitted, inheritable } = target.creds;
  const bytes = new Uint8Array(12 * header.words);
  const v = new DataView(bytes.buffer);
  for (let i = 0; i < header.words; i++) {
    [effective, permitted, inheritable].forEach((set, j) =>
      v.setUint32(12 * i + 4 * j, Number((set >> BigInt(32 * i)) & 0xffffffffn), true),
    );
  }
  return copyToUser(task.mm, dataAt, bytes);
}

function sysCapset(task: Task, args: Args): number {
  const header = capabilityHeader(task, args.ptr(0));
  if (typeof header === "number") return header;
  if (header.pid !== 0 && header.pid !== task.tid) return -EPERM;
  const bytes = copyFromUser(task.mm, args.ptr(1), 12 * header.words);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [effective, permitted, inheritable] = [0, 1, 2].map((j) => {
    let set = 0n;
    for (let i = 0; i < header.words; i++) set |= BigInt(v.getUint32(12 * i + 4 * j, true)) << BigInt(32 * i);
    return set & CAP_FULL_SET;
  });
  const { creds: old } = task;
  if (!task.capable(CAP_SETPCAP) && (inheritable & ~(old.inheritable | old.permitted)) !== 0n) return -EPERM;
  if ((inheritable & ~(old.inheritable | old.bounding)) !== 0n) return -EPERM;
  if ((permitted & ~old.permitted) !== 0n || (effective & ~permitted) !== 0n) return -EPERM;
  const creds = old.clone();
  Object.assign(creds, { effective, permitted, inheritable });
  creds.ambient &= permitted & inheritable;
  return commitCreds(task, creds);
}

export const identityCalls: readonly SyscallEntry[] = [
  { nr: 90, name: "capget", handler: sysCapget, args: "ptr ptr" },
  { nr: 91, name: "capset", handler: sysCapset, args: "ptr ptr" },
  { nr: 143, name: "setregid", handler: sysSetregid, args: "int int" },
  { nr: 144, name: "setgid", handler: sysSetgid, args: "uint" },
  { nr: 145, name: "setreuid", handler: sysSetreuid, args: "int int" },
  { nr: 146, name: "setuid", handler: sysSetuid, args: "uint" },
  { nr: 147, name: "setresuid", handler: sysSetresuid, args: "int int int" },
  {
    nr: 148,
    name: "getresuid",
    handler: (task, args) => putThree(task, args, [task.creds.uid, task.creds.euid, task.creds.suid]),
    args: "ptr ptr ptr",
  },
  { nr: 149, name: "setresgid", handler: sysSetresgid, args: "int int int" },
  {
    nr: 150,
    name: "getresgid",
    handler: (task, args) => putThree(task, args, [task.creds.gid, task.creds.egid, task.creds.sgid]),
    args: "ptr ptr ptr",
  },
  { nr: 151, name: "setfsuid", handler: sysSetfsuid, args: "uint" },
  { nr: 152, name: "setfsgid", handler: sysSetfsgid, args: "uint" },
  { nr: 158, name: "getgroups", handler: sysGetgroups, args: "int ptr" },
  { nr: 159, name: "setgroups", handler: sysSetgroups, args: "int ptr" },
  { nr: 174, name: "getuid", handler: (task) => task.creds.uid, args: "" },
  { nr: 175, name: "geteuid", handler: (task) => task.creds.euid, args: "" },
  { nr: 176, name: "getgid", handler: (task) => task.creds.gid, args: "" },
  { nr: 177, name: "getegid", handler: (task) => task.creds.egid, args: "" },
];
