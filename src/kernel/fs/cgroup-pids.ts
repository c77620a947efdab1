// The files of the pids controller (kernel/cgroup/pids.c).
import { EINVAL } from "../../base/errno.ts";
import { PID_MAX } from "../../base/limits.ts";
import type { PidsGroup } from "../cgroup.ts";
import { type CgroupFileType, parseInteger } from "./cgroup-files.ts";

function setMax(pids: PidsGroup, text: string): number {
  const value = text === "max" ? Infinity : parseInteger(text);
  if (value === null || value < 0 || (value !== Infinity && value > PID_MAX)) return -EINVAL;
  pids.max = value;
  return 0;
}

const common = { controller: "pids", notInRoot: true } as const;

export const PIDS_FILES: readonly CgroupFileType[] = [
  {
    ...common,
    name: "pids.max",
    read: ({ pids }) => (pids!.max === Infinity ? "max\n" : `${pids!.max}\n`),
    write: ({ pids }, text) => setMax(pids!, text),
  },
  { ...common, name: "pids.current", read: (group, { kernel }) => `${kernel.cgroups.tasksIn(group)}\n` },
  { ...common, name: "pids.peak", read: ({ pids }) => `${pids!.peak}\n` },
  { ...common, name: "pids.events", notifies: "pids.events", read: ({ pids }) => `max ${pids!.refused}\n` },
  { ...common, name: "pids.events.local", read: ({ pids }) => `max ${pids!.refusedLocal}\n` },
];
