// Where a task is in the file tree (struct fs_struct): working directory, root, umask. Shared by tasks that were cloned with CLONE_FS.
import type { Path } from "./fs/inode.ts";

export class FsContext {
  cwd: Path;
  root: Path;
  umask: number;
  #users = 1;

  constructor(cwd: Path, root: Path, umask = 0o022) {
    this.cwd = cwd;
    this.root = root;
    this.umask = umask;
  }
  get users(): number {
    return this.#users;
  }
  retain(): this {
    this.#users++;
    return this;
  }
  release(): void {
    this.#users--;
  }
  /** A copy of its own (fork, unshare). */
  fork(): FsContext {
    return new FsContext(this.cwd, this.root, this.umask);
  }
}
