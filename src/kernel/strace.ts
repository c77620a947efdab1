// strace: each system call, signal and exit as a line, in the format of strace(1) with -f. trap.ts reports calls, signal-delivery.ts signals, exit.ts
// the ends. A call that waits while others print is shown in two parts ("<unfinished ...>", "<... resumed>").
import * as errno from "../base/errno.ts";
import { COREDUMPED } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { ERROR_TEXTS } from "./strace-names.ts";
import { hex, isOutput, showArgument } from "./strace-args.ts";
import { CLD_CONTINUED, CLD_EXITED, SIGCHLD, type SigInfo, signalName } from "./siginfo.ts";
import type { SyscallEntry } from "./syscall/table.ts";
import type { Task } from "./task.ts";

/** The column of " = ". */
const RESULT_COLUMN = 39;
/** Calls whose result is an address. */
const ADDRESS_CALLS = new Set(["mmap", "mremap", "brk", "shmat", "mshare_attach"]);

const ERROR_NAMES = new Map<number, string>(
  Object.entries(errno).map(([name, value]): [number, string] => [value, name]),
);
const RESTARTS: Readonly<Record<number, string>> = {
  [errno.ERESTARTSYS]: "ERESTARTSYS (To be restarted if SA_RESTART is set)",
  [errno.ERESTARTNOINTR]: "ERESTARTNOINTR (To be restarted)",
  [errno.ERESTARTNOHAND]: "ERESTARTNOHAND (To be restarted if no handler)",
  [errno.ERESTART_RESTARTBLOCK]: "ERESTART_RESTARTBLOCK (Interrupted by signal)",
};

const SI_CODES: Readonly<Record<number, string>> = {
  0: "SI_USER",
  128: "SI_KERNEL",
  [-1]: "SI_QUEUE",
  [-2]: "SI_TIMER",
  [-3]: "SI_MESGQ",
  [-4]: "SI_ASYNCIO",
  [-6]: "SI_TKILL",
};
const FAULT_CODES: Readonly<Record<string, readonly string[]>> = {
  SIGSEGV: ["", "SEGV_MAPERR", "SEGV_ACCERR"],
  SIGBUS: ["", "BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"],
  SIGILL: ["", "ILL_ILLOPC"],
  SIGTRAP: ["", "TRAP_BRKPT"],
  SIGFPE: ["", "FPE_INTDIV"],
  SIGCHLD: ["", "CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"],
};

/** A call that has begun and not ended. */
interface Pending {
  readonly entry: SyscallEntry | undefined;
  readonly nr: number;
  /** What is known of it so far: name and arguments before the first one that the call writes. */
  readonly head: string;
  /** The arguments that are shown at the end, by their position. */
  readonly rest: number;
  /** The first part has been printed. */
  unfinished: boolean;
}

export class Strace {
  readonly #kernel: Kernel;
  readonly #print: (line: string) => void;
  readonly #byNumber = new Map<number, SyscallEntry>();
  /** In the order in which the calls began. */
  readonly #pending = new Map<Task, Pending>();

  constructor(kernel: Kernel, print: (line: string) => void) {
    this.#kernel = kernel;
    this.#print = print;
    for (const entry of kernel.syscalls.entries) this.#byNumber.set(entry.nr, entry);
  }

  /** `task` makes call `nr`; its registers still hold the arguments. */
  enter(task: Task, nr: number): void {
    const entry = this.#byNumber.get(nr);
    const words = wordsOf(entry);
    const split = words.findIndex(isOutput);
    const rest = split < 0 ? words.length : split;
    const shown = this.#arguments(task, entry, 0, rest);
    const head = `${entry?.name ?? `syscall_${hex(nr)}`}(${shown.join(", ")}`;
    this.#pending.set(task, { entry, nr, head, rest, unfinished: false });
  }

  /** The call has ended with `result`; the registers still hold the arguments. */
  leave(task: Task, result: number): void {
    const pending = this.#pending.get(task);
    if (pending === undefined) return;
    this.#pending.delete(task);
    const { entry, head, rest } = pending;
    const tail = task.mmOrNull === null ? [] : this.#arguments(task, entry, rest, wordsOf(entry).length, result);
    const joint = tail.length > 0 && !head.endsWith("(") ? ", " : "";
    const text = pending.unfinished ? `<... ${nameOf(pending)} resumed>` : head + joint;
    this.#result(task, `${text}${tail.join(", ")})`, resultText(pending, result));
  }

  /** A signal is about to act on `task`: to run a handler, to be ignored by default, to stop or end it. */
  signal(task: Task, info: SigInfo): void {
    this.#line(task, `--- ${signalName(info.signo)} ${signalText(info)} ---`);
  }

  /** `task` has ended with `status`, as wait gives it. */
  exited(task: Task, status: number): void {
    const pending = this.#pending.get(task);
    if (pending !== undefined) {
      this.#pending.delete(task);
      const text = pending.unfinished ? `<... ${nameOf(pending)} resumed>` : pending.head;
      this.#result(task, `${text})`, "?");
    }
    const signal = status & 0x7f;
    const end =
      signal === 0
        ? `exited with ${(status >> 8) & 0xff}`
        : `killed by ${signalName(signal)}${(status & COREDUMPED) !== 0 ? " (core dumped)" : ""}`;
    this.#line(task, `+++ ${end} +++`);
  }

  #arguments(task: Task, entry: SyscallEntry | undefined, from: number, to: number, result?: number): string[] {
    const words = wordsOf(entry);
    const shown: string[] = [];
    for (let i = from; i < to; i++) {
      const context = { task, args: task.args, i, call: entry?.name ?? "" };
      const text = showArgument(words[i]!, result === undefined ? context : { ...context, result });
      if (text !== undefined) shown.push(text);
    }
    return shown;
  }

  /** A line with a result, which begins at a column of its own. */
  #result(task: Task, text: string, result: string): void {
    this.#line(task, `${text.padEnd(RESULT_COLUMN - this.#prefix(task).length)} = ${result}`);
  }
  /** One line of `task`, after the first halves of calls that other tasks are waiting in. */
  #line(task: Task, text: string): void {
    for (const [other, pending] of this.#pending) {
      if (other === task || pending.unfinished) continue;
      pending.unfinished = true;
      const { head, entry, rest } = pending;
      const joint = head.endsWith("(") ? "" : rest < wordsOf(entry).length ? ", " : " ";
      this.#emit(other, `${head}${joint}<unfinished ...>`);
    }
    this.#emit(task, text);
  }
  #emit(task: Task, text: string): void {
    this.#print(this.#prefix(task) + text);
  }
  /** pid 1 of this system makes no calls; with one program alone its id says nothing. */
  #prefix(task: Task): string {
    return this.#kernel.tasks.size > 2 ? `[pid ${String(task.tid).padStart(5)}] ` : "";
  }
}

/** What stands behind the "=". */
function resultText(pending: Pending, result: number): string {
  const name = nameOf(pending);
  if (result < 0 && result > -4096) {
    const restart = RESTARTS[-result];
    if (restart !== undefined) return `? ${restart}`;
    return `-1 ${ERROR_NAMES.get(-result) ?? -result} (${ERROR_TEXTS[-result - 1] ?? "Unknown error"})`;
  }
  if (name === "exit" || name === "exit_group") return "?";
  return ADDRESS_CALLS.has(name) ? hex(result) : `${result}`;
}

const wordsOf = (entry: SyscallEntry | undefined): string[] =>
  entry === undefined ? ["hex", "hex", "hex", "hex", "hex", "hex"] : entry.args === "" ? [] : entry.args.split(" ");
const nameOf = ({ entry, nr }: Pending): string => entry?.name ?? `syscall_${hex(nr)}`;

/** What strace shows of a siginfo. */
function signalText(info: SigInfo): string {
  const name = signalName(info.signo);
  const code = FAULT_CODES[name]?.[info.code] ?? SI_CODES[info.code] ?? `${info.code}`;
  let text = `{si_signo=${name}, si_code=${code}`;
  if (info.addr !== undefined) text += `, si_addr=${info.addr === 0 ? "NULL" : hex(info.addr)}`;
  else if (info.timerId !== undefined) text += `, si_timerid=${hex(info.timerId)}, si_overrun=${info.overrun ?? 0}`;
  else if (info.pid !== undefined) text += `, si_pid=${info.pid}, si_uid=${info.uid ?? 0}`;
  if (info.signo === SIGCHLD && info.status !== undefined && info.code >= CLD_EXITED && info.code <= CLD_CONTINUED) {
    const status = info.code === CLD_EXITED ? `${info.status}` : signalName(info.status);
    text += `, si_status=${status}, si_utime=${info.utime ?? 0}, si_stime=${info.stime ?? 0}`;
  } else if (info.value !== undefined) {
    text += `, si_int=${Number(BigInt.asIntN(32, info.value))}, si_ptr=${info.value === 0n ? "NULL" : hex(info.value)}`;
  }
  return `${text}}`;
}
