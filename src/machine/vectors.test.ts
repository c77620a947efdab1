// Every computational instruction against qemu-riscv64's recorded answers: integer edge values, FP in every rounding mode with flags.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { encode } from "./isa/encode.ts";
import { CODE, TestMachine } from "./test-machine.ts";
import { FIRST_REGISTER, type VectorCase, vectorCases } from "./vectors.ts";
import { TRAP_BREAKPOINT } from "./trap.ts";

const recorded = gunzipSync(readFileSync(new URL("testdata/vectors.gz", import.meta.url)));
type Recorded = VectorCase & { result: bigint; flags: number };
const byName = new Map<string, Recorded[]>();
[...vectorCases()].forEach((c, i) => {
  const cases = byName.get(c.name) ?? [];
  byName.set(c.name, cases);
  cases.push({ ...c, result: recorded.readBigUInt64LE(i * 9), flags: recorded[i * 9 + 8] });
});
const hex = (n: bigint): string => n.toString(16).padStart(16, "0");
const describeCase = (c: VectorCase): string =>
  `${c.word.toString(16)} fcsr ${c.fcsr.toString(16)} x ${c.x.map(hex).join(" ")} f ${c.f.map(hex).join(" ")}`;

describe("single instructions give what QEMU gives", () => {
  const machine = new TestMachine();
  const { registers } = machine.hart;
  it.each([...byName.keys()])("%s", (name) => {
    for (const c of byName.get(name)!) {
      machine.load([c.word, encode("ebreak")], CODE);
      c.x.forEach((value, i) => registers.setX(FIRST_REGISTER + i, value));
      c.f.forEach((value, i) => registers.setF(FIRST_REGISTER + i, value));
      registers.fcsr = c.fcsr;
      const trap = machine.runToTrap();
      expect(trap.cause, describeCase(c)).toBe(TRAP_BREAKPOINT);
      const result = c.rd === 0 && !c.fd ? 0n : c.fd ? registers.f(c.rd) : registers.x(c.rd);
      expect(`${hex(result)} ${registers.fcsr.toString(16)}`, describeCase(c)).toBe(
        `${hex(c.result)} ${c.flags.toString(16)}`,
      );
      c.x.forEach((value, i) => {
        if (c.fd || FIRST_REGISTER + i !== c.rd) expect(registers.x(FIRST_REGISTER + i)).toBe(value);
      });
      c.f.forEach((value, i) => {
        if (!c.fd || FIRST_REGISTER + i !== c.rd) expect(registers.f(FIRST_REGISTER + i)).toBe(value);
      });
      expect(registers.x(0)).toBe(0n);
    }
  });
});
