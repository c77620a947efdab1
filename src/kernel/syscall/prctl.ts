// prctl(2): the switches of a task and its process (kernel/sys.c). What concerns hardware or kernels that are not here is EINVAL, as on a Linux
// built without it.
import { EFAULT, EINVAL, ENODEV, EPERM } from "../../base/errno.ts";
import { PAGE_SIZE, pageUp } from "../../base/numbers.ts";
import { copyFromUser, copyToUser, putUser32, putUser64, readString } from "../../mm/usercopy.ts";
import { CAP_SETPCAP, CAP_SYS_RESOURCE } from "../creds.ts";
import { NSIG } from "../siginfo.ts";
import type { Task } from "../task.ts";
import { setPtracer } from "../yama.ts";
import type { Args } from "./table.ts";

const CAP_LAST_CAP = 40;
const TASK_COMM_LEN = 16;
const DEFAULT_TIMER_SLACK = 50000;
const ANON_VMA_NAME_MAX = 80;

const SECURE_NO_SETUID_FIXUP_BITS = 0xff;
const SECURE_KEEP_CAPS = 1 << 4;

type Option = (task: Task, args: Args) => number;

/** All further arguments are zero. */
const unused = (args: Args, from: number): boolean => [1, 2, 3, 4].every((i) => i < from || args.big(i) === 0n);

function setName(task: Task, args: Args): number {
  const name = readPrefix(task, args.ptr(1), TASK_COMM_LEN - 1);
  if (typeof name === "number") return name;
  task.comm = name;
  return 0;
}

/** strncpy_from_user: up to `max` bytes, ending at a NUL. */
function readPrefix(task: Task, at: number, max: number): string | number {
  let text = "";
  while (text.length < max) {
    const byte = copyFromUser(task.mm, at + text.length, 1);
    if (typeof byte === "number") return byte;
    if (byte[0] === 0) break;
    text += String.fromCharCode(byte[0]);
  }
  return text;
}

function getName(task: Task, args: Args): number {
  const bytes = new Uint8Array(TASK_COMM_LEN);
  for (let i = 0; i < task.comm.length; i++) bytes[i] = task.comm.charCodeAt(i);
  return copyToUser(task.mm, args.ptr(1), bytes);
}

function setDeathSignal(task: Task, args: Args): number {
  const signo = args.u(1);
  if (signo > NSIG) return -EINVAL;
  task.parentDeathSignal = signo;
  return 0;
}

function setDumpable(task: Task, args: Args): number {
  const value = args.u(1);
  if (value !== 0 && value !== 1) return -EINVAL;
  task.process.dumpable = value;
  return 0;
}

function setKeepCaps(task: Task, args: Args): number {
  const value = args.u(1);
  if (value > 1) return -EINVAL;
  if ((task.creds.securebits & (SECURE_KEEP_CAPS << 1)) !== 0) return -EPERM;
  task.keepCaps = value === 1;
  return 0;
}

function readBounding(task: Task, args: Args): number {
  const capability = args.u(1);
  if (capability > CAP_LAST_CAP) return -EINVAL;
  return (task.creds.bounding >> BigInt(capability)) & 1n ? 1 : 0;
}

function dropBounding(task: Task, args: Args): number {
  const capability = args.u(1);
  if (!task.capable(CAP_SETPCAP)) return -EPERM;
  if (capability > CAP_LAST_CAP) return -EINVAL;
  task.creds.bounding &= ~(1n << BigInt(capability));
  return 0;
}

function setSecurebits(task: Task, args: Args): number {
  const wanted = args.u(1);
  const old = task.creds.securebits;
  const locked = (old >> 1) & 0x55;
  if (
    (locked & (old ^ wanted)) !== 0 ||
    (old & 0xaa & ~wanted) !== 0 ||
    wanted > SECURE_NO_SETUID_FIXUP_BITS ||
    !task.capable(CAP_SETPCAP)
  ) {
    return -EPERM;
  }
  task.creds.securebits = wanted & ~SECURE_KEEP_CAPS;
  task.keepCaps = (wanted & SECURE_KEEP_CAPS) !== 0;
  return 0;
}

function setTimerSlack(task: Task, args: Args): number {
  const ns = args.s(1);
  task.timerSlack = ns <= 0 ? DEFAULT_TIMER_SLACK : ns;
  return 0;
}

function setNoNewPrivs(task: Task, args: Args): number {
  if (args.u(1) !== 1 || !unused(args, 2)) return -EINVAL;
  task.noNewPrivs = true;
  return 0;
}

const PR_CAP_AMBIENT_IS_SET = 1;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_LOWER = 3;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SECURE_NO_CAP_AMBIENT_RAISE = 1 << 6;

function capAmbient(task: Task, args: Args): number {
  const { creds } = task;
  const [operation, capability] = [args.u(1), args.u(2)];
  if (operation === PR_CAP_AMBIENT_CLEAR_ALL) {
    if (!unused(args, 2)) return -EINVAL;
    creds.ambient = 0n;
    return 0;
  }
  if (capability > CAP_LAST_CAP || !unused(args, 3)) return -EINVAL;
  const bit = 1n << BigInt(capability);
  switch (operation) {
    case PR_CAP_AMBIENT_IS_SET:
      return (creds.ambient & bit) !== 0n ? 1 : 0;
    case PR_CAP_AMBIENT_RAISE:
      if ((creds.permitted & creds.inheritable & bit) === 0n) return -EPERM;
      if ((creds.securebits & SECURE_NO_CAP_AMBIENT_RAISE) !== 0) return -EPERM;
      creds.ambient |= bit;
      return 0;
    case PR_CAP_AMBIENT_LOWER:
      creds.ambient &= ~bit;
      return 0;
    default:
      return -EINVAL;
  }
}

const PR_SET_VMA_ANON_NAME = 0;

/** Names anonymous memory for /proc/PID/maps. */
function setVma(task: Task, args: Args): number {
  if (args.u(1) !== PR_SET_VMA_ANON_NAME) return -EINVAL;
  const [start, length, nameAt] = [args.u(2), args.u(3), args.ptr(4)];
  let name: string | null = null;
  if (nameAt !== 0) {
    const text = readString(task.mm, nameAt, ANON_VMA_NAME_MAX);
    if (typeof text === "number") return text === -EFAULT ? -EFAULT : -EINVAL;
    // Printable, and nothing that /proc or shells would take for something else.
    if (!/^[ -~]*$/.test(text) || /[\\`$[\]]/.test(text)) return -EINVAL;
    name = text;
  }
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  return task.mm.setAnonName(start, pageUp(length), name);
}

const PR_SET_MM_START_CODE = 1;
const PR_SET_MM_END_CODE = 2;
const PR_SET_MM_START_DATA = 3;
const PR_SET_MM_END_DATA = 4;
const PR_SET_MM_START_STACK = 5;
const PR_SET_MM_ARG_START = 8;
const PR_SET_MM_ARG_END = 9;
const PR_SET_MM_ENV_START = 10;
const PR_SET_MM_ENV_END = 11;

/** The layout fields that /proc shows. */
function setMm(task: Task, args: Args): number {
  if (!unused(args, 3)) return -EINVAL;
  if (!task.capable(CAP_SYS_RESOURCE)) return -EPERM;
  const [field, value] = [args.u(1), args.u(2)];
  const { mm } = task;
  const names = {
    [PR_SET_MM_START_CODE]: "startCode",
    [PR_SET_MM_END_CODE]: "endCode",
    [PR_SET_MM_START_DATA]: "startData",
    [PR_SET_MM_END_DATA]: "endData",
    [PR_SET_MM_START_STACK]: "startStack",
    [PR_SET_MM_ARG_START]: "argStart",
    [PR_SET_MM_ARG_END]: "argEnd",
    [PR_SET_MM_ENV_START]: "envStart",
    [PR_SET_MM_ENV_END]: "envEnd",
  } as const;
  const name = names[field as keyof typeof names];
  if (name === undefined || mm.vmas.lookup(value) === null) return -EINVAL;
  mm[name] = value;
  return 0;
}

/** By number; those that only read or write one thing are here in one line. */
const OPTIONS: ReadonlyMap<number, Option> = new Map<number, Option>([
  [1, setDeathSignal],
  [2, (task, args) => putUser32(task.mm, args.ptr(1), task.parentDeathSignal)],
  [3, (task) => task.process.dumpable],
  [4, setDumpable],
  [7, (task) => (task.keepCaps ? 1 : 0)],
  [8, setKeepCaps],
  [13, () => 0],
  [14, (_task, args) => (args.u(1) === 0 ? 0 : -EINVAL)],
  [15, setName],
  [16, getName],
  [21, (task) => task.seccomp],
  [23, readBounding],
  [24, dropBounding],
  [27, (task) => task.creds.securebits | (task.keepCaps ? SECURE_KEEP_CAPS : 0)],
  [28, setSecurebits],
  [29, setTimerSlack],
  [30, (task) => task.timerSlack],
  [31, () => 0],
  [32, () => 0],
  [33, setMceKill],
  [34, (task, args) => (unused(args, 1) ? mceKill(task) : -EINVAL)],
  [35, setMm],
  [36, (task, args) => ((task.process.childSubreaper = args.u(1) !== 0), 0)],
  [37, (task, args) => putUser32(task.mm, args.ptr(1), task.process.childSubreaper ? 1 : 0)],
  [38, setNoNewPrivs],
  [39, (task, args) => (unused(args, 1) ? (task.noNewPrivs ? 1 : 0) : -EINVAL)],
  [40, (task, args) => putUser64(task.mm, args.ptr(1), task.clearChildTid)],
  [41, (task, args) => setThpDisable(task, args)],
  [42, (task, args) => (unused(args, 1) ? thpDisabled(task) : -EINVAL)],
  [47, capAmbient],
  [52, (_task, args) => (unused(args, 2) ? -ENODEV : -EINVAL)],
  [53, (_task, args) => (unused(args, 3) ? -ENODEV : -EINVAL)],
  [0x53564d41, setVma],
  [0x59616d61, (task, args) => setPtracer(task, args.i32(1))],
]);

const PR_MCE_KILL_CLEAR = 0;
const PR_MCE_KILL_SET = 1;
const PR_MCE_KILL_DEFAULT = 2;
const MCE_KILL = "mce-kill";

/** When memory that has failed kills a task. No memory fails here; the setting is kept for those who ask. */
function setMceKill(task: Task, args: Args): number {
  const [operation, policy] = [args.u(1), args.u(2)];
  if (!unused(args, 3)) return -EINVAL;
  if (operation === PR_MCE_KILL_CLEAR && policy !== 0) return -EINVAL;
  if (operation > PR_MCE_KILL_SET || policy > PR_MCE_KILL_DEFAULT) return -EINVAL;
  task.process.attach(MCE_KILL, operation === PR_MCE_KILL_CLEAR ? PR_MCE_KILL_DEFAULT : policy);
  return 0;
}

const mceKill = (task: Task): number =>
  (task.process.attachments?.get(MCE_KILL) as number | undefined) ?? PR_MCE_KILL_DEFAULT;

function setThpDisable(task: Task, args: Args): number {
  if (!unused(args, 2)) return -EINVAL;
  task.mm.thpDisabled = args.u(1) !== 0;
  return 0;
}

const thpDisabled = (task: Task): number => (task.mm.thpDisabled ? 1 : 0);

export function prctl(task: Task, args: Args): number {
  const option = OPTIONS.get(args.i32(0));
  return option === undefined ? -EINVAL : option(task, args);
}
