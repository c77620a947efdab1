// WebAssembly's relaxed multiply-add: whether the engine that runs this has it and rounds once, as a fused multiply-add must.
// Older releases of V8 need --experimental-wasm-relaxed-simd (host/v8.ts).
import { type Code, F32, F64, ModuleBuilder } from "./assembler.ts";

type Float = typeof F32 | typeof F64;

/** Pushes a * b + c of three f64 (or f32) locals, rounded once if isRelaxedMultiplyAddFused(). */
export function relaxedMultiplyAdd(code: Code, type: Float, a: number, b: number, c: number): void {
  scalar(code, type, type === F64 ? 0x107 : 0x105, [a, b, c]);
}

/** Pushes c - a * b likewise. */
export function relaxedNegatedMultiplyAdd(code: Code, type: Float, a: number, b: number, c: number): void {
  scalar(code, type, type === F64 ? 0x108 : 0x106, [a, b, c]);
}

/** Pushes what a vector instruction makes of the first lanes. */
function scalar(code: Code, type: Float, instruction: number, locals: readonly number[]): void {
  const [splat, extract] = type === F64 ? [0x14, 0x21] : [0x13, 0x1f];
  for (const local of locals) code.get(local).vector(splat);
  code.vector(instruction).vector(extract).op(0);
}

/** [a, b, c, a * b + c]: each sum is another one if the product is rounded before. */
const DOUBLES: readonly (readonly [number, number, number, number])[] = [
  [1 + 2 ** -52, 1 + 2 ** -52, -1 - 2 ** -51, 2 ** -104],
  [1 + 2 ** -52, 1 - 2 ** -52, -1, -(2 ** -104)],
  [2 ** 1000, 2 ** 100, -Infinity, -Infinity],
];
const SINGLES: readonly (readonly [number, number, number, number])[] = [
  [1 + 2 ** -23, 1 + 2 ** -23, -1 - 2 ** -22, 2 ** -46],
  [1 + 2 ** -23, 1 - 2 ** -23, -1, -(2 ** -46)],
];

type Ternary = (a: number, b: number, c: number) => number;

/** Tries it. */
export function isRelaxedMultiplyAddFused(): boolean {
  const builder = new ModuleBuilder(1);
  for (const [name, type, emit] of [
    ["double", F64, relaxedMultiplyAdd],
    ["single", F32, relaxedMultiplyAdd],
    ["doubleNegated", F64, relaxedNegatedMultiplyAdd],
    ["singleNegated", F32, relaxedNegatedMultiplyAdd],
  ] as const) {
    builder.function({ parameters: [type, type, type], results: [type] }, name, (code) => emit(code, type, 0, 1, 2));
  }
  const bytes = builder.finish();
  if (!WebAssembly.validate(bytes)) return false;
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { memory } });
  const { double, single, doubleNegated, singleNegated } = exports as Readonly<Record<string, Ternary>>;
  return (
    DOUBLES.every(([a, b, c, sum]) => double(a, b, c) === sum && doubleNegated(-a, b, c) === sum) &&
    SINGLES.every(([a, b, c, sum]) => single(a, b, c) === sum && singleNegated(-a, b, c) === sum)
  );
}
