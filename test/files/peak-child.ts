// Program: does one thing with a baseline, and says what memory it took at most, in MB.

import { readFileSync, rmSync } from "node:fs";
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
// Not ru_maxrss: that counts what started it, too, from before its exec.
const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
process.stdout.write(JSON.stringify({ megabytes: (Number(kib) * 1024) / 1e6, differences }));
