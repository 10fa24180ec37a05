// What the exec gate remembers of files on a disk, and reads without waiting for it: on an ext4 of the test's own, in a file.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GATE_MODE } from "../../src/native.ts";
import {
  EVIL,
  NOBODY,
  disk,
  knowing,
  markedWith,
  mountOf,
  openGate,
  programs,
  run,
  sha256Of,
  tmpfs,
  unmount,
} from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { until } from "./child.ts";

const REFUSED = 126;
/** Longer than two ticks of any kernel: what changed within them is not remembered. */
const SETTLED_MS = 100;
const WRITTEN_AT = 1_700_000_000;

/** Programs on it that are not root's, so that the kernel is not left to remember what became of them. */
function scene(t: TestContext) {
  const folder = disk(t);
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

/** Bytes of the device below whatever file system is on it: neither a number nor a time of a file is another then. */
function swapBelow(device: string, before: Buffer, after: Buffer): void {
  const bytes = readFileSync(device);
  const at = bytes.indexOf(before);
  assert.ok(at > 0 && bytes.indexOf(before, at + 1) === -1, "it is there once");
  const fd = openSync(device, "r+");
  writeSync(fd, after, 0, after.length, at);
  fsyncSync(fd);
  closeSync(fd);
}

test("of another file system that comes to its number nothing is remembered, whatever its files say of themselves", async (t) => {
  const beside = temporaryDirectory("gate-again");
  chmodSync(beside, 0o755);
  const [content, image, folder] = [join(beside, "content"), join(beside, "image"), join(beside, "mounted")];
  for (const each of [content, folder]) mkdirSync(each);
  const made = programs();
  const program = join(folder, "program");
  copyFileSync(made.good, join(content, "program"));
  chmodSync(join(content, "program"), 0o755);
  chownSync(join(content, "program"), NOBODY, NOBODY);
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", content, image, "16M"]);
  const device = execFileSync("losetup", ["--find", "--show", image], { encoding: "utf8" }).trim();
  t.after(() => execFileSync("losetup", ["-d", device]));
  await sleep(SETTLED_MS);
  const { gate } = openGate(t, tmpfs(t), knowing(sha256Of(made.good)));
  const numbers: unknown[] = [];
  for (const [round, ends] of [0, REFUSED].entries()) {
    execFileSync("mount", ["-t", "ext4", "-o", "ro,noload", device, folder]);
    try {
      const { dev, isNew } = gate.mark(0, folder, mountOf(folder), GATE_MODE.enforce, false);
      const { ino, size, ctimeMs, mtimeMs } = statSync(program);
      numbers.push({ dev, isNew, ino, size, ctimeMs, mtimeMs });
      assert.equal(run(program), ends);
      assert.equal(run(program), ends);
      assert.deepEqual([gate.status().hashed, gate.status().remembered], [round + 1, round + 1]);
    } finally {
      unmount(folder);
    }
    if (round === 0) swapBelow(device, markedWith(made.good), markedWith(made.evil));
  }
  assert.deepEqual(numbers[0], numbers[1]);
});

/** Of each thread of the gates here, how often it has waited. */
function waits(): Map<string, number> {
  const threads = readdirSync("/proc/self/task").map((task) => join("/proc/self/task", task));
  const gates = threads.filter((task) => readFileSync(join(task, "comm"), "latin1").trim() === "rimon-gate");
  return new Map(
    gates.map((task) => {
      const status = readFileSync(join(task, "status"), "latin1");
      return [task, Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1])];
    }),
  );
}

test("what is small and in memory is read by the thread that leads, where blocks are smaller than pages, too", async (t) => {
  const folder = disk(t, "-t", "ext2", "-b", "1024");
  const program = join(folder, "true");
  copyFileSync("/bin/true", program);
  // Its last page is not whole in memory: only what there is of it.
  assert.ok(statSync(program).size % 4096 < 3072, "a program whose last page has blocks behind its end");
  const { gate } = openGate(t, folder, knowing(sha256Of(program)));
  const before = await until("its four threads", () => {
    const found = waits();
    return found.size === 4 ? found : undefined;
  });
  for (let time = 0; time < 3; time++) {
    // As one that is not known: the times of the last change are too near.
    copyFileSync("/bin/true", program);
    assert.equal(run(program), 0);
  }
  assert.equal(gate.status().hashed, 3);
  const woken = [...waits()].filter(([task, count]) => count !== before.get(task));
  assert.equal(woken.length, 1, JSON.stringify([[...before], woken]));
});
