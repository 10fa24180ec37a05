// Program: does one thing with a baseline, and says what memory it took at most, in MB.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { openFileBaseline } from "../../src/files/baseline-file.ts";
import { checkFiles, initFiles, updateFiles } from "../../src/files/check.ts";
import { IMMUTABLE } from "./tree.ts";

const [what, root = "", file = ""] = process.argv.slice(2);
let differences = 0;
if (what === "init") await initFiles({ file, roots: [root], rules: IMMUTABLE });
else {
  if (what === "removed") rmSync(join(root, "many"), { recursive: true });
  const baseline = await openFileBaseline(file);
  const options = { full: what === "full", onDifference: () => void differences++ };
  await (what === "update" ? updateFiles(baseline, options) : checkFiles(baseline, options));
  await baseline.close();
}
process.stdout.write(JSON.stringify({ megabytes: process.resourceUsage().maxRSS / 1e3, differences }));
