// Files that somebody names: read as far as is wanted, and never waited for.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readIfThere, readPinnedKeys, readText, readUpTo } from "../src/named-files.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

test("one byte more than is wanted, so that it is seen that there is more", async () => {
  const file = join(temporaryDirectory("named"), "file");
  writeFileSync(file, "0123456789", { mode: 0o640 });
  for (const [max, text] of [
    [20, "0123456789"],
    [10, "0123456789"],
    [4, "01234"],
    [0, "0"],
  ] as const)
    // prettier-ignore
    assert.deepEqual(await readUpTo(max, file), { bytes: Buffer.from(text), mode: 0o640 });
  assert.equal(await readText(10, file), "0123456789");
  await assert.rejects(readText(9, file), /^Error: it has more than 9 bytes$/);
});

test("what is not there is undefined where it may be, and a sentence where it may not", async () => {
  const nowhere = join(temporaryDirectory("named"), "nowhere");
  assert.equal(await readIfThere(10, nowhere), undefined);
  await assert.rejects(readPinnedKeys([nowhere]), /nowhere cannot be read: ENOENT.*; public keys were expected/);
});

test("a FIFO that nobody writes to holds up nobody", async () => {
  const fifo = join(temporaryDirectory("named"), "fifo");
  execFileSync("mkfifo", [fifo]);
  await assert.rejects(readPinnedKeys([fifo]), /fifo cannot be read: it is not a regular file; public keys/);
  await assert.rejects(readIfThere(10, fifo), /it is not a regular file/);
});
