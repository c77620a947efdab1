// What a core file is called: /proc/sys/kernel/core_pattern and core_uses_pid (fs/coredump.c: format_corename). Used by coredump.ts and procfs.
import { RLIMIT_CORE } from "./rlimit.ts";
import type { Task } from "./task.ts";

/** CORENAME_MAX_SIZE with its NUL. */
export const CORENAME_MAX = 128;

/** The settings. */
export interface CoreSettings {
  /** A name with % words. Patterns that begin with | name a program that takes the dump: they cannot be set here. */
  pattern: string;
  /** ".PID" is appended to a name without %p. */
  usesPid: boolean;
}

/** Names of programs and hosts must not lead to other directories (cn_esc_printf). */
function escape(text: string): string {
  if (text === "") return "!";
  return (text === "." ? "!" : text === ".." ? "!." : text).replaceAll("/", "!");
}

function executable(task: Task): string {
  const { exe } = task.process;
  return exe?.path ? task.kernel.vfs.pathName(exe.path) : task.comm;
}

/** By the letter after the %; what is not here stands for nothing. */
const WORDS: Readonly<Record<string, (task: Task, signo: number) => string>> = {
  "%": () => "%",
  p: (task) => `${task.tgid}`,
  P: (task) => `${task.tgid}`,
  i: (task) => `${task.tid}`,
  I: (task) => `${task.tid}`,
  u: (task) => `${task.creds.uid}`,
  g: (task) => `${task.creds.gid}`,
  d: (task) => `${task.process.dumpable}`,
  s: (_task, signo) => `${signo}`,
  t: (task) => `${task.kernel.clock.realtime().sec}`,
  h: (task) => escape(task.kernel.uts.nodename),
  e: (task) => escape(task.comm),
  f: (task) => escape(executable(task).replace(/^.*\//, "")),
  E: (task) => escape(executable(task)),
  c: (task) => {
    const limit = task.process.rlimit(RLIMIT_CORE);
    return limit === Infinity ? "18446744073709551615" : `${limit}`;
  },
  C: (task) => `${task.lastHart}`,
};

/** The name of the core file of `task`, which `signo` ends. */
export function coreName(task: Task, signo: number): string {
  const { pattern, usesPid } = task.kernel.core;
  let name = "";
  let hasPid = false;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== "%") {
      name += pattern[i];
      continue;
    }
    const letter = pattern[++i];
    if (letter === undefined) break;
    if (letter === "p") hasPid = true;
    name += WORDS[letter]?.(task, signo) ?? "";
  }
  return usesPid && !hasPid ? `${name}.${task.tgid}` : name;
}
