// /proc/PID/maps: one line for each VMA, as fs/proc/task_mmu.c prints it. Also the header lines of smaps.

import { PAGE_SIZE } from "../../../base/numbers.ts";
import type { Mm } from "../../../mm/mm.ts";
import { SpecialFile } from "../../../mm/vm-file.ts";
import { VM_EXEC, VM_MAYSHARE, VM_READ, VM_WRITE, type Vma } from "../../../mm/vma.ts";
import { windowOf } from "../../../mshare/usage.ts";
import { hex, mangle } from "./format.ts";

/** Where names begin: after addresses, permissions, offset, device and inode (seq_setwidth in show_map_vma). */
const NAME_COLUMN = 73;

/** All lines of maps. */
export function mapsText(mm: Mm): string {
  let text = "";
  for (const vma of mm.vmas) text += mapsLine(mm, vma);
  return text;
}

/** `START-END PERM OFFSET DEV INODE NAME` with its newline. */
export function mapsLine(mm: Mm, vma: Vma): string {
  const name = vmaName(mm, vma);
  const line = `${hex(vma.start, 8)}-${hex(vma.end, 8)} ${permissions(vma)} ${backing(vma)} `;
  return name === "" ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}${name}\n`;
}

function permissions(vma: Vma): string {
  const { flags } = vma;
  return (
    (flags & VM_READ ? "r" : "-") +
    (flags & VM_WRITE ? "w" : "-") +
    (flags & VM_EXEC ? "x" : "-") +
    (flags & VM_MAYSHARE ? "s" : "p")
  );
}

/** Offset, device and inode. */
function backing(vma: Vma): string {
  const window = windowOf(vma);
  const file = window ?? vma.file;
  if (file === null || file instanceof SpecialFile) return "00000000 00:00 0";
  const device = `${hex(file.devMajor, 2)}:${hex(file.devMinor, 2)}`;
  return `${hex(window?.offset ?? vma.pgoff * PAGE_SIZE, 8)} ${device} ${file.inode}`;
}

/** The last column (get_vma_name); "" for plain anonymous memory. */
export function vmaName(mm: Mm, vma: Vma): string {
  const window = windowOf(vma);
  if (window !== null) return mangle(window.name(), "\n");
  if (vma.name !== null) return vma.name;
  const { file, anonName } = vma;
  if (file instanceof SpecialFile) return file.name();
  if (file !== null) return anonName !== null ? `[anon_shmem:${anonName}]` : mangle(file.name(), "\n");
  if (vma.start < mm.brk && vma.end > mm.startBrk) return "[heap]";
  if (vma.start <= mm.startStack && vma.end >= mm.startStack) return "[stack]";
  return anonName !== null ? `[anon:${anonName}]` : "";
}
