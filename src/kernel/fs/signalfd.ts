// signalfd(2): pending signals read as records (fs/signalfd.c). Always those of the task that reads or polls, whoever made the descriptor.
// Made by syscall/poll.ts.
import { EAGAIN, EINVAL, ERESTARTSYS } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import { type SigInfo, type SigSet, UNBLOCKABLE } from "../siginfo.ts";
import { dequeue } from "../signal-delivery.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import { O_RDWR, POLLIN } from "./abi.ts";
import { AnonFile } from "./anon.ts";
import type { ReadResult } from "./file.ts";

/** sizeof(struct signalfd_siginfo). */
const RECORD = 128;

export class SignalFile extends AnonFile {
  /** The signals it reads. */
  mask: SigSet;
  readonly #kernel: Kernel;

  constructor(kernel: Kernel, mask: SigSet, flags: number) {
    super(kernel.anonInodes, "[signalfd]", O_RDWR | flags);
    this.#kernel = kernel;
    this.mask = mask & ~UNBLOCKABLE;
  }

  /** What signalfd4 on an existing descriptor does; those who wait look again. */
  setMask(mask: SigSet): void {
    this.mask = mask & ~UNBLOCKABLE;
    this.#kernel.scheduler.current?.process.signalArrived.wake();
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    const records = Math.floor(length / RECORD);
    if (records === 0) return -EINVAL;
    const first = dequeue(task, this.mask);
    if (first !== null) return this.#collect(task, first, records);
    return this.nonblocking ? -EAGAIN : this.#readWaiting(task, records);
  }
  *#readWaiting(task: Task, records: number): Generator<Wait, ReadResult> {
    for (;;) {
      const first = dequeue(task, this.mask);
      if (first !== null) return this.#collect(task, first, records);
      if ((yield* wait(task, task.process.signalArrived)) === "signal") return -ERESTARTSYS;
    }
  }
  /** `first` and what else is pending, as far as it fits. */
  #collect(task: Task, first: SigInfo, records: number): Uint8Array {
    const infos = [first];
    while (infos.length < records) {
      const info = dequeue(task, this.mask);
      if (info === null) break;
      infos.push(info);
    }
    const out = new Uint8Array(infos.length * RECORD);
    infos.forEach((info, i) => encode(info, new DataView(out.buffer, i * RECORD, RECORD)));
    return out;
  }

  /** noop_llseek */
  override seek(): number {
    return 0;
  }
  override poll(): number {
    const task = this.#kernel.scheduler.current;
    if (task === null) return 0;
    return ((task.pending.set | task.process.pending.set) & this.mask) !== 0n ? POLLIN : 0;
  }
  override pollQueues(): WaitQueue[] {
    const task = this.#kernel.scheduler.current;
    return task === null ? [] : [task.process.signalArrived];
  }
  override fdinfo(): string {
    return `sigmask:\t${this.mask.toString(16).padStart(16, "0")}\n`;
  }
}

/** struct signalfd_siginfo. Which fields are set depends on where the signal comes from, as in siginfo. */
function encode(info: SigInfo, v: DataView): void {
  v.setUint32(0, info.signo, true);
  v.setInt32(4, info.errno ?? 0, true);
  v.setInt32(8, info.code, true);
  const putValue = (): void => {
    const value = BigInt.asUintN(64, info.value ?? 0n);
    v.setInt32(44, Number(BigInt.asIntN(32, value)), true);
    v.setBigUint64(48, value, true);
  };
  if (info.addr !== undefined) {
    v.setBigUint64(72, BigInt(Math.trunc(info.addr)), true);
  } else if (info.timerId !== undefined) {
    v.setUint32(24, info.timerId, true);
    v.setUint32(32, info.overrun ?? 0, true);
    putValue();
  } else if (info.band !== undefined) {
    v.setUint32(28, info.band, true);
    v.setInt32(20, info.fd ?? -1, true);
  } else {
    v.setUint32(12, info.pid ?? 0, true);
    v.setUint32(16, info.uid ?? 0, true);
    if (info.status === undefined) {
      if (info.value !== undefined) putValue();
      return;
    }
    v.setInt32(40, info.status, true);
    v.setBigUint64(56, BigInt(Math.trunc(info.utime ?? 0)), true);
    v.setBigUint64(64, BigInt(Math.trunc(info.stime ?? 0)), true);
  }
}
