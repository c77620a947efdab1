// Writes V8's code cache of the command, with the functions that a run needs: runs the demo, small, in this process. Called by tools/build.mjs.
"use strict";
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const v8 = require("node:v8");
const { cacheFile, load } = require("../bin/load.js");

// A cache fits only a V8 with the flags of the one that wrote it, and a start reads it before it sets any.
v8.setFlagsFromString = () => {};
const path = join(__dirname, "../dist/cli.cjs");
process.argv = [process.execPath, "mshare", "run", join(__dirname, "../guest/bin/demo"), "2", "16"];
const script = load(path);
process.on("exit", (status) => {
  if (status === 0) writeFileSync(cacheFile(path), script.createCachedData());
});
