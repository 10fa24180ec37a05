// What a baseline takes of memory does not grow with its entries.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { tree } from "./tree.ts";

/** More than the 20,000 entries of files that went which are kept, to be found again under another name. */
const FEW = 25_000;
const MANY = 100_000;
/** What the collector of garbage may leave lying. To keep every entry would take 75 MB more, as objects or as Buffers. */
const MAY_GROW_MB = 30;
const PROGRAM = fileURLToPath(new URL("peak-child.ts", import.meta.url));

interface Tree {
  readonly root: string;
  readonly file: string;
}

function treeOf(count: number): Tree {
  const { root, file, at } = tree();
  for (let number = 0; number < count; number++) {
    const folder = at(`many/folder-${Math.floor(number / 1_000)}`);
    if (number % 1_000 === 0) mkdirSync(folder, { recursive: true });
    closeSync(openSync(join(folder, `a-file-with-a-name-as-long-as-usual-${number}`), "w"));
  }
  return { root, file };
}

function peak(what: string, { root, file }: Tree): { readonly megabytes: number; readonly differences: number } {
  const ran = spawnSync(process.execPath, ["--import", "tsx", PROGRAM, what, root, file], { encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout) as ReturnType<typeof peak>;
}

describe("the memory that a baseline takes", () => {
  let [few, many]: Tree[] = [];
  before(async () => {
    few = treeOf(FEW);
    many = treeOf(MANY);
    // What was made within two seconds of being read is read again by each check, which takes more and is another matter.
    await sleep(2_500);
  });

  const differ = { init: false, check: false, full: false, update: false, removed: true } as const;
  for (const [what, hasDifferences] of Object.entries(differ)) {
    it(`does not grow with its entries: ${what}`, () => {
      if (few === undefined || many === undefined) assert.fail("there are no trees");
      const [small, large] = [peak(what, few), peak(what, many)];
      assert.equal(large.differences >= MANY, hasDifferences);
      assert.ok(large.megabytes < small.megabytes + MAY_GROW_MB, `${small.megabytes} MB, ${large.megabytes} MB`);
    });
  }
});
