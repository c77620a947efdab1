// Reverse mapping of private pages (mm/rmap.c): an AnonVma lists the VMAs in which a page may be mapped. It also decides which VMAs may merge,
// which /proc/PID/maps shows; so parents, children and reuse are kept exactly as in Linux. Used by fault, fork, merge and rmap; owned by VMAs.
import { VM_ACCESS_FLAGS, VM_SOFTDIRTY, type Vma } from "./vma.ts";

export class AnonVma {
  readonly root: AnonVma;
  readonly parent: AnonVma;
  /** AnonVmas forked from this one (a root counts itself). */
  children = 0;
  /** VMAs whose `anonVma` this is. */
  activeVmas = 0;
  /** Every VMA that has this in its chain: where its pages may be mapped. */
  readonly vmas = new Set<Vma>();

  constructor(parent: AnonVma | null) {
    this.parent = parent ?? this;
    this.root = parent === null ? this : parent.root;
    this.parent.children++;
  }
}

function link(vma: Vma, anonVma: AnonVma): void {
  vma.anonChain.push(anonVma);
  anonVma.vmas.add(vma);
}

/** anon_vma_prepare: a private page is about to be mapped in `vma`. `prev` and `next` are its neighbours in the tree, or null. */
export function prepareAnonVma(vma: Vma, prev: Vma | null, next: Vma | null): AnonVma {
  if (vma.anonVma !== null) return vma.anonVma;
  const anonVma = reusable(next, vma, next) ?? reusable(prev, prev, vma) ?? new AnonVma(null);
  vma.anonVma = anonVma;
  link(vma, anonVma);
  anonVma.activeVmas++;
  return anonVma;
}

/** reusable_anon_vma: a and b (in address order) could merge but for their access rights, and `old`'s anon_vma was not inherited. */
function reusable(old: Vma | null, a: Vma | null, b: Vma | null): AnonVma | null {
  if (old === null || a === null || b === null) return null;
  const compatible =
    a.end === b.start &&
    a.file?.mergeKey === b.file?.mergeKey &&
    a.window === null &&
    b.window === null &&
    ((a.flags ^ b.flags) & ~(VM_ACCESS_FLAGS | VM_SOFTDIRTY)) === 0 &&
    b.pgoff === a.pgoff + a.pages;
  return compatible && old.anonVma !== null && old.anonChain.length === 1 ? old.anonVma : null;
}

/** anon_vma_clone: `dst` can hold every page that `src` can (split, mremap, merge, first half of fork). */
export function cloneAnonVma(dst: Vma, src: Vma): void {
  for (const anonVma of src.anonChain) {
    link(dst, anonVma);
    // Reuse an ancestor that no VMA uses any more and that has one child at most: keeps chains short in long lines of forks.
    if (dst.anonVma === null && src.anonVma !== null && anonVma.children < 2 && anonVma.activeVmas === 0)
      dst.anonVma = anonVma;
  }
  if (dst.anonVma !== null) dst.anonVma.activeVmas++;
}

/** anon_vma_fork: the child's VMA sees the parent's pages, and has an AnonVma of its own for its copies. */
export function forkAnonVma(child: Vma, parent: Vma): void {
  if (parent.anonVma === null) return;
  child.anonVma = null;
  cloneAnonVma(child, parent);
  if (child.anonVma !== null) return;
  const own = new AnonVma(parent.anonVma);
  own.activeVmas++;
  child.anonVma = own;
  link(child, own);
}

/** unlink_anon_vmas: the VMA goes, or has moved its pages away. */
export function unlinkAnonVmas(vma: Vma): void {
  for (const anonVma of vma.anonChain) {
    anonVma.vmas.delete(vma);
    if (anonVma.vmas.size === 0) anonVma.parent.children--;
  }
  vma.anonChain = [];
  if (vma.anonVma !== null) {
    vma.anonVma.activeVmas--;
    vma.anonVma = null;
  }
}
