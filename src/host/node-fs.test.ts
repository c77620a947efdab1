// Host directories as the guest's: what can be done in them, and that nothing leads out.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EACCES, EEXIST, EINVAL, ELOOP, ENOENT, ENOTDIR, EROFS } from "../base/errno.ts";
import type { HostFile } from "../kernel/ports.ts";
import { NodeFs } from "./node-fs.ts";

let base = "";
let inside = "";
let fs: NodeFs;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "mshare-fs-"));
  inside = join(base, "inside");
  mkdirSync(join(inside, "dir"), { recursive: true });
  writeFileSync(join(base, "secret"), "secret");
  writeFileSync(join(inside, "file"), "contents");
  writeFileSync(join(inside, "dir/other"), "other");
  fs = new NodeFs(inside, { writable: true });
});
afterEach(() => {
  fs.close();
  rmSync(base, { recursive: true });
});

const text = (file: HostFile): string => {
  const bytes = new Uint8Array(64);
  const length = file.read(0, bytes);
  return new TextDecoder().decode(bytes.subarray(0, length));
};

describe("a host directory", () => {
  test("is read and written", () => {
    const file = fs.open("dir/other", { write: true }) as HostFile;
    expect(text(file)).toBe("other");
    expect(file.write(2, new TextEncoder().encode("TTER"))).toBe(4);
    expect(file.stat()).toMatchObject({ kind: "file", size: 6 });
    expect(file.truncate(3)).toBe(0);
    file.close();
    expect(readFileSync(join(inside, "dir/other"), "utf8")).toBe("otT");
  });
  test("lists names with their kinds", () => {
    symlinkSync("file", join(inside, "link"));
    const entries = fs.readdir("");
    expect(typeof entries).not.toBe("number");
    const kinds = Object.fromEntries(
      (entries as { name: string; kind: string }[]).map(({ name, kind }) => [name, kind]),
    );
    expect(kinds).toEqual({ dir: "directory", file: "file", link: "symlink" });
    expect(fs.readlink("link")).toBe("file");
  });
  test("has names of any bytes", () => {
    expect(fs.mkdir("\xff\xfe", 0o755)).toBe(0);
    expect(fs.lstat("\xff\xfe")).toMatchObject({ kind: "directory" });
    expect((fs.readdir("") as { name: string }[]).map(({ name }) => name)).toContain("\xff\xfe");
  });
  test("is changed by every call that changes directories", () => {
    expect(fs.mkdir("new", 0o700)).toBe(0);
    expect(fs.lstat("new")).toMatchObject({ kind: "directory", mode: 0o700 });
    expect(fs.rename("file", "new/moved")).toBe(0);
    expect(fs.link("new/moved", "again")).toBe(0);
    expect(fs.lstat("again")).toMatchObject({ nlink: 2 });
    expect(fs.chmod("again", 0o600)).toBe(0);
    expect(fs.utimes("again", { sec: 1, nsec: 0 }, { sec: 2, nsec: 500_000_000 })).toBe(0);
    expect(fs.lstat("again")).toMatchObject({ mode: 0o600, mtime: { sec: 2, nsec: 500_000_000 } });
    expect(fs.symlink("again", "points")).toBe(0);
    expect(fs.unlink("again")).toBe(0);
    expect(fs.unlink("new/moved")).toBe(0);
    expect(fs.rmdir("new")).toBe(0);
    expect(fs.lstat("new")).toBe(-ENOENT);
  });
  test("answers with errnos", () => {
    expect(fs.open("nothing", { write: false })).toBe(-ENOENT);
    expect(fs.open("file/x", { write: false })).toBe(-ENOTDIR);
    expect(fs.open("file", { write: true, create: { mode: 0o644, exclusive: true } })).toBe(-EEXIST);
    expect(fs.mkdir("dir", 0o755)).toBe(-EEXIST);
  });
  test("is not changed unless that was asked for", () => {
    const readOnly = new NodeFs(inside, { writable: false });
    expect(readOnly.open("file", { write: true })).toBe(-EROFS);
    expect(readOnly.open("new", { write: false, create: { mode: 0o644, exclusive: false } })).toBe(-EROFS);
    for (const result of [
      readOnly.mkdir("new", 0o755),
      readOnly.rmdir("dir"),
      readOnly.unlink("file"),
      readOnly.rename("file", "x"),
      readOnly.link("file", "x"),
      readOnly.symlink("file", "x"),
      readOnly.chmod("file", 0o777),
      readOnly.utimes("file", { sec: 0, nsec: 0 }, { sec: 0, nsec: 0 }),
    ])
      expect(result).toBe(-EROFS);
    expect(readOnly.open("file", { write: false })).not.toBeTypeOf("number");
    readOnly.close();
  });
});

describe("there is no way out of it", () => {
  beforeEach(() => {
    symlinkSync("..", join(inside, "up"));
    symlinkSync("/", join(inside, "top"));
    symlinkSync("../secret", join(inside, "leak"));
    symlinkSync("/proc/self/cwd", join(inside, "magic"));
  });
  test("by dots, empty names or NULs", () => {
    for (const path of ["..", "../secret", "dir/../../secret", ".", "dir/.", "/", "dir//other", "file\0"])
      expect(fs.lstat(path), JSON.stringify(path)).toSatisfy((result) => [-EINVAL, -ENOENT].includes(result as number));
  });
  test("by links to directories", () => {
    for (const path of ["up/secret", "top/etc/passwd", "magic/package.json"]) {
      expect(fs.lstat(path), path).toSatisfy((result) => [-ENOTDIR, -ELOOP].includes(result as number));
      expect(fs.open(path, { write: false }), path).toSatisfy((r) => [-ENOTDIR, -ELOOP].includes(r as number));
    }
    expect(fs.readdir("up")).toSatisfy((result) => [-ENOTDIR, -ELOOP].includes(result as number));
    expect(fs.mkdir("up/new", 0o755)).toBeLessThan(0);
    expect(fs.rename("file", "up/stolen")).toBeLessThan(0);
    expect(existsSync(join(base, "stolen"))).toBe(false);
  });
  test("by a link that is opened, created through or changed", () => {
    expect(fs.open("leak", { write: false })).toBe(-ELOOP);
    expect(fs.open("leak", { write: true, create: { mode: 0o644, exclusive: false } })).toBe(-ELOOP);
    expect(fs.chmod("leak", 0o777)).toBe(-EINVAL);
    expect(fs.utimes("leak", { sec: 0, nsec: 0 }, { sec: 0, nsec: 0 })).toBe(-EINVAL);
    expect(fs.lstat("leak")).toMatchObject({ kind: "symlink" });
  });
  test("by devices and FIFOs", () => {
    const dev = new NodeFs("/dev", { writable: true });
    expect(dev.open("null", { write: true })).toBe(-EACCES);
    dev.close();
  });
  test("when the directory itself is moved away and another takes its name", () => {
    renameSync(inside, join(base, "elsewhere"));
    symlinkSync(base, inside);
    expect(fs.lstat("secret")).toBe(-ENOENT);
    expect(fs.lstat("file")).toMatchObject({ kind: "file" });
  });
});
