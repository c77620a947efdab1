// Instructions done out of line: CSR accesses and the floating point that generated code leaves alone. Reads a decoded record, runs
// Instruction.slow, writes the hart's registers. Used by hardware.ts.
import { INSTRUCTIONS } from "./isa/table.ts";
import type { SlowOperands } from "./isa/instruction.ts";
import {
  HART_BUDGET,
  HART_FCSR,
  RECORD_IMM,
  RECORD_INDEX,
  RECORD_RD,
  RECORD_RM,
  RECORD_RS1,
  RECORD_RS2,
  RECORD_RS3,
} from "./layout.ts";
import type { Ram } from "./ram.ts";

const DYNAMIC = 7;
/** The largest rounding mode that is not reserved (RMM). */
const LAST_ROUNDING = 4;

export interface SlowPathSources {
  /** Instructions a hart has retired when `left` remain of its budget. */
  instret(hart: number, left: number): number;
  time(): bigint;
}

export class SlowPath implements SlowOperands {
  private readonly ram: Ram;
  private readonly sources: SlowPathSources;
  private hart = 0;
  private record = 0;

  constructor(ram: Ram, sources: SlowPathSources) {
    this.ram = ram;
    this.sources = sources;
  }

  /** Does the instruction of a record; 0 or a trap cause. HART_BUDGET already counts it. */
  run(hart: number, record: number): number {
    this.hart = hart;
    this.record = record;
    const { slow, name } = INSTRUCTIONS[this.ram.u8[record + RECORD_INDEX]];
    if (slow === undefined) throw new Error(`${name} has no slow path`);
    return slow(this);
  }

  private slot(field: number): number {
    return (this.hart + this.ram.u16[(this.record + field) >>> 1]) >>> 3;
  }

  get rd(): number {
    return this.ram.u16[(this.record + RECORD_RD) >>> 1];
  }

  get rs1(): number {
    return this.ram.u8[this.record + RECORD_RM];
  }

  get imm(): number {
    return this.ram.i32[(this.record + RECORD_IMM) >>> 2];
  }

  get rounding(): number {
    const rm = this.ram.u8[this.record + RECORD_RM];
    const mode = rm === DYNAMIC ? this.fcsr >>> 5 : rm;
    return mode <= LAST_ROUNDING ? mode : -1;
  }

  x(source: 1 | 2): bigint {
    return this.ram.u64[this.slot(source === 1 ? RECORD_RS1 : RECORD_RS2)];
  }

  f(source: 1 | 2 | 3): bigint {
    return this.ram.u64[this.slot(source === 1 ? RECORD_RS1 : source === 2 ? RECORD_RS2 : RECORD_RS3)];
  }

  setX(value: bigint): void {
    this.ram.u64[this.slot(RECORD_RD)] = value;
  }

  setF(value: bigint): void {
    this.ram.u64[this.slot(RECORD_RD)] = value;
  }

  get fcsr(): number {
    return this.ram.u32[(this.hart + HART_FCSR) >>> 2];
  }

  set fcsr(value: number) {
    this.ram.u32[(this.hart + HART_FCSR) >>> 2] = value;
  }

  get instret(): number {
    return this.sources.instret(this.hart, this.ram.u32[(this.hart + HART_BUDGET) >>> 2] + 1);
  }

  get time(): bigint {
    return this.sources.time();
  }
}
