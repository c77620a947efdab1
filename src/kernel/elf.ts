// ELF files as exec reads them: headers taken apart and checked, in Linux's order and with its errors (fs/binfmt_elf.c). Knows files only as
// something to read from, and address spaces not at all; exec.ts maps what this says.
import { EIO, ELIBBAD, ENOEXEC } from "../base/errno.ts";
import { PATH_MAX } from "../base/limits.ts";
import { PAGE_SIZE, pageDown, pageUp } from "../base/numbers.ts";

export const ET_EXEC = 2;
export const ET_DYN = 3;
const EM_RISCV = 243;

export const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474e551;

export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;

/** Reads `length` bytes at `at`: fewer at the file's end, or -errno. */
export type ReadAt = (at: number, length: number) => Uint8Array | number;

/** A program header. 64-bit fields are doubles: those above 2^53 are rounded, and far beyond everything that is valid. */
export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
}

export interface ElfImage {
  /** ET_*. Of a program ET_EXEC or ET_DYN; an interpreter may be anything. */
  readonly type: number;
  readonly entry: number;
  readonly phoff: number;
  readonly phnum: number;
  readonly segments: readonly Segment[];
  /** The path in PT_INTERP; null: none. */
  readonly interpreter: string | null;
  /** PT_GNU_STACK asks for an executable stack. */
  readonly executableStack: boolean;
}

const u64 = (v: DataView, at: number): number => v.getUint32(at + 4, true) * 2 ** 32 + v.getUint32(at, true);

/** elf_read: all of it or an error. */
function readFully(read: ReadAt, at: number, length: number): Uint8Array | number {
  const bytes = read(at, length);
  if (typeof bytes === "number") return bytes;
  return bytes.length === length ? bytes : -EIO;
}

function isRiscvElf(v: DataView): boolean {
  return v.getUint32(0, false) === 0x7f454c46 && v.getUint16(18, true) === EM_RISCV && v.getUint8(4) === 2;
}

/** load_elf_phdrs; null: they are not acceptable. */
function readSegments(read: ReadAt, header: DataView): Segment[] | null {
  const phnum = header.getUint16(56, true);
  const size = phnum * PHDR_SIZE;
  if (header.getUint16(54, true) !== PHDR_SIZE || size === 0 || size > PAGE_SIZE) return null;
  const bytes = readFully(read, u64(header, 32), size);
  if (typeof bytes === "number") return null;
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: phnum }, (_, i) => {
    const p = i * PHDR_SIZE;
    return {
      type: v.getUint32(p, true),
      flags: v.getUint32(p + 4, true),
      offset: u64(v, p + 8),
      vaddr: u64(v, p + 16),
      filesz: u64(v, p + 32),
      memsz: u64(v, p + 40),
      align: u64(v, p + 48),
    };
  });
}

/** The interpreter's path, null if there is none, or -errno. */
function readInterpreter(read: ReadAt, segments: readonly Segment[]): string | null | number {
  const segment = segments.find((s) => s.type === PT_INTERP);
  if (segment === undefined) return null;
  const { filesz, offset } = segment;
  if (filesz > PATH_MAX || filesz < 2) return -ENOEXEC;
  const bytes = readFully(read, offset, filesz);
  if (typeof bytes === "number") return bytes;
  if (bytes[filesz - 1] !== 0) return -ENOEXEC;
  return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
}

/** The program itself. `head` are its first bytes, at least EHDR_SIZE of them (zeros where the file is shorter). */
export function readProgram(head: Uint8Array, read: ReadAt): ElfImage | number {
  const v = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const type = v.getUint16(16, true);
  if (!isRiscvElf(v) || (type !== ET_EXEC && type !== ET_DYN)) return -ENOEXEC;
  const segments = readSegments(read, v);
  if (segments === null) return -ENOEXEC;
  const interpreter = readInterpreter(read, segments);
  if (typeof interpreter === "number") return interpreter;
  const stack = segments.findLast((s) => s.type === PT_GNU_STACK);
  return {
    type,
    entry: u64(v, 24),
    phoff: u64(v, 32),
    phnum: segments.length,
    segments,
    interpreter,
    executableStack: stack !== undefined && (stack.flags & PF_X) !== 0,
  };
}

/** The interpreter that a program names (ld.so). An interpreter of its own in it does not count. */
export function readInterpreterImage(read: ReadAt): ElfImage | number {
  const head = readFully(read, 0, EHDR_SIZE);
  if (typeof head === "number") return head;
  const v = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (!isRiscvElf(v)) return -ELIBBAD;
  const segments = readSegments(read, v);
  if (segments === null) return -ELIBBAD;
  return {
    type: v.getUint16(16, true),
    entry: u64(v, 24),
    phoff: u64(v, 32),
    phnum: segments.length,
    segments,
    interpreter: null,
    executableStack: false,
  };
}

/** Bytes from the first page of the lowest segment to the end of the highest (total_mapping_size); 0: nothing to load. */
export function mappingSize(image: ElfImage): number {
  let low = Infinity;
  let high = 0;
  for (const { type, vaddr, memsz } of image.segments) {
    if (type !== PT_LOAD) continue;
    low = Math.min(low, pageDown(vaddr));
    high = Math.max(high, vaddr + memsz);
  }
  return low === Infinity ? 0 : high - low;
}

const isPowerOfTwo = (n: number): boolean => 2 ** Math.round(Math.log2(n)) === n;

/** The largest alignment that is a power of two, at least a page (maximum_alignment). */
export function mappingAlignment(image: ElfImage): number {
  let alignment = 0;
  for (const { type, align } of image.segments) {
    if (type === PT_LOAD && align > alignment && isPowerOfTwo(align)) alignment = align;
  }
  return Math.max(PAGE_SIZE, pageUp(alignment));
}
