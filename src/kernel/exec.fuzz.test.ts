// Hostile ELF files: 10,000 mutated ones are started, run for a few instructions and ended. Whatever happens to the program, the kernel goes on, and
// no frame is lost. A failing seed is printed; MSHARE_EXEC_SEEDS and MSHARE_EXEC_SEED (docs/hacking.md) run it again.
import { expect, test } from "vitest";
import { EINVAL } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { SimulatedHost } from "../host/simulated.ts";
import { createHardware } from "../machine/hardware.ts";
import { seedsOf } from "../testing/seeds.ts";
import { boot, startProgram } from "./boot.ts";
import { groupExit } from "./exit.ts";
import { putFile } from "./fs/setup.ts";
import type { Kernel } from "./kernel.ts";
import { SeededRandom } from "./random.ts";
import { SIGKILL } from "./siginfo.ts";

const seeds = seedsOf("EXEC", 10_000);
/** Nanoseconds that each may run: some instructions and the faults of a start. */
const RUN_NS = 200_000;

/** auipc a1, 0x12; ld a2, 0(a1); sd a2, 600(a1); exit_group(42): loads data and stores into the bss. */
const CODE = [0x00012597, 0x0005b603, 0x24c5bc23, 0x02a00513, 0x05e00893, 0x00000073];

const u16 = (v: DataView, at: number, n: number): void => v.setUint16(at, n, true);
const u64 = (v: DataView, at: number, n: number): void => v.setBigUint64(at, BigInt(n), true);

/** A program with all that loaders look at: text, data with bss, PT_INTERP if `interpreter`, PT_GNU_STACK, PT_PHDR. */
function program(options: { type: number; interpreter: string | null }): Uint8Array {
  const bytes = new Uint8Array(8192 + 512);
  const v = new DataView(bytes.buffer);
  const base = options.type === 2 ? 0x10000 : 0;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(v, 16, options.type);
  u16(v, 18, 243);
  v.setUint32(20, 1, true);
  u64(v, 24, base + 4096);
  u64(v, 32, 64);
  u16(v, 52, 64);
  u16(v, 54, 56);
  const segments: number[][] = [
    [6, 4, 64, base + 64, 56 * 5, 56 * 5, 8],
    [1, 5, 0, base, 8192, 8192, 4096],
    [1, 6, 8192, base + 0x12000, 512, 20000, 4096],
    [0x6474e551, 6, 0, 0, 0, 0, 16],
  ];
  if (options.interpreter !== null) {
    segments.unshift([3, 4, 2048, base + 2048, options.interpreter.length + 1, options.interpreter.length + 1, 1]);
    for (let i = 0; i < options.interpreter.length; i++) bytes[2048 + i] = options.interpreter.charCodeAt(i);
  }
  u16(v, 56, segments.length);
  segments.forEach(([type, flags, offset, vaddr, filesz, memsz, align], i) => {
    const p = 64 + 56 * i;
    v.setUint32(p, type, true);
    v.setUint32(p + 4, flags, true);
    [offset, vaddr, vaddr, filesz, memsz, align].forEach((n, j) => u64(v, p + 8 + 8 * j, n));
  });
  CODE.forEach((word, i) => v.setUint32(4096 + 4 * i, word, true));
  return bytes;
}

/** Values that break things more often than random ones. */
const EVIL: readonly bigint[] = [
  0n,
  1n,
  7n,
  4095n,
  4096n,
  4097n,
  65535n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 40n,
  2n ** 46n,
  2n ** 47n - 4096n,
  2n ** 47n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
];

/** One to four changes, most of them in the headers; sometimes the file is cut. */
function mutate(original: Uint8Array, random: SeededRandom): Uint8Array {
  const bytes = original.slice();
  const v = new DataView(bytes.buffer);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(random.below(8) === 0 ? bytes.length - 8 : 64 + 56 * 6);
    switch (random.below(4)) {
      case 0:
        bytes[at] = random.below(256);
        break;
      case 1:
        bytes[at] ^= 1 << random.below(8);
        break;
      case 2:
        v.setBigUint64(at - (at % 8), EVIL[random.below(EVIL.length)], true);
        break;
      default:
        v.setUint32(at - (at % 4), random.below(2 ** 32), true);
    }
  }
  return random.below(10) === 0 ? bytes.slice(0, random.below(bytes.length)) : bytes;
}

function runSome(kernel: Kernel): void {
  const process = startProgram(kernel, { path: "/bin/mutant", argv: ["mutant", "x"], env: ["A=1"] });
  if (typeof process === "number") {
    expect(process).toBeGreaterThan(-134);
    return;
  }
  kernel.timers.add(kernel.clock.monotonic() + RUN_NS, () => groupExit(process, SIGKILL));
  kernel.scheduler.run(Infinity, () => process.state === "dead");
  expect(process.state).toBe("dead");
}

/** A kernel with the four programs' interpreter, and how to put files into it. */
function bootWithInterpreter(): { kernel: Kernel; put: (path: string, data: Uint8Array) => void } {
  const host = new SimulatedHost({ seed: 1, onStdout: () => {}, onStderr: () => {}, log: () => {} });
  const hardware = createHardware({ memoryBytes: 32 * 2 ** 20, harts: 1 });
  const kernel = boot({ hardware, ports: host.ports, kernel: { seed: 1, share: true } });
  const put = (path: string, data: Uint8Array): void =>
    expect(putFile(kernel.vfs, { path, mode: 0o755, data })).toBe(0);
  put("/lib/ld.so", program({ type: 3, interpreter: null }));
  return { kernel, put };
}

test.each([
  { name: "all of it", segments: [1, 2], by: TASK_SIZE - 2 ** 24 },
  { name: "its first segment", segments: [1], by: TASK_SIZE / 2 },
])("an interpreter that wants to lie higher than where it is put: $name", ({ segments, by }) => {
  const { kernel, put } = bootWithInterpreter();
  const interpreter = program({ type: 3, interpreter: null });
  const v = new DataView(interpreter.buffer);
  for (const i of segments) {
    const at = 64 + 56 * i + 16;
    v.setBigUint64(at, v.getBigUint64(at, true) + BigInt(by), true);
  }
  put("/lib/ld.so", interpreter);
  put("/bin/mutant", program({ type: 2, interpreter: "/lib/ld.so" }));
  expect(startProgram(kernel, { path: "/bin/mutant", argv: ["mutant"], env: [] })).toBe(-EINVAL);
});

test(`${seeds.length} mutated programs do not crash the kernel`, { timeout: 3_600_000 }, () => {
  const { kernel, put } = bootWithInterpreter();
  const originals = [
    program({ type: 2, interpreter: null }),
    program({ type: 3, interpreter: null }),
    program({ type: 2, interpreter: "/lib/ld.so" }),
    program({ type: 3, interpreter: "/lib/ld.so" }),
  ];
  const outcomes = new Map<string, number>();
  kernel.onReap = (process) => {
    const outcome = process.exitStatus.toString(16);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  };
  let free = 0;
  for (const [round, seed] of seeds.entries()) {
    const random = new SeededRandom(seed);
    try {
      const mutant = mutate(originals[random.below(originals.length)], random);
      // Sometimes it is the interpreter that is broken.
      put(random.below(5) === 0 ? "/lib/ld.so" : "/bin/mutant", mutant);
      if (round === 0) put("/bin/mutant", originals[0]);
      runSome(kernel);
      if (round % 500 === 499) {
        put("/lib/ld.so", originals[1]);
        put("/bin/mutant", originals[0]);
        kernel.memory.verify();
        // A mutant may have run into the vDSO: its page stays cached.
        kernel.memory.dropCaches();
        if (free === 0) free = kernel.memory.frames.free;
        expect(kernel.memory.frames.free).toBe(free);
      }
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  // Many are refused; of those that start, most end with 42, others by a signal.
  expect(outcomes.get("2a00")).toBeGreaterThan(1000);
  expect(outcomes.get("b")).toBeGreaterThan(300);
});
