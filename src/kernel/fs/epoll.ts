// epoll(7): interest lists with level- and edge-triggered items (fs/eventpoll.c). An item listens on its file's wait queues and puts itself on the
// ready list when woken; epoll_wait asks poll() of the ready ones only, so waiting costs nothing for idle files.

import { EEXIST, EINVAL, ELOOP, ENOENT, EPERM } from "../../base/errno.ts";
import { type QueueEntry, WaitQueue } from "../wait.ts";
import { O_RDWR, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM } from "./abi.ts";
import { AnonFile, type AnonInodes } from "./anon.ts";
import type { OpenFile } from "./file.ts";

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLEXCLUSIVE = 2 ** 28;
export const EPOLLWAKEUP = 2 ** 29;
const EPOLLONESHOT = 2 ** 30;
const EPOLLET = 2 ** 31;
const PRIVATE_BITS = (EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE) >>> 0;
/** What may go with EPOLLEXCLUSIVE. */
const EXCLUSIVE_OK = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/** Levels of epoll files watching epoll files (EP_MAX_NESTS). */
const MAX_NESTS = 4;

/** One event for user space: bits, and the 64 bits of data that came with the item. */
export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

/** Interest in one descriptor. */
class Item implements QueueEntry {
  readonly epoll: EpollFile;
  readonly fd: number;
  readonly file: OpenFile;
  events: number;
  data: bigint;
  #queues: WaitQueue[] = [];

  constructor(epoll: EpollFile, fd: number, file: OpenFile, event: EpollEvent) {
    this.epoll = epoll;
    this.fd = fd;
    this.file = file;
    this.events = event.events;
    this.data = event.data;
  }
  onWake(): boolean {
    // Disabled by EPOLLONESHOT: stays so until modified.
    if ((this.events & ~PRIVATE_BITS) >>> 0 !== 0) this.epoll.becameReady(this);
    return false;
  }
  listen(): void {
    this.#queues = this.file.pollQueues(this.events);
    for (const queue of this.#queues) queue.add(this);
  }
  stop(): void {
    for (const queue of this.#queues) queue.remove(this);
    this.#queues = [];
  }
  /** What of the events asked for (and errors, hang-ups) is there now. */
  poll(): number {
    const wanted = (this.events & ~PRIVATE_BITS) >>> 0;
    return wanted === 0 ? 0 : this.file.poll() & (wanted | POLLERR | POLLHUP);
  }
}

export class EpollFile extends AnonFile {
  readonly #items = new Map<string, Item>();
  /** In the order in which they became ready. */
  readonly #ready = new Set<Item>();
  /** Woken when an item becomes ready. */
  readonly waiters = new WaitQueue();
  readonly #keys = new WeakMap<OpenFile, number>();
  #nextKey = 0;

  constructor(inodes: AnonInodes, flags: number) {
    super(inodes, "[eventpoll]", O_RDWR | flags);
  }
  protected override release(): void {
    for (const item of this.#items.values()) this.#drop(item);
    this.#items.clear();
    this.#ready.clear();
  }

  /** epoll_ctl(2): 0 or -errno. */
  control(op: number, fd: number, file: OpenFile, event: EpollEvent): number {
    if (!file.pollable) return -EPERM;
    if (file === this) return -EINVAL;
    if (op !== EPOLL_CTL_DEL && event.events & EPOLLEXCLUSIVE) {
      if (op === EPOLL_CTL_MOD || file instanceof EpollFile || event.events & ~EXCLUSIVE_OK) return -EINVAL;
    }
    const key = this.#key(fd, file);
    const item = this.#items.get(key);
    if (op === EPOLL_CTL_ADD) return item ? -EEXIST : this.#add(key, fd, file, event);
    if (op === EPOLL_CTL_DEL) return item ? this.#remove(key, item) : -ENOENT;
    if (op === EPOLL_CTL_MOD) return item ? this.#modify(item, event) : -ENOENT;
    return -EINVAL;
  }
  /** An item is a descriptor number together with the open file behind it. */
  #key(fd: number, file: OpenFile): string {
    let id = this.#keys.get(file);
    if (id === undefined) this.#keys.set(file, (id = this.#nextKey++));
    return `${fd}:${id}`;
  }
  #add(key: string, fd: number, file: OpenFile, event: EpollEvent): number {
    if (file instanceof EpollFile && (file.#reaches(this) || file.#depth() >= MAX_NESTS)) return -ELOOP;
    const item = new Item(this, fd, file, event);
    this.#items.set(key, item);
    file.watchers.add(this);
    item.listen();
    if (item.poll() !== 0) this.becameReady(item);
    return 0;
  }
  #remove(key: string, item: Item): number {
    this.#items.delete(key);
    this.#drop(item);
    return 0;
  }
  #modify(item: Item, event: EpollEvent): number {
    if (item.events & EPOLLEXCLUSIVE) return -EINVAL;
    item.stop();
    item.events = event.events;
    item.data = event.data;
    item.listen();
    if (item.poll() !== 0) this.becameReady(item);
    return 0;
  }
  #drop(item: Item): void {
    item.stop();
    this.#ready.delete(item);
    if (![...this.#items.values()].some((other) => other.file === item.file)) item.file.watchers.delete(this);
  }
  /** The last descriptor of a watched file was closed: its items go. */
  fileReleased(file: OpenFile): void {
    for (const [key, item] of this.#items) if (item.file === file) this.#remove(key, item);
  }

  /** Called by items. */
  becameReady(item: Item): void {
    this.#ready.add(item);
    this.waiters.wake();
  }

  /** Up to `max` events that are there now. Level-triggered items stay on the ready list behind the others. */
  collect(max: number): EpollEvent[] {
    const out: EpollEvent[] = [];
    const again: Item[] = [];
    for (const item of [...this.#ready]) {
      if (out.length >= max) break;
      this.#ready.delete(item);
      const events = item.poll();
      if (events === 0) continue;
      out.push({ events, data: item.data });
      if (item.events & EPOLLONESHOT) item.events = (item.events & PRIVATE_BITS) >>> 0;
      else if (!(item.events & EPOLLET)) again.push(item);
    }
    for (const item of again) this.#ready.add(item);
    return out;
  }

  /** noop_llseek */
  override seek(): number {
    return 0;
  }
  override poll(): number {
    for (const item of this.#ready) {
      if (item.poll() !== 0) return POLLIN | POLLRDNORM;
      this.#ready.delete(item);
    }
    return 0;
  }
  override pollQueues(): WaitQueue[] {
    return [this.waiters];
  }
  override fdinfo(): string {
    let text = "";
    for (const item of this.#items.values()) {
      const stat = item.file.stat();
      const [ino, dev] = typeof stat === "number" ? [0, 0] : [stat.ino, stat.dev];
      text +=
        `tfd: ${String(item.fd).padStart(8)} events: ${item.events.toString(16).padStart(8)} ` +
        `data: ${item.data.toString(16).padStart(16)}  pos:${item.file.pos} ino:${ino.toString(16)} sdev:${dev.toString(16)}\n`;
    }
    return text;
  }

  #reaches(other: EpollFile): boolean {
    if (this === other) return true;
    for (const { file } of this.#items.values()) if (file instanceof EpollFile && file.#reaches(other)) return true;
    return false;
  }
  #depth(): number {
    let depth = 0;
    for (const { file } of this.#items.values()) {
      if (file instanceof EpollFile) depth = Math.max(depth, file.#depth() + 1);
    }
    return depth;
  }
}
