// riscv_hwprobe(2): what the harts can do, as key and value pairs (Documentation/arch/riscv/hwprobe.rst). All harts are alike.
import { EFAULT, EINVAL } from "../../base/errno.ts";
import { TASK_SIZE } from "../../base/limits.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { TIMEBASE_HZ } from "../clock.ts";
import type { Task } from "../task.ts";
import type { Args } from "./table.ts";

const PAIR_SIZE = 16;
const RISCV_HWPROBE_WHICH_CPUS = 1;

const BASE_BEHAVIOR_IMA = 1n;
const IMA_FD = 1n;
const IMA_C = 2n;
const MISALIGNED_FAST = 3n;

/** By key: MVENDORID, MARCHID, MIMPID, BASE_BEHAVIOR, IMA_EXT_0, CPUPERF_0, ZICBOZ_BLOCK_SIZE, HIGHEST_VIRT_ADDRESS, TIME_CSR_FREQ,
 *  MISALIGNED_SCALAR_PERF. The first three say: nobody's hardware. */
const VALUES: readonly bigint[] = [
  0n,
  0n,
  0n,
  BASE_BEHAVIOR_IMA,
  IMA_FD | IMA_C,
  MISALIGNED_FAST,
  0n,
  BigInt(TASK_SIZE - 1),
  BigInt(TIMEBASE_HZ),
  MISALIGNED_FAST,
];
const UNKNOWN_KEY = -1n;
/** Keys whose values are sets of bits: a hart has them all or it does not. */
const BIT_KEYS = new Set([3n, 4n]);

export function hwprobe(task: Task, args: Args): number {
  const [pairsAt, count, cpusSize, cpusAt, flags] = [args.ptr(0), args.u(1), args.u(2), args.ptr(3), args.u32(4)];
  if (flags === RISCV_HWPROBE_WHICH_CPUS) return whichCpus(task, { pairsAt, count, cpusSize, cpusAt });
  if (flags !== 0) return -EINVAL;
  // The set of CPUs in question: none given means all; given, some must exist.
  const cpus = readCpus(task, cpusSize, cpusAt);
  if (typeof cpus === "number") return cpus;
  if (cpusSize !== 0 && (cpus & online(task)) === 0n) return -EINVAL;
  if ((cpusSize === 0) !== (cpusAt === 0)) return -EINVAL;
  for (let i = 0; i < count; i++) {
    const pair = readPair(task, pairsAt + i * PAIR_SIZE);
    if (pair === null) return -EFAULT;
    const value = VALUES[Number(pair.key)];
    const known = pair.key >= 0n && value !== undefined;
    if (!writePair(task, pairsAt + i * PAIR_SIZE, known ? pair.key : UNKNOWN_KEY, known ? value : 0n)) return -EFAULT;
  }
  return 0;
}

const online = (task: Task): bigint => (1n << BigInt(task.kernel.hardware.harts.length)) - 1n;

function readCpus(task: Task, size: number, at: number): bigint | number {
  const bytes = copyFromUser(task.mm, at, Math.min(size, 8));
  if (typeof bytes === "number") return bytes;
  return bytes.reduce((mask, byte, i) => mask | (BigInt(byte) << BigInt(8 * i)), 0n);
}

function readPair(task: Task, at: number): { key: bigint; value: bigint } | null {
  const bytes = copyFromUser(task.mm, at, PAIR_SIZE);
  if (typeof bytes === "number") return null;
  const v = new DataView(bytes.buffer, bytes.byteOffset, PAIR_SIZE);
  return { key: v.getBigInt64(0, true), value: v.getBigUint64(8, true) };
}

function writePair(task: Task, at: number, key: bigint, value: bigint): boolean {
  const bytes = new Uint8Array(PAIR_SIZE);
  const v = new DataView(bytes.buffer);
  v.setBigInt64(0, key, true);
  v.setBigUint64(8, value, true);
  return copyToUser(task.mm, at, bytes) === 0;
}

/** Which of the given CPUs have all these values: as they are alike, all or none. */
function whichCpus(task: Task, call: { pairsAt: number; count: number; cpusSize: number; cpusAt: number }): number {
  const { pairsAt, count, cpusSize, cpusAt } = call;
  if (cpusSize === 0 || cpusAt === 0) return -EINVAL;
  let cpus = readCpus(task, cpusSize, cpusAt);
  if (typeof cpus === "number") return cpus;
  cpus = cpus === 0n ? online(task) : cpus & online(task);
  for (let i = 0; i < count; i++) {
    const at = pairsAt + i * PAIR_SIZE;
    const pair = readPair(task, at);
    if (pair === null) return -EFAULT;
    const value = VALUES[Number(pair.key)];
    if (pair.key < 0n || value === undefined) {
      if (!writePair(task, at, UNKNOWN_KEY, 0n)) return -EFAULT;
      cpus = 0n;
      continue;
    }
    const has = BIT_KEYS.has(pair.key) ? (value & pair.value) === pair.value : value === pair.value;
    if (!has) cpus = 0n;
  }
  const bytes = new Uint8Array(Math.min(cpusSize, 8));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number((cpus >> BigInt(8 * i)) & 0xffn);
  return copyToUser(task.mm, cpusAt, bytes);
}
