// The drawings in docs/mshare.md are what a run gives.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { skipReason, titled } from "../src/testing/build.ts";
import { DRAWINGS, type DrawingName, draw } from "../tools/draw-tables.ts";

describe.skipIf(skipReason())(titled("drawings of page tables"), () => {
  for (const name of Object.keys(DRAWINGS) as DrawingName[]) {
    test(name, async () => {
      expect(await draw(name)).toBe(readFileSync(new URL(`${name}.svg`, import.meta.url), "utf8"));
    });
  }
});
