// The two files of a baseline: sealed, tampered with, half written, looked up in, and replaced.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, it } from "node:test";
import { envelopeBytes, signEnvelope, PAYLOAD_TYPE } from "../../src/baselines/dsse.ts";
import { SealProblem } from "../../src/baselines/seal.ts";
import { createEntriesWriter, openFileBaseline } from "../../src/files/baseline-file.ts";
import { checkPaths, initFiles, updateFiles } from "../../src/files/check.ts";
import { EntryReader } from "../../src/files/entry-reader.ts";
import { entryOf } from "../../src/files/scan.ts";
import { newPair } from "../baselines/sealed.ts";
import { startProgram } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { main } from "../cli/commands.ts";
import { entry } from "./entries.ts";
import { differences, flip, IMMUTABLE, settle, shown, take, tree } from "./tree.ts";

const beside = (file: string): string[] => readdirSync(dirname(file)).filter((name) => name.startsWith(basename(file)));
const entriesOf = (file: string): string =>
  join(dirname(file), beside(file).find((name) => name.endsWith(".entries")) ?? "none");
const refused = (code: string) => (thrown: unknown) => thrown instanceof SealProblem && thrown.code === code;

describe("a baseline", () => {
  it("is a statement whose subject is the file of entries, by the digest that sha256sum gives", async (t) => {
    const { root, file } = tree();
    mkdirSync(root);
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    const statement = JSON.parse(readFileSync(file, "utf8")) as { subject: unknown; predicateType: string };
    const sha256 = createHash("sha256")
      .update(readFileSync(entriesOf(file)))
      .digest("hex");
    assert.deepEqual(statement.subject, [{ name: basename(entriesOf(file)), digest: { sha256 } }]);
    assert.equal(statement.predicateType, "urn:rimon:baseline:files:v1");
    assert.equal(baseline.entries.sha256, sha256);
  });

  it("sealed it is believed by its keys alone, and only as a whole", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("x"), "x");
    await initFiles({ file, roots: [root], rules: IMMUTABLE });
    const [mine, other] = [newPair(), newPair()];
    writeFileSync(file, envelopeBytes(signEnvelope(PAYLOAD_TYPE, readFileSync(file), mine.privateKey)));
    const baseline = await openFileBaseline(file, { keys: [mine] });
    t.after(() => baseline.close());
    assert.deepEqual(baseline.keyIds, [mine.id]);
    assert.deepEqual(await differences(baseline), []);
    await assert.rejects(openFileBaseline(file, { keys: [other] }), refused("wrong-key"));
    await assert.rejects(openFileBaseline(file), { code: "RIMON_USAGE", message: /is sealed: name the keys/ });
    const later = { keys: [mine], lastCounter: baseline.header.counter + 1 };
    await assert.rejects(openFileBaseline(file, later), refused("rolled-back"));
  });

  it("of which a byte is another, or one too many or too few, is refused before it is read", async () => {
    const { root, file, at } = tree();
    mkdirSync(root);
    for (let i = 0; i < 50; i++) writeFileSync(at(String(i)), "x");
    await initFiles({ file, roots: [root], rules: IMMUTABLE });
    const entries = entriesOf(file);
    const good = readFileSync(entries);
    for (const spoil of [
      () => flip(entries, 200),
      () => appendFileSync(entries, "x"),
      () => truncateSync(entries, good.length - 8),
      () => truncateSync(entries, 0),
      () => rmSync(entries),
      () => (rmSync(entries), mkdirSync(entries)),
      () => (rmSync(entries, { recursive: true }), symlinkSync("/dev/zero", entries)),
    ]) {
      spoil();
      await assert.rejects(openFileBaseline(file), refused("wrong-entries"));
      rmSync(entries, { recursive: true, force: true });
      writeFileSync(entries, good);
    }
    await (await openFileBaseline(file)).close();
  });

  it("that is changed after it was proven is not read on", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    for (let i = 0; i < 50; i++) writeFileSync(at(String(i)), "x");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    assert.equal((await baseline.find([Buffer.from(at("7"))])).size, 1);
    flip(entriesOf(file), 300);
    await assert.rejects(differences(baseline), refused("wrong-entries"));
    await assert.rejects(baseline.find([Buffer.from(at("7"))]), refused("wrong-entries"));
    await assert.rejects(checkPaths(baseline, [at("7")]), refused("wrong-entries"));
  });

  it("of another machine is none here", async () => {
    const { root, file } = tree();
    mkdirSync(root);
    await initFiles({ file, roots: [root], rules: IMMUTABLE });
    const statement = JSON.parse(readFileSync(file, "utf8")) as { predicate: { machine: { id: string } } };
    statement.predicate.machine.id = "ab".repeat(32);
    writeFileSync(file, JSON.stringify(statement));
    await assert.rejects(openFileBaseline(file), refused("other-machine"));
    await (await openFileBaseline(file, { anyMachine: true })).close();
  });

  it("whose entries are not in order tells no lie: what is looked for is there, or it is told", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    const writer = await createEntriesWriter(file);
    for (const path of [at("b"), at("a")]) await writer.write(entry({ path }), 1);
    await writer.commit({ roots: [root], rules: IMMUTABLE, crossFilesystems: false, maxBytes: 1 }, {});
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    assert.deepEqual(shown(root, await differences(baseline)), ["removed /b", "removed /a", "added /"].toSorted());
  });
});

describe("looking up", () => {
  it("finds every path of thousands, what is below each, and nothing that is not there", async (t) => {
    const file = join(temporaryDirectory("files"), "baseline.json");
    const writer = await createEntriesWriter(file);
    const paths: string[] = ["/r"];
    for (let i = 10; i < 60; i++) {
      paths.push(`/r/${i}`);
      for (let j = 100; j < 180; j++) paths.push(`/r/${i}/${j}`);
      paths.push(`/r/${i}-`, `/r/${i}.x`);
    }
    for (const path of paths) await writer.write(entry({ path, target: "t".repeat(path.length % 50) }), 1);
    await writer.commit({ roots: ["/r"], rules: IMMUTABLE, crossFilesystems: false, maxBytes: 1 }, {});
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    const found = await baseline.find(
      [...paths, "/", "/q", "/r/1", "/r/10/1000", "/z"].map((path) => Buffer.from(path)),
    );
    assert.deepEqual([...found.keys()], paths);
    for (const [path, bytes] of found) assert.equal(entryOf(bytes).path.toString(), path);
    const below = async (path: string): Promise<string[]> => {
      const reader = new EntryReader(baseline.piecesBelow([Buffer.from(path)]));
      const names: string[] = [];
      for (await reader.fill(); !reader.done; reader.dry ? await reader.fill() : undefined) {
        names.push(entryOf(reader.copy()).path.toString());
        reader.step();
      }
      return names;
    };
    for (const path of ["/r", "/r/10", "/r/33", "/r/59", "/r/59/179", "/r/60", "/a", "/z"])
      assert.deepEqual(
        await below(path),
        paths.filter((each) => each === path || each.startsWith(`${path}/`)),
        path,
      );
  });
});

describe("what is told", () => {
  it("a file that was moved is one difference, also with another mode", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("folder"), { recursive: true });
    for (const name of ["a", "b", "c"]) writeFileSync(at(name), name);
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    renameSync(at("a"), at("folder/a"));
    renameSync(at("b"), at("0"));
    chmodSync(at("0"), 0o600);
    rmSync(at("c"));
    writeFileSync(at("new"), "new");
    const found = shown(root, await differences(baseline)).toSorted();
    assert.deepEqual(found, ["added /new", "moved /0 from /b mode", "moved /folder/a from /a", "removed /c"]);
  });

  it("of some paths alone", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("in/deep"), { recursive: true });
    mkdirSync(at("out"));
    writeFileSync(at("in/deep/x"), "x");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    for (const name of ["in/deep/new", "in/deep-er", "out/new"]) writeFileSync(at(name), "x");
    rmSync(at("in/deep/x"));
    const only = async (...paths: string[]): Promise<string[]> =>
      shown(root, await differences(baseline, { paths })).toSorted();
    assert.deepEqual(await only(at("in/deep")), ["added /in/deep/new", "removed /in/deep/x"]);
    assert.deepEqual(await only(at("out"), at("in/deep-er")), ["added /in/deep-er", "added /out/new"]);
    assert.deepEqual(await only(at("nowhere")), []);
    await assert.rejects(only("/etc"), {
      code: "RIMON_USAGE",
      message: /^\/etc is not in the scope of the baseline: /,
    });
  });

  it("of these very paths, to whoever was told that they changed", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("folder"), { recursive: true });
    for (const name of ["same", "gone", "mode", "folder/below"]) writeFileSync(at(name), name);
    const rules = [
      { path: `${root}/**/*.tmp`, group: "ignore" as const },
      { path: `${root}/*.log`, group: "growing" as const },
      ...IMMUTABLE,
    ];
    writeFileSync(at("a.log"), "1");
    const baseline = await take(file, [root], rules);
    t.after(() => baseline.close());
    rmSync(at("gone"));
    chmodSync(at("mode"), 0o4755);
    chmodSync(at("folder/below"), 0o600);
    appendFileSync(at("a.log"), "2");
    for (const name of ["new", "x.tmp"]) writeFileSync(at(name), "x");
    const names = ["same", "gone", "mode", "folder", "a.log", "new", "x.tmp", "never", "same"].map(at);
    const found = await checkPaths(baseline, [...names, "/etc/passwd", Buffer.from(at("folder/below"))]);
    assert.deepEqual(shown(root, found), [
      "removed /gone",
      "changed /mode mode",
      "added /new",
      "changed /folder/below mode",
    ]);
    assert.equal(found[1]?.mode, "4755");
    assert.deepEqual(await checkPaths(baseline, []), []);
  });

  it("nothing after all of it was accepted; of what was not, the same as before", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("mine"), { recursive: true });
    mkdirSync(at("yours"));
    for (const name of ["mine/a", "yours/a", "yours/b"]) writeFileSync(at(name), name);
    writeFileSync(at("log"), "1");
    const first = await take(file, [root], [{ path: `${root}/log`, group: "growing" }, ...IMMUTABLE]);
    t.after(() => first.close());
    await settle();
    writeFileSync(at("mine/a"), "changed");
    rmSync(at("yours/a"));
    writeFileSync(at("yours/new"), "x");
    appendFileSync(at("log"), "2");
    const partly = await updateFiles(first, { paths: [at("mine")] });
    assert.equal(partly.differences, 1);
    const second = await openFileBaseline(file);
    t.after(() => second.close());
    assert.equal(second.previous, first.entries.sha256);
    assert.ok(second.header.counter >= first.header.counter);
    assert.deepEqual(shown(root, await differences(second)).toSorted(), ["added /yours/new", "removed /yours/a"]);
    assert.equal((await updateFiles(second)).differences, 2);
    const third = await openFileBaseline(file);
    t.after(() => third.close());
    assert.deepEqual(await differences(third, { full: true }), []);
    // Of the log all of it is kept now, not the beginning that was compared.
    const log = (await third.find([Buffer.from(at("log"))])).get(at("log")) ?? Buffer.alloc(0);
    assert.deepEqual([entryOf(log).sha256, entryOf(log).cut], [createHash("sha256").update("12").digest("hex"), false]);
    assert.equal(beside(file).length, 2);
  });

  it("a check that is stopped ends at once and says so", async (t) => {
    const baseline = await take(tree().file, ["/usr/bin"]);
    t.after(() => baseline.close());
    const stopping = new AbortController();
    const ended = differences(baseline, { full: true, signal: stopping.signal, bytesPerSecond: 1024 });
    setTimeout(() => stopping.abort(), 50);
    await assert.rejects(ended, { name: "AbortError" });
    await assert.rejects(differences(baseline, { signal: stopping.signal }), { name: "AbortError" });
  });
});

describe("writing a baseline", () => {
  it("that is killed leaves the one of before, and the next removes what it left", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("x"), "x");
    utimesSync(at("x"), 1, 1);
    await initFiles({ file, roots: [root], rules: IMMUTABLE });
    const before = beside(file).map((name) => [name, readFileSync(join(dirname(file), name), "hex")]);
    for (let i = 0; i < 3; i++) {
      const child = startProgram(main, ["files", "init", "/usr/lib", "--baseline", file, "--rate", "1MiB"]);
      t.after(() => child.kill("SIGKILL"));
      // It is in the middle of it as soon as its own file is there.
      while (!beside(file).some((name) => name.endsWith(".tmp") && name.includes(String(child.pid))))
        await new Promise((resolve) => setTimeout(resolve, 10));
      child.kill("SIGKILL");
      await child.exited;
    }
    const names = beside(file);
    assert.equal(names.filter((name) => name.endsWith(".tmp")).length, 3);
    for (const [name = "", bytes] of before) assert.equal(readFileSync(join(dirname(file), name), "hex"), bytes);
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    assert.deepEqual(await differences(baseline), []);
    await initFiles({ file, roots: [root], rules: IMMUTABLE });
    assert.equal(beside(file).length, 2);
  });

  it("where there is no room for it says so, and leaves nothing", async () => {
    const folder = temporaryDirectory("files");
    const file = join(folder, "missing", "baseline.json");
    await assert.rejects(initFiles({ file, roots: [folder] }), {
      code: "RIMON_USAGE",
      message: /cannot be written: ENOENT/,
    });
    await assert.rejects(initFiles({ file: join(folder, "b.json"), roots: ["/nowhere"] }), {
      message: /\/nowhere was to be looked at, and is not there/,
    });
    await assert.rejects(initFiles({ file: join(folder, "b.json"), roots: ["usr"] }), {
      message: /must be an absolute path, got usr/,
    });
    await assert.rejects(
      initFiles({ file: join(folder, "b.json"), roots: [folder], rules: [{ path: "x", group: "config" }] }),
      { code: "RIMON_USAGE" },
    );
    assert.deepEqual(readdirSync(folder), []);
  });
});
