// Restartable sequences (kernel/rseq.c): a thread registers an area in which the kernel keeps the number of its CPU up to date, and a critical
// section there is aborted if the thread loses its hart or takes a signal inside it. signal-delivery.ts asks on the way back to user mode.
import { EBUSY, EFAULT, EINVAL, EPERM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { copyFromUser, copyToUser, getUser32, getUser64, putUser64 } from "../mm/usercopy.ts";
import type { Task } from "./task.ts";

/** sizeof(struct rseq) at first, AT_RSEQ_FEATURE_SIZE (up to mm_cid) and AT_RSEQ_ALIGN of Linux 6.12. */
const ORIG_RSEQ_SIZE = 32;
export const RSEQ_FEATURE_SIZE = 28;
export const RSEQ_ALIGN = 32;

const RSEQ_FLAG_UNREGISTER = 1;

// struct rseq
const CPU_ID_START = 0;
const CPU_ID = 4;
const RSEQ_CS = 8;
const FLAGS = 16;
const NODE_ID = 20;
const MM_CID = 24;
const CPU_ID_UNINITIALIZED = 0xffffffff;

/** Registered areas of a task. */
export interface Rseq {
  readonly address: number;
  readonly length: number;
  readonly signature: number;
  /** The hart number that the area shows; -1: none yet. */
  cpu: number;
}

/** rseq(2). */
export function rseq(task: Task, address: number, length: number, flags: number, signature: number): number {
  const known = task.rseq;
  if ((flags & RSEQ_FLAG_UNREGISTER) !== 0) {
    if ((flags & ~RSEQ_FLAG_UNREGISTER) !== 0) return -EINVAL;
    if (known === null || known.address !== address || known.length !== length) return -EINVAL;
    if (known.signature !== signature) return -EPERM;
    task.rseq = null;
    return writeIds(task, known, 0, CPU_ID_UNINITIALIZED) ? 0 : -EFAULT;
  }
  if (flags !== 0) return -EINVAL;
  if (known !== null) {
    if (known.address !== address || known.length !== length) return -EINVAL;
    return known.signature === signature ? -EBUSY : -EPERM;
  }
  const valid =
    length === ORIG_RSEQ_SIZE ? address % ORIG_RSEQ_SIZE === 0 : length > ORIG_RSEQ_SIZE && address % RSEQ_ALIGN === 0;
  if (!valid) return -EINVAL;
  if (address >= TASK_SIZE) return -EFAULT;
  task.rseq = { address, length, signature, cpu: -1 };
  task.work = true;
  return 0;
}

function writeIds(task: Task, area: Rseq, cpuStart: number, cpu: number): boolean {
  const ids = new Uint8Array(8);
  const v = new DataView(ids.buffer);
  v.setUint32(CPU_ID_START, cpuStart, true);
  v.setUint32(CPU_ID, cpu, true);
  if (copyToUser(task.mm, area.address, ids) !== 0) return false;
  const rest = new Uint8Array(8);
  // node_id and mm_cid: one node; concurrency ids are CPU numbers here.
  new DataView(rest.buffer).setUint32(MM_CID - NODE_ID, cpu === CPU_ID_UNINITIALIZED ? 0 : cpu, true);
  return copyToUser(task.mm, area.address + NODE_ID, rest) === 0;
}

/**
 * The task was switched out, or a signal handler is about to run (__rseq_handle_notify_resume): aborts its critical section and brings the
 * CPU number up to date. False: the area cannot be used; SIGSEGV is due.
 */
export function rseqResume(task: Task): boolean {
  const area = task.rseq;
  if (area === null) return true;
  if (!abortCriticalSection(task, area)) return false;
  const cpu = task.lastHart;
  if (area.cpu === cpu) return true;
  area.cpu = cpu;
  return writeIds(task, area, cpu, cpu);
}

/** rseq_ip_fixup. */
function abortCriticalSection(task: Task, area: Rseq): boolean {
  const { mm, regs } = task;
  const pointer = getUser64(mm, area.address + RSEQ_CS);
  if (typeof pointer === "number") return false;
  if (pointer === 0n) return true;
  if (pointer >= BigInt(TASK_SIZE)) return false;
  const descriptor = copyFromUser(mm, Number(pointer), 32);
  if (typeof descriptor === "number") return false;
  const v = new DataView(descriptor.buffer, descriptor.byteOffset, 32);
  const u64 = (at: number): number => v.getUint32(at + 4, true) * 2 ** 32 + v.getUint32(at, true);
  const start = u64(8);
  const postCommitOffset = u64(16);
  const abort = u64(24);
  const version = v.getUint32(0, true);
  const outside = (pc: number): boolean => !(pc >= start && pc < start + postCommitOffset);
  if (version > 0 || start >= TASK_SIZE || start + postCommitOffset >= TASK_SIZE || abort >= TASK_SIZE) return false;
  if (!outside(abort)) return false;
  // The abort handler is preceded by the signature that was given at registration.
  if (getUser32(mm, abort - 4) !== area.signature) return false;
  const flags = getUser32(mm, area.address + FLAGS);
  if (flags < 0 || (flags & 7) !== 0 || (v.getUint32(4, true) & 7) !== 0) return false;
  if (putUser64(mm, area.address + RSEQ_CS, 0) !== 0) return false;
  if (!outside(regs.pc)) regs.pc = abort;
  return true;
}
