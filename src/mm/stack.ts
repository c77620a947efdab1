// Stacks: VMAs that grow down on a fault (expand_downwards, acct_stack_growth), and the one that exec makes. Used by fault and by kernel/exec.
import { EFAULT, ENOMEM, EPERM } from "../base/errno.ts";
import { MMAP_MIN_ADDR } from "../base/limits.ts";
import { PAGE_SIZE, pageDown, pageUp } from "../base/numbers.ts";
import { accountVm, mayExpandVm, mlockFutureOk } from "./accounting.ts";
import { prepareAnonVma } from "./anon-vma.ts";
import { linkVma } from "./merge.ts";
import type { Mm } from "./mm.ts";
import {
  STACK_GUARD_GAP,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
  Vma,
} from "./vma.ts";

/** What exec adds below the arguments (setup_arg_pages: stack_expand). */
const STACK_EXPAND = 131072;

/** Lets a VM_GROWSDOWN VMA reach down to `address`. 0, or a negative errno (the access is a SIGSEGV then). */
export function expandStack(vma: Vma, address: number): number {
  const { mm } = vma;
  if ((vma.flags & VM_GROWSDOWN) === 0) return -EFAULT;
  const start = pageDown(address);
  if (start < MMAP_MIN_ADDR) return -EPERM;
  const prev = mm.vmas.prev(vma);
  if (prev !== null) {
    const accessible = (prev.flags & VM_ACCESS_FLAGS) !== 0 || prev.window !== null;
    if ((prev.flags & VM_GROWSDOWN) === 0 && accessible && start - prev.endGap < STACK_GUARD_GAP) return -ENOMEM;
    if (start < prev.endGap) return -ENOMEM;
  }
  prepareAnonVma(vma, prev, mm.vmas.next(vma));
  if (start >= vma.start) return 0;
  const grow = (vma.start - start) / PAGE_SIZE;
  if (grow > vma.pgoff) return -ENOMEM;
  const limits =
    mayExpandVm(mm, vma.flags, grow) &&
    vma.end - start <= mm.limits.stack &&
    mlockFutureOk(mm, vma.flags, grow * PAGE_SIZE) &&
    ((vma.flags & VM_ACCOUNT) === 0 || mm.memory.commit(grow));
  if (!limits) return -ENOMEM;
  if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm += grow;
  accountVm(mm, vma.flags, grow);
  vma.start = start;
  vma.pgoff -= grow;
  mm.memory.khugepaged.enterVma(vma);
  mm.noteHighWater();
  return 0;
}

/**
 * exec's stack: a VMA that ends at `top` and has room for `bytes` of strings, plus 128 KiB as Linux adds (within RLIMIT_STACK). Sets no
 * layout field but the accounting. 0 or -ENOMEM.
 */
export function setupStack(mm: Mm, top: number, bytes: number, options: { executable: boolean }): number {
  const used = pageUp(bytes);
  const size = Math.max(used, Math.min(used + STACK_EXPAND, pageDown(Math.max(mm.limits.stack, PAGE_SIZE))));
  const start = top - size;
  let flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_GROWSDOWN | VM_ACCOUNT | mm.defFlags;
  if (options.executable) flags |= VM_EXEC;
  if (!mayExpandVm(mm, flags, size / PAGE_SIZE) || !mm.memory.commit(size / PAGE_SIZE)) return -ENOMEM;
  const vma = new Vma(mm, start, top, flags, start / PAGE_SIZE, null);
  linkVma(vma);
  accountVm(mm, flags, size / PAGE_SIZE);
  if ((flags & VM_LOCKED) !== 0) mm.lockedVm += size / PAGE_SIZE;
  return 0;
}
