// Every attribute, changed alone on a real file, is found, and named alone.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync, chmodSync, chownSync, closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, renameSync,
  rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync,
} from "node:fs"; // prettier-ignore
import { createServer } from "node:net";
import { once } from "node:events";
import { describe, it, type TestContext } from "node:test";
import { openFileBaseline } from "../../src/files/baseline-file.ts";
import { initFiles } from "../../src/files/check.ts";
import { compile } from "../fixtures/compile.ts";
import { differences, EVERYTHING, IMMUTABLE, settle, shown, take, tree } from "./tree.ts";

const setXattr = compile("set_xattr");
const run = (command: string, ...args: string[]): void => {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
};

/** user::rw-, user:1000:rw-, group::r--, mask::r--, other::r--: the mask is the mode's group, so that the mode stays. */
const ACL = [
  "02000000",
  "01000600ffffffff",
  "02000600e8030000",
  "04000400ffffffff",
  "10000400ffffffff",
  "20000400ffffffff",
].join("");
/** cap_net_raw=ep, version 2. */
const NET_RAW = "0100000200200000000000000000000000000000";

interface Case {
  readonly name: string;
  /** Undone after the test. */
  act(path: string, t: TestContext): void;
  readonly finds: string;
  /** What it says of the attribute. */
  readonly says?: RegExp;
  readonly of?: "folder" | "link";
}

const CASES: readonly Case[] = [
  {
    name: "content, with size and mtime put back",
    act(path) {
      writeFileSync(path, "CONTENT");
      utimesSync(path, 2, 2);
    },
    finds: "content",
  },
  { name: "mode", act: (path) => chmodSync(path, 0o4755), finds: "mode", says: /^0644 4755$/ },
  { name: "owner", act: (path) => chownSync(path, 65534, 0), finds: "owner", says: /^0 65534$/ },
  { name: "group", act: (path) => chownSync(path, 0, 65534), finds: "group", says: /^0 65534$/ },
  { name: "mtime", act: (path) => utimesSync(path, 1, 1), finds: "mtime", says: / 1970-01-01T00:00:01\.000000000Z$/ },
  {
    name: "ctime: changed and changed back",
    act(path) {
      chmodSync(path, 0o600);
      chmodSync(path, 0o644);
    },
    finds: "ctime",
  },
  { name: "links", act: (path) => linkSync(path, `${path}.second`), finds: "links", says: /^1 2$/ },
  { name: "xattrs", act: (path) => run(setXattr, path, "user.note", "61"), finds: "xattrs", says: /^ user\.note=a$/ },
  {
    name: "acl",
    act: (path) => run(setXattr, path, "system.posix_acl_access", ACL),
    finds: "acl",
    says: /user:1000:rw-/,
  },
  {
    name: "capabilities",
    act: (path) => run(setXattr, path, "security.capability", NET_RAW),
    finds: "capabilities",
    says: /^ net_raw=ep$/,
  },
  {
    name: "flags",
    act(path, t) {
      run("chattr", "+i", path);
      t.after(() => run("chattr", "-i", path));
    },
    finds: "flags",
    says: /^ immutable$/,
  },
  {
    name: "the flags of a folder",
    of: "folder",
    act: (path) => run("chattr", "+A", path),
    finds: "flags",
    says: /no-atime/,
  },
  {
    name: "the mode of a folder",
    of: "folder",
    act: (path) => chmodSync(path, 0o1777),
    finds: "mode",
    says: /^0755 1777$/,
  },
  {
    name: "the default list of a folder",
    of: "folder",
    act: (path) => run(setXattr, path, "system.posix_acl_default", ACL),
    finds: "acl",
    says: /default:user:1000:rw-/,
  },
  {
    name: "a label of a link",
    of: "link",
    act: (path) => run(setXattr, path, "trusted.label", "62"),
    finds: "xattrs",
    says: /^ trusted\.label=b$/,
  },
];

describe("each attribute, changed alone", { concurrency: 4 }, () => {
  for (const { name, act, finds, says, of } of CASES) {
    it(`${name}: ${finds}`, async (t) => {
      const { root, file, at } = tree();
      mkdirSync(root);
      const path = at("subject");
      if (of === "folder") mkdirSync(path);
      else if (of === "link") symlinkSync("target", path);
      else {
        writeFileSync(path, "content");
        utimesSync(path, 2, 2);
      }
      const baseline = await take(file, [root]);
      t.after(() => baseline.close());
      assert.deepEqual(await differences(baseline), []);
      act(path, t);
      for (const full of [false, true]) {
        const found = (await differences(baseline, { full })).filter((each) => each.path === path);
        assert.deepEqual(shown(root, found), [`changed /subject ${finds}`]);
        const [{ before = "", after = "" } = {}] = found[0]?.attributes ?? [];
        if (says !== undefined) assert.match(`${before} ${after}`, says);
      }
    });
  }

  it("size, where the content is not compared", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("log"), "12");
    const baseline = await take(file, [root], [{ path: "/", group: "growing" }]);
    t.after(() => baseline.close());
    appendFileSync(at("log"), "3");
    assert.deepEqual(await differences(baseline), []);
    assert.deepEqual(await differences(baseline, { full: true }), []);
    truncateSync(at("log"), 1);
    assert.deepEqual(shown(root, await differences(baseline)), ["changed /log content,size"]);
    writeFileSync(at("log"), "92345");
    assert.deepEqual(shown(root, await differences(baseline, { full: true })), ["changed /log content"]);
  });

  it("target, inode and node", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    symlinkSync("old", at("link"));
    writeFileSync(at("file"), "same");
    run("mknod", at("node"), "c", "1", "3");
    utimesSync(at("file"), 1, 1);
    const baseline = await take(file, [root], EVERYTHING);
    t.after(() => baseline.close());
    rmSync(at("link"));
    symlinkSync("new", at("link"));
    writeFileSync(at("copy"), "same");
    utimesSync(at("copy"), 1, 1);
    renameSync(at("copy"), at("file"));
    rmSync(at("node"));
    run("mknod", at("node"), "c", "1", "5");
    const found = await differences(baseline, { full: true });
    const of = (path: string) => found.find((each) => each.path === at(path))?.attributes ?? [];
    assert.deepEqual(
      of("link").filter(({ attribute }) => attribute === "target"),
      [{ attribute: "target", before: "old", after: "new" }],
    );
    // A new inode may get the number of the old one.
    assert.ok(of("file").some(({ attribute }) => attribute === "inode"));
    assert.ok(!of("file").some(({ attribute }) => attribute === "content"));
    assert.deepEqual(
      of("node").filter(({ attribute }) => attribute === "node"),
      [{ attribute: "node", before: "1:3", after: "1:5" }],
    );
  });

  it("type, and of what it has become only what that tells", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    for (const name of ["a", "b", "c"]) writeFileSync(at(name), name);
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    for (const name of ["a", "b", "c"]) rmSync(at(name));
    symlinkSync("/etc/passwd", at("a"));
    run("mkfifo", "-m", "644", at("b"));
    mkdirSync(at("c"), 0o644);
    assert.deepEqual(shown(root, await differences(baseline)), [
      "changed /a type,content,mode,target",
      "changed /b type,content",
      "changed /c type,content",
    ]);
  });
});

describe("files of every kind", () => {
  it("sockets, FIFOs and devices are looked at and never opened", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    run("mkfifo", at("fifo"));
    run("mknod", at("block"), "b", "7", "200");
    const server = createServer().listen(at("socket"));
    t.after(() => server.close());
    await once(server, "listening");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    assert.equal(baseline.entries.count, 4);
    assert.deepEqual(await differences(baseline, { full: true }), []);
    chmodSync(at("fifo"), 0o666);
    assert.deepEqual(shown(root, await differences(baseline)), ["changed /fifo mode"]);
  });

  it("a file of a hole and a byte has the digest of what it reads as", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    const size = 3 * 1024 * 1024 + 17;
    const hole = openSync(at("hole"), "w");
    ftruncateSync(hole, size);
    closeSync(hole);
    const { createHash } = await import("node:crypto");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    appendFileSync(at("hole"), "x");
    const [{ attributes, sha256 } = assert.fail("nothing was found")] = await differences(baseline);
    assert.equal(attributes[0]?.before, createHash("sha256").update(Buffer.alloc(size)).digest("hex"));
    assert.equal(
      sha256,
      createHash("sha256")
        .update(readFileSync(at("hole")))
        .digest("hex"),
    );
  });

  it("one that is larger than is read is told, and compared in all else", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    const large = openSync(at("large"), "w");
    ftruncateSync(large, 2 ** 40);
    closeSync(large);
    const { troubles } = await initFiles({ file, roots: [root], rules: IMMUTABLE, maxBytes: 1024 });
    assert.deepEqual(troubles, [{ path: at("large"), reason: `its content was not read: it has ${2 ** 40} bytes` }]);
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    assert.deepEqual(await differences(baseline, { full: true }), []);
    truncateSync(at("large"), 2 ** 40 - 1);
    assert.deepEqual(shown(root, await differences(baseline)), ["changed /large size,mtime"]);
  });

  it("what stat says is the same is not read again, unless all is", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("still"), "still");
    await settle();
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    const bytes: number[] = [];
    for (const full of [false, true]) {
      let read = 0;
      await differences(baseline, { full, onProgress: (progress) => (read = progress.bytes) });
      bytes.push(read);
    }
    assert.deepEqual(bytes, [0, 5]);
    assert.equal(lstatSync(at("still")).size, 5);
  });

  it("what was written as it was read is read again: its times may not tell", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("fresh"), "fresh");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    let read = 0;
    await differences(baseline, { onProgress: (progress) => (read = progress.bytes) });
    assert.equal(read, 5);
  });
});
