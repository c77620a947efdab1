// Files without a place in the tree that share one inode: eventfd, epoll, timerfd, signalfd, pidfd ("anon_inode:[eventfd]").
// AnonFile is their base; the kernel has one AnonInodes.

import type { Task } from "../task.ts";
import { ANON_INODE_FS_MAGIC, type Timespec } from "./abi.ts";
import { OpenFile } from "./file.ts";
import { Filesystem, Inode, plainStatFs } from "./inode.ts";
import type { StatFs } from "./stat.ts";

/** The file system of the one anonymous inode. */
export class AnonInodes extends Filesystem {
  readonly type = "anon_inodefs";
  readonly root: Inode;
  constructor(devMinor: number, now: () => Timespec) {
    super(devMinor, now);
    this.root = new SharedInode(this, 0o600);
  }
  statfs(): StatFs {
    return plainStatFs(ANON_INODE_FS_MAGIC);
  }
}

class SharedInode extends Inode {}

/** A file on the anonymous inode; `name` is what /proc/PID/fd shows after "anon_inode:". */
export abstract class AnonFile extends OpenFile {
  readonly #name: string;
  constructor(inodes: AnonInodes, name: string, flags: number) {
    super(flags, null, inodes.root);
    this.#name = name;
  }
  override linkText(_task?: Task): string {
    return `anon_inode:${this.#name}`;
  }
}
