// /proc/PID/wchan: the name of the function in which a task sleeps. Ours have other names; what is shown is where Linux sleeps in the same call.

import type { Task } from "../../task.ts";

/** By system-call number; only calls that can wait. */
const SLEEPS: ReadonlyMap<number, string> = new Map([
  [22, "ep_poll"], // epoll_pwait
  [441, "ep_poll"], // epoll_pwait2
  [72, "poll_schedule_timeout.constprop.0"], // pselect6
  [73, "poll_schedule_timeout.constprop.0"], // ppoll
  [95, "do_wait"], // waitid
  [260, "do_wait"], // wait4
  [98, "futex_wait_queue"], // futex
  [449, "futex_wait_queue"], // futex_waitv
  [101, "hrtimer_nanosleep"], // nanosleep
  [115, "hrtimer_nanosleep"], // clock_nanosleep
  [133, "sigsuspend"], // rt_sigsuspend
  [137, "do_sigtimedwait"], // rt_sigtimedwait
  [220, "kernel_clone"], // clone (vfork)
]);

/** Without newline, as Linux writes it; "0" for a task that does not sleep, or sleeps in a call whose place differs by file. */
export function wchan(task: Task): string {
  if (task.state === "T") return "do_signal_stop";
  if (task.state === "t") return "ptrace_stop";
  if (task.call === null || task.exited) return "0";
  return SLEEPS.get(task.callNr) ?? "0";
}
