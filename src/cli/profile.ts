// --profile FILE and --dump-region PC of `mshare run`: watches a machine's harts and its JIT.
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { PAGE_SIZE } from "../base/numbers.ts";
import type { Hardware } from "../machine/hardware.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { vmaName } from "../kernel/fs/procfs/maps.ts";
import { Profile, type SamplePlace, Symbols } from "../report/profile.ts";
import { InvalidArgumentError } from "commander";
import { MachineError, readHostProgram } from "../host/program.ts";

/** Instructions from one sample to the next: some thousand samples a second of guest code. A prime, so as not to beat with loops. */
const INTERVAL = 100_003;

/** The program's bytes for its symbols; one that is in the guest's tree only has none. */
function programBytes(path: string): { name: string; data: Uint8Array } {
  try {
    return readHostProgram(path);
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    return { name: basename(path), data: new Uint8Array(0) };
  }
}

/** Samples what runs on `kernel`, from now on. `path`: the program, as it was named to run. */
export function startProfile(kernel: Kernel, path: string): { write(file: string): void } {
  const program = programBytes(path);
  const profile = new Profile(INTERVAL);
  const symbols = new Symbols(program.data);
  const placeOf = (pc: number): SamplePlace | undefined => {
    const task = kernel.scheduler.current;
    const mm = task?.mm;
    if (!task || !mm) return undefined;
    const vma = mm.vmas.find(pc);
    if (vma === null || vma.start > pc) return { process: task.comm, file: "?", function: pc.toString(16) };
    const file = vmaName(mm, vma) || "[anon]";
    const known = basename(file) === program.name;
    const name = known ? symbols.at(pc - vma.start + vma.pgoff * PAGE_SIZE) : undefined;
    return { process: task.comm, file, function: name ?? `0x${pc.toString(16)}` };
  };
  kernel.hardware.sample(INTERVAL, (hart) => {
    const place = placeOf(hart.registers.pc);
    if (place) profile.add(place);
  });
  return {
    write: (file) => {
      kernel.hardware.sample(INTERVAL, undefined);
      try {
        writeFileSync(file, profile.speedscope(program.name));
      } catch (error) {
        throw new MachineError(`${file} cannot be written: ${(error as Error).message}`, 1);
      }
    },
  };
}

/** Prints each region that is compiled from now on and holds the instruction at `pc`; `end` says so if there was none. */
export function startDump(hardware: Hardware, pc: number, print: (text: string) => void): { end(): void } {
  let regions = 0;
  const watch = hardware.dumpRegion(pc, (text) => {
    regions++;
    print(text.trimEnd());
  });
  return {
    end: () => {
      if (regions > 0) return;
      const nearest =
        watch?.nearest === undefined ? "none was" : `the nearest that was is at 0x${watch.nearest.toString(16)}`;
      print(`mshare: 0x${pc.toString(16)} is in no code that was compiled, which is what has run often; ${nearest}`);
    },
  };
}

/** A pc as --dump-region takes it: hexadecimal, with 0x or without, with zeros before it as nm writes them or without. */
export function parsePc(text: string): number {
  const pc = /^(0x)?0*[0-9a-f]{1,12}$/i.test(text) ? Number.parseInt(text.replace(/^0x/i, ""), 16) : NaN;
  if (Number.isNaN(pc)) throw new InvalidArgumentError("An address is hexadecimal, as 0x10650.");
  return pc;
}
