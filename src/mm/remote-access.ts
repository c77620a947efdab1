// Access to the memory of another program (access_remote_vm): /proc/PID/mem, ptrace, process_vm_readv, core dumps. With `force` the rights of
// the VMA count only as far as VM_MAY* go: a debugger may write a breakpoint into read-only code, into a private copy of the page.
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import { PTE_W } from "../machine/pte.ts";
import { ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { readLeaf, PTE_PRESENT } from "./page-table.ts";
import { resolveAhead } from "./fault.ts";
import { FRAME_EXCLUSIVE, KIND_ANON } from "./frame.ts";
import { isHugetlb } from "./hugetlb-vma.ts";
import type { Mm } from "./mm.ts";
import { userFrame } from "./usercopy.ts";
import { VM_MAYREAD, VM_MAYWRITE, VM_READ, VM_SHARED, VM_WRITE } from "./vma.ts";

export interface RemoteAccess {
  /** Store `bytes`; else they are filled. */
  readonly write: boolean;
  /** FOLL_FORCE. */
  readonly force: boolean;
}

/** Transfers `bytes` to or from `addr`; returns how many got across before something could not be accessed. */
export function accessRemote(mm: Mm, addr: number, bytes: Uint8Array, options: RemoteAccess): number {
  const { ram } = mm.memory;
  let done = 0;
  while (done < bytes.length) {
    const va = addr + done;
    const pfn = remoteFrame(mm, va, options);
    if (pfn === 0) break;
    const offset = va % PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - offset, bytes.length - done);
    if (options.write) ram.write(pfn, offset, bytes.subarray(done, done + count));
    else bytes.set(ram.bytes(pfn, offset, count), done);
    done += count;
  }
  return done;
}

/** The frame of `va`, present and fit for the access; 0 if that is not allowed. */
function remoteFrame(mm: Mm, va: number, options: RemoteAccess): Pfn {
  const access = options.write ? ACCESS_WRITE : ACCESS_READ;
  const vma = mm.vmas.lookup(va);
  if (vma === null) return 0 as Pfn;
  const allowed = (vma.flags & (options.write ? VM_WRITE : VM_READ)) !== 0;
  if (allowed || vma.window !== null) return userFrame(mm, va, access);
  if (!options.force || (options.write && isHugetlb(vma))) return 0 as Pfn;
  if (options.write ? (vma.flags & (VM_SHARED | VM_MAYWRITE)) !== VM_MAYWRITE : (vma.flags & VM_MAYREAD) === 0)
    return 0 as Pfn;
  const { ram, frames } = mm.memory;
  for (let tries = 0; tries < 2; tries++) {
    const pte = readLeaf(ram, mm.root, va);
    const pfn = (pte >>> 10) as Pfn;
    if ((pte & PTE_PRESENT) !== 0) {
      if (!options.write || (pte & PTE_W) !== 0) return pfn;
      if (frames.kind[pfn] === KIND_ANON && (frames.flags[pfn] & FRAME_EXCLUSIVE) !== 0) return pfn;
    }
    if (resolveAhead(vma, va, access) < 0) return 0 as Pfn;
  }
  return 0 as Pfn;
}
