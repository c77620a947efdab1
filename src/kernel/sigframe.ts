// The signal frame of riscv64: what the kernel pushes before a handler runs and reads back in rt_sigreturn (arch/riscv/kernel/signal.c).
// Used by signal-delivery.ts only. Layout: siginfo (128), then ucontext: flags, link, stack, mask, and at 176 the mcontext: pc, x1..x31, f0..f31, fcsr.
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import { type SigInfo, SIGINFO_SIZE, encodeSigInfo } from "./siginfo.ts";
import { SA_ONSTACK } from "./signal-handlers.ts";
import type { AltStack, Task } from "./task.ts";

const UCONTEXT = SIGINFO_SIZE;
const UC_STACK = UCONTEXT + 16;
const UC_SIGMASK = UCONTEXT + 40;
const MCONTEXT = UCONTEXT + 176;
const FPREGS = MCONTEXT + 256;
const FCSR = FPREGS + 256;
/** __riscv_fp_state is a union with the quad state, 528 bytes; its last words hold the (empty) list of extension records. */
const EXT_RESERVED = FPREGS + 516;
/** sizeof(struct rt_sigframe), a multiple of 16: AT_MINSIGSTKSZ. */
export const SIGFRAME_SIZE = FPREGS + 528;

export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
export const SS_AUTODISARM = 0x80000000;

const REG_RA = 1;
const REG_SP = 2;
const REG_A0 = 10;

/** Is `sp` on the alternate stack (on_sig_stack)? Never with SS_AUTODISARM. */
export function onAltStack(alt: AltStack, sp: number): boolean {
  if ((alt.flags & SS_AUTODISARM) !== 0) return false;
  return sp > alt.sp && sp - alt.sp <= alt.size;
}
/** What sigaltstack(2) reports in ss_flags. */
export function altStackFlags(alt: AltStack, sp: number): number {
  if (alt.size === 0) return SS_DISABLE;
  return (onAltStack(alt, sp) ? SS_ONSTACK : 0) | (alt.flags & SS_AUTODISARM);
}

/** Pushes the frame and points the registers at the handler. 0, or -EFAULT if the stack cannot take it. */
export function pushFrame(
  task: Task,
  info: SigInfo,
  action: { handler: number; flags: number },
  oldMask: bigint,
): number {
  const { regs, altStack } = task;
  let sp = regs.unsigned(REG_SP);
  // A handler that overflows the alternate stack it runs on would overwrite it: fault instead.
  if (onAltStack(altStack, sp) && !onAltStack(altStack, sp - SIGFRAME_SIZE)) return -14;
  if ((action.flags & SA_ONSTACK) !== 0 && altStack.size !== 0 && !onAltStack(altStack, sp)) {
    sp = altStack.sp + altStack.size;
  }
  sp -= SIGFRAME_SIZE;
  sp -= sp % 16;
  if (!(sp > 0)) return -14;

  const frame = new Uint8Array(SIGFRAME_SIZE);
  const v = new DataView(frame.buffer);
  frame.set(encodeSigInfo(info));
  v.setBigUint64(UC_STACK, BigInt(altStack.sp), true);
  v.setUint32(UC_STACK + 8, altStackFlags(altStack, regs.unsigned(REG_SP)), true);
  v.setBigUint64(UC_STACK + 16, BigInt(altStack.size), true);
  v.setBigUint64(UC_SIGMASK, oldMask, true);
  v.setBigUint64(MCONTEXT, BigInt(regs.pc), true);
  for (let i = 1; i < 32; i++) {
    v.setUint32(MCONTEXT + 8 * i, regs.lo(i) >>> 0, true);
    v.setUint32(MCONTEXT + 8 * i + 4, regs.hi(i) >>> 0, true);
  }
  for (let i = 0; i < 32; i++) v.setBigUint64(FPREGS + 8 * i, BigInt.asUintN(64, regs.f(i)), true);
  v.setUint32(FCSR, regs.fcsr, true);
  if (copyToUser(task.mm, sp, frame) !== 0) return -14;

  if ((altStack.flags & SS_AUTODISARM) !== 0) task.altStack = { sp: 0, size: 0, flags: SS_DISABLE };
  regs.setNumber(REG_RA, task.kernel.vdso.sigreturnAddress(task.mm));
  regs.pc = action.handler;
  regs.setNumber(REG_SP, sp);
  regs.setNumber(REG_A0, info.signo);
  regs.setNumber(REG_A0 + 1, sp);
  regs.setNumber(REG_A0 + 2, sp + UCONTEXT);
  return 0;
}

/** rt_sigreturn: registers as the frame at sp says. The signal mask to set, or -EFAULT if there is no valid frame. */
export function popFrame(task: Task): bigint | number {
  const { regs } = task;
  const frame = copyFromUser(task.mm, regs.unsigned(REG_SP), SIGFRAME_SIZE);
  if (typeof frame === "number") return frame;
  const v = new DataView(frame.buffer, frame.byteOffset);
  if (v.getUint32(EXT_RESERVED, true) !== 0 || v.getUint32(EXT_RESERVED + 4, true) !== 0) return -14;
  const u64 = (at: number): number => v.getUint32(at + 4, true) * 2 ** 32 + v.getUint32(at, true);
  // Bit 0 of a jump target is dropped, as the hardware's sret does.
  const pc = u64(MCONTEXT);
  regs.pc = pc - (pc % 2);
  for (let i = 1; i < 32; i++) regs.setX(i, v.getBigUint64(MCONTEXT + 8 * i, true));
  for (let i = 0; i < 32; i++) regs.setF(i, v.getBigUint64(FPREGS + 8 * i, true));
  regs.fcsr = v.getUint32(FCSR, true) & 0xff;
  // restore_altstack: errors are ignored, as in Linux.
  const flags = v.getUint32(UC_STACK + 8, true);
  const size = u64(UC_STACK + 16);
  if (!onAltStack(task.altStack, regs.unsigned(REG_SP))) {
    task.altStack =
      (flags & SS_DISABLE) !== 0
        ? { sp: 0, size: 0, flags: 0 }
        : { sp: u64(UC_STACK), size, flags: (flags & SS_AUTODISARM) >>> 0 };
  }
  return v.getBigUint64(UC_SIGMASK, true);
}
