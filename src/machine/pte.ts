// Sv48 page-table entries (RISC-V privileged specification, chapter "Sv48"; A and D are set by hardware: Svadu).
// Constants and pure functions on entries as u32 numbers: frame numbers are below 2^20, so the low word holds all that is ever set.
import { type Pfn, asPfn } from "../base/numbers.ts";

export const PTE_V = 1 << 0;
export const PTE_R = 1 << 1;
export const PTE_W = 1 << 2;
export const PTE_X = 1 << 3;
export const PTE_U = 1 << 4;
export const PTE_G = 1 << 5;
export const PTE_A = 1 << 6;
export const PTE_D = 1 << 7;
/** The two bits that hardware leaves to software (RSW). */
export const PTE_SOFT0 = 1 << 8;
export const PTE_SOFT1 = 1 << 9;

/** Any of these makes a valid entry a leaf; none makes it a pointer to the next table. */
export const PTE_RWX = PTE_R | PTE_W | PTE_X;

/** Levels: 3 is the root (512 GiB an entry), 2 (1 GiB), 1 (2 MiB), 0 holds 4 KiB leaves. */
export const ROOT_LEVEL = 3;
export const ENTRIES = 512;
/** Bytes that one entry of a table at each level maps. */
export const LEVEL_SIZE: readonly number[] = [2 ** 12, 2 ** 21, 2 ** 30, 2 ** 39];

export const makePte = (pfn: Pfn, flags: number): number => ((pfn << 10) | flags) >>> 0;
export const ptePfn = (pte: number): Pfn => asPfn(pte >>> 10);
export const isPresent = (pte: number): boolean => (pte & PTE_V) !== 0;
export const isLeaf = (pte: number): boolean => (pte & PTE_V) !== 0 && (pte & PTE_RWX) !== 0;
export const isTable = (pte: number): boolean => (pte & (PTE_V | PTE_RWX)) === PTE_V;

/** The index into a table of the given level for an address (0 to 511). */
export const pteIndex = (va: number, level: number): number => Math.floor(va / LEVEL_SIZE[level]) % ENTRIES;
