// The file tree at boot: root, /dev, /proc, /sys, /tmp, /run, host directories, files that the caller supplies, and the three standard
// descriptors of a program that the host starts. Called by boot.ts once per kernel, before there is any task.

import { EEXIST, EINVAL, ENOSPC, ENOTDIR, EROFS } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { HostFs } from "../ports.ts";
import { releaseDetached } from "../syscall/mount.ts";
import type { Task } from "../task.ts";
import { S_IFDIR, S_IFREG, type Timespec } from "./abi.ts";
import { CgroupFs } from "./cgroupfs.ts";
import { makeDevFs } from "./devfs.ts";
import { HostFilesystem } from "./hostfs.ts";
import { HugetlbFs, hugetlbfsFromOptions } from "./hugetlbfs.ts";
import type { Filesystem } from "./inode.ts";
import { MNT_NODEV, MNT_NOEXEC, MNT_NOSUID, MNT_RDONLY, Path } from "./inode.ts";
import { makeMshareFs } from "./msharefs.ts";
import { PipeFs } from "./pipe.ts";
import { ProcFs } from "./procfs.ts";
import { NsFs } from "./procfs/ns.ts";
import { PtsFs } from "./pty.ts";
import { RamFile, RamFs } from "./ramfs.ts";
import { SocketFs } from "./socket-names.ts";
import { Standard } from "./stdio.ts";
import { SysFs } from "./sysfs.ts";
import { tmpfsFromOptions } from "./tmpfs-options.ts";
import { Vfs } from "./vfs.ts";

/** The tmpfs of memfds and anonymous shared memory is 0:1, as in Linux. */
const MEMFD_MINOR = 1;
/** Lower numbers are taken: anon_inodefs, regions. */
const FIRST_MINOR = 20;

/** What the guest finds besides the system's own directories. */
export interface FileSetupOptions {
  /** Host directories and where they appear; "/" makes one the root, with /dev, /proc, /sys, /tmp and /run on top of it. */
  mounts?: readonly { fs: HostFs; at: string }[];
  /** Files to put in, their directories made as needed (in a host directory only if that is writable). */
  files?: readonly { path: string; mode: number; data: Uint8Array }[];
}

/** Builds the tree and sets kernel.vfs. Throws if a mount or a file cannot be placed: what the caller asked for is impossible. */
export function setUpFiles(kernel: Kernel, options: FileSetupOptions = {}): void {
  const now = (): Timespec => kernel.clock.realtime();
  const mounts = [...(options.mounts ?? [])].sort((a, b) => a.at.length - b.at.length);
  const rootMount = mounts.find(({ at }) => isRoot(at));
  const rootMinor = FIRST_MINOR;
  const rootFs: Filesystem = rootMount
    ? new HostFilesystem(kernel.memory, rootMount.fs, { devMinor: rootMinor, now })
    : new RamFs(kernel.memory, { devMinor: rootMinor, now });
  const vfs = new Vfs(rootFs, rootMount?.fs.source ?? "tmpfs");
  vfs.nextDevMinor = FIRST_MINOR + 1;
  vfs.memfds = new RamFs(kernel.memory, {
    devMinor: MEMFD_MINOR,
    now,
    maxPages: Infinity,
    shmem: kernel.memory.thp.internalMount,
  });
  vfs.pipes = new PipeFs(vfs.allocateDevMinor(), now);
  vfs.sockets = new SocketFs(vfs.allocateDevMinor(), now);
  vfs.namespaces = new NsFs(vfs.allocateDevMinor(), now);
  vfs.openFifo = (_task, path, flags) => vfs.pipes.openFifo(path, flags);
  if (rootMount && !rootMount.fs.writable) vfs.root.mount.flags |= MNT_RDONLY;
  kernel.vfs = vfs;
  const standard = new Standard(kernel.ports, vfs.pipes);
  vfs.standard = standard;

  const attach = (fs: Filesystem, at: string, source: string, flags: number): Path => {
    const place = makeDirectory(vfs, at);
    const mount = vfs.mount(fs, place, source, flags);
    return new Path(mount, mount.root);
  };
  const pts = new PtsFs(vfs.allocateDevMinor(), now);
  const safe = MNT_NOSUID | MNT_NODEV | MNT_NOEXEC;
  attach(
    makeDevFs(kernel, vfs, { devMinor: vfs.allocateDevMinor(), console: standard.console, pts }),
    "/dev",
    "devtmpfs",
    MNT_NOSUID,
  );
  pts.mountedAt(attach(pts, "/dev/pts", "devpts", MNT_NOSUID | MNT_NOEXEC));
  const tmpfs = (mode: number): RamFs => new RamFs(kernel.memory, { devMinor: vfs.allocateDevMinor(), now, mode });
  attach(tmpfs(0o1777), "/dev/shm", "tmpfs", MNT_NOSUID | MNT_NODEV);
  attach(new ProcFs(kernel, vfs.allocateDevMinor()), "/proc", "proc", safe);
  attach(new SysFs(kernel, vfs.allocateDevMinor()), "/sys", "sysfs", safe);
  const cgroups = new CgroupFs(kernel, vfs.allocateDevMinor());
  cgroups.configure("nsdelegate,memory_recursiveprot");
  attach(cgroups, "/sys/fs/cgroup", "cgroup2", safe);
  attach(tmpfs(0o1777), "/tmp", "tmpfs", 0);
  attach(tmpfs(0o755), "/run", "tmpfs", MNT_NOSUID | MNT_NODEV);

  for (const { fs, at } of mounts) {
    if (fs === rootMount?.fs) continue;
    const host = new HostFilesystem(kernel.memory, fs, { devMinor: vfs.allocateDevMinor(), now });
    attach(host, at, fs.source, MNT_NOSUID | MNT_NODEV | (fs.writable ? 0 : MNT_RDONLY));
  }
  for (const file of options.files ?? []) {
    const error = putFile(vfs, file);
    if (error < 0) throw new Error(`cannot put the file ${file.path} into the guest (errno ${-error})`);
  }
  registerTypes(kernel, vfs, pts, cgroups);
  kernel.processExitHooks.push(() => releaseDetached(kernel));
}

/** The file systems that mount(2) makes, and those that nobody mounts. */
function registerTypes(kernel: Kernel, vfs: Vfs, pts: PtsFs, cgroups: CgroupFs): void {
  const now = (): Timespec => kernel.clock.realtime();
  vfs.hugeMemfds = kernel.memory.hugetlb.pools.map(
    (pool) => new HugetlbFs(pool, { devMinor: vfs.allocateDevMinor(), now }),
  );
  vfs.types.set("sysfs", { nodev: true, make: () => new SysFs(kernel, vfs.allocateDevMinor()) });
  vfs.types.set("tmpfs", {
    nodev: true,
    make: (text) => tmpfsFromOptions(kernel.memory, { devMinor: vfs.allocateDevMinor(), now }, text),
  });
  vfs.types.set("ramfs", {
    nodev: true,
    make: (text) => tmpfsFromOptions(kernel.memory, { devMinor: vfs.allocateDevMinor(), now, type: "ramfs" }, text),
  });
  vfs.types.set("hugetlbfs", {
    nodev: true,
    make: (text) => hugetlbfsFromOptions(kernel.memory, { devMinor: vfs.allocateDevMinor(), now }, text),
  });
  vfs.types.set("msharefs", { nodev: true, make: (text) => makeMshareFs(kernel, vfs.allocateDevMinor(), text) });
  vfs.types.set("cgroup2", { nodev: true, make: (text) => cgroups.configure(text) || cgroups });
  vfs.types.set("proc", { nodev: true, make: () => new ProcFs(kernel, vfs.allocateDevMinor()) });
  const dev = vfs.mounts.find((mount) => mount.fs.type === "devtmpfs")!.fs;
  // There is one devtmpfs and one set of pseudo-terminals, wherever they are mounted.
  vfs.types.set("devtmpfs", { nodev: true, make: () => dev });
  vfs.types.set("devpts", { nodev: true, make: () => pts });
}

const isRoot = (at: string): boolean => at.split("/").every((name) => name === "");

/** The place that the absolute path `at` names, directories made as needed; without a task, so no permissions and no links. */
function makeDirectory(vfs: Vfs, at: string): Path {
  let path = vfs.root;
  for (const name of at.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") throw new Error(`${at}: a mount point cannot be named with ".."`);
    let dentry = path.dentry.lookup(name, null);
    if (typeof dentry === "number") {
      const host = path.inode.fs instanceof HostFilesystem ? path.inode.fs : null;
      const make = { mode: S_IFDIR | 0o755, uid: 0, gid: 0 };
      const made = host ? host.makeMountPoint(path.inode, name) : path.inode.mkdir(name, make);
      if (typeof made === "number") throw new Error(`cannot make the directory ${at} (errno ${-made})`);
      dentry = path.dentry.child(name, made);
    }
    path = vfs.crossMounts(new Path(path.mount, dentry));
    if (!path.inode.isDir) throw new Error(`cannot make the directory ${at}: ${name} is a file (errno ${ENOTDIR})`);
  }
  return path;
}

/** Puts a file into the tree, its directories made as needed; what a former call put there is overwritten. 0 or -errno. */
export function putFile(vfs: Vfs, file: { path: string; mode: number; data: Uint8Array }): number {
  const slash = file.path.lastIndexOf("/");
  const directory = makeDirectory(vfs, file.path.slice(0, Math.max(0, slash)));
  const name = file.path.slice(slash + 1);
  if (name === "") return -EINVAL;
  if (directory.mount.flags & MNT_RDONLY) return -EROFS;
  const there = directory.inode.lookup(name, null);
  const make = { mode: S_IFREG | (file.mode & 0o7777), uid: 0, gid: 0 };
  const inode = typeof there === "number" ? directory.inode.create(name, make) : there;
  if (typeof inode === "number") return inode;
  if (!(inode instanceof RamFile)) return -EEXIST;
  const truncated = inode.truncate(0);
  if (truncated < 0) return truncated;
  const written = inode.object.write(0, file.data);
  return written === file.data.length ? 0 : written < 0 ? written : -ENOSPC;
}

/** Gives a task that the host starts its descriptors 0, 1 and 2; a terminal among them becomes its session's. */
export function openStandardStreams(kernel: Kernel, task: Task): void {
  const { standard } = kernel.vfs;
  const path = makeDirectory(kernel.vfs, "/dev");
  const console = path.dentry.lookup("console", null);
  if (typeof console === "number") throw new Error("/dev/console is missing");
  for (const file of standard.open(new Path(path.mount, console))) task.files.install(file, { cloexec: false });
  const { session, group } = task.process;
  const { stdin, stdout } = kernel.ports;
  if (!(stdin.terminal || stdout.terminal)) return;
  if (session.sid === task.process.pid && session.tty === null && standard.console.session === null) {
    standard.console.attach(session, group);
  }
}
