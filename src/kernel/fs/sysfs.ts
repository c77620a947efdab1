// /sys: a little of it, and that real: the processors, what the memory manager can do, empty places where other file systems are mounted.
// Each mount has a SysFs of its own, made by setup.ts and mount(2).

import { EACCES, EPERM } from "../../base/errno.ts";
import type { Kernel } from "../kernel.ts";
import { O_ACCMODE, O_WRONLY, SYSFS_MAGIC } from "./abi.ts";
import { Filesystem, plainStatFs } from "./inode.ts";
import { bitmap, bitmapList } from "./procfs/format.ts";
import { StaticDir, TextInode } from "./procfs/node.ts";
import type { StatFs } from "./stat.ts";
import { hugepagesTree } from "./sysfs-hugepages.ts";
import { thpTree } from "./sysfs-thp.ts";

/** An attribute that can be written: what it reads as (null: not at all), and what a write does (0 or -errno). */
export interface SysAttribute {
  readonly read: (() => string) | null;
  readonly write: (text: string) => number;
}

/** A directory as it is written down: texts are files, functions make the text when it is read, attributes can be written as well. */
export type SysTree = { readonly [name: string]: SysTree | SysAttribute | string | (() => string) };

const isAttribute = (entry: SysTree | SysAttribute): entry is SysAttribute => typeof entry.write === "function";

export class SysFs extends Filesystem {
  readonly type = "sysfs";
  readonly root: StaticDir;

  constructor(kernel: Kernel, devMinor: number) {
    super(devMinor, () => kernel.clock.realtime());
    this.root = this.#build(sysTree(kernel));
  }
  override statfs(): StatFs {
    return plainStatFs(SYSFS_MAGIC);
  }

  #build(tree: SysTree): StaticDir {
    const directory = new SysDir(this, 0o755);
    for (const [name, entry] of Object.entries(tree)) {
      if (typeof entry !== "object" || isAttribute(entry)) directory.add(name, new SysInode(this, entry));
      else directory.add(name, this.#build(entry));
    }
    return directory;
  }
}

/** Names here are the kernel's. */
class SysDir extends StaticDir {
  override create(): number {
    return -EACCES;
  }
  override mkdir(): number {
    return -EPERM;
  }
  override symlink(): number {
    return -EPERM;
  }
  override link(): number {
    return -EPERM;
  }
  override rename(): number {
    return -EPERM;
  }
}

/** An attribute; the size of sysfs files is a page, whatever is in them. */
class SysInode extends TextInode {
  constructor(fs: Filesystem, entry: SysAttribute | string | (() => string)) {
    if (typeof entry === "object") {
      const { read } = entry;
      const write = (_writer: unknown, text: string): number => entry.write(text);
      if (read !== null) super(fs, 0o644, { read, write });
      else super(fs, 0o200, { open: (_task, flags) => ((flags & O_ACCMODE) === O_WRONLY ? 0 : -EACCES), write });
    } else super(fs, 0o444, { read: () => (typeof entry === "string" ? entry : entry()) });
  }
  override get size(): number {
    return 4096;
  }
}

function sysTree(kernel: Kernel): SysTree {
  return {
    block: {},
    bus: {},
    class: {},
    dev: { block: {}, char: {} },
    devices: { system: { cpu: cpuTree(kernel), node: nodeTree(kernel) } },
    firmware: {},
    fs: { cgroup: {}, mshare: {} },
    kernel: {
      address_bits: "64\n",
      cpu_byteorder: "little\n",
      mm: {
        hugepages: hugepagesTree(kernel.memory),
        transparent_hugepage: thpTree(kernel.memory),
      },
      profiling: "0\n",
      uevent_seqnum: "0\n",
    },
    module: {},
  };
}

/** /sys/devices/system/cpu: all harts are there and on. */
function cpuTree({ hardware }: Kernel): SysTree {
  const count = hardware.harts.length;
  const all = (1n << BigInt(count)) - 1n;
  const list = `${bitmapList(all, count)}\n`;
  const cpus: Record<string, SysTree> = {};
  for (const { id } of hardware.harts) cpus[`cpu${id}`] = { online: "1\n", topology: topology(id, count) };
  return {
    ...cpus,
    enabled: list,
    isolated: "\n",
    kernel_max: `${count - 1}\n`,
    offline: "\n",
    online: list,
    possible: list,
    present: list,
  };
}

/** One package, a core for each hart, no threads of cores. */
function topology(id: number, count: number): SysTree {
  const masks = (bits: bigint): [string, string] => [`${bitmap(bits, count)}\n`, `${bitmapList(bits, count)}\n`];
  const [core, coreList] = masks(1n << BigInt(id));
  const [all, allList] = masks((1n << BigInt(count)) - 1n);
  return {
    cluster_id: "-1\n",
    core_cpus: core,
    core_cpus_list: coreList,
    core_id: `${id}\n`,
    core_siblings: all,
    core_siblings_list: allList,
    package_cpus: all,
    package_cpus_list: allList,
    physical_package_id: "0\n",
    thread_siblings: core,
    thread_siblings_list: coreList,
  };
}

/** One memory node. */
function nodeTree({ hardware }: Kernel): SysTree {
  const count = hardware.harts.length;
  const all = (1n << BigInt(count)) - 1n;
  return {
    has_cpu: "0\n",
    has_memory: "0\n",
    node0: { cpulist: `${bitmapList(all, count)}\n`, cpumap: `${bitmap(all, count)}\n`, distance: "10\n" },
    online: "0\n",
    possible: "0\n",
  };
}
