// The library as it ships, for whatever measures time: one bundle. V8 spends half as long on optimizing it as on the sources, whose modules reach each
// other's names through cells. `npm run bench` builds it.
import type * as Library from "../src/index.ts";

const bundle = new URL("../dist/index.js", import.meta.url).href;

export const { Machine } = (await import(bundle)) as typeof Library;
