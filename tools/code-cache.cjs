// Writes V8's code cache of the command, with the functions that a run needs: runs the demo, small, in this process. Called by tools/build.mjs.
"use strict";
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { setFlagsFromString } = require("node:v8");
const { cacheFile, load } = require("../bin/load.js");

const path = join(__dirname, "../dist/cli.cjs");
process.argv = [process.execPath, "mshare", "run", join(__dirname, "../guest/bin/demo"), "2", "16"];
const script = load(path);
process.on("exit", (status) => {
  if (status !== 0) return;
  // A cache fits only a V8 with the same flags: as it is when a start reads the cache.
  if (/^1[01]\./.test(process.versions.v8)) setFlagsFromString("--no-experimental-wasm-relaxed-simd");
  if (/^11\./.test(process.versions.v8)) setFlagsFromString("--no-experimental-wasm-branch-hinting");
  writeFileSync(cacheFile(path), script.createCachedData());
});
