// Writes WebAssembly modules as bytes: functions, imports, exports, structured control flow with labels instead of nesting depths.
// Knows nothing of RISC-V. The machine's engines generate their code with it.
// Long because of one table, WebAssembly's own list of operations.

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64;
const FUNCREF = 0x70;

/** One-byte opcodes without immediates, loads and stores, by the specification's names in camel case. */
export const op = {
  unreachable: 0x00,
  else: 0x05,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  i32Load: 0x28,
  i64Load: 0x29,
  f32Load: 0x2a,
  f64Load: 0x2b,
  i32Load8S: 0x2c,
  i32Load8U: 0x2d,
  i32Load16S: 0x2e,
  i32Load16U: 0x2f,
  i64Load8S: 0x30,
  i64Load8U: 0x31,
  i64Load16S: 0x32,
  i64Load16U: 0x33,
  i64Load32S: 0x34,
  i64Load32U: 0x35,
  i32Store: 0x36,
  i64Store: 0x37,
  f32Store: 0x38,
  f64Store: 0x39,
  i32Store8: 0x3a,
  i32Store16: 0x3b,
  i64Store8: 0x3c,
  i64Store16: 0x3d,
  i64Store32: 0x3e,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtS: 0x4a,
  i32GtU: 0x4b,
  i32LeS: 0x4c,
  i32LeU: 0x4d,
  i32GeS: 0x4e,
  i32GeU: 0x4f,
  i64Eqz: 0x50,
  i64Eq: 0x51,
  i64Ne: 0x52,
  i64LtS: 0x53,
  i64LtU: 0x54,
  i64GtS: 0x55,
  i64GtU: 0x56,
  i64LeS: 0x57,
  i64LeU: 0x58,
  i64GeS: 0x59,
  i64GeU: 0x5a,
  f32Eq: 0x5b,
  f32Ne: 0x5c,
  f32Lt: 0x5d,
  f32Gt: 0x5e,
  f32Le: 0x5f,
  f32Ge: 0x60,
  f64Eq: 0x61,
  f64Ne: 0x62,
  f64Lt: 0x63,
  f64Gt: 0x64,
  f64Le: 0x65,
  f64Ge: 0x66,
  i32Clz: 0x67,
  i32Ctz: 0x68,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32DivS: 0x6d,
  i32DivU: 0x6e,
  i32RemS: 0x6f,
  i32RemU: 0x70,
  i32And: 0x71,
  i32Or: 0x72,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrS: 0x75,
  i32ShrU: 0x76,
  i64Clz: 0x79,
  i64Ctz: 0x7a,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  i64DivS: 0x7f,
  i64DivU: 0x80,
  i64RemS: 0x81,
  i64RemU: 0x82,
  i64And: 0x83,
  i64Or: 0x84,
  i64Xor: 0x85,
  i64Shl: 0x86,
  i64ShrS: 0x87,
  i64ShrU: 0x88,
  i64Rotl: 0x89,
  f32Abs: 0x8b,
  f32Neg: 0x8c,
  f32Add: 0x92,
  f32Sub: 0x93,
  f32Mul: 0x94,
  f32Div: 0x95,
  f32Sqrt: 0x91,
  f64Abs: 0x99,
  f64Neg: 0x9a,
  f64Trunc: 0x9d,
  f64Nearest: 0x9e,
  f64Sqrt: 0x9f,
  f64Add: 0xa0,
  f64Sub: 0xa1,
  f64Mul: 0xa2,
  f64Div: 0xa3,
  i32WrapI64: 0xa7,
  i64ExtendI32S: 0xac,
  i64ExtendI32U: 0xad,
  i64TruncF64S: 0xb0,
  i64TruncF64U: 0xb1,
  f32ConvertI32S: 0xb2,
  f32ConvertI32U: 0xb3,
  f32ConvertI64S: 0xb4,
  f32ConvertI64U: 0xb5,
  f32DemoteF64: 0xb6,
  f64ConvertI32S: 0xb7,
  f64ConvertI32U: 0xb8,
  f64ConvertI64S: 0xb9,
  f64ConvertI64U: 0xba,
  f64PromoteF32: 0xbb,
  i32ReinterpretF32: 0xbc,
  i64ReinterpretF64: 0xbd,
  f32ReinterpretI32: 0xbe,
  f64ReinterpretI64: 0xbf,
  i32Extend8S: 0xc0,
  i32Extend16S: 0xc1,
  i64Extend8S: 0xc2,
  i64Extend16S: 0xc3,
  i64Extend32S: 0xc4,
} as const;

/** A place to branch to: the nesting depth at which it was opened. */
export type Label = number & { readonly label: unique symbol };

/** Bytes that grow at the end. */
class Bytes {
  private data: Uint8Array<ArrayBuffer>;
  length = 0;

  /** V8 keeps up to 64 bytes in its own heap; more costs an allocation outside, and the garbage collector hears of it. */
  constructor(capacity = 64) {
    this.data = new Uint8Array(capacity);
  }

  private reserve(count: number): void {
    if (this.length + count <= this.data.length) return;
    const larger = new Uint8Array(Math.max(2 * this.data.length, this.length + count));
    larger.set(this.data);
    this.data = larger;
  }

  byte(b: number): void {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length++] = b;
  }

  append(bytes: Uint8Array | readonly number[]): void {
    this.reserve(bytes.length);
    this.data.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** LEB128 of an integer from 0 to 2^32 - 1. */
  unsigned(n: number): void {
    while (n >= 0x80) {
      this.byte((n & 0x7f) | 0x80);
      n >>>= 7;
    }
    this.byte(n);
  }

  /** Signed LEB128 of an integer within 2^53. */
  signed(n: number): void {
    if (n === (n | 0)) {
      this.signed32(n);
      return;
    }
    while (n < -64 || n > 63) {
      const low = n % 128;
      this.byte((low < 0 ? low + 128 : low) | 0x80);
      n = Math.floor(n / 128);
    }
    this.byte(n & 0x7f);
  }

  private signed32(n: number): void {
    while (n < -64 || n > 63) {
      this.byte((n & 0x7f) | 0x80);
      n >>= 7;
    }
    this.byte(n & 0x7f);
  }

  signedBig(n: bigint): void {
    while (n < -64n || n > 63n) {
      this.byte(Number(n & 0x7fn) | 0x80);
      n >>= 7n;
    }
    this.byte(Number(n & 0x7fn));
  }

  name(name: string): void {
    const bytes = new TextEncoder().encode(name);
    this.unsigned(bytes.length);
    this.append(bytes);
  }

  view(): Uint8Array<ArrayBuffer> {
    return this.data.subarray(0, this.length);
  }
}

/** Most functions fit. */
const FUNCTION_CAPACITY = 4096;

/** What `write` writes, as bytes. */
function bytesOf(write: (out: Bytes) => unknown): Uint8Array {
  const out = new Bytes();
  write(out);
  return out.view();
}

/** A part of a function that was taken out, to be put back. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly seldom: readonly number[];
}

/** The body of one function. Methods append instructions and return `this` for chaining. */
export class Code {
  private readonly bytes = new Bytes(FUNCTION_CAPACITY);
  private readonly locals: ValueType[] = [];
  private readonly parameterCount: number;
  private depth = 0;
  private readonly later: { at: number; depth: number; target: number }[] = [];
  /** Where branches are that are seldom taken. */
  private seldom: number[] = [];

  constructor(parameters: readonly ValueType[]) {
    this.parameterCount = parameters.length;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.bytes.length;
  }

  /** A new local variable, 0 at entry. */
  local(type: ValueType): number {
    this.locals.push(type);
    return this.parameterCount + this.locals.length - 1;
  }

  /** Appends instructions by their one-byte opcodes. (Not a rest parameter: that would be an array for each call.) */
  op(first: number, second?: number, third?: number, fourth?: number, fifth?: number): this {
    const { bytes } = this;
    bytes.byte(first);
    if (second === undefined) return this;
    bytes.byte(second);
    if (third === undefined) return this;
    bytes.byte(third);
    if (fourth === undefined) return this;
    bytes.byte(fourth);
    if (fifth !== undefined) bytes.byte(fifth);
    return this;
  }

  get(local: number): this {
    this.bytes.byte(0x20);
    this.bytes.unsigned(local);
    return this;
  }

  set(local: number): this {
    this.bytes.byte(0x21);
    this.bytes.unsigned(local);
    return this;
  }

  tee(local: number): this {
    this.bytes.byte(0x22);
    this.bytes.unsigned(local);
    return this;
  }

  /** A constant; any integer whose low 32 bits are meant. */
  i32(n: number): this {
    this.bytes.byte(0x41);
    this.bytes.signed(n | 0);
    return this;
  }

  /** A constant: a bigint (taken modulo 2^64), or an integer within 2^53. */
  i64(n: bigint | number): this {
    this.bytes.byte(0x42);
    if (typeof n === "number") this.bytes.signed(n);
    else this.bytes.signedBig(BigInt.asIntN(64, n));
    return this;
  }

  f64(n: number): this {
    this.bytes.byte(0x44);
    this.bytes.append(new Uint8Array(new Float64Array([n]).buffer));
    return this;
  }

  /** A load or store with a constant byte offset; alignment is never promised. */
  memory(opcode: number, offset = 0): this {
    this.bytes.byte(opcode);
    this.bytes.byte(0);
    this.bytes.unsigned(offset);
    return this;
  }

  call(functionIndex: number): this {
    this.bytes.byte(0x10);
    this.bytes.unsigned(functionIndex);
    return this;
  }

  /** call_indirect through table 0. */
  callIndirect(typeIndex: number): this {
    this.bytes.byte(0x11);
    this.bytes.unsigned(typeIndex);
    this.bytes.byte(0);
    return this;
  }

  /** return_call_indirect through table 0. */
  returnCallIndirect(typeIndex: number): this {
    this.bytes.byte(0x13);
    this.bytes.unsigned(typeIndex);
    this.bytes.byte(0);
    return this;
  }

  /** Saturating truncation (0xfc prefix): i64.trunc_sat_f64_s is 6, _u 7. */
  saturating(sub: number): this {
    this.bytes.byte(0xfc);
    this.bytes.byte(sub);
    return this;
  }

  /** A vector instruction (0xfd prefix), without its immediates. */
  vector(sub: number): this {
    this.bytes.byte(0xfd);
    this.bytes.unsigned(sub);
    return this;
  }

  private open(opcode: number, result: ValueType | undefined): Label {
    this.bytes.byte(opcode);
    this.bytes.byte(result ?? 0x40);
    return this.depth++ as Label;
  }

  /** Opens a block; a branch to its label goes to its end. */
  block(result?: ValueType): Label {
    return this.open(0x02, result);
  }

  /** Opens a loop; a branch to its label goes to its start. */
  loop(): Label {
    return this.open(0x03, undefined);
  }

  /** Opens a block that runs if the i32 on the stack is not 0. */
  if(result?: ValueType): Label {
    return this.open(0x04, result);
  }

  /** A hint: the br_if or if that comes next seldom sees anything but 0. For engines that know the custom section for it. */
  seldomNext(): this {
    this.seldom.push(this.bytes.length);
    return this;
  }

  else(): this {
    return this.op(op.else);
  }

  /** Closes the innermost block, loop or if. */
  end(): this {
    this.depth--;
    return this.op(0x0b);
  }

  private pushDepth(label: Label): void {
    this.bytes.unsigned(this.depth - 1 - label);
  }

  br(label: Label): this {
    this.bytes.byte(0x0c);
    this.pushDepth(label);
    return this;
  }

  brIf(label: Label): this {
    this.bytes.byte(0x0d);
    this.pushDepth(label);
    return this;
  }

  brTable(labels: readonly Label[], otherwise: Label): this {
    this.bytes.byte(0x0e);
    this.bytes.unsigned(labels.length);
    for (const label of labels) this.pushDepth(label);
    this.pushDepth(otherwise);
    return this;
  }

  /** br (or br_if) to a block around what is written now, which will be opened later: see takeOut. At most 2^14 blocks away. */
  brLater(kind: "br" | "brIf", target: number): void {
    this.bytes.byte(kind === "br" ? 0x0c : 0x0d);
    this.later.push({ at: this.bytes.length, depth: this.depth, target });
    this.bytes.append([0x80, 0x00]);
  }

  /** Takes out what was written so far, its later branches bent: `depthOf(target)` blocks lie between it and the target's. */
  takeOut(depthOf: (target: number) => number): Piece {
    const out = this.bytes.view().slice();
    const { seldom } = this;
    for (const { at, depth, target } of this.later) {
      const distance = depth + depthOf(target);
      out[at] = (distance & 0x7f) | 0x80;
      out[at + 1] = distance >>> 7;
    }
    this.later.length = 0;
    this.bytes.length = 0;
    this.seldom = [];
    return { bytes: out, seldom };
  }

  /** Appends what takeOut gave. */
  putBack({ bytes, seldom }: Piece): this {
    for (const at of seldom) this.seldom.push(at + this.bytes.length);
    this.bytes.append(bytes);
    return this;
  }

  /** The body as the code section holds it: size, locals, instructions, end; and seldomNext's places, from the locals on. */
  finish(): { body: Uint8Array; seldom: readonly number[] } {
    if (this.depth !== 0) throw new Error(`${this.depth} unclosed blocks`);
    const locals = bytesOf((out) => {
      const isFirst = (i: number): boolean => i === 0 || this.locals[i - 1] !== this.locals[i];
      out.unsigned(this.locals.filter((_type, i) => isFirst(i)).length);
      for (let i = 0; i < this.locals.length;) {
        let end = i + 1;
        while (end < this.locals.length && !isFirst(end)) end++;
        out.unsigned(end - i);
        out.byte(this.locals[i]);
        i = end;
      }
    });
    const length = locals.length + this.bytes.length + 1;
    const out = new Bytes(length + 5);
    out.unsigned(length);
    out.append(locals);
    out.append(this.bytes.view());
    out.byte(0x0b);
    return { body: out.view(), seldom: this.seldom.map((at) => at + locals.length) };
  }
}

export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** One module with an imported memory `e.memory`. Import all functions before adding own ones: imports take the first indices. */
export class ModuleBuilder {
  private readonly types: string[] = [];
  private readonly typeBytes: Uint8Array[] = [];
  private readonly imports: Uint8Array[] = [];
  private importedFunctions = 0;
  private readonly functions: { type: number; name: string | undefined; code: Code }[] = [];
  private tableImport: string | undefined;
  private readonly elements: Uint8Array[] = [];
  private readonly memoryPages: number;

  /** `memoryPages`: the size in 64 KiB pages of the memory that will be given; it never grows. */
  constructor(memoryPages: number) {
    this.memoryPages = memoryPages;
  }

  /** The index of a signature, e.g. for callIndirect. */
  type(signature: Signature): number {
    const bytes = bytesOf((out) => {
      out.byte(0x60);
      for (const types of [signature.parameters, signature.results]) {
        out.unsigned(types.length);
        out.append(types);
      }
    });
    const key = bytes.join();
    const at = this.types.indexOf(key);
    if (at >= 0) return at;
    this.typeBytes.push(bytes);
    return this.types.push(key) - 1;
  }

  private addImport(name: string, description: (out: Bytes) => void): void {
    this.imports.push(
      bytesOf((out) => {
        out.name("e");
        out.name(name);
        description(out);
      }),
    );
  }

  importFunction(name: string, signature: Signature): number {
    if (this.functions.length > 0) throw new Error("imports come before functions");
    const type = this.type(signature);
    this.addImport(name, (out) => {
      out.byte(0x00);
      out.unsigned(type);
    });
    return this.importedFunctions++;
  }

  /** Imports table 0, of functions, as `e.<name>`. */
  importTable(name: string): void {
    this.tableImport = name;
  }

  /** Adds a function, exported if it has a name; `emit` writes its body. Returns its index. */
  function(signature: Signature, name: string | undefined, emit: (code: Code) => void): number {
    const code = new Code(signature.parameters);
    this.functions.push({ type: this.type(signature), name, code });
    const index = this.importedFunctions + this.functions.length - 1;
    emit(code);
    return index;
  }

  /** Puts a function into the imported table, at `slot`, when the module is instantiated. */
  enter(slot: number, functionIndex: number): void {
    this.elements.push(
      bytesOf((out) => {
        // Active, in table 0, from i32.const slot on.
        out.append([0x00, 0x41]);
        out.signed(slot);
        out.byte(0x0b);
        out.unsigned(1);
        out.unsigned(functionIndex);
      }),
    );
  }

  /** The custom section of branch hints: each an offset in a function's body, a size, and 0 for a branch that is seldom taken. */
  private hints(out: Bytes, finished: readonly { seldom: readonly number[] }[]): void {
    out.name("metadata.code.branch_hint");
    out.unsigned(finished.length);
    finished.forEach(({ seldom }, i) => {
      out.unsigned(this.importedFunctions + i);
      out.unsigned(seldom.length);
      for (const at of seldom) {
        out.unsigned(at);
        out.byte(1);
        out.byte(0);
      }
    });
  }

  finish(): Uint8Array<ArrayBuffer> {
    const finished = this.functions.map((f) => f.code.finish());
    const bodies = finished.map(({ body }) => body);
    const hints = bytesOf((section) => this.hints(section, finished));
    const out = new Bytes(bodies.reduce((sum, body) => sum + body.length, 1024 + hints.length));
    out.append([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, items: readonly Uint8Array[]): void => {
      const count = bytesOf((head) => id !== 0 && head.unsigned(items.length));
      out.byte(id);
      out.unsigned(items.reduce((sum, item) => sum + item.length, count.length));
      out.append(count);
      for (const item of items) out.append(item);
    };
    this.addImport("memory", (memory) => {
      memory.append([0x02, 0x01]);
      memory.unsigned(this.memoryPages);
      memory.unsigned(this.memoryPages);
    });
    if (this.tableImport !== undefined) {
      this.addImport(this.tableImport, (table) => table.append([0x01, FUNCREF, 0x00, 0x00]));
    }
    section(1, this.typeBytes);
    section(2, this.imports);
    section(
      3,
      this.functions.map((f) => bytesOf((item) => item.unsigned(f.type))),
    );
    const exported = (f: (typeof this.functions)[number], i: number): Uint8Array[] =>
      f.name === undefined
        ? []
        : [
            bytesOf((item) => {
              item.name(f.name!);
              item.byte(0x00);
              item.unsigned(this.importedFunctions + i);
            }),
          ];
    section(7, this.functions.flatMap(exported));
    if (this.elements.length > 0) section(9, this.elements);
    if (finished.some(({ seldom }) => seldom.length > 0)) section(0, [hints]);
    section(10, bodies);
    return out.view();
  }
}
