// Receivers that are away: what waits, what is refused, and what is told about it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { verifyAudit } from "../fixtures/command.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { startReceiver, type Receiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { attachAlerted, DEADLINE_MS, waitForTrouble } from "./attach.ts";

let target: Target;
let receiver: Receiver;

before(async () => {
  target = await spawnTarget();
  receiver = await startReceiver();
});

after(async () => {
  await target?.stop();
  await receiver?.close();
});

function configOf(extra = ""): string {
  return `
protect: ["pid:${target.pid}"]
respond: { critical: [], high: [] }
alerts:
  clusterAdmins: [{ webhook: { url: "${receiver.url}" } }]
${extra}`;
}

const idsReceived = (): string[] => receiver.received.map(({ body }) => (JSON.parse(body) as { id: string }).id);

function alertsQueued(rimon: Monitor): string[] {
  return rimon.records.flatMap((record) =>
    record.type === "outcome" && record["action"] === "alert" && record["result"] === "done"
      ? [String(record["finding"])]
      : [],
  );
}

test("alerts wait for their receiver, also through a restart, and arrive in order", async (t) => {
  await receiver.down();
  const stateDirectory = temporaryDirectory("state");
  const expected: string[] = [];
  const queued: string[] = [];
  for (const attaches of [4, 3]) {
    const rimon = startRimon({ stateDirectory, config: configOf() });
    t.after(() => rimon.kill9());
    await rimon.ready;
    for (let count = 0; count < attaches; count++) {
      const { finding, alert } = await attachAlerted(rimon, target);
      assert.equal(alert.result, "done", alert.message);
      expected.push(finding.id);
    }
    await waitForTrouble(rimon, /has been refusing since/);
    assert.equal(await rimon.stop(), 0);
    queued.push(...alertsQueued(rimon));
  }
  assert.deepEqual(idsReceived(), []);

  await receiver.up();
  const rimon = startRimon({ stateDirectory, config: configOf() });
  t.after(() => rimon.kill9());
  await rimon.ready;
  const last = await attachAlerted(rimon, target);
  expected.push(last.finding.id);
  await receiver.waitFor(({ body }) => body.includes(last.finding.id), DEADLINE_MS, "the last alert");
  assert.equal(await rimon.stop(), 0);

  const received = idsReceived();
  assert.deepEqual(
    received.filter((id) => expected.includes(id)),
    expected,
  );
  const missing = queued.filter((id) => !received.includes(id));
  assert.deepEqual(missing, []);
  assert.equal((await verifyAudit(stateDirectory)).code, 0);
});

test("what waits for a receiver arrives wherever it stands in the list, and is told when it stands there no more", async (t) => {
  await receiver.down();
  const stateDirectory = temporaryDirectory("state");
  const file = join(stateDirectory, "alerts.ndjson");
  const hook = `{ webhook: { url: "${receiver.url}" } }`;
  const withSinks = (...sinks: string[]): string => configOf().replace(hook, sinks.join(", "));
  const first = startRimon({ stateDirectory, config: withSinks(hook, `{ file: { path: "${file}" } }`) });
  t.after(() => first.kill9());
  await first.ready;
  const { finding } = await attachAlerted(first, target);
  assert.equal(await first.stop(), 0);

  const second = startRimon({ stateDirectory, config: withSinks(`{ file: { path: "${file}" } }`) });
  t.after(() => second.kill9());
  const told = await waitForTrouble(second, /^\d+ alerts? waits? in .*cluster-webhook-.* no longer configured/);
  assert.ok(!told.message.includes(new URL(receiver.url).host));
  assert.equal(await second.stop(), 0);

  await receiver.up();
  const third = startRimon({ stateDirectory, config: withSinks(`{ file: { path: "${file}" } }`, hook) });
  t.after(() => third.kill9());
  await receiver.waitFor(({ body }) => body.includes(finding.id), DEADLINE_MS, "the alert that waited");
  assert.equal(await third.stop(), 0);
});

test("a full outbox refuses, says so at once, and tells how many when it is empty again", async (t) => {
  await receiver.down();
  const rimon = startRimon({ config: configOf("  spool: { maxAlerts: 3 }\n") });
  t.after(() => rimon.kill9());
  await rimon.ready;
  let refused = 0;
  const refusedIds: string[] = [];
  while (refused < 4) {
    const { finding, alert } = await attachAlerted(rimon, target);
    if (alert.result === "done") continue;
    assert.equal(alert.result, "failed");
    assert.match(alert.message, /its outbox is full/);
    refusedIds.push(finding.id);
    refused++;
  }
  const full = await waitForTrouble(rimon, /is full \(3 alerts wait\)/);
  assert.equal(full.severity, "high");

  await receiver.up();
  const drained = await waitForTrouble(rimon, /is empty again; \d+ alerts were refused/);
  assert.equal(drained.severity, "info");
  const told = Number(/(\d+) alerts were refused/.exec(drained.message)?.[1]);
  const failures = rimon.records.filter(
    (record) => record.type === "outcome" && record["action"] === "alert" && record["result"] === "failed",
  );
  assert.equal(told, failures.length);
  assert.ok(told >= refused);

  // It takes alerts again, and none of those it refused came by another way.
  const { finding, alert } = await attachAlerted(rimon, target);
  assert.equal(alert.result, "done", alert.message);
  await receiver.waitFor(({ body }) => body.includes(finding.id), DEADLINE_MS, "an alert after all that");
  for (const id of refusedIds) assert.ok(!idsReceived().includes(id));
  assert.equal(await rimon.stop(), 0);
  assert.equal((await verifyAudit(rimon.stateDirectory)).code, 0);
});
