// Why a hart stopped running: causes and the record the kernel reads. Knows nothing of Linux: the kernel turns these into signals.

/** The budget is used up: nothing happened. */
export const TRAP_BUDGET = 0;
/** pc is at the ecall, which counts as retired. */
export const TRAP_ECALL = 1;
/** Nothing was done; pc is at the instruction that shall be tried again. */
export const TRAP_PAGE_FAULT = 2;
export const TRAP_ILLEGAL = 3;
export const TRAP_BREAKPOINT = 4;
/** LR, SC or AMO at an address that is not a multiple of its size. Plain misaligned loads and stores work. */
export const TRAP_MISALIGNED = 5;

export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_EXECUTE = 4;

/** One reused object a hart: read it before the next run(). */
export interface Trap {
  cause: number;
  pc: number;
  /** The faulting address of page faults and misaligned accesses, unsigned (a double; non-canonical addresses lose low bits). */
  va: number;
  /** Of page faults: ACCESS_*. An AMO or SC faults as a write. */
  access: number;
  /** Of illegal instructions: the bits. */
  instruction: number;
}
