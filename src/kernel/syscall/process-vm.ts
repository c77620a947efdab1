// process_vm_readv(2) and process_vm_writev(2): memory of another process through its own page tables, windows on regions included
// (mm/process_vm_access.c).
import { EFAULT, EINVAL, ESRCH } from "../../base/errno.ts";
import { accessRemote } from "../../mm/remote-access.ts";
import { ptraceMayAccess } from "../ptrace.ts";
import type { Task } from "../task.ts";
import type { Args, SyscallEntry } from "./table.ts";
import { gather, readVector, scatter, totalLength } from "./user-vector.ts";

/** The most that is copied at once. */
const CHUNK = 1 << 20;

function transfer(task: Task, args: Args, options: { write: boolean }): number {
  if (args.u(5) !== 0) return -EINVAL;
  const local = readVector(task.mm, args.ptr(1), args.u(2));
  if (typeof local === "number") return local;
  const remote = readVector(task.mm, args.ptr(3), args.u(4));
  if (typeof remote === "number") return remote;
  const total = Math.min(totalLength(local), totalLength(remote));
  if (total === 0) return 0;
  const target = task.kernel.task(args.i32(0));
  if (target === undefined) return -ESRCH;
  const denied = ptraceMayAccess(task, target, { creds: "real", attach: true });
  if (denied !== 0) return denied;
  const mm = target.mmOrNull;
  if (mm === null) return -ESRCH;
  let done = 0;
  for (const { address, length } of remote) {
    for (let at = 0; at < length && done < total;) {
      const count = Math.min(CHUNK, length - at, total - done);
      const access = { write: options.write, force: false };
      const bytes = options.write ? gather(task.mm, local, done, count) : new Uint8Array(count);
      const reached = accessRemote(mm, address + at, bytes, access);
      const moved = options.write ? reached : scatter(task.mm, local, done, bytes.subarray(0, reached));
      done += moved;
      at += moved;
      if (moved < count) return done > 0 ? done : -EFAULT;
    }
  }
  return done;
}

export const processVmCalls: readonly SyscallEntry[] = [
  {
    nr: 270,
    name: "process_vm_readv",
    handler: (task, args) => transfer(task, args, { write: false }),
    args: "pid ptr ulong ptr ulong ulong",
  },
  {
    nr: 271,
    name: "process_vm_writev",
    handler: (task, args) => transfer(task, args, { write: true }),
    args: "pid ptr ulong ptr ulong ulong",
  },
];
