// What the kernel says of a program as it is started: what its loader is told, and where its file lies.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { requireAddon } from "../../src/native.ts";
import type { ExecRecord, NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { compile } from "../fixtures/compile.ts";
import { exitOf, lineOf, start, until } from "./child.ts";

const { addon } = requireAddon();

/** MAX_ARG_STRLEN, of which the NUL is one (execve(2)). */
const LONGEST = 131_072;

function watched(t: TestContext): readonly NativeRecord[] {
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const watch = addon.openWatch({ connector: false, files: false, exec: true }, procfs, (batch) => {
    records.push(...decodeRecords(batch));
  });
  t.after(() => {
    watch.close();
    procfs.close();
  });
  const { live, reason } = watch.status().exec;
  assert.ok(live, reason);
  return records;
}

/** What was told of the process, which has to be more than its exec, or not; the exec itself is waited for. */
async function toldOf(records: readonly NativeRecord[], pid: number): Promise<ExecRecord | undefined> {
  await until(`the exec of ${pid}`, () =>
    records.find((record) => record.kind === "process-event" && record.event === "exec" && record.pid === pid),
  );
  // It is in the same batch as the exec, or is none.
  return records.find((record): record is ExecRecord => record.kind === "exec" && record.pid === pid);
}

type Environment = Readonly<Record<string, string>>;

const many = (count: number): Environment =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [index.toString(36), ""]));

const CASES: readonly {
  readonly when: string;
  readonly environment: Environment;
  /** "NAME path path"; undefined: there is nothing to be told. */
  readonly told: readonly string[] | undefined;
  readonly cut?: true;
  readonly libraryPath?: true;
}[] = [
  { when: "there is no environment", environment: {}, told: undefined },
  { when: "there is nothing for the loader", environment: { PATH: "/bin", LD_BIND_NOW: "1" }, told: undefined },
  { when: "LD_PRELOAD", environment: { LD_PRELOAD: "/a.so:/b.so c.so" }, told: ["LD_PRELOAD /a.so /b.so c.so"] },
  { when: "LD_AUDIT", environment: { HOME: "/", LD_AUDIT: "/a.so" }, told: ["LD_AUDIT /a.so"] },
  {
    when: "both, and LD_LIBRARY_PATH",
    environment: { LD_AUDIT: "/a.so", A: "", LD_LIBRARY_PATH: "/secret", B: "", LD_PRELOAD: "/b.so" },
    told: ["LD_AUDIT /a.so", "LD_PRELOAD /b.so"],
    libraryPath: true,
  },
  { when: "LD_LIBRARY_PATH alone", environment: { LD_LIBRARY_PATH: "/secret" }, told: [], libraryPath: true },
  { when: "they are empty", environment: { LD_PRELOAD: "", LD_AUDIT: "" }, told: undefined },
  {
    when: "names that are nearly theirs",
    environment: { LD_PRELOADED: "/a", XLD_PRELOAD: "/a", LD_PRELO: "AD=/a", LD_AUDITED: "/a", LD_LIBRARY_PATHS: "/a" },
    told: undefined,
  },
  {
    when: "a value that has the name in it, at the beginning of a piece of it, too",
    environment: { A: `LD_PRELOAD=/a${"LD_PRELOAD=/a".repeat(200)}`, B: `${"x".repeat(253)}LD_PRELOAD=/a` },
    told: undefined,
  },
  ...[254, 255, 256, 257, 510, 511].map((length) => ({
    when: `it stands behind a string of ${length} bytes`,
    environment: { A: "x".repeat(length - 3), LD_PRELOAD: "/a.so" },
    told: ["LD_PRELOAD /a.so"],
  })),
  {
    when: "it stands behind the longest string that there can be",
    environment: { A: "x".repeat(LONGEST - 3), LD_PRELOAD: "/a.so" },
    told: ["LD_PRELOAD /a.so"],
  },
  {
    when: "it stands behind 60,000 strings",
    environment: { ...many(60_000), LD_PRELOAD: "/a.so" },
    told: ["LD_PRELOAD /a.so"],
  },
  {
    when: "it stands behind more strings than are looked at",
    environment: { ...many(65_536), LD_PRELOAD: "/a.so" },
    told: [],
    cut: true,
  },
  {
    when: "it is longer than what is kept",
    environment: { LD_PRELOAD: `${"/a ".repeat(1_000)}/evil.so` },
    told: [`LD_PRELOAD${" /a".repeat(679)}`],
    cut: true,
  },
  {
    when: "a long one leaves no room for another",
    environment: { LD_PRELOAD: `/${"a".repeat(2_047)}`, LD_AUDIT: "/evil.so" },
    told: [`LD_PRELOAD /${"a".repeat(2_047 - "LD_PRELOAD=/".length)}`],
    cut: true,
  },
];

describe("what the loader of a new program is told", () => {
  for (const { when, environment, told, cut, libraryPath } of CASES) {
    it(when, async (t) => {
      const records = watched(t);
      const { pid } = start(t, "/bin/true", [], { env: environment, stdio: "ignore" });
      const record = await toldOf(records, pid);
      const paths = record?.posture.loader?.map(({ name, paths }) => [name, ...paths].join(" "));
      assert.deepEqual(paths, told);
      assert.equal(record?.posture.loaderCut, cut);
      assert.equal(record?.posture.libraryPath, libraryPath);
      assert.ok(record === undefined || (!record.unlinked && !record.upper && record.name === "true"));
    });
  }

  it("is told also if the library takes it out of the environment before main()", async (t) => {
    const records = watched(t);
    const library = compile("erase", { shared: true });
    const child = start(t, "/bin/cat", [], { env: { LD_PRELOAD: library } });
    child.stdin?.write("main\n");
    assert.equal(await lineOf(child), "main");
    assert.doesNotMatch(readFileSync(`/proc/${child.pid}/environ`, "latin1"), /LD_PRELOAD/);
    assert.deepEqual((await toldOf(records, child.pid))?.posture, {
      loader: [{ name: "LD_PRELOAD", paths: [library] }],
    });
  });
});

/** An overlay in mounts of its own, which end with it; programs are started there as they are named on its stdin. */
const OVERLAY = `set -e
mount -t tmpfs tmpfs "$0"; cd "$0"; mkdir lower upper work merged
for each in untouched written mode; do cp /bin/true lower/$each; done
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged
cp /bin/true merged/added
chmod 700 merged/mode
echo >>merged/written
printf '#!%s/merged/added\\n' "$0" >merged/script; chmod 700 merged/script
echo ready
while read -r path; do sh -c 'echo $$; read -r go; exec "$0"' "$(realpath "$path")"; done`;

const FILES: readonly { readonly path: string; readonly upper: boolean; readonly what: string }[] = [
  { path: "merged/untouched", upper: false, what: "a file of the image" },
  { path: "merged/added", upper: true, what: "a file that was added" },
  { path: "merged/written", upper: true, what: "a file of the image that was written to" },
  { path: "merged/mode", upper: true, what: "a file of the image whose mode was changed" },
  { path: "merged/script", upper: true, what: "a script, by its interpreter" },
  { path: "upper/added", upper: false, what: "the same file, not by way of the overlay" },
  { path: "/bin/true", upper: false, what: "a file of another file system" },
];

describe("a program of an overlay", () => {
  for (const { path, upper, what } of FILES) {
    it(`${what}: ${upper ? "of the upper layer" : "nothing to be told"}`, async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "rimon-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const records = watched(t);
      const shell = start(t, "unshare", ["--mount", "sh", "-c", OVERLAY, folder]);
      assert.equal(await lineOf(shell), "ready");
      shell.stdin?.write(`${path}\n`);
      const pid = Number(await lineOf(shell));
      // The shell that becomes the program was told already.
      await until("the exec of the shell", () =>
        records.some((each) => each.kind === "process-event" && each.event === "exec" && each.pid === pid)
          ? true
          : undefined,
      );
      shell.stdin?.end("go\n");
      await exitOf(shell);
      await until("its exec", () => {
        const execs = records.filter((each) => each.kind === "process-event" && each.event === "exec");
        return execs.filter((each) => each.kind === "process-event" && each.pid === pid).length === 2 || undefined;
      });
      const told = records.filter((record): record is ExecRecord => record.kind === "exec" && record.pid === pid);
      assert.deepEqual(
        told.map((record) => [record.upper, record.unlinked, record.name]),
        upper ? [[true, false, path === "merged/script" ? "added" : path.slice("merged/".length)]] : [],
      );
    });
  }
});
