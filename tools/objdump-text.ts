// Records objdump's text of the words of disassemble-words.ts into src/machine/testdata/objdump.gz, one line each, all placed at pc
// 0x40000000. Run it when the words change; needs the riscv64 cross binutils.
//   node --import tsx tools/objdump-text.ts
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { disassembledWords } from "../src/machine/isa/disassemble-words.ts";

const words = disassembledWords();
const file = join(mkdtempSync(join(tmpdir(), "objdump-")), "words.s");
writeFileSync(
  file,
  `.option rvc\n${words.map((w) => ((w & 3) === 3 ? `.insn 4, ${w}` : `.insn 2, ${w}`)).join("\n")}\n`,
);
execFileSync("riscv64-linux-gnu-as", ["-march=rv64gc", "-o", `${file}.o`, file]);
const text = execFileSync("riscv64-linux-gnu-objdump", ["-d", `${file}.o`], { maxBuffer: 1 << 28 }).toString();
const lines: string[] = [];
let address = 0;
for (const line of text.split("\n")) {
  const match = /^\s*([0-9a-f]+):\t[0-9a-f]+\s*\t(.*)$/.exec(line);
  if (!match) continue;
  address = parseInt(match[1], 16);
  // Targets are made relative to the instruction, so that each word can stand at one pc.
  const relative = match[2].replace(/\b(0x)?([0-9a-f]+) <[^>]*>$/, (_all, _prefix, target) => {
    const offset = BigInt.asIntN(64, BigInt(`0x${target}`) - BigInt(address));
    return BigInt.asUintN(64, 0x40000000n + offset).toString(16);
  });
  lines.push(relative.replace(/\s+#.*$/, "").replace(/\s*<[^>]*>$/, ""));
}
if (lines.length !== words.length) throw new Error(`${lines.length} lines for ${words.length} words`);
const packed = gzipSync(lines.join("\n"), { level: 9 });
writeFileSync(join(import.meta.dirname, "../src/machine/testdata/objdump.gz"), packed);
console.log(`${lines.length} lines, ${packed.length} bytes`);
