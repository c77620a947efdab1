// Chooses the loads and stores that remember the page they last went to, so that the next one to it needs no TLB lookup, among those that
// windows.ts gives one. One memory serves all accesses through a base register that was last set at the same place: a pointer that walks, or the sum of a base and an index. Pure analysis.
//
// Measured (ns per operation, without and with): CRC's table lookups 5.0 and 3.1; a memory that is wrong each time costs more than none.
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { Node } from "./flow.ts";
import type { Line } from "./line.ts";
import type { Access } from "./windows.ts";

/** More memories than this would only be spilled. */
const MAX_MEMOS = 8;
/** An index of at most so many bits stays in a page or two. */
const NEAR_BITS = Math.log2(PAGE_SIZE) + 1;
/** No upper bound of a value's bits is known. */
const ANY = 64;

/** Upper bounds of the bits of registers' values, as unsigned numbers, in one block. */
class Widths {
  private readonly bits = new Uint8Array(32).fill(ANY);

  of(register: number): number {
    return register === 0 ? 0 : this.bits[register];
  }

  after({ d, writes }: Line): void {
    if (writes !== 0) this.bits[d.rd] = Math.min(ANY, this.result(d));
  }

  private result({ instruction: { name }, rs1, rs2, imm }: Line["d"]): number {
    switch (name) {
      case "andi":
        return imm >= 0 ? Math.min(this.of(rs1), 32 - Math.clz32(imm)) : ANY;
      case "and":
        return Math.min(this.of(rs1), this.of(rs2));
      case "srliw":
        return imm > 0 ? 32 - imm : ANY;
      case "srli":
        return Math.max(0, this.of(rs1) - imm);
      case "slli":
        return this.of(rs1) + imm;
      case "lbu":
        return 8;
      case "lhu":
        return 16;
      case "addi":
        return imm === 0 ? this.of(rs1) : ANY;
      default:
        return ANY;
    }
  }
}

/** Whether an add or sub gives a pointer that may be anywhere: its index has many bits, but a bound, as a hash or a cell of a table has. */
function isFar({ d, facts }: Line, widths: Widths): boolean {
  if (!facts.rs2) return false;
  const bits = Math.min(widths.of(d.rs1), widths.of(d.rs2));
  return bits > NEAR_BITS && bits < ANY;
}

/** Where a register was last set in a block: "far" if that gave no steady pointer; undefined: before the block. */
type Setting = Line | "far" | undefined;

/** Gives the accesses that remember a page the number of its memory: 0 for the one with the most of them. */
export function chooseMemos(nodes: readonly Node[]): void {
  let unsteady = 0;
  for (const { block } of nodes) for (const line of block.lines) if (!line.facts.isSteady) unsteady |= line.writes;
  // By where the base register was set, or if that was before the block, by its number.
  const sites = { load: new Map<Line | number, Access[]>(), store: new Map<Line | number, Access[]>() };
  for (const { block, accesses } of nodes) {
    const widths = new Widths();
    const settings: Setting[] = new Array<Setting>(32).fill(undefined);
    let next = 0;
    for (const line of block.lines) {
      const { d, facts, writes } = line;
      const setting = settings[d.rs1];
      const access = facts.access && accesses[next++];
      if (access?.isFirst && setting !== "far" && (setting !== undefined || ((unsteady >>> d.rs1) & 1) === 0)) {
        const there = sites[access.window.kind];
        const known = there.get(setting ?? d.rs1);
        if (known) known.push(access);
        else there.set(setting ?? d.rs1, [access]);
      }
      if (writes !== 0) {
        const walks = d.instruction.name === "addi" && d.rd === d.rs1;
        if (!facts.isSteady || isFar(line, widths)) settings[d.rd] = "far";
        else if (!walks) settings[d.rd] = line;
      }
      widths.after(line);
    }
  }
  [...sites.load.values(), ...sites.store.values()]
    .sort((a, b) => b.length - a.length)
    .slice(0, MAX_MEMOS)
    .forEach((accesses, memo) => accesses.forEach((access) => (access.memo = memo)));
}
