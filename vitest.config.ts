// Two projects: `quick` (under a minute: everything in src/) and `guest` (whole programs and real Linux binaries, `*.guest.test.ts`).
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "quick",
          include: ["{src,bench,tools}/**/*.test.ts"],
          exclude: ["**/*.guest.test.ts"],
          testTimeout: 30_000,
        },
      },
      { test: { name: "guest", include: ["{src,guest,docs,bench,tools}/**/*.guest.test.ts"], testTimeout: 120_000 } },
    ],
  },
});
