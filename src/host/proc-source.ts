// What the audit reads: a /proc of some host. Implemented for a real or captured tree by node-proc.ts, for a machine of ours by audit/guest-proc.ts.

/** A process's /proc/PID/pagemap, open. */
export interface PagemapReader {
  /**
   * Reads the entries of `count` pages from page number `first` on into `into` (two words an entry, low word first). Returns how many were
   * there, or a negative errno. Addresses that nothing maps read as zeros.
   */
  read(first: number, count: number, into: Uint32Array): number;
  close(): void;
}

/** Errors are negative errnos; processes may vanish between any two calls (-ENOENT, -ESRCH). */
export interface ProcSource {
  /** What it is, for messages: a path. */
  readonly name: string;
  /** The process ids there are now, ascending; or a negative errno. */
  pids(): number[] | number;
  /** A file below the root of the tree ("meminfo", "12/maps"), as bytes in latin1: one character a byte. */
  readText(path: string): string | number;
  openPagemap(pid: number): PagemapReader | number;
  /** A file of the same host outside of /proc (/sys/kernel/mm/…); -ENOENT where it cannot be had. */
  readHostFile(path: string): string | number;
}
