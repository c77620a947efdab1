// Open directories: getdents64 over a snapshot taken when reading begins at the start, so that removing entries while reading
// (rm -r) neither skips nor repeats any. Opened by the file systems' directories.

import { EINVAL, EISDIR, ENOENT } from "../../base/errno.ts";
import type { Task } from "../task.ts";
import { S_IFDIR, SEEK_CUR, SEEK_SET, dirType, stringToBytes } from "./abi.ts";
import { OpenFile } from "./file.ts";
import type { DirEntry, Path } from "./inode.ts";
import { put64 } from "./stat.ts";

const DIRENT_HEADER = 19;

export class DirFile extends OpenFile {
  #snapshot: DirEntry[] | null = null;

  constructor(path: Path, flags: number) {
    super(flags, path);
  }
  override get pollable(): boolean {
    return false;
  }
  override get seekable(): boolean {
    return true;
  }
  override read(): number {
    return -EISDIR;
  }
  override fsync(): number {
    return 0;
  }
  /** Positions are indices of entries; seeking to 0 makes the next read see the directory as it is then. */
  override seek(offset: number, whence: number): number {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -EINVAL;
    return super.seek(offset, whence);
  }

  /** linux_dirent64 records from the position on, at most `capacity` bytes; empty at the end. -EINVAL: not even one fits. */
  getdents(task: Task, capacity: number): Uint8Array | number {
    const inode = this.inode!;
    if (inode.nlink === 0) return -ENOENT;
    if (this.pos === 0 || !this.#snapshot) {
      const entries = inode.entries(task);
      if (typeof entries === "number") return entries;
      const dentry = this.path!.dentry;
      const parent = dentry.parent.inode;
      const self = (name: string, ino: number): DirEntry => ({ name, ino, type: dirType(S_IFDIR) });
      this.#snapshot = [self(".", inode.ino), self("..", parent.ino), ...entries];
      inode.atime = inode.fs.now();
    }
    return this.#encode(this.#snapshot, Math.min(capacity, 1 << 20));
  }

  #encode(entries: readonly DirEntry[], capacity: number): Uint8Array | number {
    const out = new Uint8Array(Math.min(capacity, (entries.length - this.pos) * 288 + 8));
    const view = new DataView(out.buffer);
    let used = 0;
    while (this.pos < entries.length) {
      const { name, ino, type } = entries[this.pos]!;
      if (this.pos >= 2 && !this.inode!.stillLists(name)) {
        this.pos++;
        continue;
      }
      const length = (DIRENT_HEADER + name.length + 1 + 7) & ~7;
      if (used + length > capacity) return used === 0 ? -EINVAL : out.subarray(0, used);
      put64(view, used, ino);
      put64(view, used + 8, this.pos + 1);
      view.setUint16(used + 16, length, true);
      out[used + 18] = type;
      out.set(stringToBytes(name), used + DIRENT_HEADER);
      used += length;
      this.pos++;
    }
    return out.subarray(0, used);
  }
}
