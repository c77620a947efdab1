// The audit as one self-contained HTML page: a treemap of table memory, sharers against savings, and the table. No script, no network: everything is laid
// out here, and names are escaped, whatever a process calls itself.
import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";
import { formatBytes, formatCount } from "../report/format.ts";
import type { AuditResult, ObjectRow } from "./result.ts";

const WIDTH = 1080;
const HEIGHT = 420;
const BAR_HEIGHT = 22;
const BARS = 15;
/** A treemap cell smaller than this gets no text. */
const TEXT_WIDTH = 70;
const TEXT_HEIGHT = 30;

const decoder = new TextDecoder();
/** Names come from /proc as latin1 characters that stand for bytes. */
const decode = (name: string): string => decoder.decode(Uint8Array.from(name, (c) => c.charCodeAt(0) & 0xff));

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\x00-\x08\x0b-\x1f\x7f]/g, "�");
const nameOf = (row: ObjectRow): string => escape(decode(row.name));

interface Cell {
  readonly row?: ObjectRow;
  readonly children?: Cell[];
}

/** What would stay with mshare is drawn darker than what would be given back. */
function treemapSvg(rows: readonly ObjectRow[]): string {
  const root = hierarchy<Cell>({ children: rows.map((row) => ({ row })) }, (cell) => cell.children).sum(
    (cell) => cell.row?.tables ?? 0,
  );
  const cells = treemap<Cell>().tile(treemapSquarify).size([WIDTH, HEIGHT]).padding(2)(root).leaves();
  const parts = cells.map((cell) => {
    const { row } = cell.data;
    if (row === undefined) return "";
    const [w, h] = [cell.x1 - cell.x0, cell.y1 - cell.y0];
    const back = row.tables > 0 ? (h * row.givenBack) / row.tables : 0;
    const title = `${nameOf(row)}: ${formatBytes(row.tables)}, ${formatBytes(row.givenBack)} given back, ${formatCount(row.sharers)} sharers`;
    const text =
      w < TEXT_WIDTH || h < TEXT_HEIGHT
        ? ""
        : `<text x="6" y="18">${escape(cut(decode(row.name), w / 8))}</text><text x="6" y="34" class="size">${formatBytes(row.tables)}</text>`;
    return (
      `<g transform="translate(${cell.x0.toFixed(1)} ${cell.y0.toFixed(1)})"><title>${title}</title>` +
      `<rect class="stays" width="${w.toFixed(1)}" height="${h.toFixed(1)}"/>` +
      `<rect class="back" width="${w.toFixed(1)}" height="${back.toFixed(1)}"/>${text}</g>`
    );
  });
  return svg(HEIGHT, "Page-table memory by object", parts.join(""));
}

const cut = (text: string, characters: number): string => {
  const most = Math.max(3, Math.floor(characters));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
};

const svg = (height: number, label: string, body: string): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">${body}</svg>`;

/** Bars: what each object's sharing would give back, and by how many sharers. */
function barsSvg(rows: readonly ObjectRow[]): string {
  const most = rows[0].givenBack;
  const left = 380;
  const bars = rows.map((row, i) => {
    const y = i * BAR_HEIGHT;
    const width = Math.max(1, ((WIDTH - left - 260) * row.givenBack) / most);
    return (
      `<g transform="translate(0 ${y})"><text x="${left - 8}" y="15" class="name">${escape(cut(decode(row.name), 48))}</text>` +
      `<rect class="back" x="${left}" y="2" width="${width.toFixed(1)}" height="${BAR_HEIGHT - 5}"/>` +
      `<text x="${(left + width + 8).toFixed(1)}" y="15">${formatBytes(row.givenBack)} · ${formatCount(row.sharers)} sharers</text></g>`
    );
  });
  return svg(rows.length * BAR_HEIGHT, "Given back by object", bars.join(""));
}

function tableHtml(rows: readonly ObjectRow[]): string {
  const body = rows.map(
    (row) =>
      `<tr><td class="left">${nameOf(row)}</td><td class="left">${row.kind}</td><td>${formatCount(row.sharers)}</td><td>${formatBytes(row.size)}</td>` +
      `<td>${formatBytes(row.resident)}</td><td>${row.quality === "counted" ? "" : "~"}${formatBytes(row.tables)}</td><td>${formatBytes(row.tablesMshare)}</td>` +
      `<td>${formatBytes(row.givenBack)}</td><td>${formatBytes(row.tablesHuge)}</td></tr>`,
  );
  const head = [
    "object",
    "kind",
    "sharers",
    "size",
    "resident",
    "tables",
    "with mshare",
    "given back",
    "with 2 MiB pages",
  ];
  return (
    `<table><thead><tr>${head.map((name, i) => `<th${i < 2 ? ' class="left"' : ""}>${name}</th>`).join("")}</tr></thead>` +
    `<tbody>${body.join("")}</tbody></table>`
  );
}

/** One page, in UTF-8. */
export function auditHtml(result: AuditResult): string {
  const { totals, host } = result;
  const rows = [...result.objects].filter((row) => row.tables > 0).sort((a, b) => b.tables - a.tables);
  const saving = [...rows].filter((row) => row.givenBack > 0).sort((a, b) => b.givenBack - a.givenBack);
  const cards: [string, string][] = [
    ["page tables", formatBytes(totals.tables)],
    ["with mshare", formatBytes(totals.tablesMshare)],
    ["given back", formatBytes(totals.givenBack)],
    ["with 2 MiB pages", formatBytes(totals.tablesHuge)],
    ["processes", formatCount(totals.processes)],
    ["of VmPTE attributed", `${totals.attributedPercent.toFixed(1)}%`],
  ];
  const warnings = result.warnings.slice(0, 50).map((text) => `<li>${escape(decode(text))}</li>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>mshare audit</title>
<style>${STYLE}</style></head><body><main>
<h1>What page tables cost here</h1>
<p class="about">${escape(decode(result.source))} · Linux ${escape(decode(host.kernel))} · ${formatBytes(host.ram)} RAM · ${result.time}</p>
<div class="cards">${cards.map(([name, value]) => `<div><b>${value}</b>${name}</div>`).join("")}</div>
<ul class="advice">${result.advice.map((text) => `<li>${escape(decode(text))}</li>`).join("")}</ul>
<h2>Table memory by object</h2>
<p class="about">An area is an object's page tables; the lighter part is what sharing them would give back.</p>
${rows.length > 0 ? treemapSvg(rows) : "<p>No tables.</p>"}
<h2>Sharers and savings</h2>
${saving.length > 0 ? barsSvg(saving.slice(0, BARS)) : "<p>Sharing page tables would give nothing back.</p>"}
<h2>Objects</h2>
${tableHtml(rows)}
${warnings.length > 0 ? `<h2>Warnings</h2><ul>${warnings.join("")}</ul>` : ""}
</main></body></html>
`;
}

const STYLE = `
:root{--ink:#16202b;--soft:#5a6775;--stays:#33658a;--back:#86bbd8;--paper:#fff;--line:#dde3e9}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--stays:#2a4d69;--back:#4b86b4;--paper:#10161d;--line:#2a333d}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:${WIDTH}px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:28px;margin:0}h2{font-size:19px;margin:36px 0 8px}
.about{color:var(--soft);margin:4px 0 12px}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}
.cards div{flex:1;min-width:140px;border:1px solid var(--line);border-radius:8px;padding:12px 14px;color:var(--soft)}
.cards b{display:block;font-size:21px;color:var(--ink);font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;display:block}svg text{font:13px system-ui,sans-serif;fill:var(--ink)}
svg g rect.stays~text{fill:#fff}svg .size{font-size:12px;opacity:.85}svg .name{text-anchor:end}
.stays{fill:var(--stays)}.back{fill:var(--back)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}
th,td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}.left{text-align:left;overflow-wrap:anywhere}
`;
