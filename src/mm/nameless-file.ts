// The file behind anonymous shared memory, of small pages (vm-file.ts) or huge ones (hugetlb-object.ts): it lives as long as VMAs hold it. A file of its
// own, so that neither kind imports the other.
import type { MemoryObject } from "./object.ts";
import type { VmFile } from "./vma.ts";

export abstract class NamelessFile<Backing extends MemoryObject> implements VmFile {
  readonly object: Backing;
  readonly devMajor = 0;
  abstract readonly devMinor: number;
  readonly inode: number;
  readonly readable = true;
  readonly writable = true;
  readonly mergeKey = this;
  #references = 0;

  constructor(object: Backing, inode: number) {
    this.object = object;
    this.inode = inode;
  }

  abstract name(): string;

  writeSealed(): boolean {
    return false;
  }

  get(): void {
    this.#references++;
  }

  put(): void {
    if (--this.#references === 0) this.object.release();
  }
}
