// For tests of whole programs (*.guest.test.ts): runs a program on a Machine and gives what came out. Not part of the package.
//
//   const skip = crossCompiler() === undefined;
//   test.skipIf(skip)("fork copies on write", async () => {
//     const { status, stdout } = await runGuest(buildGuest("guest/tests/cow.c"), { args: ["3"] });
//   });
import { Machine, type MachineOptions, type RunResult } from "../index.ts";

export * from "./build.ts";

export interface GuestOptions extends MachineOptions {
  args?: readonly string[];
}

/** Runs a program on a machine of its own: 64 MiB, everything recounted as it goes, unless told otherwise. */
export async function runGuest(program: string, options: GuestOptions = {}): Promise<RunResult> {
  const { args, ...machine } = options;
  return await new Machine({ memory: 64 * 2 ** 20, verify: true, ...machine }).run(program, args ?? []);
}
