// The walk on real folders: the order, odd names, mounts, what changes and what is swapped while it walks.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync, unlinkSync,
  writeFileSync,
} from "node:fs"; // prettier-ignore
import { join } from "node:path";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { comparePaths, type FileEntry } from "../../src/baselines/files/entry.ts";
import { textOf } from "../../src/baselines/files/compare.ts";
import { openFileBaseline } from "../../src/files/baseline-file.ts";
import { initFiles, updateFiles } from "../../src/files/check.ts";
import { entriesIn, entryOf } from "../../src/files/scan.ts";
import { walk, type WalkOptions } from "../../src/files/walk.ts";
import { addonPath, requireFilesAddon } from "../../src/native.ts";
import { until } from "../native/child.ts";
import { differences, IMMUTABLE, shown, take, tree } from "./tree.ts";

async function walked(root: string | Buffer, options: Partial<WalkOptions> = {}): Promise<FileEntry[]> {
  const found: FileEntry[] = [];
  const roots = [typeof root === "string" ? Buffer.from(root) : root];
  const how = { roots, rules: IMMUTABLE, crossFilesystems: false, maxBytes: 2 ** 40, ...options };
  for await (const batch of walk(how)) found.push(...entriesIn(batch).map(entryOf));
  return found;
}

/** The slow twin: what Node lists, in the same order. */
function listed(root: Buffer): Buffer[] {
  const names = readdirSync(root, { encoding: "buffer", withFileTypes: true });
  const paths = names.flatMap((each) => {
    const path = Buffer.concat([root, Buffer.from("/"), each.name as unknown as Buffer]);
    return each.isDirectory() ? [path, ...listed(path)] : [path];
  });
  return paths.toSorted((a, b) => comparePaths(a, 0, a.length, b, 0, b.length));
}

describe("the walk", () => {
  it("finds what Node finds, in the order of paths with '/' before all, whatever the names are", async () => {
    const { root } = tree();
    mkdirSync(join(root, "a/b"), { recursive: true });
    mkdirSync(join(root, "a-b"));
    mkdirSync(join(root, "a b"));
    const names = ["a/x", "a-b/x", "a b/x", "a.x", "new\nline", "\t", "ünïcode", "-", "a/b/c", "a/b!", "*", "\\"];
    for (const name of names) writeFileSync(join(root, name), name);
    for (const bytes of [[0xff, 0xfe], [0xc3], [0x01], [0x7f], [0xf0, 0x9f, 0x92]])
      writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(bytes)]), "odd");
    const paths = (await walked(root)).map(({ path }) => path.toString("hex"));
    const expected = [Buffer.from(root), ...listed(Buffer.from(root))].map((path) => path.toString("hex"));
    assert.deepEqual(paths, expected);
    assert.deepEqual(paths.length, new Set(paths).size);
  });

  it("of thousands of files misses none, with one thread and with many", async () => {
    const { root } = tree();
    for (let folder = 0; folder < 40; folder++) {
      mkdirSync(join(root, String(folder), "below"), { recursive: true });
      for (let i = 0; i < 60; i++)
        writeFileSync(join(root, String(folder), i % 2 === 0 ? "below" : ".", `f${i}`), "x".repeat(i));
    }
    const expected = [Buffer.from(root), ...listed(Buffer.from(root))].map((path) => path.toString());
    for (const threads of [1, 2, 16]) {
      for (const statOnly of [true, false])
        assert.deepEqual(
          (await walked(root, { threads, statOnly })).map(({ path }) => path.toString()),
          expected,
        );
    }
  });

  it("keeps an unreadable name lossless from the baseline to what is told", async (t) => {
    const { root, file } = tree();
    mkdirSync(root);
    const odd = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x5c, 0x0a])]);
    writeFileSync(odd, "x");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    unlinkSync(odd);
    const [found = assert.fail("nothing was found")] = await differences(baseline);
    assert.equal(found.path, `${root}/\\xff\\x5c\\x0a`);
    assert.equal(found.pathHex, odd.toString("hex"));
    assert.equal(textOf(Buffer.from("plain �")), "plain �");
  });

  it("reaches names deeper than a path may be long", async () => {
    const { root } = tree();
    mkdirSync(root);
    const made = spawnSync("sh", [
      "-c",
      `cd "$0" && for i in $(seq 30); do n=$(printf '%0200d' $i); mkdir $n && cd -P $n || exit 1; done; echo deep > end`,
      root,
    ]);
    assert.equal(made.status, 0, made.stderr.toString());
    const found = await walked(root);
    assert.equal(found.length, 32);
    const end = found.at(-1);
    assert.ok(end !== undefined && end.path.length > 4096 && end.sha256 !== undefined && end.error === 0);
    spawnSync("rm", ["-rf", root]);
  });

  it("follows no link, neither to a root nor below one", async (t) => {
    const { file, at } = tree();
    mkdirSync(at("real/below"), { recursive: true });
    symlinkSync("real", at("link"));
    assert.deepEqual(
      (await walked(at("link"))).map(({ stat }) => stat?.type),
      ["link"],
    );
    const error = {
      code: "RIMON_USAGE",
      message: new RegExp(`is reached by a link: no link is followed, name ${at("real/below")} instead`),
    };
    await assert.rejects(initFiles({ file, roots: [at("link/below")] }), error);
    const baseline = await take(file, [at("real/below")]);
    t.after(() => baseline.close());
    renameSync(at("real"), at("moved"));
    symlinkSync("moved", at("real"));
    const [found] = await differences(baseline);
    assert.deepEqual([found?.change, found?.reason], ["unreadable", "ENOTDIR"]);
  });

  it("stays on its file system, says where another begins, and crosses where it is asked to", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("here"), { recursive: true });
    mkdirSync(at("mount"));
    assert.equal(spawnSync("mount", ["-t", "tmpfs", "none", at("mount")]).status, 0);
    t.after(() => spawnSync("umount", ["-l", at("mount")]));
    writeFileSync(at("mount/inside"), "x");
    const { troubles } = await initFiles({ file, roots: [root], rules: IMMUTABLE });
    assert.deepEqual(troubles.map(({ path }) => path), [at("mount")]); // prettier-ignore
    const names = (found: readonly FileEntry[]): string[] =>
      found.map(({ path }) => path.toString().slice(root.length));
    assert.deepEqual(names(await walked(root)), ["", "/here", "/mount"]);
    assert.deepEqual(names(await walked(root, { crossFilesystems: true })), ["", "/here", "/mount", "/mount/inside"]);
    const both = { roots: [root, at("mount")].map((path) => Buffer.from(path)) };
    assert.deepEqual(names(await walked(root, { ...both, roots: [Buffer.from(root)] })), ["", "/here", "/mount"]);
    // A bind mount of the same file system is one, too.
    assert.equal(spawnSync("mount", ["--bind", at("here"), at("here")]).status, 0);
    t.after(() => spawnSync("umount", ["-l", at("here")]));
    writeFileSync(at("here/inside"), "x");
    assert.deepEqual(names(await walked(root)), ["", "/here", "/mount"]);
  });

  it("looks at a named root that is a file system of its own below another root", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("boot"), { recursive: true });
    mkdirSync(at("other"));
    writeFileSync(at("above"), "x");
    for (const name of ["boot", "other"]) {
      assert.equal(spawnSync("mount", ["-t", "tmpfs", "none", at(name)]).status, 0);
      t.after(() => spawnSync("umount", ["-l", at(name)]));
    }
    mkdirSync(at("boot/grub/below"), { recursive: true });
    writeFileSync(at("boot/grub/below/kernel"), "good");
    mkdirSync(at("boot/mount"));
    assert.equal(spawnSync("mount", ["-t", "tmpfs", "none", at("boot/mount")]).status, 0);
    t.after(() => spawnSync("umount", ["-l", at("boot/mount")]));
    writeFileSync(at("boot/mount/inside"), "x");
    writeFileSync(at("other/inside"), "x");

    const roots = [at("boot"), root, at("boot/grub"), root];
    const { troubles } = await initFiles({ file, roots, rules: IMMUTABLE });
    assert.deepEqual(troubles.map(({ path }) => path), [at("boot/mount"), at("other")]); // prettier-ignore
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    const checked = async (...paths: string[]): Promise<string[]> =>
      shown(root, await differences(baseline, { paths, full: true }));
    for (const paths of [[], [root], [at("boot")], [at("boot/grub")], [at("boot/grub"), at("above"), at("boot")]])
      assert.deepEqual(await checked(...paths), []);

    writeFileSync(at("boot/grub/below/kernel"), "evil");
    for (const paths of [[], [root], [at("boot")], [at("boot/grub")]])
      assert.deepEqual(await checked(...paths), ["changed /boot/grub/below/kernel content,mtime"], paths.join());
    assert.deepEqual(await checked(at("above")), []);
    const { entries } = await updateFiles(baseline, { paths: [at("boot")] });
    assert.equal(entries.count, baseline.entries.count);
    const updated = await openFileBaseline(file);
    t.after(() => updated.close());
    assert.deepEqual(await differences(updated), []);
  });

  it("a file system that is mounted over a folder is a change", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("bin"), { recursive: true });
    writeFileSync(at("bin/ls"), "x");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    assert.equal(spawnSync("mount", ["-t", "tmpfs", "none", at("bin")]).status, 0);
    t.after(() => spawnSync("umount", ["-l", at("bin")]));
    const found = shown(root, await differences(baseline));
    assert.match(found[0] ?? "", /^changed \/bin .*mount/);
    assert.deepEqual(found.slice(1), ["removed /bin/ls"]);
  });

  it("tells what may not be read, and that it is no longer read", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(at("shut"), { recursive: true });
    writeFileSync(at("shut/inside"), "x");
    writeFileSync(at("secret"), "x");
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    chmodSync(at("secret"), 0);
    chmodSync(at("shut"), 0);
    t.after(() => chmodSync(at("shut"), 0o700));
    chmodSync(join(root, ".."), 0o755);
    chmodSync(root, 0o755);
    const script = `
      import { checkFiles, openFileBaseline } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)};
      const baseline = await openFileBaseline(${JSON.stringify(file)});
      const found = [];
      process.seteuid(65534);
      await checkFiles(baseline, { full: true, onDifference: (each) => void found.push([each.change, each.path, each.reason]) });
      process.stdout.write(JSON.stringify(found));`;
    const child = spawnSync(
      process.execPath,
      ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", script],
      { encoding: "utf8" },
    );
    const found = JSON.parse(child.stdout || "[]") as [string, string, string][];
    assert.deepEqual(
      found.filter(([change]) => change === "unreadable").map(([, path, reason]) => [path.slice(root.length), reason]),
      [["/secret", "EACCES"], ["/shut", "EACCES"]],
      child.stderr,
    ); // prettier-ignore
  });

  it("reads no faster than it is allowed to, and ends when it is told to", async () => {
    const { root, at } = tree();
    mkdirSync(root);
    writeFileSync(at("large"), Buffer.alloc(8 * 1024 * 1024));
    const addon = requireFilesAddon();
    const text = (each: string): Buffer => Buffer.from(`${each}\0`);
    const walking = addon.openFileWalk(text(root), text(" /"), BigUint64Array.of(0n, 2n, 2n ** 40n, 1n, 0n));
    const next = walking.next(Buffer.alloc(0));
    let done = false;
    void next.finally(() => (done = true)).catch(() => {});
    walking.allow(1);
    while (walking.progress().bytes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    // What was allowed let one piece through, and no second one.
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([done, walking.progress().bytes], [false, 256 * 1024]);
    walking.close();
    await assert.rejects(next, { code: "ECANCELED" });
    assert.throws(() => void walking.next(Buffer.alloc(0)), { code: "EBADF" });
    const paced = await walked(root, { bytesPerSecond: 64 * 1024 * 1024 });
    assert.equal(paced.length, 2);
  });

  it("refuses what is no root and no rule", () => {
    const addon = requireFilesAddon();
    const how = BigUint64Array.of(0n, 1n, 1n, 0n, 0n);
    for (const root of ["", "relative\0", "/a/\0", "/a//b\0", "/a/../b\0", "/a/.\0", "/a/..\0", "/a"])
      assert.throws(() => addon.openFileWalk(Buffer.from(root), Buffer.from(" /\0"), how), { code: "EINVAL" }, root);
    for (const rule of ["/", "\0", " \0", " /a\0\0"])
      assert.throws(() => addon.openFileWalk(Buffer.from("/\0"), Buffer.from(rule), how), { code: "EINVAL" }, rule);
    for (const threads of [0n, 65n])
      assert.throws(
        () => addon.openFileWalk(Buffer.from("/\0"), Buffer.alloc(0), BigUint64Array.of(0n, threads, 1n, 0n, 0n)),
        { code: "EINVAL" },
      );
  });

  it("leaves no descriptor and no thread behind, whether it came to its end or not", async () => {
    const { root } = tree();
    for (let i = 0; i < 300; i++) mkdirSync(join(root, String(i)), { recursive: true });
    const count = (): number[] => ["fd", "task"].map((what) => readdirSync(`/proc/self/${what}`).length);
    const round = async (early: boolean): Promise<void> => {
      const walking = walk({ roots: [Buffer.from(root)], rules: IMMUTABLE, crossFilesystems: false, maxBytes: 1 });
      for await (const batch of walking) if (early && batch.length > 0) break;
    };
    for (const early of [true, false]) await round(early);
    const before = count();
    for (let i = 0; i < 50; i++) await round(i % 2 === 0);
    // The last one may be on its way out; more of them would stay.
    await until(`no more descriptors and threads than ${before}`, () => {
      const after = count();
      return ((after[0] ?? 0) <= (before[0] ?? 0) && (after[1] ?? 0) <= (before[1] ?? 0)) || undefined;
    });
  });

  it("ends with the worker that walks", async () => {
    const worker = new Worker(
      `const { requireAddon } = require("node:module");
       const addon = require(${JSON.stringify(addonPath("files"))});
       const walking = addon.openFileWalk(Buffer.from("/usr\\0"), Buffer.from(" /\\0"), BigUint64Array.of(0n, 2n, 1n << 40n, 0n, 0n));
       const into = Buffer.alloc(400_000);
       void walking.next(into).then(() => walking.next(into));
       require("node:worker_threads").parentPort.postMessage("on");`,
      { eval: true },
    );
    await new Promise((resolve) => worker.once("message", resolve));
    assert.equal(typeof (await worker.terminate()), "number");
  });
});

describe("while others change what it walks over", () => {
  it("a file that is written all the time is told as that, or as one whole state of it", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("busy"), Buffer.alloc(4 * 1024 * 1024));
    const baseline = await take(file, [root]);
    t.after(() => baseline.close());
    const writer = new Worker(
      `const { writeSync, openSync } = require("node:fs");
       const { parentPort } = require("node:worker_threads");
       const fd = openSync(${JSON.stringify(at("busy"))}, "r+");
       writeSync(fd, "x", 0);
       parentPort.postMessage("on");
       for (let i = 0; ; i++) writeSync(fd, String(i), 0);`,
      { eval: true },
    );
    t.after(() => writer.terminate());
    await new Promise((resolve) => writer.once("message", resolve));
    for (let i = 0; i < 10; i++) {
      const [found = assert.fail("it was written to")] = await differences(baseline, { full: true });
      assert.ok(found.change === "unstable" || found.change === "changed");
    }
    // Read for so long that the writer has its turn at each attempt, however busy the machine is.
    const slowly = await differences(baseline, { full: true, bytesPerSecond: 16 * 1024 * 1024 });
    assert.deepEqual(
      slowly.map(({ change }) => change),
      ["unstable"],
    );
  });

  it("what comes and goes breaks nothing, and what stays is always found", async (t) => {
    const { root } = tree();
    mkdirSync(join(root, "stay"), { recursive: true });
    for (let i = 0; i < 200; i++) writeFileSync(join(root, "stay", String(i)), String(i));
    const storm = new Worker(
      `const fs = require("node:fs");
       const { parentPort } = require("node:worker_threads");
       const root = ${JSON.stringify(root)};
       parentPort.postMessage("on");
       for (let i = 0; ; i++) {
         const name = root + "/come" + (i % 50);
         fs.rmSync(name, { recursive: true, force: true });
         if (i % 3 === 0) fs.mkdirSync(name + "/deep/er", { recursive: true });
         else if (i % 3 === 1) fs.writeFileSync(name, "x".repeat(i % 5000));
         else fs.symlinkSync("/etc", name);
       }`,
      { eval: true },
    );
    t.after(() => storm.terminate());
    await new Promise((resolve) => storm.once("message", resolve));
    for (let i = 0; i < 40; i++) {
      const found = await walked(root);
      const stayed = found.filter(({ path }) => path.includes("/stay/"));
      assert.equal(stayed.length, 200);
      assert.ok(stayed.every(({ sha256, error }) => sha256 !== undefined && error === 0));
      // Nothing of /etc was reached by a link that took a folder's place.
      assert.ok(found.every(({ path }) => path.toString().startsWith(root) && !path.includes("passwd")));
      for (let at = 1; at < found.length; at++) {
        const [a, b] = [found[at - 1]?.path ?? Buffer.alloc(0), found[at]?.path ?? Buffer.alloc(0)];
        assert.ok(comparePaths(a, 0, a.length, b, 0, b.length) < 0);
      }
    }
  });

  it("a folder that is swapped for a link to another again and again never leads out", async (t) => {
    const { root, at } = tree();
    mkdirSync(at("folder"), { recursive: true });
    const outside = join(root, "..", "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "secret"), "x");
    writeFileSync(at("folder/mine"), "x");
    symlinkSync(outside, at("link"));
    const swapper = new Worker(
      `const { execFileSync } = require("node:child_process");
       const { renameSync } = require("node:fs");
       const { parentPort } = require("node:worker_threads");
       const at = (name) => ${JSON.stringify(root)} + "/" + name;
       parentPort.postMessage("on");
       for (;;) {
         renameSync(at("folder"), at("aside")); renameSync(at("link"), at("folder"));
         renameSync(at("folder"), at("link")); renameSync(at("aside"), at("folder"));
       }`,
      { eval: true },
    );
    t.after(async () => {
      await swapper.terminate();
      rmSync(root, { recursive: true, force: true });
    });
    await new Promise((resolve) => swapper.once("message", resolve));
    for (let i = 0; i < 300; i++) {
      const found = await walked(root);
      assert.ok(found.every(({ path }) => !path.includes("secret")));
    }
    assert.ok(existsSync(join(outside, "secret")));
  });

  it("a log that grows as it is read keeps what was in it", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("log"), "x".repeat(2 * 1024 * 1024));
    const baseline = await take(file, [root], [{ path: "/", group: "growing" }]);
    t.after(() => baseline.close());
    const writer = setInterval(() => appendFileSync(at("log"), "more\n"), 1);
    t.after(() => clearInterval(writer));
    for (let i = 0; i < 20; i++) assert.deepEqual(await differences(baseline, { full: i % 2 === 0 }), []);
  });

  it("a log that grew each time it was read for the baseline is as that says, for as much as was read", async (t) => {
    const { root, file, at } = tree();
    mkdirSync(root);
    writeFileSync(at("log"), "x".repeat(4 * 1024 * 1024));
    const writer = new Worker(
      `const { appendFileSync } = require("node:fs");
       const { parentPort } = require("node:worker_threads");
       const more = () => appendFileSync(${JSON.stringify(at("log"))}, "more\\n");
       more();
       parentPort.postMessage("on");
       setInterval(more, 1);`,
      { eval: true },
    );
    t.after(() => writer.terminate());
    await new Promise((resolve) => writer.once("message", resolve));
    // Read for so long that the writer has its turn at each attempt, however busy the machine is.
    const how = {
      file,
      roots: [root],
      rules: [{ path: "/", group: "growing" }],
      bytesPerSecond: 8 * 1024 * 1024,
    } as const;
    const { troubles } = await initFiles(how);
    await writer.terminate();
    assert.deepEqual(troubles, [{ path: at("log"), reason: "it was being written each time it was read" }]);
    const baseline = await openFileBaseline(file);
    t.after(() => baseline.close());
    for (const full of [false, true]) assert.deepEqual(await differences(baseline, { full }), []);
    appendFileSync(at("log"), "more\n");
    for (const full of [false, true]) assert.deepEqual(await differences(baseline, { full }), []);
    truncateSync(at("log"), 4096);
    assert.deepEqual(shown(root, await differences(baseline)), ["changed /log content,size"]);
  });
});
