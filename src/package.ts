// Where this package lies, which version it is, and the programs in it. It says the same in src/ and in dist/, where files
// are bundled and lie elsewhere than they were written.

import { existsSync, readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that has package.json. */
export const ROOT = rootAbove(fileURLToPath(import.meta.url));

/** As package.json says it. */
export const VERSION = (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version;

/** Whether this runs from source, where every start compiles first. */
export const IS_FROM_SOURCE = extname(import.meta.url) === ".ts";

/** The file with which node runs a program of src/, from source or from dist/: "bench/host". */
export function programFile(name: string): string {
  return join(ROOT, IS_FROM_SOURCE ? "src" : "dist", `${name}${IS_FROM_SOURCE ? ".ts" : ".js"}`);
}

function rootAbove(path: string): string {
  const folder = dirname(path);
  return existsSync(join(folder, "package.json")) ? folder : rootAbove(folder);
}
