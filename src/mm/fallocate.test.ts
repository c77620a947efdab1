// fallocate of more than fits: all or nothing, though what was made first is in swap by the time it fails. Found by kernel/mshare.fuzz.test.ts.
import { expect, it } from "vitest";
import { ENOMEM } from "../base/errno.ts";
import { SwapArea } from "./swap.ts";
import { P, TestFile, TestSpace } from "./test-space.ts";

it("undoes what reclaim has put into swap meanwhile", () => {
  const space = new TestSpace({ memoryBytes: 64 * P, overcommit: 1 });
  const { memory } = space;
  memory.swap = new SwapArea("test", 20);
  const file = new TestFile(memory);
  const { free } = memory.frames;
  expect(file.object.allocate(0, 200 * P)).toBe(-ENOMEM);
  space.check();
  expect([file.object.residentPages, memory.swap.used, memory.frames.free]).toEqual([0, 0, free]);
});
