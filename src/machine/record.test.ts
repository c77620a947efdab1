// The records that the interpreter runs say of instructions what the decoder says, which the disassembler's tests compare with objdump.
import { expect, test } from "vitest";
import { disassembledWords } from "./isa/disassemble-words.ts";
import { decode } from "./isa/table.ts";
import {
  HART_F,
  HART_SINK,
  HART_X,
  RECORD_ADVANCE,
  RECORD_BYTES,
  RECORD_IMM,
  RECORD_INDEX,
  RECORD_OP,
  RECORD_RD,
  RECORD_RM,
  RECORD_RS1,
  RECORD_RS2,
  RECORD_RS3,
} from "./layout.ts";
import { Ram } from "./ram.ts";
import { OP_FIRST, OP_ILLEGAL, OP_SLOW, encodeRecord } from "./record.ts";

const AT = 64;
const RTZ = 1;
/** Rounding modes that are done in line: to nearest, or as frm says. */
const IN_LINE = [0, 7];

/** What the record of a word holds; undefined if the word is not legal. */
function expected(word: number): { returned: number; fields: number[] } | undefined {
  const d = decode(word);
  if (d === undefined) return undefined;
  const { tokens, ends } = d.instruction;
  const rounds = tokens.includes("rm");
  const toInteger = rounds && tokens.includes("rd");
  const truncates = toInteger && d.rm === RTZ;
  const register = (isFloat: boolean, r: number): number => (isFloat ? HART_F : HART_X) + 8 * r;
  return {
    returned: ends ? 0 : d.length,
    fields: [
      !rounds || IN_LINE.includes(d.rm) || truncates ? OP_FIRST + d.index : OP_SLOW,
      8 * d.length,
      !d.fd && d.rd === 0 ? HART_SINK : register(d.fd, d.rd),
      register(d.fs1, d.rs1),
      toInteger ? (truncates ? 0 : RTZ << 5) : register(d.fs2, d.rs2),
      rounds ? (d.rm === 7 ? 0xe0 : 0) : d.imm,
      HART_F + 8 * d.rs3,
      rounds ? d.rm : d.rs1,
      d.index,
    ],
  };
}

test("records hold what is decoded", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const ram = new Ram(memory, { start: 0, size: 0 }, new Uint8Array(0));
  const record = new DataView(memory.buffer, AT, RECORD_BYTES);
  // Some of these are not legal.
  const halves = Array.from({ length: 2 ** 14 }, (_, n) => (n * 0x9e37) & 0xffff).filter((half) => (half & 3) !== 3);
  for (const word of [...disassembledWords(), ...halves]) {
    const returned = encodeRecord(ram, AT, word);
    const want = expected(word);
    if (want === undefined) {
      expect([returned, record.getUint8(RECORD_OP)]).toEqual([0, OP_ILLEGAL]);
      continue;
    }
    const fields = [
      record.getUint8(RECORD_OP),
      record.getUint8(RECORD_ADVANCE),
      record.getUint16(RECORD_RD, true),
      record.getUint16(RECORD_RS1, true),
      record.getUint16(RECORD_RS2, true),
      record.getInt32(RECORD_IMM, true),
      record.getUint16(RECORD_RS3, true),
      record.getUint8(RECORD_RM),
      record.getUint8(RECORD_INDEX),
    ];
    expect({ word, returned, fields }).toEqual({ word, ...want });
  }
});
