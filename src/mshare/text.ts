// /proc/mshare and /proc/PID/mshare: regions and what is inside windows, as text. Formats are described in docs/mshare.md.
import { PAGE_SIZE } from "../base/numbers.ts";
import type { Mm } from "../mm/mm.ts";
import { VM_EXEC, VM_LOCKED, VM_READ, VM_SHARED, VM_WRITE, type Vma } from "../mm/vma.ts";
import { MSHARE_PASSTHROUGH, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import type { MshareManager } from "./manager.ts";
import { FrameSet, windowOf } from "./usage.ts";
import type { MshareWindow } from "./window.ts";

const COLUMNS = [
  "id",
  "owner",
  "size",
  "mapped",
  "resident",
  "tables",
  "views",
  "windows",
  "sharers",
  "links",
  "faults",
];
/** Eight digits at least, as in /proc/PID/maps. */
const hex = (n: number): string => n.toString(16).padStart(8, "0");
const kib = (bytes: number): string => String(Math.ceil(bytes / 1024));

/** A header and a line per region; sizes in KiB, owner 0 once it is gone. */
export function regionsText(manager: MshareManager): string {
  const rows = [COLUMNS];
  for (const region of manager.regions.values()) {
    const s = region.stat();
    const sizes = [s.size, s.mapped, s.resident, s.tableBytes, s.viewTableBytes].map(kib);
    const counts = [s.windows, s.sharers, s.links, s.faults].map(String);
    rows.push([String(region.id), String(s.owner), ...sizes, ...counts]);
  }
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => cell.padStart(widths[i])).join(" ") + "\n").join("");
}

const permissions = (flags: number): string =>
  ((flags & VM_READ) !== 0 ? "r" : "-") +
  ((flags & VM_WRITE) !== 0 ? "w" : "-") +
  ((flags & VM_EXEC) !== 0 ? "x" : "-") +
  ((flags & VM_SHARED) !== 0 ? "s" : "p");

/** One line for each window of a process, as in its maps and with its links, and an indented one for each of the region's VMAs in it. */
export function processText(mm: Mm): string {
  let text = "";
  for (const vma of mm.vmas) {
    const window = windowOf(vma);
    if (window === null) continue;
    text += `${hex(vma.start)}-${hex(vma.end)} ${permissions(vma.flags)} ${hex(window.offset)} ${window.region.name()}`;
    text += ` slot ${hex(window.slotStart)}-${hex(window.slotEnd)} links ${window.links}${kindOf(window)}\n`;
    if (!window.dead) for (const inner of window.host.vmas) text += innerLine(window, inner);
  }
  return text;
}

function kindOf(window: MshareWindow): string {
  if (window.dead) return " dead";
  if ((window.flags & MSHARE_RDONLY) !== 0) return " rdonly";
  if ((window.flags & MSHARE_PRIVATE) !== 0) return " private";
  return (window.flags & MSHARE_PASSTHROUGH) !== 0 ? " passthrough" : "";
}

function innerLine(window: MshareWindow, inner: Vma): string {
  const shift = window.slotStart - window.hostStart;
  const start = Math.max(inner.start + shift, window.slotStart);
  const end = Math.min(inner.end + shift, window.slotStart + window.length);
  if (start >= end) return "";
  const frames = new FrameSet(window.mm.memory);
  if (window.shared) frames.addPresent(window.host, start - shift, end - shift);
  else frames.addPresent(window.mm, start, end);
  const pgoff = hex(inner.pageIndex(start - shift) * PAGE_SIZE);
  const locked = (inner.flags & VM_LOCKED) !== 0 ? " locked" : "";
  const resident = `${kib(frames.bytes)} kB of ${kib(end - start)}${locked}`;
  return `  ${hex(start)}-${hex(end)} ${permissions(inner.flags)} ${pgoff} ${inner.file?.name() ?? ""} ${resident}\n`;
}
