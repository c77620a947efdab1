// How strace writes values: as strace(1) does.
import { describe, expect, test } from "vitest";
import { SIGCHLD, SIGINT, SIGKILL, SIGSTOP, sigset } from "./siginfo.ts";
import { flagText, quote, sigsetText } from "./strace-args.ts";
import { MAP_FLAGS, OPEN_FLAGS, PROT_FLAGS } from "./strace-names.ts";

const ALL = (1n << 64n) - 1n;

describe("values", () => {
  test("flags by name, what is unknown in hex", () => {
    expect(flagText(0x22, MAP_FLAGS)).toBe("MAP_PRIVATE|MAP_ANONYMOUS");
    expect(flagText(0o2000000, OPEN_FLAGS)).toBe("O_CLOEXEC");
    expect(flagText(0, PROT_FLAGS, "PROT_NONE")).toBe("PROT_NONE");
    expect(flagText(0x100003, PROT_FLAGS)).toBe("PROT_READ|PROT_WRITE|0x100000");
    expect(flagText(0o4010000, OPEN_FLAGS)).toBe("O_SYNC");
    expect(flagText(0o10000, OPEN_FLAGS)).toBe("O_DSYNC");
  });
  test("strings in C's escapes, octal ones no longer than needed", () => {
    expect(quote('a"b\\\n\t')).toBe('"a\\"b\\\\\\n\\t"');
    expect(quote("\0")).toBe('"\\0"');
    expect(quote("\x001")).toBe('"\\0001"');
    expect(quote("\x7fELF\x02\xff")).toBe('"\\177ELF\\2\\377"');
  });
  test("signal sets, large ones by what is missing", () => {
    expect(sigsetText(0n)).toBe("[]");
    expect(sigsetText(sigset(SIGINT, SIGCHLD))).toBe("[INT CHLD]");
    expect(sigsetText(sigset(32, 33))).toBe("[RTMIN RT_1]");
    expect(sigsetText(ALL & ~sigset(SIGKILL, SIGSTOP))).toBe("~[KILL STOP]");
    expect(sigsetText(ALL)).toBe("~[]");
  });
});
