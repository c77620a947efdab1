// Traps: runs a task on a hart until its turn is over and handles what stops it — system calls, page faults, illegal instructions. The one place
// where machine, mm and kernel meet at run time; the scheduler is its only caller. Hot: no allocation on the way of a plain call or minor fault.
import { ERESTARTSYS } from "../base/errno.ts";
import { KernelBug } from "../base/bug.ts";
import {
  type Hart,
  TRAP_BREAKPOINT,
  TRAP_BUDGET,
  TRAP_ECALL,
  TRAP_ILLEGAL,
  TRAP_MISALIGNED,
  TRAP_PAGE_FAULT,
  type Trap,
} from "../machine/hart.ts";
import { describeTask } from "./dump.ts";
import { groupExit } from "./exit.ts";
import { SYSCALL_CHARGE } from "./scheduler.ts";
import { BUS_ADRALN, ILL_ILLOPC, SIGBUS, SIGILL, SIGKILL, SIGTRAP, TRAP_BRKPT } from "./siginfo.ts";
import { returnToUser } from "./signal-delivery.ts";
import type { SyscallResult } from "./syscall/table.ts";
import type { Task } from "./task.ts";
import { tracedCall } from "./trace-stop.ts";

const REG_A0 = 10;
const REG_A7 = 17;

/**
 * Runs `task`, which is on `hart`, for at most `budget` instructions (kernel work counts as SYSCALL_CHARGE each). Returns what is left of the
 * budget; the task may have left the hart.
 */
export function runTask(task: Task, hart: Hart, budget: number): number {
  const { scheduler, verifier, memory } = task.kernel;
  let left = budget;
  memory.taskUsage = task.usage;
  memory.groups.current = task.process.cgroup.memcg;
  try {
    if (task.call !== null && !resumeCall(task)) return left;
    for (;;) {
      if (task.work && !returnToUser(task)) return left;
      if (left <= 0 || scheduler.resched) return left;
      const before = hart.instret;
      const trap = hart.run(left);
      left -= hart.instret - before;
      if (trap.cause === TRAP_BUDGET) return 0;
      left -= SYSCALL_CHARGE;
      scheduler.charged += SYSCALL_CHARGE;
      if (trap.cause === TRAP_ECALL) {
        const stays = systemCall(task);
        if (verifier !== null) verifier.tick();
        if (!stays) return left;
      } else if (trap.cause === TRAP_PAGE_FAULT) {
        pageFault(task, trap);
        if (verifier !== null) verifier.tick();
      } else {
        exception(task, trap);
      }
    }
  } catch (error) {
    if (error instanceof KernelBug && error.dump.length === 0) error.dump = describeTask(task);
    throw error;
  }
}

/** An ecall. False if the task waits, has exited, or otherwise left the hart. */
function systemCall(task: Task): boolean {
  const { regs } = task;
  const nr = regs.hi(REG_A7) === 0 ? regs.lo(REG_A7) : 0xffffffff;
  regs.pc += 4;
  task.callNr = nr;
  task.callA0Lo = regs.lo(REG_A0);
  task.callA0Hi = regs.hi(REG_A0);
  const { strace, syscalls } = task.kernel;
  if (strace !== null) strace.enter(task, nr);
  const handler = nr < syscalls.handlers.length ? syscalls.handlers[nr] : undefined;
  const result =
    task.trace !== null && task.trace.syscalls !== "run"
      ? tracedCall(task, (next) => dispatch(task, next))
      : handler === undefined
        ? syscalls.unknown(task, nr)
        : handler(task, task.args);
  if (typeof result === "number") {
    endCall(task, result);
    return task.hart !== null;
  }
  task.call = result;
  return resumeCall(task);
}

/** A call that is not on the fast way. */
function dispatch(task: Task, nr: number): SyscallResult {
  const { syscalls } = task.kernel;
  const handler = syscalls.handlers[nr];
  return handler === undefined ? syscalls.unknown(task, nr) : handler(task, task.args);
}

/** Runs a waiting call on: true if it has ended (and the task is still there), false if it waits (again). */
function resumeCall(task: Task): boolean {
  const { value, done } = task.call!.next();
  if (!done) {
    task.waiting = value;
    if (value.reason === undefined) {
      task.usage.voluntarySwitches++;
      task.kernel.scheduler.suspend(task, value.state);
      return false;
    }
    // Woken before it could sleep.
    return resumeCall(task);
  }
  task.waiting = null;
  task.call = null;
  endCall(task, value);
  return task.hart !== null;
}

/** Stores the result, unless the call has replaced the registers (callNr -1) or ended the task. */
function endCall(task: Task, result: number): void {
  const { strace } = task.kernel;
  if (strace !== null) strace.leave(task, result);
  if (task.exited) return;
  if (task.trace !== null && task.trace.syscalls === "trace") task.trace.callEnded = task.work = true;
  if (task.callNr < 0) return;
  task.regs.setNumber(REG_A0, result);
  if (result <= -ERESTARTSYS && result > -4095) {
    // Interrupted: decided on the way back, by what the signal does.
    task.work = true;
    return;
  }
  if (!task.work) task.callNr = -1;
}

/** The instruction is tried again unless the fault is a signal. */
function pageFault(task: Task, trap: Trap): void {
  const { usage } = task;
  const { va } = trap;
  const result = task.mm.fault(va, trap.access);
  if (result.kind === "done") {
    if (result.major) usage.majorFaults++;
    else if (result.minor) usage.minorFaults++;
    return;
  }
  if (result.kind === "oom") {
    // The OOM killer has chosen: if it was this task, the signal is pending; if not, the access is tried again (pagefault_out_of_memory). So it is if the
    // memory group that should pay is full and has nobody to be killed.
    if (task.kernel.memory.groups.stuck) task.kernel.memory.groups.stuck = false;
    else if (!task.fatalSignalPending()) groupExit(task.process, SIGKILL);
    task.work = true;
    return;
  }
  task.kernel.signals.force(task, { signo: result.signo, code: result.code, addr: result.va });
}

function exception(task: Task, trap: Trap): void {
  const { signals } = task.kernel;
  const { pc } = trap;
  switch (trap.cause) {
    case TRAP_ILLEGAL:
      return signals.force(task, { signo: SIGILL, code: ILL_ILLOPC, addr: pc });
    case TRAP_BREAKPOINT:
      return signals.force(task, { signo: SIGTRAP, code: TRAP_BRKPT, addr: pc });
    case TRAP_MISALIGNED:
      // Linux raises SIGBUS for misaligned LR, SC and AMO, with the address of the instruction (do_trap_error).
      return signals.force(task, { signo: SIGBUS, code: BUS_ADRALN, addr: pc });
    default:
      throw new KernelBug(`unknown trap ${trap.cause} at pc 0x${pc.toString(16)}`);
  }
}
