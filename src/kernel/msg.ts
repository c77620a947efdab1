// System V message queues (ipc/msg.c). One MessageTable per kernel; the calls are in syscall/msg.ts.
import { E2BIG, EACCES, EAGAIN, EIDRM, ENOMEM, ENOMSG, ENOSPC, ERESTARTNOHAND } from "../base/errno.ts";
import { IPC_NOWAIT, IpcObject, IpcTable, S_IRUGO, S_IWUGO, sysvipcLine } from "./ipc.ts";
import type { Task } from "./task.ts";
import { type Wait, WaitQueue, wait } from "./wait.ts";

export const MSGMNI = 32000;
export const MSGMAX = 8192;
export const MSGMNB = 16384;
/** Bytes in all queues: what kernel memory is good for. */
const MEMORY_LIMIT = 64 << 20;
const MSG_NOERROR = 0o10000;
const MSG_EXCEPT = 0o20000;

export interface Message {
  /** mtype, > 0. */
  readonly type: number;
  readonly text: Uint8Array;
}

export class MessageQueue extends IpcObject {
  readonly messages: Message[] = [];
  /** Bytes in the queue, and how many there may be. */
  bytes = 0;
  maxBytes = MSGMNB;
  sendTime = 0;
  receiveTime = 0;
  lastSender = 0;
  lastReceiver = 0;
  readonly senders = new WaitQueue();
  readonly receivers = new WaitQueue();

  /** The message that a receiver of `type` gets: the first (0), the first of a type or (MSG_EXCEPT) of another, or the lowest up to -type. */
  pick(type: number, flags: number): number {
    if (type === 0) return this.messages.length > 0 ? 0 : -1;
    if (type > 0) {
      const except = (flags & MSG_EXCEPT) !== 0;
      return this.messages.findIndex((message) => (message.type === type) !== except);
    }
    let best = -1;
    this.messages.forEach((message, i) => {
      if (message.type <= -type && (best < 0 || message.type < this.messages[best]!.type)) best = i;
    });
    return best;
  }
}

export class MessageTable {
  readonly queues = new IpcTable<MessageQueue>(MSGMNI);

  /** msgget(2). */
  get(task: Task, key: number, flags: number): number {
    const make = (): MessageQueue | number => (this.queues.full ? -ENOSPC : new MessageQueue(task, key, flags));
    return this.queues.get(task, key, flags, () => 0, make);
  }

  /** msgsnd(2). */
  send(task: Task, id: number, message: Message, flags: number): number | Generator<Wait, number> {
    const queue = this.queues.find(id);
    if (typeof queue === "number") return queue;
    if (this.totals().bytes > MEMORY_LIMIT) return -ENOMEM;
    const sent = trySend(task, queue, message);
    if (sent !== -EAGAIN || (flags & IPC_NOWAIT) !== 0) return sent;
    return (function* (): Generator<Wait, number> {
      for (;;) {
        if ((yield* wait(task, queue.senders)) === "signal") return queue.removed ? -EIDRM : -ERESTARTNOHAND;
        if (queue.removed) return -EIDRM;
        const result = trySend(task, queue, message);
        if (result !== -EAGAIN) return result;
      }
    })();
  }

  /** msgrcv(2): hands the message to `take` (which returns what the call does). */
  receive(
    task: Task,
    id: number,
    options: { size: number; type: number; flags: number },
    take: (message: Message) => number,
  ): number | Generator<Wait, number> {
    const queue = this.queues.find(id);
    if (typeof queue === "number") return queue;
    const received = tryReceive(task, queue, options, take);
    if (received !== -ENOMSG || (options.flags & IPC_NOWAIT) !== 0) return received;
    return (function* (): Generator<Wait, number> {
      for (;;) {
        if ((yield* wait(task, queue.receivers)) === "signal") return queue.removed ? -EIDRM : -ERESTARTNOHAND;
        if (queue.removed) return -EIDRM;
        const result = tryReceive(task, queue, options, take);
        if (result !== -ENOMSG) return result;
      }
    })();
  }

  remove(queue: MessageQueue): void {
    this.queues.remove(queue);
    queue.senders.wake();
    queue.receivers.wake();
  }

  /** Queues, messages and bytes in all of them. */
  totals(): { queues: number; messages: number; bytes: number } {
    let messages = 0;
    let bytes = 0;
    for (const queue of this.queues.values()) {
      messages += queue.messages.length;
      bytes += queue.bytes;
    }
    return { queues: this.queues.count, messages, bytes };
  }

  /** The text of /proc/sysvipc/msg. */
  text(): string {
    let text =
      "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";
    for (const q of this.queues.values()) {
      const ids = [q.lastSender, q.lastReceiver, q.uid, q.gid, q.cuid, q.cgid].map((id): [number, number] => [id, 5]);
      const times = [q.sendTime, q.receiveTime, q.changeTime].map((time): [number, number] => [time, 10]);
      const mode = (q.mode & 0o7777).toString(8).padStart(4);
      const rest = sysvipcLine([[q.bytes, 10], [q.messages.length, 10], ...ids, ...times]);
      text += `${String(q.key).padStart(10)} ${String(q.id).padStart(10)}  ${mode}  ${rest}`;
    }
    return text;
  }
}

/** 0, -EACCES, or -EAGAIN if the queue is full. */
function trySend(task: Task, queue: MessageQueue, message: Message): number {
  if (queue.permission(task, S_IWUGO) !== 0) return -EACCES;
  const { length } = message.text;
  if (queue.bytes + length > queue.maxBytes || queue.messages.length + 1 > queue.maxBytes) return -EAGAIN;
  queue.messages.push(message);
  queue.bytes += length;
  queue.lastSender = task.tgid;
  queue.sendTime = task.kernel.clock.realtime().sec;
  queue.receivers.wake();
  return 0;
}

/** What `take` returns, -EACCES, -E2BIG, or -ENOMSG. */
function tryReceive(
  task: Task,
  queue: MessageQueue,
  options: { size: number; type: number; flags: number },
  take: (message: Message) => number,
): number {
  if (queue.permission(task, S_IRUGO) !== 0) return -EACCES;
  const at = queue.pick(options.type, options.flags);
  if (at < 0) return -ENOMSG;
  const message = queue.messages[at]!;
  if (message.text.length > options.size && (options.flags & MSG_NOERROR) === 0) return -E2BIG;
  queue.messages.splice(at, 1);
  queue.bytes -= message.text.length;
  queue.lastReceiver = task.tgid;
  queue.receiveTime = task.kernel.clock.realtime().sec;
  queue.senders.wake();
  return take({ type: message.type, text: message.text.subarray(0, options.size) });
}
