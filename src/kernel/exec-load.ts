// exec's second half: maps a program and its interpreter into a new address space and places the break (load_elf_binary, load_elf_interp,
// elf_load). What goes wrong here comes after the point of no return: exec.ts turns it into SIGSEGV.
import { EFAULT, EINVAL, EPERM } from "../base/errno.ts";
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE, PUD_SIZE, pageDown, pageUp } from "../base/numbers.ts";
import * as mman from "../mm/constants.ts";
import type { Mm } from "../mm/mm.ts";
import { clearUser } from "../mm/usercopy.ts";
import { STACK_GUARD_GAP, type VmFile } from "../mm/vma.ts";
import {
  ET_DYN,
  ET_EXEC,
  type ElfImage,
  PF_R,
  PF_W,
  PF_X,
  PT_LOAD,
  type Segment,
  mappingAlignment,
  mappingSize,
} from "./elf.ts";
import type { Random } from "./random.ts";

/** Where a position-independent program goes before randomization (ELF_ET_DYN_BASE). */
const ELF_ET_DYN_BASE = Math.floor(TASK_SIZE / 3) * 2;
/** Pages of randomness of mmap base and programs (mmap_rnd_bits 18), and of the stack (STACK_RND_MASK). */
const MMAP_RND_PAGES = 2 ** 18;
const STACK_RND_PAGES = 2 ** 18;
/** The gap that mmap_base() keeps for the stack, at least and at most. */
const MIN_GAP = 128 * 2 ** 20;
const MAX_GAP = Math.floor(TASK_SIZE / 6) * 5;

/** Null: ADDR_NO_RANDOMIZE. */
export type Aslr = Random | null;

const randomPages = (random: Aslr, pages: number): number => (random === null ? 0 : random.below(pages) * PAGE_SIZE);

/** A program that has been opened and read, ready to be mapped. */
export interface LoadableFile {
  readonly image: ElfImage;
  readonly file: VmFile;
}

/** What the auxiliary vector and the registers need to know. */
export interface Loaded {
  /** Where execution begins: the interpreter's entry if there is one. */
  readonly pc: number;
  /** AT_PHDR, AT_PHNUM, AT_ENTRY of the program itself; AT_BASE, 0 without an interpreter. */
  readonly phdr: number;
  readonly phnum: number;
  readonly entry: number;
  readonly base: number;
}

/** arch_pick_mmap_layout: sets where mmap begins to look. `stackLimit` in bytes. */
export function pickMmapBase(mm: Mm, stackLimit: number, random: Aslr): void {
  const pad = STACK_GUARD_GAP + (random === null ? 0 : STACK_RND_PAGES * PAGE_SIZE);
  const gap = Math.min(Math.max(stackLimit + pad, MIN_GAP), MAX_GAP);
  mm.mmapBase = pageUp(TASK_SIZE - gap - randomPages(random, MMAP_RND_PAGES));
}

/** randomize_stack_top: the end of the stack. */
export function pickStackTop(random: Aslr): number {
  return TASK_SIZE - randomPages(random, STACK_RND_PAGES);
}

const protectionOf = (segment: Segment): number =>
  ((segment.flags & PF_R) !== 0 ? mman.PROT_READ : 0) |
  ((segment.flags & PF_W) !== 0 ? mman.PROT_WRITE : 0) |
  ((segment.flags & PF_X) !== 0 ? mman.PROT_EXEC : 0);

/** The segment lies in user space when loaded at `bias`, which may be negative. */
function fits(segment: Segment, bias: number): boolean {
  const { vaddr, filesz, memsz } = segment;
  const addr = vaddr + bias;
  return filesz <= memsz && vaddr < TASK_SIZE && memsz <= TASK_SIZE && addr >= 0 && addr <= TASK_SIZE - memsz;
}

/**
 * elf_map: the part of a segment that the file has, at `addr`'s page. `reserve`: bytes that must be free from there on (only for the first
 * segment of an image that may go anywhere). The address, or -errno.
 */
function mapFilePart(
  mm: Mm,
  file: VmFile,
  segment: Segment,
  addr: number,
  options: { flags: number; reserve: number },
): number {
  const within = segment.vaddr % PAGE_SIZE;
  const length = pageUp(segment.filesz + within);
  const offset = segment.offset - within;
  if (offset < 0 || offset % PAGE_SIZE !== 0) return -EINVAL;
  const whole = Math.max(length, pageUp(options.reserve));
  const request = { addr, length: whole, prot: protectionOf(segment), flags: options.flags, file, offset };
  const at = mm.mmap(request);
  if (at >= 0 && whole > length) mm.munmap(at + length, whole - length);
  return at;
}

/** elf_load: a whole segment, its zero-filled part included. */
function mapSegment(
  mm: Mm,
  file: VmFile,
  segment: Segment,
  addr: number,
  options: { flags: number; reserve: number },
): number {
  const { vaddr, filesz, memsz } = segment;
  const within = vaddr % PAGE_SIZE;
  let at = pageDown(addr);
  if (filesz > 0) {
    at = mapFilePart(mm, file, segment, at, options);
    if (at < 0) return at;
  }
  if (memsz <= filesz) return at;
  const zeroStart = at + (filesz > 0 ? within + filesz : 0);
  const tail = pageUp(zeroStart) - zeroStart;
  // The rest of the last file page is cleared; a read-only segment may have a page that cannot be.
  if (filesz > 0 && tail > 0 && clearUser(mm, zeroStart, tail) !== 0 && (segment.flags & PF_W) !== 0) return -EFAULT;
  const start = pageUp(zeroStart);
  const length = pageUp(at + within + memsz) - start;
  if (length <= 0) return at;
  // vm_brk_flags: always writable, whatever the segment says.
  const prot = mman.PROT_READ | mman.PROT_WRITE | ((segment.flags & PF_X) !== 0 ? mman.PROT_EXEC : 0);
  const flags = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_FIXED;
  const zeros = mm.mmap({ addr: start, length, prot, flags, file: null, offset: 0 });
  return zeros < 0 ? zeros : at;
}

/** Where the first segment of the program goes: load bias and the flags that say how binding that is. */
function placeProgram(
  mm: Mm,
  program: LoadableFile,
  first: Segment,
  options: { interpreted: boolean; random: Aslr },
): { bias: number; flags: number; reserve: number } | number {
  const { image, file } = program;
  if (image.type === ET_EXEC) return { bias: 0, flags: mman.MAP_FIXED_NOREPLACE, reserve: 0 };
  const reserve = mappingSize(image);
  if (reserve === 0) return -EINVAL;
  const alignment = mappingAlignment(image);
  const aligned = (n: number): number => n - (n % alignment);
  if (options.interpreted) {
    const base = aligned(ELF_ET_DYN_BASE + randomPages(options.random, MMAP_RND_PAGES));
    return { bias: pageDown(base - first.vaddr), flags: mman.MAP_FIXED_NOREPLACE, reserve };
  }
  // ld.so run by hand, or static-pie: in the mmap area, like any library.
  if (alignment <= PAGE_SIZE) return { bias: 0, flags: 0, reserve };
  const probe = mapFilePart(mm, file, first, 0, { flags: mman.MAP_PRIVATE, reserve: reserve + alignment });
  if (probe < 0) return probe;
  mm.munmap(probe, pageUp(first.filesz + (first.vaddr % PAGE_SIZE)));
  const base = aligned(probe + alignment - 1);
  return { bias: pageDown(base - first.vaddr), flags: mman.MAP_FIXED_NOREPLACE, reserve };
}

/** Maps the interpreter where mmap puts it. The load bias, or -errno. */
function loadInterpreter(mm: Mm, interpreter: LoadableFile): number {
  const { image, file } = interpreter;
  if (image.type !== ET_EXEC && image.type !== ET_DYN) return -EPERM;
  let reserve = mappingSize(image);
  if (reserve === 0 || reserve > TASK_SIZE) return -EINVAL;
  let bias = 0;
  let placed = image.type === ET_EXEC;
  for (const segment of image.segments) {
    if (segment.type !== PT_LOAD) continue;
    if (!fits(segment, bias)) return -EINVAL;
    const flags = mman.MAP_PRIVATE | (placed ? mman.MAP_FIXED : 0);
    const addr = placed ? bias + segment.vaddr : 0;
    const at = mapSegment(mm, file, segment, addr, { flags, reserve });
    if (at < 0) return at;
    if (!placed) bias = at - pageDown(segment.vaddr);
    placed = true;
    reserve = 0;
  }
  // BAD_ADDR: it wants to lie higher than where it was put.
  return bias < 0 ? -EINVAL : bias;
}

/** Maps the program (and its interpreter) and sets the layout fields of `mm`, the break among them. -errno: the address space is half made. */
export function loadProgram(
  mm: Mm,
  program: LoadableFile,
  interpreter: LoadableFile | null,
  random: Aslr,
): Loaded | number {
  const { image, file } = program;
  let bias = 0;
  let first = true;
  let phdr = 0;
  let end = 0;
  let startCode = Infinity;
  let endCode = 0;
  let startData = 0;
  let endData = 0;
  for (const segment of image.segments) {
    if (segment.type !== PT_LOAD) continue;
    const { vaddr, offset, filesz, memsz } = segment;
    if (!fits(segment, 0)) return -EINVAL;
    let flags = mman.MAP_FIXED;
    let reserve = 0;
    if (first) {
      const place = placeProgram(mm, program, segment, { interpreted: interpreter !== null, random });
      if (typeof place === "number") return place;
      ({ bias, flags, reserve } = place);
    }
    const addr = first && flags === 0 ? 0 : bias + vaddr;
    if (!fits(segment, bias)) return -EINVAL;
    const at = mapSegment(mm, file, segment, addr, { flags: flags | mman.MAP_PRIVATE, reserve });
    if (at < 0) return at;
    if (first && image.type === ET_DYN) bias = at - pageDown(vaddr);
    first = false;
    if (offset <= image.phoff && image.phoff < offset + filesz) phdr = image.phoff - offset + vaddr;
    if ((segment.flags & PF_X) !== 0) {
      startCode = Math.min(startCode, vaddr);
      endCode = Math.max(endCode, vaddr + filesz);
    }
    startData = Math.max(startData, vaddr);
    endData = Math.max(endData, vaddr + filesz);
    end = Math.max(end, vaddr + memsz);
  }
  mm.startCode = startCode === Infinity ? 0 : startCode + bias;
  mm.endCode = endCode + bias;
  mm.startData = startData + bias;
  mm.endData = endData + bias;
  mm.startBrk = mm.brk = pageUp(end + bias);

  let base = 0;
  let pc = image.entry + bias;
  const entry = pc;
  if (interpreter !== null) {
    base = loadInterpreter(mm, interpreter);
    if (base < 0) return base;
    pc = base + interpreter.image.entry;
  }
  if (!(pc >= 0 && pc < TASK_SIZE)) return -EINVAL;
  return { pc, phdr: phdr + bias, phnum: image.phnum, entry, base };
}

/** Moves the break away from the program by up to 1 GiB (arch_randomize_brk); a program without interpreter away from the mmap area. */
export function randomizeBrk(mm: Mm, options: { pie: boolean; random: Random }): void {
  const from = options.pie ? pageUp(ELF_ET_DYN_BASE) : mm.brk + PAGE_SIZE;
  mm.startBrk = mm.brk = from + randomPages(options.random, PUD_SIZE / PAGE_SIZE);
}
