// The audit of machines of ours: what it predicts from a run with private tables against what a run with shared ones measures.
import { describe, expect, test } from "vitest";
import { Machine } from "../index.ts";
import { buildGuest, skipReason } from "../testing/build.ts";
import { type Recording, AuditRecorder } from "./recorder.ts";

const SEED = 7;

async function record(program: string, args: string[], options: { share: boolean }): Promise<Recording> {
  const machine = new Machine({ memory: 512 * 2 ** 20, seed: SEED, ...options });
  const recorder = new AuditRecorder(machine.kernel);
  const { status } = await machine.run(program, args);
  expect(status).toBe(0);
  return recorder.recording!;
}

/** Regions with holes and partial windows, at addresses that line up with nothing larger than the granule. */
const ODD = `
#include <mshare.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#define MIB (1UL << 20)
int main(void)
{
	int fd = mshare_create(0), hold[2];
	ftruncate(fd, 3000 * MIB);
	for (int i = 0; i < 3; i++) {
		struct mshare_map map = { .offset = (1 + 900UL * i) * MIB, .size = 70 * MIB, .prot = PROT_READ | PROT_WRITE,
					  .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
		if (mshare_map(fd, &map, sizeof(map)) < 0)
			return 1;
	}
	pipe(hold);
	for (int i = 0; i < 24; i++)
		if (fork() == 0) {
			char byte, *at = i % 3 == 0 ? (char *)(0x3000000000UL + i * (8UL << 30) + (i % 2) * 6 * MIB) : NULL;
			char *window = mshare_attach(fd, 0, i % 4 == 1 ? 2600 * MIB : 0, at, at ? MSHARE_FIXED : 0);
			if (window == MAP_FAILED)
				_exit(1);
			for (int part = 0; part < (i % 4 == 1 ? 2 : 3); part++)
				for (unsigned long page = i % 5; page < 70 * 256; page += 1 + i % 7 * 40)
					window[(1 + 900UL * part) * MIB + page * 4096] = 1;
			write(hold[1], "x", 1);
			close(hold[1]);
			pause();
		}
	for (int i = 0; i < 24; i++) {
		char byte;
		if (read(hold[0], &byte, 1) != 1)
			return 2;
	}
	return 0;
}
`;

const skip = skipReason();
describe("prediction", () => {
  test("the demo", async () => {
    await expectPrediction(new URL("../../guest/bin/demo", import.meta.url).pathname, ["24", "128"]);
  });

  test.skipIf(skip)(
    skip === false ? "holes and odd alignments" : `holes and odd alignments (skipped: ${skip})`,
    async () => {
      await expectPrediction(buildGuest(ODD), []);
    },
  );
});

async function expectPrediction(program: string, args: string[]): Promise<void> {
  const separate = await record(program, args, { share: false });
  const shared = await record(program, args, { share: true });
  // Root tables are in no VmPTE: one for each process and region.
  const roots = (shared.result.totals.processes + 1) * 4096;
  const measured = shared.tableBytes - roots;
  const predicted = separate.result.totals.tablesMshare;
  expect(Math.abs(predicted / measured - 1)).toBeLessThan(0.02);
  // And the audit of the run that shares sees that nothing more is to be had, and counts what there is.
  expect(Math.abs(shared.result.totals.tables / measured - 1)).toBeLessThan(0.02);
  expect(shared.result.totals.givenBack).toBe(0);
  expect(separate.result.totals.tables / separate.result.totals.tablesMshare).toBeGreaterThan(2);
}
