// System V message queues: msgget, msgctl, msgsnd, msgrcv (queues are in kernel/msg.ts).
import { EFAULT, EINVAL, ENOSYS, EPERM } from "../../base/errno.ts";
import { copyFromUser, copyToUser, getUser64, putUser64 } from "../../mm/usercopy.ts";
import { CAP_SYS_RESOURCE } from "../creds.ts";
import { IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, S_IRUGO } from "../ipc.ts";
import { MSGMAX, MSGMNB, MSGMNI, type MessageQueue } from "../msg.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry, SyscallResult } from "./table.ts";

const MSG_STAT = 11;
const MSG_INFO = 12;
const MSG_STAT_ANY = 13;
const MSG_COPY = 0o40000;
const MSQID_DS_SIZE = 120;

function msgsnd(task: Task, args: Args): SyscallResult {
  const [id, at, size] = [args.i32(0), args.ptr(1), args.s(2)];
  const type = getUser64(task.mm, at);
  if (typeof type === "number") return type;
  const mtype = Number(BigInt.asIntN(64, type));
  if (size > MSGMAX || size < 0 || id < 0 || mtype < 1) return -EINVAL;
  const text = copyFromUser(task.mm, at + 8, size);
  if (typeof text === "number") return text;
  return task.kernel.messages.send(task, id, { type: mtype, text }, args.i32(3));
}

function msgrcv(task: Task, args: Args): SyscallResult {
  const [id, at, size, flags] = [args.i32(0), args.ptr(1), args.s(2), args.i32(4)];
  if (id < 0 || size < 0) return -EINVAL;
  // As a kernel without CONFIG_CHECKPOINT_RESTORE.
  if ((flags & MSG_COPY) !== 0) return -ENOSYS;
  return task.kernel.messages.receive(task, id, { size, type: args.s(3), flags }, ({ type, text }) => {
    if (putUser64(task.mm, at, type) !== 0 || copyToUser(task.mm, at + 8, text) !== 0) return -EFAULT;
    return text.length;
  });
}

function msgctl(task: Task, args: Args): number {
  const [id, command, at] = [args.i32(0), args.i32(1), args.ptr(2)];
  if (id < 0 || command < 0) return -EINVAL;
  const { messages } = task.kernel;
  if (command === IPC_INFO || command === MSG_INFO) {
    return copyToUser(task.mm, at, msginfo(task, command)) || messages.queues.highest;
  }
  const byIndex = command === MSG_STAT || command === MSG_STAT_ANY;
  const queue = byIndex ? messages.queues.at(id) : messages.queues.find(id);
  if (typeof queue === "number") return queue;
  switch (command) {
    case MSG_STAT_ANY:
      return copyToUser(task.mm, at, msqidDs(queue)) || queue.id;
    case MSG_STAT:
    case IPC_STAT: {
      const allowed = queue.permission(task, S_IRUGO);
      if (allowed !== 0) return allowed;
      return copyToUser(task.mm, at, msqidDs(queue)) || (byIndex ? queue.id : 0);
    }
    case IPC_RMID: {
      const allowed = queue.ownership(task);
      if (allowed === 0) messages.remove(queue);
      return allowed;
    }
    case IPC_SET:
      return setQueue(task, queue, at);
    default:
      return -EINVAL;
  }
}

function setQueue(task: Task, queue: MessageQueue, at: number): number {
  const given = copyFromUser(task.mm, at, MSQID_DS_SIZE);
  if (typeof given === "number") return given;
  const allowed = queue.ownership(task);
  if (allowed !== 0) return allowed;
  const v = new DataView(given.buffer, given.byteOffset);
  const maxBytes = Number(v.getBigUint64(88, true));
  if (maxBytes > MSGMNB && !task.capable(CAP_SYS_RESOURCE)) return -EPERM;
  queue.setPerm(v, task.kernel.clock.realtime().sec);
  queue.maxBytes = maxBytes;
  queue.receivers.wake();
  queue.senders.wake();
  return 0;
}

/** struct msqid64_ds */
function msqidDs(queue: MessageQueue): Uint8Array {
  const out = new Uint8Array(MSQID_DS_SIZE);
  const v = new DataView(out.buffer);
  queue.encodePerm(v);
  const { sendTime, receiveTime, changeTime, bytes, messages, maxBytes } = queue;
  [sendTime, receiveTime, changeTime, bytes, messages.length, maxBytes].forEach((value, i) =>
    v.setBigInt64(48 + 8 * i, BigInt(value), true),
  );
  v.setInt32(96, queue.lastSender, true);
  v.setInt32(100, queue.lastReceiver, true);
  return out;
}
/** struct msginfo: limits, and with MSG_INFO what is used. */
function msginfo(task: Task, command: number): Uint8Array {
  const { queues, messages, bytes } = task.kernel.messages.totals();
  const used = command === MSG_INFO;
  const pool = used ? queues : Math.floor((MSGMNI * MSGMNB) / 1024);
  const map = used ? messages : MSGMNB;
  const tql = used ? bytes : MSGMNB;
  const out = new Uint8Array(32);
  new Int32Array(out.buffer).set([pool, map, MSGMAX, MSGMNB, MSGMNI, 16, tql, 0xffff]);
  return out;
}

export const messageCalls: readonly SyscallEntry[] = [
  {
    nr: 186,
    name: "msgget",
    handler: (task, args) => task.kernel.messages.get(task, args.i32(0), args.i32(1)),
    args: "ipckey ipcflags",
  },
  { nr: 187, name: "msgctl", handler: msgctl, args: "int ipccmd ptr" },
  { nr: 188, name: "msgrcv", handler: msgrcv, args: "int ptr size long ipcflags" },
  { nr: 189, name: "msgsnd", handler: msgsnd, args: "int ptr size ipcflags" },
];
