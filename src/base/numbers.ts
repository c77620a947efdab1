// Numbers with a meaning: branded so that a frame number cannot be passed where a virtual address is meant. Everyone may import this.

declare const brand: unique symbol;
type Brand<Name extends string> = number & { readonly [brand]: Name };

/** A user virtual address in bytes, 0 to 2^47 - 1 (exact in a double). */
export type Va = Brand<"Va">;
/** A frame number: byte offset in the machine's memory divided by 4096; below 2^20. 0 is never a frame: it stands for "none". */
export type Pfn = Brand<"Pfn">;

/** Calls a plain number a virtual address. */
export const asVa = (n: number): Va => n as Va;
/** Calls a plain number a frame number. */
export const asPfn = (n: number): Pfn => n as Pfn;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** Bytes mapped by one entry of a level-1 table, and of a level-2 table (2 MiB, 1 GiB), and of a root entry (512 GiB). */
export const PMD_SIZE = 2 ** 21;
export const PUD_SIZE = 2 ** 30;
export const PGD_SIZE = 2 ** 39;

/** Rounds down to a page boundary; exact for every number up to 2^53. */
export const pageDown = (n: number): number => n - (n % PAGE_SIZE);
/** Rounds up to a page boundary; exact for every number up to 2^53, and for multiples of 4096 above. */
export const pageUp = (n: number): number => {
  const rest = n % PAGE_SIZE;
  return rest === 0 ? n : n - rest + PAGE_SIZE;
};
/** As C rounds an unsigned 64-bit size up (PAGE_ALIGN): sizes above 2^64 - 4096 wrap to 0. */
export const pageAlign64 = (n: number): number => (n > 2 ** 64 - PAGE_SIZE ? 0 : pageUp(n));
/** Rounds down to a multiple of `unit` (> 0). */
export const alignDown = (n: number, unit: number): number => n - (n % unit);
/** Rounds up to a multiple of `unit` (> 0). */
export const alignUp = (n: number, unit: number): number => alignDown(n + unit - 1, unit);
