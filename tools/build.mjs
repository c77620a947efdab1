// Bundles src/ into dist/ with esbuild: the command as one CommonJS file, which V8's code cache (bin/load.js) can hold whole, and the library as an
// ES module. Then writes that cache. Called by `npm run build`.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { createLowering } from "./lower.mjs";

const outdir = "dist";
const lower = createLowering("tsconfig.json");
const lowered = {
  name: "lowered",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = lower(path);
      return contents === undefined ? undefined : { contents, loader: "ts" };
    }),
};
const common = {
  outdir,
  bundle: true,
  platform: "node",
  target: "node20",
  sourcemap: true,
  metafile: true,
  logLevel: "warning",
  plugins: [lowered],
};
const built = await Promise.all([
  build({
    ...common,
    entryPoints: { cli: "src/cli/main.ts" },
    format: "cjs",
    outExtension: { ".js": ".cjs" },
    define: { "import.meta.url": "importMetaUrl" },
    // Less to read at each start; names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
  }),
  build({ ...common, entryPoints: { index: "src/index.ts" }, format: "esm", packages: "external" }),
]);

// What an earlier build left.
const made = new Set(built.flatMap(({ metafile }) => Object.keys(metafile.outputs)).map((path) => basename(path)));
for (const name of readdirSync(outdir)) {
  if (/\.(c?js(\.map)?|cache)$/.test(name) && !made.has(name)) rmSync(join(outdir, name));
}

const { status } = spawnSync(process.execPath, ["tools/code-cache.cjs"], { stdio: ["ignore", "ignore", "inherit"] });
if (status !== 0) console.warn("V8's code cache could not be written: mshare will start more slowly");
