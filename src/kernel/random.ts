// The system's randomness: from the host, or with a seed from a generator that gives the same numbers every time. For getrandom, AT_RANDOM,
// /dev/urandom and address space layout.
import type { HostPorts } from "./ports.ts";

export interface Random {
  /** Fills `bytes`. */
  fill(bytes: Uint8Array): void;
  /** A whole number from 0 to `below` - 1; `below` up to 2^53. */
  below(below: number): number;
}

/** Randomness of the host. */
export class HostRandom implements Random {
  readonly #ports: HostPorts;
  constructor(ports: HostPorts) {
    this.#ports = ports;
  }
  fill(bytes: Uint8Array): void {
    this.#ports.random(bytes);
  }
  below(below: number): number {
    const bytes = new Uint8Array(8);
    this.#ports.random(bytes);
    const view = new DataView(bytes.buffer);
    return (view.getUint32(0, true) * 2 ** 21 + (view.getUint32(4, true) >>> 11)) % below;
  }
}

/** xoshiro128**, seeded through splitmix32: statistically good, the same on every host. Not for secrets. */
export class SeededRandom implements Random {
  readonly #s = new Uint32Array(4);

  constructor(seed: number) {
    let state = seed >>> 0;
    let high = Math.floor(seed / 2 ** 32) >>> 0;
    for (let i = 0; i < 4; i++) {
      state = (state + 0x9e3779b9 + high) >>> 0;
      high = 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#s[i] = z ^ (z >>> 16);
    }
  }
  #next(): number {
    const s = this.#s;
    const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
    const result = Math.imul(rotl(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotl(s[3]!, 11);
    return result;
  }
  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i += 4) {
      const word = this.#next();
      for (let j = 0; j < 4 && i + j < bytes.length; j++) bytes[i + j] = word >>> (8 * j);
    }
  }
  below(below: number): number {
    return (this.#next() * 2 ** 21 + (this.#next() >>> 11)) % below;
  }
}
