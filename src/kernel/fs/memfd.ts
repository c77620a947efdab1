// memfd_create(2): files without a name on the tmpfs that nobody sees (mm/memfd.c). Called by syscall/fd.ts.

import { EINVAL, ENODEV } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { F_SEAL_EXEC, F_SEAL_SEAL, O_LARGEFILE, O_RDWR, S_IFREG } from "./abi.ts";
import { HugetlbFile, HugetlbInode } from "./hugetlbfs.ts";
import type { NewInode } from "./inode.ts";
import { type RamFile, type RamFs, RamRegularFile, unnamedFile } from "./ramfs.ts";
import type { RegularFile } from "./regular.ts";
import type { Vfs } from "./vfs.ts";

export const MFD_CLOEXEC = 0x1;
export const MFD_ALLOW_SEALING = 0x2;
export const MFD_HUGETLB = 0x4;
export const MFD_NOEXEC_SEAL = 0x8;
export const MFD_EXEC = 0x10;
/** NAME_MAX without "memfd:" (MFD_NAME_MAX_LEN). */
export const MFD_NAME_MAX = 249;
/** With MFD_HUGETLB the upper six bits are the page size, as its logarithm. */
const HUGE_SIZE_SHIFT = 26;
const HUGE_SIZE_BITS = 0xfc000000;

class MemfdFile extends RamRegularFile {
  readonly #name: string;
  readonly #inode: RamFile;
  constructor(vfs: Vfs, inode: RamFile, name: string, flags: number) {
    super(vfs, inode, null, flags);
    this.#name = name;
    this.#inode = inode;
  }
  override linkText(): string {
    return `/memfd:${this.#name} (deleted)`;
  }
  override reopen(_task: Task, flags: number): RegularFile {
    return new MemfdFile(this.vfs, this.#inode, this.#name, flags | O_LARGEFILE);
  }
}

/** A new memfd on `fs`, or -EINVAL for flags that do not go together, -ENODEV for huge pages of a size that there is not. */
export function memfdCreate(task: Task, fs: RamFs, name: string, flags: number): RegularFile | number {
  const known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
  if (flags & ~(flags & MFD_HUGETLB ? known | HUGE_SIZE_BITS : known)) return -EINVAL;
  if (flags & MFD_EXEC && flags & MFD_NOEXEC_SEAL) return -EINVAL;
  const mode = S_IFREG | (flags & MFD_NOEXEC_SEAL ? 0o666 : 0o777);
  const make = { mode, uid: task.creds.fsuid, gid: task.creds.fsgid };
  if (flags & MFD_HUGETLB) return hugeMemfd(task, name, flags, make);
  const inode = unnamedFile(fs, make);
  inode.seals = initialSeals(flags);
  return new MemfdFile(task.kernel.vfs, inode, name, O_RDWR | O_LARGEFILE);
}

function initialSeals(flags: number): number {
  if (flags & MFD_NOEXEC_SEAL) return F_SEAL_EXEC;
  return flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
}

class HugeMemfdFile extends HugetlbFile {
  readonly #name: string;
  constructor(vfs: Vfs, inode: HugetlbInode, name: string, flags: number) {
    super(vfs, inode, null, flags);
    this.#name = name;
  }
  override linkText(): string {
    return `/memfd:${this.#name} (deleted)`;
  }
  override reopen(_task: Task, flags: number): RegularFile {
    return new HugeMemfdFile(this.vfs, this.inode, this.#name, flags | O_LARGEFILE);
  }
}

function hugeMemfd(task: Task, name: string, flags: number, make: NewInode): RegularFile | number {
  const { vfs, memory } = task.kernel;
  const pool = memory.hugetlb.poolFor(flags >>> HUGE_SIZE_SHIFT);
  const fs = vfs.hugeMemfds.find((each) => each.pool === pool);
  if (fs === undefined) return -ENODEV;
  const inode = new HugetlbInode(fs, make);
  inode.nlink = 0;
  inode.seals = initialSeals(flags);
  return new HugeMemfdFile(vfs, inode, name, O_RDWR | O_LARGEFILE);
}
