// Guest code as text, in objdump's syntax: made from the instruction table and the usual aliases (li, mv, ret, beqz, ...). Used by dumps,
// --dump-region and tests. Pure functions.
import type { Decoded } from "./instruction.ts";
import { expandCompressed } from "./compressed.ts";
import { decode } from "./table.ts";

export const X_NAMES: readonly string[] =
  "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6".split(" ");
export const F_NAMES: readonly string[] =
  "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11".split(
    " ",
  );
const CSR_NAMES = new Map([
  [0x001, "fflags"],
  [0x002, "frm"],
  [0x003, "fcsr"],
  [0xc00, "cycle"],
  [0xc01, "time"],
  [0xc02, "instret"],
]);
const ROUNDING_NAMES = ["rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown"];
const DYNAMIC = 7;
const ZERO = 0;
const RA = 1;

/** Conversions that are always exact are written with rounding mode 0 and without its name. */
const EXACT = new Set(["fcvt.d.w", "fcvt.d.wu", "fcvt.d.s"]);

const hex = (n: number): string => `0x${(n >>> 0).toString(16)}`;
const signed = (n: number): string => String(n);

/** A pc-relative target; pc is below 2^53 in user space. */
const target = (pc: number, offset: number): string => BigInt.asUintN(64, BigInt(pc) + BigInt(offset)).toString(16);

function operand(token: string, d: Decoded, word: number, pc: number): string | undefined {
  switch (token) {
    case "rd":
      return X_NAMES[d.rd];
    case "rs1":
      return X_NAMES[d.rs1];
    case "rs2":
      return X_NAMES[d.rs2];
    case "fd":
      return F_NAMES[d.rd];
    case "fs1":
      return F_NAMES[d.rs1];
    case "fs2":
      return F_NAMES[d.rs2];
    case "fs3":
      return F_NAMES[d.rs3];
    case "i":
    case "s":
      return signed(d.imm);
    case "b":
    case "j":
      return target(pc, d.imm);
    case "u":
      return hex(d.imm >>> 12);
    case "sh6":
    case "sh5":
      return hex(d.imm);
    case "csr":
      return CSR_NAMES.get(d.imm) ?? hex(d.imm);
    case "z":
      return String((word >>> 15) & 31);
    default:
      // rm
      if (d.rm === DYNAMIC || (EXACT.has(d.instruction.name) && d.rm === 0)) return undefined;
      return ROUNDING_NAMES[d.rm];
  }
}

const x = (n: number): string => X_NAMES[n];

/** The alias that assemblers prefer for some operands, or undefined. */
function alias(d: Decoded, pc: number): string | undefined {
  const { rd, rs1, rs2, imm } = d;
  switch (d.instruction.name) {
    case "addi":
      if (rs1 === ZERO) return rd === ZERO && imm === 0 ? "nop" : `li ${x(rd)},${imm}`;
      return imm === 0 ? `mv ${x(rd)},${x(rs1)}` : undefined;
    case "addiw":
      return imm === 0 ? `sext.w ${x(rd)},${x(rs1)}` : undefined;
    case "add":
      return rs1 === ZERO && rs2 !== ZERO && d.length === 2 ? `mv ${x(rd)},${x(rs2)}` : undefined;
    case "xori":
      return imm === -1 ? `not ${x(rd)},${x(rs1)}` : undefined;
    case "sltiu":
      return imm === 1 ? `seqz ${x(rd)},${x(rs1)}` : undefined;
    case "sub":
      return rs1 === ZERO ? `neg ${x(rd)},${x(rs2)}` : undefined;
    case "subw":
      return rs1 === ZERO ? `negw ${x(rd)},${x(rs2)}` : undefined;
    case "sltu":
      return rs1 === ZERO ? `snez ${x(rd)},${x(rs2)}` : undefined;
    case "slt":
      if (rs2 === ZERO) return `sltz ${x(rd)},${x(rs1)}`;
      return rs1 === ZERO ? `sgtz ${x(rd)},${x(rs2)}` : undefined;
    case "jal":
      if (rd === ZERO) return `j ${target(pc, imm)}`;
      return rd === RA ? `jal ${target(pc, imm)}` : undefined;
    case "jalr":
      return jalrAlias(d);
    case "beq":
    case "bne":
    case "blt":
    case "bge":
      return branchAlias(d, pc);
    case "csrrs":
    case "csrrw":
    case "csrrc":
    case "csrrwi":
    case "csrrsi":
    case "csrrci":
      return csrAlias(d);
    default:
      return signAlias(d);
  }
}

function jalrAlias({ rd, rs1, imm }: Decoded): string | undefined {
  if (rd === ZERO && rs1 === RA && imm === 0) return "ret";
  const place = imm === 0 ? x(rs1) : `${imm}(${x(rs1)})`;
  if (rd === ZERO) return `jr ${place}`;
  if (rd === RA) return `jalr ${place}`;
  return imm === 0 ? `jalr ${x(rd)},${x(rs1)}` : undefined;
}

function branchAlias({ instruction, rs1, rs2, imm }: Decoded, pc: number): string | undefined {
  const to = target(pc, imm);
  if (rs2 === ZERO && instruction.name !== "bge") return `${instruction.name}z ${x(rs1)},${to}`;
  if (instruction.name === "bge" && rs1 === ZERO) return `blez ${x(rs2)},${to}`;
  if (instruction.name === "bge" && rs2 === ZERO) return `bgez ${x(rs1)},${to}`;
  if (instruction.name === "blt" && rs1 === ZERO) return `bgtz ${x(rs2)},${to}`;
  return undefined;
}

/** Reads without writing of the named CSRs, and swaps of the FP ones. */
function csrAlias({ instruction, rd, rs1, imm }: Decoded): string | undefined {
  const csr = CSR_NAMES.get(imm);
  if (csr === undefined) return undefined;
  const floats = imm < 4;
  const short = csr === "fcsr" ? "csr" : csr === "frm" ? "rm" : "flags";
  if (instruction.name === "csrrs" && rs1 === ZERO) return `${floats ? `fr${short}` : `rd${csr}`} ${x(rd)}`;
  if (instruction.name === "csrrw" && floats) return `fs${short} ${rd === ZERO ? "" : `${x(rd)},`}${x(rs1)}`;
  if (instruction.name === "csrrwi" && floats && csr !== "fcsr") return `fs${short}i ${x(rd)},${rs1}`;
  if (rd !== ZERO) return undefined;
  return `csr${instruction.name[4]}${instruction.name.endsWith("i") ? `i ${csr},${rs1}` : ` ${csr},${x(rs1)}`}`;
}

function signAlias({ instruction, rd, rs1, rs2 }: Decoded): string | undefined {
  if (rs1 !== rs2) return undefined;
  const [name, precision] = instruction.name.split(".");
  const short = { fsgnj: "fmv", fsgnjn: "fneg", fsgnjx: "fabs" }[name];
  return short === undefined ? undefined : `${short}.${precision} ${F_NAMES[rd]},${F_NAMES[rs1]}`;
}

function fence(word: number): string {
  const set = (bits: number): string =>
    bits === 0 ? "unknown" : [..."iorw"].filter((_letter, i) => (bits & (8 >> i)) !== 0).join("");
  if (word === 0x8330000f) return "fence.tso";
  const [before, after] = [(word >>> 24) & 15, (word >>> 20) & 15];
  return before === 15 && after === 15 ? "fence" : `fence ${set(before)},${set(after)}`;
}

/**
 * The text of the instruction in the low 16 or all 32 bits of `word`, at `pc` (which targets are relative to).
 * @example disassemble(0x00008067, 0) // "ret"
 */
export function disassemble(word: number, pc: number): string {
  const d = decode(word);
  const length = (word & 3) === 3 ? 4 : 2;
  if (d === undefined) return length === 2 ? `.2byte ${hex(word & 0xffff)}` : `.4byte ${hex(word)}`;
  const full = length === 4 ? word >>> 0 : expandCompressed(word & 0xffff);
  if (d.instruction.name === "fence") return fence(full);
  const short = alias(d, pc);
  if (short !== undefined) return short;
  const ordering = d.instruction.operands.endsWith("(rs1)") && (full & 127) === 0x2f ? (full >>> 25) & 3 : 0;
  const name = d.instruction.name + ["", ".rl", ".aq", ".aqrl"][ordering];
  const text = d.instruction.operands.replaceAll(" ", "").replace(/,?[a-z]+[0-9]*/g, (part) => {
    const comma = part.startsWith(",");
    const written = operand(comma ? part.slice(1) : part, d, full, pc);
    return written === undefined ? "" : (comma ? "," : "") + written;
  });
  return text === "" ? name : `${name} ${text}`;
}
