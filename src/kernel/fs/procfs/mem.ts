// /proc/PID/mem and clear_refs: the memory of a process by address, and forgetting which pages it has touched.

import { EINVAL, EIO, ERANGE } from "../../../base/errno.ts";
import { type RefsOf, clearReferenced } from "../../../mm/clear-refs.ts";
import type { Mm } from "../../../mm/mm.ts";
import { accessRemote } from "../../../mm/usercopy.ts";
import type { Task } from "../../task.ts";
import { SEEK_CUR, SEEK_SET } from "../abi.ts";
import { OpenFile } from "../file.ts";
import type { Path } from "../inode.ts";

/** Positions are addresses; the whole range of a long can be asked for. */
export abstract class AddressFile extends OpenFile {
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

// What may be written to clear_refs.
const CLEAR_REFS_ALL = 1;
const CLEAR_REFS_ANON = 2;
const CLEAR_REFS_MAPPED = 3;
const CLEAR_REFS_SOFT_DIRTY = 4;
const CLEAR_REFS_MM_HIWATER_RSS = 5;

const KINDS: Readonly<Record<number, RefsOf>> = {
  [CLEAR_REFS_ALL]: "all",
  [CLEAR_REFS_ANON]: "anonymous",
  [CLEAR_REFS_MAPPED]: "mapped",
};

/** A write to /proc/PID/clear_refs: a decimal number. 0, -EINVAL, or -ERANGE beyond an int. Soft-dirty bits do not exist on riscv64: 4 has nothing to do. */
export function clearRefs(mm: Mm, text: string): number {
  if (/^\s*[-+]?[0-9]{10,}\s*$/.test(text) && Math.abs(Number(text)) >= 2 ** 31) return -ERANGE;
  const type = /^\s*\+?[0-9]+\s*$/.test(text) ? Number(text) : 0;
  if (type < CLEAR_REFS_ALL || type > CLEAR_REFS_MM_HIWATER_RSS) return -EINVAL;
  if (type === CLEAR_REFS_MM_HIWATER_RSS) mm.hiwaterRss = mm.rssAnon + mm.rssFile + mm.rssShmem;
  const kind = KINDS[type];
  if (type !== CLEAR_REFS_SOFT_DIRTY && kind !== undefined) clearReferenced(mm, kind);
  return 0;
}
