// /proc/PID and /proc/PID/task/TID: the directory of a process or thread and what is in it, in the order of fs/proc/base.c.

import { EACCES, EINVAL, ENOENT, EPERM, ESRCH } from "../../../base/errno.ts";
import type { Mm } from "../../../mm/mm.ts";
import { accessRemote } from "../../../mm/usercopy.ts";
import { FILTER_MASK } from "../../core-segments.ts";
import { CAP_SYS_NICE, CAP_SYS_RESOURCE } from "../../creds.ts";
import type { Process } from "../../process.ts";
import { ptraceMayAccess } from "../../ptrace.ts";
import type { Task } from "../../task.ts";
import { type DirEntry, type Filesystem, type Inode, type Path, entryOf, placeOf } from "../inode.ts";
import { FdDir, FdInfoDir, OwnedText } from "./fd.ts";
import { hex, parseNumber } from "./format.ts";
import { type Maker, inspected, memory, memoryFile, mountFile, place, setting, single } from "./makers.ts";
import { mapsText } from "./maps.ts";
import { MemoryFile, clearRefs } from "./mem.ts";
import { mountInfoText, mountStatsText, mountsText } from "./mounts.ts";
import { NsDir } from "./ns.ts";
import { PagemapFile } from "./pagemap.ts";
import { type Owner, PseudoDir, StaticDir, TextInode } from "./node.ts";
import { smapsRollupText, smapsText } from "./smaps.ts";
import { limitsText, oomScore, statText, statmText, statusText } from "./status.ts";
import { Subject } from "./subject.ts";
import { wchan } from "./wchan.ts";

/** Nanoseconds. */
const DEFAULT_TIMER_SLACK = 50000;
/** TASK_COMM_LEN without the final NUL. */
const COMM_MAX = 15;
/** /proc/PID/uid_map of the first user namespace. */
const WHOLE_ID_MAP = `${"0".padStart(10)} ${"0".padStart(10)} ${"4294967295".padStart(10)}\n`;

interface Entry {
  readonly name: string;
  readonly of: "both" | "process" | "thread";
  readonly make: Maker;
}

const both = (name: string, make: Maker): Entry => ({ name, of: "both", make });
const processOnly = (name: string, make: Maker): Entry => ({ name, of: "process", make });
const threadOnly = (name: string, make: Maker): Entry => ({ name, of: "thread", make });

/** Bytes [start, end) of the program's memory as a byte string; what cannot be read ends it. */
function peek(mm: Mm, start: number, end: number): string {
  const bytes = new Uint8Array(Math.max(0, Math.min(end - start, 1 << 22)));
  const n = Math.max(0, accessRemote(mm, start, bytes, { write: false, force: true }));
  let text = "";
  for (let i = 0; i < n; i += 4096) text += String.fromCharCode(...bytes.subarray(i, Math.min(n, i + 4096)));
  return text;
}

/** get_mm_cmdline: the arguments; a program that has written over their end (setproctitle) shows one string. */
function cmdline(mm: Mm): string {
  const { argStart, argEnd, envEnd } = mm;
  if (argStart === 0 || argEnd <= argStart) return "";
  if (peek(mm, argEnd - 1, argEnd) === "\0") return peek(mm, argStart, argEnd);
  const title = peek(mm, argStart, Math.max(argEnd, Math.min(envEnd, argStart + 4096)));
  const nul = title.indexOf("\0");
  return nul < 0 ? title : title.slice(0, nul + 1);
}

/** The program of a process. */
function executable(task: Task): Path | null {
  const { exe } = task.process;
  if (task.mmOrNull === null || exe === null) return null;
  const place = placeOf(exe);
  return typeof place === "number" ? null : place;
}

function setOomScoreAdj(task: Task, value: number, writer: Task): number {
  if (value < -1000 || value > 1000) return -EINVAL;
  const { process } = task;
  const capable = writer.capable(CAP_SYS_RESOURCE);
  if (value < process.oomScoreAdjMin && !capable) return -EACCES;
  process.oomScoreAdj = value;
  if (capable) process.oomScoreAdjMin = value;
  return 0;
}

/** oom_adj's old scale from -17 to 15. */
const oomAdj = (task: Task): number => {
  const adj = task.process.oomScoreAdj;
  return adj === 1000 ? 15 : Math.trunc((adj * 17) / 1000);
};

const comm: Maker = (fs, subject) =>
  new OwnedText(fs, 0o644, subject, {
    read: () => (subject.task === null ? -ESRCH : `${subject.task.comm}\n`),
    write: (writer, text) => {
      const { task } = subject;
      if (task === null || task.process !== writer.process) return -EINVAL;
      task.comm = text.split("\0")[0].slice(0, COMM_MAX);
      return 0;
    },
  });

/** clear_refs is written by whoever may inspect; writing is all it is for. */
const clearRefsFile: Maker = (fs, subject) =>
  new OwnedText(fs, 0o200, subject, {
    write: (_writer, text) => {
      const { task } = subject;
      if (task === null) return -ESRCH;
      return task.mmOrNull === null ? 0 : clearRefs(task.mmOrNull, text);
    },
  });

/** The call that a task waits in: number, six arguments, stack and program counter. */
function syscallText(task: Task, reader: Task): string {
  if (task.state === "R" && task !== reader) return "running\n";
  const { regs } = task;
  const word = (i: number): string => `0x${hex((BigInt(regs.hi(i) >>> 0) << 32n) | BigInt(regs.lo(i) >>> 0))}`;
  const where = `${word(2)} 0x${hex(regs.pc)}`;
  if (task.call === null && task !== reader) return `-1 ${where}\n`;
  const a0 = `0x${hex((BigInt(task.callA0Hi >>> 0) << 32n) | BigInt(task.callA0Lo >>> 0))}`;
  return `${task.callNr} ${a0} ${[11, 12, 13, 14, 15].map(word).join(" ")} ${where}\n`;
}

function ioText(task: Task, subject: Subject): string {
  const io = subject.whole ? task.process.usage() : task.usage;
  return (
    `rchar: ${io.readChars}\nwchar: ${io.writeChars}\nsyscr: ${io.readCalls}\nsyscw: ${io.writeCalls}\n` +
    `read_bytes: ${io.inBlocks * 512}\nwrite_bytes: ${io.outBlocks * 512}\ncancelled_write_bytes: 0\n`
  );
}

const io: Maker = (fs, subject) =>
  new OwnedText(fs, 0o400, subject, {
    read: (reader) => {
      const task = subject.inspect(reader);
      return typeof task === "number" ? task : ioText(task, subject);
    },
  });

const statFile = single(0o444, (task, subject, reader) =>
  statText(task, { whole: subject.whole, permitted: ptraceMayAccess(reader, task, { creds: "fs" }) === 0 }),
);

const wchanFile = single(0o444, (task, _subject, reader) =>
  ptraceMayAccess(reader, task, { creds: "fs" }) === 0 ? wchan(task) : "0",
);

const coredumpFilter: Maker = (fs, subject) =>
  new OwnedText(fs, 0o644, subject, {
    read: () => {
      const { task } = subject;
      if (task === null) return -ESRCH;
      return task.process.mm === null ? "" : `${hex(task.process.coredumpFilter, 8)}\n`;
    },
    write: (_writer, text) => {
      const value = parseNumber(text);
      if (value === undefined || value < 0 || value > 0xffffffff) return -EINVAL;
      const { task } = subject;
      if (task === null || task.process.mm === null) return -ESRCH;
      task.process.coredumpFilter = value & FILTER_MASK;
      return 0;
    },
  });

/** A task sees and sets its own; those of others need CAP_SYS_NICE. */
const timerSlack: Maker = (fs, subject) => {
  const allowed = (by: Task): number => {
    if (subject.task === null) return -ESRCH;
    return subject.task === by || by.capable(CAP_SYS_NICE) ? 0 : -EPERM;
  };
  return new OwnedText(fs, 0o666, subject, {
    read: (reader) => allowed(reader) || `${subject.task!.timerSlack}\n`,
    write: (writer, text) => {
      const value = parseNumber(text);
      if (value === undefined) return -EINVAL;
      const error = allowed(writer);
      if (error === 0) subject.task!.timerSlack = value || DEFAULT_TIMER_SLACK;
      return error;
    },
  });
};

/** Children belong to processes here: they are shown as the first thread's. */
const childrenText = (task: Task): string =>
  task.isLeader ? [...task.process.children].map((child) => `${child.pid} `).join("") : "";

/** What the network namespace has: UNIX sockets. */
function netDir(fs: Filesystem): StaticDir {
  const directory = new StaticDir(fs);
  directory.add("unix", new TextInode(fs, 0o444, { read: (reader) => reader.kernel.vfs.sockets.text() }));
  return directory;
}

/** tgid_base_stuff and tid_base_stuff. */
const ENTRIES: readonly Entry[] = [
  processOnly("task", (fs, subject) => new TaskListDir(fs, subject)),
  both("fd", (fs, subject) => new FdDir(fs, subject)),
  both("fdinfo", (fs, subject) => new FdInfoDir(fs, subject)),
  both("ns", (fs, subject) => new NsDir(fs, subject)),
  both("net", (fs) => netDir(fs)),
  both(
    "environ",
    memory(0o400, (mm) => (mm.envEnd === 0 ? "" : peek(mm, mm.envStart, mm.envEnd)), "kept"),
  ),
  both(
    "auxv",
    memory(0o400, (_mm, { auxv }) => String.fromCharCode(...auxv), "kept"),
  ),
  both("status", single(0o444, statusText)),
  both(
    "personality",
    inspected(0o400, (task) => `${hex(task.personality, 8)}\n`),
  ),
  both("limits", single(0o444, limitsText)),
  both("comm", comm),
  both("syscall", inspected(0o400, syscallText)),
  both(
    "cmdline",
    single(0o444, (task) => (task.mmOrNull === null ? "" : cmdline(task.mmOrNull))),
  ),
  both("stat", statFile),
  both("statm", single(0o444, statmText)),
  threadOnly("children", single(0o444, childrenText)),
  both("maps", memory(0o444, mapsText, "empty")),
  both(
    "mem",
    memoryFile(0o600, (_opener, mm, path, flags) => new MemoryFile(mm, path, flags), { creds: "fs", attach: true }),
  ),
  both(
    "cwd",
    place((task) => task.fsOrNull?.cwd ?? null),
  ),
  both(
    "root",
    place((task) => task.fsOrNull?.root ?? null),
  ),
  both("exe", place(executable)),
  both("mounts", mountFile(0o444, mountsText)),
  both("mountinfo", mountFile(0o444, mountInfoText)),
  processOnly("mountstats", mountFile(0o400, mountStatsText)),
  both("clear_refs", clearRefsFile),
  both("smaps", memory(0o444, smapsText, "empty")),
  both("smaps_rollup", memory(0o444, smapsRollupText, "ESRCH")),
  both(
    "pagemap",
    memoryFile(0o400, (opener, mm, path, flags) => new PagemapFile(opener, mm, path, flags)),
  ),
  both(
    "mshare",
    memory(0o444, (mm, { kernel }) => kernel.mshare.processText(mm), "empty"),
  ),
  both("wchan", wchanFile),
  both(
    "schedstat",
    single(0o444, ({ usage }) => {
      const switches = usage.voluntarySwitches + usage.involuntarySwitches;
      return `${Math.floor(usage.utime + usage.stime)} 0 ${switches}\n`;
    }),
  ),
  both(
    "cgroup",
    single(0o444, ({ process: { cgroup } }) => `0::${cgroup.path}${cgroup.removed ? " (deleted)" : ""}\n`),
  ),
  both(
    "oom_score",
    single(0o444, (task) => `${oomScore(task)}\n`),
  ),
  both(
    "oom_adj",
    setting(
      0o644,
      (task) => `${oomAdj(task)}\n`,
      (task, value, writer) => {
        if (value < -17 || value > 15) return -EINVAL;
        return setOomScoreAdj(task, value === 15 ? 1000 : Math.trunc((value * 1000) / 17), writer);
      },
    ),
  ),
  both(
    "oom_score_adj",
    setting(0o644, (task) => `${task.process.oomScoreAdj}\n`, setOomScoreAdj),
  ),
  processOnly("coredump_filter", coredumpFilter),
  both("io", io),
  both(
    "uid_map",
    single(0o444, () => WHOLE_ID_MAP),
  ),
  both(
    "gid_map",
    single(0o444, () => WHOLE_ID_MAP),
  ),
  both(
    "setgroups",
    single(0o444, () => "allow\n"),
  ),
  processOnly("timerslack_ns", timerSlack),
];

/** /proc/PID, or /proc/PID/task/TID. */
export class SubjectDir extends PseudoDir {
  readonly subject: Subject;
  readonly #entries: readonly Entry[];
  readonly #inodes = new Map<string, Inode>();

  constructor(fs: Filesystem, subject: Subject) {
    super(fs);
    this.subject = subject;
    this.#entries = ENTRIES.filter((entry) => entry.of !== (subject.whole ? "thread" : "process"));
    // "task", "fd", "fdinfo", "ns" and "net" are directories.
    this.nlink = subject.whole ? 7 : 6;
  }
  protected override owner(): Owner {
    const { task } = this.subject;
    return task === null ? { uid: 0, gid: 0 } : { uid: task.creds.euid, gid: task.creds.egid };
  }
  override permission(task: Task, mask: number): number | undefined {
    return this.subject.task === null ? -ESRCH : super.permission(task, mask);
  }
  #inode(entry: Entry): Inode {
    let inode = this.#inodes.get(entry.name);
    if (!inode) this.#inodes.set(entry.name, (inode = entry.make(this.fs, this.subject)));
    return inode;
  }
  override lookup(name: string): Inode | number {
    if (this.subject.task === null) return -ENOENT;
    const entry = this.#entries.find((e) => e.name === name);
    return entry ? this.#inode(entry) : -ENOENT;
  }
  override entries(): DirEntry[] | number {
    if (this.subject.task === null) return -ENOENT;
    return this.#entries.map((entry) => entryOf(entry.name, this.#inode(entry)));
  }
}

/** /proc/PID/task. */
class TaskListDir extends PseudoDir {
  readonly #subject: Subject;
  readonly #dirs = new WeakMap<Task, SubjectDir>();
  constructor(fs: Filesystem, subject: Subject) {
    super(fs);
    this.#subject = subject;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
  /** Live threads, and the leader as long as the process is not reaped. */
  #tasks(): Task[] {
    const { process } = this.#subject;
    const rest = [...process.threads.values(), ...(process.tracedZombies ?? [])].filter(
      (task) => task !== process.leader,
    );
    return process.state === "dead" ? [] : [process.leader, ...rest];
  }
  #dir(task: Task): SubjectDir {
    let dir = this.#dirs.get(task);
    if (!dir) this.#dirs.set(task, (dir = new SubjectDir(this.fs, new Subject(this.#subject.process, task))));
    return dir;
  }
  override stat() {
    this.nlink = 2 + this.#tasks().length;
    return super.stat();
  }
  override lookup(name: string): Inode | number {
    const task = this.#tasks().find((t) => String(t.tid) === name);
    return task ? this.#dir(task) : -ENOENT;
  }
  override entries(): DirEntry[] | number {
    if (this.#subject.task === null) return -ENOENT;
    return this.#tasks().map((task) => entryOf(String(task.tid), this.#dir(task)));
  }
}

/** The directories of all processes, made when they are looked at. */
export class ProcessDirs {
  readonly #fs: Filesystem;
  readonly #dirs = new WeakMap<Process, SubjectDir>();
  constructor(fs: Filesystem) {
    this.#fs = fs;
  }
  of(process: Process): SubjectDir {
    let dir = this.#dirs.get(process);
    if (!dir) this.#dirs.set(process, (dir = new SubjectDir(this.#fs, new Subject(process, null))));
    return dir;
  }
}
