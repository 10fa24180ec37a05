// SIGHUP: a good file takes over, a bad one changes nothing, and nothing is lost on the way.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Verdict } from "../../src/finding.ts";
import { compile } from "../fixtures/compile.ts";
import { readAudit, verifyAudit } from "../fixtures/command.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { startReceiver, type Receiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { until } from "../store/scratch.ts";
import { attachAlerted, attachFound, attachOnce, DEADLINE_MS } from "./attach.ts";

const REASON = "planned debugging";

let targets: readonly [Target, Target];
let receiver: Receiver;
let rimon: Monitor;

before(async () => {
  targets = await Promise.all([spawnTarget(), spawnTarget()]);
  receiver = await startReceiver();
  rimon = startRimon({ config: configOf() });
  await rimon.ready;
});

after(async () => {
  await rimon?.kill9();
  await receiver?.close();
  for (const target of targets ?? []) await target.stop();
});

function configOf(extra = "", protect: readonly Target[] = targets.slice(0, 1)): string {
  return `
protect: [${protect.map(({ pid }) => `"pid:${pid}"`).join(", ")}]
respond: { critical: [], high: [] }
alerts: { clusterAdmins: [{ webhook: { url: "${receiver.url}", timeout: 5m } }] }
${extra}`;
}

const said = (text: RegExp): number => rimon.stderr.split("\n").filter((line) => text.test(line)).length;

function hangUp(config: string): void {
  writeFileSync(join(rimon.stateDirectory, "rimon.yaml"), config);
  process.kill(rimon.pid, "SIGHUP");
}

async function reload(config: string): Promise<void> {
  const before = said(/^configuration reloaded from /);
  hangUp(config);
  await until("the configuration was reloaded", () => said(/^configuration reloaded from /) > before);
}

const verdictOn = (finding: string): Promise<Verdict> =>
  rimon.waitFor(
    (record): record is Verdict => record.type === "verdict" && (record as Verdict).finding.id === finding,
    DEADLINE_MS,
    "a verdict",
  );

test("an exception by hash holds from the reload on, and no longer after the next", async () => {
  const exe = compile("attach");
  const sha256 = createHash("sha256").update(readFileSync(exe)).digest("hex");
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  assert.equal((await verdictOn((await attachFound(rimon, targets[0])).id)).exception, undefined);

  await reload(
    configOf(`
exceptions:
  - { rule: ptrace-attach, suspect: { exe: "${exe}", sha256: ${sha256} }, reason: "${REASON}", expires: "${expires}" }
`),
  );
  const excepted = await verdictOn((await attachFound(rimon, targets[0])).id);
  assert.equal(excepted.exception, REASON, JSON.stringify(excepted.notes));
  assert.deepEqual(excepted.actions, []);

  await reload(configOf());
  const { finding } = await attachAlerted(rimon, targets[0]);
  assert.equal((await verdictOn(finding.id)).exception, undefined);
});

test("a process that a reload protects is watched, one that it lets go is not", async () => {
  await attachOnce(targets[1]);
  await reload(configOf("", targets));
  const found = await attachFound(rimon, targets[1]);
  assert.equal(found.target?.pid, targets[1].pid);
  await reload(configOf());
  await attachOnce(targets[1]);
  // What comes after it was seen, so it was seen too, and not found.
  await attachFound(rimon, targets[0]);
  const ofSecond = rimon
    .findings()
    .filter(({ rule, target }) => rule === "ptrace-attach" && target?.pid === targets[1].pid);
  assert.deepEqual(
    ofSecond.map(({ id }) => id),
    [found.id],
  );
});

test("a bad file leaves the old configuration in force and names the place", async () => {
  hangUp(configOf("interval: soon\n"));
  await until("it was refused", () => said(/^configuration not reloaded, the old one stays in force: /) === 1);
  assert.match(rimon.stderr, /rimon\.yaml:\d+:\d+: .*interval/);
  await attachFound(rimon, targets[0]);
  hangUp("protect: [");
  await until("it was refused too", () => said(/^configuration not reloaded, the old one stays in force: /) === 2);
  await attachFound(rimon, targets[0]);
});

test("reloads while a sink hangs, one upon the other: every alert arrives", async () => {
  receiver.answerWith("hang");
  const hung = await attachAlerted(rimon, targets[0]);
  await receiver.waitFor(({ answered }) => answered === "hang", DEADLINE_MS, "a request that hangs");
  const before = said(/^configuration reloaded from /);
  const config = configOf("", targets);
  hangUp(config);
  const during = await attachFound(rimon, targets[0]);
  hangUp(config);
  await until("it was reloaded twice", () => said(/^configuration reloaded from /) === before + 2);
  const later = await attachAlerted(rimon, targets[1]);
  for (const { id } of [hung.finding, during, later.finding])
    await receiver.waitFor(
      ({ body, answered }) => answered === 200 && body.includes(id),
      DEADLINE_MS,
      `the alert of ${id}`,
    );
});

test("an action whose capability was dropped at the start is told with what to do", async () => {
  const lacks =
    /^configuration reloaded from .*; kill-suspect needs CAP_KILL, which rimon dropped at its start: restart it$/;
  await reload(configOf("actions: { kill-suspect: { enabled: true } }\n"));
  assert.equal(said(lacks), 1);
  await reload(configOf());
  assert.equal(said(lacks), 1);
});

test("mode off and on again by reload", async () => {
  await reload(configOf("environment: development\nmode: off\n"));
  await attachOnce(targets[0]);
  await reload(configOf());
  await attachFound(rimon, targets[0]);
});

test("SIGTERM during a reload with a sink that hangs: rimon ends in order", async () => {
  receiver.answerWith("hang", "hang", "hang");
  await attachFound(rimon, targets[0]);
  hangUp(configOf());
  await attachFound(rimon, targets[0]);
  assert.equal(await rimon.stop(), 0);
  assert.deepEqual(rimon.strayLines, []);
  assert.equal((await verifyAudit(rimon.stateDirectory)).code, 0);
  const records = await readAudit(rimon.stateDirectory);
  assert.ok(records.some(({ type }) => type === "config"));
  const verdicts = new Set(
    records.flatMap(({ type, body }) => (type === "verdict" ? [(body as unknown as Verdict).finding.id] : [])),
  );
  for (const { id } of rimon.findings()) assert.ok(verdicts.has(id), id);
});
