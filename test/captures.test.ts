// Recordings of real acts (captures/record.ts) and what must be found in them. Needs no privileges and no addon.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { replayed, summaryOf, type Summary } from "./captures/replayed.ts";

const folder = new URL("captures/", import.meta.url);

for (const kind of ["attacks", "quiet"]) {
  const names = readdirSync(new URL(`${kind}/`, folder)).filter((name) => name.endsWith(".ndjson"));
  assert.ok(names.length > 0, `expected captures in test/captures/${kind}`);
  for (const name of names) {
    test(`${kind}/${name}`, async () => {
      const file = new URL(`${kind}/${name}`, folder);
      const lines = readFileSync(file, "utf8").split("\n");
      const verdicts = await replayed(lines, name);
      // Quiet is what nobody is told of and nothing is done about.
      if (kind === "quiet")
        assert.deepEqual(
          verdicts.filter(({ actions }) => actions.length > 0),
          [],
        );
      else
        assert.deepEqual(
          verdicts.map(({ finding }) => summaryOf(finding)),
          expectedOf(file),
        );
      // The same recording gives the same verdicts, ids included.
      assert.deepEqual(await replayed(lines, name), verdicts);
    });
  }
}

function expectedOf(file: URL): Summary[] {
  return JSON.parse(readFileSync(new URL(file.href.replace(/\.ndjson$/, ".findings.json")), "utf8")) as Summary[];
}
