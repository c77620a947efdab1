// Load averages against the formula of kernel/sched/loadavg.c: load(t) = load(t - 5 s) * e + n * (1 - e).
import { expect, test } from "vitest";
import { LoadAverage } from "./load-average.ts";

const SECOND = 1e9;

test("starts at 0 and approaches what runs", () => {
  const load = new LoadAverage();
  for (let s = 0; s <= 60; s += 5) load.advance(s * SECOND, 1);
  const [one, five, fifteen] = load.averages();
  // After one minute of one runnable task: 1 - 1/e, 1 - e^(-1/5), 1 - e^(-1/15).
  expect(one).toBeCloseTo(1 - Math.exp(-1), 2);
  expect(five).toBeCloseTo(1 - Math.exp(-1 / 5), 2);
  expect(fifteen).toBeCloseTo(1 - Math.exp(-1 / 15), 2);
});

test("a long time without a look counts as what was there before it", () => {
  const often = new LoadAverage();
  const seldom = new LoadAverage();
  often.advance(0, 3);
  seldom.advance(0, 3);
  for (let s = 5; s <= 100; s += 5) often.advance(s * SECOND, 3);
  seldom.advance(100 * SECOND, 0);
  seldom.averages().forEach((value, i) => {
    expect(value).toBeCloseTo(often.averages()[i], 6);
  });
});

test("nothing changes between samples", () => {
  const load = new LoadAverage();
  load.advance(1 * SECOND, 9);
  load.advance(4.9 * SECOND, 9);
  expect(load.averages()).toEqual([0, 0, 0]);
});
