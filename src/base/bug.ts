// KernelBug: what is thrown when the kernel itself is wrong (never for what a guest does). Everyone may import this.

/** A broken invariant of the machine, mm, mshare or kernel. `dump` is filled in on the way out: registers, VMAs, table walk. */
export class KernelBug extends Error {
  override readonly name = "KernelBug";
  /** Lines that describe the state in which it happened; the kernel's outermost loop adds them. */
  dump: string[] = [];
}

/** Throws KernelBug unless `condition` holds. Only for cheap conditions: the message is built by the caller's closure. */
export function bugUnless(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new KernelBug(message());
}
