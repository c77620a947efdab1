// The command for tests that start it as a process of its own: bundled from the sources as they are now, so that it starts quickly and dist/ need
// not be up to date.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./build.ts";

/** Bundles src/cli and returns the path of the script, to be run with node. */
export async function bundleCommand(): Promise<string> {
  // Below node_modules, so that what is not bundled is found; a file for each test process.
  const outfile = join(ROOT, `node_modules/.cache/mshare-test/cli-${process.pid}.js`);
  mkdirSync(join(ROOT, "node_modules/.cache/mshare-test"), { recursive: true });
  await build({
    entryPoints: [join(ROOT, "src/cli/main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "warning",
  });
  return outfile;
}
