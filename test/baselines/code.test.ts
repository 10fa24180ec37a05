// Code that was really damaged: in the memory of a process, in the page cache, on the disk below it. Needs root: a file
// system of its own in a file, by a loop device.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, copyFileSync, openSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Change } from "../../src/isolation-changed.ts";
import { check, procfs, snapshot } from "../../src/isolation.ts";
import { Child } from "../fixtures/child.ts";
import { functionIn, readCode, writeCode } from "../fixtures/code.ts";
import { compile } from "../fixtures/compile.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const CODE = { subsystems: ["code"] };

const SLEEPER = compile("sleeper");

async function start(t: TestContext, program: string): Promise<Child> {
  const child = new Child(program, []);
  t.after(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  assert.equal(await child.takeLine(20_000), "asleep");
  return child;
}

/** Code that nobody calls: its address, its place in the file, and what is told of the mapping that it is in. */
function codeOf(pid: number, program: string): { address: number; offset: number; place: string } {
  const { address, offset } = functionIn(pid, program, "nobody_calls");
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const [, start, end, at] = /^([0-9a-f]+)-([0-9a-f]+) r-xp ([0-9a-f]+) /.exec(line) ?? [];
    if (start !== undefined && address >= parseInt(start, 16) && address < parseInt(end!, 16))
      return { address, offset, place: `${program} at ${parseInt(at!, 16).toString(16)}` };
  }
  throw new Error(`process ${pid} has no code of ${program} mapped`);
}

function changesOf(baseline: ReturnType<typeof snapshot>, pid: number): readonly Change[] {
  const checked = check(baseline, procfs.live(pid), CODE);
  return checked.ok ? [] : checked.anomalies.flatMap(({ changes }) => changes);
}

/** Each once: a digest and what it differs by are told of one change. */
const verdicts = (changes: readonly Change[]): unknown[] => [...new Set(changes.map(({ verdict }) => verdict))];

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const other = Buffer.from(bytes);
  other[bit >> 3] = other[bit >> 3]! ^ (1 << (bit & 7));
  return other;
};

/** A file system in a file, mounted; and what writes to that file below it. */
function scratchDisk(t: TestContext) {
  const folder = temporaryDirectory("disk");
  const [image, mounted] = [join(folder, "image"), join(folder, "mounted")];
  const run = (command: string, ...args: readonly string[]): void => void execFileSync(command, args, { timeout: 30_000 }); // prettier-ignore
  run("truncate", "--size=16M", image);
  run("mkfs.ext4", "-q", "-F", image);
  run("mkdir", mounted);
  const mount = (): void => run("mount", "-o", "loop", image, mounted);
  const unmount = (): void => run("umount", mounted);
  mount();
  // Lazily: what runs from it is ended after this.
  t.after(() => run("umount", "--lazy", mounted));
  return {
    mounted,
    remount(): void {
      unmount();
      mount();
    },
    /** Exchanges bytes in the image, below the file system; it must have them once. */
    exchange(before: Buffer, after: Buffer): void {
      const fd = openSync(image, "r+");
      try {
        const all = Buffer.alloc(statSync(image).size);
        readSync(fd, all, 0, all.length, 0);
        const at = all.indexOf(before);
        assert.ok(at >= 0 && all.indexOf(before, at + 1) < 0, "the image does not have these bytes once");
        writeSync(fd, after, 0, after.length, at);
      } finally {
        closeSync(fd);
      }
    },
  };
}

test("bits that are flipped in the memory of a process", async (t) => {
  const program = join(temporaryDirectory("code"), "sleeper");
  copyFileSync(SLEEPER, program);
  const { pid } = await start(t, program);
  const other = await start(t, program);
  const baseline = snapshot(procfs.live(pid), CODE);
  assert.deepEqual(changesOf(baseline, pid), []);
  const { address, place } = codeOf(pid, program);
  const bytes = readCode(pid, address, 16);

  writeCode(pid, address, flipped(bytes, 13));
  const bit = changesOf(baseline, pid);
  assert.deepEqual(bit.map(({ fact }) => fact), [place, `copies of ${place}`]); // prettier-ignore
  assert.deepEqual(verdicts(bit), ["one-bit fault in memory"]);
  assert.equal(bit[1]?.actual, "1 page differs from the page cache by 1 bit");

  writeCode(pid, address, Buffer.concat([Buffer.from([0xe9, 1, 2, 3, 4]), bytes.subarray(5)]));
  assert.deepEqual(verdicts(changesOf(baseline, pid)), ["patched in memory"]);
  // A copy whose bytes are the file's again executes what the file says.
  writeCode(pid, address, bytes);
  assert.deepEqual(changesOf(baseline, pid), []);
  // Nobody else has that copy.
  assert.deepEqual(changesOf(baseline, other.pid), []);
});

test("the page cache is damaged, the disk is not", async (t) => {
  const disk = scratchDisk(t);
  const program = join(disk.mounted, "sleeper");
  copyFileSync(SLEEPER, program);
  disk.remount();
  const good = await start(t, program);
  const baseline = snapshot(procfs.live(good.pid), CODE);
  const { address } = codeOf(good.pid, program);
  const bytes = readCode(good.pid, address, 256);
  assert.deepEqual(changesOf(baseline, good.pid), []);
  good.kill("SIGKILL");
  await good.exited;

  for (const [bit, damaged] of [
    [true, flipped(bytes, 999)],
    [false, flipped(flipped(bytes, 999), 1_000)],
  ] as const) {
    disk.remount();
    // It comes into the cache like this, and is good below it again.
    disk.exchange(bytes, damaged);
    const child = await start(t, program);
    readCode(child.pid, codeOf(child.pid, program).address, 4096);
    disk.exchange(damaged, bytes);
    const changes = changesOf(baseline, child.pid);
    assert.deepEqual(verdicts(changes), ["corrupt page cache"]);
    assert.match(changes.map(({ actual }) => actual).join("; "), bit ? /by 1 bit, sha256/ : /by 2 bits, sha256/);
    child.kill("SIGKILL");
    await child.exited;
  }
});

test("the file is changed on the disk: below the page cache, and by a write", async (t) => {
  const disk = scratchDisk(t);
  const program = join(disk.mounted, "sleeper");
  copyFileSync(SLEEPER, program);
  disk.remount();
  const child = await start(t, program);
  const baseline = snapshot(procfs.live(child.pid), CODE);
  const { address, offset, place } = codeOf(child.pid, program);
  const bytes = readCode(child.pid, address, 256);
  const patched = Buffer.concat([Buffer.from("patched by a test"), bytes.subarray(17)]);

  disk.exchange(bytes, patched);
  const below = changesOf(baseline, child.pid);
  assert.deepEqual(below.map(({ fact }) => fact), [`${place} on disk`]); // prettier-ignore
  assert.deepEqual(verdicts(below), ["file changed on disk"]);
  disk.exchange(patched, bytes);
  assert.deepEqual(changesOf(baseline, child.pid), []);
  child.kill("SIGKILL");
  await child.exited;

  // Nobody writes to a program that runs; its next life has the other bytes everywhere.
  const fd = openSync(program, "r+");
  writeSync(fd, patched, 0, patched.length, offset);
  closeSync(fd);
  const next = await start(t, program);
  const changes = changesOf(baseline, next.pid);
  assert.deepEqual(changes.map(({ fact }) => fact), [place]); // prettier-ignore
  assert.deepEqual(verdicts(changes), ["file changed on disk"]);
});
