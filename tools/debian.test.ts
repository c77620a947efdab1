// Tests of tools/debian.ts that need no network: which mirror apt's configuration names, and a root of packages that are here.
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Debian, aptMirror, cacheDirectory } from "./debian.ts";

let etc = "";
beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), "apt-"));
  mkdirSync(join(etc, "sources.list.d"));
});
afterEach(() => rmSync(etc, { recursive: true }));

test("a deb822 file names the mirror; security updates, sources and disabled stanzas do not", () => {
  writeFileSync(
    join(etc, "sources.list.d/debian.sources"),
    `Types: deb
URIs: https://example.test/debian-security
Suites: stable-security
Components: main

Types: deb-src
URIs: https://sources.example.test/debian
Suites: stable

Enabled: no
Types: deb
URIs: https://off.example.test/debian
Suites: stable

Types: deb deb-src
# a comment
URIs: https://example.test/debian/
Suites: stable
`,
  );
  expect(aptMirror(etc)).toBe("https://example.test/debian");
});

test("a one-line list names it too, options or not", () => {
  writeFileSync(
    join(etc, "sources.list"),
    `# deb http://commented.example.test/debian stable main
deb-src http://sources.example.test/debian stable main
deb [arch=amd64 signed-by=/a/key] http://example.test/debian stable main
`,
  );
  expect(aptMirror(etc)).toBe("http://example.test/debian");
});

test("files that are no lists are not read, and none is none", () => {
  writeFileSync(join(etc, "sources.list.d/other.list.disabled"), "deb http://example.test/debian stable main\n");
  expect(aptMirror(etc)).toBeUndefined();
});

test("a root can be made again over itself, links and all", async () => {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = etc;
  try {
    const unpacked = join(cacheDirectory(), "trixie-riscv64", "tool-0123456789abcdef");
    mkdirSync(join(unpacked, "usr/lib"), { recursive: true });
    mkdirSync(join(unpacked, "lib"));
    writeFileSync(join(unpacked, "lib/tool.so"), "code");
    symlinkSync("/etc/passwd", join(unpacked, "usr/lib/absolute"));
    symlinkSync("tool.so", join(unpacked, "lib/relative"));
    const debian = new Debian({ mirror: "http://example.test/debian" });
    for (let time = 0; time < 2; time++) await debian.root(join(etc, "root"), ["tool"], { dependencies: false });
    expect(readlinkSync(join(etc, "root/usr/lib/absolute"))).toBe("/etc/passwd");
    expect(readFileSync(join(etc, "root/lib/relative"), "utf8")).toBe("code");
    expect(readlinkSync(join(etc, "root/lib"))).toBe("usr/lib");
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  }
});
