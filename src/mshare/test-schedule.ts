// Schedule exploration: small programs of several tasks on several harts, run under chosen interleavings and compared with test-schedule-model.ts after each step, memory
// recounted. A program is text, an interleaving is a list of task numbers: what fails prints both, and `replay` runs them again. Not for production code.
//
//   setup   "0 attach rw"        process, call: done in order, before anything is interleaved
//   tasks   "0@1 store w0.3; protect 2+2 r"   process, hart, steps
//
//   load, store, exec   w0.3: page 3 in the process's window 0; l1: page 1 of its own memory
//   map 0+2, mapfile 0+2, unmap 0+2, protect 0+2 rwx, move 1 5, pageout, dontneed, remove 0+2, truncate 3       calls on the region and its file
//   attach rw|ro|cow|pass [odd], detach w0, discard w0 0+2, wunmap w0 0+2, wprotect w0 0+2 r                    windows
//   fork 1, exit, close, transfer 1, reclaim 20                                                                   processes
//   lmap 0+2, lshared 0+2, lunmap 0+2, lprotect 0+2 r, ldontneed 0+2, lpageout 0+2, lmove 0 2                     own memory
import { EINVAL, ENOMEM, ENXIO } from "../base/errno.ts";
import * as mman from "../mm/constants.ts";
import { KIND_SHMEM } from "../mm/frame.ts";
import type { Mm } from "../mm/mm.ts";
import { reclaim } from "../mm/reclaim.ts";
import { TestFile } from "../mm/test-space.ts";
import { MSHARE_FIXED, MSHARE_PASSTHROUGH, MSHARE_PRIVATE, MSHARE_RDONLY } from "./abi.ts";
import { attachWindow, detachWindow } from "./attach.ts";
import { MshareManager } from "./manager.ts";
import type { Region } from "./region.ts";
import { ACCESS_OF, type AccessKind, HartMachine } from "./test-harts.ts";
import { FIRST_PAGE, PAGES, REGION_PAGES, ScheduleModel, type WindowKind } from "./test-schedule-model.ts";
import { TestOwner } from "./test-world.ts";

const PAGE = 4096;
const LOCAL = 0x20_0000_0000;
/** Where windows at odd places go, and where a window that was never there would be. */
const ODD = 0x30_0000_0000;
const NOWHERE = 0x28_0000_0000;
const RW = mman.PROT_READ | mman.PROT_WRITE;
const WINDOW_FLAGS = { rw: 0, ro: MSHARE_RDONLY, cow: MSHARE_PRIVATE, pass: MSHARE_PASSTHROUGH } as const;

export interface Program {
  readonly name: string;
  readonly setup: readonly string[];
  readonly tasks: readonly string[];
  /** The region's pages lie at the end of a mapping with a huge page: pages 0 to 3 are its last ones. */
  readonly huge?: boolean;
}

interface Task {
  readonly process: number;
  hart: number;
  readonly steps: readonly string[];
  next: number;
  /** The access under way has faulted, and the kernel has not been asked yet. */
  fault: { va: number; kind: AccessKind } | null;
  tries: number;
}

interface Process {
  owner: TestOwner | null;
  windows: number[];
  descriptor: boolean;
}

/** One run of a program in a machine; `end` takes everything down and counts what is left. */
export class ScheduledRun {
  readonly #machine: HartMachine;
  readonly #mshare: MshareManager;
  readonly #model: ScheduleModel;
  readonly #processes: Process[] = [];
  readonly #region: Region;
  readonly #file: TestFile;
  readonly tasks: readonly Task[];
  readonly #free: number;
  #value = 0;
  #places = 0;

  constructor(machine: HartMachine, program: Program, options: { share: boolean }) {
    this.#machine = machine;
    const { memory } = machine;
    let seed = 7;
    const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    this.#mshare = new MshareManager(memory, { share: options.share, random });
    this.#free = memory.frames.free;
    this.tasks = program.tasks.map(parseTask);
    const count = Math.max(3, ...this.tasks.map((task) => task.process + 1));
    this.#model = new ScheduleModel(count, LOCAL);
    for (let i = 0; i < count; i++) this.#processes.push({ owner: null, windows: [], descriptor: false });
    const forked = new Set(program.tasks.flatMap((task) => [...task.matchAll(/fork (\d)/g)].map((m) => Number(m[1]))));
    for (let i = 0; i < count; i++) if (!forked.has(i)) this.#start(i, machine.newProcess());
    this.#file = new TestFile(memory, { size: PAGES * PAGE });
    const region = this.#mshare.create(this.#owner(0));
    if (typeof region === "number") throw new Error("no memory for a region");
    this.#region = region;
    region.handles = 1;
    region.setSize(REGION_PAGES * PAGE);
    this.#processes[0].descriptor = this.#model.processes[0].descriptor = true;
    this.#owner(0).descriptors = true;
    memory.thp.setShmemEnabled(program.huge === true ? "always" : "never");
    this.#call(0, `map 0+${PAGES}`);
    if (program.huge === true) this.#mapHuge();
    for (const line of program.setup) this.#setUp(line);
    const leaves = memory.frames.hugeMapped[KIND_SHMEM];
    if (program.huge === true && leaves === 0) throw new Error("there is no huge leaf");
  }

  /** The whole region is one mapping; the model knows its last pages. */
  #mapHuge(): void {
    const flags = mman.MAP_SHARED | mman.MAP_FIXED | mman.MAP_ANONYMOUS;
    const request = { offset: 0, size: REGION_PAGES * PAGE, prot: RW, flags, objOffset: 0n, file: null };
    expectSame("result of mapping", this.#region.map({ ...request, addressSpaceLimit: Infinity }), 0);
    this.#model.map(0, PAGES, false);
  }

  /** Tasks that can go on. */
  enabled(): number[] {
    const able: number[] = [];
    this.tasks.forEach((task, i) => {
      if (task.next < task.steps.length && this.#processes[task.process].owner !== null) able.push(i);
    });
    return able;
  }

  /** One step of a task: an instruction (carried out, or faulting), a fault resolved, or a call. */
  step(number: number, hart = this.tasks[number].hart): "hart" | "kernel" {
    const task = this.tasks[number];
    const words = task.steps[task.next].split(" ");
    if (task.fault === null && words[0] in ACCESS_OF) {
      this.#access(task, words[0] as AccessKind, words[1], hart);
      return "hart";
    }
    if (task.fault !== null) this.#resolve(task);
    else {
      this.#call(task.process, task.steps[task.next]);
      task.next++;
    }
    return "kernel";
  }

  verify(): void {
    this.#machine.memory.verify();
  }

  end(): void {
    const { memory } = this.#machine;
    this.#processes.forEach((process, i) => {
      if (process.owner !== null) this.#exit(i);
    });
    this.#region.reconsider();
    this.#file.object.truncate(0);
    memory.objects.delete(this.#file.object);
    memory.verify();
    expectSame("frames left over", this.#free - memory.frames.free, 0);
    expectSame("swap slots left over", memory.swap!.used, 0);
    expectSame("pages still committed", memory.committed(), 0);
    expectSame("regions left over", this.#mshare.regions.size, 0);
  }

  #setUp(line: string): void {
    const [process, ...call] = line.split(" ");
    if (!(call[0] in ACCESS_OF)) return this.#call(Number(process), call.join(" "));
    const task: Task = { ...parseTask(`${process}@0 ${call.join(" ")}`) };
    for (let hart = 0; hart < this.#machine.hardware.harts.length; hart++) {
      task.next = 0;
      while (task.next === 0) {
        if (task.fault === null) this.#access(task, call[0] as AccessKind, call[1], hart);
        else this.#resolve(task);
      }
    }
  }

  #start(who: number, mm: Mm): void {
    const owner = new TestOwner(mm);
    owner.descriptors = false;
    this.#processes[who].owner = owner;
    this.#model.processes[who].alive = true;
  }

  #owner(who: number): TestOwner {
    return this.#processes[who].owner!;
  }
  #mm(who: number): Mm {
    return this.#owner(who).mm!;
  }

  #place(who: number, place: string): number {
    if (place.startsWith("l")) return LOCAL + Number(place.slice(1)) * PAGE;
    const [window, page] = place.slice(1).split(".").map(Number);
    return (this.#processes[who].windows[window] ?? NOWHERE) + (FIRST_PAGE + page) * PAGE;
  }

  #access(task: Task, kind: AccessKind, place: string, hart: number): void {
    const { process } = task;
    const va = this.#place(process, place);
    const value = kind === "store" ? (this.#value % 2000) + 1 : 0;
    const attempt = this.#machine.attempt(hart, this.#mm(process), va, kind, value);
    if (!attempt.done) {
      task.fault = { va, kind };
      if (++task.tries > 20) throw new Error(`${kind} ${place} faults again and again`);
      return;
    }
    const allowed = this.#model.access(process, va, kind);
    if (typeof allowed === "string") throw new Error(`${kind} ${place} went through, should be ${allowed}`);
    if (kind === "store") {
      allowed.value = value;
      this.#value++;
    } else expectSame(`value at ${place}`, attempt.value, allowed.value);
    task.next++;
    task.tries = 0;
  }

  /** The kernel answers a fault: by what is so now. */
  #resolve(task: Task): void {
    const { va, kind } = task.fault!;
    task.fault = null;
    const result = this.#mm(task.process).fault(va, ACCESS_OF[kind]);
    const allowed = this.#model.access(task.process, va, kind);
    const expected = typeof allowed === "string" ? allowed : "done";
    let found: string = result.kind;
    if (result.kind === "signal")
      found = result.signo === mman.SIGBUS ? "BUS" : result.code === 1 ? "MAPERR" : "ACCERR";
    expectSame(`answer to the fault of ${task.steps[task.next]}`, found, expected);
    if (result.kind !== "signal") return this.#model.resolved(task.process, va, kind);
    task.next++;
    task.tries = 0;
  }

  #call(who: number, call: string): void {
    const words = call.split(" ");
    const { result, expected } = this.#do(who, words);
    expectSame(`result of ${call}`, result, expected);
  }

  #do(who: number, words: readonly string[]): { result: number; expected: number } {
    if (words[0].startsWith("l")) return this.#doLocal(who, words);
    const model = this.#model;
    const ok = { result: 0, expected: 0 };
    switch (words[0]) {
      case "attach":
        return this.#attach(who, words[1] as WindowKind, words[2] === "odd");
      case "detach": {
        const addr = this.#processes[who].windows[Number(words[1].slice(1))] ?? 0;
        const { windows } = model.processes[who];
        const at = windows.findIndex((window) => window.addr === addr);
        if (at >= 0) windows.splice(at, 1);
        const result = detachWindow(this.#mm(who), addr);
        model.reconsider();
        return { result, expected: at >= 0 ? 0 : -EINVAL };
      }
      case "discard":
      case "wunmap":
      case "wprotect":
        return this.#doWindow(who, words);
      case "fork":
        this.#fork(who, Number(words[1]));
        return ok;
      case "exit":
        this.#exit(who);
        return ok;
      case "close":
        return this.#close(who);
      case "transfer":
        return this.#transfer(who, Number(words[1]));
      case "reclaim":
        reclaim(this.#machine.memory, { target: Number(words[1]) });
        return ok;
      case "truncate":
        model.truncate(Number(words[1]));
        return { result: this.#file.object.truncate(Number(words[1]) * PAGE), expected: 0 };
      default:
        return this.#doRegion(words);
    }
  }

  #doRegion(words: readonly string[]): { result: number; expected: number } {
    const region = this.#region;
    const model = this.#model;
    if (words[0] === "move") {
      const [from, to] = words.slice(1).map(Number);
      const hole = model.region[from] === null;
      if (from === to || (hole && model.regionAlive)) return { result: 0, expected: 0 };
      const flags = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED;
      const [oldOffset, newOffset] = [offset(from), offset(to)];
      const result = region.remap({ oldOffset, oldSize: PAGE, newOffset, newSize: PAGE, flags, reserved: 0 });
      if (!model.regionAlive) return { result, expected: -ENXIO };
      model.move(from, to);
      return { result, expected: newOffset };
    }
    const [first, end] = parseRange(words[1]);
    const size = (end - first) * PAGE;
    const file = words[0] === "mapfile";
    const mayRemove = words[0] !== "remove" || model.mayRemove(first, end);
    if (model.regionAlive && !mayRemove) return { result: 0, expected: 0 };
    const holes = model.hasHole(first, end) ? -ENOMEM : 0;
    switch (words[0]) {
      case "map":
      case "mapfile": {
        const flags = mman.MAP_SHARED | mman.MAP_FIXED | (file ? 0 : mman.MAP_ANONYMOUS);
        const request = { offset: offset(first), size, prot: RW, flags, objOffset: 0n, addressSpaceLimit: Infinity };
        const result = region.map({ ...request, file: file ? this.#file : null });
        if (!model.regionAlive) return { result, expected: -ENXIO };
        model.map(first, end, file);
        return { result, expected: offset(first) };
      }
      case "unmap":
        return this.#regionCall(region.unmap(offset(first), size), () => {
          model.unmap(first, end);
          return 0;
        });
      case "protect": {
        const prot = parseProt(words[2]);
        return this.#regionCall(region.protect(offset(first), size, prot), () =>
          model.protect(first, end, prot).hole ? -ENOMEM : 0,
        );
      }
      case "pageout":
        return this.#regionCall(region.advise(offset(first), size, mman.MADV_PAGEOUT), () => holes);
      case "dontneed":
        return this.#regionCall(region.advise(offset(first), size, mman.MADV_DONTNEED), () => holes);
      case "remove":
        return this.#regionCall(region.advise(offset(first), size, mman.MADV_REMOVE), () => {
          model.remove(first, end);
          return 0;
        });
      default:
        throw new Error(`no such step: ${words.join(" ")}`);
    }
  }

  #regionCall(result: number, change: () => number): { result: number; expected: number } {
    return { result, expected: this.#model.regionAlive ? change() : -ENXIO };
  }

  #doWindow(who: number, words: readonly string[]): { result: number; expected: number } {
    const model = this.#model;
    const addr = this.#processes[who].windows[Number(words[1].slice(1))] ?? NOWHERE;
    const window = model.processes[who].windows.find((one) => one.addr === addr);
    if (window === undefined) return { result: 0, expected: 0 };
    const [first, end] = parseRange(words[2]);
    const start = addr + offset(first);
    const size = (end - first) * PAGE;
    const mm = this.#mm(who);
    if (words[0] === "discard") {
      if (window.kind === "pass") return { result: 0, expected: 0 };
      const result = mm.madvise(start, size, mman.MADV_DONTNEED);
      if (!model.regionAlive) return { result, expected: -EINVAL };
      for (let i = first; i < end; i++) window.copies.delete(i);
      return { result, expected: 0 };
    }
    const passes = window.kind === "pass" && model.regionAlive;
    if (words[0] === "wunmap") {
      const result = mm.munmap(start, size);
      if (!passes) return { result, expected: -EINVAL };
      model.unmap(first, end);
      return { result, expected: 0 };
    }
    const prot = parseProt(words[3]);
    const result = mm.mprotect(start, size, prot);
    if (!passes) return { result, expected: -EINVAL };
    return { result, expected: model.protect(first, end, prot).hole ? -ENOMEM : 0 };
  }

  #doLocal(who: number, words: readonly string[]): { result: number; expected: number } {
    const mm = this.#mm(who);
    const { local } = this.#model.processes[who];
    if (words[0] === "lmove") {
      const [from, to] = words.slice(1).map(Number);
      if (from === to || local[from] === null) return { result: 0, expected: 0 };
      const result = mm.mremap(LOCAL + from * PAGE, PAGE, PAGE, 3, LOCAL + to * PAGE);
      [local[to], local[from]] = [local[from], null];
      return { result, expected: LOCAL + to * PAGE };
    }
    const [first, end] = parseRange(words[1]);
    const [addr, length] = [LOCAL + first * PAGE, (end - first) * PAGE];
    const pages = local.slice(first, end);
    const holes = pages.includes(null) ? -ENOMEM : 0;
    switch (words[0]) {
      case "lmap":
      case "lshared": {
        const shared = words[0] === "lshared";
        const flags = mman.MAP_ANONYMOUS | mman.MAP_FIXED | (shared ? mman.MAP_SHARED : mman.MAP_PRIVATE);
        const result = mm.mmap({ addr, length, prot: RW, flags, file: null, offset: 0 });
        for (let i = first; i < end; i++) local[i] = { prot: RW, cell: { value: 0 }, shared };
        return { result, expected: addr };
      }
      case "lunmap":
        local.fill(null, first, end);
        return { result: mm.munmap(addr, length), expected: 0 };
      case "lprotect": {
        const prot = parseProt(words[2]);
        for (let i = first; i < end && local[i] !== null; i++) local[i]!.prot = prot;
        return { result: mm.mprotect(addr, length, prot), expected: holes };
      }
      case "ldontneed":
        for (const page of pages) if (page !== null && !page.shared) page.cell = { value: 0 };
        return { result: mm.madvise(addr, length, mman.MADV_DONTNEED), expected: holes };
      case "lpageout":
        return { result: mm.madvise(addr, length, mman.MADV_PAGEOUT), expected: holes };
      default:
        throw new Error(`no such step: ${words.join(" ")}`);
    }
  }

  #attach(who: number, kind: WindowKind, odd: boolean): { result: number; expected: number } {
    const addr = odd ? ODD + 0x20_0000 + this.#places++ * 0x80_0000 : 0;
    const flags = WINDOW_FLAGS[kind] | (odd ? MSHARE_FIXED : 0);
    const result = attachWindow(this.#region, this.#mm(who), { offset: 0, size: 0, addr, flags, writable: true });
    if (!this.#model.regionAlive) return { result, expected: -ENXIO };
    this.#processes[who].windows.push(result);
    this.#model.processes[who].windows.push({ addr: result, kind, copies: new Map() });
    return { result: Math.sign(result), expected: 1 };
  }

  #fork(parent: number, child: number): void {
    if (this.#processes[child].owner !== null) return;
    const mm = this.#mm(parent).fork();
    if (typeof mm === "number") throw new Error(`fork gives ${mm}`);
    this.#start(child, mm);
    this.#model.fork(parent, child);
    this.#processes[child].windows = [...this.#processes[parent].windows];
    this.#processes[child].descriptor = this.#processes[parent].descriptor;
    this.#owner(child).descriptors = this.#owner(parent).descriptors;
    if (this.#processes[child].descriptor) this.#region.handles++;
  }

  #exit(who: number): void {
    const owner = this.#owner(who);
    const { mm } = owner;
    if (this.#processes[who].descriptor) this.#close(who);
    owner.mm = null;
    mm!.put();
    this.#mshare.ownerGone(owner);
    this.#processes[who] = { owner: null, windows: [], descriptor: false };
    this.#model.exit(who);
    this.#region.reconsider();
  }

  #close(who: number): { result: number; expected: number } {
    const process = this.#processes[who];
    if (!process.descriptor) return { result: 0, expected: 0 };
    process.descriptor = this.#model.processes[who].descriptor = false;
    this.#owner(who).descriptors = false;
    this.#region.handles--;
    this.#region.reconsider();
    this.#model.reconsider();
    return { result: 0, expected: 0 };
  }

  #transfer(who: number, to: number): { result: number; expected: number } {
    const model = this.#model;
    const target = this.#processes[to].owner;
    if (target === null || (model.regionAlive && model.owner !== who)) return { result: 0, expected: 0 };
    const result = this.#region.transfer(target);
    if (!model.regionAlive) return { result, expected: -ENXIO };
    if (model.processes[to].windows.length === 0) return { result, expected: -EINVAL };
    model.owner = to;
    return { result, expected: 0 };
  }
}

const offset = (page: number): number => (FIRST_PAGE + page) * PAGE;

function parseTask(text: string): Task {
  const [, process, hart, steps] = /^(\d)@(\d+) (.*)$/.exec(text) ?? [];
  if (steps === undefined) throw new Error(`no task: ${text}`);
  const list = steps.split(";").map((step) => step.trim());
  return { process: Number(process), hart: Number(hart), steps: list, next: 0, fault: null, tries: 0 };
}

/** "2+3": pages 2 to 4, as [first, end). */
function parseRange(text: string): [number, number] {
  const [first, count] = text.split("+").map(Number);
  return [first, first + count];
}

function parseProt(text: string): number {
  let prot = 0;
  if (text.includes("r")) prot |= mman.PROT_READ;
  if (text.includes("w")) prot |= mman.PROT_WRITE;
  if (text.includes("x")) prot |= mman.PROT_EXEC;
  return prot;
}

function expectSame(what: string, found: number | string, expected: number | string): void {
  if (found !== expected) throw new Error(`${what}: ${found}, should be ${expected}`);
}
