// What the exec gate remembers of files on a disk, and reads without waiting for it: on an ext4 of the test's own, in a file.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EVIL, NOBODY, knowing, openGate, programs, run, sha256Of } from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const REFUSED = 126;
/** Longer than two ticks of any kernel: what changed within them is not remembered. */
const SETTLED_MS = 100;
const WRITTEN_AT = 1_700_000_000;

function ext4(t: TestContext): string {
  const folder = temporaryDirectory("gate-disk");
  chmodSync(folder, 0o755);
  const [image, mounted] = [join(folder, "image"), join(folder, "mounted")];
  execFileSync("truncate", ["-s", "64M", image]);
  execFileSync("mkfs.ext4", ["-q", "-F", image], {
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
  });
  mkdirSync(mounted);
  execFileSync("mount", ["-o", "loop", image, mounted]);
  t.after(() => execFileSync("umount", ["-l", mounted]));
  return mounted;
}

/** Programs on it that are not root's, so that the kernel is not left to remember what became of them. */
function scene(t: TestContext) {
  const folder = ext4(t);
  const made = programs();
  const program = join(folder, "program");
  copyFileSync(made.good, program);
  chmodSync(program, 0o755);
  chownSync(program, NOBODY, NOBODY);
  return { folder, program, made, known: sha256Of(program) };
}

/** Takes its pages out of the page cache, so that to read it is to wait for the disk. */
function forget(path: string): void {
  execFileSync("sync", [path]);
  execFileSync("dd", [
    `of=${path}`,
    "oflag=nocache",
    "conv=notrunc,fdatasync",
    "count=0",
    "status=none",
    "if=/dev/null",
  ]);
  const resident = execFileSync("fincore", ["--noheadings", "--bytes", "--output", "RES", path], { encoding: "utf8" });
  assert.equal(Number(resident), 0);
}

test("what was read once is not read again while it is the same; a digest is remembered, not a verdict", async (t) => {
  const { folder, program, known } = scene(t);
  await sleep(SETTLED_MS);
  const { gate } = openGate(t, folder, knowing(known));
  assert.equal(run(program), 0);
  const once = gate.status();
  assert.deepEqual([once.hashed, once.remembered, once.settled], [1, 0, 0]);
  for (let time = 1; time <= 3; time++) {
    assert.equal(run(program), 0);
    const { hashed, remembered } = gate.status();
    assert.deepEqual([hashed, remembered], [1, time]);
  }
});

test("of another content it is read again, though its size and times are those of before", async (t) => {
  const { folder, program, made, known } = scene(t);
  utimesSync(program, WRITTEN_AT, WRITTEN_AT);
  await sleep(SETTLED_MS);
  const { gate } = openGate(t, folder, knowing(known));
  assert.equal(run(program), 0);
  assert.equal(run(program), 0);
  const { size } = statSync(program);
  writeFileSync(program, readFileSync(made.evil));
  utimesSync(program, WRITTEN_AT, WRITTEN_AT);
  assert.deepEqual([statSync(program).size, statSync(program).mtimeMs], [size, 1_000 * WRITTEN_AT]);
  await sleep(SETTLED_MS);
  assert.equal(run(program), REFUSED);
  // And remembered as what it is.
  const { hashed } = gate.status();
  assert.equal(run(program), REFUSED);
  assert.deepEqual([gate.status().hashed, gate.status().remembered > 1], [hashed, true]);
  writeFileSync(program, readFileSync(made.good));
  await sleep(SETTLED_MS);
  assert.equal(run(program), 0);
});

test("what is not in memory is read from the disk and judged the same", async (t) => {
  const { folder, program, made, known } = scene(t);
  const evil = join(folder, "evil");
  copyFileSync(made.evil, evil);
  chmodSync(evil, 0o755);
  const { gate } = openGate(t, folder, knowing(known));
  for (const [path, ends] of [
    [program, 0],
    [evil, REFUSED],
  ] as const) {
    forget(path);
    const { hashed, unanswered } = gate.status();
    assert.equal(run(path), ends);
    assert.deepEqual([gate.status().hashed, gate.status().unanswered], [hashed + 1, unanswered]);
  }
  assert.equal(gate.status().hashedBytes, statSync(program).size + statSync(evil).size);
  gate.close();
  // Without a gate it runs, and is the other one.
  assert.equal(run(evil), EVIL);
});
