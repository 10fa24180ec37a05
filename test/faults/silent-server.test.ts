// A file system that a program of any user answers for (FUSE), and that falls silent: rimon sees who runs from there, waits
// for nothing that lies there, and ends when it is told to.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compile } from "../fixtures/compile.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { lineOf, start } from "../native/child.ts";
import { DEADLINE_MS } from "./attach.ts";

test("programs of a silent server hold up neither what rimon does nor its end", async (t) => {
  const folder = join(temporaryDirectory("silent"), "served");
  mkdirSync(folder);
  const server = start(t, compile("gate-server"), [folder, "/bin/sleep"]);
  t.after(() => execFileSync("umount", ["-l", folder]));
  assert.equal(await lineOf(server), "ready");
  const program = start(t, join(folder, "file"), ["600"]);
  server.kill("SIGSTOP");
  const target = await spawnTarget();
  t.after(() => target.stop());
  const rimon = startRimon({
    config: `protect: ["pid:${target.pid}"]\n`,
  });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const blind = await rimon.waitForFinding("sensor-blind", DEADLINE_MS, ({ subject }) => subject === "executables");
  assert.match(blind.message, /executables is degraded: executables on file systems that a program answers for/);
  assert.ok(existsSync(`/proc/${program.pid}`) && readFileSync(`/proc/${program.pid}/comm`, "utf8") === "file\n");
  assert.equal(await rimon.stop(), 0);
  server.kill("SIGKILL");
});
