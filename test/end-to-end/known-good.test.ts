// A storage node under load with all that is held against a baseline switched on: isolation structures, files as they
// change, executables before they run. What is done to each is found, and no request fails.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { runCommand } from "../fixtures/command.ts";
import { programs, run, tmpfs } from "../fixtures/gate.ts";
import { startLoad } from "../fixtures/load.ts";
import { isLive, startRimon } from "../fixtures/monitor.ts";
import { startKms, startStorageNode } from "../fixtures/storage.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const DEADLINE_MS = 60_000;
const REFUSED = 126;

async function rimon(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args);
  assert.equal(code, 0, `rimon ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** Sealed by a key that is not where the monitor is. */
async function sealed(baseline: string, key: string): Promise<void> {
  await rimon("seal", "sign", baseline, "--key", key);
}

async function storageNode(t: TestContext) {
  const kms = await startKms();
  const node = await startStorageNode({ kms: kms.url });
  t.after(async () => {
    await node.stop();
    await kms.stop();
  });
  return node;
}

test("isolation, files and executables of a storage node under load, all at once", async (t) => {
  const node = await storageNode(t);
  const tools = tmpfs(t);
  const made = programs();
  const [good, evil] = [join(tools, "good"), join(tools, "evil")];
  copyFileSync(made.good, good);
  const watched = temporaryDirectory("known-good-files");
  mkdirSync(join(watched, "bin"));
  const tool = join(watched, "bin", "tool");
  writeFileSync(tool, "as it was");
  chmodSync(tool, 0o755);

  const beside = temporaryDirectory("known-good");
  const [key, snapshots, files, executables] = ["key", "isolation.json", "files.json", "executables.json"].map((name) =>
    join(beside, name),
  ) as [string, string, string, string];
  await rimon("seal", "keygen", key);
  await rimon("snapshot", "take", "--pid", String(node.pid), "--out", snapshots);
  await rimon("files", "init", watched, "--baseline", files);
  await rimon("gate", "learn", tools, "--out", executables);
  for (const baseline of [snapshots, files, executables]) await sealed(baseline, key);
  copyFileSync(made.evil, evil);

  const monitor = startRimon({
    config: `
mode: enforce
environment: development
protect: ["pid:${node.pid}"]
snapshots:
  interval: 1s
  baseline: { file: ${snapshots}, publicKeys: [${key}.pub] }
files: { realtime: true, baseline: ${files}, publicKeys: [${key}.pub], paths: [${watched}] }
gate:
  mode: enforce
  mounts: [{ path: ${tools} }]
  known: [${executables}]
  publicKeys: [${key}.pub]
`,
  });
  t.after(() => monitor.kill9());
  const ready = await monitor.ready;
  for (const sensor of ["snapshots", "file-events", "exec-gate"]) assert.ok(isLive(ready, sensor), monitor.stderr);
  const load = startLoad({ url: node.url });
  await load.more(100);

  assert.equal(run(good), 0);
  assert.equal(run(evil), REFUSED);
  const denied = await monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ message }) => message.includes(evil));
  assert.equal(denied.severity, "high");

  const { pid } = spawnSync("sh", ["-c", `echo 'as it should not be' > ${tool}`]);
  const changed = await monitor.waitForFinding(
    "file-changed",
    DEADLINE_MS,
    ({ subject, suspect }) => subject?.startsWith(tool) === true && suspect !== undefined,
  );
  assert.equal(changed.suspect?.pid, pid);
  assert.match(changed.message, /content was/);

  assert.equal(spawnSync("prlimit", ["--pid", String(node.pid), "--nproc=4242"]).status, 0);
  const isolation = await monitor.waitForFinding("isolation-changed", DEADLINE_MS, ({ message }) =>
    message.includes("4242"),
  );
  assert.equal(isolation.target?.pid, node.pid);

  await load.more(200);
  const { requests, failures, firstFailure } = await load.stop();
  assert.ok(requests >= 300);
  assert.equal(failures, 0, firstFailure);
  // Nothing else of it was other than it was.
  const rules = new Set(monitor.findings().map(({ rule }) => rule));
  for (const rule of ["exec-denied", "file-changed", "file-touched", "isolation-changed"]) rules.delete(rule);
  const loud = monitor
    .findings()
    .filter(({ rule, severity }) => rules.has(rule) && ["medium", "high", "critical"].includes(severity));
  assert.deepEqual(loud.map(({ rule, message }) => `${rule}: ${message}`), []); // prettier-ignore
  const others = monitor.findings().filter(({ rule, message }) => rule === "isolation-changed" && !message.includes("4242")); // prettier-ignore
  assert.deepEqual(others.map(({ message }) => message), []); // prettier-ignore
  await monitor.stop();
});
