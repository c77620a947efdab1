// Runs a bundled script with V8's code cache beside it, if there is one that fits this Node: a start compiles nothing then. (Node's own
// module.enableCompileCache came with Node 22.) Used by bin/mshare.js, and by tools/code-cache.cjs, which writes the cache.
"use strict";
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { dirname } = require("node:path");
const { Script } = require("node:vm");

const cacheFile = (path) => path.replace(/\.cjs$/, ".cache");

function readCache(path) {
  try {
    return readFileSync(cacheFile(path));
  } catch {
    return undefined;
  }
}

/** Runs a CommonJS file of ASCII (read faster so); returns the compiled script. */
function load(path) {
  const source = `(function (exports, require, module, __filename, __dirname) { ${readFileSync(path, "latin1")}\n})`;
  const script = new Script(source, { filename: path, cachedData: readCache(path) });
  const module = { exports: {} };
  script.runInThisContext().call(module.exports, module.exports, createRequire(path), module, path, dirname(path));
  return script;
}

module.exports = { cacheFile, load };
