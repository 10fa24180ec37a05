// The whole way: rimon run, a file below a watched folder, and the finding that names who changed it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { initFiles } from "../../src/files/check.ts";
import { startContainer } from "../fixtures/container.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const DEADLINE_MS = 20_000;

function shell(script: string): number {
  const { status, pid, stderr } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return pid;
}

test("without a baseline: each change and who made it; nothing of what rimon itself writes", async () => {
  const state = temporaryDirectory("file-events-state");
  const folder = temporaryDirectory("file-events-watched");
  writeFileSync(join(folder, "tool"), "good");
  // Its own log lies below a watched folder, too.
  const config = `files: { realtime: true, paths: [${folder}, ${state}] }\n`;
  const rimon = startRimon({ config, stateDirectory: state });
  const ready = await rimon.ready;
  assert.equal(ready.sensors?.find(({ name }) => name === "file-events")?.state, "live");
  for (let round = 0; round < 5; round++) {
    const path = join(folder, `made${round}`);
    const pid = shell(`echo x > ${path}`);
    const made = await rimon.waitForFinding("file-touched", DEADLINE_MS, ({ subject }) => subject === path);
    assert.equal(made.suspect?.pid, pid);
    assert.equal(made.suspect?.comm, "sh");
    assert.equal(made.suspect?.ancestry?.[0]?.pid, process.pid);
    assert.match(made.message, new RegExp(`^sh \\(${pid}, root\\) made ${path}$`));
  }
  const pid = shell(`printf evil > ${folder}/tool; printf good > ${folder}/tool`);
  const written = await rimon.waitForFinding(
    "file-touched",
    DEADLINE_MS,
    ({ subject }) => subject === `${folder}/tool`,
  );
  assert.equal(written.suspect?.pid, pid);
  assert.deepEqual(
    rimon.findings().filter(({ suspect, rule }) => rule === "file-touched" && suspect?.pid === rimon.pid),
    [],
  );
  assert.equal(await rimon.stop(), 0);
});

test("with a baseline: what a file was and is, by whom; a package manager's name alone hides nothing", async () => {
  const folder = temporaryDirectory("file-events-watched");
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", "tool"), "good");
  chmodSync(join(folder, "bin", "tool"), 0o755);
  const baseline = join(temporaryDirectory("file-events-baseline"), "files.json");
  await initFiles({ file: baseline, roots: [folder], rules: [{ path: "/", group: "immutable" }] });
  const rimon = startRimon({ config: `files: { realtime: true, baseline: ${baseline} }\n` });
  await rimon.ready;
  const tool = join(folder, "bin", "tool");
  // Called dpkg, and not the file that dpkg is.
  const dpkg = join(temporaryDirectory("file-events-fake"), "dpkg");
  const copied = spawnSync("cp", ["/bin/sh", dpkg]);
  assert.equal(copied.status, 0);
  const { pid } = spawnSync(dpkg, ["-c", `printf evil > ${tool}; chmod 4755 ${tool}`]);
  const changed = await rimon.waitForFinding(
    "file-changed",
    DEADLINE_MS,
    ({ subject, suspect }) => subject?.startsWith(`${tool} changed`) === true && suspect !== undefined,
  );
  assert.equal(changed.severity, "critical");
  assert.deepEqual([changed.suspect?.pid, changed.suspect?.comm, changed.suspect?.exe], [pid, "dpkg", dpkg]);
  assert.match(changed.message, /content was .*, is .*, by dpkg/);
  assert.equal(await rimon.stop(), 0);
});

test("a container that is written to, and one that starts later: which file, and who did it", async (t) => {
  const first = await startContainer("echo x > /etc/before");
  t.after(() => first.stop());
  const rimon = startRimon({ config: "files: { containers: true }\n" });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const drift = (container: string, path: string) =>
    rimon.waitForFinding(
      "container-drift",
      DEADLINE_MS,
      ({ subject }) => subject === `${container.slice(0, 12)}:${path}`,
    );
  assert.equal((await drift(first.id, "/etc/before")).suspect, undefined);
  await first.run("echo x > /etc/after");
  const written = await drift(first.id, "/etc/after");
  assert.deepEqual([written.suspect?.pid, written.suspect?.comm], [first.pid, "sh"]);
  const second = await startContainer();
  t.after(() => second.stop());
  await second.run("echo x >> /etc/passwd");
  const later = await drift(second.id, "/etc/passwd");
  assert.match(later.message, /\/etc\/passwd in container [0-9a-f]{12}, whose root is no longer its image$/);
  assert.equal(await rimon.stop(), 0);
});
