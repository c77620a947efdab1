// How strace shows the arguments of a call: one function per word of SyscallEntry.args (the list is in syscall/table.ts). Reads registers and user
// memory of the task; never fails: what cannot be read is shown as an address.
import { copyFromUser, getUser64, readString } from "../mm/usercopy.ts";
import { AT_FDCWD, O_CREAT, __O_TMPFILE, devMajor, devMinor } from "./fs/abi.ts";
import { NSIG, SIGNAL_NAMES, SIGRTMIN, type SigSet, sigbit, signalName } from "./siginfo.ts";
import type { Args } from "./syscall/table.ts";
import type { Task } from "./task.ts";
import * as names from "./strace-names.ts";

/** Bytes of a buffer that are shown. */
const STRING_MAX = 32;
const ARRAY_MAX = 32;

/** What a word's function gets. `result` only after the call. */
export interface ArgContext {
  readonly task: Task;
  readonly args: Args;
  /** Which argument. */
  readonly i: number;
  /** The call's name. */
  readonly call: string;
  readonly result?: number;
}

export const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
export const pointer = (n: number): string => (n === 0 ? "NULL" : hex(n));

/** Bits by name, joined by "|"; what is left over in hex; `none` for 0. */
export function flagText(value: number, flags: names.Flags, none = "0"): string {
  const words: string[] = [];
  let left = value >>> 0;
  for (const [name, bits] of flags) {
    if ((left & bits) >>> 0 !== bits >>> 0) continue;
    words.push(name);
    left = (left & ~bits) >>> 0;
  }
  if (left !== 0) words.push(hex(left));
  return words.length === 0 ? none : words.join("|");
}
const nameOr = (table: names.Names, n: number): string => table[n] ?? hex(n >>> 0);

const ESCAPES: Record<number, string> = { 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\" };
/** A byte string in quotes, as C would write it. */
export function quote(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (ESCAPES[c] !== undefined) out += ESCAPES[c];
    else if (c >= 32 && c < 127) out += text[i];
    else {
      // As short as the next character allows.
      const next = text.charCodeAt(i + 1);
      const digits = c.toString(8);
      out += `\\${next >= 48 && next <= 57 ? digits.padStart(3, "0") : digits}`;
    }
  }
  return out + '"';
}
function bytesText(task: Task, addr: number, length: number): string {
  if (addr === 0) return "NULL";
  const shown = Math.min(length, STRING_MAX);
  const bytes = shown > 0 ? copyFromUser(task.mm, addr, shown) : new Uint8Array(0);
  if (typeof bytes === "number") return hex(addr);
  return quote(String.fromCharCode(...bytes)) + (length > shown ? "..." : "");
}
function pathText(task: Task, addr: number): string {
  if (addr === 0) return "NULL";
  const text = readString(task.mm, addr, 4096);
  return typeof text === "number" ? hex(addr) : quote(text);
}

/** "[INT CHLD]", "~[KILL]" if most are in it. */
export function sigsetText(set: SigSet): string {
  const name = (signo: number): string =>
    signo < SIGRTMIN ? SIGNAL_NAMES[signo - 1]! : signo === SIGRTMIN ? "RTMIN" : `RT_${signo - SIGRTMIN}`;
  const inSet: string[] = [];
  const notInSet: string[] = [];
  for (let signo = 1; signo <= NSIG; signo++) ((set & sigbit(signo)) !== 0n ? inSet : notInSet).push(name(signo));
  return inSet.length > (NSIG * 2) / 3 ? `~[${notInSet.join(" ")}]` : `[${inSet.join(" ")}]`;
}

function timeText(v: DataView, at: number, unit: "nsec" | "usec"): string {
  return `{tv_sec=${v.getBigInt64(at, true)}, tv_${unit}=${v.getBigInt64(at + 8, true)}}`;
}
/** Shows a struct of `size` bytes at `addr`. */
function struct(task: Task, addr: number, size: number, show: (v: DataView) => string): string {
  if (addr === 0) return "NULL";
  const bytes = copyFromUser(task.mm, addr, size);
  return typeof bytes === "number" ? hex(addr) : show(new DataView(bytes.buffer, bytes.byteOffset, size));
}
const intervalText = (task: Task, addr: number, unit: "nsec" | "usec"): string =>
  struct(task, addr, 32, (v) => `{it_interval=${timeText(v, 0, unit)}, it_value=${timeText(v, 16, unit)}}`);

function sigactionText(task: Task, addr: number): string {
  return struct(task, addr, 24, (v) => {
    const flags = v.getUint32(8, true);
    const handler = v.getBigUint64(0, true);
    const word = (flags & 4) !== 0 ? "sa_sigaction" : "sa_handler";
    const shown = handler === 0n ? "SIG_DFL" : handler === 1n ? "SIG_IGN" : hex(handler);
    const mask = sigsetText(v.getBigUint64(16, true));
    return `{${word}=${shown}, sa_mask=${mask}, sa_flags=${flagText(flags, names.SA_FLAGS)}}`;
  });
}

function pollfdsText(task: Task, addr: number, count: number): string {
  if (addr === 0) return "NULL";
  const shown = Math.min(count, ARRAY_MAX);
  const bytes = copyFromUser(task.mm, addr, shown * 8);
  if (typeof bytes === "number") return hex(addr);
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const items = Array.from({ length: shown }, (_, i) => {
    return `{fd=${v.getInt32(i * 8, true)}, events=${flagText(v.getUint16(i * 8 + 4, true), names.POLL_FLAGS)}}`;
  });
  return `[${items.join(", ")}${count > shown ? ", ..." : ""}]`;
}

/** The pointers of a null-terminated array; undefined if it cannot be read. */
function pointers(task: Task, addr: number): number[] | undefined {
  const found: number[] = [];
  for (;;) {
    const word = getUser64(task.mm, addr + 8 * found.length);
    if (typeof word === "number") return undefined;
    if (word === 0n || found.length > 4096) return found;
    found.push(Number(word));
  }
}
function argvText(task: Task, addr: number): string {
  const found = addr === 0 ? undefined : pointers(task, addr);
  if (found === undefined) return pointer(addr);
  const shown = found.slice(0, ARRAY_MAX).map((at) => pathText(task, at));
  return `[${shown.join(", ")}${found.length > ARRAY_MAX ? ", ..." : ""}]`;
}
function envpText(task: Task, addr: number): string {
  const count = addr === 0 ? undefined : pointers(task, addr)?.length;
  return count === undefined ? pointer(addr) : `${hex(addr)} /* ${count} var${count === 1 ? "" : "s"} */`;
}

/** open's flags with the access mode; of other calls without it. */
function openFlags(flags: number, call: string): string {
  if (call !== "openat") return flagText(flags, names.OPEN_FLAGS);
  const mode = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][flags & 3]!;
  const rest = flagText(flags & ~3, names.OPEN_FLAGS, "");
  return rest === "" ? mode : `${mode}|${rest}`;
}
function futexOp(op: number): string {
  const name = names.FUTEX_OPS[op & 127];
  if (name === undefined) return hex(op >>> 0);
  return `FUTEX_${name}${(op & 128) !== 0 ? "_PRIVATE" : ""}${(op & 256) !== 0 ? "|FUTEX_CLOCK_REALTIME" : ""}`;
}
const octal = (mode: number): string => `0${mode.toString(8).padStart(2, "0")}`;
function modeWithFlags(value: number, flags: names.Flags): string {
  const high = flagText(value & ~0o777, flags, "");
  return high === "" ? octal(value & 0o777) : `${high}|${octal(value & 0o777)}`;
}
/** How many arguments each futex operation has (FUTEX_WAIT first); those with a bitset have no second address. */
const FUTEX_ARITY = [4, 3, 3, 5, 6, 6, 4, 2, 2, 6, 6, 6, 6, 4];
const FUTEX_BITSET_OPS = [9, 10];
/** Argument `i` of futex(2), if its operation has that. */
function futexArgument({ task, args, i }: ArgContext): string | undefined {
  const op = args.i32(1) & 127;
  if (i >= (FUTEX_ARITY[op] ?? 6)) return undefined;
  if (i === 2) return `${args.u32(i)}`;
  if (i === 4) return FUTEX_BITSET_OPS.includes(op) ? undefined : pointer(args.ptr(i));
  if (i === 5) return args.u32(i) === 0xffffffff ? "FUTEX_BITSET_MATCH_ANY" : hex(args.u32(i));
  const takesTime = [0, 6, 9, 11, 13].includes(op);
  if (op === 10) return undefined;
  return takesTime ? struct(task, args.ptr(i), 16, (v) => timeText(v, 0, "nsec")) : `${args.u32(i)}`;
}

/** What an ioctl points at, of those of msharefs. */
function ioctlArgument({ task, args, i }: ArgContext): string {
  const addr = args.ptr(i);
  const range = (v: DataView): string =>
    `region_offset=${hex(v.getBigUint64(0, true))}, size=${v.getBigUint64(8, true)}`;
  switch (names.IOCTLS[args.u32(i - 1)]) {
    case "MSHAREFS_CREATE_MAPPING":
      return struct(task, addr, 40, (v) => {
        const prot = flagText(v.getUint32(24, true), names.PROT_FLAGS, "PROT_NONE");
        const flags = flagText(v.getUint32(28, true), names.MAP_FLAGS);
        return `{${range(v)}, offset=${v.getBigUint64(16, true)}, prot=${prot}, flags=${flags}, fd=${v.getInt32(32, true)}}`;
      });
    case "MSHAREFS_UNMAP":
      return struct(task, addr, 16, (v) => `{${range(v)}}`);
    default:
      return pointer(addr);
  }
}

/** What follows fcntl's command. */
function fcntlArgument({ args, i }: ArgContext): string | undefined {
  switch (names.FCNTLS[args.i32(i - 1)]) {
    case "F_GETFD":
    case "F_GETFL":
    case "F_GETOWN":
    case "F_GETSIG":
    case "F_GETPIPE_SZ":
    case "F_GET_SEALS":
      return undefined;
    case "F_SETFD":
      return flagText(args.u32(i), names.FD_FLAGS);
    case "F_SETFL":
      return openFlags(args.i32(i), "openat");
    case "F_DUPFD":
    case "F_DUPFD_CLOEXEC":
      return `${args.i32(i)}`;
    default:
      return hex(args.big(i));
  }
}

function iovecText(task: Task, addr: number, count: number): string {
  if (addr === 0) return "NULL";
  const shown = Math.min(count, ARRAY_MAX);
  const bytes = copyFromUser(task.mm, addr, shown * 16);
  if (typeof bytes === "number") return hex(addr);
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const items = Array.from({ length: shown }, (_, i) => {
    const length = Number(v.getBigUint64(16 * i + 8, true));
    return `{iov_base=${bytesText(task, Number(v.getBigUint64(16 * i, true)), length)}, iov_len=${length}}`;
  });
  return `[${items.join(", ")}${count > shown ? ", ..." : ""}]`;
}

/** struct clone_args, as far as it is used. */
function cloneArgsText(task: Task, addr: number): string {
  return struct(task, addr, 64, (v) => {
    const at = (offset: number): bigint => v.getBigUint64(offset, true);
    const flags = flagText(Number(at(0) & 0xffffffffn), names.CLONE_FLAGS);
    const signal = Number(at(32));
    const parts = [`flags=${flags}`, `exit_signal=${signal === 0 ? "0" : signalName(signal)}`];
    parts.push(`stack=${at(40) === 0n ? "NULL" : hex(at(40))}`, `stack_size=${hex(at(48))}`);
    if (at(56) !== 0n) parts.push(`tls=${hex(at(56))}`);
    return `{${parts.join(", ")}}`;
  });
}

/** struct stat: mode, and size or device. */
function statText(task: Task, addr: number): string {
  return struct(task, addr, 128, (v) => {
    const mode = v.getUint32(16, true);
    const type = names.FILE_TYPES[mode & 0o170000] ?? "0";
    const device = v.getUint32(32, true);
    const isDevice = type === "S_IFCHR" || type === "S_IFBLK";
    const rest = isDevice
      ? `st_rdev=makedev(${hex(devMajor(device))}, ${hex(devMinor(device))})`
      : `st_size=${v.getBigInt64(48, true)}`;
    return `{st_mode=${type}|${octal(mode & 0o7777)}, ${rest}, ...}`;
  });
}

function rlimitText(task: Task, addr: number): string {
  const limit = (n: bigint): string =>
    n === 0xffffffffffffffffn ? "RLIM64_INFINITY" : n > 1024n && n % 1024n === 0n ? `${n / 1024n}*1024` : `${n}`;
  return struct(task, addr, 16, (v) => {
    return `{rlim_cur=${limit(v.getBigUint64(0, true))}, rlim_max=${limit(v.getBigUint64(8, true))}}`;
  });
}

/** The exit signal is in the low byte. */
function cloneFlags(flags: number): string {
  const signal = flags & 0xff;
  const rest = flagText((flags & ~0xff) >>> 0, names.CLONE_FLAGS, "");
  return [rest, signal !== 0 ? signalName(signal) : ""].filter((word) => word !== "").join("|") || "0";
}
const isCreating = (flags: number): boolean => (flags & (O_CREAT | __O_TMPFILE)) !== 0;

type Show = (context: ArgContext) => string | undefined;

/** Words that show what the call was given. undefined: not an argument this time. */
const INPUTS: Readonly<Record<string, Show>> = {
  fd: ({ args, i }) => `${args.i32(i)}`,
  dirfd: ({ args, i }) => (args.i32(i) === AT_FDCWD ? "AT_FDCWD" : `${args.i32(i)}`),
  path: ({ task, args, i }) => pathText(task, args.ptr(i)),
  ptr: ({ args, i }) => pointer(args.ptr(i)),
  int: ({ args, i }) => `${args.i32(i)}`,
  uint: ({ args, i }) => `${args.u32(i)}`,
  long: ({ args, i }) => `${args.s(i)}`,
  size: ({ args, i }) => `${args.big(i)}`,
  off: ({ args, i }) => `${BigInt.asIntN(64, args.big(i))}`,
  hex: ({ args, i }) => (args.big(i) === 0n ? "0" : hex(args.big(i))),
  oct: ({ args, i }) => octal(args.u32(i)),
  mode: ({ args, i, call }) =>
    call === "openat" && !isCreating(args.i32(i - 1)) ? undefined : octal(args.u32(i) & 0o177777),
  oflags: ({ args, i, call }) => openFlags(args.i32(i), call),
  prot: ({ args, i }) => flagText(args.u32(i), names.PROT_FLAGS, "PROT_NONE"),
  mflags: ({ args, i }) => flagText(args.u32(i), names.MAP_FLAGS),
  madvice: ({ args, i }) => nameOr(names.MADVICE, args.i32(i)),
  sig: ({ args, i }) => (args.i32(i) > 0 ? signalName(args.i32(i)) : `${args.i32(i)}`),
  pid: ({ args, i }) => `${args.i32(i)}`,
  tid: ({ args, i }) => `${args.i32(i)}`,
  clone: ({ args, i }) => cloneFlags(args.u32(i)),
  futex: ({ args, i }) => futexOp(args.i32(i)),
  futexarg: futexArgument,
  fcntlarg: fcntlArgument,
  ioctl: ({ args, i }) => names.IOCTLS[args.u32(i)] ?? hex(args.u32(i)),
  ioctlarg: ioctlArgument,
  grnd: ({ args, i }) => flagText(args.u32(i), names.GRND_FLAGS),
  rlimit: ({ args, i }) => nameOr(names.RLIMITS, args.i32(i)),
  rlim: ({ task, args, i }) => rlimitText(task, args.ptr(i)),
  iovec: ({ task, args, i }) => iovecText(task, args.ptr(i), args.u32(i + 1)),
  cloneargs: ({ task, args, i }) => cloneArgsText(task, args.ptr(i)),
  timespec: ({ task, args, i }) => struct(task, args.ptr(i), 16, (v) => timeText(v, 0, "nsec")),
  itimerspec: ({ task, args, i }) => intervalText(task, args.ptr(i), "nsec"),
  itimerval: ({ task, args, i }) => intervalText(task, args.ptr(i), "usec"),
  itimer: ({ args, i }) => nameOr(names.ITIMERS, args.i32(i)),
  clock: ({ args, i }) => nameOr(names.CLOCKS, args.i32(i)),
  sigset: ({ task, args, i }) => struct(task, args.ptr(i), 8, (v) => sigsetText(v.getBigUint64(0, true))),
  sigaction: ({ task, args, i }) => sigactionText(task, args.ptr(i)),
  how: ({ args, i }) => nameOr(names.MASK_HOW, args.i32(i)),
  ptrace: ({ args, i }) => nameOr(names.PTRACE_REQUESTS, args.i32(i)),
  whence: ({ args, i }) => nameOr(names.WHENCE, args.i32(i)),
  buf: ({ task, args, i }) => bytesText(task, args.ptr(i), args.u(i + 1)),
  pollfds: ({ task, args, i }) => pollfdsText(task, args.ptr(i), args.u32(i + 1)),
  argv: ({ task, args, i }) => argvText(task, args.ptr(i)),
  envp: ({ task, args, i }) => envpText(task, args.ptr(i)),
  fcntl: ({ args, i }) => nameOr(names.FCNTLS, args.i32(i)),
  epollop: ({ args, i }) => nameOr(names.EPOLL_OPS, args.i32(i)),
  atflags: ({ args, i }) => flagText(args.u32(i), names.AT_FLAGS),
  woptions: ({ args, i }) => flagText(args.u32(i), names.WAIT_FLAGS),
  ipckey: ({ args, i }) => (args.i32(i) === 0 ? "IPC_PRIVATE" : hex(args.u32(i))),
  ipcflags: ({ args, i }) => modeWithFlags(args.u32(i), names.IPC_FLAGS),
  shmflags: ({ args, i }) => flagText(args.u32(i), names.SHM_FLAGS),
  ipccmd: ({ args, i }) => nameOr(names.IPC_COMMANDS, args.i32(i)),
  semcmd: ({ args, i }) => nameOr(names.SEM_COMMANDS, args.i32(i)),
};

/** Words that show what the call has written: only known afterwards. */
const OUTPUTS: Readonly<Record<string, Show>> = {
  rbuf: ({ task, args, i, result }) => (result! < 0 ? pointer(args.ptr(i)) : bytesText(task, args.ptr(i), result!)),
  wstatus: ({ task, args, i, result }) =>
    result! <= 0 ? pointer(args.ptr(i)) : struct(task, args.ptr(i), 4, (v) => waitStatus(v.getInt32(0, true))),
  otimespec: ({ task, args, i, result }) =>
    result! < 0 ? pointer(args.ptr(i)) : struct(task, args.ptr(i), 16, (v) => timeText(v, 0, "nsec")),
  osigset: ({ task, args, i, result }) =>
    result! < 0 ? pointer(args.ptr(i)) : struct(task, args.ptr(i), 8, (v) => sigsetText(v.getBigUint64(0, true))),
  osigaction: ({ task, args, i, result }) => (result! < 0 ? pointer(args.ptr(i)) : sigactionText(task, args.ptr(i))),
  stat: ({ task, args, i, result }) => (result! < 0 ? pointer(args.ptr(i)) : statText(task, args.ptr(i))),
  orlim: ({ task, args, i, result }) => (result! < 0 ? pointer(args.ptr(i)) : rlimitText(task, args.ptr(i))),
  ostring: ({ task, args, i, result }) => (result! < 0 ? pointer(args.ptr(i)) : pathText(task, args.ptr(i))),
  fdpair: ({ task, args, i, result }) =>
    result! < 0
      ? pointer(args.ptr(i))
      : struct(task, args.ptr(i), 8, (v) => `[${v.getInt32(0, true)}, ${v.getInt32(4, true)}]`),
};

function waitStatus(status: number): string {
  const signal = status & 0x7f;
  if (status === 0xffff) return "[{WIFCONTINUED(s)}]";
  if ((status & 0xff) === 0x7f) return `[{WIFSTOPPED(s) && WSTOPSIG(s) == ${signalName((status >> 8) & 0xff)}}]`;
  return signal === 0
    ? `[{WIFEXITED(s) && WEXITSTATUS(s) == ${(status >> 8) & 0xff}}]`
    : `[{WIFSIGNALED(s) && WTERMSIG(s) == ${signalName(signal)}}]`;
}

/** Whether a word can only be shown after the call. */
export const isOutput = (word: string): boolean => OUTPUTS[word] !== undefined;

/** One argument; undefined if the call has not got it this time. */
export function showArgument(word: string, context: ArgContext): string | undefined {
  const show = INPUTS[word] ?? OUTPUTS[word] ?? INPUTS.hex!;
  return show(context);
}
