// Where the extents of TLB slots are (extents.ts): there is room for the slots that are in use, not for all. Owns which slot has which area, and the
// forgetting. Used by tlb.ts.
import {
  AREA_KNOWN,
  AREA_RECENT,
  AREA_USED_KNOWN,
  AREA_USED_RECENT,
  EXTENT_AREA_BYTES,
  EXTENT_BYTES,
  EXTENT_LENGTH,
  EXTENT_START,
  EXTENT_ADDEND,
  KNOWN_EXTENTS,
  type Layout,
  MAX_ACCESS,
  RECENT_EXTENTS,
} from "./layout.ts";
import type { Ram } from "./ram.ts";

const NONE = -1;
const KINDS = 2;

/** Pages that are mapped one after the other to frames one after the other. */
export interface Extent {
  readonly va: number;
  readonly pages: number;
  readonly pfn: number;
  readonly write: boolean;
}

export class ExtentAreas {
  private readonly u32: Uint32Array;
  private readonly layout: Layout;
  private readonly areaOf: Int32Array;
  private readonly slotOf: Int32Array;
  private readonly used: Float64Array;
  private clock = 0;

  constructor(ram: Ram, layout: Layout) {
    this.u32 = ram.u32;
    this.layout = layout;
    this.areaOf = new Int32Array(layout.tlbSlots).fill(NONE);
    this.slotOf = new Int32Array(layout.extentAreas).fill(NONE);
    this.used = new Float64Array(layout.extentAreas);
  }

  /** The offset of the area for a slot that is to be used, from the one that has not been for the longest time if it has none. */
  for(slot: number): number {
    let area = this.areaOf[slot];
    if (area === NONE) {
      area = 0;
      for (let i = 1; i < this.used.length; i++) if (this.used[i] < this.used[area]) area = i;
      if (this.slotOf[area] !== NONE) {
        this.forget(this.slotOf[area]);
        this.areaOf[this.slotOf[area]] = NONE;
      }
      this.slotOf[area] = slot;
      this.areaOf[slot] = area;
    }
    this.used[area] = ++this.clock;
    return this.at(area);
  }

  private at(area: number): number {
    return this.layout.extents + area * EXTENT_AREA_BYTES;
  }

  /** Forgets the extents of a slot. */
  forget(slot: number): void {
    const area = this.areaOf[slot];
    if (area === NONE) return;
    for (let kind = 0; kind < KINDS; kind++) {
      this.clear(area, AREA_USED_KNOWN + 4 * kind, AREA_KNOWN, kind, KNOWN_EXTENTS);
      this.clear(area, AREA_USED_RECENT + 4 * kind, AREA_RECENT, kind, RECENT_EXTENTS);
    }
  }

  /** Clears the 32nds of one kind's extents that are used. */
  private clear(area: number, usedAt: number, extents: number, kind: number, count: number): void {
    const { u32 } = this;
    const at = this.at(area);
    const words = (count / 32) * (EXTENT_BYTES / 4);
    const first = (at + extents + kind * count * EXTENT_BYTES) >>> 2;
    for (let used = u32[(at + usedAt) >>> 2]; used !== 0; used &= used - 1) {
      const part = first + (31 - Math.clz32(used & -used)) * words;
      u32.fill(0, part, part + words);
    }
    u32[(at + usedAt) >>> 2] = 0;
  }

  /** All extents of a slot, for verify(). */
  *of(slot: number): Iterable<Extent> {
    const area = this.areaOf[slot];
    if (area === NONE) return;
    for (let kind = 0; kind < KINDS; kind++) {
      yield* this.listed(this.at(area) + AREA_KNOWN, kind, KNOWN_EXTENTS, 0);
      yield* this.listed(this.at(area) + AREA_RECENT, kind, RECENT_EXTENTS, MAX_ACCESS - 1);
    }
  }

  private *listed(from: number, kind: number, count: number, shorter: number): Iterable<Extent> {
    const { u32 } = this;
    for (let i = 0; i < count; i++) {
      const at = (from + (kind * count + i) * EXTENT_BYTES) >>> 2;
      const length = u32[at + EXTENT_LENGTH / 4];
      if (length === 0) continue;
      const low = u32[at + EXTENT_START / 4];
      const va = u32[at + EXTENT_START / 4 + 1] * 2 ** 32 + low;
      const pfn = (low + u32[at + EXTENT_ADDEND / 4]) >>> 12;
      yield { va, pages: (length + shorter) / 4096, pfn, write: kind === 1 };
    }
  }
}
