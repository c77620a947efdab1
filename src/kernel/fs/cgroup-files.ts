// The files that every control group has (kernel/cgroup/cgroup.c: cgroup_base_files), and how the numbers written to them are read. cgroupfs.ts puts them into
// directories; those of the controllers are in cgroup-memory.ts and cgroup-pids.ts.
import { EACCES, EINVAL, EOPNOTSUPP, ERANGE, ESRCH } from "../../base/errno.ts";
import { PAGE_SIZE } from "../../base/numbers.ts";
import type { GroupCounter } from "../../mm/memcg-counters.ts";
import { CONTROLLERS, type Cgroup, type Controller, type NotifyingFile, descendants } from "../cgroup.ts";
import type { Process } from "../process.ts";
import type { Task } from "../task.ts";

/** A kind of file in the directories of groups. */
export interface CgroupFileType {
  readonly name: string;
  /** Without it the file is in every group. */
  readonly controller?: Controller;
  /** Not in the root group. */
  readonly notInRoot?: true;
  /** The whole text. */
  readonly read?: (group: Cgroup, reader: Task) => string;
  /** Takes what one write(2) wrote, without space around it; 0 or -errno. */
  readonly write?: (group: Cgroup, text: string, writer: Task) => number;
  /** A high-water mark of this counter; each open file can start one of its own by writing to it. */
  readonly peakOf?: (group: Cgroup) => GroupCounter;
  /** It tells its pollers of changes. */
  readonly notifies?: NotifyingFile;
}

/** kstrtoint with base 0; null: no number (-EINVAL). */
export function parseInteger(text: string): number | null {
  const found = /^([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (found === null) return null;
  const [, sign, digits] = found;
  const value = /^0[0-7]/.test(digits) ? parseInt(digits, 8) : Number(digits);
  return sign === "-" ? -value : value;
}

/** memparse: a number of bytes, which may be missing, and K, M, G, T, P or E; nothing may follow. Whole pages, or -EINVAL. */
export function parsePages(text: string): number {
  const found = /^(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*|)([kKmMgGtTpPeE]?)$/.exec(text);
  if (found === null) return -EINVAL;
  const [, digits, suffix] = found;
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  const bytes = value << BigInt(suffix === "" ? 0 : 10 * ("kmgtpe".indexOf(suffix.toLowerCase()) + 1));
  return Number(BigInt.asUintN(64, bytes) / BigInt(PAGE_SIZE));
}

/** "max" or a number of at least 0; Infinity for "max". -EINVAL, -ERANGE. */
export function parseMaximum(text: string): number {
  if (text === "max") return Infinity;
  const value = parseInteger(text);
  if (value === null) return -EINVAL;
  return value < 0 || value > 0x7fffffff ? -ERANGE : value;
}

const maximumText = (value: number): string => (value === Infinity ? "max\n" : `${value}\n`);
function listText(controllers: ReadonlySet<Controller>): string {
  const names = CONTROLLERS.filter((controller) => controllers.has(controller));
  return names.length === 0 ? "" : `${names.join(" ")}\n`;
}

/** No group is threaded. */
const writeType = (text: string): number => (text === "threaded" ? -EOPNOTSUPP : -EINVAL);

function writeKill(group: Cgroup, text: string, writer: Task): number {
  const value = parseInteger(text);
  if (value === null) return -EINVAL;
  if (value !== 1) return -ERANGE;
  writer.kernel.cgroups.kill(group);
  return 0;
}

function writeControl(group: Cgroup, text: string, writer: Task): number {
  const enable = new Set<Controller>();
  const disable = new Set<Controller>();
  for (const token of text.split(" ")) {
    if (token === "") continue;
    const controller = CONTROLLERS.find((name) => name === token.slice(1));
    if (controller === undefined || !/^[+-]/.test(token)) return -EINVAL;
    const isOn = token.startsWith("+");
    // The last word on a controller counts.
    (isOn ? enable : disable).add(controller);
    (isOn ? disable : enable).delete(controller);
  }
  return writer.kernel.cgroups.control(group, enable, disable);
}

/** The process that a number written to cgroup.procs or cgroup.threads means; -EINVAL, -ESRCH. */
function findProcess(text: string, writer: Task): Process | number {
  const number = parseInteger(text);
  if (number === null || number < 0) return -EINVAL;
  if (number === 0) return writer.process;
  return writer.kernel.task(number)?.process ?? -ESRCH;
}

/** cgroup.procs: the whole process moves; the writer must be allowed to write the file of the nearest group above both. */
function writeProcs(group: Cgroup, text: string, writer: Task, mayWrite: (common: Cgroup) => boolean): number {
  const process = findProcess(text, writer);
  if (typeof process === "number") return process;
  const above = new Set(process.cgroup.ancestry);
  for (const common of group.ancestry) {
    if (!above.has(common)) continue;
    if (!mayWrite(common)) return -EACCES;
    break;
  }
  const { cgroups } = writer.kernel;
  // What is exiting stays where it is.
  return process.state === "alive" ? cgroups.attach(process, group) : cgroups.mayHold(group);
}

/** cgroup.threads: single threads go nowhere but where their process is. */
function writeThreads(group: Cgroup, text: string, writer: Task): number {
  const process = findProcess(text, writer);
  if (typeof process === "number") return process;
  return process.cgroup === group ? writer.kernel.cgroups.mayHold(group) : -EOPNOTSUPP;
}

function statText(group: Cgroup, { kernel }: Task): string {
  const groups = [...group.subtree()];
  const dying = kernel.cgroups.dyingBelow(group);
  const having = (controller: Controller): number =>
    groups.filter((at) => at.parent === null || at.parent.subtreeControl.has(controller)).length;
  const lines = [`nr_descendants ${descendants(group)}`];
  for (const controller of CONTROLLERS) lines.push(`nr_subsys_${controller} ${having(controller)}`);
  lines.push(`nr_dying_descendants ${dying}`);
  for (const controller of CONTROLLERS)
    lines.push(`nr_dying_subsys_${controller} ${controller === "memory" ? dying : 0}`);
  return lines.map((line) => `${line}\n`).join("");
}

const procsText = (group: Cgroup): string => [...group.processes].map(({ pid }) => `${pid}\n`).join("");
const threadsText = (group: Cgroup): string =>
  [...group.processes].flatMap(({ threads }) => [...threads.keys()].map((tid) => `${tid}\n`)).join("");

/** `mayWriteProcs`: whether a task may write the cgroup.procs of a group. */
export function baseFiles(mayWriteProcs: (group: Cgroup, task: Task) => boolean): readonly CgroupFileType[] {
  return [
    {
      name: "cgroup.type",
      notInRoot: true,
      read: (group) => (group.isThreadRoot ? "domain threaded\n" : group.isValid ? "domain\n" : "domain invalid\n"),
      write: (_group, text) => writeType(text),
    },
    {
      name: "cgroup.procs",
      read: procsText,
      write: (group, text, writer) => writeProcs(group, text, writer, (common) => mayWriteProcs(common, writer)),
    },
    { name: "cgroup.threads", read: threadsText, write: writeThreads },
    { name: "cgroup.controllers", read: ({ controllers }) => listText(controllers) },
    { name: "cgroup.subtree_control", read: ({ subtreeControl }) => listText(subtreeControl), write: writeControl },
    {
      name: "cgroup.events",
      notInRoot: true,
      notifies: "cgroup.events",
      read: ({ live }) => `populated ${live > 0 ? 1 : 0}\nfrozen 0\n`,
    },
    {
      name: "cgroup.max.descendants",
      read: ({ maxDescendants }) => maximumText(maxDescendants),
      write: (group, text) => {
        const value = parseMaximum(text);
        if (value < 0) return value;
        group.maxDescendants = value;
        return 0;
      },
    },
    {
      name: "cgroup.max.depth",
      read: ({ maxDepth }) => maximumText(maxDepth),
      write: (group, text) => {
        const value = parseMaximum(text);
        if (value < 0) return value;
        group.maxDepth = value;
        return 0;
      },
    },
    { name: "cgroup.stat", read: statText },
    { name: "cgroup.kill", notInRoot: true, write: writeKill },
  ];
}
