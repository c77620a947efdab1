// Windows of mshare on a kernel that has it: how their tables are linked now, or would be if this is a run with private tables. Read from /proc/mshare and
// /proc/PID/mshare, whose formats docs/mshare.md describes.
import type { ProcSource } from "../host/proc-source.ts";
import { linkLevel } from "../mshare/slot.ts";
import { SLOT_BYTES } from "./attribute.ts";

/** All regions of a host. */
export interface Regions {
  /** Bytes, by region id. */
  readonly sizes: ReadonlyMap<number, number>;
  /** Some window is linked: tables are shared here. */
  readonly sharing: boolean;
}

/** One window of a process. */
export interface WindowInfo {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly slotEnd: number;
  readonly regionSize: number;
  /** Entries that point at the region's tables now. */
  readonly links: number;
}

const WINDOW =
  /^([0-9a-f]+)-([0-9a-f]+) [-rwxsp]{4} ([0-9a-f]+) \/mshare:([0-9]+).* slot ([0-9a-f]+)-([0-9a-f]+) links ([0-9]+)/;

/** Undefined on a kernel without mshare. */
export function readRegions(source: ProcSource): Regions | undefined {
  const text = source.readText("mshare");
  if (typeof text === "number") return undefined;
  const [head, ...lines] = text.trimEnd().split("\n");
  const columns = head.trim().split(/ +/);
  const [id, size, links] = ["id", "size", "links"].map((name) => columns.indexOf(name));
  const rows = lines.map((line) => line.trim().split(/ +/).map(Number));
  return {
    sizes: new Map(rows.map((row) => [row[id], row[size] * 1024])),
    sharing: rows.some((row) => row[links] > 0),
  };
}

/** The windows of a process by their first address. */
export function readWindows(source: ProcSource, pid: number, regions: Regions): Map<number, WindowInfo> {
  const out = new Map<number, WindowInfo>();
  const text = source.readText(`${pid}/mshare`);
  if (typeof text === "number") return out;
  for (const line of text.split("\n")) {
    const match = WINDOW.exec(line);
    if (match === null) continue;
    const [start, end, offset] = [1, 2, 3].map((i) => parseInt(match[i], 16));
    const slotEnd = parseInt(match[6], 16);
    const regionSize = regions.sizes.get(Number(match[4])) ?? offset + end - start;
    out.set(start, { start, end, offset, slotEnd, regionSize, links: Number(match[7]) });
  }
  return out;
}

/** The level of the entry that links the 2 MiB slot (address / 2 MiB): 3 for a root entry, 2 for 1 GiB, 1 for 2 MiB, 0 if it cannot be linked. */
export function levelOfLink(window: WindowInfo, slot: number): number {
  const { start, end, offset, slotEnd, regionSize } = window;
  const extent = { slotStart: start, slotEnd, offset, length: end - start, toEnd: offset + end - start >= regionSize };
  return linkLevel(extent, Math.max(start, slot * SLOT_BYTES));
}
