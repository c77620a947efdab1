// Draws page tables as they are in a run: docs/tables-*.svg, which docs/mshare.md shows. The guest program is tools/draw-tables.c; a table is drawn
// once, an entry that points to it is a line.
//
//   node --import tsx tools/draw-tables.ts       writes the drawings anew (docs/drawings.guest.test.ts checks that they are what a run gives)
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Machine } from "../src/index.ts";
import { asPfn } from "../src/base/numbers.ts";
import { ENTRIES, LEVEL_SIZE, ROOT_LEVEL, isLeaf, isTable, ptePfn } from "../src/machine/pte.ts";
import type { Mm } from "../src/mm/mm.ts";
import { ROOT, buildGuest } from "../src/testing/build.ts";

/** What is drawn: a run of the program with shared or private tables. */
export const DRAWINGS = {
  "tables-shared": { share: true, window: "shared" },
  "tables-unshared": { share: false, window: "shared" },
  "tables-private-window": { share: true, window: "private" },
} as const;
export type DrawingName = keyof typeof DRAWINGS;

/** One column: an address space, and what of it is looked at. */
interface Space {
  readonly title: string;
  readonly kind: "process" | "region" | "view";
  readonly mm: Mm;
  readonly start: number;
  readonly end: number;
}

/** One page table, in the column of the space it belongs to. */
interface Table {
  readonly column: number;
  readonly level: number;
  /** Pages that it maps (level 0). */
  pages: number;
  x: number;
}

interface Graph {
  readonly spaces: readonly Space[];
  readonly tables: Map<number, Table>;
  readonly lines: { from: Table; to: Table; column: number }[];
}

const LEVEL_NAMES = ["PTE", "PMD", "PUD", "PGD"];
const COLORS = {
  process: ["#e6edf8", "#4a6fa5"],
  region: ["#fdeccb", "#b9770e"],
  view: ["#dff0df", "#3f7f3f"],
} as const;

/** The address spaces with windows, those of the region last: tables that several reach are theirs. */
function spacesOf(machine: Machine): Space[] {
  const { kernel } = machine;
  const found: Space[] = [];
  const names = ["owner", "child 1", "child 2"];
  for (const { mm } of kernel.processes.values()) {
    const vma = mm && [...mm.vmas].find((one) => one.window !== null);
    if (mm && vma)
      found.push({ title: names[found.length] ?? "process", kind: "process", mm, start: vma.start, end: vma.end });
  }
  for (const region of kernel.mshare.regions.values()) {
    [...region.spaces()].forEach((mm, i) => {
      const title = i === 0 ? "the region" : "the region, read-only root";
      found.push({ title, kind: i === 0 ? "region" : "view", mm, start: 0, end: 2 ** 47 });
    });
  }
  return found;
}

function graphOf(machine: Machine): Graph {
  const graph: Graph = { spaces: spacesOf(machine), tables: new Map(), lines: [] };
  const { ram } = machine.kernel.memory;
  const visit = (column: number, pfn: number, level: number, va: number): Table => {
    const known = graph.tables.get(pfn);
    if (known) return known;
    const table: Table = { column, level, pages: 0, x: 0 };
    graph.tables.set(pfn, table);
    const { start, end } = graph.spaces[column];
    for (let i = 0; i < ENTRIES; i++) {
      const at = va + i * LEVEL_SIZE[level];
      if (at >= end || at + LEVEL_SIZE[level] <= start) continue;
      const pte = ram.readPte(asPfn(pfn), i);
      if (isLeaf(pte)) table.pages++;
      else if (isTable(pte)) graph.lines.push({ from: table, to: visit(column, ptePfn(pte), level - 1, at), column });
    }
    return table;
  };
  // The region's first, so that what is shared stands in its column.
  const order = [...graph.spaces.keys()].sort(
    (a, b) => Number(graph.spaces[a].kind === "process") - Number(graph.spaces[b].kind === "process"),
  );
  for (const column of order) visit(column, graph.spaces[column].mm.root, ROOT_LEVEL, 0);
  return graph;
}

const [BOX_W, BOX_H, GAP, ROW, MARGIN, HEAD] = [76, 40, 10, 96, 20, 46];

/** Places the tables: a row for each level, columns side by side. The width of all. */
function place({ spaces, tables }: Graph): number {
  let left = MARGIN;
  spaces.forEach((_space, column) => {
    const own = [...tables.values()].filter((table) => table.column === column);
    const widest = Math.max(
      1,
      ...LEVEL_NAMES.map((_name, level) => own.filter((table) => table.level === level).length),
    );
    const width = Math.max(widest * (BOX_W + GAP), 120);
    for (let level = 0; level <= ROOT_LEVEL; level++) {
      const row = own.filter((table) => table.level === level);
      const from = left + (width - row.length * (BOX_W + GAP) + GAP) / 2;
      row.forEach((table, i) => (table.x = from + i * (BOX_W + GAP)));
    }
    left += width + 2 * GAP;
  });
  return left - 2 * GAP + MARGIN;
}

const yOf = (level: number): number => MARGIN + HEAD + (ROOT_LEVEL - level) * ROW;
const escape = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

function svg(graph: Graph): string {
  const width = place(graph);
  const { spaces, tables, lines } = graph;
  const height = yOf(0) + BOX_H + MARGIN + 24;
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" text-anchor="middle">`,
    `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
  ];
  for (const { from, to, column } of lines) {
    const [, stroke] = COLORS[spaces[column].kind];
    const [x1, y1, x2, y2] = [from.x + BOX_W / 2, yOf(from.level) + BOX_H, to.x + BOX_W / 2, yOf(to.level)];
    const middle = (y1 + y2) / 2;
    const dash = from.column === to.column ? "" : ` stroke-width="2"`;
    out.push(
      `<path d="M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}" fill="none" stroke="${stroke}"${dash}/>`,
    );
  }
  for (const table of tables.values()) {
    const { column, level, pages, x } = table;
    const [fill, stroke] = COLORS[spaces[column].kind];
    const y = yOf(level);
    const links = lines.filter(({ to, from }) => to === table && from.column !== column).length;
    const text = level === 0 ? `${pages} ${pages === 1 ? "page" : "pages"}` : links > 0 ? `${links} links` : "";
    out.push(`<rect x="${x}" y="${y}" width="${BOX_W}" height="${BOX_H}" rx="4" fill="${fill}" stroke="${stroke}"/>`);
    out.push(`<text x="${x + BOX_W / 2}" y="${y + (text ? 17 : 25)}">${LEVEL_NAMES[level]}</text>`);
    if (text) out.push(`<text x="${x + BOX_W / 2}" y="${y + 32}" font-size="11">${text}</text>`);
  }
  spaces.forEach(({ title, kind, mm }, column) => {
    const root = tables.get(mm.root)!;
    const own = [...tables.values()].filter((table) => table.column === column).length;
    const x = root.x + BOX_W / 2;
    out.push(`<text x="${x}" y="${MARGIN + 10}" font-weight="bold" fill="${COLORS[kind][1]}">${escape(title)}</text>`);
    out.push(`<text x="${x}" y="${MARGIN + 28}" font-size="11">${own * 4} KiB</text>`);
  });
  out.push(`<text x="${width / 2}" y="${height - 12}">${tables.size} tables, ${tables.size * 4} KiB</text>`, "</svg>");
  return out.join("\n") + "\n";
}

/** Runs the program and draws the tables as they are when it says so. */
export async function draw(name: DrawingName): Promise<string> {
  const { share, window } = DRAWINGS[name];
  let drawn = "";
  const machine = new Machine({
    memory: 64 * 2 ** 20,
    share,
    seed: 1,
    onStdout: () => (drawn = svg(graphOf(machine))),
  });
  const { status } = await machine.run(buildGuest("tools/draw-tables.c"), [window]);
  if (status !== 0) throw new Error(`draw-tables ${window}: exit status ${status}`);
  return drawn;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const name of Object.keys(DRAWINGS) as DrawingName[])
    writeFileSync(join(ROOT, `docs/${name}.svg`), await draw(name));
}
