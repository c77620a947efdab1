// eventfd(2): a counter that can be waited for (fs/eventfd.c). Made by syscall/poll.ts.

import { EAGAIN, EINVAL, ERESTARTSYS } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { type Wait, WaitQueue, wait } from "../wait.ts";
import { O_RDWR, POLLERR, POLLIN, POLLOUT } from "./abi.ts";
import { AnonFile, type AnonInodes } from "./anon.ts";
import type { ReadResult } from "./file.ts";

/** The counter never holds more: 2^64 - 2. */
const MAX = 0xfffffffffffffffen;

export class EventFile extends AnonFile {
  #count: bigint;
  readonly #semaphore: boolean;
  readonly #readers = new WaitQueue();
  readonly #writers = new WaitQueue();

  constructor(inodes: AnonInodes, initial: number, options: { flags: number; semaphore: boolean }) {
    super(inodes, "[eventfd]", O_RDWR | options.flags);
    this.#count = BigInt(initial);
    this.#semaphore = options.semaphore;
  }

  override read(task: Task, length: number): ReadResult | Generator<Wait, ReadResult> {
    if (length < 8) return -EINVAL;
    if (this.#count > 0n) return this.#take();
    if (this.nonblocking) return -EAGAIN;
    return this.#readWaiting(task);
  }
  *#readWaiting(task: Task): Generator<Wait, ReadResult> {
    while (this.#count === 0n) if ((yield* wait(task, this.#readers)) === "signal") return -ERESTARTSYS;
    return this.#take();
  }
  #take(): Uint8Array {
    const value = this.#semaphore ? 1n : this.#count;
    this.#count -= value;
    this.#writers.wake();
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, value, true);
    return out;
  }

  override write(task: Task, data: Uint8Array): number | Generator<Wait, number> {
    if (data.length < 8) return -EINVAL;
    const value = new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0, true);
    if (value > MAX) return -EINVAL;
    if (MAX - this.#count >= value) return this.#add(value);
    if (this.nonblocking) return -EAGAIN;
    return this.#writeWaiting(task, value);
  }
  *#writeWaiting(task: Task, value: bigint): Generator<Wait, number> {
    while (MAX - this.#count < value) if ((yield* wait(task, this.#writers)) === "signal") return -ERESTARTSYS;
    return this.#add(value);
  }
  #add(value: bigint): number {
    this.#count += value;
    this.#readers.wake();
    return 8;
  }

  /** noop_llseek */
  override seek(): number {
    return 0;
  }
  override poll(): number {
    return (this.#count > 0n ? POLLIN : 0) | (this.#count < MAX ? POLLOUT : 0) | (this.#count > MAX ? POLLERR : 0);
  }
  override pollQueues(events = POLLIN | POLLOUT): WaitQueue[] {
    const queues = (events & POLLIN) !== 0 ? [this.#readers] : [];
    if ((events & POLLOUT) !== 0) queues.push(this.#writers);
    return queues;
  }
  override fdinfo(): string {
    return `eventfd-count: ${this.#count.toString(16).padStart(16)}\neventfd-semaphore: ${Number(this.#semaphore)}\n`;
  }
}
