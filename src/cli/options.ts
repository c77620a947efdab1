// What options' values mean, with an error that says what was wrong and what is right. Used by the commands for commander's parsers.
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError } from "commander";
import { MAX_GUEST_RAM, MAX_HARTS, MAX_TLB_NEIGHBOURS, MIN_GUEST_RAM } from "../base/limits.ts";
import type { MountOption } from "../index.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** "512M", "1.5G", "67108864": bytes; K, M, G and T count by 1024, a B or iB behind them changes nothing. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?$/i.exec(text);
  const bytes = match === null ? NaN : Number(match[1]) * UNITS[match[2].toUpperCase()];
  if (!Number.isSafeInteger(bytes))
    throw new InvalidArgumentError("A size is a number with K, M or G behind it, as 512M.");
  return bytes;
}

/** A size of guest RAM. */
export function parseMemory(text: string): number {
  const bytes = parseSize(text);
  if (bytes < MIN_GUEST_RAM)
    throw new InvalidArgumentError(`Too little: at least ${MIN_GUEST_RAM / 2 ** 20}M are needed.`);
  if (bytes > MAX_GUEST_RAM)
    throw new InvalidArgumentError(`Too much: at most ${MAX_GUEST_RAM / 2 ** 30}G are possible.`);
  return bytes;
}

function parseUpTo(text: string, most: number): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > most) throw new InvalidArgumentError(`1 to ${most} are possible.`);
  return count;
}

/** A number of harts. */
export const parseHarts = (text: string): number => parseUpTo(text, MAX_HARTS);

/** Pages that a TLB miss may enter. */
export const parseNeighbours = (text: string): number => parseUpTo(text, MAX_TLB_NEIGHBOURS);

/** A number of things, 0 or more. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) throw new InvalidArgumentError("A whole number is needed.");
  return count;
}

/** A seed: a whole number from 0 to 2^53 - 1. */
export function parseSeed(text: string): number {
  const seed = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(seed))
    throw new InvalidArgumentError("A seed is a whole number from 0 to 9007199254740991.");
  return seed;
}

/** HOST:GUEST, HOST:GUEST:ro or HOST:GUEST:rw, added to those before. */
export function parseMount(text: string, before: readonly MountOption[] = []): MountOption[] {
  const match = /^(.+?):(\/[^:]*)(?::(ro|rw))?$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError("A mount is HOST:GUEST, read-only, or HOST:GUEST:rw; GUEST begins with a slash.");
  const [, host, guest, mode] = match;
  const stat = statSync(host, { throwIfNoEntry: false });
  if (stat === undefined) throw new InvalidArgumentError(`There is no directory ${host}.`);
  if (!stat.isDirectory()) throw new InvalidArgumentError(`${host} is not a directory.`);
  return [...before, { host: resolve(host), guest, writable: mode === "rw" }];
}

/** NAME=VALUE, or NAME for what it is outside; added to those before. */
export function parseEnv(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at === 0 || text === "") throw new InvalidArgumentError("An environment variable is NAME=VALUE.");
  if (at > 0) return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
  const value = process.env[text];
  return value === undefined ? { ...before } : { ...before, [text]: value };
}
