// The cgroup2 file system: a directory for each control group, with the files of its controllers (kernel/cgroup/cgroup.c on fs/kernfs). There is one, wherever it
// is mounted; setup.ts makes and mounts it. What the files do is in cgroup-files.ts, cgroup-memory.ts and cgroup-pids.ts.
import { EACCES, EBADF, EINVAL, ENODEV, ENOENT, EPERM } from "../../base/errno.ts";
import type { PeakWatcher } from "../../mm/memcg-counters.ts";
import type { Cgroup } from "../cgroup.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import type { WaitQueue } from "../wait.ts";
import { DEFAULT_POLLMASK, MAY_WRITE, POLLERR, POLLPRI, SEEK_END, SEEK_SET, S_IFDIR, S_IFMT, S_IFREG } from "./abi.ts";
import { type CgroupFileType, baseFiles } from "./cgroup-files.ts";
import { MEMORY_FILES, peakText } from "./cgroup-memory.ts";
import { PIDS_FILES } from "./cgroup-pids.ts";
import { DirFile } from "./dirfile.ts";
import type { OpenFile } from "./file.ts";
import { type DirEntry, Filesystem, Inode, type NewInode, type Path, entryOf, plainStatFs } from "./inode.ts";
import { checkMode, subjectOf } from "./permission.ts";
import { TextFile, type TextSource } from "./procfs/node.ts";
import type { StatFs } from "./stat.ts";

export const CGROUP2_SUPER_MAGIC = 0x63677270;
/** Mount options that mean something here, or that change nothing that can be seen. */
const OPTIONS: readonly string[] = ["nsdelegate", "favordynmods", "memory_recursiveprot"];

export class CgroupFs extends Filesystem {
  readonly type = "cgroup2";
  readonly kernel: Kernel;
  override readonly root: CgroupDir;
  readonly files: readonly CgroupFileType[];

  constructor(kernel: Kernel, devMinor: number) {
    super(devMinor, () => kernel.clock.realtime());
    this.kernel = kernel;
    const base = baseFiles((group, task) => this.mayWriteProcs(group, task));
    this.files = [...base, ...MEMORY_FILES, ...PIDS_FILES];
    this.root = new CgroupDir(this, kernel.cgroups.root, { mode: 0o555, uid: 0, gid: 0 });
    this.#directories.set(kernel.cgroups.root, this.root);
    // Numbers of files go on where those of groups will not come.
    this.nextIno = 2 ** 32;
  }
  readonly #directories = new Map<Cgroup, CgroupDir>();

  override statfs(): StatFs {
    return plainStatFs(CGROUP2_SUPER_MAGIC);
  }

  /** Whether a task may write the cgroup.procs of a group. */
  mayWriteProcs(group: Cgroup, task: Task): boolean {
    const inode = this.#directories.get(group)?.lookup("cgroup.procs");
    return inode instanceof CgroupInode && checkMode(subjectOf(task), inode, MAY_WRITE) === 0;
  }

  /** The directory of a group, made when the group is. */
  addDirectory(group: Cgroup, make: NewInode): CgroupDir {
    const directory = new CgroupDir(this, group, make);
    this.#directories.set(group, directory);
    return directory;
  }
  directoryOf(group: Cgroup): CgroupDir {
    return this.#directories.get(group)!;
  }
  forget(group: Cgroup): void {
    this.#directories.delete(group);
  }

  /** The options of a mount hold for all mounts from then on. 0, or -EINVAL for one that is not known. */
  configure(text: string): number {
    const wanted = text.split(",").filter((option) => option !== "");
    if (wanted.some((option) => !OPTIONS.includes(option))) return -EINVAL;
    const has = (option: string): boolean => wanted.includes(option);
    this.options = OPTIONS.filter(has).join(",");
    this.kernel.memory.groups.recursiveProtection = has("memory_recursiveprot");
    return 0;
  }
}

/** The directory of a group. */
export class CgroupDir extends Inode {
  declare readonly fs: CgroupFs;
  readonly group: Cgroup;
  readonly #owner: { uid: number; gid: number };
  readonly #files = new Map<string, CgroupInode>();

  constructor(fs: CgroupFs, group: Cgroup, make: NewInode) {
    super(fs, S_IFDIR | (make.mode & 0o777), group.id);
    this.group = group;
    this.nlink = 2;
    this.uid = make.uid;
    this.gid = make.gid;
    this.#owner = { uid: make.uid, gid: make.gid };
  }

  /** The file `name`, if the group has it now. */
  #file(type: CgroupFileType): CgroupInode {
    let file = this.#files.get(type.name);
    if (file === undefined) this.#files.set(type.name, (file = new CgroupInode(this, type, this.#owner)));
    return file;
  }
  #has({ controller, notInRoot }: CgroupFileType): boolean {
    const { parent } = this.group;
    if (parent === null) return notInRoot !== true;
    return controller === undefined || parent.subtreeControl.has(controller);
  }

  override lookup(name: string): Inode | number {
    if (this.group.removed) return -ENOENT;
    const child = this.group.children.get(name);
    if (child !== undefined) return this.fs.directoryOf(child);
    const type = this.fs.files.find((file) => file.name === name);
    if (type === undefined || !this.#has(type)) {
      this.#files.delete(name);
      return -ENOENT;
    }
    return this.#file(type);
  }
  override entries(): DirEntry[] | number {
    const children = [...this.group.children.values()].map((child) => entryOf(child.name, this.fs.directoryOf(child)));
    const files = this.fs.files.filter((type) => this.#has(type)).map((type) => entryOf(type.name, this.#file(type)));
    return this.group.removed ? [] : [...files, ...children];
  }
  override create(_name: string, make: NewInode): number {
    return (make.mode & S_IFMT) === S_IFREG ? -EACCES : -EPERM;
  }
  override mkdir(name: string, make: NewInode): Inode | number {
    if (name.includes("\n")) return -EINVAL;
    const group = this.fs.kernel.cgroups.create(this.group, name);
    if (typeof group === "number") return group;
    this.nlink++;
    return this.fs.addDirectory(group, make);
  }
  override rmdir(_name: string, inode: Inode): number {
    const { group } = inode as CgroupDir;
    const error = this.fs.kernel.cgroups.remove(group);
    if (error < 0) return error;
    this.fs.forget(group);
    inode.nlink = 0;
    this.nlink--;
    return 0;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new DirFile(path, flags);
  }
}

/** A file of a group. */
class CgroupInode extends Inode implements TextSource {
  readonly group: Cgroup;
  readonly type: CgroupFileType;
  readonly missing = EINVAL;
  readonly spliceable = true;
  readonly actions: TextSource["actions"];

  constructor({ fs, group }: CgroupDir, type: CgroupFileType, owner: { uid: number; gid: number }) {
    const { read, write, peakOf } = type;
    const mode = (read || peakOf ? 0o444 : 0) | (write || peakOf ? 0o200 : 0);
    super(fs, S_IFREG | mode);
    this.group = group;
    this.type = type;
    this.uid = owner.uid;
    this.gid = owner.gid;
    this.actions = {
      ...(read && { read: (reader) => (this.gone ? -ENODEV : read(group, reader)) }),
      ...(write && { write: (writer, text) => (this.gone ? -ENODEV : write(group, text.trim(), writer)) }),
    };
  }
  /** The group, or its controller, is gone: files that are still open are of no use. */
  get gone(): boolean {
    const { group, type } = this;
    if (group.removed) return true;
    return group.parent !== null && type.controller !== undefined && !group.parent.subtreeControl.has(type.controller);
  }
  /** open(O_TRUNC) means nothing. */
  override truncate(): number {
    return 0;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return this.type.peakOf === undefined ? new CgroupFile(this, path, flags) : new PeakFile(this, path, flags);
  }
}

/** An open file of a group. Those that notify have POLLPRI after each change until they are read. */
class CgroupFile extends TextFile {
  readonly source: CgroupInode;
  /** How many changes there were when it was last read; until then there is news. */
  #seen = -1;

  constructor(source: CgroupInode, path: Path, flags: number, text: TextSource = source) {
    super(text, path, flags);
    this.source = source;
  }
  get #note(): { readonly count: number; readonly queue: WaitQueue } | null {
    const { type, group } = this.source;
    return type.notifies === undefined ? null : group.noteOf(type.notifies);
  }
  override get pollable(): boolean {
    return true;
  }
  override poll(): number {
    const note = this.#note;
    return note !== null && note.count !== this.#seen ? DEFAULT_POLLMASK | POLLERR | POLLPRI : DEFAULT_POLLMASK;
  }
  override pollQueues(): WaitQueue[] {
    const note = this.#note;
    return note === null ? [] : [note.queue];
  }
  override seek(offset: number, whence: number): number {
    // The files have no size (generic_file_llseek).
    return super.seek(offset, whence === SEEK_END ? SEEK_SET : whence);
  }
  override write(task: Task, data: Uint8Array, pos: number | undefined): number {
    return data.length === 0 ? 0 : super.write(task, data, pos);
  }
  override read(task: Task, length: number, pos: number | undefined): Uint8Array | number {
    this.#seen = this.#note?.count ?? 0;
    return super.read(task, length, pos);
  }
}

/** An open memory.peak or memory.swap.peak: writing starts a high-water mark of its own. */
class PeakFile extends CgroupFile {
  #watcher: PeakWatcher | null = null;

  constructor(source: CgroupInode, path: Path, flags: number) {
    const counter = source.type.peakOf!(source.group);
    const read = (): string | number => (source.gone ? -ENODEV : peakText(counter.watermark, this.#watcher));
    super(source, path, flags, { actions: { read }, missing: EINVAL, spliceable: true });
  }
  override write(_task: Task, data: Uint8Array): number {
    const { gone, type, group } = this.source;
    if (gone) return -ENODEV;
    if (data.length === 0) return 0;
    type.peakOf!(group).watch((this.#watcher ??= { peak: 0 }));
    return data.length;
  }
  protected override release(): void {
    const { type, group, gone } = this.source;
    if (this.#watcher !== null && !gone) type.peakOf!(group).unwatch(this.#watcher);
    super.release();
  }
}

/** The group whose directory descriptor `fd` is, for a child that starts there: -EBADF, -ENOENT (removed), -EACCES (its cgroup.procs may not be written). */
export function cgroupOfDescriptor(task: Task, fd: number): Cgroup | number {
  const inode = task.files.get(fd)?.path?.inode;
  if (!(inode instanceof CgroupDir)) return -EBADF;
  if (inode.group.removed) return -ENOENT;
  return inode.fs.mayWriteProcs(inode.group, task) ? inode.group : -EACCES;
}
