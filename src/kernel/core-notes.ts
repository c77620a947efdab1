// The notes of a core file (fs/binfmt_elf.c: fill_note_info): what ended the program, its threads' registers, its vector, the files that it has mapped. Used by
// coredump.ts only. Layouts are those of struct elf_prstatus and elf_prpsinfo on riscv64.
import { PAGE_SIZE } from "../base/numbers.ts";
import type { Mm } from "../mm/mm.ts";
import { accessRemote } from "../mm/usercopy.ts";
import { SpecialFile } from "../mm/vm-file.ts";
import { windowOf } from "../mshare/usage.ts";
import type { Usage } from "./process.ts";
import { NT_PRFPREG, NT_PRSTATUS, REGSETS } from "./regset.ts";
import { type SigInfo, encodeSigInfo } from "./siginfo.ts";
import type { Task } from "./task.ts";

const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_SIGINFO = 0x53494749;
const NT_FILE = 0x46494c45;

const PRSTATUS_SIZE = 376;
const PRSTATUS_REGS = 112;
const PRSTATUS_FPVALID = 368;
const PRPSINFO_SIZE = 136;
const PRPSINFO_FNAME = 40;
const PRPSINFO_ARGS = 56;
const ARGS_MAX = 80;

// Task flags in pr_flag (include/linux/sched.h).
const PF_DUMPCORE = 0x200;
const PF_SIGNALED = 0x400;
const PF_RANDOMIZE = 0x400000;

/** One note: name and contents padded to words. */
function note(type: number, contents: Uint8Array): Uint8Array {
  const NAME = "CORE\0";
  const padded = (n: number): number => Math.ceil(n / 4) * 4;
  const bytes = new Uint8Array(12 + padded(NAME.length) + padded(contents.length));
  const v = new DataView(bytes.buffer);
  v.setUint32(0, NAME.length, true);
  v.setUint32(4, contents.length, true);
  v.setUint32(8, type, true);
  for (let i = 0; i < NAME.length; i++) bytes[12 + i] = NAME.charCodeAt(i);
  bytes.set(contents, 12 + padded(NAME.length));
  return bytes;
}

/** struct timeval. */
function putTime(v: DataView, at: number, ns: number): void {
  v.setBigInt64(at, BigInt(Math.floor(ns / 1e9)), true);
  v.setBigInt64(at + 8, BigInt(Math.floor((ns % 1e9) / 1000)), true);
}

/** pid, ppid, process group and session. */
function putIds(v: DataView, at: number, task: Task, pid: number): void {
  const { process } = task;
  [pid, process.parent?.pid ?? 0, process.group.pgid, process.session.sid].forEach((id, i) =>
    v.setInt32(at + 4 * i, id, true),
  );
}

/** NT_PRSTATUS. A thread that waits in a call is shown before its ecall, as one that was interrupted there would be. */
function prstatus(task: Task, signo: number): Uint8Array {
  const { process } = task;
  const bytes = new Uint8Array(PRSTATUS_SIZE);
  const v = new DataView(bytes.buffer);
  v.setInt32(0, signo, true);
  v.setInt16(12, signo, true);
  v.setBigUint64(16, task.pending.set, true);
  v.setBigUint64(24, task.sigmask, true);
  putIds(v, 32, task, task.tid);
  const usage: Usage = task.isLeader ? process.usage() : task.usage;
  putTime(v, 48, usage.utime);
  putTime(v, 64, usage.stime);
  putTime(v, 80, process.childrenUsage.utime);
  putTime(v, 96, process.childrenUsage.stime);
  const general = REGSETS.find((set) => set.type === NT_PRSTATUS)!;
  bytes.set(general.read(task.regs), PRSTATUS_REGS);
  if (task.call !== null) v.setBigUint64(PRSTATUS_REGS, BigInt(task.regs.pc - 4), true);
  v.setInt32(PRSTATUS_FPVALID, 1, true);
  return bytes;
}

/** The arguments as one line, 79 bytes at most. */
function psArgs(mm: Mm): Uint8Array {
  const bytes = new Uint8Array(Math.max(0, Math.min(mm.argEnd - mm.argStart, ARGS_MAX - 1)));
  const count = accessRemote(mm, mm.argStart, bytes, { write: false, force: true });
  return bytes.subarray(0, count).map((byte) => (byte === 0 ? 0x20 : byte));
}

/** NT_PRPSINFO, about the process. */
function prpsinfo(task: Task, mm: Mm): Uint8Array {
  const { leader } = task.process;
  const bytes = new Uint8Array(PRPSINFO_SIZE);
  const v = new DataView(bytes.buffer);
  const states = "RSDTZW";
  const state = leader === task ? "R" : leader.exited ? "Z" : "D";
  bytes[0] = states.indexOf(state);
  bytes[1] = state.charCodeAt(0);
  bytes[2] = state === "Z" ? 1 : 0;
  v.setInt8(3, leader.sched.nice);
  v.setBigUint64(8, BigInt(PF_DUMPCORE | PF_SIGNALED | PF_RANDOMIZE), true);
  v.setUint32(16, task.creds.uid, true);
  v.setUint32(20, task.creds.gid, true);
  putIds(v, 24, task, task.tgid);
  for (let i = 0; i < Math.min(15, leader.comm.length); i++) bytes[PRPSINFO_FNAME + i] = leader.comm.charCodeAt(i);
  bytes.set(psArgs(mm), PRPSINFO_ARGS);
  return bytes;
}

/** NT_FILE: which part of which file is where; windows on regions among them. */
function files(mm: Mm): Uint8Array {
  const entries: { words: readonly number[]; name: string }[] = [];
  for (const vma of mm.vmas) {
    const window = windowOf(vma);
    if (window !== null) entries.push({ words: [vma.start, vma.end, window.offset / PAGE_SIZE], name: window.name() });
    else if (vma.file !== null && !(vma.file instanceof SpecialFile))
      entries.push({ words: [vma.start, vma.end, vma.pgoff], name: vma.file.name() });
  }
  const words = [entries.length, PAGE_SIZE, ...entries.flatMap((entry) => entry.words)];
  const names = entries.map((entry) => `${entry.name}\0`).join("");
  const bytes = new Uint8Array(8 * words.length + names.length);
  const v = new DataView(bytes.buffer);
  words.forEach((word, i) => v.setBigUint64(8 * i, BigInt(word), true));
  for (let i = 0; i < names.length; i++) bytes[8 * words.length + i] = names.charCodeAt(i);
  return bytes;
}

const floats = (task: Task): Uint8Array => REGSETS.find((set) => set.type === NT_PRFPREG)!.read(task.regs);

/** All notes, in Linux's order: the thread that took the signal, the process, then the other threads. */
export function coreNotes(task: Task, mm: Mm, info: SigInfo): Uint8Array[] {
  const { process } = task;
  const { signo } = info;
  const notes = [
    note(NT_PRSTATUS, prstatus(task, signo)),
    note(NT_PRPSINFO, prpsinfo(task, mm)),
    note(NT_SIGINFO, encodeSigInfo(info)),
    note(NT_AUXV, process.auxv),
    note(NT_FILE, files(mm)),
    note(NT_PRFPREG, floats(task)),
  ];
  for (const thread of process.threads.values()) {
    if (thread === task) continue;
    notes.push(note(NT_PRSTATUS, prstatus(thread, signo)), note(NT_PRFPREG, floats(thread)));
  }
  return notes;
}
