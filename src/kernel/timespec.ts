// struct timespec and its relatives in user memory: read, checked, written. Used by every call that takes or gives a time; inside the kernel
// times are nanoseconds on CLOCK_MONOTONIC (clock.ts).
import { EINVAL } from "../base/errno.ts";
import type { Mm } from "../mm/mm.ts";
import { copyFromUser, copyToUser, putUser64 } from "../mm/usercopy.ts";
import { type Clock, NSEC_PER_SEC, splitNs, toNs } from "./clock.ts";
import type { HostTime } from "./ports.ts";

export const TIMESPEC_SIZE = 16;
export const ITIMERSPEC_SIZE = 32;

/** From here on a time is "never" (KTIME_SEC_MAX: 292 years). */
const KTIME_SEC_MAX = 9223372036;

/** `start` and `interval` of struct itimerspec or itimerval, in nanoseconds; 0 for none. */
export interface TimerSetting {
  readonly interval: HostTime;
  readonly value: HostTime;
}

/** timespec64_valid: what a caller may pass as a time. */
export const isValidTime = (time: HostTime): boolean => time.sec >= 0 && time.nsec >= 0 && time.nsec < NSEC_PER_SEC;

/** Nanoseconds of a valid time; Infinity beyond what the kernel's 64 bits hold. */
export const timeToNs = (time: HostTime): number => (time.sec >= KTIME_SEC_MAX ? Infinity : toNs(time));

/** Nanoseconds as a time, "never" as the largest one. */
export const nsToTime = (ns: number): HostTime =>
  ns === Infinity ? { sec: KTIME_SEC_MAX, nsec: 854775807 } : splitNs(ns);

const decode = (v: DataView, at: number, unit: number): HostTime => ({
  sec: Number(v.getBigInt64(at, true)),
  nsec: Number(v.getBigInt64(at + 8, true)) * unit,
});
function encode(v: DataView, at: number, time: HostTime, unit: number): void {
  v.setBigInt64(at, BigInt(time.sec), true);
  v.setBigInt64(at + 8, BigInt(Math.floor(time.nsec / unit)), true);
}

/** The timespec at `addr`, whatever it holds, or -EFAULT. */
export function readTimespec(mm: Mm, addr: number): HostTime | number {
  const bytes = copyFromUser(mm, addr, TIMESPEC_SIZE);
  return typeof bytes === "number" ? bytes : decode(new DataView(bytes.buffer, bytes.byteOffset), 0, 1);
}

/** The timespec at `addr` if it is a valid time; -EFAULT, -EINVAL. */
export function readValidTimespec(mm: Mm, addr: number): HostTime | number {
  const time = readTimespec(mm, addr);
  return typeof time === "number" || isValidTime(time) ? time : -EINVAL;
}

/** 0 or -EFAULT. */
export function writeTimespec(mm: Mm, addr: number, time: HostTime): number {
  return putUser64(mm, addr, time.sec) || putUser64(mm, addr + 8, time.nsec);
}

/** The timeval (microseconds) at `addr`, its microseconds as nanoseconds; -EFAULT. */
export function readTimeval(mm: Mm, addr: number): HostTime | number {
  const bytes = copyFromUser(mm, addr, TIMESPEC_SIZE);
  return typeof bytes === "number" ? bytes : decode(new DataView(bytes.buffer, bytes.byteOffset), 0, 1000);
}

/** 0 or -EFAULT. */
export function writeTimeval(mm: Mm, addr: number, time: HostTime): number {
  const bytes = new Uint8Array(TIMESPEC_SIZE);
  encode(new DataView(bytes.buffer), 0, time, 1000);
  return copyToUser(mm, addr, bytes);
}

/** The itimerspec at `addr` (interval, then value); -EFAULT, -EINVAL. */
export function readTimerSetting(mm: Mm, addr: number): TimerSetting | number {
  return readSetting(mm, addr, 1);
}
/** 0 or -EFAULT. */
export function writeTimerSetting(mm: Mm, addr: number, setting: TimerSetting): number {
  return writeSetting(mm, addr, setting, 1);
}
/** The same for struct itimerval (microseconds). */
export function readItimerval(mm: Mm, addr: number): TimerSetting | number {
  return readSetting(mm, addr, 1000);
}
export function writeItimerval(mm: Mm, addr: number, setting: TimerSetting): number {
  return writeSetting(mm, addr, setting, 1000);
}

function readSetting(mm: Mm, addr: number, unit: number): TimerSetting | number {
  const bytes = copyFromUser(mm, addr, ITIMERSPEC_SIZE);
  if (typeof bytes === "number") return bytes;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  const setting = { interval: decode(v, 0, unit), value: decode(v, 16, unit) };
  return isValidTime(setting.interval) && isValidTime(setting.value) ? setting : -EINVAL;
}
function writeSetting(mm: Mm, addr: number, setting: TimerSetting, unit: number): number {
  const bytes = new Uint8Array(ITIMERSPEC_SIZE);
  const v = new DataView(bytes.buffer);
  encode(v, 0, setting.interval, unit);
  encode(v, 16, setting.value, unit);
  return copyToUser(mm, addr, bytes);
}

/**
 * The deadline (ns on CLOCK_MONOTONIC) of an optional relative timeout at `addr`: undefined for a null pointer, -EFAULT or -EINVAL as a
 * negative number. A timeout of zero is now.
 */
export function readTimeout(mm: Mm, clock: Clock, addr: number): number | undefined {
  if (addr === 0) return undefined;
  const time = readValidTimespec(mm, addr);
  return typeof time === "number" ? time : clock.monotonic() + timeToNs(time);
}
