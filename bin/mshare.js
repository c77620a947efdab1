#!/usr/bin/env -S node --v8-pool-size=0
// The command `mshare`: all of it is in src/cli, bundled into dist/cli.cjs by `npm run build` (which `npm ci` runs). V8 gets one thread less than there
// are processors for what it compiles, not four as usual: those that share a processor finish later, each of them (docs/speed.md).
"use strict";
const { join } = require("node:path");
const { load } = require("./load.js");

load(join(__dirname, "../dist/cli.cjs"));
