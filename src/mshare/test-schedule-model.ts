// The model that schedules are compared with: what processes may see and do, in terms of pages and lists; it knows nothing of tables, TLBs, frames or swap. A program's
// calls change it at the moment at which they are carried out; from then on nobody may see anything else. Not for production code.
import { PROT_EXEC, PROT_READ, PROT_WRITE } from "../mm/constants.ts";
import type { AccessKind } from "./test-harts.ts";

/** Pages of the region that programs use, and the first of them: across the boundary of two leaf tables. */
export const PAGES = 8;
export const FIRST_PAGE = 508;
export const REGION_PAGES = FIRST_PAGE + PAGES;
/** Pages of its own memory that a process uses. */
export const LOCAL_PAGES = 4;
const PAGE = 4096;

export type WindowKind = "rw" | "ro" | "cow" | "pass";
export type Signal = "MAPERR" | "ACCERR" | "BUS";

/** Pages that outlive their mappings. Missing ones are zero. */
export class ModelObject {
  pages: number;
  readonly values = new Map<number, number>();
  constructor(pages: number) {
    this.pages = pages;
  }
}

interface RegionPage {
  readonly object: ModelObject;
  readonly index: number;
  prot: number;
}

export interface ModelWindow {
  readonly addr: number;
  readonly kind: WindowKind;
  /** Values of pages that a cow window has written, by region page. */
  readonly copies: Map<number, number>;
}

interface LocalPage {
  prot: number;
  /** Private pages have a cell each; shared ones one for the family. */
  cell: { value: number };
  readonly shared: boolean;
}

export interface ModelProcess {
  alive: boolean;
  descriptor: boolean;
  windows: ModelWindow[];
  local: (LocalPage | null)[];
}

const NEEDED = { load: PROT_READ | PROT_WRITE, store: PROT_WRITE, exec: PROT_EXEC } as const;

export class ScheduleModel {
  readonly processes: ModelProcess[];
  readonly region = new Array<RegionPage | null>(PAGES).fill(null);
  readonly file = new ModelObject(PAGES);
  regionAlive = true;
  owner = 0;
  readonly #localBase: number;

  constructor(processes: number, localBase: number) {
    this.#localBase = localBase;
    this.processes = Array.from({ length: processes }, () => ({
      alive: false,
      descriptor: false,
      windows: [],
      local: new Array<LocalPage | null>(LOCAL_PAGES).fill(null),
    }));
  }

  /** What an access of a process ends in: a signal, or where the value is. */
  access(who: number, va: number, kind: AccessKind): Signal | { value: number } {
    const process = this.processes[who];
    const local = (va - this.#localBase) / PAGE;
    if (local >= 0 && local < LOCAL_PAGES) {
      const page = process.local[local];
      if (page === null) return "MAPERR";
      return (page.prot & NEEDED[kind]) === 0 ? "ACCERR" : page.cell;
    }
    const window = process.windows.find((w) => va >= w.addr && va < w.addr + REGION_PAGES * PAGE);
    if (window === undefined || !this.regionAlive) return "MAPERR";
    const index = (va - window.addr) / PAGE - FIRST_PAGE;
    const page = this.region[index];
    if (page === null) return "MAPERR";
    if ((page.prot & NEEDED[kind]) === 0 || (kind === "store" && window.kind === "ro")) return "ACCERR";
    return this.#place(window, index, page, kind);
  }

  #place(window: ModelWindow, index: number, page: RegionPage, kind: AccessKind): Signal | { value: number } {
    const { copies } = window;
    const { object } = page;
    const copy = copies.get(index);
    const isCopied = window.kind === "cow" && (copy !== undefined || kind === "store");
    if (copy === undefined && page.index >= object.pages) return "BUS";
    const original = object.values.get(page.index) ?? 0;
    return {
      get value(): number {
        return copy ?? original;
      },
      set value(value: number) {
        if (isCopied) copies.set(index, value);
        else object.values.set(page.index, value);
      },
    };
  }

  /** The kernel has made a page present: a cow window that is to be written has its copy from then on, whether the store comes or not. */
  resolved(who: number, va: number, kind: AccessKind): void {
    const place = this.access(who, va, kind);
    if (kind === "store" && typeof place !== "string") Object.assign(place, { value: place.value });
  }

  /** Calls on the region. Ranges are [first, end). */
  map(first: number, end: number, file: boolean): void {
    const object = file ? this.file : new ModelObject(end - first);
    for (let i = first; i < end; i++) this.region[i] = { object, index: i - first, prot: PROT_READ | PROT_WRITE };
    this.dropCopies(first, end);
  }

  unmap(first: number, end: number): void {
    this.region.fill(null, first, end);
    this.dropCopies(first, end);
  }

  /** Up to the first hole, as mprotect. Whether there was one. */
  protect(first: number, end: number, prot: number): { hole: boolean } {
    for (let i = first; i < end; i++) {
      const page = this.region[i];
      if (page === null) return { hole: true };
      page.prot = prot;
    }
    return { hole: false };
  }

  move(from: number, to: number): void {
    this.region[to] = this.region[from];
    this.region[from] = null;
    this.dropCopies(to, to + 1);
    this.dropCopies(from, from + 1);
  }

  /** MADV_REMOVE, where every page of the range may be written. */
  mayRemove(first: number, end: number): boolean {
    return this.region.slice(first, end).every((page) => page !== null && (page.prot & PROT_WRITE) !== 0);
  }
  remove(first: number, end: number): void {
    for (const page of this.region.slice(first, end)) page!.object.values.delete(page!.index);
    this.dropCopies(first, end);
  }

  hasHole(first: number, end: number): boolean {
    return this.region.slice(first, end).includes(null);
  }

  truncate(pages: number): void {
    this.file.pages = pages;
    for (const index of [...this.file.values.keys()]) if (index >= pages) this.file.values.delete(index);
    this.region.forEach((page, i) => {
      if (page !== null && page.object === this.file && page.index >= pages) this.dropCopies(i, i + 1);
    });
  }

  dropCopies(first: number, end: number): void {
    for (const { windows } of this.processes)
      for (const { copies } of windows) for (let i = first; i < end; i++) copies.delete(i);
  }

  /** Has its owner let go of the region? Then it is empty for everyone. */
  reconsider(): void {
    const { alive, descriptor, windows } = this.processes[this.owner];
    if (!alive || (!descriptor && windows.length === 0)) this.regionAlive = false;
  }

  fork(parent: number, child: number): void {
    const { descriptor, windows, local } = this.processes[parent];
    const copy = (page: LocalPage | null): LocalPage | null =>
      page === null ? null : { ...page, cell: page.shared ? page.cell : { ...page.cell } };
    this.processes[child] = {
      alive: true,
      descriptor,
      windows: windows.map((window) => ({ ...window, copies: new Map(window.copies) })),
      local: local.map(copy),
    };
  }

  exit(who: number): void {
    this.processes[who] = { alive: false, descriptor: false, windows: [], local: [] };
    this.reconsider();
  }
}
