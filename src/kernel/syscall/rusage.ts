// struct rusage as getrusage, wait4 and waitid write it.
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { Usage } from "../process.ts";

/** Two timevals and fourteen longs. */
export const RUSAGE_SIZE = 144;

export function encodeRusage(usage: Usage): Uint8Array {
  const bytes = new Uint8Array(RUSAGE_SIZE);
  const v = new DataView(bytes.buffer);
  const put = (at: number, n: number): void => v.setBigInt64(at, BigInt(Math.floor(n)), true);
  [usage.utime, usage.stime].forEach((ns, i) => {
    put(16 * i, ns / 1e9);
    put(16 * i + 8, (ns % 1e9) / 1000);
  });
  put(32, (usage.maxRss * PAGE_SIZE) / 1024);
  put(64, usage.minorFaults);
  put(72, usage.majorFaults);
  put(88, usage.inBlocks);
  put(96, usage.outBlocks);
  put(128, usage.voluntarySwitches);
  put(136, usage.involuntarySwitches);
  return bytes;
}
