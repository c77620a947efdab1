// verify(): recounts everything that mm keeps count of, from the page tables up, and throws with what is wrong. For tests, --verify and exits;
// it reads, and changes nothing. DESIGN.md §3 says what it must hold.
import { KernelBug } from "../base/bug.ts";
import { PAGE_SIZE, type Pfn } from "../base/numbers.ts";
import type { CachedTranslation } from "../machine/mmu.ts";
import { ENTRIES, LEVEL_SIZE, PTE_U, PTE_V, PTE_W, PTE_X, ROOT_LEVEL, isTable, ptePfn } from "../machine/pte.ts";
import type { Ram } from "../machine/ram.ts";
import { accountVm } from "./accounting.ts";
import { checkCharges } from "./memcg-verify.ts";
import {
  type FrameAllocator,
  KIND_ANON,
  KIND_FILE,
  KIND_FREE,
  KIND_HUGETLB,
  KIND_SHMEM,
  KIND_TABLE,
  KIND_ZERO,
} from "./frame.ts";
import { checkPools } from "./hugetlb-verify.ts";
import { hugetlbOf, isHugetlb, isPrivateHuge, poolOf } from "./hugetlb-vma.ts";
import type { MemoryManager } from "./memory-manager.ts";
import { Mm } from "./mm.ts";
import { PTE_PRESENT, PTE_PROT_NONE, findHugeLeaf, isHugeLeaf, protectionBits, readLeaf } from "./page-table.ts";
import { ShmemObject } from "./object.ts";
import { countRss } from "./rmap.ts";
import { isSwapPte, swapSlot } from "./swap.ts";
import { HugeCheck } from "./thp-verify.ts";
import { WindowCheck } from "./window-verify.ts";
import { VM_ACCOUNT, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/** Throws KernelBug with every mismatch found (the first 20 as text). */
export function verifyMemory(memory: MemoryManager): void {
  new Verification(memory).run();
}

class Verification {
  readonly #memory: MemoryManager;
  readonly #problems: string[] = [];
  /** Expected references and mappings of each frame. */
  readonly #references: Int32Array;
  readonly #mappings: Int32Array;
  /** Expected references of each swap slot. */
  readonly #slots: number[] = [];
  /** Leaves that map hugetlb pages. */
  #hugetlbMapped = 0;
  /** The mm that a page table belongs to. */
  readonly #tableOwner = new Map<number, Mm>();
  readonly #windows = new WindowCheck();
  readonly #huge: HugeCheck;

  constructor(memory: MemoryManager) {
    this.#memory = memory;
    const { frames } = memory;
    this.#references = frames.recount.references.fill(0);
    this.#mappings = frames.recount.mappings.fill(0);
    this.#huge = new HugeCheck(memory, this.#problems);
  }

  run(): void {
    const { mms } = this.#memory;
    // Regions first: what a process reaches of their tables is then known to be theirs.
    const hosts = new Set<Mm>();
    for (const mm of mms)
      for (const vma of mm.vmas) if (vma.window !== null && !vma.window.dead) hosts.add(vma.window.host);
    for (const mm of mms) if (mm.sharers.size > 0 || mm.viewOf !== null) hosts.add(mm);
    for (const mm of hosts) if (mms.has(mm)) this.#checkMm(mm);
    for (const mm of mms) if (!hosts.has(mm)) this.#checkMm(mm);
    this.#problems.push(...this.#windows.problems(this.#memory));
    this.#checkObjects();
    this.#huge.checkBlocks();
    this.#checkFrames();
    this.#problems.push(...checkPools(this.#memory, this.#hugetlbMapped));
    this.#checkSwap();
    this.#problems.push(...checkCharges(this.#memory));
    this.#checkCommit();
    this.#checkTlbs();
    if (this.#problems.length === 0) return;
    const more = this.#problems.length > 20 ? `\n… and ${this.#problems.length - 20} more` : "";
    throw new KernelBug(`memory does not add up:\n${this.#problems.slice(0, 20).join("\n")}${more}`);
  }

  #expect(what: string, found: number, expected: number): void {
    if (found !== expected) this.#problems.push(`${what} is ${found}, should be ${expected}`);
  }

  /** Tables, entries, RSS, table bytes and VMA accounts of one mm. */
  #checkMm(mm: Mm): void {
    const count = new Mm(this.#memory, mm.id, mm.memcg);
    this.#checkVmas(mm, count);
    this.#references[mm.root]++;
    this.#tableOwner.set(mm.root, mm);
    this.#checkTable(mm, mm.root, ROOT_LEVEL, 0, count);
    for (const table of this.#huge.checkDeposits(mm)) {
      this.#references[table]++;
      count.tableBytes += PAGE_SIZE;
    }
    const name = `mm ${mm.id}:`;
    this.#expect(`${name} tableBytes`, mm.tableBytes, count.tableBytes);
    this.#expect(`${name} rssAnon`, mm.rssAnon, count.rssAnon);
    this.#expect(`${name} rssFile`, mm.rssFile, count.rssFile);
    this.#expect(`${name} rssShmem`, mm.rssShmem, count.rssShmem);
    this.#expect(`${name} hugetlbPages`, mm.hugetlbPages, count.hugetlbPages);
    this.#expect(`${name} swapPages`, mm.swapPages, count.swapPages);
    this.#expect(`${name} totalVm`, mm.totalVm, count.totalVm);
    this.#expect(`${name} dataVm`, mm.dataVm, count.dataVm);
    this.#expect(`${name} execVm`, mm.execVm, count.execVm);
    this.#expect(`${name} stackVm`, mm.stackVm, count.stackVm);
    // Not lockedVm: mremap with MREMAP_DONTUNMAP unlocks the whole old VMA and leaves the count, as in Linux.
  }

  #checkVmas(mm: Mm, count: Mm): void {
    let end = 0;
    for (const vma of mm.vmas) {
      const at = `mm ${mm.id}: VMA ${vma.start.toString(16)}-${vma.end.toString(16)}`;
      if (vma.start < end || vma.start >= vma.end) this.#problems.push(`${at} is out of order or empty`);
      if (vma.start % PAGE_SIZE !== 0 || vma.end % PAGE_SIZE !== 0) this.#problems.push(`${at} is not page-aligned`);
      if (vma.object !== null && !vma.object.mappings.has(vma))
        this.#problems.push(`${at} is not in its object's list`);
      if (vma.mm !== mm) this.#problems.push(`${at} belongs to mm ${vma.mm.id}`);
      for (const anonVma of vma.anonChain)
        if (!anonVma.vmas.has(vma)) this.#problems.push(`${at} is not in its anon_vma's list`);
      end = vma.end;
      accountVm(count, vma.flags, vma.pages);
    }
  }

  #checkTable(mm: Mm, table: Pfn, level: number, base: number, count: Mm): void {
    const { ram } = this.#memory;
    for (let i = 0; i < ENTRIES; i++) {
      const pte = ram.readPte(table, i);
      if (pte === 0) continue;
      const va = base + i * LEVEL_SIZE[level];
      if (level === 0) {
        this.#checkLeaf(mm, va, pte, count);
        continue;
      }
      if (!isTable(pte) && this.#memory.frames.kind[ptePfn(pte)] === KIND_HUGETLB) {
        this.#checkHugetlb(mm, va, level, pte, count);
        continue;
      }
      if (level === 1 && isHugeLeaf(pte)) {
        for (const { at, page } of this.#huge.checkLeaf(mm, va, pte)) this.#checkLeaf(mm, at, page, count);
        continue;
      }
      if (!isTable(pte)) {
        this.#problems.push(`mm ${mm.id}: entry ${pte.toString(16)} at level ${level} for ${va.toString(16)}`);
        continue;
      }
      const child = ptePfn(pte);
      this.#references[child]++;
      const owner = this.#tableOwner.get(child);
      if (owner !== undefined) {
        this.#checkLink(mm, va, LEVEL_SIZE[level], owner);
        continue;
      }
      this.#tableOwner.set(child, mm);
      count.tableBytes += PAGE_SIZE;
      this.#checkTable(mm, child, level - 1, va, count);
    }
  }

  /** A table of another mm may only be reached within the slot of a window on that mm. */
  #checkLink(mm: Mm, va: number, size: number, owner: Mm): void {
    if (this.#windows.countLink(mm, va, size, owner)) return;
    this.#problems.push(
      `mm ${mm.id}: ${va.toString(16)} is linked to a table of mm ${owner.id} without a window there`,
    );
  }

  #checkLeaf(mm: Mm, va: number, pte: number, count: Mm): void {
    const { frames } = this.#memory;
    const where = (): string => `mm ${mm.id}: entry ${pte.toString(16)} for ${va.toString(16)}`;
    if (isSwapPte(pte)) {
      count.swapPages++;
      this.#slots[swapSlot(pte)] = (this.#slots[swapSlot(pte)] ?? 0) + 1;
      return;
    }
    if ((pte & PTE_PRESENT) === 0) {
      this.#problems.push(`${where()} is neither empty nor present`);
      return;
    }
    const vma = (mm.viewOf ?? mm).vmas.lookup(va);
    const rules = vma === null ? null : rulesFor(vma, va);
    if (vma === null || rules === null) {
      this.#problems.push(`${where()} is in no VMA`);
      return;
    }
    if ((pte & PTE_U) === 0) this.#problems.push(`${where()} is not a user page`);
    const pfn = ptePfn(pte);
    // A window's own flags count as well, and a view never lets anything be written.
    const isCopy = vma.window !== null && (vma.flags & VM_SHARED) === 0 && frames.kind[ptePfn(pte)] === KIND_ANON;
    const isOwn = vma.window === null || (vma.flags & VM_SHARED) !== 0 || isCopy;
    const canWrite = isOwn && (rules.vma.flags & vma.flags & VM_WRITE) !== 0 && mm.viewOf === null;
    const allowed = protectionBits(rules.vma.flags) | (canWrite ? PTE_W : 0);
    const rights = PTE_V | PTE_PROT_NONE | PTE_W | PTE_X | 2;
    if ((pte & rights & ~allowed) !== 0) this.#problems.push(`${where()} allows more than its VMA`);
    if (frames.kind[pfn] === KIND_ZERO) {
      if ((pte & PTE_W) !== 0) this.#problems.push(`${where()} lets the zero page be written`);
      return;
    }
    const kind = frames.kind[pfn];
    this.#references[pfn]++;
    this.#mappings[pfn]++;
    if ((vma.window === null || isCopy) && mm.viewOf === null) countRss(count, kind, 1);
    this.#checkPage(where, isCopy ? { vma, va } : rules, pfn, pte);
  }

  /** A leaf that maps a hugetlb page; its first frame's counts stand for all. */
  #checkHugetlb(mm: Mm, va: number, level: number, pte: number, count: Mm): void {
    const { frames, hugetlb } = this.#memory;
    const where = (): string => `mm ${mm.id}: hugetlb entry ${pte.toString(16)} for ${va.toString(16)}`;
    const head = ptePfn(pte);
    const pool = hugetlb.poolOf(head);
    if (pool?.level !== level) this.#problems.push(`${where()} is at level ${level}, not where its page belongs`);
    this.#references[head]++;
    this.#mappings[head]++;
    this.#hugetlbMapped++;
    const vma = (mm.viewOf ?? mm).vmas.lookup(va);
    const rules = vma === null ? null : rulesFor(vma, va);
    if (vma === null || rules === null || !isHugetlb(rules.vma) || poolOf(rules.vma) !== pool) {
      this.#problems.push(`${where()} is in no VMA of such pages`);
      return;
    }
    const isPrivate = isPrivateHuge(mm, head);
    const isShared = (rules.vma.flags & VM_SHARED) !== 0 && (vma.window === null || (vma.flags & VM_SHARED) !== 0);
    const canWrite = (rules.vma.flags & vma.flags & VM_WRITE) !== 0 && mm.viewOf === null && (isShared || isPrivate);
    const allowed = protectionBits(rules.vma.flags) | (canWrite ? PTE_W : 0);
    if ((pte & (PTE_V | PTE_PROT_NONE | PTE_W | PTE_X | 2) & ~allowed) !== 0)
      this.#problems.push(`${where()} allows more than its VMA`);
    if ((pte & PTE_W) !== 0 && isPrivate && frames.mapcount[head] > 1)
      this.#problems.push(`${where()} lets a shared private page be written`);
    if ((vma.window === null || isPrivate) && mm.viewOf === null) count.hugetlbPages += pool.frames;
    const index = isPrivate && vma.window !== null ? vma.pageIndex(va) : rules.vma.pageIndex(rules.va);
    if (frames.index[head] !== index)
      this.#problems.push(`${where()} has page index ${frames.index[head]}, its place is ${index}`);
    if (!isPrivate && hugetlbOf(rules.vma)!.huge(index) !== head)
      this.#problems.push(`${where()} is not the page of its file`);
  }

  /** The entry maps the page that the VMA says. */
  #checkPage(where: () => string, rules: { vma: Vma; va: number }, pfn: Pfn, pte: number): void {
    const { frames } = this.#memory;
    const { vma, va } = rules;
    const kind = frames.kind[pfn];
    if (kind === KIND_ANON) {
      if ((vma.flags & VM_SHARED) !== 0) this.#problems.push(`${where()} is a private page in shared memory`);
      if (frames.index[pfn] !== vma.pageIndex(va))
        this.#problems.push(`${where()} has page index ${frames.index[pfn]}, its place is ${vma.pageIndex(va)}`);
      const owner = frames.owner[pfn];
      if (owner === null || !("root" in owner) || !vma.anonChain.includes(owner))
        this.#problems.push(`${where()} cannot be found from its anon_vma`);
      return;
    }
    if (vma.object === null || vma.object.pages.get(vma.pageIndex(va)) !== pfn)
      this.#problems.push(`${where()} is not the page of its object`);
    if ((vma.flags & VM_SHARED) === 0 && (pte & PTE_W) !== 0)
      this.#problems.push(`${where()} lets a private mapping write to its object`);
  }

  #checkObjects(): void {
    const { frames, objects } = this.#memory;
    for (const object of objects) {
      const indices = object.pages.indices();
      this.#expect(`pages of a ${object.kind} object`, object.pages.count, indices.length);
      for (const index of indices) {
        const pfn = object.pages.get(index);
        this.#references[pfn]++;
        if (frames.owner[pfn] !== object || frames.index[pfn] !== index)
          this.#problems.push(`frame ${pfn} does not know that it is page ${index} of its ${object.kind} object`);
        this.#expect(`kind of frame ${pfn}`, frames.kind[pfn], OBJECT_KINDS[object.kind]);
      }
      for (const vma of object.mappings)
        if (vma.mm.vmas.lookup(vma.start) !== vma)
          this.#problems.push(`a ${object.kind} object lists VMA ${vma.start.toString(16)}, which is gone`);
    }
  }

  /** Slots are referred to by entries and by shmem objects, as often as they count. */
  #checkSwap(): void {
    const { swap, objects } = this.#memory;
    for (const object of objects)
      if (object instanceof ShmemObject)
        for (const slot of object.swapSlots) this.#slots[slot] = (this.#slots[slot] ?? 0) + 1;
    if (swap === null) {
      this.#expect("entries for swap that is not there", this.#slots.length, 0);
      return;
    }
    for (let slot = 1; slot <= swap.pages && slot < Math.max(this.#slots.length, swap.used + 1); slot++)
      this.#expect(`references of swap slot ${slot}`, swap.references(slot), this.#slots[slot] ?? 0);
    this.#expect("swap slots in use", swap.used, this.#slots.filter((count) => count > 0).length);
  }

  #checkFrames(): void {
    const { frames, ram, zeroPage } = this.#memory;
    this.#references[zeroPage]++;
    for (const pfn of this.#huge.zeroFrames()) this.#references[pfn]++;
    const used = new Int32Array(frames.used.length);
    let free = 0;
    for (let pfn = Math.max(1, ram.firstPfn); pfn < ram.endPfn; pfn++) {
      const kind = frames.kind[pfn];
      if (kind === KIND_FREE) free++;
      else used[kind]++;
      if (frames.refcount[pfn] !== this.#references[pfn])
        this.#problems.push(
          `${describeFrame(frames, pfn)} has ${frames.refcount[pfn]} references, ${this.#references[pfn]} were found`,
        );
      if (frames.mapcount[pfn] !== this.#mappings[pfn])
        this.#problems.push(
          `${describeFrame(frames, pfn)} has map count ${frames.mapcount[pfn]}, ${this.#mappings[pfn]} entries were found`,
        );
    }
    this.#expect("free frames", frames.free, free);
    for (let kind = 1; kind < used.length; kind++)
      this.#expect(`frames of kind ${kind}`, frames.used[kind], used[kind]);
  }

  /** Committed_AS: private writable memory and shmem. */
  #checkCommit(): void {
    let pages = 0;
    for (const mm of this.#memory.mms)
      for (const vma of mm.vmas) if ((vma.flags & VM_ACCOUNT) !== 0) pages += vma.pages;
    for (const object of this.#memory.objects) if ("committedPages" in object) pages += object.committedPages as number;
    this.#expect("committed pages", this.#memory.committed(), pages);
  }

  /** Every translation that a hart holds is one that the page tables give. */
  #checkTlbs(): void {
    const { ram, frames, mmu } = this.#memory;
    for (const entry of mmu.entries()) {
      const pte = ram.readPte(entry.table, entry.index);
      const huge = hugeLeafAt(ram, entry);
      const where = `hart ${entry.hart}: translation of ${entry.va.toString(16)}`;
      if (frames.kind[entry.table] !== KIND_TABLE) this.#problems.push(`${where} came from a table that is freed`);
      else if ((pte & PTE_V) === 0 || (huge?.pfn ?? ptePfn(pte)) !== entry.pfn)
        this.#problems.push(`${where} is no longer mapped`);
      else if (entry.write && (pte & PTE_W) === 0) this.#problems.push(`${where} still allows writing`);
      else if (entry.execute && (pte & PTE_X) === 0) this.#problems.push(`${where} still allows execution`);
      else if (huge === null && readLeaf(ram, entry.root, entry.va) !== pte)
        this.#problems.push(`${where} is not of its address space`);
    }
  }
}

/** The huge leaf that a translation came from, if its space still has it there. */
function hugeLeafAt(ram: Ram, entry: CachedTranslation): { pfn: Pfn } | null {
  const huge = findHugeLeaf(ram, entry.root, entry.va);
  return huge !== null && huge.word === (entry.table << 10) + 2 * entry.index ? huge : null;
}

/** The VMA whose rules hold for `va` of a VMA, and the address in it: a window's are the host's. Null if there is nothing. */
function rulesFor(vma: Vma, va: number): { vma: Vma; va: number } | null {
  const { window } = vma;
  if (window === null) return { vma, va };
  if (window.dead) return null;
  const hostVa = va - vma.start + window.hostStart;
  const hostVma = window.host.vmas.lookup(hostVa);
  return hostVma === null ? null : { vma: hostVma, va: hostVa };
}

const OBJECT_KINDS = { file: KIND_FILE, shmem: KIND_SHMEM, hugetlb: KIND_HUGETLB } as const;
const KIND_NAMES = ["free", "anonymous", "file", "shmem", "page-table", "hugetlb", "zero"];

const describeFrame = (frames: FrameAllocator, pfn: number): string => `${KIND_NAMES[frames.kind[pfn]]} frame ${pfn}`;
