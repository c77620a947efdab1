// System calls that belong to no family: names of the system, information about it, randomness, barriers, restartable sequences, riscv's own two.
import { EFAULT, EINVAL, EPERM } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { NSEC_PER_SEC } from "../clock.ts";
import { CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYSLOG } from "../creds.ts";
import { groupExit } from "../exit.ts";
import type { UtsName } from "../kernel.ts";
import { rseq } from "../rseq.ts";
import { SIGKILL } from "../siginfo.ts";
import type { Task } from "../task.ts";
import { hwprobe } from "./hwprobe.ts";
import { kcmp } from "./kcmp.ts";
import { prctl } from "./prctl.ts";
import type { Args, SyscallEntry } from "./table.ts";

// Names

const UTS_FIELD = 65;
const UTS_FIELDS = ["sysname", "nodename", "release", "version", "machine", "domainname"] as const;

function sysUname(task: Task, args: Args): number {
  const bytes = new Uint8Array(UTS_FIELD * UTS_FIELDS.length);
  UTS_FIELDS.forEach((field, i) => {
    const text = task.kernel.uts[field];
    for (let j = 0; j < text.length; j++) bytes[i * UTS_FIELD + j] = text.charCodeAt(j);
  });
  return copyToUser(task.mm, args.ptr(0), bytes);
}

function setName(task: Task, args: Args, field: "nodename" | "domainname"): number {
  const length = args.i32(1);
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  if (length < 0 || length >= UTS_FIELD) return -EINVAL;
  const bytes = copyFromUser(task.mm, args.ptr(0), length);
  if (typeof bytes === "number") return bytes;
  const uts: UtsName = task.kernel.uts;
  uts[field] = String.fromCharCode(...bytes).replace(/\0.*/s, "");
  return 0;
}

// Information

const SYSINFO_SIZE = 112;
/** Load averages in sysinfo have 16 bits behind the point. */
const SI_LOAD_SHIFT = 65536;

function sysSysinfo(task: Task, args: Args): number {
  const { kernel } = task;
  const { total, free, shmem } = kernel.memory.usage();
  const bytes = new Uint8Array(SYSINFO_SIZE);
  const v = new DataView(bytes.buffer);
  const put = (i: number, n: number): void => v.setBigUint64(8 * i, BigInt(Math.floor(n)), true);
  put(0, Math.ceil(kernel.clock.monotonic() / NSEC_PER_SEC));
  kernel.scheduler.load.averages().forEach((load, i) => put(1 + i, load * SI_LOAD_SHIFT));
  put(4, total * PAGE_SIZE);
  put(5, free * PAGE_SIZE);
  put(6, shmem * PAGE_SIZE);
  const { swap, swapTotal } = kernel.memory;
  put(8, swapTotal * PAGE_SIZE);
  put(9, (swapTotal - (swap?.used ?? 0)) * PAGE_SIZE);
  v.setUint16(80, kernel.tasks.size, true);
  v.setUint32(104, 1, true);
  return copyToUser(task.mm, args.ptr(0), bytes);
}

const GRND_NONBLOCK = 1;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const RANDOM_CHUNK = 65536;

function sysGetrandom(task: Task, args: Args): number {
  const [at, wanted, flags] = [args.ptr(0), args.u(1), args.u32(2)];
  if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) !== 0) return -EINVAL;
  if ((flags & GRND_RANDOM) !== 0 && (flags & GRND_INSECURE) !== 0) return -EINVAL;
  const length = Math.min(wanted, 0x7fffffff);
  for (let done = 0; done < length;) {
    const bytes = new Uint8Array(Math.min(RANDOM_CHUNK, length - done));
    task.kernel.random.fill(bytes);
    if (copyToUser(task.mm, at + done, bytes) !== 0) return done > 0 ? done : -EFAULT;
    done += bytes.length;
    if (done < length && task.signalPending()) return done;
  }
  return length;
}

const SYSLOG_ACTION_SIZE_BUFFER = 10;

/** The kernel's messages go to the host at once: its ring buffer is always empty. */
function sysSyslog(task: Task, args: Args): number {
  const action = args.i32(0);
  if (!task.capable(CAP_SYSLOG) && !task.capable(CAP_SYS_ADMIN)) return -EPERM;
  if (action < 0 || action > SYSLOG_ACTION_SIZE_BUFFER) return -EINVAL;
  if (action >= 2 && action <= 4 && (args.ptr(1) === 0 || args.i32(2) < 0)) return -EINVAL;
  if (action === 8 && (args.i32(2) < 1 || args.i32(2) > 8)) return -EINVAL;
  return 0;
}

// Barriers

const MEMBARRIER_GLOBAL = 1;
const MEMBARRIER_GLOBAL_EXPEDITED = 2;
const MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 4;
const MEMBARRIER_PRIVATE_EXPEDITED = 8;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16;
const MEMBARRIER_PRIVATE_EXPEDITED_SYNC_CORE = 32;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64;
const MEMBARRIER_GET_REGISTRATIONS = 512;
const MEMBARRIER_ALL = 1 | 2 | 4 | 8 | 16 | 32 | 64 | 512;

/** Harts take turns, and each one's stores are there at once: a barrier has nothing to do. Registrations are kept, for those who ask. */
function sysMembarrier(task: Task, args: Args): number {
  const [command, flags] = [args.i32(0), args.u32(1)];
  if (flags !== 0) return -EINVAL;
  const { process } = task;
  const registered = (process.attachments?.get("membarrier") as number | undefined) ?? 0;
  const register = (bits: number): number => {
    process.attach("membarrier", registered | bits);
    return 0;
  };
  switch (command) {
    case 0:
      return MEMBARRIER_ALL;
    case MEMBARRIER_GLOBAL:
    case MEMBARRIER_GLOBAL_EXPEDITED:
      return 0;
    case MEMBARRIER_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
      return register(command);
    case MEMBARRIER_PRIVATE_EXPEDITED:
      return (registered & MEMBARRIER_REGISTER_PRIVATE_EXPEDITED) !== 0 ? 0 : -EPERM;
    case MEMBARRIER_PRIVATE_EXPEDITED_SYNC_CORE:
      return (registered & MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) !== 0 ? 0 : -EPERM;
    case MEMBARRIER_GET_REGISTRATIONS:
      return registered;
    default:
      return -EINVAL;
  }
}

const SYS_RISCV_FLUSH_ICACHE_LOCAL = 1n;

/** Stores to code are seen at once by every hart (ram.ts): only the arguments are checked. */
function sysFlushIcache(_task: Task, args: Args): number {
  return (args.big(2) & ~SYS_RISCV_FLUSH_ICACHE_LOCAL) === 0n ? 0 : -EINVAL;
}

// The end

const LINUX_REBOOT_MAGIC1 = 0xfee1dead;
const LINUX_REBOOT_MAGIC2 = [672274793, 85072278, 369367448, 537993216];
const REBOOT_RESTART = 0x01234567;
const REBOOT_HALT = 0xcdef0123;
const REBOOT_POWER_OFF = 0x4321fedc;
const REBOOT_CAD_ON = 0x89abcdef;
const REBOOT_CAD_OFF = 0;

/** Power off, halt and restart are the same here: every program ends, and with them the run. */
function sysReboot(task: Task, args: Args): number {
  if (!task.capable(CAP_SYS_BOOT)) return -EPERM;
  if (args.u32(0) !== LINUX_REBOOT_MAGIC1 || !LINUX_REBOOT_MAGIC2.includes(args.u32(1))) return -EINVAL;
  switch (args.u32(2)) {
    case REBOOT_CAD_ON:
    case REBOOT_CAD_OFF:
      return 0;
    case REBOOT_RESTART:
    case REBOOT_HALT:
    case REBOOT_POWER_OFF:
      for (const process of task.kernel.processes.values()) {
        if (process !== task.kernel.init) groupExit(process, SIGKILL);
      }
      return 0;
    default:
      return -EINVAL;
  }
}

function sysPersonality(task: Task, args: Args): number {
  const old = task.personality;
  const wanted = args.u32(0);
  if (wanted !== 0xffffffff) task.personality = wanted;
  return old;
}

function sysSetdomainname(task: Task, args: Args): number {
  return setName(task, args, "domainname");
}
function sysSethostname(task: Task, args: Args): number {
  return setName(task, args, "nodename");
}

export const miscCalls: readonly SyscallEntry[] = [
  { nr: 92, name: "personality", handler: sysPersonality, args: "hex" },
  { nr: 116, name: "syslog", handler: sysSyslog, args: "int ptr int" },
  { nr: 142, name: "reboot", handler: sysReboot, args: "hex hex hex ptr" },
  { nr: 160, name: "uname", handler: sysUname, args: "ptr" },
  { nr: 161, name: "sethostname", handler: sysSethostname, args: "buf int" },
  { nr: 162, name: "setdomainname", handler: sysSetdomainname, args: "buf int" },
  { nr: 167, name: "prctl", handler: prctl, args: "int hex hex hex hex" },
  { nr: 179, name: "sysinfo", handler: sysSysinfo, args: "ptr" },
  { nr: 258, name: "riscv_hwprobe", handler: hwprobe, args: "ptr size size ptr hex" },
  { nr: 259, name: "riscv_flush_icache", handler: sysFlushIcache, args: "ptr ptr hex" },
  { nr: 272, name: "kcmp", handler: kcmp, args: "pid pid int hex hex" },
  { nr: 278, name: "getrandom", handler: sysGetrandom, args: "rbuf size grnd" },
  { nr: 283, name: "membarrier", handler: sysMembarrier, args: "int hex int" },
  {
    nr: 293,
    name: "rseq",
    handler: (task, args) => rseq(task, args.ptr(0), args.u32(1), args.i32(2), args.u32(3)),
    args: "ptr uint hex hex",
  },
];
