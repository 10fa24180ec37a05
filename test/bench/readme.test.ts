// README.md shows the full run that lies in bench/, and no other.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { BENCHES } from "../../src/bench/all.ts";
import { picturesOf } from "../../src/bench/page.ts";
import { readmePart } from "../../src/bench/readme.ts";
import { parseResult } from "../../src/bench/result.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (...path: readonly string[]): string => readFileSync(join(root, ...path), "utf8");
const result = parseResult(read("bench", "result.json"), "bench/result.json");

test("the result beside it is of a full run of every bench", () => {
  assert.equal(result.quick, false);
  const benches = readdirSync(join(root, "src", "bench"));
  for (const bench of result.benches) assert.ok(benches.includes(`${bench}.ts`), bench);
  assert.equal(result.benches.length, BENCHES.length);
  // What the command says of itself: about a quarter of an hour.
  assert.ok(result.seconds <= 900, `it took ${result.seconds} s`);
});

test("the table and the claims of README.md are those of the result", async () => {
  const part = await format(readmePart(result), { parser: "markdown", printWidth: 120 });
  assert.ok(read("README.md").includes(part.trim()), "run: npm run bench:readme");
});

test("the pictures are those of the result", () => {
  const pictures = picturesOf(result);
  assert.deepEqual(readdirSync(join(root, "bench", "pictures")).toSorted(), [...pictures.keys()].map((name) => `${name}.svg`).toSorted()); // prettier-ignore
  for (const [name, picture] of pictures) assert.equal(read("bench", "pictures", `${name}.svg`), picture, name);
});
