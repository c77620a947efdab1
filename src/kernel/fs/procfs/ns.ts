// /proc/PID/ns: the namespaces of a process. There is one of each kind; the links exist so that programs can compare them.

import { ENOENT, EPERM, ESRCH } from "../../../base/errno.ts";
import type { Task } from "../../task.ts";
import { MAY_WRITE, S_IFLNK, S_IFREG } from "../abi.ts";
import { OpenFile } from "../file.ts";
import { Dentry, Filesystem, Inode, Mount, Path, plainStatFs } from "../inode.ts";
import type { StatFs } from "../stat.ts";
import { type Owner, PseudoInode, StaticDir } from "./node.ts";
import type { Subject } from "./subject.ts";

const NSFS_MAGIC = 0x6e736673;

/** Names in the directory, the kind of namespace, and its inode: those that Linux gives its first namespaces. */
const NAMESPACES: readonly [name: string, kind: string, ino: number][] = [
  ["cgroup", "cgroup", 4026531835],
  ["ipc", "ipc", 4026531839],
  ["mnt", "mnt", 4026531841],
  ["net", "net", 4026531840],
  ["pid", "pid", 4026531836],
  ["pid_for_children", "pid", 4026531836],
  ["time", "time", 4026531834],
  ["time_for_children", "time", 4026531834],
  ["user", "user", 4026531837],
  ["uts", "uts", 4026531838],
];

/** The file system of namespaces (nsfs). */
export class NsFs extends Filesystem {
  readonly type = "nsfs";
  readonly root: Inode;
  readonly #inodes = new Map<number, NsInode>();
  constructor(devMinor: number, now: Filesystem["now"]) {
    super(devMinor, now);
    this.root = new NsInode(this, 1);
  }
  override statfs(): StatFs {
    return plainStatFs(NSFS_MAGIC);
  }
  /** The namespace with this number. */
  namespace(ino: number): Inode {
    let inode = this.#inodes.get(ino);
    if (!inode) this.#inodes.set(ino, (inode = new NsInode(this, ino)));
    return inode;
  }
}

class NsInode extends Inode {
  constructor(fs: Filesystem, ino: number) {
    super(fs, S_IFREG | 0o444, ino);
  }
  /** Immutable. */
  override permission(_task: Task, mask: number): number | undefined {
    return mask & MAY_WRITE ? -EPERM : undefined;
  }
  override open(_task: Task, path: Path, flags: number): OpenFile {
    return new NsFile(flags, path);
  }
}

/** An open namespace: only its identity can be used. */
class NsFile extends OpenFile {
  override get pollable(): boolean {
    return false;
  }
  override linkText(): string {
    const { ino } = this.inode!;
    return `${NAMESPACES.find(([, , number]) => number === ino)?.[1]}:[${ino}]`;
  }
}

class NsLink extends PseudoInode {
  readonly #subject: Subject;
  readonly #kind: string;
  readonly #inode: Inode;
  constructor(fs: Filesystem, subject: Subject, kind: string, inode: Inode) {
    super(fs, S_IFLNK | 0o777);
    this.#subject = subject;
    this.#kind = kind;
    this.#inode = inode;
    this.blksize = 1024;
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
  #denied(reader: Task): number {
    const task = this.#subject.inspect(reader);
    return typeof task !== "number" ? 0 : task === -ESRCH ? -ENOENT : task;
  }
  override readlink(reader: Task): string | number {
    return this.#denied(reader) || `${this.#kind}:[${this.#inode.ino}]`;
  }
  override magic(reader: Task): Path | number {
    const denied = this.#denied(reader);
    if (denied) return denied;
    const dentry = new Dentry("/", null, this.#inode);
    const mount = new Mount(0, this.#inode.fs, dentry, null, "nsfs");
    return new Path(mount, dentry);
  }
}

/** /proc/PID/ns. */
export class NsDir extends StaticDir {
  readonly #subject: Subject;
  constructor(fs: Filesystem, subject: Subject) {
    super(fs, 0o511);
    this.#subject = subject;
    const { namespaces } = subject.process.kernel.vfs;
    for (const [name, kind, ino] of NAMESPACES) {
      this.add(name, new NsLink(fs, subject, kind, namespaces.namespace(ino)));
    }
  }
  protected override owner(): Owner {
    return this.#subject.owner();
  }
}
