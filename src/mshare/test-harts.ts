// For tests of what harts may still do while a region changes: processes that are address spaces with a page of code, which runs on real harts through TLBs and page tables.
// A process's access is one instruction there; its fault is resolved by a step of its own. Not for production code.
import { type Hardware, createHardware } from "../machine/hardware.ts";
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  TRAP_ECALL,
  TRAP_ILLEGAL,
  TRAP_PAGE_FAULT,
} from "../machine/trap.ts";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import { MemoryManager, type TlbControl } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import type { TlbFlush } from "../mm/shootdown.ts";
import { SwapArea } from "../mm/swap.ts";
import { copyToUser } from "../mm/usercopy.ts";

const PAGE = 4096;
const CODE = 0x10000;
const LOAD = 0x00053583; // ld a1, 0(a0)
const STORE = 0x00b53023; // sd a1, 0(a0)
const ECALL = 0x00000073;
const A0 = 10;
const A1 = 11;

export type AccessKind = "load" | "store" | "exec";
export const ACCESS_OF = { load: ACCESS_READ, store: ACCESS_WRITE, exec: ACCESS_EXECUTE } as const;

/** What one instruction on a hart did: it was carried out (with the value loaded, or the value that the code it ran stands for), or the hardware stopped. */
export type Attempt = { readonly done: true; readonly value: number } | { readonly done: false };

/** Values are small numbers; in memory each is an instruction that loads it into a0, and an ecall, so that a page can be executed as well. 0: an untouched page. */
export const encodeValue = (value: number): bigint =>
  value === 0 ? 0n : (BigInt(ECALL) << 32n) | BigInt((value << 20) | (A0 << 7) | 0x13);

function decodeValue(bits: bigint): number {
  const value = Number((bits >> 20n) & 0xfffn);
  if (encodeValue(value) !== bits) throw new Error(`memory holds ${bits.toString(16)}, which nobody has stored`);
  return value;
}

export interface HartsOptions {
  readonly tlbFlush: TlbFlush;
  readonly harts: number;
  /** In place of the MMU's own flushes: to break them. */
  readonly wrapTlb?: (real: TlbControl) => TlbControl;
  readonly memoryBytes?: number;
}

/** Hardware and memory management, to be used for many runs. */
export class HartMachine {
  readonly hardware: Hardware;
  readonly memory: MemoryManager;

  constructor(options: HartsOptions) {
    const { tlbFlush, harts, memoryBytes = 2 ** 20 } = options;
    this.hardware = createHardware({ memoryBytes, harts, engine: "interpreter" });
    const { ram, mmu } = this.hardware;
    const tlb = options.wrapTlb === undefined ? mmu : options.wrapTlb(mmu);
    this.memory = new MemoryManager({ ram, mmu: tlb }, { verify: true, overcommit: 1, tlbFlush });
    this.memory.swap = new SwapArea("test", 512);
  }

  /** An address space with the code in it. */
  newProcess(): Mm {
    const mm = this.memory.newMm();
    if (typeof mm === "number") throw new Error("no memory for an address space");
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    mm.mmap({ addr: CODE, length: PAGE, prot: PROT_READ | PROT_WRITE, flags, file: null, offset: 0 });
    copyToUser(mm, CODE, new Uint8Array(Uint32Array.of(LOAD, ECALL, STORE, ECALL).buffer));
    mm.mprotect(CODE, PAGE, PROT_READ | PROT_EXEC);
    return mm;
  }

  /** Lets a hart try one instruction of a process. Faults on the code page are resolved; nothing else is. */
  attempt(id: number, mm: Mm, va: number, kind: AccessKind, value: number): Attempt {
    const hart = this.hardware.harts[id];
    const { registers } = hart;
    hart.switchTo(mm.root);
    registers.pc = kind === "load" ? CODE : kind === "store" ? CODE + 8 : va;
    registers.setX(A0, BigInt(va));
    registers.setX(A1, kind === "store" ? encodeValue(value) : 0n);
    for (;;) {
      const trap = hart.run(2);
      if (trap.cause === TRAP_PAGE_FAULT && trap.va >= CODE && trap.va < CODE + PAGE) {
        if (mm.fault(trap.va, trap.access).kind !== "done") throw new Error("the code page is gone");
        continue;
      }
      if (trap.cause === TRAP_PAGE_FAULT && trap.va === va && trap.access === ACCESS_OF[kind]) return { done: false };
      if (trap.cause === TRAP_ILLEGAL && kind === "exec" && trap.pc === va) return { done: true, value: 0 };
      if (trap.cause !== TRAP_ECALL) throw new Error(`trap ${trap.cause} at ${trap.pc.toString(16)}`);
      if (kind === "exec") return { done: true, value: registers.unsigned(A0) };
      return { done: true, value: kind === "load" ? decodeValue(registers.x(A1)) : value };
    }
  }
}
