// Bundles src/ into dist/ with esbuild: the command, the library, and what they share, so that a start reads few files. Called by `npm run build`.
import { readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const outdir = "dist";
const { metafile } = await build({
  entryPoints: { cli: "src/cli/main.ts", index: "src/index.ts" },
  outdir,
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  sourcemap: true,
  metafile: true,
  logLevel: "warning",
});

// What an earlier build left.
const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
for (const name of readdirSync(outdir)) if (/\.js(\.map)?$/.test(name) && !made.has(name)) rmSync(join(outdir, name));
