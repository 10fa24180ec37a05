// What comes into a process and goes all day: libraries that are loaded, let go and loaded again, code that is compiled.

import assert from "node:assert/strict";
import { test } from "node:test";
import { carriedOn, type Snapshot } from "../../src/baselines/snapshot.ts";
import { check, procfs, snapshot } from "../../src/isolation.ts";

const PROGRAM = [
  "00400000-00452000 r-xp 00000000 fd:00 11                         /usr/bin/vault",
  "00652000-00655000 rw-p 00052000 fd:00 11                         /usr/bin/vault",
];
const library = (inode: number, path: string): string[] => [
  `7f12a9000000-7f12a9002000 r--p 00000000 fd:00 ${inode}                     ${path}`,
  `7f12a9002000-7f12a9007000 r-xp 00002000 fd:00 ${inode}                     ${path}`,
  `7f12a9007000-7f12a9009000 r--p 00007000 fd:00 ${inode}                     ${path}`,
  `7f12a9009000-7f12a900a000 rw-p 00008000 fd:00 ${inode}                     ${path}`,
];
const UUID = library(21, "/usr/lib/libuuid.so.1");
const OTHER = library(22, "/tmp/libother.so");
const COMPILED = "7f12a4000000-7f12a4021000 r-xp 00000000 00:00 0 ";
const DATA = "7f12b8000000-7f12b8100000 r--p 00000000 fd:00 91                         /var/lib/vault/data.db";

const of = (...lines: readonly (readonly string[] | string)[]): string => {
  const all = lines.flat().toSorted((a, b) => (a.padStart(40, "0") < b.padStart(40, "0") ? -1 : 1));
  return `${all.join("\n")}\n`;
};
const sourceOf = (maps: string) => procfs.mock({ maps });
const OPTIONS = { subsystems: ["memory-maps"], clock: () => 1_000 };

/** What each is told, one after the other, each compared with what the one before left. */
function toldOf(...texts: readonly string[]): string[] {
  const [first = "", ...more] = texts;
  let baseline: Snapshot = snapshot(sourceOf(first), OPTIONS);
  return more.map((maps) => {
    const checked = check(baseline, sourceOf(maps), OPTIONS);
    baseline = carriedOn(baseline, checked.snapshot);
    return checked.ok ? "" : checked.anomalies.map(({ message }) => message).join();
  });
}

const NEW = "memory-maps: file fd:00 21 at 2000 is r-xp 5000 bytes of /usr/lib/libuuid.so.1, which is new";

test("a library is told once, by its code, however often it is let go and loaded again", () => {
  const [without, with_] = [of(PROGRAM), of(PROGRAM, UUID)];
  assert.deepEqual(toldOf(without, with_, with_, without, without, with_, without), [NEW, "", "", "", "", ""]);
  assert.deepEqual(toldOf(with_, without, with_, without, with_), ["", "", "", ""]);
});

test("another file in its place is told, and so is one of the same file with other rights", () => {
  const [, back] = toldOf(of(PROGRAM, UUID), of(PROGRAM), of(PROGRAM, OTHER));
  assert.match(back ?? "", /file fd:00 22 at 2000 is r-xp 5000 bytes of \/tmp\/libother\.so, which is new$/);
  const writable = of(PROGRAM, UUID).replace("r-xp 00002000", "rwxp 00002000");
  const [, changed] = toldOf(of(PROGRAM, UUID), of(PROGRAM), writable);
  assert.match(changed ?? "", /file fd:00 21 at 2000 was r-xp .*, is rwxp /);
});

test("a library that was seen as it was being loaded is no news when its data are made read-only; that anything gains rights is", () => {
  const data = (...lines: string[]): string => of(PROGRAM, UUID.slice(0, 3), lines);
  const loading = data("7f12a9009000-7f12a900b000 rw-p 00008000 fd:00 21                     /usr/lib/libuuid.so.1");
  const loaded = data(
    "7f12a9009000-7f12a900a000 r--p 00008000 fd:00 21                     /usr/lib/libuuid.so.1",
    "7f12a900a000-7f12a900b000 rw-p 00009000 fd:00 21                     /usr/lib/libuuid.so.1",
  );
  assert.deepEqual(toldOf(loading, loaded), [""]);
  assert.match(toldOf(loaded, loading)[0] ?? "", /at 8000 was r--p 1000 bytes .*, is rw-p 2000 bytes/);
  assert.match(toldOf(loading, loaded.replace("r--p 00008000", "r-xp 00008000"))[0] ?? "", /is r-xp 1000 bytes/);
});

test("a library that lost its code alone had it replaced, if by memory that nobody can tell from what is compiled", () => {
  const replaced = UUID.map((line) =>
    line.includes("r-xp") ? "7f12a9002000-7f12a9007000 r-xp 00000000 00:00 0 " : line,
  );
  const [told] = toldOf(of(PROGRAM, UUID, COMPILED), of(PROGRAM, COMPILED, replaced));
  assert.match(told ?? "", /file fd:00 21 at 2000 is gone \(was r-xp 5000 bytes of \/usr\/lib\/libuuid\.so\.1\)/);
});

test("one mapping of a file that gains another is told whatever it is", () => {
  const more = `7f12a900a000-7f12a900b000 rw-p 00009000 fd:00 21                     /usr/lib/libuuid.so.1`;
  const [told] = toldOf(of(PROGRAM, UUID), of(PROGRAM, UUID, more));
  assert.match(told ?? "", /file fd:00 21 at 9000 is rw-p 1000 bytes/);
});

test("code that is compiled at run time is told once, and data files never", () => {
  const texts = [of(PROGRAM), of(PROGRAM, COMPILED), of(PROGRAM, DATA), of(PROGRAM, COMPILED), of(PROGRAM)];
  const first = "memory-maps: executable memory of no file was none, is there is some";
  assert.deepEqual(toldOf(...texts), [first, "", "", ""]);
});

test("of what comes and goes a bounded number is remembered", () => {
  let baseline = snapshot(sourceOf(of(PROGRAM)), OPTIONS);
  for (let inode = 100; inode < 1_300; inode++) {
    for (const maps of [of(PROGRAM, library(inode, "/tmp/ever-new.so")), of(PROGRAM)])
      baseline = carriedOn(baseline, snapshot(sourceOf(maps), OPTIONS));
  }
  const facts = Object.keys(baseline.subsystems["memory-maps"]?.facts ?? {});
  assert.ok(facts.length > 4_000 && facts.length < 4_200, `${facts.length}`);
  assert.ok(facts.includes("file fd:00 11 at 0"));
});

test("what cannot be read leaves what was known", () => {
  const baseline = snapshot(sourceOf(of(PROGRAM)), OPTIONS);
  const unread = snapshot(procfs.mock({}), OPTIONS);
  assert.deepEqual(carriedOn(baseline, unread).subsystems, baseline.subsystems);
  assert.deepEqual(carriedOn(unread, baseline).subsystems, baseline.subsystems);
});
