// System V shared memory (ipc/shm.c): segments are shmem objects with an id; attaching maps them. A segment that is marked for destruction goes
// with its last mapping. One ShmTable per kernel; the calls are in syscall/shm.ts.
import { EACCES, EFBIG, EINVAL, ENOMEM, ENOSPC, EPERM } from "../base/errno.ts";
import { PAGE_SIZE, alignUp, pageUp } from "../base/numbers.ts";
import {
  MAP_FIXED,
  MAP_HUGE_MASK,
  MAP_HUGE_SHIFT,
  MAP_SHARED,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "../mm/constants.ts";
import { HugetlbObject } from "../mm/hugetlb-object.ts";
import type { ShmemObject } from "../mm/object.ts";
import type { VmFile } from "../mm/vma.ts";
import { CAP_IPC_LOCK } from "./creds.ts";
import { inGroup, subjectOf } from "./fs/permission.ts";
import { IpcObject, IpcTable, S_IRUGO, S_IWUGO, sysvipcLine } from "./ipc.ts";
import type { Kernel } from "./kernel.ts";
import type { Task } from "./task.ts";

export const SHM_RDONLY = 0o10000;
export const SHM_RND = 0o20000;
export const SHM_REMAP = 0o40000;
export const SHM_EXEC = 0o100000;
const SHM_HUGETLB = 0o4000;
const SHM_NORESERVE = 0o10000;
/** In mode: goes when nobody is attached any more; pages are locked (kept here: nothing is swapped out). */
export const SHM_DEST = 0o1000;
export const SHM_LOCKED = 0o2000;

export const SHMMNI = 4096;
/** SHMMAX and SHMALL: ULONG_MAX - 2^24. */
export const SHM_UNLIMITED = 0xfffffffffeffffffn;

export class Segment extends IpcObject {
  readonly object: ShmemObject | HugetlbObject;
  /** As asked for, bytes. */
  readonly size: number;
  readonly creator: number;
  lastPid = 0;
  attachTime = 0;
  detachTime = 0;
  /** Mappings (nattch). */
  attached = 0;
  readonly kernel: Kernel;

  constructor(task: Task, key: number, flags: number, size: number, object: ShmemObject | HugetlbObject) {
    super(task, key, flags);
    this.kernel = task.kernel;
    this.object = object;
    this.size = size;
    this.creator = task.tgid;
  }
  get pages(): number {
    return pageUp(this.size) / PAGE_SIZE;
  }
  /** Bytes that an attachment maps. */
  get length(): number {
    return this.object instanceof HugetlbObject ? this.object.size : pageUp(this.size);
  }
}

/** One attachment as its VMAs hold it; each VMA counts in nattch. */
export class SegmentFile implements VmFile {
  readonly segment: Segment;
  readonly devMajor = 0;
  readonly devMinor = 1;
  readonly readable = true;
  readonly writable: boolean;
  readonly hasClose = true;
  readonly mergeKey = this;
  readonly #name: string;
  readonly #table: ShmTable;

  constructor(table: ShmTable, segment: Segment, options: { writable: boolean }) {
    this.#table = table;
    this.segment = segment;
    this.writable = options.writable;
    this.#name = `/SYSV${(segment.key >>> 0).toString(16).padStart(8, "0")} (deleted)`;
  }
  get object(): ShmemObject | HugetlbObject {
    return this.segment.object;
  }
  get inode(): number {
    return this.segment.id;
  }
  name(): string {
    return this.#name;
  }
  writeSealed(): boolean {
    return false;
  }
  /** shm_open */
  get(): void {
    const { segment } = this;
    segment.attached++;
    segment.attachTime = segment.kernel.clock.realtime().sec;
    segment.lastPid = segment.kernel.scheduler.current?.tgid ?? segment.lastPid;
  }
  /** shm_close */
  put(): void {
    const { segment } = this;
    segment.attached--;
    segment.detachTime = segment.kernel.clock.realtime().sec;
    segment.lastPid = segment.kernel.scheduler.current?.tgid ?? segment.lastPid;
    this.#table.detached(segment);
  }
}

/** can_do_hugetlb_shm */
const mayUseHugePages = (task: Task): boolean =>
  task.capable(CAP_IPC_LOCK) || inGroup(subjectOf(task), task.kernel.hugetlbShmGroup);

/** SHM_HUGETLB: all pages are reserved at once, unless SHM_NORESERVE is there too. -EINVAL (unknown size), -EPERM, -ENOMEM. */
function createHuge(task: Task, key: number, size: number, flags: number): Segment | number {
  const pool = task.kernel.memory.hugetlb.poolFor((flags >>> MAP_HUGE_SHIFT) & MAP_HUGE_MASK);
  if (pool === undefined) return -EINVAL;
  if (!mayUseHugePages(task)) return -EPERM;
  const object = new HugetlbObject(pool, alignUp(size, pool.size), { isSegment: true });
  if ((flags & SHM_NORESERVE) !== 0 || object.reserve(0, object.size / pool.size))
    return new Segment(task, key, flags, size, object);
  object.release();
  return -ENOMEM;
}

export class ShmTable {
  readonly segments = new IpcTable<Segment>(SHMMNI);

  /** shmget(2): the id or -errno. */
  get(task: Task, key: number, size: number, flags: number): number {
    const check = (segment: Segment): number => (segment.size < size ? -EINVAL : 0);
    return this.segments.get(task, key, flags, check, () => this.#create(task, key, size, flags));
  }
  #create(task: Task, key: number, size: number, flags: number): Segment | number {
    if (size < 1 || size > Number(SHM_UNLIMITED)) return -EINVAL;
    if (this.segments.full || pageUp(size) < size) return -ENOSPC;
    if ((flags & SHM_HUGETLB) !== 0) return createHuge(task, key, size, flags);
    const object = task.kernel.memory.newShmem(pageUp(size), (flags & SHM_NORESERVE) !== 0 ? "none" : "whole");
    if (typeof object === "number") return object === -EFBIG ? -EINVAL : object;
    return new Segment(task, key, flags, size, object);
  }

  /** shmat(2): the address or -errno. */
  attach(task: Task, id: number, at: number, flags: number): number {
    let addr = at;
    if (addr % PAGE_SIZE !== 0) {
      if ((flags & SHM_RND) === 0) return -EINVAL;
      addr -= addr % PAGE_SIZE;
      // Would be "anywhere", which SHM_REMAP cannot mean.
      if (addr === 0 && (flags & SHM_REMAP) !== 0) return -EINVAL;
    }
    if (addr === 0 && at === 0 && (flags & SHM_REMAP) !== 0) return -EINVAL;
    const writable = (flags & SHM_RDONLY) === 0;
    const executable = (flags & SHM_EXEC) !== 0;
    const segment = this.segments.find(id);
    if (typeof segment === "number") return segment;
    if (segment.permission(task, S_IRUGO | (writable ? S_IWUGO : 0) | (executable ? 0o111 : 0)) !== 0) return -EACCES;
    const { length } = segment;
    if (addr !== 0 && (flags & SHM_REMAP) === 0 && task.mm.vmas.intersection(addr, addr + length)) return -EINVAL;
    const prot = PROT_READ | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0);
    const file = new SegmentFile(this, segment, { writable });
    const mapFlags = MAP_SHARED | (addr !== 0 ? MAP_FIXED : 0);
    // Held meanwhile: a mapping that it replaces may have been the last one of a segment that is to go.
    segment.attached++;
    const result = task.mm.mmap({ addr, length, prot, flags: mapFlags, file, offset: 0 });
    segment.attached--;
    this.detached(segment);
    return result;
  }

  /** shmdt(2): unmaps what is left of the attachment that began at `addr`. 0 or -EINVAL. */
  detach(task: Task, addr: number): number {
    if (addr % PAGE_SIZE !== 0) return -EINVAL;
    const { mm } = task;
    let file: SegmentFile | null = null;
    let end = Infinity;
    const parts: { start: number; bytes: number }[] = [];
    for (let vma = mm.vmas.find(addr); vma !== null && vma.end - addr <= end; vma = mm.vmas.next(vma)) {
      const isFirst = file === null;
      if (!(vma.file instanceof SegmentFile) || (vma.start - addr) / PAGE_SIZE !== vma.pgoff) continue;
      if (isFirst) {
        file = vma.file;
        end = file.segment.length;
      } else if (vma.file !== file) continue;
      parts.push({ start: vma.start, bytes: vma.end - vma.start });
    }
    for (const { start, bytes } of parts) mm.munmap(start, bytes);
    return file === null ? -EINVAL : 0;
  }

  /** A mapping has gone: the last one of a segment that is marked takes it along. */
  detached(segment: Segment): void {
    if (segment.attached === 0 && (segment.mode & SHM_DEST) !== 0 && !segment.removed) this.#destroy(segment);
  }
  /** IPC_RMID: at once if nobody is attached; else nobody finds it by its key any more. */
  remove(segment: Segment): void {
    if (segment.attached === 0) return this.#destroy(segment);
    segment.mode |= SHM_DEST;
    this.segments.forgetKey(segment);
  }
  #destroy(segment: Segment): void {
    this.segments.remove(segment);
    segment.object.release();
  }

  /** Pages of all segments: as asked for, and in memory. */
  totals(): { pages: number; resident: number } {
    let pages = 0;
    let resident = 0;
    for (const segment of this.segments.values()) {
      pages += segment.pages;
      resident += segment.object.residentPages;
    }
    return { pages, resident };
  }

  /** The text of /proc/sysvipc/shm. */
  text(): string {
    let text =
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime" +
      "                   rss                  swap\n";
    for (const s of this.segments.values()) {
      const mode = (s.mode & 0o7777).toString(8).padStart(4);
      text += sysvipcLine([
        [s.key, 10],
        [s.id, 10],
      ]).trimEnd();
      text += `  ${mode} `;
      text += sysvipcLine([
        [s.size, 21],
        [s.creator, 5],
        [s.lastPid, 5],
        [s.attached, 6],
        [s.uid, 5],
        [s.gid, 5],
        [s.cuid, 5],
        [s.cgid, 5],
        [s.attachTime, 10],
        [s.detachTime, 10],
        [s.changeTime, 10],
        [s.object.residentPages * PAGE_SIZE, 21],
        [0, 21],
      ]);
    }
    return text;
  }
}
