// Every offset in the machine's one WebAssembly.Memory. Generated code and TypeScript both take them from here and nowhere else.
//
//   0          nothing: address 0 is never valid
//   HARTS      one struct a hart (HART_*)
//   stubs      one page of decoded records a hart, for instructions that cross a page (CODE_PAGE_BYTES each)
//   TLB slots  TLB_SLOT_BYTES each
//   extents    EXTENT_AREA_BYTES for each of some TLB slots
//   targets    where indirect jumps went (TARGET_ENTRIES)
//   nexts      regions that others went on to (NEXT_ENTRIES)
//   visits     how long control stays in regions that are inner loops (VISIT_BYTES each)
//   frames     three bytes a frame
//   code pages CODE_PAGE_BYTES each: decoded instructions of one frame
//   guest RAM  page-aligned, up to the end
import { MAX_GUEST_RAM } from "../base/limits.ts";
import { PAGE_SIZE, alignUp } from "../base/numbers.ts";

/** Hart struct. The first REGISTER_BYTES are what a RegisterFile copies. */
export const HART_X = 0;
export const HART_F = 256;
export const HART_PC = 512;
/** u32: fflags in bits 0..4, frm in 5..7. */
export const HART_FCSR = 520;
export const REGISTER_BYTES = 528;
/** Where writes of x0 go. */
export const HART_SINK = 528;
/** u32: the offset of the current TLB slot. */
export const HART_TLB = 536;
/** u32: what is left of the budget of this run. */
export const HART_BUDGET = 540;
/** u64, u32: address and access of a fault or slow memory access. */
export const HART_VA = 544;
export const HART_ACCESS = 552;
/** u32: the host address that LR reserved (0: none), and u64: the value seen there. */
export const HART_RESERVED = 556;
export const HART_RESERVED_VALUE = 560;
/** 16 bytes: data of accesses that cross a page. */
export const HART_SCRATCH = 568;
/** u64: instructions that compiled regions have retired. */
export const HART_COMPILED = 584;
/** u32: the frame of the root table. */
export const HART_ROOT = 592;
/** u32: the number of the compiled region that left last. */
export const HART_REGION = 600;
/** u32: times that compiled code left because of a window (windows.ts); the JIT is told of one in SPLITS_PER_CALL. */
export const HART_SPLITS = 604;
export const SPLITS_PER_CALL = 8;
/** u32: walks done by generated code (walker.ts). */
export const HART_WALKS = 596;
/** u32 each for reads and for writes: the page behind the last one that a walk has entered, and how many it entered unasked (walker.ts). */
export const HART_AHEAD = 608;
export const HART_RUN = 616;
/** u32: the offset of the extents of the current TLB slot. */
export const HART_EXTENTS = 624;
/** u64: loads, stores and atomics done, if they are counted (HardwareOptions.countAccesses). */
export const HART_ACCESSES = 632;
export const HART_BYTES = 1024;

/** Decoded instruction: 16 bytes for each halfword of the page. */
export const RECORD_BYTES = 16;
/** u8 operation; u8 distance to the next record; u16 offsets of registers in the hart struct; i32 immediate. */
export const RECORD_OP = 0;
export const RECORD_ADVANCE = 1;
export const RECORD_RD = 2;
export const RECORD_RS1 = 4;
export const RECORD_RS2 = 6;
export const RECORD_IMM = 8;
export const RECORD_RS3 = 12;
/** u8 rounding mode (FP) or register number of rs1 (CSR); u8 table index (of operations done out of line). */
export const RECORD_RM = 14;
export const RECORD_INDEX = 15;
export const PAGE_RECORDS_BYTES = (PAGE_SIZE / 2) * RECORD_BYTES;
/**
 * A page's records, and two that lead on to the next page; then for each halfword a u32: how often control jumped there, or, with
 * REGION set, the number of the compiled region that starts there.
 */
export const PAGE_ENTRIES = PAGE_RECORDS_BYTES + 2 * RECORD_BYTES;
export const CODE_PAGE_BYTES = PAGE_ENTRIES + PAGE_SIZE * 2;
export const REGION = 0x80000000;

/** TLB: direct-mapped, entries of 8 bytes, one array for each kind of access; then, u32 each, the table an entry came from. */
export const TLB_ENTRIES = 4096;
export const TLB_READ = 0;
export const TLB_WRITE = TLB_ENTRIES * 8;
export const TLB_EXECUTE = TLB_ENTRIES * 16;
export const TLB_SOURCES = TLB_ENTRIES * 24;
/** u32 for each kind: bit i is set if one of entries [128 i, 128 i + 128) was entered since the slot was last emptied. */
export const TLB_USED = TLB_ENTRIES * 36;
export const TLB_GROUP = TLB_ENTRIES / 32;
/** u32: of each table that something was entered from since then, the bit of its number modulo 32. */
export const TLB_TABLES = TLB_USED + 12;
export const TLB_SLOT_BYTES = TLB_USED + 64;

/**
 * Extents (extents.ts): runs of pages whose frames are in a row, for a TLB slot that is in use. For loads, then for stores: KNOWN_EXTENTS, by where they are, and
 * RECENT_EXTENTS, by what asks for them. EXTENT_BYTES each.
 */
export const KNOWN_EXTENTS = 256;
export const RECENT_EXTENTS = 1024;
export const EXTENT_BYTES = 16;
/** u64 address; u32 bytes (of a recent one: at which an access may begin), 0 for none; u32 to add to an address. */
export const EXTENT_START = 0;
export const EXTENT_LENGTH = 8;
export const EXTENT_ADDEND = 12;
/** Bytes of an access at most: a recent extent is so much shorter, less one. */
export const MAX_ACCESS = 8;
/** Twice u32 each, for loads and for stores: a bit for each 32nd of the extents, set if there are some. */
export const AREA_USED_KNOWN = 0;
export const AREA_USED_RECENT = 8;
/** u32: how often an extent was not known. */
export const AREA_SEARCHES = 16;
export const AREA_KNOWN = 64;
export const AREA_RECENT = AREA_KNOWN + 2 * KNOWN_EXTENTS * EXTENT_BYTES;
export const EXTENT_AREA_BYTES = AREA_RECENT + 2 * RECENT_EXTENTS * EXTENT_BYTES;

/** Where indirect jumps last went: for (pc >> 1) modulo TARGET_ENTRIES, the low words of pc and of the target. */
export const TARGET_ENTRIES = 4096;

/**
 * Regions that others went on to: for (pc >> 1) modulo NEXT_ENTRIES, u64 pc and u32 number. A hint: whether the region fits, it checks itself. The
 * entries of code pages, which are the truth, are each in a page of the host of their own, and with some hundred regions cost a miss at each turn.
 */
export const NEXT_ENTRIES = 4096;
export const NEXT_BYTES = 16;
export const NEXT_PC = 0;
export const NEXT_NUMBER = 8;
/** No instruction's address. */
export const NO_PC = 1;

/** Compiled regions there may be at a time. */
export const MAX_REGIONS = 4096;
/** Of the regions that are inner loops, by number: u64 instructions retired in it, u32 times that it was left. */
export const VISIT_BYTES = 16;
export const VISIT_INSTRUCTIONS = 0;
export const VISIT_COUNT = 8;

const HARTS = PAGE_SIZE;
/** Frames of code that are held decoded (16 MiB of code). */
const CODE_PAGES = 4096;
/** hasCode, writable and cachedFrom. */
const BYTES_PER_FRAME = 3;
const TLB_SLOTS = 96;
const TLB_SLOTS_PER_HART = 32;
const EXTENT_AREAS = 24;
const EXTENT_AREAS_PER_HART = 2;

/**
 * A machine of one hart has one area, whose place compiled code can take for granted; another address space that runs finds it empty. That costs a twentieth
 * of a context switch. Harts that take turns of some microseconds would pay more.
 */
const extentAreasFor = (harts: number): number => (harts === 1 ? 1 : EXTENT_AREAS + EXTENT_AREAS_PER_HART * harts);

export interface Layout {
  readonly harts: number;
  readonly stubs: number;
  readonly tlb: number;
  readonly tlbSlots: number;
  readonly extents: number;
  readonly extentAreas: number;
  readonly targets: number;
  readonly nexts: number;
  readonly visits: number;
  /** A byte for each frame of the memory, three times: has decoded code; may have write translations; may be the source of some. */
  readonly hasCode: number;
  readonly writable: number;
  readonly cachedFrom: number;
  readonly code: number;
  readonly codePages: number;
  readonly ram: number;
  readonly ramBytes: number;
  /** Size of the whole memory in 64 KiB pages. */
  readonly pages: number;
}

/** Lays out the memory of a machine. `memoryBytes` is rounded up to whole frames; too much is a RangeError. */
export function layOut(memoryBytes: number, harts: number): Layout {
  const ramBytes = alignUp(memoryBytes, PAGE_SIZE);
  if (!(ramBytes > 0 && ramBytes <= MAX_GUEST_RAM)) {
    throw new RangeError(`guest RAM of ${memoryBytes} bytes: at most ${MAX_GUEST_RAM} are possible`);
  }
  const tlbSlots = TLB_SLOTS + TLB_SLOTS_PER_HART * harts;
  const stubs = HARTS + harts * HART_BYTES;
  const tlb = alignUp(stubs + harts * CODE_PAGE_BYTES, 64);
  const extents = tlb + tlbSlots * TLB_SLOT_BYTES;
  const extentAreas = extentAreasFor(harts);
  const targets = extents + extentAreas * EXTENT_AREA_BYTES;
  const nexts = targets + TARGET_ENTRIES * 8;
  const visits = nexts + NEXT_ENTRIES * NEXT_BYTES;
  const hasCode = visits + MAX_REGIONS * VISIT_BYTES;
  // All frames there are: those of guest RAM and of what lies before it, these bytes for each frame included.
  const bytes = hasCode + CODE_PAGES * CODE_PAGE_BYTES + PAGE_SIZE + ramBytes;
  const frames = alignUp(Math.ceil(bytes / (PAGE_SIZE - BYTES_PER_FRAME)), 64);
  const [writable, cachedFrom] = [hasCode + frames, hasCode + 2 * frames];
  const code = hasCode + BYTES_PER_FRAME * frames;
  const ram = alignUp(code + CODE_PAGES * CODE_PAGE_BYTES, PAGE_SIZE);
  const pages = Math.ceil((ram + ramBytes) / 65536);
  return {
    harts: HARTS,
    stubs,
    tlb,
    tlbSlots,
    extents,
    extentAreas,
    targets,
    nexts,
    visits,
    hasCode,
    writable,
    cachedFrom,
    code,
    codePages: CODE_PAGES,
    ram,
    ramBytes,
    pages,
  };
}
