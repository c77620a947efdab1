// swapon(2) and swapoff(2) (mm/swapfile.c). There is one swap area at a time: the machine's swap device (`--swap SIZE`: /dev/swap, on from the start) or a file that
// mkswap has prepared. A file only says how large the area is: pages are kept outside of the guest, as those of the device are.
import { EBUSY, EINVAL, ENOMEM, EPERM } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import { PATH_MAX } from "../../base/limits.ts";
import { readString } from "../../mm/usercopy.ts";
import { MAX_SWAP_PAGES, SwapArea } from "../../mm/swap.ts";
import { swapOffAll } from "../../mm/swap-off.ts";
import { AT_FDCWD, bytesToString, isRegular } from "../fs/abi.ts";
import type { Path } from "../fs/inode.ts";
import { CAP_SYS_ADMIN } from "../fs/permission.ts";
import { RegularFile } from "../fs/regular.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";

/** The device's name in the guest. */
export const SWAP_DEVICE = "/dev/swap";
/** Where the header of a swap area says "SWAPSPACE2", and its last page. */
const SIGNATURE = "SWAPSPACE2";
const SIGNATURE_AT = PAGE_SIZE - SIGNATURE.length;
const VERSION_AT = 1024;
const LAST_PAGE_AT = 1028;
const SWAP_FLAG_PREFER = 0x8000;
const SWAP_FLAG_PRIO_MASK = 0x7fff;
const SWAP_FLAGS_VALID = 0x7ffff;

/** Switches the machine's swap device on: at boot, and by swapon. */
export function useSwapDevice(kernel: Kernel, priority = -2): void {
  kernel.memory.swap = new SwapArea(SWAP_DEVICE, kernel.swapDevicePages, priority);
}

function resolve(task: Task, args: Args): { path: Path; name: string } | number {
  const name = readString(task.mm, args.ptr(0), PATH_MAX);
  if (typeof name === "number") return name;
  const path = task.kernel.vfs.resolve(task, AT_FDCWD, name, { follow: true });
  return typeof path === "number" ? path : { path, name: task.kernel.vfs.pathName(path) };
}

function swapon(task: Task, args: Args): number {
  const { kernel } = task;
  const flags = args.u32(1);
  if ((flags & ~SWAP_FLAGS_VALID) !== 0) return -EINVAL;
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  const found = resolve(task, args);
  if (typeof found === "number") return found;
  const { memory } = kernel;
  if (memory.swap !== null) return memory.swap.name === found.name ? -EBUSY : -EPERM;
  const priority = (flags & SWAP_FLAG_PREFER) !== 0 ? flags & SWAP_FLAG_PRIO_MASK : -2;
  if (found.name === SWAP_DEVICE && kernel.swapDevicePages > 0) {
    useSwapDevice(kernel, priority);
    return 0;
  }
  const pages = headerOf(task, found.path);
  if (pages < 0) return pages;
  memory.swap = new SwapArea(found.name, pages, priority);
  return 0;
}

/** Pages of the area that a file's header describes, the header's own not counted; -EINVAL if there is none. */
function headerOf(task: Task, path: Path): number {
  if (!isRegular(path.inode.mode)) return -EINVAL;
  const file = task.kernel.vfs.openInode(task, path, 0);
  if (typeof file === "number") return file;
  try {
    const header = file instanceof RegularFile ? file.read(task, PAGE_SIZE, 0) : -EINVAL;
    if (typeof header === "number") return header;
    if (header.length < PAGE_SIZE || bytesToString(header.subarray(SIGNATURE_AT)) !== SIGNATURE) return -EINVAL;
    const view = new DataView(header.buffer, header.byteOffset);
    const last = view.getUint32(LAST_PAGE_AT, true);
    const fits = last >= 1 && (last + 1) * PAGE_SIZE <= path.inode.size;
    return view.getUint32(VERSION_AT, true) === 1 && fits ? Math.min(last, MAX_SWAP_PAGES) : -EINVAL;
  } finally {
    file.put();
  }
}

function swapoff(task: Task, args: Args): number {
  const { memory } = task.kernel;
  if (!task.capable(CAP_SYS_ADMIN)) return -EPERM;
  const found = resolve(task, args);
  if (typeof found === "number") return found;
  const { swap } = memory;
  if (swap === null || swap.name !== found.name) return -EINVAL;
  if (!swapOffAll(memory)) return -ENOMEM;
  memory.swap = null;
  return 0;
}

export const swapCalls: readonly SyscallEntry[] = [
  { nr: 224, name: "swapon", handler: swapon, args: "path hex" },
  { nr: 225, name: "swapoff", handler: swapoff, args: "path" },
];
