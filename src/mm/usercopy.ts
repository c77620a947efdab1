// The kernel's access to user memory: copies, single words, strings, futex words. Walks the page tables as the hardware does and takes the
// program's own way through Mm.fault where that fails, windows included. A fault that cannot be resolved is -EFAULT, never a signal.
import { EFAULT, EINVAL, ENAMETOOLONG } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { PTE_A, PTE_D, PTE_U, PTE_V } from "../machine/pte.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { kernelFault } from "./fault.ts";
import { KIND_ANON } from "./frame.ts";
import type { Mm } from "./mm.ts";
import { findHugeLeaf, findTable, leafIndex } from "./page-table.ts";

const TWO32 = 4294967296;

/** The frame that `va` is in, made present for `access` (ACCESS_READ or ACCESS_WRITE), with A and D set as hardware would; 0: -EFAULT. */
export function userFrame(mm: Mm, va: number, access: number): Pfn {
  if (!(va >= 0 && va < TASK_SIZE)) return 0 as Pfn;
  const { ram } = mm.memory;
  // ACCESS_READ, WRITE are 1, 2; PTE_R, W are 2, 4.
  const need = PTE_V | PTE_U | (access << 1);
  for (;;) {
    const table = findTable(ram, mm.root, va);
    if (table !== 0) {
      const word = (table << 10) + 2 * leafIndex(va);
      const pte = ram.u32[word];
      if ((pte & need) === need) {
        ram.u32[word] = pte | PTE_A | (access === ACCESS_WRITE ? PTE_D : 0);
        return (pte >>> 10) as Pfn;
      }
    }
    const huge = table === 0 ? findHugeLeaf(ram, mm.root, va) : null;
    if (huge !== null && (ram.u32[huge.word] & need) === need) {
      ram.u32[huge.word] |= PTE_A | (access === ACCESS_WRITE ? PTE_D : 0);
      return huge.pfn;
    }
    if (kernelFault(mm, va, access).kind !== "done") return 0 as Pfn;
  }
}

/** Reads into `into` from `addr`; returns the bytes that got across before a fault. */
export function readUser(mm: Mm, addr: number, into: Uint8Array): number {
  const { u8 } = mm.memory.ram;
  let done = 0;
  while (done < into.length) {
    const va = addr + done;
    const pfn = userFrame(mm, va, ACCESS_READ);
    if (pfn === 0) return done;
    const offset = va % PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - offset, into.length - done);
    const from = pfn * PAGE_SIZE + offset;
    into.set(u8.subarray(from, from + count), done);
    done += count;
  }
  return done;
}

/** Writes `data` to `addr`; returns the bytes that got across before a fault. */
export function writeUser(mm: Mm, addr: number, data: Uint8Array): number {
  const { ram } = mm.memory;
  let done = 0;
  while (done < data.length) {
    const va = addr + done;
    const pfn = userFrame(mm, va, ACCESS_WRITE);
    if (pfn === 0) return done;
    const offset = va % PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - offset, data.length - done);
    ram.write(pfn, offset, count === data.length ? data : data.subarray(done, done + count));
    done += count;
  }
  return done;
}

/** `length` bytes at `addr`, copied; or -EFAULT. */
export function copyFromUser(mm: Mm, addr: number, length: number): Uint8Array | number {
  if (length === 0) return new Uint8Array(0);
  if (!(addr >= 0 && addr + length <= TASK_SIZE)) return -EFAULT;
  const offset = addr % PAGE_SIZE;
  if (offset + length <= PAGE_SIZE) {
    const pfn = userFrame(mm, addr, ACCESS_READ);
    if (pfn === 0) return -EFAULT;
    const from = pfn * PAGE_SIZE + offset;
    return mm.memory.ram.u8.slice(from, from + length);
  }
  const into = new Uint8Array(length);
  return readUser(mm, addr, into) === length ? into : -EFAULT;
}

/** Copies `data` to `addr`: 0, or -EFAULT (a part of it may have got there). */
export function copyToUser(mm: Mm, addr: number, data: Uint8Array): number {
  return writeUser(mm, addr, data) === data.length ? 0 : -EFAULT;
}

/** Zeroes `length` bytes at `addr`: 0 or -EFAULT. */
export function clearUser(mm: Mm, addr: number, length: number): number {
  const { ram } = mm.memory;
  for (let done = 0; done < length;) {
    const va = addr + done;
    const pfn = userFrame(mm, va, ACCESS_WRITE);
    if (pfn === 0) return -EFAULT;
    const offset = va % PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - offset, length - done);
    ram.fill(pfn, 0, offset, count);
    done += count;
  }
  return 0;
}

/** The u32 at `addr`, unsigned; or -EFAULT. Need not be aligned. */
export function getUser32(mm: Mm, addr: number): number {
  if ((addr & 3) !== 0) return getUnaligned32(mm, addr);
  const pfn = userFrame(mm, addr, ACCESS_READ);
  return pfn === 0 ? -EFAULT : mm.memory.ram.u32[(pfn << 10) + ((addr % PAGE_SIZE) >>> 2)];
}

function getUnaligned32(mm: Mm, addr: number): number {
  const bytes = copyFromUser(mm, addr, 4);
  if (typeof bytes === "number") return bytes;
  return new DataView(bytes.buffer).getUint32(0, true);
}

/** Stores the low 32 bits of `value`: 0 or -EFAULT. */
export function putUser32(mm: Mm, addr: number, value: number): number {
  if ((addr & 3) !== 0) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value | 0, true);
    return copyToUser(mm, addr, bytes);
  }
  const pfn = userFrame(mm, addr, ACCESS_WRITE);
  if (pfn === 0) return -EFAULT;
  const { ram } = mm.memory;
  ram.willStore(pfn);
  ram.u32[(pfn << 10) + ((addr % PAGE_SIZE) >>> 2)] = value;
  return 0;
}

/** The u64 at `addr`, unsigned; or -EFAULT as a number. */
export function getUser64(mm: Mm, addr: number): bigint | number {
  if ((addr & 7) === 0) {
    const pfn = userFrame(mm, addr, ACCESS_READ);
    return pfn === 0 ? -EFAULT : mm.memory.ram.u64[(pfn << 9) + ((addr % PAGE_SIZE) >>> 3)];
  }
  const bytes = copyFromUser(mm, addr, 8);
  if (typeof bytes === "number") return bytes;
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

/** Stores `value` modulo 2^64 (a number: an integer, negative ones in two's complement): 0 or -EFAULT. */
export function putUser64(mm: Mm, addr: number, value: bigint | number): number {
  const isBig = typeof value === "bigint";
  const high = isBig ? Number(BigInt.asUintN(32, value >> 32n)) : Math.floor(value / TWO32);
  const low = isBig ? Number(BigInt.asUintN(32, value)) : value - high * TWO32;
  if ((addr & 7) !== 0) {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
    return copyToUser(mm, addr, bytes);
  }
  const pfn = userFrame(mm, addr, ACCESS_WRITE);
  if (pfn === 0) return -EFAULT;
  const { ram } = mm.memory;
  const word = (pfn << 10) + ((addr % PAGE_SIZE) >>> 2);
  ram.willStore(pfn);
  ram.u32[word] = low;
  ram.u32[word + 1] = high;
  return 0;
}

/** The NUL-terminated string at `addr`, a character a byte; -EFAULT, or -ENAMETOOLONG if there is no NUL within `max` bytes. */
export function readString(mm: Mm, addr: number, max: number): string | number {
  const { u8 } = mm.memory.ram;
  let text = "";
  for (let done = 0; done < max;) {
    const va = addr + done;
    const pfn = userFrame(mm, va, ACCESS_READ);
    if (pfn === 0) return -EFAULT;
    const from = pfn * PAGE_SIZE + (va % PAGE_SIZE);
    const limit = Math.min((pfn + 1) * PAGE_SIZE, from + max - done);
    const end = u8.subarray(from, limit).indexOf(0);
    const part = u8.subarray(from, end < 0 ? limit : from + end);
    text += String.fromCharCode.apply(null, part as unknown as number[]);
    if (end >= 0) return text;
    done += part.length;
  }
  return -ENAMETOOLONG;
}

/** Who a futex word is: the same object and offset for everyone who can wake each other. */
export interface FutexKey {
  readonly object: object;
  readonly offset: number;
}

/**
 * get_futex_key: a private futex is (mm, address); a shared one is (memory object, byte offset) wherever it is mapped, through windows too, or
 * (mm, address) in private memory. `write`: the word must be writable (all operations but waits). -EINVAL (unaligned), -EFAULT.
 */
export function futexKey(mm: Mm, addr: number, options: { shared: boolean; write: boolean }): FutexKey | number {
  if (addr % 4 !== 0) return -EINVAL;
  if (!(addr >= 0 && addr + 4 <= TASK_SIZE)) return -EFAULT;
  if (!options.shared) return { object: mm, offset: addr };
  let pfn = userFrame(mm, addr, ACCESS_WRITE);
  if (pfn === 0 && !options.write) pfn = userFrame(mm, addr, ACCESS_READ);
  if (pfn === 0) return -EFAULT;
  if (mm.memory.frames.kind[pfn] === KIND_ANON) return { object: mm, offset: addr };
  let vma = mm.vmas.lookup(addr);
  let va = addr;
  if (vma !== null && vma.window !== null) {
    va = addr - vma.start + vma.window.hostStart;
    vma = vma.window.host.vmas.lookup(va);
  }
  if (vma === null || vma.object === null) return { object: mm, offset: addr };
  return { object: vma.object, offset: vma.pageIndex(va) * PAGE_SIZE + (va % PAGE_SIZE) };
}

/** The aligned futex word at `addr`, unsigned; or -EINVAL (unaligned), -EFAULT. */
export function loadUser32(mm: Mm, addr: number): number {
  return addr % 4 !== 0 ? -EINVAL : getUser32(mm, addr);
}

/** Stores `next` in the aligned word at `addr` if it holds `expected`; returns what it held, unsigned, or -EINVAL (unaligned), -EFAULT. */
export function compareExchangeUser32(mm: Mm, addr: number, expected: number, next: number): number {
  if (addr % 4 !== 0) return -EINVAL;
  const pfn = userFrame(mm, addr, ACCESS_WRITE);
  if (pfn === 0) return -EFAULT;
  const { ram } = mm.memory;
  const word = (pfn << 10) + ((addr % PAGE_SIZE) >>> 2);
  const old = ram.u32[word];
  if (old === expected >>> 0) {
    ram.willStore(pfn);
    ram.u32[word] = next;
  }
  return old;
}

export { type RemoteAccess, accessRemote } from "./remote-access.ts";
