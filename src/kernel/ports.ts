// What the kernel needs of a host: clock, randomness, the three standard streams, and host directories. Implemented by src/host/*; the kernel
// never touches Node or the DOM itself. All calls are synchronous and must not block for long.

/** Seconds and nanoseconds (0 to 999,999,999). */
export interface HostTime {
  readonly sec: number;
  readonly nsec: number;
}

/** Where guest input comes from. */
export interface HostInput {
  /** Up to `length` bytes that are there now; "eof" when there will be no more; undefined when there are none yet. */
  read(length: number): Uint8Array | "eof" | undefined;
  /** Bytes that read() would give now, 1 or more also at the end of the input; 0: nothing yet. */
  readonly available: number;
  /** Called by the host when more has come (between kernel slices); set by the kernel. */
  onReady: (() => void) | null;
  /** Set when it is a terminal: its present size. */
  readonly terminal: { columns: number; rows: number } | null;
}

/** Where guest output goes. Everything is taken at once. */
export interface HostOutput {
  /** 0, or -EPIPE if nobody reads there any more. */
  write(bytes: Uint8Array): number;
  readonly terminal: { columns: number; rows: number } | null;
}

/** Attributes of a file on the host. Times in nanoseconds split as HostTime. */
export interface HostStat {
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly ino: number;
  readonly nlink: number;
  readonly size: number;
  readonly blocks: number;
  readonly atime: HostTime;
  readonly mtime: HostTime;
  readonly ctime: HostTime;
}

/** An open host file. */
export interface HostFile {
  /** Reads at `pos` into `into`: bytes read (0 at the end) or -errno. */
  read(pos: number, into: Uint8Array): number;
  /** Writes all of `data` at `pos`: bytes written or -errno. */
  write(pos: number, data: Uint8Array): number;
  stat(): HostStat | number;
  truncate(size: number): number;
  sync(): number;
  close(): void;
}

/**
 * One host directory and what is below it. Paths are relative to it, with "/" between names, "" for the directory itself; they never
 * contain "." or ".." and no symbolic link on the way is followed: the kernel's own path walk reads links. Names and link texts are byte strings (one
 * character is one byte). Errors are -errno.
 */
export interface HostFs {
  /** What to show as the source in /proc/mounts. */
  readonly source: string;
  readonly writable: boolean;
  lstat(path: string): HostStat | number;
  readdir(path: string): { name: string; kind: HostStat["kind"]; ino: number }[] | number;
  readlink(path: string): string | number;
  open(path: string, options: { write: boolean; create?: { mode: number; exclusive: boolean } }): HostFile | number;
  mkdir(path: string, mode: number): number;
  rmdir(path: string): number;
  unlink(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  symlink(text: string, path: string): number;
  chmod(path: string, mode: number): number;
  utimes(path: string, atime: HostTime, mtime: HostTime): number;
  statfs(): { bsize: number; blocks: number; bfree: number; files: number; ffree: number } | number;
}

export interface HostPorts {
  /** Nanoseconds since some fixed point: never goes back. */
  monotonic(): number;
  /** Time since the epoch. */
  realtime(): HostTime;
  /** Fills `bytes` with random ones. */
  random(bytes: Uint8Array): void;
  readonly stdin: HostInput;
  readonly stdout: HostOutput;
  readonly stderr: HostOutput;
  /** Called by the host (between kernel slices) when its terminal has another size; set by the kernel. */
  onResize: (() => void) | null;
  /** The kernel's own messages (unimplemented calls, oom): one line without its newline. */
  log(line: string): void;
}
