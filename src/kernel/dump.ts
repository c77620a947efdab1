// What a developer wants to see when a program or the kernel itself has gone wrong: registers, the code around pc, the address space, the way of
// the page tables to the addresses in question. Only reads. Called by trap.ts for kernel bugs and by `--verbose` reports of fatal signals.
import { TASK_SIZE } from "../base/limits.ts";
import { PAGE_SIZE } from "../base/numbers.ts";
import { X_NAMES, disassemble } from "../machine/isa/disassemble.ts";
import { LEVEL_SIZE, ROOT_LEVEL, isPresent, isTable, pteIndex, ptePfn } from "../machine/pte.ts";
import type { Mm } from "../mm/mm.ts";
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE, type Vma } from "../mm/vma.ts";
import type { Task } from "./task.ts";

const hex = (n: number | bigint, digits = 16): string => n.toString(16).padStart(digits, "0");

/** Instructions shown before and after pc. */
const BEFORE = 16;
const AFTER = 5;

/** Lines about `task`; `address`: the one that faulted, to be looked up in the page tables along with pc and sp. */
export function describeTask(task: Task, address?: number): string[] {
  const { regs, mmOrNull: mm } = task;
  const lines = [
    `task ${task.tid} (${task.comm}) of process ${task.tgid}, state ${task.state}` +
      (task.callNr >= 0 ? `, in system call ${task.callNr}` : ""),
    `  pc   ${hex(regs.pc)}  fcsr ${hex(regs.fcsr, 2)}`,
  ];
  for (let row = 0; row < 8; row++) {
    lines.push(
      "  " +
        [0, 8, 16, 24].map((column) => `${X_NAMES[row + column].padEnd(4)} ${hex(regs.x(row + column))}`).join("  "),
    );
  }
  if (mm === null) return lines;
  lines.push("code:", ...describeCode(mm, regs.pc));
  lines.push("address space:", ...[...mm.vmas].map(describeVma));
  for (const [name, at] of [
    ["pc", regs.pc],
    ["sp", regs.unsigned(2)],
    ["address", address],
  ] as const) {
    if (at !== undefined) lines.push(`page tables to ${name} ${hex(at)}:`, ...describeWalk(mm, at));
  }
  return lines;
}

function describeVma(vma: Vma): string {
  const { flags, file } = vma;
  const letter = (bit: number, yes: string, no = "-"): string => ((flags & bit) !== 0 ? yes : no);
  const rights = letter(VM_READ, "r") + letter(VM_WRITE, "w") + letter(VM_EXEC, "x") + letter(VM_SHARED, "s", "p");
  const name = vma.name ?? file?.name() ?? (vma.window !== null ? "[window]" : "");
  return `  ${hex(vma.start, 12)}-${hex(vma.end, 12)} ${rights} ${hex(vma.pgoff * PAGE_SIZE, 8)} ${name}`.trimEnd();
}

/** The entries from the root down to the page of `va`. */
export function describeWalk(mm: Mm, va: number): string[] {
  if (!(va >= 0 && va < TASK_SIZE) || mm.root === 0) return ["  not a user address"];
  const { ram } = mm.memory;
  const lines: string[] = [];
  let table = mm.root;
  for (let level = ROOT_LEVEL; level >= 0; level--) {
    const index = pteIndex(va, level);
    const pte = ram.readPte(table, index);
    const bits = [..."DAGUXWRV"].map((name, i) => ((pte >>> (7 - i)) & 1 ? name : "-")).join("");
    lines.push(
      `  level ${level}: table ${hex(table, 5)} entry ${String(index).padStart(3)}: ${hex(pte >>> 0, 8)} ${bits}`,
    );
    if (!isTable(pte)) break;
    table = ptePfn(pte);
  }
  return lines;
}

/** Reads a halfword through the page tables without faulting anything in; undefined: not present. */
function peek16(mm: Mm, va: number): number | undefined {
  if (!(va >= 0 && va < TASK_SIZE)) return undefined;
  const { ram } = mm.memory;
  let table = mm.root;
  for (let level = ROOT_LEVEL; level >= 0; level--) {
    const pte = ram.readPte(table, pteIndex(va, level));
    if (!isPresent(pte)) return undefined;
    if (!isTable(pte)) return ram.u16[(ptePfn(pte) * PAGE_SIZE + (va % LEVEL_SIZE[level])) >>> 1];
    table = ptePfn(pte);
  }
  return undefined;
}

/** Instructions around `pc`; those before it are guessed from where a run of valid ones leads exactly to it. */
function describeCode(mm: Mm, pc: number): string[] {
  const wordAt = (at: number): number | undefined => {
    const low = peek16(mm, at);
    if (low === undefined || (low & 3) !== 3) return low;
    const high = peek16(mm, at + 2);
    return high === undefined ? undefined : (low | (high << 16)) >>> 0;
  };
  const lengthAt = (at: number): number => (((peek16(mm, at) ?? 0) & 3) === 3 ? 4 : 2);
  let at = pc;
  for (let start = Math.max(0, pc - BEFORE); start < pc; start += 2) {
    let end = start;
    while (end < pc) end += lengthAt(end);
    if (end === pc) {
      at = start;
      break;
    }
  }
  const lines: string[] = [];
  for (let after = 0; after < AFTER; at += lengthAt(at)) {
    const word = wordAt(at);
    if (word === undefined) {
      lines.push(`  ${hex(at, 12)}: not mapped`);
      break;
    }
    const text = disassemble(word, at);
    lines.push(`${at === pc ? "> " : "  "}${hex(at, 12)}: ${hex(word, (word & 3) === 3 ? 8 : 4).padEnd(8)}  ${text}`);
    if (at >= pc) after++;
  }
  return lines;
}
