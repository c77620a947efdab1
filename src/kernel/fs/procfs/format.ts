// How the files of /proc write numbers. Pure functions on numbers and strings.

import { USER_HZ } from "../../clock.ts";

/** Lower-case hexadecimal without prefix, padded with zeros to `width`. */
export const hex = (value: number | bigint, width = 1): string => value.toString(16).padStart(width, "0");

/** "Name:    NUMBER kB" lines of smaps: the colon's padding to 16 columns, the number right-aligned in 8. */
export const kbLine = (name: string, kb: number): string => `${`${name}:`.padEnd(16)}${String(kb).padStart(8)} kB\n`;

/** "Name:\t NUMBER kB" lines of status. */
export const statusKb = (name: string, kb: number): string => `${name}:\t${String(kb).padStart(8)} kB\n`;

/** Nanoseconds as clock ticks of user space (nsec_to_clock_t). */
export const ticks = (ns: number): number => Math.floor((ns * USER_HZ) / 1e9);

/** Nanoseconds as "SECONDS.HUNDREDTHS". */
export function hundredths(ns: number): string {
  const n = Math.floor(ns / 1e7);
  return `${Math.floor(n / 100)}.${String(n % 100).padStart(2, "0")}`;
}

/** A set of numbers below `size` as the kernel prints bitmaps: hexadecimal words of 32 bits, joined by commas ("%*pb"). */
export function bitmap(bits: bigint, size: number): string {
  const words: string[] = [];
  for (let at = 0; at < size; at += 32) {
    const digits = Math.ceil(Math.min(32, size - at) / 4);
    words.push(hex((bits >> BigInt(at)) & 0xffffffffn, digits));
  }
  return words.reverse().join(",");
}

/** The same set as ranges: "0-3,5" ("%*pbl"). */
export function bitmapList(bits: bigint, size: number): string {
  const ranges: string[] = [];
  const has = (i: number): boolean => i < size && ((bits >> BigInt(i)) & 1n) !== 0n;
  for (let i = 0; i < size; i++) {
    if (!has(i)) continue;
    const first = i;
    while (has(i + 1)) i++;
    ranges.push(first === i ? `${i}` : `${first}-${i}`);
  }
  return ranges.join(",");
}

/** A file name in a line of text: characters of `special` become backslash and three octal digits (mangle_path). */
export function mangle(name: string, special: string): string {
  let out = "";
  for (const c of name) out += special.includes(c) ? `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}` : c;
  return out;
}

/** A whole number written by user space ("0x" and "0" prefixes as strtoul base 0), or undefined if it is none. */
export function parseNumber(text: string): number | undefined {
  const match = /^\s*([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)\s*$/i.exec(text);
  if (!match) return undefined;
  const digits = match[2];
  const octal = /^0[0-7]+$/.test(digits);
  const value = octal ? parseInt(digits, 8) : Number(digits);
  return match[1] === "-" ? -value : value;
}
