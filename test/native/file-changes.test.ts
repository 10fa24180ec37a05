// Who changes which file, by the thread of file_watch.c, on a tmpfs of the test's own and on the filesystem of /tmp.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { requireAddon, type Watch } from "../../src/native.ts";
import type { FileChangeRecord, NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { compile } from "../fixtures/compile.ts";
import { exitOf, lineOf, start, until } from "./child.ts";

const { addon } = requireAddon();
const LEVELS = { names: 1, pidfds: 2, moves: 3 } as const;

interface Watching {
  readonly watch: Watch;
  readonly records: NativeRecord[];
  /** The watched folder and one beside it, on the same filesystem. */
  readonly inside: string;
  readonly outside: string;
}

function tmpfs(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rimon-tmpfs-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256m,nr_inodes=0", "rimon-test", folder]);
  t.after(() => {
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function onDisk(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rimon-files-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function open(t: TestContext, folder: string, level: number = LEVELS.moves, excluded: string[] = []): Watching {
  const [inside, outside] = [join(folder, "inside"), join(folder, "outside")];
  mkdirSync(inside);
  mkdirSync(outside);
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const watch = addon.openWatch({ connector: true, files: false, exec: true }, procfs, (batch) => {
    records.push(...decodeRecords(batch));
  });
  t.after(() => {
    watch.close();
    procfs.close();
  });
  watch.openChanges(level);
  assert.deepEqual(watch.status().changes.reason, undefined);
  watch.aimChanges([inside], excluded);
  watch.markChanges(folder);
  return { watch, records, inside, outside };
}

const changesIn = (records: readonly NativeRecord[]) =>
  records.filter((record): record is FileChangeRecord => record.kind === "file-change");

/** What is true of a change, in words, by the names of the folders. */
function words(change: FileChangeRecord, { inside, outside }: Watching): string {
  const short = (path: Buffer) => path.toString("latin1").replace(inside, "in").replace(outside, "out");
  const what = (
    ["folder", "created", "written", "closed", "attributes", "moved", "removed", "fromOutside", "toOutside"] as const
  ).filter((name) => change[name]);
  return [short(change.path), ...what, ...(change.from === undefined ? [] : [`from ${short(change.from)}`])].join(" ");
}

/** Runs a program, and gives in words what it was told to have done once `last` was told of it. */
async function acts(watching: Watching, last: string, command: string, ...args: string[]): Promise<string[]> {
  const child = spawn(command, args, { stdio: "inherit" });
  const told = () =>
    changesIn(watching.records)
      .filter(({ pid }) => pid === child.pid)
      .map((change) => words(change, watching));
  const [where = "", ...what] = last.split(" ");
  await until(`${last} by ${command} ${args.join(" ")}`, () =>
    told().find((each) => each.includes(where) && what.every((word) => each.split(" ").includes(word))),
  );
  assert.deepEqual(await exitOf(child), { code: 0, signal: null });
  return told();
}

for (const [where, folderOf] of [
  ["a tmpfs", tmpfs],
  ["a real filesystem", onDisk],
] as const) {
  test(`every kind of change on ${where}, each by who did it`, async (t) => {
    const watching = open(t, folderOf(t));
    const { inside, outside } = watching;
    const program = compile("file-acts");
    const file = join(inside, "file");

    const made = await acts(watching, "closed", "sh", "-c", `echo x > ${file}`);
    assert.ok(
      made.some((each) => each.startsWith("in/file created")),
      made.join("\n"),
    );
    assert.ok(
      made.some((each) => each.includes("written")),
      made.join("\n"),
    );
    await acts(watching, "in/file written", "sh", "-c", `echo y >> ${file}`);
    await acts(watching, "in/file written", program, "truncate", file);
    await acts(watching, "in/file attributes", "chmod", "640", file);
    await acts(watching, "in/file attributes", "chown", "1", file);
    await acts(watching, "in/file attributes", program, "xattr", file);
    appendFileSync(file, "x");
    assert.deepEqual(await acts(watching, "in/file closed", program, "map", file), ["in/file closed"]);
    const linked = await acts(watching, "in/link created", "ln", file, join(inside, "link"));
    assert.ok(
      linked.some((each) => each.includes("attributes")),
      linked.join("\n"),
    );
    await acts(watching, "in/link removed", "rm", join(inside, "link"));

    const moved = (from: string, to: string) => ["mv", join(from), join(to)] as const;
    assert.deepEqual(await acts(watching, "moved", ...moved(file, join(inside, "other"))), [
      "in/other moved from in/file",
    ]);
    assert.deepEqual(await acts(watching, "moved", ...moved(join(inside, "other"), join(outside, "gone"))), [
      "out/gone moved toOutside from in/other",
    ]);
    assert.deepEqual(await acts(watching, "moved", ...moved(join(outside, "gone"), file)), [
      "in/file moved fromOutside from out/gone",
    ]);
    writeFileSync(join(inside, "second"), "2");
    const exchanged = await acts(watching, "in/file moved", program, "exchange", file, join(inside, "second"));
    assert.deepEqual(exchanged, ["in/second moved from in/file", "in/file moved from in/second"]);

    mkdirSync(join(outside, "tree"));
    writeFileSync(join(outside, "tree", "leaf"), "1");
    assert.deepEqual(await acts(watching, "moved", ...moved(join(outside, "tree"), join(inside, "tree"))), [
      "in/tree folder moved fromOutside from out/tree",
    ]);
    await acts(watching, "in/tree/leaf written", "sh", "-c", `echo x >> ${join(inside, "tree", "leaf")}`);
    assert.deepEqual(await acts(watching, "moved", ...moved(join(inside, "tree"), join(inside, "shrub"))), [
      "in/shrub folder moved from in/tree",
    ]);
    // By its new name, which no event of its own told.
    await acts(watching, "in/shrub/leaf written", "sh", "-c", `echo x >> ${join(inside, "shrub", "leaf")}`);

    const brief = await acts(watching, "in/brief folder removed", program, "brief", join(inside, "brief"));
    assert.ok(
      brief.some((each) => each.startsWith("in/brief/file created")),
      brief.join("\n"),
    );

    await acts(watching, "moved", ...moved(inside, `${inside}.away`));
    await acts(watching, "moved", ...moved(`${inside}.away`, inside));
    await acts(watching, "in/file written", "sh", "-c", `echo x >> ${file}`);
    assert.equal(watching.watch.status().changes.lost, 0);
  });
}

test("a file that is written and stays open is told at once", async (t) => {
  const watching = open(t, onDisk(t));
  const file = join(watching.inside, "file");
  writeFileSync(file, "");
  const holder = start(t, compile("file-acts"), ["hold", file]);
  assert.equal(await lineOf(holder), "written");
  const change = await until("the write", () => changesIn(watching.records).find(({ pid }) => pid === holder.pid));
  assert.equal(words(change, watching), "in/file written");
  holder.stdin?.end();
  await exitOf(holder);
});

test("who did it is read while it lives, and is certain", async (t) => {
  const watching = open(t, onDisk(t));
  const shell = start(t, "sh", ["-c", `echo x > ${join(watching.inside, "file")}; read end`]);
  const change = await until("the change", () => changesIn(watching.records).find(({ pid }) => pid === shell.pid));
  const at = watching.records.indexOf(change);
  const actor = watching.records
    .slice(0, at)
    .findLast((record) => record.kind === "process" && record.process.pid === shell.pid);
  assert.ok(actor?.kind === "process");
  assert.equal(actor.process.startTime, change.startTime);
  assert.equal(actor.process.comm, "sh");
  assert.equal(actor.process.parentPid, process.pid);
});

test("a process that is gone at once was told to have started, before what it did", async (t) => {
  const watching = open(t, onDisk(t));
  if (!watching.watch.status().exec.live) return assert.fail("the exec program has to be live here");
  const program = compile("file-acts");
  for (let round = 0; round < 20; round++) {
    const folder = join(watching.inside, `${round}`);
    const child = spawn(program, ["brief", folder], { stdio: "ignore" });
    const change = await until("the folder", () =>
      changesIn(watching.records).find(({ pid, path }) => pid === child.pid && path.toString() === folder),
    );
    const before = watching.records.slice(0, watching.records.indexOf(change));
    assert.ok(
      before.some((record) => record.kind === "process" && record.process.pid === child.pid),
      `round ${round}`,
    );
  }
});

test("rimon's own writes, what is excluded and what is elsewhere are not told", async (t) => {
  const folder = onDisk(t);
  const watching = open(t, folder, LEVELS.moves, [join(folder, "inside", "log")]);
  const { inside, outside, records } = watching;
  writeFileSync(join(inside, "own"), "x");
  renameSync(join(inside, "own"), join(inside, "own2"));
  chmodSync(join(inside, "own2"), 0o600);
  chownSync(join(inside, "own2"), 1, 1);
  linkSync(join(inside, "own2"), join(inside, "own3"));
  unlinkSync(join(inside, "own3"));
  const command = `mkdir ${inside}/log; echo x > ${inside}/log/a; echo x > ${outside}/b; echo x > ${inside}-c; echo x > ${inside}/last`;
  await acts(watching, "in/last", "sh", "-c", command);
  assert.deepEqual(
    [...new Set(changesIn(records).map(({ path }) => path.toString().replace(folder, "")))],
    ["/inside/last"],
  );
});

test("names are bytes: newlines and what is no UTF-8 stay as they are", async (t) => {
  const watching = open(t, onDisk(t));
  const script = String.raw`printf x > "$1/a
b"; printf x > "$1/$(printf 'c\377\\')"`;
  await acts(watching, "c\xff\\", "sh", "-c", script, "sh", watching.inside);
  const names = new Set(
    changesIn(watching.records).map(({ path }) => path.subarray(watching.inside.length + 1).toString("hex")),
  );
  assert.deepEqual([...names], [Buffer.from("a\nb").toString("hex"), "63ff5c"]);
});

test("as on older kernels: a move is two events, and is told as one", async (t) => {
  for (const level of [LEVELS.pidfds, LEVELS.names]) {
    const watching = open(t, onDisk(t), level);
    const { inside, outside } = watching;
    await acts(watching, "in/a", "sh", "-c", `echo x > ${inside}/a`);
    assert.deepEqual(await acts(watching, "moved", "mv", `${inside}/a`, `${inside}/b`), ["in/b moved from in/a"]);
    assert.deepEqual(await acts(watching, "moved", "mv", `${inside}/b`, `${outside}/c`), [
      "out/c moved toOutside from in/b",
    ]);
    assert.deepEqual(await acts(watching, "moved", "mv", `${outside}/c`, `${inside}/d`), [
      "in/d moved fromOutside from out/c",
    ]);
    await acts(watching, "in/d removed", "rm", `${inside}/d`);
    watching.watch.close();
  }
});

test("a move to another filesystem is what it is: made there, removed here", async (t) => {
  const [here, there] = [open(t, onDisk(t)), open(t, tmpfs(t))];
  writeFileSync(join(here.inside, "a"), "1");
  here.watch.aimChanges([here.inside, there.inside], []);
  here.watch.markChanges(there.inside);
  const told = await acts(here, "removed", "mv", join(here.inside, "a"), join(there.inside, "a"));
  assert.ok(
    told.some((each) => each.includes("created")),
    told.join("\n"),
  );
  assert.ok(told.includes("in/a removed"), told.join("\n"));
});

test("a storm is told whole, or its loss is", async (t) => {
  const watching = open(t, tmpfs(t));
  const { watch, records, inside } = watching;
  const files = 50_000;
  const storm = start(t, compile("file-storm"), [inside, String(files / 2), "2", "keep"]);
  assert.equal((await exitOf(storm)).code, 0);
  await acts(watching, "in/last", "sh", "-c", `echo x > ${inside}/last`);
  const lost = records.filter(({ kind }) => kind === "lost");
  const made = new Set(changesIn(records).flatMap(({ created, path }) => (created ? [path.toString()] : [])));
  made.delete(join(inside, "last"));
  if (lost.length === 0) assert.equal(made.size, files);
  else assert.ok(watch.status().changes.lost > 0);
});

test("changes that JavaScript does not take are counted, and those it can take are whole", async (t) => {
  const watching = open(t, tmpfs(t));
  const { watch, records, inside } = watching;
  const files = 200_000;
  // Nothing is taken while this waits.
  execFileSync(compile("file-storm"), [inside, String(files), "1", "empty"]);
  const told = await until("the loss", () =>
    records.find((record) => record.kind === "lost" && record.source === "file-changes"),
  );
  assert.ok(told.kind === "lost" && told.count !== undefined && told.count > 0);
  await acts(watching, "in/last", "sh", "-c", `echo x > ${inside}/last`);
  assert.ok(watch.status().changes.lost >= told.count);
  const made = new Set(changesIn(records).flatMap(({ created, path }) => (created ? [path.toString()] : [])));
  assert.ok(made.size > 60_000 && made.size < files, String(made.size));
});

test("without a file watch nothing can be aimed; what has no handles cannot be marked", (t) => {
  const procfs = addon.openProcfs();
  const watch = addon.openWatch({ connector: false, files: false }, procfs, () => {});
  t.after(() => {
    watch.close();
    procfs.close();
  });
  assert.equal(watch.status().changes.reason, "not asked for");
  assert.throws(() => watch.aimChanges(["/"], []), { code: "EBADF" });
  assert.throws(() => watch.openChanges(4), /level/);
  watch.openChanges();
  watch.aimChanges(["/proc"], []);
  assert.throws(() => watch.markChanges("/proc"), { code: "ENOTSUP" });
  assert.throws(() => watch.markChanges("/nonexistent"), { code: "ENOENT" });
});
