// WebAssembly's tail calls: whether the engine that runs this has them.
import { ModuleBuilder } from "./assembler.ts";

export function hasTailCalls(): boolean {
  const builder = new ModuleBuilder(1);
  const signature = { parameters: [], results: [] };
  builder.importTable("functions");
  builder.function(signature, undefined, (code) => code.i32(0).returnCallIndirect(builder.type(signature)));
  return WebAssembly.validate(builder.finish());
}
