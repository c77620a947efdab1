// Records what qemu-riscv64 answers to the cases of src/machine/vectors.ts, into src/machine/testdata/vectors.gz: for each case u64 rd,
// u8 fcsr, little endian. Run it when the cases change; needs the riscv64 cross compiler and qemu-riscv64.
//   node --import tsx tools/machine-vectors.ts
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { FIRST_REGISTER, VECTOR_REGISTERS, vectorCases } from "../src/machine/vectors.ts";

const IN_BYTES = 8 + 16 * VECTOR_REGISTERS;
const OUT_BYTES = 16 * VECTOR_REGISTERS + 8;

const cases = [...vectorCases()];
const input = Buffer.alloc(cases.length * IN_BYTES);
cases.forEach((c, i) => {
  const at = i * IN_BYTES;
  input.writeUInt32LE(c.word, at);
  input.writeUInt32LE(c.fcsr, at + 4);
  c.x.forEach((value, n) => input.writeBigUInt64LE(value, at + 8 + 8 * n));
  c.f.forEach((value, n) => input.writeBigUInt64LE(value, at + 8 + 8 * (VECTOR_REGISTERS + n)));
});
const program = join(mkdtempSync(join(tmpdir(), "vectors-")), "vectors");
const here = import.meta.dirname;
execFileSync("riscv64-linux-gnu-gcc", ["-O1", "-static", "-o", program, join(here, "machine-vectors.c")]);
const output = execFileSync("qemu-riscv64", [program], { input, maxBuffer: 1 << 30 });
if (output.length !== cases.length * OUT_BYTES) throw new Error(`${output.length / OUT_BYTES} answers`);
const recorded = Buffer.alloc(cases.length * 9);
cases.forEach((c, i) => {
  const at = i * OUT_BYTES;
  const register = c.rd === 0 ? undefined : c.rd - FIRST_REGISTER + (c.fd ? VECTOR_REGISTERS : 0);
  recorded.writeBigUInt64LE(register === undefined ? 0n : output.readBigUInt64LE(at + 8 * register), i * 9);
  recorded.writeUInt8(output.readUInt8(at + 16 * VECTOR_REGISTERS), i * 9 + 8);
});
const packed = gzipSync(recorded, { level: 9 });
writeFileSync(join(here, "../src/machine/testdata/vectors.gz"), packed);
console.log(`${cases.length} cases, ${packed.length} bytes`);
