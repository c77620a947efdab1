// Standard streams that are made of values: input that is all there, output that goes to a function. For the library and for tests.
import type { HostInput, HostOutput } from "../kernel/ports.ts";

/** Input that is all there from the start. */
export class BytesInput implements HostInput {
  onReady: (() => void) | null = null;
  readonly terminal = null;
  #rest: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#rest = bytes;
  }
  get available(): number {
    return Math.max(1, this.#rest.length);
  }
  read(length: number): Uint8Array | "eof" {
    if (this.#rest.length === 0) return "eof";
    const bytes = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }
}

/** Another input, with somebody who hears what is taken from it. */
export class TappedInput implements HostInput {
  readonly #input: HostInput;
  readonly #tap: (bytes: Uint8Array) => void;
  constructor(input: HostInput, tap: (bytes: Uint8Array) => void) {
    this.#input = input;
    this.#tap = tap;
  }
  get onReady(): (() => void) | null {
    return this.#input.onReady;
  }
  set onReady(ready: (() => void) | null) {
    this.#input.onReady = ready;
  }
  get available(): number {
    return this.#input.available;
  }
  get terminal(): HostInput["terminal"] {
    return this.#input.terminal;
  }
  read(length: number): Uint8Array | "eof" | undefined {
    const bytes = this.#input.read(length);
    if (bytes instanceof Uint8Array) this.#tap(bytes.slice());
    return bytes;
  }
}

/** Output that goes to a function; it may keep the bytes. */
export class FunctionOutput implements HostOutput {
  readonly terminal = null;
  readonly #take: (bytes: Uint8Array) => void;
  constructor(take: (bytes: Uint8Array) => void) {
    this.#take = take;
  }
  write(bytes: Uint8Array): number {
    this.#take(bytes.slice());
    return 0;
  }
}

/** Collects output. */
export class Capture {
  readonly #pieces: Uint8Array[] = [];
  readonly take = (bytes: Uint8Array): void => void this.#pieces.push(bytes);
  /** A place in the output, for `since`. */
  mark(): number {
    return this.#pieces.length;
  }
  /** All bytes that came after `mark`. */
  since(mark: number): Uint8Array {
    const pieces = this.#pieces.slice(mark);
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }
}
