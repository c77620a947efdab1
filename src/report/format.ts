// Numbers as people read them: sizes, counts, ratios. Used by every report, the audit and the command.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes with three digits at least where there are that many: "512 KiB", "1.25 GiB", "878 GiB". Negative sizes keep their sign. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let n = Math.abs(bytes);
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit++;
  }
  const digits = unit === 0 || Number.isInteger(n) || n >= 100 ? 0 : n >= 10 ? 1 : 2;
  return `${bytes < 0 ? "-" : ""}${n.toFixed(digits)} ${UNITS[unit]}`;
}

/** A whole number with thousands separated: "1,048,576". */
export const formatCount = (n: number): string => Math.round(n).toLocaleString("en-US");

/** A ratio as a factor: "64x", "1.25x", "0.03x"; "-" where there is nothing to compare with. */
export function formatRatio(numerator: number, denominator: number): string {
  if (denominator === 0) return numerator === 0 ? "1x" : "-";
  const ratio = numerator / denominator;
  return `${ratio >= 100 ? formatCount(ratio) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2)}x`;
}

/** A part of a whole, 0 to 1, as a percentage that is never rounded up: "75 %", "99.9998 %". */
export const formatShare = (share: number): string => `${Math.floor(share * 1e6) / 1e4} %`;
