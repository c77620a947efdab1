// A thread's registers as debuggers and core files see them (arch/riscv/kernel/ptrace.c): NT_PRSTATUS, pc and x1 to x31; NT_PRFPREG, f0 to f31 and fcsr.
// Used by syscall/ptrace.ts and core-notes.ts.
import type { RegisterFile } from "../machine/hart.ts";

export const NT_PRSTATUS = 1;
export const NT_PRFPREG = 2;

/** A set of registers: a note type, a number of words, and how they are read and written. */
export interface Regset {
  readonly type: number;
  /** Bytes. Sets are transferred from the start, in words of 8 bytes. */
  readonly size: number;
  read(regs: RegisterFile): Uint8Array;
  /** Stores the words that `bytes` has; the rest stays. */
  write(regs: RegisterFile, bytes: Uint8Array): void;
}

const general: Regset = {
  type: NT_PRSTATUS,
  size: 256,
  read(regs) {
    const bytes = new Uint8Array(256);
    const v = new DataView(bytes.buffer);
    v.setBigUint64(0, BigInt(regs.pc), true);
    for (let i = 1; i < 32; i++) v.setBigUint64(8 * i, regs.x(i), true);
    return bytes;
  },
  write(regs, bytes) {
    const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length >= 8) regs.pc = Number(v.getBigUint64(0, true));
    for (let i = 1; 8 * i < bytes.length; i++) regs.setX(i, v.getBigUint64(8 * i, true));
  },
};

const float: Regset = {
  type: NT_PRFPREG,
  size: 264,
  read(regs) {
    const bytes = new Uint8Array(264);
    const v = new DataView(bytes.buffer);
    for (let i = 0; i < 32; i++) v.setBigUint64(8 * i, regs.f(i), true);
    v.setUint32(256, regs.fcsr, true);
    return bytes;
  },
  write(regs, bytes) {
    const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < 32 && 8 * i < bytes.length; i++) regs.setF(i, v.getBigUint64(8 * i, true));
    if (bytes.length > 256) regs.fcsr = v.getUint32(256, true);
  },
};

/** In the order in which a core file has them. */
export const REGSETS: readonly Regset[] = [general, float];
