// The vDSO: a little shared object that the kernel maps into every program, with rt_sigreturn's trampoline and the fast calls that glibc and musl
// look up by name (arch/riscv/kernel/vdso). Built here byte by byte. Owns its pages; exec.ts maps it, sigframe.ts returns through it.
// Its calls enter the kernel: a system call costs little on this machine, and a seeded clock stays exact.
import { PROT_EXEC, PROT_READ } from "../mm/constants.ts";
import type { MemoryManager } from "../mm/memory-manager.ts";
import type { Mm } from "../mm/mm.ts";
import type { SpecialFile } from "../mm/vm-file.ts";

const SONAME = "linux-vdso.so.1";
const VERSION = "LINUX_4.15";

/** The functions and the numbers of the calls that they make, as arch/riscv/kernel/vdso/vdso.lds.S exports them. */
const FUNCTIONS: readonly { name: string; nr: number }[] = [
  // Unwinders know a signal frame by the two instructions of this one: it must come first and have no return.
  { name: "__vdso_rt_sigreturn", nr: 139 },
  { name: "__vdso_gettimeofday", nr: 169 },
  { name: "__vdso_clock_gettime", nr: 113 },
  { name: "__vdso_clock_getres", nr: 114 },
  { name: "__vdso_getcpu", nr: 168 },
  { name: "__vdso_flush_icache", nr: 259 },
];
/** Bytes kept for each function. */
const FUNCTION_BYTES = 16;

/** addi a7, zero, nr. */
const loadA7 = (nr: number): number => (nr << 20) | 0x893;
const ECALL = 0x73;
const RET = 0x8067;

const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const SYM_BYTES = 24;
const DYN_BYTES = 16;

/** The hash function of DT_HASH and of version names (System V ABI). */
function elfHash(name: string): number {
  let h = 0;
  for (let i = 0; i < name.length; i++) {
    h = ((h << 4) + name.charCodeAt(i)) >>> 0;
    const high = h & 0xf0000000;
    h = (h ^ (high >>> 24)) & ~high;
  }
  return h >>> 0;
}

/** A string table: "" at 0. */
class Strings {
  text = "\0";
  add(s: string): number {
    const at = this.text.length;
    this.text += s + "\0";
    return at;
  }
}

/** The image and where in it the sigreturn trampoline is. */
export function buildVdso(): { image: Uint8Array; sigreturn: number } {
  const strings = new Strings();
  const soname = strings.add(SONAME);
  const version = strings.add(VERSION);
  const names = FUNCTIONS.map((f) => strings.add(f.name));
  const symbols = FUNCTIONS.length + 1;

  const align = (n: number, to: number): number => Math.ceil(n / to) * to;
  const hash = EHDR_BYTES + 2 * PHDR_BYTES;
  // One bucket: six names need no better.
  const dynsym = align(hash + 4 * (2 + 1 + symbols), 8);
  const dynstr = dynsym + symbols * SYM_BYTES;
  const versym = align(dynstr + strings.text.length, 2);
  const verdef = align(versym + 2 * symbols, 8);
  const dynamic = align(verdef + 2 * 28, 8);
  const dynamicBytes = 10 * DYN_BYTES;
  const text = align(dynamic + dynamicBytes, 64);
  const end = text + FUNCTIONS.length * FUNCTION_BYTES;

  const image = new Uint8Array(align(end, 4096));
  const v = new DataView(image.buffer);
  const u16 = (at: number, n: number): void => v.setUint16(at, n, true);
  const u32 = (at: number, n: number): void => v.setUint32(at, n, true);
  const u64 = (at: number, n: number): void => v.setBigUint64(at, BigInt(n), true);

  // ELF header: 64-bit, little-endian, shared object, RISC-V, double-float ABI with compressed instructions.
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(16, 3);
  u16(18, 243);
  u32(20, 1);
  u64(32, EHDR_BYTES);
  u32(48, 5);
  u16(52, EHDR_BYTES);
  u16(54, PHDR_BYTES);
  u16(56, 2);
  u16(58, 64);
  const segment = (i: number, type: number, flags: number, at: number, size: number, alignment: number): void => {
    const p = EHDR_BYTES + i * PHDR_BYTES;
    u32(p, type);
    u32(p + 4, flags);
    [at, at, at, size, size, alignment].forEach((n, j) => u64(p + 8 + 8 * j, n));
  };
  segment(0, 1, 5, 0, end, 4096);
  segment(1, 2, 4, dynamic, dynamicBytes, 8);

  // DT_HASH: nbucket, nchain, the bucket's first symbol, then each symbol's next.
  u32(hash, 1);
  u32(hash + 4, symbols);
  u32(hash + 8, 1);
  for (let i = 1; i < symbols; i++) u32(hash + 12 + 4 * i, i + 1 < symbols ? i + 1 : 0);

  FUNCTIONS.forEach(({ nr }, i) => {
    const at = text + i * FUNCTION_BYTES;
    u32(at, loadA7(nr));
    u32(at + 4, ECALL);
    if (i > 0) u32(at + 8, RET);
    const symbol = dynsym + (i + 1) * SYM_BYTES;
    u32(symbol, names[i]);
    image[symbol + 4] = 0x12; // STB_GLOBAL, STT_FUNC
    u16(symbol + 6, 12); // not SHN_UNDEF: a section that is there in name only
    u64(symbol + 8, at);
    u64(symbol + 16, i > 0 ? 12 : 8);
    u16(versym + 2 * (i + 1), 2);
  });
  for (let i = 0; i < strings.text.length; i++) image[dynstr + i] = strings.text.charCodeAt(i);

  const define = (at: number, flags: number, index: number, hashed: number, name: number, next: number): void => {
    u16(at, 1);
    u16(at + 2, flags);
    u16(at + 4, index);
    u16(at + 6, 1);
    u32(at + 8, hashed);
    u32(at + 12, 20);
    u32(at + 16, next);
    u32(at + 20, name);
  };
  define(verdef, 1, 1, elfHash(SONAME), soname, 28);
  define(verdef + 28, 0, 2, elfHash(VERSION), version, 0);

  const entries: [tag: number, value: number][] = [
    [14, soname],
    [4, hash],
    [5, dynstr],
    [6, dynsym],
    [10, strings.text.length],
    [11, SYM_BYTES],
    [0x6ffffff0, versym],
    [0x6ffffffc, verdef],
    [0x6ffffffd, 2],
    [0, 0],
  ];
  entries.forEach(([tag, value], i) => {
    u64(dynamic + i * DYN_BYTES, tag);
    u64(dynamic + i * DYN_BYTES + 8, value);
  });
  return { image, sigreturn: text };
}

export class Vdso {
  readonly #file: SpecialFile;
  readonly #bytes: number;
  readonly #sigreturn: number;

  constructor(memory: MemoryManager) {
    const { image, sigreturn } = buildVdso();
    this.#file = memory.newSpecialFile("[vdso]", image);
    this.#bytes = image.length;
    this.#sigreturn = sigreturn;
  }

  /** Maps it where the kernel likes and notes the place in `mm.vdso`. 0 or -ENOMEM. */
  map(mm: Mm): number {
    const addr = mm.getUnmappedArea({ addr: 0, length: this.#bytes, fixed: false });
    const at = addr < 0 ? addr : mm.mapSpecial(this.#file, addr, PROT_READ | PROT_EXEC);
    if (at < 0) return at;
    mm.vdso = addr;
    return 0;
  }

  /** Where a handler returns to. */
  sigreturnAddress(mm: Mm): number {
    return mm.vdso + this.#sigreturn;
  }
}
