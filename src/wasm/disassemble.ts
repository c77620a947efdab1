// WebAssembly instructions as text, one a line, indented by nesting: for people who look at generated code. Knows what assembler.ts writes.
import { op } from "./assembler.ts";

const TYPES = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x40, ""],
]);

/** "i64Load32S" -> "i64.load32_s". */
function nameOf(key: string): string {
  return key
    .replace(/^([if](32|64))(.)/, (_all, type: string, _n, first: string) => `${type}.${first.toLowerCase()}`)
    .replace(/(Extend|Wrap|Convert|Trunc|Reinterpret|Promote|Demote)?([IF](?:32|64))?(?:([SU])$)?/g, (all) =>
      all.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    )
    .replace(/([a-z])([A-Z])/g, (_all, a: string, b: string) => `${a}_${b.toLowerCase()}`)
    .toLowerCase();
}

const NAMES = new Map(Object.entries(op).map(([key, code]) => [code as number, nameOf(key)]));
const F64_MIN = 0xa4;
const F64_MAX = 0xa5;
NAMES.set(F64_MIN, "f64.min").set(F64_MAX, "f64.max");
const FIRST_MEMORY = op.i32Load;
const LAST_MEMORY = op.i64Store32;

class Reader {
  private readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.bytes[this.at++];
  }

  private leb(signed: boolean): bigint {
    let [value, shift] = [0n, 0n];
    for (;;) {
      const b = this.byte();
      value |= BigInt(b & 127) << shift;
      shift += 7n;
      if ((b & 128) !== 0) continue;
      return signed ? BigInt.asIntN(Number(shift), value) : value;
    }
  }

  unsigned(): number {
    return Number(this.leb(false));
  }

  signed(): bigint {
    return this.leb(true);
  }

  double(): number {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, 8);
    this.at += 8;
    return view.getFloat64(0, true);
  }
}

function immediates(r: Reader, opcode: number): string {
  switch (opcode) {
    case 0x02:
      return `block ${TYPES.get(r.byte()) ?? "?"}`;
    case 0x03:
      return `loop ${TYPES.get(r.byte()) ?? "?"}`;
    case 0x04:
      return `if ${TYPES.get(r.byte()) ?? "?"}`;
    case 0x0b:
      return "end";
    case 0x0c:
      return `br ${r.unsigned()}`;
    case 0x0d:
      return `br_if ${r.unsigned()}`;
    case 0x0e: {
      const labels = Array.from({ length: r.unsigned() + 1 }, () => r.unsigned());
      return `br_table ${labels.join(" ")}`;
    }
    case 0x10:
      return `call ${r.unsigned()}`;
    case 0x11:
    case 0x13: {
      const type = r.unsigned();
      r.unsigned();
      return `${opcode === 0x11 ? "call_indirect" : "return_call_indirect"} (type ${type})`;
    }
    case 0x20:
    case 0x21:
    case 0x22:
      return `local.${["get", "set", "tee"][opcode - 0x20]} ${r.unsigned()}`;
    case 0x41:
      return `i32.const ${r.signed()}`;
    case 0x42:
      return `i64.const ${r.signed()}`;
    case 0x44:
      return `f64.const ${r.double()}`;
    case 0xfc:
      return `saturating ${r.unsigned()}`;
    case 0xfd:
      return vector(r);
    default:
      return plain(r, opcode);
  }
}

function vector(r: Reader): string {
  const sub = r.unsigned();
  const names: Readonly<Record<number, string>> = {
    0x13: "f32x4.splat",
    0x14: "f64x2.splat",
    0x105: "f32x4.relaxed_madd",
    0x106: "f32x4.relaxed_nmadd",
    0x107: "f64x2.relaxed_madd",
    0x108: "f64x2.relaxed_nmadd",
  };
  if (sub === 0x1f || sub === 0x21) return `${sub === 0x1f ? "f32x4" : "f64x2"}.extract_lane ${r.byte()}`;
  return names[sub] ?? `vector ${sub}`;
}

function plain(r: Reader, opcode: number): string {
  const name = NAMES.get(opcode) ?? `opcode 0x${opcode.toString(16)}`;
  if (opcode < FIRST_MEMORY || opcode > LAST_MEMORY) return name;
  r.unsigned();
  const offset = r.unsigned();
  return offset === 0 ? name : `${name} offset=${offset}`;
}

/** The instructions in bytes [start, end), which begin at nesting depth `depth`; and the depth after them. */
export function disassembleWasm(
  bytes: Uint8Array,
  start: number,
  end: number,
  depth: number,
): { lines: string[]; depth: number } {
  const reader = new Reader(bytes, start);
  const lines: string[] = [];
  while (reader.at < end) {
    const opcode = reader.byte();
    const text = immediates(reader, opcode).trimEnd();
    if (opcode === 0x0b) depth--;
    lines.push("  ".repeat(Math.max(0, depth - (opcode === op.else ? 1 : 0))) + text);
    if (opcode === 0x02 || opcode === 0x03 || opcode === 0x04) depth++;
  }
  return { lines, depth };
}
