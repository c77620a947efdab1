#!/usr/bin/env node
// The command `mshare`: all of it is in src/cli, bundled into dist/cli.cjs by `npm run build` (which `npm ci` runs).
"use strict";
const { join } = require("node:path");
const { load } = require("./load.js");

load(join(__dirname, "../dist/cli.cjs"));
