// A compiled region as text: each guest instruction, and below it the WebAssembly that it became. For --dump-region.
import { disassembleWasm } from "../../wasm/disassemble.ts";
import { disassemble } from "../isa/disassemble.ts";
import type { RegionEmitter } from "./emit.ts";

/** The text, ending with a newline; `pc` is marked. */
export function describeRegion(emitter: RegionEmitter, pc: number): string {
  const { marks, blocks } = emitter;
  const root = emitter.rootPc.toString(16);
  const out = [`region ${root}: ${marks.length} instructions, ${blocks.length} bytes of WebAssembly in its blocks`];
  let depth = 0;
  const show = (start: number, end: number): void => {
    const part = disassembleWasm(blocks, start, end, depth);
    depth = part.depth;
    out.push(...part.lines.map((line) => `        ${line}`));
  };
  show(0, marks[0]?.at ?? blocks.length);
  marks.forEach(({ at, line }, i) => {
    const mark = line.pc === pc ? "=>" : "  ";
    out.push(`${mark} ${line.pc.toString(16)}  ${disassemble(line.d.word, line.pc)}`);
    show(at, marks[i + 1]?.at ?? blocks.length);
  });
  return out.join("\n") + "\n";
}
