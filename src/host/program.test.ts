// What is said of files that cannot run.
import { expect, test } from "vitest";
import { ENOENT, ENOEXEC, ENOMEM } from "../base/errno.ts";
import { cannotRun, notRiscv64, readHostProgram } from "./program.ts";

/** An ELF header: class (1: 32 bits), data (1: little-endian), type, machine. */
function header(bits: 32 | 64, order: "little" | "big", type: number, machine: number): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, order === "little" ? 1 : 2]);
  const view = new DataView(bytes.buffer);
  view.setUint16(16, type, order === "little");
  view.setUint16(18, machine, order === "little");
  return bytes;
}

test.each([
  [new Uint8Array(0), "an empty file"],
  [new TextEncoder().encode("hello"), "not an ELF file"],
  [new TextEncoder().encode("MZ\0\0"), "a Windows program"],
  [new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), "a WebAssembly module"],
  [header(64, "little", 2, 62), "x86-64"],
  [header(64, "little", 3, 183), "AArch64"],
  [header(64, "big", 2, 22), "s390"],
  [header(32, "little", 2, 243), "32-bit RISC-V"],
  [header(64, "big", 2, 243), "big-endian RISC-V"],
  [header(64, "little", 1, 243), "an object file, not linked yet"],
  [header(64, "little", 4, 243), "an ELF file of type 4"],
  [header(64, "little", 2, 243).subarray(0, 40), "a truncated ELF file of 40 bytes"],
  [header(64, "little", 2, 0x1234), "machine 4660"],
  [header(64, "little", 2, 243), null],
])("%#: %s", (data, what) => {
  expect(notRiscv64(data)).toBe(what);
});

test("errors have shells' exit statuses", () => {
  expect(() => readHostProgram("/no/such/program")).toThrow(
    expect.objectContaining({ message: "/no/such/program: no such program", exitStatus: 127 }),
  );
  expect(() => readHostProgram("/tmp")).toThrow(
    expect.objectContaining({ message: "/tmp: is a directory", exitStatus: 126 }),
  );
  expect(cannotRun("a", ENOEXEC, header(64, "little", 2, 62))).toMatchObject({
    message: "a: not a riscv64 program: x86-64",
    exitStatus: 126,
  });
  expect(cannotRun("a", ENOENT, null)).toMatchObject({ exitStatus: 127 });
  expect(cannotRun("a", ENOMEM, null).message).toContain("--memory");
});
