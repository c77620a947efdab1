// The two kinds of VmFile that mm makes itself: the nameless file behind shared anonymous memory, and kernel pages such as the vdso.
import { PAGE_SIZE, pageUp } from "../base/numbers.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { FileObject } from "./file-object.ts";
import { NamelessFile } from "./nameless-file.ts";
import type { MemoryObject, ShmemObject } from "./object.ts";
import type { VmFile } from "./vma.ts";

/** MAP_SHARED | MAP_ANONYMOUS: an unlinked file on the kernel's own tmpfs (device 00:01). */
export class AnonymousFile extends NamelessFile<ShmemObject> {
  readonly devMinor = 1;

  name(): string {
    return "/dev/zero (deleted)";
  }
}

/** Pages with fixed contents that the kernel maps ("[vdso]"): no file in /proc/PID/maps, only a name. */
export class SpecialFile implements VmFile {
  readonly object: MemoryObject;
  readonly devMajor = 0;
  readonly devMinor = 0;
  readonly inode = 0;
  readonly readable = true;
  readonly writable = false;
  readonly mergeKey = this;
  readonly #name: string;

  constructor(memory: MemoryManager, name: string, contents: Uint8Array) {
    this.#name = name;
    const source = {
      readPage(index: number, into: Uint8Array): number {
        into.set(contents.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE));
        return 0;
      },
      writePage: (): number => 0,
    };
    this.object = new FileObject(memory, source, pageUp(contents.length));
  }

  name(): string {
    return this.#name;
  }

  writeSealed(): boolean {
    return false;
  }

  get(): void {}
  put(): void {}
}
