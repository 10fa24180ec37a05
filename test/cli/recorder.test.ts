// Needs root: it mounts a small tmpfs.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openRecorder } from "../../src/cli/recorder.ts";
import type { Observation } from "../../src/observation.ts";
import { observationProblem } from "../../src/observation-shape.ts";
import { seen, aProcess } from "../detectors/observations.ts";
import { scratch, smallDisk } from "../store/scratch.ts";
import { fill } from "../store/full-disk.ts";

const observed = (pid: number): Observation => seen(aProcess(pid, { exe: `/${"x".repeat(300)}` }));

function linesOf(file: string): Record<string, unknown>[] {
  const text = readFileSync(file, "utf8");
  assert.ok(text.endsWith("\n"), text.slice(-80));
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a disk that fills up: whole lines, and one that says how many are missing", (t) => {
  const disk = smallDisk(t, 64);
  const file = join(disk, "recording");
  const recorder = openRecorder(file, "node-7");
  const filler = fill(disk);
  let written = 0;
  let refused = 0;
  for (let pid = 1; pid <= 200; pid++) {
    try {
      recorder.write(observed(pid));
      written++;
    } catch (thrown) {
      refused++;
      assert.match((thrown as Error).message, /recording cannot be written: .*ENOSPC/);
    }
    // The header and what was written, never a part of what was not.
    assert.equal(linesOf(file).length, 1 + written);
  }
  assert.ok(refused > 0);
  rmSync(filler);
  recorder.write(observed(201));
  recorder.write(observed(202));
  recorder.close();
  const [header, ...observations] = linesOf(file);
  assert.equal(header?.["node"], "node-7");
  for (const each of observations) assert.equal(observationProblem(each), undefined);
  const [gap, ...after] = observations.slice(written);
  assert.deepEqual([gap?.["kind"], gap?.["part"]], ["self.troubled", "recording"]);
  assert.match(String(gap?.["message"]), new RegExp(`^${refused} observations before this are missing`));
  assert.deepEqual(after, JSON.parse(JSON.stringify([observed(201), observed(202)])));
});

test("a disk that stays full is said at the end", (t) => {
  const disk = smallDisk(t, 64);
  const recorder = openRecorder(join(disk, "recording"), "node-7");
  fill(disk);
  let refused = 0;
  for (let pid = 1; pid <= 50; pid++) {
    try {
      recorder.write(observed(pid));
    } catch {
      refused++;
    }
  }
  assert.throws(() => recorder.close(), new RegExp(`lacks the last ${refused} observations`));
});

test("a file that is there, or cannot be begun, is refused in a sentence and left as it was", (t) => {
  const disk = smallDisk(t, 64);
  const taken = join(scratch(t), "taken");
  writeFileSync(taken, "kept");
  assert.throws(() => openRecorder(taken, "n"), { code: "RIMON_USAGE" });
  assert.equal(readFileSync(taken, "utf8"), "kept");
  fill(disk);
  const file = join(disk, "recording");
  assert.throws(() => openRecorder(file, "n"), { code: "RIMON_USAGE", message: /can be written: .*ENOSPC/ });
  assert.ok(!existsSync(file));
});
