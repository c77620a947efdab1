// For tests of the file system: a kernel without programs, and its pid 1 as the task that makes the calls. Not part of the package.
import { SimulatedHost } from "../host/simulated.ts";
import { boot } from "../kernel/boot.ts";
import type { FileSetupOptions } from "../kernel/fs/setup.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Task } from "../kernel/task.ts";
import { createHardware } from "../machine/hardware.ts";

/** A small machine with a file tree. */
export function bootFiles(files: FileSetupOptions = {}): { kernel: Kernel; task: Task } {
  const ignore = (): void => {};
  const host = new SimulatedHost({ seed: 1, onStdout: ignore, onStderr: ignore, log: ignore });
  const kernel = boot({
    hardware: createHardware({ memoryBytes: 16 * 2 ** 20, harts: 1, engine: "interpreter" }),
    ports: host.ports,
    kernel: { share: true, seed: 1 },
    files,
  });
  return { kernel, task: kernel.init.leader };
}
