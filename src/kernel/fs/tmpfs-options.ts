// The options of mounting a tmpfs: size=, nr_blocks=, nr_inodes=, mode=, uid=, gid=, huge= (mm/shmem.c: shmem_parse_one). Used by mount(2) through setup.ts.

import { EINVAL } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { MemoryManager } from "../../mm/memory-manager.ts";
import type { Timespec } from "./abi.ts";
import type { ShmemHuge } from "../../mm/thp.ts";
import { RamFs } from "./ramfs.ts";

const HUGE: readonly ShmemHuge[] = ["never", "always", "within_size", "advise"];

/** "64k", "1g", "50%": bytes, or NaN. A percentage is of the RAM. */
function parseSize(text: string, ramBytes: number): number {
  const match = /^(\d+)([kmgt%]?)$/i.exec(text);
  if (!match) return NaN;
  const value = Number(match[1]);
  if (match[2] === "%") return Math.floor((value * ramBytes) / 100);
  return match[2] === "" ? value : value * 1024 ** ("kmgt".indexOf(match[2]!.toLowerCase()) + 1);
}

/** A tmpfs as the option text of mount(2) says, or -EINVAL. */
export function tmpfsFromOptions(
  memory: MemoryManager,
  base: { devMinor: number; now: () => Timespec; type?: string },
  text: string,
): RamFs | number {
  let mode = 0o1777;
  let maxPages: number | undefined;
  let uid = 0;
  let gid = 0;
  const shown: string[] = [];
  let huge: ShmemHuge = "never";
  for (const option of text.split(",").filter((o) => o !== "")) {
    const [name, value = ""] = option.split("=", 2) as [string, string?];
    if (name === "size" || name === "nr_blocks") {
      const amount = parseSize(value, memory.frames.total * PAGE_SIZE);
      if (Number.isNaN(amount)) return -EINVAL;
      const pages = name === "size" ? Math.ceil(amount / PAGE_SIZE) : amount;
      maxPages = pages === 0 ? Infinity : pages;
      if (pages > 0) shown.push(`size=${pages * 4}k`);
    } else if (name === "mode") {
      if (!/^[0-7]+$/.test(value)) return -EINVAL;
      mode = parseInt(value, 8) & 0o7777;
      shown.push(`mode=${mode.toString(8).padStart(3, "0")}`);
    } else if (name === "uid" || name === "gid") {
      if (!/^\d+$/.test(value)) return -EINVAL;
      if (name === "uid") uid = Number(value);
      else gid = Number(value);
      shown.push(option);
    } else if (name === "huge") {
      const found = HUGE.find((one) => one === value);
      if (found === undefined) return -EINVAL;
      huge = found;
    } else if (name !== "nr_inodes" && name !== "inode64" && name !== "noswap") return -EINVAL;
  }
  const all = { ...base, mode, shmem: { huge } };
  const fs = new RamFs(memory, maxPages === undefined ? all : { ...all, maxPages });
  fs.root.uid = uid;
  fs.root.gid = gid;
  fs.options = [...shown, "inode64", ...(huge === "never" ? [] : [`huge=${huge}`])].join(",");
  return fs;
}
