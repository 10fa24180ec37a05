// `rimon files` from the first baseline to a sealed one, with the exit codes and what is printed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runCommand } from "../fixtures/command.ts";
import { compile } from "../fixtures/compile.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { jsonLines, runOnTerminal } from "./commands.ts";

interface Tree {
  readonly folder: string;
  readonly root: string;
  readonly file: string;
  at(name: string): string;
  files(...args: string[]): ReturnType<typeof runCommand>;
}

function tree(): Tree {
  const folder = temporaryDirectory("cli-files");
  const root = join(folder, "root");
  mkdirSync(join(root, "bin"), { recursive: true });
  writeFileSync(join(root, "bin/ls"), "ls");
  writeFileSync(join(root, "bin/ps"), "ps");
  chmodSync(join(root, "bin/ls"), 0o755);
  const file = join(folder, "files.json");
  const env = { RIMON_STATE_DIR: folder };
  return {
    folder,
    root,
    file,
    at: (name) => join(root, name),
    files: (...args) => runCommand(["files", ...args], { env }),
  };
}

describe("files", { concurrency: 2 }, () => {
  it("init, check, update: all as it was, then what is not, then as it is now", async () => {
    const { root, file, at, files } = tree();
    const init = await files("init", root);
    assert.deepEqual([init.code, init.stderr], [0, ""]);
    assert.match(init.stdout, new RegExp(`^looked at +${root}\nentries +4, 4 B read\nsha256 +[0-9a-f]{64}\n`));
    assert.match(
      init.stdout,
      /not sealed yet\. To seal it, on the machine that has the key: rimon seal sign \S+ --key KEY$/,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const good = await files("check");
    assert.deepEqual([good.code, good.stderr], [0, ""]);
    assert.match(
      good.stdout,
      /4 entries, taken \S+ on .*, not sealed\nall as it was   4 entries, .* read in \d+\.\d s\n/,
    );

    chmodSync(at("bin/ls"), 0o4755);
    writeFileSync(at(".hidden_backdoor"), "x");
    rmSync(at("bin/ps"));
    const bad = await files("check");
    assert.deepEqual([bad.code, bad.stderr], [1, ""]);
    assert.match(bad.stdout, /^changed {5}\S+\/bin\/ls\n {12}mode was 0755, is 4755$/m);
    assert.match(bad.stdout, /^added {7}\S+\/\.hidden_backdoor$/m);
    assert.match(bad.stdout, /^removed {5}\S+\/bin\/ps$/m);
    assert.match(bad.stdout, /^1 added, 1 removed, 1 changed {3}4 entries/m);

    const lines = jsonLines((await files("check", "--full", "--json")).stdout);
    assert.deepEqual(
      lines.map(({ type, change }) => [type, change]),
      [["file", "changed"], ["file", "removed"], ["file", "added"], ["files-checked", undefined]],
    ); // prettier-ignore
    assert.deepEqual(lines[0]?.["attributes"], [{ attribute: "mode", before: "0755", after: "4755" }]);
    assert.deepEqual([lines[3]?.["ok"], lines[3]?.["differences"], lines[3]?.["full"]], [false, 3, true]);

    const only = await files("check", at("bin"));
    assert.match(only.stdout, /^1 removed, 1 changed/m);
    const update = await files("update", at("bin"));
    assert.deepEqual([update.code, update.stderr], [0, ""]);
    assert.match(update.stdout, /^2 accepted, 3 entries, sha256 [0-9a-f]{64}$/m);
    assert.match((await files("check")).stdout, /^1 added {3}/m);
    assert.deepEqual(jsonLines((await files("update", "--json")).stdout).map(({ type }) => type), ["file", "files-updated"]); // prettier-ignore
    assert.equal((await files("check", "--full")).code, 0);
  });

  it("an extended attribute that cannot be read is of the one file that has it", async () => {
    const { folder, root, at, files } = tree();
    for (const [name, hex] of [
      ["user.a", "61"],
      ["user.refused", "62"],
      ["user.z", "63"],
    ] as const)
      assert.equal(spawnSync(compile("set_xattr"), [at("bin/ls"), name, hex]).status, 0);
    assert.equal((await files("init", root)).code, 0);
    for (const name of ["bin/ls", "bin/ps"]) chmodSync(at(name), 0o600);
    const refuse = compile("refuse_xattr", { shared: true });
    const env = { RIMON_STATE_DIR: folder, LD_PRELOAD: refuse };
    for (const how of [[], ["--full"]]) {
      const check = await runCommand(["files", "check", ...how], { env });
      assert.deepEqual([check.code, check.stderr], [1, ""]);
      assert.match(check.stdout, /^unreadable +\S+\/bin\/ls: EIO$/m);
      assert.match(check.stdout, /^changed +\S+\/bin\/ps$/m);
    }
    const init = await runCommand(["files", "init", root], { env });
    assert.equal(init.code, 0, init.stderr);
    assert.match(init.stdout, /\/bin\/ls.*it cannot be read in full: EIO/);
    assert.equal((await runCommand(["files", "check"], { env })).code, 0);
    assert.match((await files("show", at("bin"))).stdout, /\/bin\/ls$/m);
  });

  it("show and explain say what is kept and by which rule", async () => {
    const { root, at, files } = tree();
    await files("init", root, "--rule", `presence:${root}/bin/ps`, "--rule", `ignore:${root}/**/*.tmp`);
    const show = await files("show", at("bin"));
    assert.equal(show.code, 0);
    assert.match(
      show.stdout,
      /^folder {2}0755 .*\/root\/bin\nfile {4}0755 .* [0-9a-f]{16} {2}\S+\/bin\/ls\nfile .* - +\S+\/bin\/ps$/,
    );
    const [entry] = jsonLines((await files("show", at("bin/ls"), "--json")).stdout);
    const kept = entry?.["attributes"] as Record<string, string>;
    assert.deepEqual(
      [entry?.["type"], entry?.["group"], kept["type"], kept["mode"], kept["size"]],
      ["file-entry", "immutable", "file", "0755", "2"],
    );
    assert.equal((await files("show", "/nowhere")).code, 1);

    const explained = await files(
      "explain",
      at("bin/ps"),
      at("a/b.tmp"),
      at("x"),
      "/etc/passwd",
      "--baseline",
      join(root, "../files.json"),
    );
    assert.equal(explained.code, 0);
    assert.match(
      explained.stdout,
      /bin\/ps {3}file\n +it is +presence: whether it is there\n +by rule +1 of \d+: \S+\/bin\/ps\n +since +asked for by --rule\n +compared +type, mount$/m,
    );
    assert.match(explained.stdout, /b\.tmp {3}not there: taken for a file\n +it is +left out\n +by rule +2 of/);
    assert.match(explained.stdout, /\/x {3}not there.*\n +it is +immutable/);
    assert.match(
      explained.stdout,
      /\/etc\/passwd {3}file\n +it is +not looked at: it is below none of the baseline's roots/,
    );
    const usual = await files("explain", "/usr/share/doc/x/y", "/etc/passwd", "/usr/bin", "--json");
    assert.deepEqual(
      jsonLines(usual.stdout).map(({ group, by, kind }) => [group, by, kind]),
      [["ignore", "/usr/share/doc", undefined], ["config", undefined, "file"], ["immutable", undefined, "folder"]],
    ); // prettier-ignore
  });

  it("takes paths and rules from the configuration", async () => {
    const { folder, root, at, files } = tree();
    const config = join(folder, "rimon.yaml");
    writeFileSync(config, `files: { paths: [${root}], rules: [{ path: ${root}/bin, group: ignore, why: mine }] }\n`);
    assert.match((await files("init", "--config", config)).stdout, /^entries +1, 0 B read$/m);
    assert.match(
      (await files("explain", at("bin/ls"), "--config", config)).stdout,
      /left out, with its folder \S+\/bin\n.*\n +since +mine/,
    );
  });

  it("diff compares two baselines offline", async () => {
    const { root, at, folder, files } = tree();
    const [a, b] = [join(folder, "a.json"), join(folder, "b.json")];
    await files("init", root, "--baseline", a);
    writeFileSync(at("bin/ls"), "other");
    writeFileSync(at("bin/new"), "new");
    await files("init", root, "--baseline", b);
    rmSync(root, { recursive: true });
    const same = await files("diff", a, a);
    assert.deepEqual([same.code, same.stdout], [0, "no difference"]);
    const { code, stdout } = await files("diff", a, b);
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^changed {5}\S+\/bin\/ls\n +content was sha256 \S+, is \S+\n +size was 2, is 5\n.*\nadded .*\/bin\/new\n2 differences$/,
    );
    assert.deepEqual(jsonLines((await files("diff", a, b, "--json")).stdout).map(({ type }) => type), ["file", "file", "files-compared"]); // prettier-ignore
  });

  it("sealed it is checked by its key, and refused by every other and after every change", async () => {
    const { folder, root, at, file, files } = tree();
    const [key, other] = [join(folder, "a.key"), join(folder, "b.key")];
    for (const each of [key, other]) assert.equal((await runCommand(["seal", "keygen", each])).code, 0);
    await files("init", root);
    assert.equal((await runCommand(["seal", "sign", file, "--key", key])).code, 0);
    const good = await files("check", "--public-key", `${key}.pub`);
    assert.deepEqual([good.code, good.stderr], [0, ""]);
    assert.match(good.stdout, /sealed by [0-9a-f]{16}\nall as it was/);
    const wrong = await files("check", "--public-key", `${other}.pub`);
    assert.deepEqual([wrong.code, wrong.stderr], [1, ""]);
    assert.match(wrong.stdout, /^REFUSED \(wrong-key\) {2}\S+: a signature of one of the 1 pinned keys/);
    const unnamed = await files("check");
    assert.deepEqual([unnamed.code, unnamed.stdout], [2, ""]);
    assert.match(unnamed.stderr, /^RIMON_USAGE: \S+ is sealed: name the keys .* --public-key\n$/);

    const entries = join(folder, readdirSync(folder).find((name) => name.endsWith(".entries")) ?? "");
    const bytes = readFileSync(entries);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    writeFileSync(entries, bytes);
    const cut = await files("check", "--public-key", `${key}.pub`, "--json");
    assert.equal(cut.code, 1);
    assert.deepEqual(jsonLines(cut.stdout).map(({ type, code }) => [type, code]), [["files-refused", "wrong-entries"]]); // prettier-ignore
    assert.ok(at("x") !== "");
  });

  it("wrong usage is exit code 2 and a sentence", async () => {
    const { folder, root, file, files } = tree();
    for (const [args, says] of [
      [["check"], /^RIMON_USAGE: the baseline \S+files\.json cannot be read: ENOENT.*rimon files init makes one\n$/],
      [["init", "/nowhere"], /^RIMON_USAGE: \/nowhere was to be looked at, and is not there\n$/],
      [["init", root, "--rule", "usr"], /expected GROUP:PATTERN with an absolute pattern, got "usr"/],
      [["init", root, "--rule", "frob:/usr"], /^RIMON_USAGE: rules\[0\]\.group must be ignore or one of immutable/],
      [["init", root, "--rate", "fast"], /expected a size such as 50MiB, got "fast"/],
      [["check", "--threads", "65"], /expected at most 64 threads/],
      [
        ["init", root, "--baseline", join(folder, "no/such/place.json")],
        /^RIMON_USAGE: the baseline \S+ cannot be written: ENOENT/,
      ],
    ] as const) {
      const { code, stdout, stderr } = await files(...args);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, says);
    }
    await files("init", root);
    const outside = await files("check", "/etc");
    assert.equal(outside.code, 2);
    assert.match(outside.stderr, /^RIMON_USAGE: \/etc is not in the scope of the baseline: /);
    writeFileSync(file, "{}");
    const odd = await files("check");
    assert.deepEqual([odd.code, odd.stderr], [1, ""]);
    assert.match(odd.stdout, /^REFUSED \(not-a-statement\)/);
  });

  it("names that would drive a terminal are shown as what they are", async () => {
    const { root, at, files } = tree();
    await files("init", root);
    writeFileSync(at("\u001b[31mred\n"), "x");
    const { stdout } = await files("check");
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout, /\u001b/);
    const [{ path } = assert.fail("nothing was found")] = jsonLines((await files("check", "--json")).stdout);
    assert.equal(path, at("\u001b[31mred\n"));
  });

  it("on a terminal a check shows how far it is, and leaves no trace of that", async () => {
    const { file } = tree();
    await runCommand(["files", "init", "/usr/lib", "--baseline", file, "--max-size", "1KiB"]);
    const { code, lines } = await runOnTerminal(["files", "check", "--full", "--baseline", file]);
    assert.equal(code, 0, lines.join("\n"));
    assert.match(lines.join("\n"), /\d+ of \d+ entries, .* a second, .*\/s, .* left/);
    assert.match(lines.at(-1) ?? "", /all as it was/);
  });
});
