// The timer queue against a sorted list.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Timer, TimerQueue } from "./timer.ts";

describe("TimerQueue", () => {
  test("fires by deadline, first come first among equals, and never what was cancelled", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.boolean()), { maxLength: 300 }), (plan) => {
        const queue = new TimerQueue();
        const fired: number[] = [];
        const timers: Timer[] = plan.map(([deadline], i) => queue.add(deadline, () => fired.push(i)));
        plan.forEach(([, cancel], i) => cancel && timers[i]!.cancel());
        for (let now = 0; now <= 50; now += 5) {
          queue.run(now);
          const due = plan
            .map(([deadline, cancel], i) => ({ deadline, cancel, i }))
            .filter((timer) => !timer.cancel && timer.deadline <= now)
            .sort((a, b) => a.deadline - b.deadline || a.i - b.i);
          expect(fired).toEqual(due.map(({ i }) => i));
        }
        expect(queue.next()).toBe(Infinity);
      }),
    );
  });

  test("a callback may add timers, those that are due fire in the same run", () => {
    const queue = new TimerQueue();
    const fired: string[] = [];
    queue.add(1, () => {
      fired.push("first");
      queue.add(2, () => fired.push("second"));
      queue.add(9, () => fired.push("later"));
    });
    queue.run(5);
    expect(fired).toEqual(["first", "second"]);
    expect(queue.next()).toBe(9);
  });

  test("cancelled timers do not pile up", () => {
    const queue = new TimerQueue();
    let last: Timer | null = null;
    for (let i = 0; i < 100_000; i++) {
      last?.cancel();
      last = queue.add(1e9 + i, () => undefined);
    }
    expect(queue.next()).toBe(1e9 + 99_999);
  });
});
