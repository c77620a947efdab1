// The disassembler against objdump's recorded text; with it the decoder and the expansion of 16-bit instructions.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { disassembledWords } from "./disassemble-words.ts";
import { disassemble } from "./disassemble.ts";

const PC = 0x40000000;
const recorded = gunzipSync(readFileSync(new URL("../testdata/objdump.gz", import.meta.url)))
  .toString()
  .split("\n");

/** This objdump (2.40) writes `add` for addi, `csrs` for csrsi and so on; later ones, and we, name the instruction. */
function modern(text: string): string {
  const [name, operands = ""] = text.split("\t");
  const last = operands.split(",").at(-1) ?? "";
  const immediate = /^(-?\d+|0x[0-9a-f]+)$/.test(last);
  if (immediate && /^(add|and|or|xor|sll|srl|sra|csrr[wsc]|csr[wsc])$/.test(name)) return `${name}i ${operands}`;
  if (immediate && /^(add|sll|srl|sra)w$/.test(name)) return `${name.slice(0, -1)}iw ${operands}`;
  return operands === "" ? name : `${name} ${operands}`;
}

describe("disassemble", () => {
  it("writes what objdump writes", () => {
    const different: string[] = [];
    disassembledWords().forEach((word, i) => {
      const theirs = modern(recorded[i]);
      // Hints (c.addi 0 among them, below), and exact conversions with an odd rounding mode, which it does not decode.
      if (/^(c\.|\.4byte|unimp)/.test(theirs)) return;
      const ours = disassemble(word, PC);
      if (word < 0x10000 && /^addi (\w+),\1,0$/.test(theirs)) return;
      if (ours !== theirs) different.push(`${word.toString(16)}: ${ours} | ${theirs}`);
    });
    expect(different).toEqual([]);
  });

  it.each([
    [0x00008067, "ret"],
    [0x0ff0000f, "fence"],
    [0x0330000f, "fence rw,rw"],
    [0x8082, "ret"],
    [0x0000, ".2byte 0x0"],
    [0xffffffff, ".4byte 0xffffffff"],
  ])("%i", (word, text) => {
    expect(disassemble(word, 0)).toBe(text);
  });

  it("shows targets and ordering", () => {
    expect(disassemble(0xfe1ff06f, 0x1000)).toBe("j fe0");
    expect(disassemble(0x06b6252f, 0)).toBe("amoadd.w.aqrl a0,a1,(a2)");
    expect(disassemble(0x1405252f, 0)).toBe("lr.w.aq a0,(a0)");
  });
});
