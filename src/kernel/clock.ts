// The system's clocks: monotonic and real time, from the host or — with a seed — from the instructions executed. Owned by the kernel; times that
// cross to other rooms are nanoseconds on CLOCK_MONOTONIC (a double: exact for 104 days of uptime) or Timespec.
import type { HostPorts, HostTime } from "./ports.ts";

export const NSEC_PER_SEC = 1e9;
/** Ticks a second of the `time` CSR, as the device tree of QEMU's virt machine says. */
export const TIMEBASE_HZ = 10_000_000;
/** USER_HZ: clock ticks of times(2) and /proc/PID/stat. */
export const USER_HZ = 100;
/** Simulated nanoseconds for one instruction with a seed: a 1 GIPS hart. */
export const NSEC_PER_INSTRUCTION = 1;
/** The epoch of seeded runs: 2026-01-01 00:00:00 UTC. */
const SEEDED_EPOCH = 1_767_225_600;

/** Adds nanoseconds (any sign) to a time and normalizes it. */
export function addNs(time: HostTime, ns: number): HostTime {
  const sec = Math.floor(ns / NSEC_PER_SEC);
  const nsec = time.nsec + Math.round(ns - sec * NSEC_PER_SEC);
  // Beyond 2^53 the quotient may have been rounded up.
  if (nsec < 0) return { sec: time.sec + sec - 1, nsec: nsec + NSEC_PER_SEC };
  return nsec >= NSEC_PER_SEC ? { sec: time.sec + sec + 1, nsec: nsec - NSEC_PER_SEC } : { sec: time.sec + sec, nsec };
}
/** Nanoseconds as seconds and nanoseconds. */
export const splitNs = (ns: number): HostTime => addNs({ sec: 0, nsec: 0 }, ns);
/** Seconds and nanoseconds as nanoseconds (rounded above 104 days). */
export const toNs = (time: HostTime): number => time.sec * NSEC_PER_SEC + time.nsec;

export class Clock {
  /** Time passes with instructions and jumps over idle time. */
  readonly simulated: boolean;
  /** CLOCK_REALTIME at monotonic 0; changed by clock_settime. */
  #bootRealtime: HostTime;
  readonly #ports: HostPorts;
  readonly #start: number;
  readonly #instructions: () => number;
  #idle = 0;
  /** Called when CLOCK_REALTIME was set (timerfd's CANCEL_ON_SET). */
  readonly setListeners = new Set<() => void>();

  /** `instructions`: executed so far, by all harts, divided by their number; what simulated time is made of. */
  constructor(ports: HostPorts, options: { simulated: boolean; instructions: () => number }) {
    this.#ports = ports;
    this.simulated = options.simulated;
    this.#instructions = options.instructions;
    this.#start = ports.monotonic();
    this.#bootRealtime = options.simulated ? { sec: SEEDED_EPOCH, nsec: 0 } : ports.realtime();
  }

  /** Nanoseconds since boot. */
  monotonic(): number {
    if (this.simulated) return Math.floor(this.#instructions() * NSEC_PER_INSTRUCTION + this.#idle);
    return Math.floor(this.#ports.monotonic() - this.#start);
  }
  /** CLOCK_REALTIME now. */
  realtime(): HostTime {
    return addNs(this.#bootRealtime, this.monotonic());
  }
  /** CLOCK_REALTIME at boot (btime of /proc/stat). */
  get bootTime(): HostTime {
    return this.#bootRealtime;
  }
  /** Sets CLOCK_REALTIME. Timers on it keep their monotonic deadline. */
  setRealtime(time: HostTime): void {
    this.#bootRealtime = addNs(time, -this.monotonic());
    for (const listener of [...this.setListeners]) listener();
  }
  /** The monotonic deadline of an absolute time on CLOCK_REALTIME. */
  fromRealtime(time: HostTime): number {
    return (time.sec - this.#bootRealtime.sec) * NSEC_PER_SEC + (time.nsec - this.#bootRealtime.nsec);
  }
  /** The value of the `time` CSR. */
  ticks(): number {
    return Math.floor(this.monotonic() / (NSEC_PER_SEC / TIMEBASE_HZ));
  }
  /** Simulated time only: nothing can run before `deadline`, so it is `deadline` now. */
  jumpTo(deadline: number): void {
    this.#idle += Math.max(0, deadline - this.monotonic());
  }
}
