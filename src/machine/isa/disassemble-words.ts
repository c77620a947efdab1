// The instructions whose text tests compare with objdump's: every 16-bit encoding that stands for something, and some words of each
// 32-bit instruction. Used by tools/objdump-text.ts, which records objdump's answers, and disassemble.test.ts.
import { encode } from "./encode.ts";
import { decode, INSTRUCTIONS } from "./table.ts";

const WORDS_PER_INSTRUCTION = 24;
const COMPRESSED_STEP = 3;

export function disassembledWords(): number[] {
  const words: number[] = [];
  for (let half = 0; half < 0x10000; half += COMPRESSED_STEP) {
    if ((half & 3) !== 3 && decode(half) !== undefined) words.push(half);
  }
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 7;
  for (const { name, tokens } of INSTRUCTIONS) {
    for (let n = 0; n < WORDS_PER_INSTRUCTION; n++) {
      const small = (): number => (n % 3 === 0 ? 0 : next() & 31);
      const immediate = tokens.includes("csr")
        ? [1, 2, 3, 0xc00, 0xc01, 0xc02][n % 6]
        : n % 4 === 0
          ? n % 8 === 0
            ? 0
            : -1
          : next();
      const imm = tokens.includes("u") ? immediate << 12 : immediate;
      const rm = [0, 1, 2, 3, 4, 7][n % 6];
      words.push(encode(name, { rd: small(), rs1: small(), rs2: small(), rs3: next() & 31, imm, rm }));
    }
  }
  return words;
}
