// /proc and /sys as pid 1 sees them in a kernel without programs: every file can be read, seeks and short reads agree with whole reads, links
// lead where they say, nothing can be made. What they say of programs is compared with Linux in guest/tests/proc-*.c.
import { describe, expect, test } from "vitest";
import { EACCES, EINVAL, EIO, EISDIR, ENOENT, EPERM } from "../../base/errno.ts";
import { bootFiles } from "../../testing/files.ts";
import type { Task } from "../task.ts";
import {
  AT_FDCWD,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  bytesToString,
  isDir,
  isRegular,
  stringToBytes,
} from "./abi.ts";
import { mkdir, unlink } from "./dirops.ts";
import type { OpenFile } from "./file.ts";

const { kernel, task } = bootFiles();
const { vfs } = kernel;

function open(path: string, flags = O_RDONLY): OpenFile {
  const file = vfs.open(task, AT_FDCWD, path, flags);
  if (typeof file === "number") throw new Error(`open ${path}: ${file}`);
  return file;
}

/** The whole text, or -errno. */
function read(path: string, by: Task = task): string | number {
  const file = vfs.open(by, AT_FDCWD, path, O_RDONLY);
  if (typeof file === "number") return file;
  const bytes = file.read(by, 1 << 20, undefined);
  file.put();
  if (typeof bytes === "number") return bytes;
  if (!(bytes instanceof Uint8Array)) throw new Error(`${path} waits`);
  return bytesToString(bytes);
}

/** All paths below a directory; links are not followed. */
function* tree(path: string): Generator<string> {
  const at = vfs.resolve(task, AT_FDCWD, path, { follow: false });
  if (typeof at === "number") throw new Error(`${path}: ${at}`);
  yield path;
  if (!isDir(at.inode.mode)) return;
  const entries = at.inode.entries(task);
  if (typeof entries === "number") throw new Error(`entries of ${path}: ${entries}`);
  expect(new Set(entries.map(({ name }) => name)).size, `${path} lists a name twice`).toBe(entries.length);
  for (const { name } of entries) yield* tree(`${path}/${name}`);
}

describe.each(["/proc", "/sys"])("%s", (root) => {
  test("every file reads, or says why not", () => {
    let files = 0;
    for (const path of tree(root)) {
      const at = vfs.resolve(task, AT_FDCWD, path, { follow: false });
      if (typeof at === "number" || !isRegular(at.inode.mode)) continue;
      const text = read(path);
      files++;
      // init has no memory; some files are only for writing.
      if (typeof text === "number") expect([-3, -EACCES, -EINVAL, -EIO, -EPERM], path).toContain(text);
    }
    expect(files).toBeGreaterThan(20);
  });
  test("nothing can be made or removed", () => {
    const refusals = root === "/proc" ? [-ENOENT, -ENOENT] : [-EACCES, -EPERM];
    expect(vfs.open(task, AT_FDCWD, `${root}/new`, O_CREAT | O_WRONLY, 0o600)).toBe(refusals[0]);
    expect(mkdir(vfs, task, AT_FDCWD, `${root}/new`, 0o700)).toBe(refusals[1]);
    expect(unlink(vfs, task, AT_FDCWD, root === "/proc" ? "/proc/stat" : "/sys/kernel/profiling")).toBe(-EPERM);
    expect(vfs.open(task, AT_FDCWD, root, O_RDWR)).toBe(-EISDIR);
  });
});

describe("files of /proc", () => {
  test("short reads give the same text", () => {
    const whole = read("/proc/filesystems");
    const file = open("/proc/filesystems");
    let text = "";
    for (;;) {
      const bytes = file.read(task, 5, undefined);
      if (!(bytes instanceof Uint8Array) || bytes.length === 0) break;
      text += bytesToString(bytes);
    }
    expect(text).toBe(whole);
    const middle = file.read(task, 4, 6);
    expect(middle instanceof Uint8Array && bytesToString(middle)).toBe((whole as string).slice(6, 10));
    file.put();
  });
  test("are made anew when reading begins at the start", () => {
    const file = open("/proc/sys/kernel/hostname");
    const first = file.read(task, 100, 0) as Uint8Array;
    expect(bytesToString(first)).toBe(`${kernel.uts.nodename}\n`);
    kernel.uts.nodename = "renamed";
    expect(bytesToString(file.read(task, 100, 0) as Uint8Array)).toBe("renamed\n");
    file.put();
  });
  test("the kernel's memory adds up", () => {
    const text = read("/proc/meminfo") as string;
    const kb = (name: string): number => Number(new RegExp(`^${name}: *(\\d+) kB$`, "m").exec(text)![1]);
    expect(kb("MemTotal")).toBe((kernel.memory.frames.total * 4096) / 1024);
    expect(kb("MemFree")).toBe((kernel.memory.frames.free * 4096) / 1024);
    expect(kb("Cached")).toBe(kb("Active\\(file\\)") + kb("Inactive\\(file\\)") + kb("Shmem"));
  });
  test("of the processor time, none is lost", () => {
    const [, ...total] = (read("/proc/stat") as string).split("\n")[0].split(/ +/).map(Number);
    const [uptime] = (read("/proc/uptime") as string).split(" ").map(Number);
    const seconds = total.reduce((sum, n) => sum + n, 0) / 100;
    expect(Math.abs(seconds - uptime * kernel.hardware.harts.length)).toBeLessThan(0.1);
  });
});

describe("settings", () => {
  const write = (path: string, text: string): number => {
    const file = open(path, O_WRONLY);
    const result = file.write(task, stringToBytes(text), undefined);
    file.put();
    return result as number;
  };
  test("that do something", () => {
    expect(write("/proc/sys/vm/overcommit_memory", "2\n")).toBe(2);
    expect(kernel.memory.overcommit).toBe(2);
    expect(write("/proc/sys/vm/overcommit_memory", "3")).toBe(-EINVAL);
    expect(write("/proc/sys/vm/overcommit_memory", "x")).toBe(-EINVAL);
    expect(write("/proc/sys/vm/overcommit_memory", "0")).toBe(1);
    expect(kernel.memory.overcommit).toBe(0);
  });
  test("that cannot change bind root as well", () => {
    expect(vfs.open(task, AT_FDCWD, "/proc/sys/kernel/ostype", O_WRONLY)).toBe(-EACCES);
    expect(vfs.open(task, AT_FDCWD, "/proc/sys/vm/drop_caches", O_RDONLY)).toBe(-EACCES);
  });
  test("random ids differ, the boot's stays", () => {
    const id = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/;
    const uuid = read("/proc/sys/kernel/random/uuid");
    expect(uuid).toMatch(id);
    expect(read("/proc/sys/kernel/random/uuid")).not.toBe(uuid);
    expect(read("/proc/sys/kernel/random/boot_id")).toBe(read("/proc/sys/kernel/random/boot_id"));
  });
});

test("/proc/self leads to the reader", () => {
  const at = vfs.resolve(task, AT_FDCWD, "/proc/self", { follow: true });
  const same = vfs.resolve(task, AT_FDCWD, "/proc/1", { follow: true });
  expect(typeof at !== "number" && typeof same !== "number" && at.inode === same.inode).toBe(true);
  expect(read("/proc/self/comm")).toBe("init\n");
  expect(read("/proc/self/stat")).toMatch(/^1 \(init\) S 0 1 1 0 -1 /);
  expect(vfs.resolve(task, AT_FDCWD, "/proc/01", { follow: true })).toBe(-ENOENT);
});
