// Files of the package itself, found from the running code: dist/ in an installation, src/cli in the checkout.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The path of a file of the package, as "guest/bin/demo". Throws if the package's folder cannot be found. */
export function packageFile(name: string): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at))
    if (existsSync(join(at, "package.json"))) return join(at, name);
  throw new Error("the package's folder cannot be found");
}
