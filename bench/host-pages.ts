// What the host alone does to a walk over 1 GiB, without any code of ours: a WebAssembly memory is filled and gone through again and again, a word a
// page. Prints every pass in which a sixteenth cost far more than usual, with its sixteenths: docs/speed.md tells what they mean.
//
//   node --import tsx bench/host-pages.ts [PASSES]
const BYTES = 2 ** 30;
const PAGES_PER_PART = BYTES / 16 / 4096;
/** Nanoseconds a page that a pass over memory in use does not reach on a quiet machine. */
const SLOW = 60;

/** One word of each page of a sixteenth: nanoseconds a page. */
function touch(words: Int32Array, part: number): number {
  const from = (part * BYTES) / 64;
  const start = performance.now();
  for (let i = from; i < from + BYTES / 64; i += 1024) words[i] = 1;
  return ((performance.now() - start) * 1e6) / PAGES_PER_PART;
}

const memory = new WebAssembly.Memory({ initial: BYTES / 65536, maximum: BYTES / 65536 });
const bytes = new Uint8Array(memory.buffer);
const words = new Int32Array(memory.buffer);
const start = performance.now();
for (let page = 0; page < BYTES; page += 4096) bytes.fill(0, page, page + 4096);
console.log(`filled: ${(((performance.now() - start) * 1000) / (BYTES / 4096)).toFixed(1)} µs a page`);

let usual = 0;
const passes = Number(process.argv[2] ?? 500);
for (let pass = 0; pass < passes; pass++) {
  const parts = Array.from({ length: 16 }, (_, part) => touch(words, part));
  if (Math.max(...parts) < SLOW) usual++;
  else console.log(`pass ${pass}: ${parts.map((ns) => ns.toFixed(0)).join(" ")} ns a page`);
}
console.log(`${usual} of ${passes} passes below ${SLOW} ns a page in each sixteenth`);
