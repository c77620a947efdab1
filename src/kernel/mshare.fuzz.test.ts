// The mshare calls as system calls with random arguments, registers and structures in user memory included: nothing throws, memory adds up, no frame is lost. Between them
// what keeps things moving: ftruncate, seals, descriptors, calls on windows, accesses, fork and exit. MSHARE_ABI_CALLS (default 10,000; a million takes half a minute)
// and MSHARE_ABI_SEED: docs/hacking.md. Then the rules for structures and their sizes, checked one by one against what ABI.md says.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { E2BIG, EFAULT, EINVAL } from "../base/errno.ts";
import { SimulatedHost } from "../host/simulated.ts";
import { createHardware } from "../machine/hardware.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import * as mman from "../mm/constants.ts";
import { copyFromUser, copyToUser } from "../mm/usercopy.ts";
import * as abi from "../mshare/abi.ts";
import { boot } from "./boot.ts";
import { clone } from "./clone.ts";
import { exitTask } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { SeededRandom } from "./random.ts";
import { SIGCHLD } from "./siginfo.ts";
import type { Task } from "./task.ts";

const MIB = 2 ** 20;
/** User memory for structures: two pages, and nothing behind them. */
const BUFFER = 0x100000;
const BUFFER_END = BUFFER + 8192;
// Numbers of riscv64 (asm-generic/unistd.h).
const NR = { dup: 23, fcntl: 25, ftruncate: 46, fallocate: 47, close: 57, memfd_create: 279, pidfd_open: 434 };
const ON_WINDOWS = {
  munmap: 215,
  mremap: 216,
  mprotect: 226,
  msync: 227,
  mlock: 228,
  munlock: 229,
  mincore: 232,
  madvise: 233,
  mlock2: 284,
  mseal: 462,
};
const F_ADD_SEALS = 1033;

class Machine {
  readonly kernel: Kernel;
  /** Its memory holds the buffer and is what the others begin with; it makes no calls itself. */
  readonly init: Task;
  readonly tasks: Task[] = [];
  readonly #free: number;

  constructor(share: boolean) {
    const ignore = (): void => {};
    const host = new SimulatedHost({ seed: 1, onStdout: ignore, onStderr: ignore, log: ignore });
    this.kernel = boot({
      hardware: createHardware({ memoryBytes: 8 * MIB, harts: 1, engine: "interpreter" }),
      ports: host.ports,
      memory: { verify: true },
      kernel: { share, seed: 1, swapPages: 256 },
    });
    // Nobody is killed: what cannot be had fails.
    this.kernel.memory.onOom = () => "kill-current";
    this.init = this.kernel.init.leader;
    const mm = this.kernel.memory.newMm();
    if (typeof mm === "number") throw new Error("no memory");
    mm.mmapBase = 2 ** 40;
    const flags = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_FIXED;
    mm.mmap({ addr: BUFFER, length: BUFFER_END - BUFFER, prot: 3, flags, file: null, offset: 0 });
    copyToUser(mm, BUFFER, new Uint8Array(BUFFER_END - BUFFER));
    this.init.setMm(mm);
    this.#free = this.kernel.memory.frames.free;
  }

  /** A process like `parent`; null if it cannot be had. */
  fork(parent: Task = this.init): Task | null {
    const request = { flags: 0, exitSignal: SIGCHLD, stack: 0, tls: 0, parentTid: 0, childTid: 0, pidfd: 0 };
    const tid = clone(parent, request);
    if (typeof tid !== "number") throw new Error("fork waits");
    const child = this.kernel.tasks.get(tid);
    if (child === undefined) return null;
    this.tasks.push(child);
    return child;
  }

  exit(task: Task): void {
    this.tasks.splice(this.tasks.indexOf(task), 1);
    exitTask(task, 0);
  }

  /** A system call; the result, or 0 for one that would wait. Arguments are 64-bit patterns. */
  call(task: Task, nr: number, ...args: readonly (number | bigint)[]): number {
    args.forEach((value, i) => {
      task.regs.setX(10 + i, BigInt.asUintN(64, BigInt(value)));
    });
    const result = this.kernel.syscalls.handlers[nr]!(task, task.args);
    return typeof result === "number" ? result : 0;
  }

  /** Ends everybody and recounts: frames that are missing. */
  end(): number {
    for (const task of [...this.tasks]) this.exit(task);
    const { memory, mshare } = this.kernel;
    // Its own pages come back from swap, to be counted.
    copyFromUser(this.init.mm, BUFFER, BUFFER_END - BUFFER);
    memory.verify();
    expect(mshare.regions.size).toBe(0);
    expect(memory.swap?.used ?? 0).toBe(0);
    return this.#free - memory.frames.free;
  }
}

const OFFSETS: readonly bigint[] = [
  0n,
  0n,
  4096n,
  8192n,
  2n * 2n ** 20n,
  2n ** 21n - 4096n,
  2n ** 22n,
  2n ** 30n,
  2n ** 39n,
  2n ** 46n,
];
const EVIL: readonly bigint[] = [
  1n,
  4095n,
  2n ** 31n,
  2n ** 32n,
  2n ** 47n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n - 4096n,
  2n ** 64n - 2048n,
];
const SIZES: readonly bigint[] = [0n, 4096n, 4096n, 20480n, 2n ** 21n, 2n ** 21n + 4096n, 2n ** 22n, 5n];
const ADVICE = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100, -1];

class Fuzzer {
  readonly machine: Machine;
  readonly #random: SeededRandom;

  constructor(share: boolean, seed: number) {
    this.machine = new Machine(share);
    this.#random = new SeededRandom(seed);
    for (let i = 0; i < 2; i++) this.machine.fork();
  }

  run(calls: number): void {
    const { memory } = this.machine.kernel;
    for (let i = 0; i < calls; i++) {
      this.#step();
      if (i % 500 === 499) memory.verify();
    }
    expect(this.machine.end()).toBe(0);
  }

  #below(n: number): number {
    return this.#random.below(n);
  }
  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)];
  }
  #any64(): bigint {
    return BigInt(this.#below(2 ** 32)) * 2n ** 32n + BigInt(this.#below(2 ** 32));
  }
  #offset(): bigint {
    const kind = this.#below(12);
    if (kind === 0) return this.#pick(EVIL);
    if (kind === 1) return this.#any64();
    return this.#pick(OFFSETS) + BigInt(this.#below(4)) * 4096n;
  }
  #size(): bigint {
    const kind = this.#below(12);
    if (kind === 0) return this.#pick(EVIL);
    return kind === 1 ? this.#any64() : this.#pick(SIZES);
  }
  /** Flags: usually from a list, at times with a random bit, at times anything. */
  #flags(list: readonly number[]): number {
    const kind = this.#below(12);
    if (kind === 0) return this.#below(2 ** 32);
    return this.#pick(list) ^ (kind === 1 ? 2 ** this.#below(31) : 0);
  }
  #fd(): number {
    return this.#below(15) === 0 ? this.#pick([-1, 1000, 2 ** 31 - 1, -100]) : this.#below(8);
  }
  /** An address: in a window, at the start of one, or somewhere. */
  #address(task: Task): bigint {
    const { vmas } = task.mm;
    const vma = vmas.at(this.#below(vmas.size));
    if (vma === null || this.#below(12) === 0) return this.#offset();
    const at = BigInt(vma.start);
    return this.#below(2) === 0 ? at : at + this.#offset();
  }

  #step(): void {
    const { machine } = this;
    if (machine.tasks.length === 0) machine.fork();
    const task = this.#pick(machine.tasks);
    const which = this.#below(40);
    if (which < 26) this.#mshare(task);
    else if (which < 32) this.#onWindows(task);
    else if (which < 36) this.#access(task);
    else this.#others(task);
  }

  #mshare(task: Task): void {
    const { machine } = this;
    const fd = this.#fd();
    const nr = abi.NR_MSHARE_CREATE + this.#below(13);
    const call = (...args: readonly (number | bigint)[]): void => void machine.call(task, nr, ...args);
    switch (nr) {
      case abi.NR_MSHARE_CREATE:
        if (machine.kernel.mshare.regions.size > 6 && this.#below(4) > 0) return;
        return call(this.#flags([0, 0, 0o2000000]));
      case abi.NR_MSHARE_ATTACH:
        return call(
          fd,
          this.#offset(),
          this.#size(),
          this.#pick([0n, 0n, this.#address(task)]),
          this.#flags([0, 0, 1, 2, 4, 8, 10, 12, 16]),
        );
      case abi.NR_MSHARE_DETACH:
        return call(this.#address(task));
      case abi.NR_MSHARE_MAP:
        return call(fd, ...this.#struct(task, this.#mapBytes()));
      case abi.NR_MSHARE_REMAP:
        return call(fd, ...this.#struct(task, this.#remapBytes()));
      case abi.NR_MSHARE_STAT:
        return call(fd, ...this.#struct(task, new Uint8Array(abi.MSHARE_STAT_SIZE)));
      case abi.NR_MSHARE_PROTECT:
        return call(fd, this.#offset(), this.#size(), this.#flags([0, 1, 3, 3, 7]));
      case abi.NR_MSHARE_ADVISE:
        return call(fd, this.#offset(), this.#size(), this.#pick(ADVICE));
      case abi.NR_MSHARE_LOCK:
        return call(fd, this.#offset(), this.#size(), this.#flags([0, 1]));
      case abi.NR_MSHARE_SYNC:
        return call(fd, this.#offset(), this.#size(), this.#flags([1, 2, 4, 6]));
      case abi.NR_MSHARE_TRANSFER:
        return call(fd, this.#fd());
      default:
        return call(fd, this.#offset(), this.#size());
    }
  }

  /** Puts a structure into user memory, usually whole; its address and size as passed. */
  #struct(task: Task, bytes: Uint8Array): [number | bigint, number | bigint] {
    const odd = this.#below(10);
    const size =
      odd === 0
        ? this.#below(bytes.length)
        : odd === 1
          ? this.#pick([4096, 4097, 2 ** 31])
          : bytes.length + 8 * this.#below(3);
    if (odd === 2) return [this.#address(task), size];
    const at = odd === 3 ? BUFFER_END - this.#below(64) : BUFFER + this.#below(100);
    copyToUser(task.mm, at, bytes);
    if (odd === 4) copyToUser(task.mm, at + bytes.length, Uint8Array.of(this.#below(256)));
    return [at, odd === 5 ? this.#any64() : size];
  }

  #mapBytes(): Uint8Array {
    const bytes = new Uint8Array(abi.MSHARE_MAP_SIZE);
    const data = new DataView(bytes.buffer);
    const anonymous = this.#below(4) > 0;
    [this.#offset(), this.#size(), anonymous && this.#below(8) > 0 ? 0n : this.#offset()].forEach((value, i) => {
      data.setBigUint64(8 * i, BigInt.asUintN(64, value), true);
    });
    data.setUint32(24, this.#flags([3, 3, 1, 0, 7]), true);
    const extra = this.#pick([0, 0x10, 0x10, 0x100000, 0x8010, 0x2010, 0x4010, 0x40010, 0x54040010]);
    data.setUint32(28, this.#flags([(anonymous ? 0x21 : 1) | extra]), true);
    data.setInt32(32, anonymous && this.#below(8) > 0 ? -1 : this.#fd(), true);
    if (this.#below(20) === 0) data.setUint32(36, this.#below(2 ** 32), true);
    return this.#spoiled(bytes);
  }

  #remapBytes(): Uint8Array {
    const bytes = new Uint8Array(abi.MSHARE_REMAP_SIZE);
    const data = new DataView(bytes.buffer);
    [this.#offset(), this.#size(), this.#offset(), this.#size()].forEach((value, i) => {
      data.setBigUint64(8 * i, BigInt.asUintN(64, value), true);
    });
    data.setUint32(32, this.#flags([0, 1, 3]), true);
    return this.#spoiled(bytes);
  }

  /** At times nothing but noise. */
  #spoiled(bytes: Uint8Array): Uint8Array {
    return this.#below(12) === 0 ? bytes.map(() => this.#below(256)) : bytes;
  }

  #onWindows(task: Task): void {
    const name = this.#pick(Object.keys(ON_WINDOWS) as (keyof typeof ON_WINDOWS)[]);
    const addr = this.#address(task);
    // The buffer stays.
    if (addr < BigInt(BUFFER_END) || (name === "mseal" && this.#below(50) > 0)) return;
    const third = {
      munmap: 0,
      mremap: 4096,
      mprotect: this.#pick([0, 1, 3, 7]),
      msync: 4,
      mlock: 0,
      munlock: 0,
      mincore: BUFFER,
      madvise: this.#pick(ADVICE),
      mlock2: 1,
      mseal: 0,
    };
    this.machine.call(task, ON_WINDOWS[name], addr, this.#pick([4096n, 2n ** 21n, this.#size()]), third[name], 1, 0);
  }

  #access(task: Task): void {
    for (let i = 0; i < 8; i++) {
      const va = Number(this.#address(task));
      if (va < BUFFER_END) continue;
      if (this.#below(3) === 0) copyFromUser(task.mm, va, 8);
      else task.mm.fault(va - (va % 4096), this.#pick([ACCESS_READ, ACCESS_WRITE]));
    }
  }

  #others(task: Task): void {
    const { machine } = this;
    const fd = this.#fd();
    const length = this.#pick([2n ** 21n, 2n ** 22n, 3n * 2n ** 21n, 4096n, this.#size()]);
    switch (this.#below(10)) {
      case 0:
        if (machine.tasks.length < 5) machine.fork(task);
        return;
      case 1:
        return machine.exit(task);
      case 2:
        return void machine.call(task, NR.close, 3 + this.#below(5));
      case 3:
        return void machine.call(task, NR.dup, fd);
      case 4:
        if (this.#below(20) > 0) return;
        return void machine.call(task, NR.fcntl, fd, F_ADD_SEALS, this.#flags([1, 2, 4, 0x100, 0x200]));
      case 5:
        copyToUser(task.mm, BUFFER, Uint8Array.of(0x66, 0));
        return void machine.call(task, NR.memfd_create, BUFFER, 0);
      case 6:
        return void machine.call(task, NR.pidfd_open, this.#pick(machine.tasks).tid, 0);
      case 7:
        return void machine.call(task, NR.fallocate, fd, 0, 0, length);
      default:
        return void machine.call(task, NR.ftruncate, fd, length);
    }
  }
}

describe.each([true, false])("random calls, share: %s", (share) => {
  const calls = Number(process.env.MSHARE_ABI_CALLS ?? 10_000);
  const seed = Number(process.env.MSHARE_ABI_SEED ?? 1);
  test(`${calls} with seed ${seed}`, { timeout: 3_600_000 }, () => {
    new Fuzzer(share, seed).run(calls);
  });
});

describe("structures and their sizes", () => {
  let machine: Machine;
  let task: Task;
  let fd: number;
  const random = new SeededRandom(5);
  const below = (n: number): number => random.below(n);
  beforeEach(() => {
    machine = new Machine(true);
    task = machine.fork()!;
    fd = machine.call(task, abi.NR_MSHARE_CREATE, 0);
    expect(machine.call(task, NR.ftruncate, fd, 2 ** 22)).toBe(0);
  });
  afterEach(() => {
    expect(machine.end()).toBe(0);
  });

  /** What ABI.md says of a structure of `usize` bytes at `at`, if its known part is right; 0: accepted. */
  function expected(known: number, at: number, usize: number, trailing: Uint8Array): number {
    if (usize < known) return -EINVAL;
    if (usize > 4096) return -E2BIG;
    if (at + usize > BUFFER_END) return -EFAULT;
    return trailing.subarray(0, usize - known).some((byte) => byte !== 0) ? -E2BIG : 0;
  }
  const sizeFor = (known: number): number =>
    [known, known + below(64), below(known), 4096, 4097, known + below(4000), 2 ** 32 + known, 2 ** 53][below(8)];

  test.each([
    ["mshare_map", abi.NR_MSHARE_MAP, abi.MSHARE_MAP_SIZE],
    ["mshare_remap", abi.NR_MSHARE_REMAP, abi.MSHARE_REMAP_SIZE],
  ])(
    "%s: shorter than the first version EINVAL, longer than a page E2BIG, unknown bytes zero or E2BIG",
    (_, nr, known) => {
      for (let i = 0; i < 2000; i++) {
        const usize = sizeFor(known);
        const at = below(4) === 0 ? BUFFER_END - known - below(200) : BUFFER + below(4000);
        const bytes = new Uint8Array(Math.min(BUFFER_END - at, 4200));
        const data = new DataView(bytes.buffer);
        data.setBigUint64(8, 4096n, true);
        if (nr === abi.NR_MSHARE_MAP) {
          data.setUint32(24, 3, true);
          data.setUint32(28, mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED, true);
          data.setInt32(32, -1, true);
        } else data.setBigUint64(24, 4096n, true);
        if (below(2) === 0) bytes[Math.min(bytes.length - 1, known + below(100))] = below(2);
        copyToUser(task.mm, at, bytes);
        const result = expected(known, at, usize, bytes.subarray(known));
        // The remap finds a mapping only after the first map; growing and moving nothing gives the same offset.
        if (nr === abi.NR_MSHARE_REMAP && i === 0) mapOne(machine, task, fd);
        if (nr === abi.NR_MSHARE_REMAP) copyToUser(task.mm, at, bytes);
        expect(machine.call(task, nr, fd, at, usize), `at ${at.toString(16)}, ${usize} bytes`).toBe(result);
      }
    },
  );

  test.each([
    ["reserved", 36, abi.NR_MSHARE_MAP],
    ["an undefined flag", 28, abi.NR_MSHARE_MAP],
    ["protection beyond RWX", 24, abi.NR_MSHARE_MAP],
    ["reserved", 36, abi.NR_MSHARE_REMAP],
    ["an undefined flag", 32, abi.NR_MSHARE_REMAP],
  ])("%s at %i of %i is EINVAL", (_, at, nr) => {
    mapOne(machine, task, fd);
    const bytes = new Uint8Array(40);
    const data = new DataView(bytes.buffer);
    data.setBigUint64(8, 4096n, true);
    if (nr === abi.NR_MSHARE_MAP) {
      data.setUint32(28, mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED, true);
      data.setInt32(32, -1, true);
    } else data.setBigUint64(24, 4096n, true);
    for (let bit = at === 24 ? 3 : 27; bit < 32; bit++) {
      // Bits 26 to 31 of map's flags are the size of huge pages, which need MAP_HUGETLB.
      const spoiled = bytes.slice();
      new DataView(spoiled.buffer).setUint32(at, (data.getUint32(at, true) | (2 ** bit)) >>> 0, true);
      copyToUser(task.mm, BUFFER, spoiled);
      expect(machine.call(task, nr, fd, BUFFER, 40), `bit ${bit}`).toBe(-EINVAL);
    }
  });

  test("mshare_stat writes what fits and zeroes the rest", () => {
    for (let i = 0; i < 500; i++) {
      const usize = sizeFor(abi.MSHARE_STAT_SIZE);
      copyToUser(task.mm, BUFFER, new Uint8Array(8192).fill(0xee));
      const result = usize < abi.MSHARE_STAT_SIZE ? -EINVAL : usize > 4096 ? -E2BIG : 0;
      expect(machine.call(task, abi.NR_MSHARE_STAT, fd, BUFFER, usize), `${usize} bytes`).toBe(result);
      const bytes = copyFromUser(task.mm, BUFFER, 4200) as Uint8Array;
      const written = result === 0 ? usize : 0;
      expect(bytes.subarray(abi.MSHARE_STAT_SIZE, written).every((byte) => byte === 0)).toBe(true);
      expect(bytes.subarray(written).every((byte) => byte === 0xee)).toBe(true);
      if (written > 0) expect(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)).toBe(2n ** 22n);
    }
  });
});

/** Anonymous memory at offset 0, a page. */
function mapOne(machine: Machine, task: Task, fd: number): void {
  const bytes = new Uint8Array(40);
  const data = new DataView(bytes.buffer);
  data.setBigUint64(8, 4096n, true);
  data.setUint32(24, 3, true);
  data.setUint32(28, mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED, true);
  data.setInt32(32, -1, true);
  copyToUser(task.mm, BUFFER, bytes);
  expect(machine.call(task, abi.NR_MSHARE_MAP, fd, BUFFER, 40)).toBe(0);
}
