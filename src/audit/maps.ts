// /proc/PID/maps as text to VMAs, and what each one maps. Tolerant: lines that cannot be read are counted, not fatal.

/** What a VMA maps, by where its pages come from. */
export type ObjectKind =
  | "private"
  | "shared anonymous"
  | "sysv"
  | "memfd"
  | "hugetlb"
  | "mshare"
  | "file"
  | "private file"
  | "device"
  | "kernel";

export interface MapsVma {
  readonly start: number;
  readonly end: number;
  readonly shared: boolean;
  /** Byte offset in the object. */
  readonly offset: number;
  /** "MAJOR:MINOR" in hexadecimal, as maps shows it. */
  readonly device: string;
  readonly inode: string;
  /** As maps shows it, escapes undone; "" if there is none. */
  readonly name: string;
}

/** Addresses of user space end here with five levels of tables; [vsyscall] lies beyond and has no tables of the process. */
const USER_END = 2 ** 56;

const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-])([w-])([x-])([ps]) ([0-9a-f]{1,16}) ([0-9a-f]+:[0-9a-f]+) ([0-9]+)(?: +(.*))?$/;

/** Octal escapes as seq_path writes them: \012 is a newline. */
const unescape = (name: string): string =>
  name.includes("\\")
    ? name.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
    : name;

/** The VMAs of a maps file in address order, and how many lines made no sense. */
export function parseMaps(text: string): { vmas: MapsVma[]; bad: number } {
  const vmas: MapsVma[] = [];
  let bad = 0;
  let last = 0;
  for (let at = 0; at < text.length;) {
    let end = text.indexOf("\n", at);
    // A last line without its newline was cut off.
    if (end < 0) {
      bad++;
      break;
    }
    const match = LINE.exec(text.slice(at, end));
    at = ++end;
    const start = match === null ? NaN : parseInt(match[1], 16);
    const stop = match === null ? NaN : parseInt(match[2], 16);
    if (match === null || !(start < stop) || start % 4096 !== 0 || stop % 4096 !== 0) {
      bad++;
      continue;
    }
    if (start >= USER_END) continue;
    if (start < last || stop > USER_END) {
      bad++;
      continue;
    }
    last = stop;
    vmas.push({
      start,
      end: stop,
      shared: match[6] === "s",
      offset: parseInt(match[7], 16),
      device: match[8],
      inode: match[9],
      name: unescape(match[10] ?? ""),
    });
  }
  return { vmas, bad };
}

/** What kind of object a VMA maps. */
export function kindOf(vma: MapsVma): ObjectKind {
  const { name, shared, inode } = vma;
  if (inode === "0") return name === "[vdso]" || name.startsWith("[vvar") ? "kernel" : "private";
  if (name.startsWith("/anon_hugepage")) return "hugetlb";
  if (name.startsWith("/mshare:") || name.startsWith("/sys/fs/mshare/")) return "mshare";
  if (!shared) return "private file";
  if (name.startsWith("/SYSV")) return "sysv";
  if (name.startsWith("/memfd:")) return "memfd";
  if (name === "/dev/zero (deleted)") return "shared anonymous";
  return name.startsWith("/dev/") && !name.startsWith("/dev/shm/") && !name.startsWith("/dev/hugepages")
    ? "device"
    : "file";
}

/**
 * The identity of what a VMA maps: equal for two VMAs, of any process, that show the same object. SysV segments use their id as inode
 * number on the device that anonymous shared memory uses as well, so the kind is part of it. Private anonymous memory is one object.
 */
export function objectKey(vma: MapsVma, kind: ObjectKind): string {
  if (kind === "private" || kind === "kernel") return kind;
  const family = kind === "sysv" || kind === "private file" ? kind : "object";
  return `${family} ${vma.device} ${vma.inode}`;
}
