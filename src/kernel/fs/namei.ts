// The path walk: from a string to a place in the tree, through mounts, `..`, symbolic and magic links (fs/namei.c).
// A Walk is made for one path and thrown away. Used by vfs.ts and the directory operations.

import { EACCES, EAGAIN, ELOOP, ENOENT, ENOTDIR, EXDEV } from "../../base/errno.ts";
import { MAXSYMLINKS } from "../../base/limits.ts";
import type { Task } from "../task.ts";
import {
  MAY_EXEC,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_ISVTX,
  isSymlink,
} from "./abi.ts";
import { Path } from "./inode.ts";
import { permission } from "./permission.ts";
import type { Vfs } from "./vfs.ts";

/** One walk. After `parent(path)` the directory is `cur` and the last name is `last` ("" if the path names `cur` itself). */
export class Walk {
  cur: Path;
  last = "";
  /** The path ended in a slash: what it names must be a directory. */
  trailing = false;
  readonly #vfs: Vfs;
  readonly #task: Task;
  readonly #start: Path;
  readonly #root: Path;
  readonly #resolve: number;
  #links = 0;

  /** `start` is where relative paths begin; `resolve` the RESOLVE_* bits of openat2. */
  constructor(vfs: Vfs, task: Task, start: Path, resolve = 0) {
    this.#vfs = vfs;
    this.#task = task;
    this.#start = this.cur = start;
    this.#root = resolve & RESOLVE_IN_ROOT ? start : task.fs.root;
    this.#resolve = resolve;
  }

  /** Walks all of `path` but its last name. 0 or -errno (ENOENT, ENOTDIR, EACCES, ELOOP, EXDEV, ENAMETOOLONG). */
  parent(path: string): number {
    if (path === "") return -ENOENT;
    if (this.#resolve & RESOLVE_CACHED) return -EAGAIN;
    const error = this.#jumpIfAbsolute(path);
    if (error) return error;
    const names = path.split("/").filter((name) => name !== "");
    if (path.endsWith("/")) this.trailing = true;
    this.last = names.pop() ?? "";
    return this.#through(names);
  }

  /** The last name is no name: "", "." or "..". */
  get lastIsDots(): boolean {
    return this.last === "" || this.last === "." || this.last === "..";
  }

  /** The place that `last` names, not following a link there: a Path or -errno. */
  lookupLast(): Path | number {
    if (this.last === "") return this.cur;
    return this.#step(this.last);
  }

  /** Goes on where the link `link` (found as `last`) leads: like parent(). */
  follow(link: Path): number {
    const text = this.#linkText(link);
    if (typeof text === "number") return text;
    if (text instanceof Path) {
      this.cur = text;
      this.last = "";
      return 0;
    }
    return this.parent(text);
  }

  /** The whole path. With `follow` (or a final slash) a link at the end is followed. */
  resolve(path: string, options: { follow: boolean }): Path | number {
    let error = this.parent(path);
    for (;;) {
      if (error) return error;
      const found = this.lookupLast();
      if (typeof found === "number") return found;
      if (this.last !== "" && isSymlink(found.inode.mode) && (options.follow || this.trailing)) {
        error = this.follow(found);
        continue;
      }
      if (this.trailing && !found.inode.isDir) return -ENOTDIR;
      return found;
    }
  }

  #jumpIfAbsolute(path: string): number {
    if (!path.startsWith("/")) return 0;
    if (this.#resolve & RESOLVE_BENEATH) return -EXDEV;
    if (this.#resolve & RESOLVE_NO_XDEV && this.#root.mount !== this.cur.mount) return -EXDEV;
    this.cur = this.#root;
    return 0;
  }

  /** Walks through directories (and links to directories) `names`. */
  #through(names: string[]): number {
    const pending = names.reverse();
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const next = this.#step(name);
      if (typeof next === "number") return next;
      if (!isSymlink(next.inode.mode)) {
        this.cur = next;
        continue;
      }
      const text = this.#linkText(next);
      if (typeof text === "number") return text;
      if (text instanceof Path) {
        this.cur = text;
        continue;
      }
      const error = this.#jumpIfAbsolute(text);
      if (error) return error;
      for (const part of text.split("/").reverse()) if (part !== "") pending.push(part);
    }
    if (!this.cur.inode.isDir) return this.last === "" ? 0 : -ENOTDIR;
    return 0;
  }

  #step(name: string): Path | number {
    const directory = this.cur;
    if (!directory.inode.isDir) return -ENOTDIR;
    const error = permission(this.#task, directory, MAY_EXEC);
    if (error) return error;
    if (name === ".") return directory;
    if (name === "..") return this.#up();
    const dentry = directory.dentry.lookup(name, this.#task);
    if (typeof dentry === "number") return dentry;
    const below = this.#vfs.crossMounts(new Path(directory.mount, dentry));
    if (this.#resolve & RESOLVE_NO_XDEV && below.mount !== directory.mount) return -EXDEV;
    return below;
  }

  #up(): Path | number {
    let at = this.cur;
    if (this.#resolve & RESOLVE_BENEATH && at.equals(this.#start)) return -EXDEV;
    for (;;) {
      if (at.equals(this.#root)) return at;
      if (at.dentry !== at.mount.root) break;
      if (!at.mount.at) return at;
      if (this.#resolve & RESOLVE_NO_XDEV) return -EXDEV;
      at = at.mount.at;
    }
    return this.#vfs.crossMounts(new Path(at.mount, at.dentry.parent));
  }

  /** What the link at `link` says: text to walk, or the place itself for a magic link. */
  #linkText(link: Path): string | Path | number {
    if (this.#resolve & RESOLVE_NO_SYMLINKS) return -ELOOP;
    if (++this.#links > MAXSYMLINKS) return -ELOOP;
    const denied = this.#protectedLink(link);
    if (denied) return denied;
    const magic = link.inode.magic(this.#task);
    if (magic !== undefined) {
      if (typeof magic === "number") return magic;
      if (this.#resolve & RESOLVE_NO_MAGICLINKS) return -ELOOP;
      if (this.#resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) return -EXDEV;
      return magic;
    }
    const text = link.inode.readlink(this.#task);
    return text === "" ? -ENOENT : text;
  }

  /** fs.protected_symlinks = 1: in sticky world-writable directories only links of the follower or the directory's owner. */
  #protectedLink(link: Path): number {
    const directory = this.cur.inode;
    const { uid } = link.inode;
    if (uid === this.#task.creds.fsuid || uid === directory.uid) return 0;
    return (directory.mode & (S_ISVTX | 0o2)) === (S_ISVTX | 0o2) ? -EACCES : 0;
  }
}
