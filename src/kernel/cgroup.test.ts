// The tree of control groups without programs: rules for members and controllers, counts, who pays. guest/tests/cgroup-fs.c compares the files with Linux.
import { beforeEach, describe, expect, test } from "vitest";
import { EAGAIN, EBUSY, ENODEV, ENOENT, EOPNOTSUPP } from "../base/errno.ts";
import { bootFiles } from "../testing/files.ts";
import type { Cgroup, CgroupTree, Controller } from "./cgroup.ts";
import { mkdir, rmdir } from "./fs/dirops.ts";
import { AT_FDCWD, O_RDWR, bytesToString, stringToBytes } from "./fs/abi.ts";
import type { Kernel } from "./kernel.ts";
import type { Task } from "./task.ts";

let kernel: Kernel;
let task: Task;
let cgroups: CgroupTree;
let root: Cgroup;

beforeEach(() => {
  ({ kernel, task } = bootFiles());
  ({ cgroups } = kernel);
  ({ root } = cgroups);
});

function make(parent: Cgroup, name: string): Cgroup {
  const group = cgroups.create(parent, name);
  if (typeof group === "number") throw new Error(`no group ${name}: ${group}`);
  return group;
}
const enable = (group: Cgroup, ...names: Controller[]): number => cgroups.control(group, new Set(names), new Set());
const disable = (group: Cgroup, ...names: Controller[]): number => cgroups.control(group, new Set(), new Set(names));

/** Reads the file, or writes to it, as a program does. */
function file(path: string, text?: string): string | number {
  const opened = kernel.vfs.open(task, AT_FDCWD, `/sys/fs/cgroup/${path}`, O_RDWR, 0);
  if (typeof opened === "number") return opened;
  if (opened instanceof Promise || !("read" in opened)) throw new Error("it waits");
  const result = text === undefined ? opened.read(task, 4096, 0) : opened.write(task, stringToBytes(text), 0);
  opened.put();
  return result instanceof Uint8Array ? bytesToString(result) : (result as number);
}

describe("members", () => {
  test("a group with processes or groups cannot be removed", () => {
    const a = make(root, "a");
    const b = make(a, "b");
    expect(cgroups.remove(a)).toBe(-EBUSY);
    expect(cgroups.attach(task.process, b)).toBe(0);
    expect([root.live, a.live, b.live]).toEqual([1, 1, 1]);
    expect(cgroups.remove(b)).toBe(-EBUSY);
    cgroups.leave(task.process);
    expect(cgroups.remove(b)).toBe(0);
    expect(cgroups.attach(task.process, b)).toBe(-ENODEV);
    expect(cgroups.create(b, "c")).toBe(-ENODEV);
    expect(b.path).toBe("/a/b");
  });

  test("no processes beside groups with domain controllers, but beside those with threaded ones", () => {
    const a = make(root, "a");
    expect(enable(a, "memory")).toBe(-ENOENT);
    expect(enable(root, "memory", "pids")).toBe(0);
    const b = make(a, "b");
    expect(enable(a, "memory")).toBe(0);
    expect(cgroups.attach(task.process, a)).toBe(-EBUSY);
    expect(disable(a, "memory")).toBe(0);
    expect(enable(a, "pids")).toBe(0);
    expect(cgroups.attach(task.process, a)).toBe(0);
    expect(a.isThreadRoot).toBe(true);
    expect(cgroups.attach(task.process, b)).toBe(-EOPNOTSUPP);
    expect(enable(a, "memory")).toBe(-EOPNOTSUPP);
    expect(disable(a, "pids")).toBe(0);
    expect(enable(a, "memory")).toBe(-EBUSY);
    expect(cgroups.attach(task.process, b)).toBe(0);
  });

  test("a controller that a child passes on cannot be taken away", () => {
    enable(root, "memory");
    const a = make(root, "a");
    make(a, "b");
    enable(a, "memory");
    expect(disable(root, "memory")).toBe(-EBUSY);
    expect(disable(a, "memory")).toBe(0);
    expect(disable(root, "memory")).toBe(0);
    expect(kernel.memory.groups.active).toBe(false);
  });
});

test("limits of depth and number", () => {
  root.maxDescendants = 2;
  const a = make(root, "a");
  a.maxDepth = 1;
  const b = make(a, "b");
  expect(cgroups.create(root, "c")).toBe(-EAGAIN);
  root.maxDescendants = Infinity;
  expect(cgroups.create(b, "c")).toBe(-EAGAIN);
  expect(typeof cgroups.create(a, "c")).toBe("object");
});

test("pids.max refuses forks in the group and below", () => {
  enable(root, "pids");
  const a = make(root, "a");
  const b = make(a, "b");
  a.pids!.max = 1;
  expect(cgroups.mayFork(b)).toBe(0);
  cgroups.attach(task.process, b);
  expect(cgroups.tasksIn(a)).toBe(1);
  expect(cgroups.mayFork(b)).toBe(-EAGAIN);
  expect([a.pids!.refused, a.pids!.peak]).toEqual([1, 1]);
});

test("who pays follows the process, and the nearest group that has the controller", () => {
  enable(root, "memory");
  const a = make(root, "a");
  const b = make(a, "b");
  const mm = kernel.memory.newMm();
  if (typeof mm === "number") throw new Error("no memory");
  task.setMm(mm);
  cgroups.attach(task.process, b);
  expect(mm.memcg).toBe(a.ownMemory);
  expect(enable(a, "memory")).toBe(0);
  expect(mm.memcg).toBe(b.ownMemory);
  cgroups.attach(task.process, root);
  expect(mm.memcg).toBe(kernel.memory.groups.root);
  cgroups.attach(task.process, b);
  expect(mm.memcg).toBe(b.ownMemory);
  expect(disable(a, "memory")).toBe(0);
  expect(mm.memcg).toBe(a.ownMemory);
  kernel.memory.verify();
});

test("the files follow the controllers", () => {
  const path = "/sys/fs/cgroup/a";
  expect(mkdir(kernel.vfs, task, AT_FDCWD, path, 0o755)).toBe(0);
  expect(file("a/memory.max")).toBe(-ENOENT);
  expect(file("cgroup.subtree_control", "+memory")).toBe(7);
  expect(file("a/memory.max")).toBe("max\n");
  expect(file("a/memory.max", "64K")).toBe(3);
  expect(root.children.get("a")!.ownMemory!.memory.max).toBe(16);
  expect(file("a/cgroup.procs", "0")).toBe(1);
  expect(file("a/cgroup.procs")).toBe(`${task.tgid}\n`);
  expect(rmdir(kernel.vfs, task, AT_FDCWD, path)).toBe(-EBUSY);
  expect(file("cgroup.procs", "0")).toBe(1);
  expect(rmdir(kernel.vfs, task, AT_FDCWD, path)).toBe(0);
  expect(file("a/memory.max")).toBe(-ENOENT);
});

test("it is mounted at boot, as systemd does on Debian", () => {
  const mount = kernel.vfs.mounts.find(({ fs }) => fs.type === "cgroup2");
  expect(mount?.source).toBe("cgroup2");
  expect(mount?.fs.options).toBe("nsdelegate,memory_recursiveprot");
  expect(kernel.vfs.pathName(kernel.vfs.crossMounts(mount!.at!))).toBe("/sys/fs/cgroup");
});
