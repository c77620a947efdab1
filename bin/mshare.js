#!/usr/bin/env node
// The command `mshare`: all of it is in src/cli, bundled into dist/ by `npm run build` (which `npm ci` runs).
import "../dist/cli.js";
