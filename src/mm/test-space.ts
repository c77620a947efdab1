// For mm's tests: a memory manager on real hardware without a kernel, an address space, and accesses as a program makes them. `check` recounts.
import { type Hardware, createHardware } from "../machine/hardware.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "./constants.ts";
import { MemoryManager, type MemoryOptions } from "./memory-manager.ts";
import type { Mm } from "./mm.ts";
import { type MemoryObject, ShmemObject } from "./object.ts";
import { copyFromUser, putUser32 } from "./usercopy.ts";
import { VM_EXEC, VM_MAYSHARE, VM_READ, VM_WRITE, type VmFile } from "./vma.ts";

export const P = 4096;
/** Where tests map things. */
export const ARENA = 0x10_0000_0000;

export class TestSpace {
  readonly hardware: Hardware;
  readonly memory: MemoryManager;
  readonly mm: Mm;

  constructor(options: MemoryOptions & { memoryBytes?: number; harts?: number } = {}) {
    this.hardware = createHardware({ memoryBytes: options.memoryBytes ?? 8 * 2 ** 20, harts: options.harts ?? 1 });
    this.memory = new MemoryManager(this.hardware, { verify: true, ...options });
    this.mm = this.newMm();
  }

  newMm(): Mm {
    const mm = this.memory.newMm();
    if (typeof mm === "number") throw new Error("no memory for an mm");
    mm.mmapBase = 0x3f_ffff_f000;
    return mm;
  }

  /** Maps pages [first, first + count) of the arena; private anonymous memory unless told otherwise. Returns mmap's result. */
  map(
    first: number,
    count: number,
    options: { prot?: number; flags?: number; file?: VmFile; page?: number; mm?: Mm } = {},
  ): number {
    const { prot = PROT_READ | PROT_WRITE, file = null, page = 0, mm = this.mm } = options;
    const anonymous = file === null ? MAP_ANONYMOUS : 0;
    const flags = (options.flags ?? MAP_PRIVATE) | MAP_FIXED | anonymous;
    const result = mm.mmap({ addr: ARENA + first * P, length: count * P, prot, flags, file, offset: page * P });
    this.check();
    return result;
  }

  mapShared(first: number, count: number): number {
    return this.map(first, count, { flags: MAP_SHARED });
  }

  /** Recounts everything and passes `value` on. */
  check<T>(value?: T): T {
    this.memory.verify();
    return value as T;
  }

  /** Stores into a page of the arena: "ok" or the signal's code ("SEGV 1", "BUS 2"). */
  write(page: number, value = 1, mm = this.mm): string {
    const va = ARENA + page * P;
    const done = putUser32(mm, va, value) === 0;
    this.check();
    return done ? "ok" : this.fault(va, ACCESS_WRITE, mm);
  }

  /** Reads from a page of the arena: the value or the signal's code. */
  read(page: number, mm = this.mm): number | string {
    const va = ARENA + page * P;
    const bytes = copyFromUser(mm, va, 4);
    this.check();
    return typeof bytes === "number" ? this.fault(va, ACCESS_READ, mm) : new DataView(bytes.buffer).getUint32(0, true);
  }

  fault(va: number, access: number, mm = this.mm): string {
    const result = mm.fault(va, access);
    if (result.kind === "signal") return `${result.signo === 7 ? "BUS" : "SEGV"} ${result.code}`;
    return result.kind;
  }

  /** The VMAs of the arena as /proc/PID/maps shows them, in pages relative to it: "+0 +4 rw-p". */
  maps(mm = this.mm): string[] {
    const lines: string[] = [];
    for (const vma of mm.vmas) {
      const { flags } = vma;
      const rights = `${flags & VM_READ ? "r" : "-"}${flags & VM_WRITE ? "w" : "-"}${flags & VM_EXEC ? "x" : "-"}`;
      const place = (va: number): string => `+${(va - ARENA) / P}`;
      const offset = vma.file === null ? "" : ` ${vma.pgoff}`;
      lines.push(`${place(vma.start)} ${place(vma.end)} ${rights}${flags & VM_MAYSHARE ? "s" : "p"}${offset}`);
    }
    return lines;
  }
}

/** khugepaged goes through all address spaces that it knows, if there are any. `mm`: is registered if it is not. */
export function fullScan({ khugepaged }: MemoryManager, mm?: Mm): void {
  if (mm?.inKhugepaged === false) khugepaged.enter(mm);
  const { fullScans } = khugepaged;
  while (khugepaged.deadline !== Infinity && khugepaged.fullScans === fullScans) khugepaged.run(khugepaged.deadline);
}

/** An open file on an object of its own (a memfd, say). */
export class TestFile implements VmFile {
  readonly object: MemoryObject;
  readonly devMajor = 0;
  readonly devMinor = 1;
  readonly inode = 7;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly mergeKey = this;
  references = 0;
  sealed = false;

  constructor(
    memory: MemoryManager,
    options: { size?: number; readable?: boolean; writable?: boolean; object?: MemoryObject } = {},
  ) {
    this.object = options.object ?? new ShmemObject(memory, options.size ?? 0);
    this.readable = options.readable ?? true;
    this.writable = options.writable ?? true;
  }
  name(): string {
    return "/memfd:test (deleted)";
  }
  writeSealed(): boolean {
    return this.sealed;
  }
  get(): void {
    this.references++;
  }
  put(): void {
    this.references--;
  }
}
