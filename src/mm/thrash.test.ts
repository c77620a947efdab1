// Memory so full that the last pages of files chase each other out: an instruction whose own page and the page it reads cannot be there at once never ends. It must be
// out of memory before that, of the machine and of a memory group.
import { expect, test } from "vitest";
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE } from "../machine/trap.ts";
import { MAP_PRIVATE, PROT_EXEC, PROT_READ } from "./constants.ts";
import { FileObject } from "./file-object.ts";
import { permits, readLeaf } from "./page-table.ts";
import { ARENA, P, TestFile, TestSpace } from "./test-space.ts";

/** Pages [0, 2) of the arena: a program's file, code and constants. What follows: private memory. */
function program(frames: number): TestSpace {
  const space = new TestSpace({ memoryBytes: frames * P, overcommit: 1 });
  const source = { readPage: (): number => 0, writePage: (): number => 0 };
  const object = new FileObject(space.memory, source, 2 * P);
  const file = new TestFile(space.memory, { object, writable: false });
  space.map(0, 2, { prot: PROT_READ | PROT_EXEC, flags: MAP_PRIVATE, file });
  return space;
}

/** An instruction on page 0 that reads page 1. How often it has to be begun, or that memory is out. */
function execute({ mm, memory }: TestSpace): number | "out of memory" {
  const accesses = [
    { va: ARENA, access: ACCESS_EXECUTE },
    { va: ARENA + P, access: ACCESS_READ },
  ];
  for (let begun = 1; begun < 100; begun++) {
    const missing = accesses.find(({ va, access }) => !permits(readLeaf(memory.ram, mm.root, va), access));
    if (missing === undefined) return begun;
    if (mm.fault(missing.va, missing.access).kind !== "done") return "out of memory";
  }
  return Infinity;
}

/** Runs the program, which takes one page more after each instruction, until it cannot go on. What its last instruction came to. */
function runOut(space: TestSpace): number | "out of memory" {
  space.map(2, 1000);
  let last = execute(space);
  for (let page = 2; page < 1000 && last !== "out of memory" && last < 100; page++) {
    if (space.mm.fault(ARENA + page * P, ACCESS_WRITE).kind !== "done") return "out of memory";
    last = execute(space);
    space.check();
  }
  return last;
}

test("a machine is out of memory while its last file pages could still take turns", () => {
  const space = program(100);
  let asked = 0;
  space.memory.onOom = () => {
    asked++;
    return "kill-current";
  };
  expect([runOut(space), asked]).toEqual(["out of memory", 1]);
});

test("so is a group at its limit", () => {
  const space = program(300);
  const { groups } = space.memory;
  const group = groups.create(groups.root);
  if (typeof group === "number") throw new Error("no group");
  space.mm.memcg = groups.current = group;
  group.memory.max = 40;
  groups.onOom = () => "kill-current";
  expect([runOut(space), group.events.oom]).toEqual(["out of memory", 1]);
});

test("where nobody can be killed, what there is goes on being used", () => {
  const space = program(100);
  space.memory.onOom = () => "nobody";
  space.map(2, 1000);
  let pages = 0;
  while (space.mm.fault(ARENA + (2 + pages) * P, ACCESS_WRITE).kind === "done") pages++;
  expect(pages).toBeGreaterThan(80);
  expect(space.memory.frames.free).toBe(0);
});
