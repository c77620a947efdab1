// /proc/sys: the settings of the kernel. Those that do something here can be written; the others say what is so and are read-only, except for a
// few that only advise (swappiness and the like), which are kept.

import { EACCES, EINVAL, EOPNOTSUPP, EPERM } from "../../../base/errno.ts";
import { MAX_MAP_COUNT, MMAP_MIN_ADDR, PID_MAX } from "../../../base/limits.ts";
import { PAGE_SIZE } from "../../../base/numbers.ts";
import type { Overcommit } from "../../../mm/memory-manager.ts";
import { CORENAME_MAX } from "../../core-pattern.ts";
import { CAP_SYS_PTRACE } from "../../creds.ts";
import type { Kernel } from "../../kernel.ts";
import type { Task } from "../../task.ts";
import { SCOPE_NO_ATTACH } from "../../yama.ts";
import type { Filesystem } from "../inode.ts";
import { parseNumber } from "./format.ts";
import { StaticDir, TextInode } from "./node.ts";

/** __NEW_UTS_LEN */
const UTS_LEN = 64;

/** A setting: how it reads, and what writing it does (absent: read-only). */
interface Setting {
  readonly read?: () => string | number;
  readonly write?: (text: string, task: Task) => number;
  readonly mode?: number;
}

type Tree = { readonly [name: string]: Tree | Setting };

const isSetting = (entry: Tree | Setting): entry is Setting =>
  typeof (entry as Setting).read === "function" || typeof (entry as Setting).write === "function";

/** A value that cannot be changed. */
const fixed = (value: string | number): Setting => ({ read: () => value, mode: 0o444 });

/** A number from `low` to `high` that something else keeps. */
function integer(low: number, high: number, get: () => number, set: (value: number) => void): Setting {
  return {
    read: get,
    write: (text) => {
      const value = parseNumber(text);
      if (value === undefined || value < low || value > high) return -EINVAL;
      set(value);
      return 0;
    },
  };
}

/** A number that is kept and advises nobody. */
function kept(value: number, low = 0, high = 2 ** 31 - 1): Setting {
  return integer(
    low,
    high,
    () => value,
    (next) => (value = next),
  );
}

function text(get: () => string, set: (value: string) => void): Setting {
  return {
    read: get,
    write: (written) => {
      set(written.split("\n")[0].slice(0, UTS_LEN));
      return 0;
    },
  };
}

/** A random UUID of version 4. */
function uuid(kernel: Kernel): string {
  const bytes = new Uint8Array(16);
  kernel.random.fill(bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function kernelSettings(kernel: Kernel): Tree {
  const { uts } = kernel;
  let bootId = "";
  return {
    cap_last_cap: fixed(40),
    core_pattern: corePattern(kernel),
    core_uses_pid: integer(
      -(2 ** 31),
      2 ** 31 - 1,
      () => (kernel.core.usesPid ? 1 : 0),
      (value) => (kernel.core.usesPid = value !== 0),
    ),
    domainname: text(
      () => uts.domainname,
      (value) => (uts.domainname = value),
    ),
    hostname: text(
      () => uts.nodename,
      (value) => (uts.nodename = value),
    ),
    ngroups_max: fixed(65536),
    osrelease: fixed(uts.release),
    ostype: fixed(uts.sysname),
    overflowgid: fixed(65534),
    overflowuid: fixed(65534),
    panic: fixed(0),
    pid_max: fixed(PID_MAX),
    printk: fixed("4\t4\t1\t7"),
    random: {
      boot_id: { read: () => (bootId ||= uuid(kernel)), mode: 0o444 },
      entropy_avail: fixed(256),
      poolsize: fixed(256),
      uuid: { read: () => uuid(kernel), mode: 0o444 },
    },
    randomize_va_space: fixed(2),
    sched_rr_timeslice_ms: fixed(100),
    sem: fixed("32000\t1024000000\t500\t32000"),
    shmall: fixed("18446744073692774399"),
    shmmax: fixed("18446744073692774399"),
    shmmni: fixed(4096),
    shm_rmid_forced: fixed(0),
    tainted: fixed(0),
    "threads-max": fixed(Math.floor((kernel.memory.frames.total * PAGE_SIZE) / (8 * 16384))),
    version: fixed(uts.version),
    yama: { ptrace_scope: ptraceScope(kernel) },
  };
}

/** A program that takes dumps from a pipe cannot be named: it would never be run. */
function corePattern({ core }: Kernel): Setting {
  return {
    read: () => core.pattern,
    write: (written) => {
      const pattern = written.split("\n")[0].slice(0, CORENAME_MAX - 1);
      if (pattern.startsWith("|")) return -EOPNOTSUPP;
      core.pattern = pattern;
      return 0;
    },
  };
}

/** Once at its highest it stays there (yama_dointvec_minmax). */
function ptraceScope(kernel: Kernel): Setting {
  return {
    read: () => kernel.ptraceScope,
    write: (written, task) => {
      const value = parseNumber(written);
      if (!task.capable(CAP_SYS_PTRACE)) return -EPERM;
      const low = kernel.ptraceScope === SCOPE_NO_ATTACH ? SCOPE_NO_ATTACH : 0;
      if (value === undefined || value < low || value > SCOPE_NO_ATTACH) return -EINVAL;
      kernel.ptraceScope = value;
      return 0;
    },
  };
}

function vmSettings(kernel: Kernel): Tree {
  const { memory } = kernel;
  const pool = memory.hugetlb.defaultPool;
  const overcommitMemory = integer(
    0,
    2,
    () => memory.overcommit,
    (value) => (memory.overcommit = value as Overcommit),
  );
  const overcommitRatio = integer(
    0,
    2 ** 31 - 1,
    () => memory.overcommitRatio,
    (value) => (memory.overcommitRatio = value),
  );
  const dropCaches: Setting = {
    mode: 0o200,
    write: (written) => {
      const value = parseNumber(written);
      if (value === undefined || value < 1 || value > 4) return -EINVAL;
      if (value & 1) memory.dropCaches();
      return 0;
    },
  };
  return {
    dirty_background_ratio: kept(10, 0, 100),
    dirty_expire_centisecs: kept(3000),
    dirty_ratio: kept(20, 0, 100),
    dirty_writeback_centisecs: kept(500),
    drop_caches: dropCaches,
    legacy_va_layout: fixed(0),
    max_map_count: fixed(MAX_MAP_COUNT),
    mmap_min_addr: fixed(MMAP_MIN_ADDR),
    hugetlb_shm_group: integer(
      0,
      2 ** 32 - 1,
      () => kernel.hugetlbShmGroup,
      (value) => (kernel.hugetlbShmGroup = value),
    ),
    nr_hugepages: integer(
      0,
      2 ** 53,
      () => pool.max,
      (value) => {
        pool.setMax(value);
      },
    ),
    nr_overcommit_hugepages: integer(
      0,
      2 ** 53,
      () => pool.overcommit,
      (value) => {
        pool.setOvercommit(value);
      },
    ),
    oom_kill_allocating_task: fixed(0),
    overcommit_kbytes: fixed(0),
    overcommit_memory: overcommitMemory,
    overcommit_ratio: overcommitRatio,
    "page-cluster": kept(3, 0, 31),
    panic_on_oom: fixed(0),
    swappiness: kept(60, 0, 200),
    vfs_cache_pressure: kept(100),
  };
}

function fsSettings(kernel: Kernel): Tree {
  return {
    "file-max": fixed(Math.floor((kernel.memory.frames.total * PAGE_SIZE) / 10240)),
    nr_open: fixed(1048576),
    overflowgid: fixed(65534),
    overflowuid: fixed(65534),
    "pipe-max-size": fixed(1048576),
    protected_hardlinks: fixed(1),
    protected_symlinks: fixed(1),
    suid_dumpable: fixed(0),
  };
}

/** A setting. Its mode binds root too: what is read-only cannot be opened for writing (test_perm in fs/proc/proc_sysctl.c). */
class SettingInode extends TextInode {
  override permission(task: Task, mask: number): number {
    const { creds } = task;
    const group = creds.egid === 0 || creds.groups.includes(0);
    const bits = creds.euid === 0 ? this.mode >> 6 : group ? this.mode >> 3 : this.mode;
    return (mask & ~bits & 7) === 0 ? 0 : -EACCES;
  }
}

function fill(fs: Filesystem, directory: StaticDir, tree: Tree): StaticDir {
  for (const [name, entry] of Object.entries(tree)) {
    if (!isSetting(entry)) {
      directory.add(name, fill(fs, new StaticDir(fs), entry));
      continue;
    }
    const { read, write } = entry;
    const mode = entry.mode ?? 0o644;
    const actions = {
      ...(read && { read: () => `${read()}\n` }),
      ...(write && { write: (task: Task, written: string) => write(written, task) }),
    };
    directory.add(name, new SettingInode(fs, mode, actions));
  }
  return directory;
}

/** Builds /proc/sys. */
export function makeSysctl(fs: Filesystem, kernel: Kernel): StaticDir {
  return fill(fs, new StaticDir(fs), {
    fs: fsSettings(kernel),
    kernel: kernelSettings(kernel),
    net: { unix: { max_dgram_qlen: fixed(10) } },
    vm: vmSettings(kernel),
  });
}
