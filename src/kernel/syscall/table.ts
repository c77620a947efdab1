// The system-call table's types: what a handler is, how it reads its arguments, how a call is described for dispatch, strace and the docs.
// Each family file beside this one exports a list of entries; all.ts joins them.
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { Task } from "../task.ts";
import type { Wait } from "../wait.ts";

/** The value or -errno at once, or a generator that waits (see wait.ts) and ends with it. Addresses and sizes are plain numbers up to 2^53. */
export type SyscallResult = number | Generator<Wait, number>;

export type Handler = (task: Task, args: Args) => SyscallResult;

export interface SyscallEntry {
  readonly nr: number;
  /** As in the kernel's own list: "openat", "newfstatat". */
  readonly name: string;
  readonly handler: Handler;
  /**
   * How strace shows each argument, one word per argument, separated by spaces; strace-args.ts has them all. Common ones:
   * fd dirfd (AT_FDCWD) path (string in user memory) ptr int uint long size off hex oct mode oflags prot mflags sig pid tid clock timespec,
   * buf (bytes in user memory, length in the next argument), iovec (count in the next argument). Filled by the call: rbuf (its result is the length),
   * ostring, stat, wstatus, otimespec, fdpair. Words unknown there show as hex. "" for no arguments.
   */
  readonly args: string;
}

const TWO32 = 4294967296;

/** A task's six argument registers a0 to a5, read in the way that the C prototype wants. Reads live registers: nothing is copied. */
export class Args {
  readonly #task: Task;
  constructor(task: Task) {
    this.#task = task;
  }
  /** Unsigned 64 bits as a double (rounded above 2^53: every such size, offset or address is invalid anyway). */
  u(i: number): number {
    return this.#task.regs.unsigned(10 + i);
  }
  /** Signed 64 bits as a double. */
  s(i: number): number {
    return this.#task.regs.signed(10 + i);
  }
  /** The low 32 bits, signed: C's int. */
  i32(i: number): number {
    return this.#task.regs.lo(10 + i) | 0;
  }
  /** The low 32 bits, unsigned: C's unsigned int. */
  u32(i: number): number {
    return this.#task.regs.lo(10 + i) >>> 0;
  }
  /** All 64 bits, unsigned. Slow. */
  big(i: number): bigint {
    return (BigInt(this.#task.regs.hi(10 + i) >>> 0) << 32n) | BigInt(this.#task.regs.lo(10 + i) >>> 0);
  }
  /**
   * A user address; anything outside of the user half is beyond every VMA and faults. A double has room for the number of its page only:
   * one that is not aligned stays so.
   */
  ptr(i: number): number {
    const { regs } = this.#task;
    const address = regs.unsigned(10 + i);
    const inPage = regs.lo(10 + i) & (PAGE_SIZE - 1);
    if (address < Number.MAX_SAFE_INTEGER || inPage === 0) return address;
    return (regs.hi(10 + i) >>> 0) * TWO32 + ((regs.lo(10 + i) - inPage) >>> 0) + PAGE_SIZE / 2;
  }
}

/** Signed 64-bit halves as a double. */
export const signed64 = (lo: number, hi: number): number => (hi | 0) * TWO32 + (lo >>> 0);
