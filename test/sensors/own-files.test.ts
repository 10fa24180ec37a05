import assert from "node:assert/strict";
import { appendFileSync, chmodSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { OwnFile } from "../../src/sensors/kernel-events.ts";
import { createOwnFiles } from "../../src/sensors/own-files.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext } from "./context.ts";

const rotated = (path: string): string => `${path}.000000000001`;

interface Case {
  readonly what: string;
  readonly role: OwnFile["role"];
  readonly act: (path: string) => void;
  readonly change: string | undefined;
}

const CASES: readonly Case[] = [
  { what: "nothing happens", role: "audit", act: () => {}, change: undefined },
  { what: "the log grows", role: "audit", act: (path) => appendFileSync(path, "more\n"), change: undefined },
  { what: "the log is cut", role: "audit", act: (path) => truncateSync(path, 3), change: "truncated" },
  { what: "the log is emptied", role: "audit", act: (path) => writeFileSync(path, ""), change: "truncated" },
  { what: "the log is removed", role: "audit", act: (path) => rmSync(path), change: "removed" },
  { what: "the log is opened to others", role: "audit", act: (path) => chmodSync(path, 0o666), change: "mode" },
  {
    what: "the log is rotated",
    role: "audit",
    act(path) {
      renameSync(path, rotated(path));
      writeFileSync(path, "new\n");
    },
    change: undefined,
  },
  {
    what: "the log is being rotated and the new one is not there yet",
    role: "audit",
    act: (path) => renameSync(path, rotated(path)),
    change: undefined,
  },
  {
    what: "the log is rotated and what was rotated away is cut",
    role: "audit",
    act(path) {
      renameSync(path, rotated(path));
      truncateSync(rotated(path), 3);
      writeFileSync(path, "new\n");
    },
    change: "replaced",
  },
  {
    what: "the log is moved to another name",
    role: "audit",
    act(path) {
      renameSync(path, `${path}-away`);
      writeFileSync(path, "new\n");
    },
    change: "replaced",
  },
  {
    what: "another file takes the log's place",
    role: "audit",
    act(path) {
      writeFileSync(`${path}.new`, "forged\n");
      renameSync(`${path}.new`, path);
    },
    change: "replaced",
  },
  {
    what: "the configuration is edited in place",
    role: "configuration",
    act: (path) => appendFileSync(path, "more\n"),
    change: "written",
  },
  {
    what: "the configuration is written with as many bytes",
    role: "configuration",
    act(path) {
      writeFileSync(path, "FIRST\n");
      utimesSync(path, 1, 1);
    },
    change: "written",
  },
  {
    what: "an editor puts a new configuration in the old one's place",
    role: "configuration",
    act(path) {
      writeFileSync(`${path}.swp`, "new\n");
      renameSync(`${path}.swp`, path);
    },
    change: "replaced",
  },
  { what: "the key changes its mode", role: "key", act: (path) => chmodSync(path, 0o644), change: "mode" },
  { what: "the program is removed", role: "program", act: (path) => rmSync(path), change: "removed" },
];

describe("own-files", () => {
  for (const { what, role, act, change } of CASES) {
    it(`${change ?? "nothing"}: ${what}`, async () => {
      const path = join(temporaryDirectory("own"), "file");
      writeFileSync(path, "first\n", { mode: 0o600 });
      const context = createContext();
      const sensor = createOwnFiles(context, () => [{ path, role }]);
      await sensor.start();
      act(path);
      await sensor.pass?.(false);
      await sensor.pass?.(false);
      assert.deepEqual(
        context.of("own-file.changed").map((each) => [each.path, each.role, each.change]),
        change === undefined ? [] : [[path, role, change]],
      );
      context.close();
    });
  }

  it("who gave it another mode is named, who wrote it meanwhile is not taken for the same", async () => {
    const folder = temporaryDirectory("own");
    const [mode, written] = [join(folder, "mode"), join(folder, "written")];
    for (const path of [mode, written]) writeFileSync(path, "first\n", { mode: 0o600 });
    const context = createContext();
    const sensor = createOwnFiles(context, () => [
      { path: mode, role: "key" },
      { path: written, role: "configuration" },
    ]);
    await sensor.start();
    chmodSync(mode, 0o644);
    appendFileSync(written, "more\n");
    sensor.touched(4711);
    // Comes after it, and finds nothing more.
    await sensor.pass?.(false);
    assert.deepEqual(
      context.of("own-file.changed").map(({ path, change, pid }) => [path, change, pid]),
      [
        [mode, "mode", 4711],
        [written, "written", undefined],
      ],
    );
    context.close();
  });

  it("a file that comes later is taken as it is, and watched from then on", async () => {
    const path = join(temporaryDirectory("own"), "late");
    const context = createContext();
    const sensor = createOwnFiles(context, () => [{ path, role: "configuration" }]);
    await sensor.start();
    writeFileSync(path, "x");
    await sensor.pass?.(false);
    assert.deepEqual(context.of("own-file.changed"), []);
    appendFileSync(path, "y");
    await sensor.pass?.(false);
    assert.equal(context.of("own-file.changed")[0]?.change, "written");
    context.close();
  });
});
