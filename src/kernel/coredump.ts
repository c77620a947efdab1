// Core dumps (fs/coredump.c, fs/binfmt_elf.c: elf_core_dump): the memory and registers of a program that a signal ends, as an ELF file in its working
// directory or wherever core_pattern says. Called by signal-delivery.ts while all threads are still there.
import { PAGE_SIZE, pageUp } from "../base/numbers.ts";
import type { Mm } from "../mm/mm.ts";
import { accessRemote } from "../mm/usercopy.ts";
import { VM_EXEC, VM_READ, VM_WRITE } from "../mm/vma.ts";
import { coreNotes } from "./core-notes.ts";
import { coreName } from "./core-pattern.ts";
import { dumpSize, pagesToDump } from "./core-segments.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, isRegular } from "./fs/abi.ts";
import { unlink } from "./fs/dirops.ts";
import type { OpenFile } from "./fs/file.ts";
import { RLIMIT_CORE } from "./rlimit.ts";
import type { SigInfo } from "./siginfo.ts";
import type { Task } from "./task.ts";

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const ET_CORE = 4;
const EM_RISCV = 243;
const PT_LOAD = 1;
const PT_NOTE = 4;

/** Writes at a position that runs ahead over holes; stops for good when the limit is reached or the file takes no more. */
class CoreWriter {
  readonly #task: Task;
  readonly #file: OpenFile;
  #left: number;
  #pos = 0;
  #end = 0;

  constructor(task: Task, file: OpenFile, limit: number) {
    this.#task = task;
    this.#file = file;
    this.#left = limit;
  }

  /** False: the rest of the core file is missing. */
  write(bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done);
      if (part.length > this.#left) return false;
      const written = this.#file.write(this.#task, part, this.#pos);
      if (typeof written !== "number" || written <= 0) return false;
      done += written;
      this.#left -= written;
      this.#pos += written;
    }
    this.#end = this.#pos;
    return true;
  }
  seek(pos: number): void {
    this.#pos = pos;
  }
  /** The file is as long as the position says. */
  finish(): void {
    if (this.#pos === this.#end) return;
    this.#pos--;
    this.write(new Uint8Array(1));
  }
}

interface Segment {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  /** Bytes in the file. */
  readonly size: number;
  readonly pages: readonly number[];
}

function segmentsOf(mm: Mm, filter: number): Segment[] {
  const segments: Segment[] = [];
  for (const vma of mm.vmas) {
    const size = dumpSize(mm, vma, filter);
    const pages = size === 0 ? [] : pagesToDump(mm, vma, vma.start + size);
    segments.push({ start: vma.start, end: vma.end, flags: vma.flags, size, pages });
  }
  return segments;
}

/** The ELF header, the program headers and the notes. */
function headers(segments: readonly Segment[], notes: readonly Uint8Array[]): { bytes: Uint8Array; data: number } {
  const noteSize = notes.reduce((sum, { length }) => sum + length, 0);
  const noteStart = EHDR_SIZE + PHDR_SIZE * (segments.length + 1);
  const data = pageUp(noteStart + noteSize);
  const bytes = new Uint8Array(noteStart + noteSize);
  const v = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  v.setUint16(16, ET_CORE, true);
  v.setUint16(18, EM_RISCV, true);
  v.setUint32(20, 1, true);
  v.setBigUint64(32, BigInt(EHDR_SIZE), true);
  v.setUint16(52, EHDR_SIZE, true);
  v.setUint16(54, PHDR_SIZE, true);
  v.setUint16(56, segments.length + 1, true);
  const phdr = (i: number, type: number, flags: number, words: readonly number[]): void => {
    const at = EHDR_SIZE + PHDR_SIZE * i;
    v.setUint32(at, type, true);
    v.setUint32(at + 4, flags, true);
    words.forEach((word, n) => v.setBigUint64(at + 8 + 8 * n, BigInt(word), true));
  };
  // offset, virtual and physical address, size in the file and in memory, alignment
  phdr(0, PT_NOTE, 0, [noteStart, 0, 0, noteSize, 0, 4]);
  let offset = data;
  segments.forEach(({ start, end, flags, size }, i) => {
    phdr(i + 1, PT_LOAD, elfFlags(flags), [offset, start, 0, size, end - start, PAGE_SIZE]);
    offset += size;
  });
  let at = noteStart;
  for (const note of notes) {
    bytes.set(note, at);
    at += note.length;
  }
  return { bytes, data };
}

const elfFlags = (flags: number): number =>
  ((flags & VM_READ) !== 0 ? 4 : 0) | ((flags & VM_WRITE) !== 0 ? 2 : 0) | ((flags & VM_EXEC) !== 0 ? 1 : 0);

function writeCore(writer: CoreWriter, task: Task, mm: Mm, info: SigInfo): void {
  const segments = segmentsOf(mm, task.process.coredumpFilter);
  const { bytes, data } = headers(segments, coreNotes(task, mm, info));
  if (!writer.write(bytes)) return;
  const page = new Uint8Array(PAGE_SIZE);
  let offset = data;
  for (const { start, size, pages } of segments) {
    for (const va of pages) {
      if (accessRemote(mm, va, page, { write: false, force: true }) !== PAGE_SIZE) continue;
      writer.seek(offset + va - start);
      if (!writer.write(page)) return;
    }
    offset += size;
  }
  writer.seek(offset);
  writer.finish();
}

/** The new file, empty; a program cannot be made to write into what was there before. Null if there can be none. */
function openCore(task: Task, name: string): OpenFile | null {
  const { vfs } = task.kernel;
  unlink(vfs, task, AT_FDCWD, name);
  const file = vfs.open(task, AT_FDCWD, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  if (typeof file === "number") return null;
  const { inode } = file;
  // A file system that gives it another owner or mode would show it to others.
  const own = inode !== null && isRegular(inode.mode) && (inode.mode & 0o677) === 0o600;
  if (own && inode.uid === task.creds.fsuid) return file;
  file.put();
  return null;
}

/**
 * do_coredump: writes the core file of the program that `info` ends, as far as RLIMIT_CORE goes. False: there is none — the limit is less than a
 * page, the program may not be dumped, or the file cannot be made.
 */
export function dumpCore(task: Task, info: SigInfo): boolean {
  const { process } = task;
  const limit = process.rlimit(RLIMIT_CORE);
  if (process.dumpable !== 1 || limit < PAGE_SIZE) return false;
  const name = coreName(task, info.signo);
  if (name === "") return false;
  const file = openCore(task, name);
  if (file === null) return false;
  writeCore(new CoreWriter(task, file, limit), task, task.mm, info);
  file.put();
  return true;
}
