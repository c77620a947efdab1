// Tests of host directories: what the guest sees, what it may change, and that nothing leads out of them.
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EEXIST, EISDIR, ELOOP, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV } from "../../base/errno.ts";
import { NodeFs } from "../../host/node-fs.ts";
import { bootFiles } from "../../testing/files.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "./abi.ts";
import { chmod, chown, truncatePath, utimens } from "./attributes.ts";
import { DirFile } from "./dirfile.ts";
import { link, mkdir, mknod, rename, rmdir, symlink, unlink } from "./dirops.ts";
import type { OpenFile } from "./file.ts";
import type { Path } from "./inode.ts";

let outside = "";
let host = "";
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), "hostfs-"));
  host = join(outside, "shared");
  mkdirSync(join(host, "sub/deep"), { recursive: true });
  writeFileSync(join(outside, "secret"), "secret");
  writeFileSync(join(host, "file"), "contents");
  writeFileSync(join(host, "sub/numbers"), "0123456789");
});
afterEach(() => rmSync(outside, { recursive: true }));

/** The directory mounted at /mnt, and calls on it. */
function guest(options: { writable: boolean; at?: string }) {
  const at = options.at ?? "/mnt";
  const { kernel, task } = bootFiles({ mounts: [{ fs: new NodeFs(host, options), at }] });
  const { vfs } = kernel;
  const open = (path: string, flags = O_RDONLY, mode = 0o644): OpenFile | number =>
    vfs.open(task, AT_FDCWD, path, flags, mode);
  const must = <T>(value: T | number): T => {
    if (typeof value === "number") throw new Error(`errno ${-value}`);
    return value;
  };
  const read = (path: string): string | number => {
    const file = open(path);
    if (typeof file === "number") return file;
    const bytes = file.read(task, 1000, 0);
    file.put();
    return bytes instanceof Uint8Array ? new TextDecoder().decode(bytes) : (bytes as number);
  };
  const write = (path: string, text: string, flags: number): number => {
    const file = open(path, flags);
    if (typeof file === "number") return file;
    const n = file.write(task, new TextEncoder().encode(text), undefined) as number;
    file.put();
    return n;
  };
  const place = (path: string): Path => must(vfs.resolve(task, AT_FDCWD, path, { follow: false }));
  return { kernel, task, vfs, open, must, read, write, place };
}

describe("a directory that may only be read", () => {
  test("shows files, directories and attributes", () => {
    const { read, place, task, must, open } = guest({ writable: false });
    expect(read("/mnt/file")).toBe("contents");
    expect(read("/mnt/sub/numbers")).toBe("0123456789");
    expect(read("/mnt/none")).toBe(-ENOENT);
    const stat = place("/mnt/file").inode.stat();
    const real = statSync(join(host, "file"));
    expect(stat).toMatchObject({ size: 8, ino: real.ino, mode: real.mode, nlink: 1, uid: 0 });
    expect(stat.mtime.sec).toBe(Math.floor(real.mtimeMs / 1000));
    const directory = must(open("/mnt"));
    const records = must((directory as DirFile).getdents(task, 4096));
    const text = new TextDecoder("latin1").decode(records);
    for (const name of ["file", "sub"]) expect(text).toContain(name);
  });
  test("every change is EROFS", () => {
    const { vfs, task, open, place } = guest({ writable: false });
    expect(open("/mnt/new", O_CREAT | O_WRONLY)).toBe(-EROFS);
    expect(open("/mnt/file", O_WRONLY)).toBe(-EROFS);
    expect(open("/mnt/file", O_RDONLY | O_TRUNC)).toBe(-EROFS);
    expect(mkdir(vfs, task, AT_FDCWD, "/mnt/d", 0o755)).toBe(-EROFS);
    expect(unlink(vfs, task, AT_FDCWD, "/mnt/file")).toBe(-EROFS);
    expect(rmdir(vfs, task, AT_FDCWD, "/mnt/sub/deep")).toBe(-EROFS);
    expect(rename(vfs, task, AT_FDCWD, "/mnt/file", AT_FDCWD, "/mnt/other", 0)).toBe(-EROFS);
    expect(symlink(vfs, task, "x", AT_FDCWD, "/mnt/link")).toBe(-EROFS);
    expect(link(vfs, task, AT_FDCWD, "/mnt/file", AT_FDCWD, "/mnt/hard", 0)).toBe(-EROFS);
    expect(chmod(task, place("/mnt/file"), 0o600)).toBe(-EROFS);
    expect(truncatePath(task, place("/mnt/file"), 0)).toBe(-EROFS);
    expect(readdirSync(host).sort()).toEqual(["file", "sub"]);
    expect(readFileSync(join(host, "file"), "utf8")).toBe("contents");
  });
  test("what changes on the host is seen", () => {
    const { read } = guest({ writable: false });
    expect(read("/mnt/file")).toBe("contents");
    writeFileSync(join(host, "file"), "new and longer contents");
    expect(read("/mnt/file")).toBe("new and longer contents");
    writeFileSync(join(host, "file"), "short");
    expect(read("/mnt/file")).toBe("short");
    rmSync(join(host, "file"));
    expect(read("/mnt/file")).toBe(-ENOENT);
  });
});

describe("no way out", () => {
  test("dotdot stops at the mount", () => {
    const { read, vfs, task } = guest({ writable: false });
    writeFileSync(join(outside, "only-outside"), "x");
    expect(read("/mnt/../only-outside")).toBe(-ENOENT);
    expect(read("/mnt/sub/../../only-outside")).toBe(-ENOENT);
    // ".." of the mount's root is the guest's root.
    expect(vfs.pathName(vfs.resolve(task, AT_FDCWD, "/mnt/sub/../..", { follow: true }) as Path)).toBe("/");
  });
  test("symbolic links lead through the guest's tree, absolute ones from its root", () => {
    symlinkSync(join(outside, "secret"), join(host, "absolute"));
    symlinkSync("../secret", join(host, "relative"));
    symlinkSync("../../secret", join(host, "sub/deeper"));
    symlinkSync("sub/numbers", join(host, "inside"));
    symlinkSync("..", join(host, "up"));
    symlinkSync("self", join(host, "self"));
    const { read } = guest({ writable: true });
    expect(read("/mnt/absolute")).toBe(-ENOENT);
    expect(read("/mnt/relative")).toBe(-ENOENT);
    expect(read("/mnt/sub/deeper")).toBe(-ENOENT);
    expect(read("/mnt/up/secret")).toBe(-ENOENT);
    expect(read("/mnt/inside")).toBe("0123456789");
    expect(read("/mnt/self")).toBe(-ELOOP);
  });
  test("as the root too", () => {
    symlinkSync("/secret", join(host, "absolute"));
    symlinkSync("../../../../secret", join(host, "relative"));
    const { read } = guest({ writable: false, at: "/" });
    expect(read("/file")).toBe("contents");
    expect(read("/absolute")).toBe(-ENOENT);
    expect(read("/relative")).toBe(-ENOENT);
    expect(read("/../secret")).toBe(-ENOENT);
    // The system's own directories are on top of it.
    expect(read("/dev/null")).toBe("");
    expect(read("/tmp")).toBe(-EISDIR);
  });
  test("a directory that is replaced by a link while it is open", () => {
    const { open, read, must } = guest({ writable: true });
    const directory = must(open("/mnt/sub"));
    rmSync(join(host, "sub"), { recursive: true });
    symlinkSync(outside, join(host, "sub"));
    expect(typeof directory.inode!.lookup("secret", null)).toBe("number");
    expect(read("/mnt/sub/secret")).toBe(-ENOENT);
  });
  test("a file that is replaced by a link between lookup and open", () => {
    const { vfs, task } = guest({ writable: true });
    const path = vfs.resolve(task, AT_FDCWD, "/mnt/file", { follow: false }) as Path;
    rmSync(join(host, "file"));
    symlinkSync(join(outside, "secret"), join(host, "file"));
    expect(vfs.openPath(task, path, O_RDONLY)).toBe(-ELOOP);
  });
  test("devices, FIFOs and sockets of the host stay closed", () => {
    symlinkSync("/dev/zero", join(host, "zero"));
    const { read } = guest({ writable: false });
    // /dev/zero of the guest, not of the host: 1000 bytes.
    expect(read("/mnt/zero")).toBe("\0".repeat(1000));
  });
});

describe("a directory that may be written", () => {
  test("files are made, written, appended to and truncated", () => {
    const { write, read, place, task } = guest({ writable: true });
    expect(write("/mnt/new", "hello", O_CREAT | O_EXCL | O_WRONLY)).toBe(5);
    expect(readFileSync(join(host, "new"), "utf8")).toBe("hello");
    expect(statSync(join(host, "new")).mode & 0o777).toBe(0o644);
    expect(write("/mnt/new", " world", O_WRONLY | O_APPEND)).toBe(6);
    expect(readFileSync(join(host, "new"), "utf8")).toBe("hello world");
    expect(read("/mnt/new")).toBe("hello world");
    expect(truncatePath(task, place("/mnt/new"), 4)).toBe(0);
    expect(readFileSync(join(host, "new"), "utf8")).toBe("hell");
    expect(write("/mnt/new", "x", O_WRONLY | O_TRUNC)).toBe(1);
    expect(readFileSync(join(host, "new"), "utf8")).toBe("x");
    expect(write("/mnt/new", "x", O_CREAT | O_EXCL | O_WRONLY)).toBe(-EEXIST);
  });
  test("directories, links and renames", () => {
    const { vfs, task, read, place } = guest({ writable: true });
    expect(mkdir(vfs, task, AT_FDCWD, "/mnt/d", 0o2750)).toBe(0);
    expect(statSync(join(host, "d")).isDirectory()).toBe(true);
    expect(rename(vfs, task, AT_FDCWD, "/mnt/file", AT_FDCWD, "/mnt/d/moved", 0)).toBe(0);
    expect(read("/mnt/d/moved")).toBe("contents");
    expect(existsSync(join(host, "file"))).toBe(false);
    expect(rename(vfs, task, AT_FDCWD, "/mnt/d", AT_FDCWD, "/mnt/e", 0)).toBe(0);
    expect(read("/mnt/e/moved")).toBe("contents");
    expect(rmdir(vfs, task, AT_FDCWD, "/mnt/e")).toBe(-ENOTEMPTY);
    expect(symlink(vfs, task, "e/moved", AT_FDCWD, "/mnt/link")).toBe(0);
    expect(lstatSync(join(host, "link")).isSymbolicLink()).toBe(true);
    expect(read("/mnt/link")).toBe("contents");
    expect(link(vfs, task, AT_FDCWD, "/mnt/e/moved", AT_FDCWD, "/mnt/hard", 0)).toBe(0);
    expect(place("/mnt/hard").inode.stat().nlink).toBe(2);
    expect(unlink(vfs, task, AT_FDCWD, "/mnt/e/moved")).toBe(0);
    expect(read("/mnt/hard")).toBe("contents");
    expect(rmdir(vfs, task, AT_FDCWD, "/mnt/e")).toBe(0);
    expect(rename(vfs, task, AT_FDCWD, "/mnt/hard", AT_FDCWD, "/tmp/x", 0)).toBe(-EXDEV);
  });
  test("a file lives on while it is open", () => {
    const { vfs, task, open, must } = guest({ writable: true });
    const file = must(open("/mnt/file", O_RDWR));
    expect(unlink(vfs, task, AT_FDCWD, "/mnt/file")).toBe(0);
    expect(existsSync(join(host, "file"))).toBe(false);
    expect(new TextDecoder().decode(file.read(task, 100, 0) as Uint8Array)).toBe("contents");
    expect(file.write(task, Uint8Array.of(65), 0)).toBe(1);
    expect(new TextDecoder().decode(file.read(task, 100, 0) as Uint8Array)).toBe("Aontents");
    file.put();
  });
  test("attributes", () => {
    const { task, place } = guest({ writable: true });
    expect(chmod(task, place("/mnt/file"), 0o640)).toBe(0);
    expect(statSync(join(host, "file")).mode & 0o777).toBe(0o640);
    expect(utimens(task, place("/mnt/file"), { atime: { sec: 1000, nsec: 0 }, mtime: { sec: 2000, nsec: 0 } })).toBe(0);
    expect(statSync(join(host, "file")).mtimeMs).toBe(2_000_000);
    expect(place("/mnt/file").inode.stat().atime.sec).toBe(1000);
    // Owners are the host's business.
    expect(chown(task, place("/mnt/file"), 0, 0)).toBe(0);
    expect(chown(task, place("/mnt/file"), 5, 5)).toBe(-EPERM);
  });
  test("devices and FIFOs cannot be made", () => {
    const { vfs, task } = guest({ writable: true });
    expect(mknod(vfs, task, AT_FDCWD, "/mnt/fifo", 0o010644, 0)).toBe(-EPERM);
  });
  test("names that are no UTF-8 are names", () => {
    const { write, read } = guest({ writable: true });
    expect(write("/mnt/\xff\xfe", "bytes", O_CREAT | O_WRONLY)).toBe(5);
    expect(readdirSync(host, { encoding: "latin1" })).toContain("\xff\xfe");
    expect(read("/mnt/\xff\xfe")).toBe("bytes");
  });
  test("two names of one file", () => {
    linkSync(join(host, "file"), join(host, "other"));
    const { write, read } = guest({ writable: true });
    expect(read("/mnt/other")).toBe("contents");
    expect(write("/mnt/file", "CONTENTS", O_WRONLY)).toBe(8);
    expect(read("/mnt/other")).toBe("CONTENTS");
  });
});

test("a mount point that the host does not have appears, and is not made there", () => {
  const { kernel, task } = bootFiles({
    mounts: [
      { fs: new NodeFs(host, { writable: false }), at: "/" },
      { fs: new NodeFs(join(host, "sub"), { writable: false }), at: "/a/b/c" },
    ],
  });
  const path = kernel.vfs.resolve(task, AT_FDCWD, "/a/b/c/numbers", { follow: false });
  expect(typeof path).not.toBe("number");
  expect(existsSync(join(host, "a"))).toBe(false);
  expect(mkdir(kernel.vfs, task, AT_FDCWD, "/a/x", 0o755)).toBe(-EROFS);
  expect(kernel.vfs.resolve(task, AT_FDCWD, "/file/x", { follow: false })).toBe(-ENOTDIR);
});
