// exec's first half: finds the program — through #! scripts and PT_INTERP — and reads its headers. Errors here leave the caller as it was
// (do_execveat_common, binfmt_script, the beginning of load_elf_binary).
import { EACCES, ELOOP, ENODEV, ENOENT, ENOEXEC } from "../base/errno.ts";
import { MAP_PRIVATE, PROT_EXEC, PROT_READ } from "../mm/constants.ts";
import type { VmFile } from "../mm/vma.ts";
import type { LoadableFile } from "./exec-load.ts";
import { EHDR_SIZE, type ReadAt, readInterpreterImage, readProgram } from "./elf.ts";
import { AT_FDCWD } from "./fs/abi.ts";
import type { OpenFile } from "./fs/file.ts";
import type { Task } from "./task.ts";

/** What a format may look at first (BINPRM_BUF_SIZE). */
const HEAD_BYTES = 256;
/** Interpreters of interpreters. */
const MAX_DEPTH = 5;
const TASK_COMM_LEN = 16;

/** How the caller names the program. */
export interface ExecPath {
  readonly dirfd: number;
  readonly path: string;
  readonly follow: boolean;
  readonly empty: boolean;
}

/** A program that can be loaded. `release` when that is done. */
export interface OpenedProgram {
  /** The ELF file itself (of a script: its interpreter). */
  readonly file: OpenFile;
  readonly program: LoadableFile;
  readonly interpreter: LoadableFile | null;
  readonly argv: readonly string[];
  /** AT_EXECFN. */
  readonly filename: string;
  readonly comm: string;
  release(): void;
}

/** Reads from a file for exec; what would have to wait cannot be a program. */
const reader =
  (task: Task, file: OpenFile): ReadAt =>
  (at, length) => {
    const bytes = file.read(task, length, at);
    return typeof bytes === "number" || bytes instanceof Uint8Array ? bytes : -EACCES;
  };

/** The file as mappings hold it; a file that cannot be mapped is no program. */
function mappable(file: OpenFile): VmFile | number {
  const vmFile = file.mmap({ prot: PROT_READ | PROT_EXEC, flags: MAP_PRIVATE, offset: 0 });
  return vmFile === -ENODEV ? -ENOEXEC : vmFile;
}

/** The first HEAD_BYTES, zeros where the file is shorter. */
function readHead(read: ReadAt): Uint8Array | number {
  const bytes = read(0, HEAD_BYTES);
  if (typeof bytes === "number") return bytes;
  const head = new Uint8Array(HEAD_BYTES);
  head.set(bytes);
  return head;
}

/** bprm->filename: what the program will be told that it is. */
function filenameOf(at: ExecPath): string {
  if (at.dirfd === AT_FDCWD || at.path.startsWith("/")) return at.path;
  return at.path === "" ? `/dev/fd/${at.dirfd}` : `/dev/fd/${at.dirfd}/${at.path}`;
}

/** __set_task_comm: the last name of the path, 15 bytes. */
export const commOf = (filename: string): string =>
  filename.slice(filename.lastIndexOf("/") + 1).slice(0, TASK_COMM_LEN - 1);

/** What a file is called, or would be (a memfd). */
const nameOf = (file: OpenFile): string => file.path?.dentry.name ?? file.linkText().replace(/ \(deleted\)$/, "");

/** Opens what execve names. -errno. */
export function openProgram(task: Task, at: ExecPath, argv: readonly string[]): OpenedProgram | number {
  const { vfs } = task.kernel;
  const filename = filenameOf(at);
  const inaccessible = filename !== at.path && task.files.cloexec(at.dirfd);
  let name = filename;
  let args = argv.length > 0 ? argv : [""];
  let file = vfs.openExec(task, at.dirfd, at.path, at);
  for (let depth = 0; ; depth++) {
    if (typeof file === "number") return file;
    const head = depth > MAX_DEPTH ? -ELOOP : readHead(reader(task, file));
    if (typeof head === "number") return drop(file, head);
    if (head[0] !== 0x23 || head[1] !== 0x21) {
      // Named through a descriptor: comm is what the file is called.
      const comm = commOf(filename === at.path ? filename : nameOf(file));
      return openElf(task, file, head, { argv: args, filename, comm });
    }
    const script = parseScript(head);
    if (script === null) return drop(file, -ENOEXEC);
    // "#!" and no more: the path "" is the working directory.
    if (script.interpreter === "") return drop(file, -EACCES);
    if (inaccessible) return drop(file, -ENOENT);
    args = [script.interpreter, ...(script.argument === null ? [] : [script.argument]), name, ...args.slice(1)];
    name = script.interpreter;
    file.put();
    file = vfs.openExec(task, AT_FDCWD, name, { follow: true });
  }
}

function drop(file: OpenFile, error: number): number {
  file.put();
  return error;
}

function openElf(
  task: Task,
  file: OpenFile,
  head: Uint8Array,
  names: { argv: readonly string[]; filename: string; comm: string },
): OpenedProgram | number {
  const image = readProgram(head.subarray(0, Math.max(EHDR_SIZE, head.length)), reader(task, file));
  if (typeof image === "number") return drop(file, image);
  const vmFile = mappable(file);
  if (typeof vmFile === "number") return drop(file, vmFile);
  const program = { image, file: vmFile };
  if (image.interpreter === null) {
    return { file, program, interpreter: null, ...names, release: () => file.put() };
  }
  const opened = openInterpreter(task, image.interpreter);
  if (typeof opened === "number") return drop(file, opened);
  const release = (): void => {
    opened.file.put();
    file.put();
  };
  return { file, program, interpreter: opened.interpreter, ...names, release };
}

function openInterpreter(task: Task, path: string): { file: OpenFile; interpreter: LoadableFile } | number {
  const file = task.kernel.vfs.openExec(task, AT_FDCWD, path, { follow: true });
  if (typeof file === "number") return file;
  const image = readInterpreterImage(reader(task, file));
  if (typeof image === "number") return drop(file, image);
  const vmFile = mappable(file);
  if (typeof vmFile === "number") return drop(file, vmFile);
  return { file, interpreter: { image, file: vmFile } };
}

const NEWLINE = 10;
const isBlank = (byte: number): boolean => byte === 32 || byte === 9;
const isTerminator = (byte: number): boolean => isBlank(byte) || byte === 0;

/** The line after #!, or null if it names no interpreter (load_script). */
export function parseScript(head: Uint8Array): { interpreter: string; argument: string | null } | null {
  const last = head.length - 1;
  const skipBlanks = (from: number, end: number): number => {
    while (from < end && isBlank(head[from])) from++;
    return from;
  };
  const terminator = (from: number, end: number): number => {
    while (from < end && !isTerminator(head[from])) from++;
    return from;
  };
  const nul = head.indexOf(0);
  let end = head.indexOf(NEWLINE);
  if (end < 0 || (nul >= 0 && nul < end)) {
    // No whole line: the path at least must be there up to its end.
    const name = skipBlanks(2, last);
    if (name === last || terminator(name, last) === last) return null;
    end = last;
  }
  while (end > 2 && isBlank(head[end - 1])) end--;
  const name = skipBlanks(2, end);
  if (name === end) return null;
  const text = (from: number, to: number): string => {
    const stop = head.subarray(from, to).indexOf(0);
    return String.fromCharCode(...head.subarray(from, stop < 0 ? to : from + stop));
  };
  const separator = terminator(name, end);
  if (separator === end || head[separator] === 0) return { interpreter: text(name, separator), argument: null };
  const argument = skipBlanks(separator, end);
  return { interpreter: text(name, separator), argument: argument === end ? null : text(argument, end) };
}
