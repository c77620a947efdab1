// Robust futexes: when a thread ends while it holds locks, the kernel marks them (FUTEX_OWNER_DIED) and wakes one waiter each, so that others find
// out. exit.ts calls robustExit at exit and exec; the list is the thread's own, in user memory (struct robust_list_head).
import { compareExchangeUser32, getUser64, loadUser32 } from "../mm/usercopy.ts";
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from "./futex-pi.ts";
import type { Task } from "./task.ts";

/** sizeof(struct robust_list_head): list, futex_offset, list_op_pending. */
export const ROBUST_LIST_HEAD_SIZE = 24;
/** Entries looked at: a list may be circular (ROBUST_LIST_LIMIT). */
const ROBUST_LIST_LIMIT = 2048;

/** An entry pointer: bit 0 says that the lock is a PI lock. */
interface Entry {
  readonly addr: number;
  readonly pi: boolean;
}

/** exit_robust_list and exit_pi_state_list. Whatever the list holds, this ends. */
export function robustExit(task: Task): void {
  if (task.robustList !== 0) walk(task, task.robustList);
  task.robustList = 0;
  task.kernel.futexes.locks.ownerExits(task);
}

function walk(task: Task, head: number): void {
  const offset = getUser64(task.mm, head + 8);
  const pending = fetch(task, head + 16);
  let entry = fetch(task, head);
  if (entry === undefined || pending === undefined || typeof offset === "number") return;
  const toWord = Number(BigInt.asIntN(64, offset));
  for (let left = ROBUST_LIST_LIMIT; entry.addr !== head && left > 0; left--) {
    // The next one first: whoever is woken may free this one.
    const next = fetch(task, entry.addr);
    if (entry.addr !== pending.addr && !ownerDied(task, entry.addr + toWord, { pi: entry.pi, pending: false })) return;
    if (next === undefined) return;
    entry = next;
  }
  if (pending.addr !== 0) ownerDied(task, pending.addr + toWord, { pi: pending.pi, pending: true });
}

function fetch(task: Task, addr: number): Entry | undefined {
  const value = getUser64(task.mm, addr);
  return typeof value === "number" ? undefined : { addr: Number(value & ~1n), pi: (value & 1n) !== 0n };
}

/** handle_futex_death: false if the word is not accessible. */
function ownerDied(task: Task, addr: number, lock: { pi: boolean; pending: boolean }): boolean {
  const { mm, kernel } = task;
  if (addr % 4 !== 0) return false;
  for (;;) {
    const value = loadUser32(mm, addr);
    if (value < 0) return false;
    if (lock.pending && !lock.pi && value === 0) {
      // Died between the unlock and the wake.
      kernel.futexes.wake(mm, { addr, shared: true }, 1);
      return true;
    }
    if ((value & FUTEX_TID_MASK) !== task.tid) return true;
    const seen = compareExchangeUser32(mm, addr, value, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
    if (seen < 0) return false;
    if (seen !== value) continue;
    if (!lock.pi && (value & FUTEX_WAITERS) !== 0) kernel.futexes.wake(mm, { addr, shared: true }, 1);
    return true;
  }
}
