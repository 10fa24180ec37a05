// What was done to files, held against a baseline: what is told of it.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { FileTouched } from "../../src/file-touched.ts";
import { initFiles } from "../../src/files/check.ts";
import { createFileComparison } from "../../src/sensors/file-comparison.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext } from "./context.ts";

async function open(t: TestContext, roots: readonly string[]) {
  const context = createContext();
  const file = join(temporaryDirectory("file-comparison"), "files.json");
  await initFiles({ file, roots, rules: [{ path: "/", group: "config" }] });
  const touches: FileTouched[] = [];
  const comparison = createFileComparison(context, "file-events", (touched) => touches.push(touched));
  t.after(async () => {
    await comparison.close();
    context.close();
  });
  await comparison.refresh({ baseline: file, publicKeys: [], threshold: 1, lastGood: `${file}.kept` });
  return {
    touches,
    comparison,
    add(change: FileTouched["change"], path: string, from?: string): void {
      const touched: FileTouched = {
        kind: "file.touched",
        at: 1,
        sensor: "file-events",
        change,
        path,
        ...(from === undefined ? {} : { from }),
        folder: false,
        pid: process.pid,
        count: 1,
      };
      const paths = [path, ...(from === undefined ? [] : [from])].map((each) => Buffer.from(each));
      assert.ok(comparison.add(touched, paths, false));
    },
    differences: () => context.of("file.changed").map(({ change, path }) => `${change} ${path}`),
  };
}

test("a root that is a link: of what it leads to nothing is said to be as before", async (t) => {
  const folder = temporaryDirectory("file-comparison");
  mkdirSync(join(folder, "real"));
  mkdirSync(join(folder, "kept"));
  writeFileSync(join(folder, "real", "program"), "good");
  writeFileSync(join(folder, "kept", "program"), "good");
  symlinkSync("real", join(folder, "link"));
  const { comparison, add, touches, differences } = await open(t, [join(folder, "kept"), join(folder, "link")]);
  writeFileSync(join(folder, "real", "program"), "evil");
  add("written", join(folder, "real", "program"));
  add("written", join(folder, "kept", "program"));
  add("attributes", join(folder, "link"));
  await comparison.flush();
  assert.deepEqual(differences(), []);
  assert.deepEqual(touches.map(({ path, asBefore }) => [path.slice(folder.length), asBefore]), [
    ["/real/program", undefined],
    ["/kept/program", true],
    ["/link", true],
  ]); // prettier-ignore
});

test("moved and given another mode before it was compared: both names are", async (t) => {
  const folder = temporaryDirectory("file-comparison");
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  writeFileSync(a, "x");
  const { comparison, add, touches, differences } = await open(t, [folder]);
  renameSync(a, b);
  add("moved", b, a);
  chmodSync(b, 0o4755);
  add("attributes", b);
  await comparison.flush();
  assert.deepEqual(differences().toSorted(), [`added ${b}`, `removed ${a}`]);

  renameSync(b, a);
  chmodSync(a, 0o644);
  add("created", a);
  add("moved", a, b);
  add("attributes", a);
  await comparison.flush();
  assert.deepEqual(
    touches.map(({ change, did, from, count }) => ({ change, did, from, count })),
    [{ change: "moved", did: ["created", "moved", "attributes"], from: b, count: 3 }],
  );
});

test("one that had too many names before it was compared is found by a comparison of everything", async (t) => {
  const folder = temporaryDirectory("file-comparison");
  const names = Array.from({ length: 200 }, (_, n) => join(folder, `f${n}`));
  const last = join(folder, "last");
  for (const name of names) writeFileSync(name, "x");
  const { comparison, add, differences } = await open(t, [folder]);
  for (const name of names) {
    renameSync(name, last);
    add("moved", last, name);
  }
  await comparison.flush();
  const found = new Set(differences());
  assert.ok(found.has(`moved ${last}`));
  assert.deepEqual(
    names.slice(0, -1).filter((name) => !found.has(`removed ${name}`)),
    [],
  );
});
