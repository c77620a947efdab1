// memfd_create(2): files without a name on the tmpfs that nobody sees (mm/memfd.c). Called by syscall/fd.ts.

import { EINVAL, ENOSYS } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { F_SEAL_EXEC, F_SEAL_SEAL, O_LARGEFILE, O_RDWR, S_IFREG } from "./abi.ts";
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
/** With MFD_HUGETLB the upper six bits are the page size. */
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

/** A new memfd on `fs`, or -EINVAL for flags that do not go together, -ENOSYS for huge pages (as a kernel without hugetlbfs says). */
export function memfdCreate(task: Task, fs: RamFs, name: string, flags: number): RegularFile | number {
  const known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
  if (flags & ~(flags & MFD_HUGETLB ? known | HUGE_SIZE_BITS : known)) return -EINVAL;
  if (flags & MFD_EXEC && flags & MFD_NOEXEC_SEAL) return -EINVAL;
  if (flags & MFD_HUGETLB) return -ENOSYS;
  const mode = S_IFREG | (flags & MFD_NOEXEC_SEAL ? 0o666 : 0o777);
  const inode = unnamedFile(fs, { mode, uid: task.creds.fsuid, gid: task.creds.fsgid });
  if (flags & MFD_NOEXEC_SEAL) inode.seals = F_SEAL_EXEC;
  else inode.seals = flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
  return new MemfdFile(task.kernel.vfs, inode, name, O_RDWR | O_LARGEFILE);
}
