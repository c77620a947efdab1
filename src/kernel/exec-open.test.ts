// The #! line: what fs/binfmt_script.c of Linux 6.12 makes of it (the cases that proc-exec.c asks real Linux about, and their neighbours).
import { describe, expect, test } from "vitest";
import { parseScript } from "./exec-open.ts";

const head = (text: string): Uint8Array => {
  const bytes = new Uint8Array(256);
  for (let i = 0; i < Math.min(256, text.length); i++) bytes[i] = text.charCodeAt(i);
  return bytes;
};

describe("parseScript", () => {
  test.each([
    ["#!/bin/sh\n", "/bin/sh", null],
    ["#!/bin/sh -e\n", "/bin/sh", "-e"],
    ["#! \t /bin/sh \t -e  -x \t\nrest", "/bin/sh", "-e  -x"],
    ["#!/bin/sh", "/bin/sh", null],
    ["#!/bin/sh -e", "/bin/sh", "-e"],
    ["#!/bin/sh\0 -e\n", "/bin/sh", null],
    ["#!", "", null],
    [`#!/bin/x ${"a".repeat(400)}\n`, "/bin/x", "a".repeat(255 - "#!/bin/x ".length)],
  ])("%j", (text, interpreter, argument) => {
    expect(parseScript(head(text))).toEqual({ interpreter, argument });
  });

  test.each(["#!\n", "#!  \t\n", `#!${" ".repeat(300)}/bin/sh\n`, `#!/${"a".repeat(300)}\n`])(
    "%j names nothing",
    (text) => {
      expect(parseScript(head(text))).toBe(null);
    },
  );
});
