// Yama (security/yama), the part of Debian's kernel that can forbid tracing: /proc/sys/kernel/yama/ptrace_scope, and PR_SET_PTRACER, by which a program
// names who may trace it all the same. Asked by ptrace.ts for attaching and trace.ts for PTRACE_TRACEME.
import { EINVAL, EPERM } from "../base/errno.ts";
import { CAP_SYS_PTRACE } from "./creds.ts";
import type { Process } from "./process.ts";
import type { Task } from "./task.ts";

/** Anybody; a descendant, or somebody that the program has named; somebody with CAP_SYS_PTRACE; nobody. */
export const SCOPE_DISABLED = 0;
export const SCOPE_RELATIONAL = 1;
export const SCOPE_CAPABILITY = 2;
export const SCOPE_NO_ATTACH = 3;

const PTRACER_ANY = -1;
/** Key of Process.attachments: the process that may trace it, or "any". */
const EXCEPTION = "yama-ptracer";

/** prctl(PR_SET_PTRACER): 0 takes it back, -1 is anybody. 0 or -EINVAL. */
export function setPtracer(task: Task, pid: number): number {
  const { process } = task;
  if (pid === 0) {
    process.attachments?.delete(EXCEPTION);
    return 0;
  }
  const tracer = pid === PTRACER_ANY ? "any" : task.kernel.task(pid)?.process;
  if (tracer === undefined) return -EINVAL;
  process.attach(EXCEPTION, tracer);
  return 0;
}

function isDescendant(process: Process, of: Process): boolean {
  for (let p: Process | null = process; p !== null; p = p.parent) if (p === of) return true;
  return false;
}

/** Whether the program has named `tracer` or an ancestor of it. */
function isNamed(target: Process, tracer: Process): boolean {
  const named = target.attachments?.get(EXCEPTION) as Process | "any" | undefined;
  return named === "any" || (named !== undefined && isDescendant(tracer, named));
}

/** yama_ptrace_access_check: 0 or -EPERM. */
export function yamaMayAttach(task: Task, target: Task): number {
  const scope = task.kernel.ptraceScope;
  if (scope === SCOPE_DISABLED) return 0;
  if (scope === SCOPE_NO_ATTACH) return -EPERM;
  if (task.capable(CAP_SYS_PTRACE)) return 0;
  if (scope === SCOPE_CAPABILITY) return -EPERM;
  const { process } = target;
  return isDescendant(process, task.process) || isNamed(process, task.process) ? 0 : -EPERM;
}

/** yama_ptrace_traceme: 0 or -EPERM. */
export function yamaMayTraceMe(tracer: Task): number {
  const scope = tracer.kernel.ptraceScope;
  if (scope < SCOPE_CAPABILITY) return 0;
  return scope === SCOPE_CAPABILITY && tracer.capable(CAP_SYS_PTRACE) ? 0 : -EPERM;
}
