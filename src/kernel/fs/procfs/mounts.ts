// /proc/PID/mounts, mountinfo and mountstats: the mount table as a task sees it (fs/proc_namespace.c).

import { EINVAL } from "../../../base/errno.ts";
import type { Task } from "../../task.ts";
import { devMajor, devMinor } from "../abi.ts";
import { MNT_NODEV, MNT_NOEXEC, MNT_NOSUID, type Mount, Path } from "../inode.ts";
import { mangle } from "./format.ts";

const escape = (text: string): string => mangle(text, " \t\n\\#");

/** The mounts below the root of `task` with the paths where they are, or -EINVAL for a task that has exited. */
function visible(task: Task): { mount: Mount; at: string }[] | number {
  const fs = task.fsOrNull;
  if (fs === null) return -EINVAL;
  const { vfs } = task.kernel;
  const list: { mount: Mount; at: string }[] = [];
  for (const mount of vfs.mounts) {
    const at = vfs.pathName(new Path(mount, mount.root), fs.root);
    if (!at.startsWith("(unreachable)")) list.push({ mount, at: escape(at) });
  }
  return list;
}

function mountOptions(mount: Mount): string {
  let text = mount.readOnly ? "ro" : "rw";
  if (mount.flags & MNT_NOSUID) text += ",nosuid";
  if (mount.flags & MNT_NODEV) text += ",nodev";
  if (mount.flags & MNT_NOEXEC) text += ",noexec";
  return `${text},relatime`;
}

const fsOptions = (mount: Mount): string => (mount.fs.options === "" ? "" : `,${mount.fs.options}`);

/** /proc/PID/mounts */
export function mountsText(task: Task): string | number {
  const list = visible(task);
  if (typeof list === "number") return list;
  return list
    .map(({ mount, at }) => {
      const options = mountOptions(mount) + fsOptions(mount);
      return `${escape(mount.source)} ${at} ${mount.fs.type} ${options} 0 0\n`;
    })
    .join("");
}

/** /proc/PID/mountinfo */
export function mountInfoText(task: Task): string | number {
  const list = visible(task);
  if (typeof list === "number") return list;
  return list
    .map(({ mount, at }) => {
      const parent = mount.at?.mount.id ?? mount.id;
      const device = `${devMajor(mount.fs.dev)}:${devMinor(mount.fs.dev)}`;
      const root = escape(rootOf(mount));
      const tail = `${mount.fs.type} ${escape(mount.source)} ${mount.readOnly ? "ro" : "rw"}${fsOptions(mount)}`;
      return `${mount.id} ${parent} ${device} ${root} ${at} ${mountOptions(mount)} - ${tail}\n`;
    })
    .join("");
}

/** /proc/PID/mountstats */
export function mountStatsText(task: Task): string | number {
  const list = visible(task);
  if (typeof list === "number") return list;
  return list
    .map(({ mount, at }) => `device ${escape(mount.source)} mounted on ${at} with fstype ${mount.fs.type}\n`)
    .join("");
}

/** The path of the mount's root within its file system: "/" unless it is a bind mount. */
function rootOf(mount: Mount): string {
  const names: string[] = [];
  for (let dentry = mount.root; dentry.parent !== dentry; dentry = dentry.parent) names.push(dentry.name);
  return `/${names.reverse().join("/")}`;
}
