// Node as a host: clock, randomness, the three standard streams (synchronous and byte-exact), terminal mode and size, signals.
// Used by src/index.ts and the command; the kernel sees only HostPorts. Host directories are in node-fs.ts.
import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { fstatSync, readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import type { ReadStream } from "node:tty";
import { EIO, EPIPE } from "../base/errno.ts";
import type { HostInput, HostOutput, HostPorts, HostTime } from "../kernel/ports.ts";
import type { Host } from "./host.ts";
import { BytesInput, FunctionOutput, TappedInput } from "./streams.ts";

export interface NodeHostOptions {
  /** "inherit": this process's own; else bytes that are all there from the start. Default: none. */
  stdin?: "inherit" | Uint8Array | undefined;
  /** Called with each piece that the guest takes. */
  onStdin?: ((bytes: Uint8Array) => void) | undefined;
  /** "inherit": this process's own; else called with each piece. */
  stdout: "inherit" | ((bytes: Uint8Array) => void);
  stderr: "inherit" | ((bytes: Uint8Array) => void);
  /** The kernel's own messages; default: lines on stderr. */
  log?: ((line: string) => void) | undefined;
}

/** Signals that reach the guest instead of ending Node. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
/** Bytes of standard input that are read ahead of the guest. */
const READ_AHEAD = 65536;
/** setTimeout's limit. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

type Size = { columns: number; rows: number } | null;

const sizeOf = (stream: { isTTY?: boolean; columns?: number; rows?: number }): Size =>
  stream.isTTY ? { columns: stream.columns ?? 80, rows: stream.rows ?? 24 } : null;

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "";

/** What ends a line that the host itself prints: the terminal is the guest's while a program runs. */
export const endOfLine = (): string => (process.stdin.isTTY && (process.stdin as ReadStream).isRaw ? "\r\n" : "\n");

/** A file descriptor of this process. Written synchronously, so that order and bytes are the guest's, whatever the descriptor is. */
class DescriptorOutput implements HostOutput {
  readonly #fd: number;
  readonly #stream: NodeJS.WriteStream;
  constructor(fd: number, stream: NodeJS.WriteStream) {
    this.#fd = fd;
    this.#stream = stream;
  }
  get terminal(): Size {
    return sizeOf(this.#stream);
  }
  write(bytes: Uint8Array): number {
    for (let at = 0; at < bytes.length;) {
      try {
        at += writeSync(this.#fd, bytes, at);
      } catch (error) {
        const code = errorCode(error);
        if (code === "EPIPE") return -EPIPE;
        if (code !== "EAGAIN") return -EIO;
        // A full pipe that somebody has made non-blocking: wait a millisecond for its reader.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
    return 0;
  }
}

/** Standard input that is a file (or /dev/null): read when the guest reads, and not a byte more. */
class FileInput implements HostInput {
  onReady: (() => void) | null = null;
  readonly terminal = null;
  get available(): number {
    return 1;
  }
  read(length: number): Uint8Array | "eof" {
    const bytes = new Uint8Array(length);
    try {
      const count = readSync(0, bytes, 0, length, null);
      return count === 0 ? "eof" : bytes.subarray(0, count);
    } catch {
      return "eof";
    }
  }
}

/** Standard input that is a terminal, pipe or socket: taken from Node's stream, from the first time that the guest asks. */
class StreamInput implements HostInput {
  onReady: (() => void) | null = null;
  readonly #chunks: Uint8Array[] = [];
  #queued = 0;
  #state: "unread" | "open" | "ended" = "unread";
  readonly #arrived: () => void;

  /** `arrived` is called after onReady. */
  constructor(arrived: () => void) {
    this.#arrived = arrived;
  }
  get terminal(): Size {
    return process.stdin.isTTY ? (sizeOf(process.stdout) ?? { columns: 80, rows: 24 }) : null;
  }
  get available(): number {
    this.start();
    return this.#state === "ended" ? Math.max(1, this.#queued) : this.#queued;
  }
  read(length: number): Uint8Array | "eof" | undefined {
    this.start();
    const first = this.#chunks[0];
    if (first === undefined) return this.#state === "ended" ? "eof" : undefined;
    const bytes = first.subarray(0, length);
    if (bytes.length === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes.length);
    this.#queued -= bytes.length;
    if (this.#queued < READ_AHEAD && this.#state === "open") process.stdin.resume();
    return bytes;
  }
  /** Begins to take input: in raw mode if it is a terminal, for the guest's own line discipline edits, echoes and makes signals. */
  start(): void {
    if (this.#state !== "unread") return;
    this.#state = "open";
    if (process.stdin.isTTY) {
      (process.stdin as ReadStream).setRawMode(true);
      // Node's raw mode still has the terminal make "\r\n" of "\n"; the guest's does that. Without stty there are two "\r".
      spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
    }
    process.stdin.on("data", this.#take).on("end", this.#end).on("error", this.#end);
    process.stdin.resume();
  }
  stop(): void {
    if (this.#state === "unread") return;
    process.stdin.off("data", this.#take).off("end", this.#end).off("error", this.#end);
    process.stdin.pause();
    if (process.stdin.isTTY) (process.stdin as ReadStream).setRawMode(false);
    else process.stdin.unref();
    if (this.#state === "open") this.#state = "unread";
  }
  readonly #take = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued >= READ_AHEAD) process.stdin.pause();
    this.#tell();
  };
  readonly #end = (): void => {
    this.#state = "ended";
    this.#tell();
  };
  #tell(): void {
    this.onReady?.();
    this.#arrived();
  }
}

/** Node as it is, or with streams of one's own. */
export class NodeHost implements Host {
  readonly ports: HostPorts;
  onSignal: ((signo: number) => void) | null = null;
  readonly #input: HostInput;
  readonly #forwards: boolean;
  #wake: (() => void) | null = null;

  constructor(options: NodeHostOptions) {
    const { stdin, stdout, stderr } = options;
    this.#forwards = stdin === "inherit";
    this.#input =
      stdin === "inherit" ? inheritedInput(() => this.#wake?.()) : new BytesInput(stdin ?? new Uint8Array(0));
    const errors = stderr === "inherit" ? new DescriptorOutput(2, process.stderr) : new FunctionOutput(stderr);
    this.ports = {
      monotonic: () => performance.now() * 1e6,
      realtime,
      random: (bytes) => void randomFillSync(bytes),
      stdin: options.onStdin === undefined ? this.#input : new TappedInput(this.#input, options.onStdin),
      stdout: stdout === "inherit" ? new DescriptorOutput(1, process.stdout) : new FunctionOutput(stdout),
      stderr: errors,
      onResize: null,
      log: options.log ?? ((line) => void errors.write(Buffer.from(line + endOfLine()))),
    };
  }

  begin(): void {
    if (!this.#forwards) return;
    for (const name of FORWARDED) process.on(name, this.#forward);
    process.stdout.on("resize", this.#resize);
    if (this.#input instanceof StreamInput && this.#input.terminal) this.#input.start();
  }
  end(): void {
    for (const name of FORWARDED) process.off(name, this.#forward);
    process.stdout.off("resize", this.#resize);
    if (this.#input instanceof StreamInput) this.#input.stop();
  }

  async breathe(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async idle(ns: number): Promise<"waited" | "never"> {
    if (ns === Infinity && !this.#forwards) return "never";
    // Timers are good to a millisecond; what is less is passed by breathing.
    if (ns < 1e6) {
      await this.breathe();
      return "waited";
    }
    await new Promise<void>((resolve) => {
      const timeout = setTimeout(resolve, Math.min(LONGEST_TIMEOUT_MS, Math.floor(ns / 1e6)));
      this.#wake = () => {
        clearTimeout(timeout);
        resolve();
      };
    });
    this.#wake = null;
    return "waited";
  }

  readonly #forward = (name: NodeJS.Signals): void => {
    this.onSignal?.(constants.signals[name]);
    this.#wake?.();
  };
  readonly #resize = (): void => {
    this.ports.onResize?.();
    this.#wake?.();
  };
}

function inheritedInput(arrived: () => void): HostInput {
  try {
    const stat = fstatSync(0);
    return stat.isFile() || (stat.isCharacterDevice() && !process.stdin.isTTY)
      ? new FileInput()
      : new StreamInput(arrived);
  } catch {
    return new BytesInput(new Uint8Array(0)); // standard input is closed
  }
}

/** Time since the epoch, to a microsecond or so. */
function realtime(): HostTime {
  const ms = performance.timeOrigin + performance.now();
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.floor((ms - sec * 1000) * 1e6) };
}
