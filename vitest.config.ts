// Three projects: `quick` (under a minute: nearly everything in src/), `exhaustive` (random programs, every failure, every interleaving: minutes on a
// small machine) and `guest` (whole programs and real Linux binaries, `*.guest.test.ts`).
import { type Plugin, defineConfig } from "vitest/config";
import { createLowering } from "./tools/lower.mjs";

const GUEST = "**/*.guest.test.ts";
const EXHAUSTIVE = "src/**/{*fuzz,failures*,model,schedule,verify-huge,hugetlb-gigantic}.test.ts";

/** Whole programs run on what is bundled: sources as tools/build.mjs rewrites them. */
function lowered(): Plugin {
  let lower: ReturnType<typeof createLowering> | undefined;
  return {
    name: "lowered",
    enforce: "pre",
    transform(_code, path) {
      const code = (lower ??= createLowering("tsconfig.json"))(path);
      return code === undefined ? undefined : { code, map: null };
    },
  };
}

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "quick",
          include: ["{src,bench,tools}/**/*.test.ts"],
          exclude: [GUEST, EXHAUSTIVE],
          testTimeout: 30_000,
        },
      },
      { test: { name: "exhaustive", include: [EXHAUSTIVE], exclude: [GUEST], testTimeout: 30_000 } },
      {
        plugins: [lowered()],
        test: { name: "guest", include: ["{src,guest,docs,bench,tools}/**/*.guest.test.ts"], testTimeout: 120_000 },
      },
    ],
  },
});
