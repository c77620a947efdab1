// /proc/PID/mem, pagemap and clear_refs: the memory of a process and the state of its pages, by address.

import { EINVAL, EIO } from "../../../base/errno.ts";
import { TASK_SIZE } from "../../../base/limits.ts";
import { PAGE_SIZE } from "../../../base/numbers.ts";
import { PTE_A, ptePfn } from "../../../machine/pte.ts";
import { KIND_ANON, KIND_ZERO } from "../../../mm/frame.ts";
import type { Mm } from "../../../mm/mm.ts";
import { findTable, leafIndex, readLeaf, PTE_PRESENT } from "../../../mm/page-table.ts";
import { accessRemote } from "../../../mm/usercopy.ts";
import { CAP_SYS_ADMIN } from "../../creds.ts";
import type { Task } from "../../task.ts";
import { SEEK_CUR, SEEK_SET } from "../abi.ts";
import { OpenFile } from "../file.ts";
import type { Path } from "../inode.ts";
import { parseNumber } from "./format.ts";
import { walkLeaves } from "./smaps.ts";

/** Positions are addresses; the whole range of a long can be asked for. */
abstract class AddressFile extends OpenFile {
  protected readonly mm: Mm;
  constructor(mm: Mm, path: Path, flags: number) {
    super(flags, path);
    this.mm = mm;
  }
  override get seekable(): boolean {
    return true;
  }
  override get pollable(): boolean {
    return false;
  }
  override get spliceable(): boolean {
    return false;
  }
  /** The memory is still there. */
  protected get alive(): boolean {
    return this.mm.users > 0;
  }
}

/** An open /proc/PID/mem. */
export class MemoryFile extends AddressFile {
  override seek(offset: number, whence: number): number {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -EINVAL;
    return (this.pos = whence === SEEK_SET ? offset : this.pos + offset);
  }
  override read(_task: Task, length: number, pos: number | undefined): Uint8Array | number {
    const bytes = new Uint8Array(Math.min(length, 1 << 20));
    const n = this.#access(bytes, pos, { write: false });
    return n < 0 ? n : bytes.subarray(0, n);
  }
  override write(_task: Task, data: Uint8Array, pos: number | undefined): number {
    return this.#access(data, pos, { write: true });
  }
  #access(bytes: Uint8Array, pos: number | undefined, { write }: { write: boolean }): number {
    const at = pos ?? this.pos;
    if (!this.alive || bytes.length === 0) return 0;
    const n = accessRemote(this.mm, at, bytes, { write, force: true });
    if (n <= 0) return -EIO;
    if (pos === undefined) this.pos = at + n;
    return n;
  }
}

// The bits of a pagemap entry (Documentation/admin-guide/mm/pagemap.rst).
const PM_MMAP_EXCLUSIVE = 1n << 56n;
const PM_FILE = 1n << 61n;
const PM_PRESENT = 1n << 63n;
const ENTRY = 8;

/** An open /proc/PID/pagemap: 64 bits for each page. */
export class PagemapFile extends AddressFile {
  /** Frame numbers are for CAP_SYS_ADMIN. */
  readonly #showFrames: boolean;
  constructor(opener: Task, mm: Mm, path: Path, flags: number) {
    super(mm, path, flags);
    this.#showFrames = opener.capable(CAP_SYS_ADMIN);
  }
  override seek(offset: number, whence: number): number {
    return whence === SEEK_SET || whence === SEEK_CUR ? super.seek(offset, whence) : -EINVAL;
  }
  override read(_task: Task, length: number, pos: number | undefined): Uint8Array | number {
    const at = pos ?? this.pos;
    if (!this.alive) return new Uint8Array(0);
    if (at % ENTRY !== 0 || length % ENTRY !== 0) return -EINVAL;
    const first = at / ENTRY;
    const count = Math.min(length / ENTRY, Math.max(0, TASK_SIZE / PAGE_SIZE - first), 1 << 17);
    const bytes = new Uint8Array(count * ENTRY);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) view.setBigUint64(i * ENTRY, this.#entry((first + i) * PAGE_SIZE), true);
    if (pos === undefined) this.pos = at + bytes.length;
    return bytes;
  }
  #entry(va: number): bigint {
    const { frames, ram } = this.mm.memory;
    const pte = readLeaf(ram, this.mm.root, va);
    if ((pte & PTE_PRESENT) === 0) return 0n;
    const pfn = ptePfn(pte);
    let entry = PM_PRESENT | (this.#showFrames ? BigInt(pfn) : 0n);
    const kind = frames.kind[pfn];
    if (kind === KIND_ZERO) return entry;
    if (kind !== KIND_ANON) entry |= PM_FILE;
    if (frames.mapcount[pfn] === 1) entry |= PM_MMAP_EXCLUSIVE;
    return entry;
  }
}

// What may be written to clear_refs.
const CLEAR_REFS_ALL = 1;
const CLEAR_REFS_ANON = 2;
const CLEAR_REFS_MAPPED = 3;
const CLEAR_REFS_SOFT_DIRTY = 4;
const CLEAR_REFS_MM_HIWATER_RSS = 5;

/** A write to /proc/PID/clear_refs. 0 or -EINVAL. Soft-dirty bits do not exist on riscv64: 4 has nothing to do. */
export function clearRefs(mm: Mm, text: string): number {
  const type = parseNumber(text);
  if (type === undefined || type < CLEAR_REFS_ALL || type > CLEAR_REFS_MM_HIWATER_RSS) return -EINVAL;
  if (type === CLEAR_REFS_MM_HIWATER_RSS) {
    mm.hiwaterRss = mm.rssAnon + mm.rssFile + mm.rssShmem;
    return 0;
  }
  if (type === CLEAR_REFS_SOFT_DIRTY) return 0;
  const { ram } = mm.memory;
  const tlb = mm.memory.beginGather();
  for (const vma of mm.vmas) {
    // A region's pages are referenced by all who share it.
    if (vma.window !== null) continue;
    if (type === CLEAR_REFS_ANON && vma.object !== null) continue;
    if (type === CLEAR_REFS_MAPPED && vma.object === null) continue;
    walkLeaves(mm, vma.start, vma.end, (va, pte) => {
      const table = findTable(ram, mm.root, va);
      ram.writePte(table, leafIndex(va), pte & ~PTE_A);
      tlb.touch(mm, table, leafIndex(va));
    });
  }
  tlb.finish();
  return 0;
}
