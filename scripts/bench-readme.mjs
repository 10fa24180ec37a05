// Takes a full result of rimon bench over: bench/result.json, bench/pictures/ and the part of README.md that shows it.
//   npm run bench:readme [-- RESULT.json]

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { picturesOf } from "../src/bench/page.ts";
import { BEGINS, ENDS, readmePart } from "../src/bench/readme.ts";
import { parseResult } from "../src/bench/result.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const kept = join(root, "bench", "result.json");
const from = process.argv[2] ?? kept;
const text = readFileSync(from, "utf8");
const result = parseResult(text, from);
if (result.quick) throw new Error(`${from}: expected the result of a full run, got a quick one`);

writeFileSync(kept, text);
mkdirSync(join(root, "bench", "pictures"), { recursive: true });
for (const [name, picture] of picturesOf(result))
  writeFileSync(join(root, "bench", "pictures", `${name}.svg`), picture);

const readme = join(root, "README.md");
const before = readFileSync(readme, "utf8");
const [begins, ends] = [before.indexOf(BEGINS), before.indexOf(ENDS)];
if (begins < 0 || ends < begins) throw new Error(`README.md: expected ${BEGINS} and behind it ${ENDS}`);
const after = before.slice(0, begins) + readmePart(result) + before.slice(ends + ENDS.length);
writeFileSync(readme, await format(after, { parser: "markdown", printWidth: 120 }));
console.log(`README.md, bench/result.json and bench/pictures/ show the run of ${result.time}`);
