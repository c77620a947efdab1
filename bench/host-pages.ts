// What the host alone does to a walk over 1 GiB, without any code of ours: a WebAssembly memory is filled and gone through again and again, a word a
// page. Prints every pass in which a sixteenth cost far more than usual, with its sixteenths: docs/speed.md tells what they mean.
//
//   node --import tsx bench/host-pages.ts [PASSES]
const PAGE_BYTES = 4096;
const PARTS = 16;
const PAGES = 2 ** 30 / PAGE_BYTES;
const WORDS_PER_PAGE = PAGE_BYTES / 4;
const WORDS_PER_PART = (PAGES / PARTS) * WORDS_PER_PAGE;
/** Nanoseconds a page that a pass over memory in use does not reach on a quiet machine. */
const SLOW = 60;

/** Writes one word of each page of a part: nanoseconds a page. */
function touch(words: Int32Array, part: number): number {
  const from = part * WORDS_PER_PART;
  const start = performance.now();
  for (let i = from; i < from + WORDS_PER_PART; i += WORDS_PER_PAGE) words[i] = 1;
  return ((performance.now() - start) * 1e6) / (PAGES / PARTS);
}

function main(passes: number): number {
  if (!Number.isInteger(passes) || passes < 1) {
    console.error("host-pages: the number of passes must be a whole number, 1 or more");
    return 2;
  }
  const size = (PAGES * PAGE_BYTES) / 65536;
  const { buffer } = new WebAssembly.Memory({ initial: size, maximum: size });
  const bytes = new Uint8Array(buffer);
  const start = performance.now();
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) bytes.fill(0, at, at + PAGE_BYTES);
  console.log(`filled: ${(((performance.now() - start) * 1000) / PAGES).toFixed(1)} µs a page`);

  const words = new Int32Array(buffer);
  let usual = 0;
  for (let pass = 0; pass < passes; pass++) {
    const parts = Array.from({ length: PARTS }, (_, part) => touch(words, part));
    if (Math.max(...parts) < SLOW) usual++;
    else console.log(`pass ${pass}: ${parts.map((ns) => ns.toFixed(0)).join(" ")} ns a page`);
  }
  console.log(`${usual} of ${passes} passes below ${SLOW} ns a page in each sixteenth`);
  return 0;
}

process.exitCode = main(Number(process.argv[2] ?? 500));
