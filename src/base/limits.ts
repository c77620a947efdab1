// All limits of the system in one place, with their reasons. Everyone may import this.

/** First address past user space: the lower half of Sv48 (arch/riscv: TASK_SIZE). */
export const TASK_SIZE = 2 ** 47;
/** vm.mmap_min_addr: nothing is mapped below. */
export const MMAP_MIN_ADDR = 65536;
/** vm.max_map_count: VMAs of one mm. */
export const MAX_MAP_COUNT = 65530;
/** The largest guest RAM: one WebAssembly.Memory is 4 GiB, and TLBs, decoded code and tables need their part of it. */
export const MAX_GUEST_RAM = 3.5 * 2 ** 30;
/** The smallest guest RAM that boots to a shell. */
export const MIN_GUEST_RAM = 8 * 2 ** 20;
/** Harts of one machine. */
export const MAX_HARTS = 64;
/** Pages that one TLB miss may enter: a leaf table's. */
export const MAX_TLB_NEIGHBOURS = 512;
/** kernel.pid_max. */
export const PID_MAX = 32768;
/** PATH_MAX, with the final NUL. */
export const PATH_MAX = 4096;
/** NAME_MAX. */
export const NAME_MAX = 255;
/** Symbolic links followed in one path (MAXSYMLINKS). */
export const MAXSYMLINKS = 40;
/** One execve string, and all strings together (MAX_ARG_STRLEN, a quarter of the stack limit at most). */
export const MAX_ARG_STRLEN = 131072;
/** The most bytes of one read or write (MAX_RW_COUNT). */
export const MAX_RW_COUNT = 0x7ffff000;
/** Bytes a pipe holds. */
export const PIPE_SIZE = 65536;
/** Region sizes: any size up to 2^46 bytes (ABI.md), windows in granules of 2 MiB. */
export const MSHARE_MAX_SIZE = 2 ** 46;
export const MSHARE_GRANULE = 2 ** 21;
