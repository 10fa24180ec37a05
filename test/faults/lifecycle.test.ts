// How rimon starts, refuses to start, and ends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Outcome, Verdict } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import { startProgram } from "../fixtures/child.ts";
import { readAudit, runCommand, verifyAudit } from "../fixtures/command.ts";
import { startRimon, type Ready } from "../fixtures/monitor.ts";
import { startReceiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { attachFound, attachOnce, DEADLINE_MS, isOutcomeOf } from "./attach.ts";

const NOBODY = 65534;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let target: Target;

before(async () => {
  target = await spawnTarget();
});

after(async () => {
  await target?.stop();
});

function configFile(text: string): string {
  const file = join(temporaryDirectory("config"), "rimon.yaml");
  writeFileSync(file, text);
  return file;
}

const inDirectory = (directory: string) => ({ env: { RIMON_STATE_DIR: directory } });

test("SIGTERM under a load of findings: everything said is in the log, everything queued is delivered", async (t) => {
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const rimon = startRimon({
    config: `
protect: ["pid:${target.pid}"]
alerts: { clusterAdmins: [{ webhook: { url: "${receiver.url}" } }] }
`,
  });
  t.after(() => rimon.kill9());
  await rimon.ready;
  let attacking = true;
  const attackers = Array.from({ length: 3 }, async () => {
    while (attacking) await attachOnce(target).catch(() => sleep(5));
  });
  let alerts = 0;
  const isAlert = (record: { readonly type: string }): boolean =>
    record.type === "outcome" && (record as Outcome).action === "alert" && ++alerts > 20;
  await rimon.waitFor(isAlert, DEADLINE_MS, "20 alerts");
  assert.equal(await rimon.stop(), 0);
  attacking = false;
  await Promise.all(attackers);

  assert.deepEqual(rimon.strayLines, []);
  assert.equal((await verifyAudit(rimon.stateDirectory)).code, 0);
  const records = await readAudit(rimon.stateDirectory);
  assert.deepEqual(
    records.slice(-2).map(({ type }) => type),
    ["stop", "checkpoint"],
  );
  const verdicts = new Set(
    records.flatMap(({ type, body }) => (type === "verdict" ? [(body as unknown as Verdict).finding.id] : [])),
  );
  const outcomes = new Set(
    records.flatMap(({ type, body }) =>
      type === "outcome" ? [`${String(body["finding"])} ${String(body["action"])}`] : [],
    ),
  );
  const received = new Set(receiver.received.map(({ body }) => (JSON.parse(body) as { readonly id: string }).id));
  for (const { id } of rimon.findings()) assert.ok(verdicts.has(id), id);
  for (const record of rimon.records) {
    if (record.type === "verdict") {
      const { finding, actions } = record as Verdict;
      for (const { action, allowed } of actions)
        assert.ok(!allowed || outcomes.has(`${finding.id} ${action}`), `${finding.id} ${action} has no outcome`);
    }
    if (record.type === "outcome" && record["action"] === "alert" && record["result"] === "done")
      assert.ok(received.has(String(record["finding"])), JSON.stringify(record));
  }
});

test("SIGTERM while the keeper of the keys is silent: it is cut off, and the outcome says so", async (t) => {
  const socket = join(temporaryDirectory("keeper"), "keeper.sock");
  const keeper: Server = createServer((connection) => connection.on("error", () => {}).resume()).listen(socket);
  await once(keeper, "listening");
  t.after(() => keeper.close());
  const rimon = startRimon({
    config: `
protect: ["pid:${target.pid}"]
respond: { critical: [rotate-master-key], high: [] }
actions: { rotate-master-key: { socket: { path: "${socket}", timeout: 5m } } }
`,
  });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const asked = once(keeper, "connection");
  const { id } = await attachFound(rimon, target);
  await asked;
  assert.equal(await rimon.stop(), 0);
  const outcome = await rimon.waitFor(isOutcomeOf(id, "rotate-master-key"), DEADLINE_MS);
  assert.equal(outcome.result, "failed");
  assert.match(outcome.message, /the master key was not rotated: .*stopped before it answered/);
  const records = await readAudit(rimon.stateDirectory);
  assert.ok(
    records.some(({ type, body }) => type === "outcome" && body["finding"] === id && body["result"] === "failed"),
  );
});

test("standard output that nobody reads any more ends rimon in order", async (t) => {
  const stateDirectory = temporaryDirectory("state");
  const rimon = spawn(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), main, "run", "--json", "--protect", `pid:${target.pid}`],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, RIMON_STATE_DIR: stateDirectory } },
  );
  t.after(() => rimon.kill("SIGKILL"));
  const ended = once(rimon, "exit");
  let stderr = "";
  rimon.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  await once(createInterface({ input: rimon.stdout }), "line");
  rimon.stdout.destroy();
  await attachOnce(target);
  assert.deepEqual(await ended, [0, null], stderr);
  assert.equal(stderr, "");
  assert.equal((await verifyAudit(stateDirectory)).code, 0);
  const types = (await readAudit(stateDirectory)).map(({ type }) => type);
  assert.ok(types.includes("verdict"));
  assert.ok(types.includes("stop"));
});

test("a second rimon on the same log is refused and names the first", async (t) => {
  const rimon = startRimon({ args: ["--protect", `pid:${target.pid}`] });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const second = await runCommand(
    ["run", "--json", "--protect", `pid:${target.pid}`],
    inDirectory(rimon.stateDirectory),
  );
  assert.equal(second.code, 2);
  assert.match(
    second.stderr,
    new RegExp(`^RIMON_AUDIT: the audit log .* is being written by the process ${rimon.pid}, `),
  );
  assert.equal(second.stderr.trim().split("\n").length, 1);
  await attachFound(rimon, target);
  assert.equal(await rimon.stop(), 0);
  assert.equal((await verifyAudit(rimon.stateDirectory)).code, 0);
});

test("a state folder that cannot be written is refused with a sentence", async () => {
  const file = join(temporaryDirectory("state"), "file");
  writeFileSync(file, "");
  const below = await runCommand(["run", "--json"], inDirectory(join(file, "state")));
  assert.equal(below.code, 2, below.stderr);
  assert.match(below.stderr, /^RIMON_AUDIT: .*ENOTDIR/);

  const foreign = temporaryDirectory("state");
  const unprivileged = await runCommand(["run", "--json"], {
    ...inDirectory(join(foreign, "rimon")),
    uid: NOBODY,
    gid: NOBODY,
  });
  assert.equal(unprivileged.code, 2, unprivileged.stderr);
  assert.match(unprivileged.stderr, /^RIMON_AUDIT: .*EACCES/);
});

test("an ordinary user may run it: it says what it cannot see and why, and ends in order", async (t) => {
  const stateDirectory = temporaryDirectory("state");
  chownSync(stateDirectory, NOBODY, NOBODY);
  const own = await spawnTarget({ uid: NOBODY, gid: NOBODY });
  t.after(() => own.stop());
  const rimon = startProgram(main, ["run", "--json", "--protect", `pid:${own.pid}`], {
    ...inDirectory(stateDirectory),
    uid: NOBODY,
    gid: NOBODY,
  });
  t.after(() => rimon.stop("SIGKILL"));
  const ready = JSON.parse(
    await rimon.lines.waitFor((line) => line.includes('"type":"ready"'), DEADLINE_MS, "a ready record"),
  ) as Ready & {
    readonly uid: number;
    readonly protected: readonly { readonly pid: number }[];
    readonly sensors: readonly { readonly name: string; readonly state: string; readonly reason?: string }[];
  };
  assert.equal(ready.uid, NOBODY);
  assert.ok(ready.protected.some(({ pid }) => pid === own.pid));
  const sensor = (name: string) => ready.sensors.find((each) => each.name === name);
  assert.equal(sensor("fanotify")?.state, "unavailable");
  assert.match(sensor("fanotify")?.reason ?? "", /EPERM|EACCES|permitted|denied|CAP_/i);
  // v6.6: the connector is open to everybody; before it, that it is not is said like the rest.
  assert.equal(sensor("process-table")?.state, "live");
  for (const { name, state, reason } of ready.sensors)
    assert.ok(state === "live" || (reason ?? "") !== "", `${name} is ${state} without a reason`);

  const attack = startAttack("attach", [own.pid, own.address, 8, 2_000]);
  await rimon.lines.waitFor(
    (line) => line.includes('"rule":"ptrace-attach"') && line.includes(`"pid":${attack.pid},`),
    DEADLINE_MS,
    "the finding of an attach",
  );
  await attack.end();
  assert.deepEqual(await rimon.stop("SIGTERM"), { code: 0, signal: null });
  assert.equal(rimon.stderr, "");
  assert.equal((await verifyAudit(stateDirectory)).code, 0);
});

test("mode off is refused in production, by file and by option", async () => {
  const off = configFile("mode: off\n");
  const byFile = await runCommand(["run", "--json", "--config", off], inDirectory(temporaryDirectory("state")));
  assert.equal(byFile.code, 2);
  assert.match(byFile.stderr, new RegExp(`^RIMON_CONFIG: ${off}:1:\\d+: .*mode`));
  const byOption = await runCommand(["run", "--json", "--mode", "off"], inDirectory(temporaryDirectory("state")));
  assert.equal(byOption.code, 2);
  assert.match(byOption.stderr, /^RIMON_CONFIG: --mode off is for development/);
});

test("mode off runs in development, watches nothing and leaves a record of it", async (t) => {
  const rimon = startRimon({ config: `environment: development\nmode: off\nprotect: ["pid:${target.pid}"]\n` });
  t.after(() => rimon.kill9());
  const ready = await rimon.ready;
  assert.equal(ready["mode"], "off");
  assert.deepEqual(ready["sensors"], []);
  assert.ok((ready["weakened"] as readonly string[]).some((sentence) => /mode is off/i.test(sentence)));
  await attachOnce(target);
  assert.equal(await rimon.stop(), 0);
  assert.deepEqual(rimon.findings(), []);
  const records = await readAudit(rimon.stateDirectory);
  const weakened = records.find(({ type }) => type === "weakened");
  assert.match(JSON.stringify(weakened?.body), /mode is off/i);
});

test("a log that was tampered with is set aside, told, and a new one begun", async (t) => {
  const stateDirectory = temporaryDirectory("state");
  mkdirSync(stateDirectory, { recursive: true });
  writeFileSync(join(stateDirectory, "audit.ndjson"), '{"v":1}\n', { mode: 0o600 });
  const rimon = startRimon({ stateDirectory, args: ["--protect", `pid:${target.pid}`] });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const told = await rimon.waitForFinding("monitor-troubled", DEADLINE_MS, ({ message }) =>
    /does not verify/.test(message),
  );
  assert.equal(told.severity, "high");
  await attachFound(rimon, target);
  assert.equal(await rimon.stop(), 0);
  const verification = await verifyAudit(stateDirectory);
  assert.equal(verification.code, 1, "the log itself says that what came before it did not verify");
});
