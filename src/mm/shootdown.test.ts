// Harts that have a translation lose it before the call that changes the page tables returns: with each strategy, on all harts, in all address
// spaces. The harts run real instructions; `check` also compares every TLB entry with the page tables.
import { describe, expect, it } from "vitest";
import type { Hart } from "../machine/hart.ts";
import { TRAP_ECALL, TRAP_PAGE_FAULT } from "../machine/trap.ts";
import * as mman from "./constants.ts";
import type { Mm } from "./mm.ts";
import type { TlbFlush } from "./shootdown.ts";
import { ARENA, P, TestSpace } from "./test-space.ts";
import { copyToUser } from "./usercopy.ts";

const STORE = 0x00b52023; // sw a1, 0(a0)
const LOAD = 0x00052583; // lw a1, 0(a0)
const ECALL = 0x00000073;
const CODE = 100;

/** An address space with two instructions at page CODE, and one more for each hart. */
class Harts {
  readonly space: TestSpace;
  readonly harts: readonly Hart[];

  constructor(tlbFlush: TlbFlush) {
    this.space = new TestSpace({ harts: 2, tlbFlush });
    this.harts = this.space.hardware.harts;
    const words = Uint32Array.of(STORE, ECALL, LOAD, ECALL);
    this.space.map(CODE, 1);
    copyToUser(this.space.mm, ARENA + CODE * P, new Uint8Array(words.buffer));
    this.space.mm.mprotect(ARENA + CODE * P, P, mman.PROT_READ | mman.PROT_EXEC);
  }

  /** Lets hart `id` access a page once: "ok", or "fault" if the hardware stops. */
  access(id: number, mm: Mm, page: number, kind: "load" | "store"): string {
    const hart = this.harts[id];
    hart.switchTo(mm.root);
    hart.registers.pc = ARENA + CODE * P + (kind === "store" ? 0 : 8);
    hart.registers.setX(10, BigInt(ARENA + page * P));
    for (;;) {
      const trap = hart.run(100);
      if (trap.cause === TRAP_ECALL) return "ok";
      if (trap.cause === TRAP_PAGE_FAULT && trap.va >= ARENA + CODE * P) {
        mm.fault(trap.va, trap.access);
        continue;
      }
      return "fault";
    }
  }

  /** Stores on a hart as a program does: faults are resolved. */
  store(id: number, mm: Mm, page: number): void {
    while (this.access(id, mm, page, "store") === "fault") mm.fault(ARENA + page * P, 2);
  }
}

describe.each(["mask", "list", "all"] as const)("shootdown, %s", (tlbFlush) => {
  it("munmap, mprotect and DONTNEED reach every hart", () => {
    const machine = new Harts(tlbFlush);
    const { space } = machine;
    const { mm } = space;
    for (const change of [
      () => mm.munmap(ARENA, P),
      () => mm.mprotect(ARENA, P, mman.PROT_READ),
      () => mm.madvise(ARENA, P, mman.MADV_DONTNEED),
      () => mm.mremap(ARENA, P, P, 3, ARENA + 50 * P),
    ]) {
      space.map(0, 1);
      for (const id of [0, 1]) machine.store(id, mm, 0);
      space.check();
      expect(change()).toBeGreaterThanOrEqual(0);
      space.check();
      for (const id of [0, 1]) expect(machine.access(id, mm, 0, "store")).toBe("fault");
    }
  });

  it("fork takes the right to write from the parent's harts", () => {
    const machine = new Harts(tlbFlush);
    const { space } = machine;
    space.map(0, 1);
    machine.store(0, space.mm, 0);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("fork failed");
    space.check();
    expect(machine.access(0, space.mm, 0, "store")).toBe("fault");
    expect(machine.access(0, space.mm, 0, "load")).toBe("ok");
    machine.store(1, child, 0);
    space.check();
    child.put();
    space.check();
  });

  it("truncating a file reaches all who map it", () => {
    const machine = new Harts(tlbFlush);
    const { space } = machine;
    space.mapShared(0, 2);
    machine.store(0, space.mm, 1);
    const child = space.mm.fork();
    if (typeof child === "number") throw new Error("fork failed");
    machine.store(1, child, 1);
    const { object } = space.mm.vmas.find(ARENA)!;
    object!.punch(P, 2 * P);
    space.check();
    expect(machine.access(0, space.mm, 1, "load")).toBe("fault");
    expect(machine.access(1, child, 1, "load")).toBe("fault");
    child.put();
    space.check();
  });

  it("the recount would see a translation that was forgotten", () => {
    const machine = new Harts(tlbFlush);
    const { space } = machine;
    space.map(0, 1);
    machine.store(0, space.mm, 0);
    const none = { harts: 0, entries: 0 };
    Object.assign(space.memory, {
      mmu: {
        ...space.memory.mmu,
        entries: () => space.hardware.mmu.entries(),
        flushLeaf: () => none,
        flushSpace: () => none,
        flushAll: () => none,
      },
    });
    space.mm.mprotect(ARENA, P, mman.PROT_READ);
    expect(() => space.check()).toThrow(/still allows writing/);
  });
});
