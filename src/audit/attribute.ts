// From populated slots to bytes of page tables, and from there to the VMAs that need them. Pure arithmetic on one process.
//
// A table belongs to everything that is below it: the VMAs that have entries in one last-level table share its 4 KiB by entries, the
// last-level tables below one level-1 table share that one evenly, and so on up. The root is not counted: VmPTE does not either.

/** Bytes of a page table, and of what one entry of a level-1 table maps. */
export const TABLE_BYTES = 4096;
export const SLOT_BYTES = 2 ** 21;
const SLOTS_PER_GIB = 512;

/** A VMA's populated part of one 2 MiB slot of the address space. */
export interface SlotPart {
  /** Address / 2 MiB. */
  readonly slot: number;
  /** Which VMA (or object) it counts for. */
  readonly part: number;
  /** Entries of it in a last-level table: 1 to 512; unused above level 0. */
  readonly entries: number;
  /**
   * Where the translation ends: 0 in a last-level table, 1 by a 2 MiB entry (a huge page, or a link), 2 by a 1 GiB entry, 3 by a root
   * entry. Tables exist above that level only.
   */
  readonly level: number;
  /** A last-level table that is kept in reserve for a huge page of private memory (Linux deposits one, to be able to split it). */
  readonly deposit?: boolean;
}

export interface Attribution {
  /** Bytes for each part, by its number. */
  readonly bytes: Float64Array;
  /** Tables of levels 0, 1 and 2. */
  readonly tables: [number, number, number];
}

/** Attributes tables to `parts` parts. `slots` in ascending order of slot. */
export function attribute(slots: readonly SlotPart[], parts: number): Attribution {
  const bytes = new Float64Array(parts);
  const tables: [number, number, number] = [0, 0, 0];
  const weights = new Float64Array(slots.length);

  // Level 0: by entries.
  for (let i = 0, end; i < slots.length; i = end) {
    let entries = 0;
    for (end = i; end < slots.length && slots[end].slot === slots[i].slot; end++) {
      const s = slots[end];
      if (s.level === 0) entries += s.entries;
      else if (s.deposit === true) {
        bytes[s.part] += TABLE_BYTES;
        tables[0]++;
      }
    }
    if (entries > 0) tables[0]++;
    const members = end - i;
    for (let j = i; j < end; j++) {
      const s = slots[j];
      if (s.level === 0) bytes[s.part] += (TABLE_BYTES * s.entries) / entries;
      // What the slot weighs higher up: evenly by slot, within it by entries.
      weights[j] = s.level === 0 ? s.entries / entries : 1 / members;
    }
  }
  shareUpper(slots, weights, bytes, tables, { level: 1, span: SLOTS_PER_GIB });
  shareUpper(slots, weights, bytes, tables, { level: 2, span: SLOTS_PER_GIB * 512 });
  return { bytes, tables };
}

/** Tables of `level`, each of which covers `span` slots: by the weight of what is below them and goes through them. */
function shareUpper(
  slots: readonly SlotPart[],
  weights: Float64Array,
  bytes: Float64Array,
  tables: [number, number, number],
  upper: { level: 1 | 2; span: number },
): void {
  for (let i = 0, end; i < slots.length; i = end) {
    const key = Math.floor(slots[i].slot / upper.span);
    let weight = 0;
    for (end = i; end < slots.length && Math.floor(slots[end].slot / upper.span) === key; end++) {
      if (slots[end].level <= upper.level) weight += weights[end];
    }
    if (weight === 0) continue;
    tables[upper.level]++;
    for (let j = i; j < end; j++) {
      if (slots[j].level <= upper.level) bytes[slots[j].part] += (TABLE_BYTES * weights[j]) / weight;
    }
  }
}
