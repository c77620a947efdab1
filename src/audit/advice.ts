// What an operator can do about the tables that were found: mshare, huge pages, or nothing worth it. Sentences, most useful first.
import { formatBytes } from "../report/format.ts";
import type { AuditResult, ObjectRow } from "./result.ts";

/** Below this, and below this part of RAM, tables are not worth anybody's time. */
const WORTH_BYTES = 16 * 2 ** 20;
const WORTH_RAM = 0.002;
/** Objects that get a sentence of their own. */
const MOST = 3;

export function adviseOn(result: Omit<AuditResult, "advice">): string[] {
  const { host, objects, totals } = result;
  const worth = Math.max(WORTH_BYTES, host.ram * WORTH_RAM);
  const rows = objects.filter((row) => row.givenBack >= worth).slice(0, MOST);
  const advice = rows.flatMap((row) => adviseOnRow(row, result));
  if (rows.length === 0) {
    advice.push(
      `Nothing worth doing: all tables take ${formatBytes(totals.tables)}, and sharing them would give back ${formatBytes(totals.givenBack)}.`,
    );
  }
  if (result.unseen.length > 0) {
    advice.push(
      `${result.unseen.length} of ${totals.processes} processes could not be looked into: run it as root to see what their tables are for.`,
    );
  }
  return advice;
}

function adviseOnRow(row: ObjectRow, result: Omit<AuditResult, "advice">): string[] {
  const { host } = result;
  const sentences = [
    `${row.name}: mshare would give back ${formatBytes(row.givenBack)} of ${formatBytes(row.tables)}: ` +
      `${row.sharers} processes have tables of their own for it.`,
  ];
  const saved = row.tables - row.tablesHuge;
  if (row.kind === "hugetlb" || saved < row.tables / 10) return sentences;
  const pages = Math.ceil(row.size / 2 ** 21);
  const today = `Today, 2 MiB pages would bring them down to ${formatBytes(row.tablesHuge)}: `;
  if (row.kind === "sysv" || row.kind === "shared anonymous") {
    const free = host.hugePagesFree >= pages ? `${host.hugePagesFree} are free` : `${host.hugePagesFree} are free now`;
    sentences.push(
      `${today}vm.nr_hugepages needs ${pages} for it (${free}), and the program must ask for them (PostgreSQL: huge_pages = on).`,
    );
  }
  if (host.thpShmem !== null && !["always", "within_size", "force"].includes(host.thpShmem)) {
    sentences.push(
      `Transparent huge pages for shared memory are off (shmem_enabled is "${host.thpShmem}"): ` +
        `"advise" or "within_size" lets the kernel use them where programs ask for it or where they fit.`,
    );
  }
  return sentences;
}
