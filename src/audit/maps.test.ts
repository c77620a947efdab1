// What a line of /proc/PID/maps says of the object behind it.
import { expect, test } from "vitest";
import { kindOf, parseMaps } from "./maps.ts";

const kindOfLine = (line: string): string => kindOf(parseMaps(`${line}\n`).vmas[0]);

test("windows of regions are mshare's, by the names that regions have here and in msharefs", () => {
  expect(kindOfLine("40000000-50000000 rw-s 00000000 00:0f 1 /mshare:1")).toBe("mshare");
  expect(kindOfLine("20000000000-28000000000 rw-s 00000000 00:23 5 /sys/fs/mshare/pool")).toBe("mshare");
  expect(kindOfLine("20000000000-28000000000 rw-s 00000000 00:23 5 /sys/fs/mshare/pool (deleted)")).toBe("mshare");
  expect(kindOfLine("40000000-50000000 rw-s 00000000 fe:01 5 /srv/mshare/pool")).toBe("file");
});
