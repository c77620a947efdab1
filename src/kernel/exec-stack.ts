// What a program finds on its stack: strings, argc, argv, envp and the auxiliary vector, laid out as Linux does for riscv64 (create_elf_tables in
// fs/binfmt_elf.c, ARCH_DLINFO in arch/riscv/include/asm/elf.h).
import { EFAULT } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import type { Mm } from "../mm/mm.ts";
import { copyToUser } from "../mm/usercopy.ts";
import { USER_HZ } from "./clock.ts";
import type { Creds } from "./creds.ts";
import { PHDR_SIZE } from "./elf.ts";
import type { Aslr, Loaded } from "./exec-load.ts";
import { RSEQ_ALIGN, RSEQ_FEATURE_SIZE } from "./rseq.ts";
import { SIGFRAME_SIZE } from "./sigframe.ts";

// include/uapi/linux/auxvec.h, arch/riscv/include/uapi/asm/auxvec.h
const AT_NULL = 0;
const AT_PHDR = 3;
const AT_PHENT = 4;
const AT_PHNUM = 5;
const AT_PAGESZ = 6;
const AT_BASE = 7;
const AT_FLAGS = 8;
const AT_ENTRY = 9;
const AT_UID = 11;
const AT_EUID = 12;
const AT_GID = 13;
const AT_EGID = 14;
const AT_HWCAP = 16;
const AT_CLKTCK = 17;
const AT_SECURE = 23;
const AT_RANDOM = 25;
const AT_RSEQ_FEATURE_SIZE = 27;
const AT_RSEQ_ALIGN = 28;
const AT_EXECFN = 31;
const AT_SYSINFO_EHDR = 33;
/** Sizes and geometries of the L1 instruction, L1 data, L2 and L3 caches: eight entries. */
const AT_L1I_CACHESIZE = 40;
const CACHE_ENTRIES = 8;
const AT_MINSIGSTKSZ = 51;

/** Letters of the ISA as bits: I M A F D C (COMPAT_HWCAP_ISA_*). */
export const HWCAP = [..."imafdc"].reduce((bits, letter) => bits | (1 << (letter.charCodeAt(0) - 97)), 0);

/** The strings, as exec has collected them; byte strings. */
export interface ExecStrings {
  readonly filename: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
}

/** Bytes that the strings take, and the pointer at the very top that Linux leaves free. */
export function stringBytes(strings: ExecStrings): number {
  let bytes = 8 + strings.filename.length + 1;
  for (const s of strings.argv) bytes += s.length + 1;
  for (const s of strings.env) bytes += s.length + 1;
  return bytes;
}

/** Writes strings one after the other and remembers where each begins. */
class StringArea {
  readonly bytes: Uint8Array;
  readonly #start: number;
  #at = 0;
  constructor(start: number, length: number) {
    this.#start = start;
    this.bytes = new Uint8Array(length);
  }
  get address(): number {
    return this.#start + this.#at;
  }
  put(s: string): number {
    const { address } = this;
    for (let i = 0; i < s.length; i++) this.bytes[this.#at + i] = s.charCodeAt(i);
    this.#at += s.length + 1;
    return address;
  }
}

/**
 * Fills the stack that ends at `top` and sets argStart … startStack. Returns the stack pointer and the auxiliary vector (for
 * /proc/PID/auxv), or -EFAULT.
 */
export function fillStack(
  mm: Mm,
  top: number,
  strings: ExecStrings,
  values: { loaded: Loaded; creds: Creds; secure: boolean; random: Uint8Array; align: Aslr },
): { sp: number; auxv: Uint8Array } | number {
  const area = new StringArea(top - stringBytes(strings), stringBytes(strings));
  mm.argStart = area.address;
  const argv = strings.argv.map((s) => area.put(s));
  mm.argEnd = mm.envStart = area.address;
  const env = strings.env.map((s) => area.put(s));
  mm.envEnd = area.address;
  const filename = area.put(strings.filename);
  if (copyToUser(mm, mm.argStart, area.bytes) !== 0) return -EFAULT;

  // arch_align_stack, then the 16 bytes of AT_RANDOM.
  let p = mm.argStart - (values.align === null ? 0 : values.align.below(PAGE_SIZE));
  p -= p % 16;
  p -= 16;
  if (copyToUser(mm, p, values.random) !== 0) return -EFAULT;
  const auxv = buildAuxv(mm, { ...values, filename, randomAt: p });

  const words = [argv.length, ...argv, 0, ...env, 0];
  let sp = p - auxv.length - words.length * 8;
  sp -= sp % 16;
  const table = new Uint8Array(words.length * 8 + auxv.length);
  const v = new DataView(table.buffer);
  words.forEach((word, i) => v.setBigUint64(8 * i, BigInt(word), true));
  table.set(auxv, words.length * 8);
  if (copyToUser(mm, sp, table) !== 0) return -EFAULT;
  mm.startStack = sp;
  return { sp, auxv };
}

function buildAuxv(
  mm: Mm,
  values: { loaded: Loaded; creds: Creds; secure: boolean; filename: number; randomAt: number },
): Uint8Array {
  const { loaded, creds } = values;
  const entries: [tag: number, value: number][] = [[AT_SYSINFO_EHDR, mm.vdso]];
  // Caches of no known size, as on QEMU's virt machine.
  for (let i = 0; i < CACHE_ENTRIES; i++) entries.push([AT_L1I_CACHESIZE + i, 0]);
  entries.push(
    [AT_MINSIGSTKSZ, SIGFRAME_SIZE],
    [AT_HWCAP, HWCAP],
    [AT_PAGESZ, PAGE_SIZE],
    [AT_CLKTCK, USER_HZ],
    [AT_PHDR, loaded.phdr],
    [AT_PHENT, PHDR_SIZE],
    [AT_PHNUM, loaded.phnum],
    [AT_BASE, loaded.base],
    [AT_FLAGS, 0],
    [AT_ENTRY, loaded.entry],
    [AT_UID, creds.uid],
    [AT_EUID, creds.euid],
    [AT_GID, creds.gid],
    [AT_EGID, creds.egid],
    [AT_SECURE, values.secure ? 1 : 0],
    [AT_RANDOM, values.randomAt],
    [AT_EXECFN, values.filename],
    [AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE],
    [AT_RSEQ_ALIGN, RSEQ_ALIGN],
    [AT_NULL, 0],
  );
  const bytes = new Uint8Array(entries.length * 16);
  const v = new DataView(bytes.buffer);
  entries.forEach(([tag, value], i) => {
    v.setBigUint64(16 * i, BigInt(tag), true);
    v.setBigUint64(16 * i + 8, BigInt(value), true);
  });
  return bytes;
}
