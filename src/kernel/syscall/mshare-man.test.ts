// docs/man: a page for each mshare call, with all sections, and in its ERRORS each errno that the sources of the call name.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mshareCalls } from "./mshare.ts";

const ROOT = join(import.meta.dirname, "../../..");
const SECTIONS = [
  "NAME",
  "LIBRARY",
  "SYNOPSIS",
  "DESCRIPTION",
  "RETURN VALUE",
  "ERRORS",
  "VERSIONS",
  "EXAMPLES",
  "SEE ALSO",
];

const source = (path: string): string =>
  readFileSync(join(ROOT, "src", path), "utf8").replace(/^ *(\/\/|\/?\*).*$/gm, "");
const page = (name: string): string => readFileSync(join(ROOT, `docs/man/${name}.md`), "utf8");
const errnos = (text: string): Set<string> => new Set([...text.matchAll(/-(E[A-Z0-9]+)\b/g)].map((match) => match[1]));

/** The text of a function or method: from its head to the brace that closes it at the same depth. */
function body(text: string, name: string): string {
  const head = new RegExp(`^( *)(?:export )?(?:function |const )?#?${name}(?: = )?\\(.*$`, "m").exec(text);
  if (head === null) throw new Error(`no function ${name}`);
  if (!/[{(]$/.test(head[0])) return head[0];
  const rest = text.slice(head.index);
  return rest.slice(0, rest.search(new RegExp(`^${head[1]}}`, "m")));
}

const call = source("kernel/syscall/mshare.ts");
const region = source("mshare/region.ts");
const abi = source("mshare/abi.ts");
const struct = [body(call, "readStruct"), body(abi, "structBytes"), body(abi, "checkTrailing")];
const range = [body(call, "writableRegion"), body(call, "regionFile"), body(region, "checkRange")];

/** What stands behind each call. */
const SOURCES: Readonly<Record<string, readonly string[]>> = {
  mshare_create: [body(call, "create")],
  mshare_attach: [
    body(call, "attach"),
    body(call, "regionFile"),
    source("mshare/attach.ts").split("mshare_detach:")[0],
  ],
  mshare_detach: [body(source("mshare/attach.ts"), "detachWindow")],
  mshare_map: [...struct, ...range, body(call, "map"), body(call, "mappedObject"), body(region, "map")],
  mshare_unmap: [...range, body(region, "unmap"), source("mm/munmap.ts")],
  mshare_protect: [...range, body(region, "protect"), source("mm/mprotect.ts")],
  mshare_advise: [...range, body(region, "advise"), body(source("mm/madvise.ts"), "adviseVma")],
  mshare_lock: [...range, body(region, "lock"), body(source("mm/mlock.ts"), "mlock")],
  mshare_unlock: [...range, body(region, "unlock")],
  mshare_sync: [...range, body(region, "sync"), source("mm/msync.ts")],
  mshare_remap: [...struct, ...range, body(region, "remap"), source("mm/mremap.ts")],
  mshare_stat: [body(call, "stat"), body(call, "regionFile"), body(abi, "structBytes")],
  mshare_transfer: [body(call, "transfer"), body(call, "regionFile"), body(region, "transfer")],
};

describe.each(mshareCalls.map(({ name }) => name))("%s(2)", (name) => {
  const text = page(`${name}.2`);

  test("has all sections, in order", () => {
    expect([...text.matchAll(/^## (.*)$/gm)].map((match) => match[1])).toEqual(SECTIONS);
  });

  test("is declared as in mshare.h", () => {
    const header = readFileSync(join(ROOT, "guest/include/mshare.h"), "utf8");
    const declared = new RegExp(`^static inline (.*${name}\\(.*\\))$`, "m").exec(header);
    expect(text).toContain(`${declared?.[1]};`);
  });

  test("names each errno that the call can return", () => {
    const errors = /## ERRORS\n([^]*?)\n## /.exec(text)![1];
    const named = new Set([...errors.matchAll(/\*\*(E[A-Z0-9]+)\*\*/g)].map((match) => match[1]));
    const missing = SOURCES[name].flatMap((part) => [...errnos(part)]).filter((errno) => !named.has(errno));
    expect(missing).toEqual([]);
  });

  test("leads to pages that exist", () => {
    for (const [, target] of text.matchAll(/\]\(([^)]*)\)/g))
      expect(existsSync(join(ROOT, "docs/man", target))).toBe(true);
  });
});

test("mshare(7) leads to all of them", () => {
  const text = page("mshare.7");
  for (const { name } of mshareCalls) expect(text).toContain(`[${name}(2)](${name}.2.md)`);
});
