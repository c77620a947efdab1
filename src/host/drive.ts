// The outermost loop: runs the kernel in slices and lets the host breathe between them. The only place where anything waits.
import type { Kernel } from "../kernel/kernel.ts";
import type { Host } from "./host.ts";

/** Kernel work at a stretch, in nanoseconds: how long a Ctrl-C may go unheard. */
const SLICE_NS = 20e6;

/** All processes wait, and nothing that could wake them will ever come. */
export class Deadlock extends Error {
  override readonly name = "Deadlock";
}

/** Runs `kernel` until `done`. Throws Deadlock, with who waits, if that can never be. */
export async function drive(kernel: Kernel, host: Host, done: () => boolean): Promise<void> {
  for (;;) {
    const result = kernel.scheduler.run(host.ports.monotonic() + SLICE_NS, done);
    if (result.state === "done") return;
    if (result.state === "busy") {
      await host.breathe();
      continue;
    }
    const ns = result.until - kernel.clock.monotonic();
    if ((await host.idle(Math.max(0, ns))) === "never") throw new Deadlock(describe(kernel));
  }
}

function describe(kernel: Kernel): string {
  const waiting = [...kernel.tasks.values()].filter((task) => "SDTt".includes(task.state));
  const names = waiting.slice(0, 5).map((task) => `${task.comm} (${task.tid}, ${task.state})`);
  if (waiting.length > names.length) names.push(`${waiting.length - names.length} more`);
  return `every process waits and nothing can wake them: ${names.join(", ")}`;
}
