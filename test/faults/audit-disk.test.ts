// The audit log's disk is full: rimon goes on, says so, and catches up. Needs root: each test mounts a small tmpfs.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { after, before, test, type TestContext } from "node:test";
import { readAudit, verifyAudit } from "../fixtures/command.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { startReceiver, type Receiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { fill } from "../store/full-disk.ts";
import { smallDisk } from "../store/scratch.ts";
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

function startOn(t: TestContext, disk: string): Monitor {
  const rimon = startRimon({
    config: `
protect: ["pid:${target.pid}"]
respond: { critical: [], high: [] }
alerts: { clusterAdmins: [{ webhook: { url: "${receiver.url}" } }] }
audit: { path: "${disk}/audit.ndjson" }
`,
  });
  t.after(() => rimon.kill9());
  return rimon;
}

/** Attaches until the disk refuses, and some more; each is found and told all the same. */
async function attachWhileFull(rimon: Monitor, attaches: number): Promise<string[]> {
  const ids: string[] = [];
  for (let count = 0; count < attaches; count++) {
    const { finding, alert } = await attachAlerted(rimon, target);
    assert.equal(alert.result, "done", alert.message);
    await receiver.waitFor(({ body }) => body.includes(finding.id), DEADLINE_MS, "an alert");
    ids.push(finding.id);
  }
  return ids;
}

async function verdictsIn(disk: string): Promise<string[]> {
  const records = await readAudit(disk);
  return records.flatMap(({ type, body }) =>
    type === "verdict" ? [(body["finding"] as { readonly id: string }).id] : [],
  );
}

test("a disk that fills up: findings and alerts go on, the log catches up and is whole", async (t) => {
  const disk = smallDisk(t, 256);
  const rimon = startOn(t, disk);
  await rimon.ready;
  const { finding: before } = await attachAlerted(rimon, target);
  const filler = fill(disk);
  const during = await attachWhileFull(rimon, 6);
  const troubled = await waitForTrouble(rimon, /audit\.ndjson cannot be written: .*ENOSPC/);
  assert.equal(troubled.severity, "high");
  await receiver.waitFor(({ body }) => body.includes(troubled.id), DEADLINE_MS, "an alert about the log");

  rmSync(filler);
  await waitForTrouble(rimon, /is being written again/);
  const { finding: later } = await attachAlerted(rimon, target);
  const found = rimon.findings().map(({ id }) => id);
  assert.equal(await rimon.stop(), 0);

  const verification = await verifyAudit(disk);
  assert.equal(verification.code, 0, JSON.stringify(verification));
  const verdicts = await verdictsIn(disk);
  for (const id of [before.id, ...during, later.id]) assert.ok(verdicts.includes(id), id);
  assert.deepEqual(
    found.filter((id) => !verdicts.includes(id)),
    [],
  );
  const types = (await readAudit(disk)).map(({ type }) => type);
  assert.ok(types.includes("recovered"));
  assert.ok(!types.includes("lost"));
  // Cutting off what the disk took of a line is rimon's own doing, and no finding.
  assert.deepEqual(
    rimon.findings().filter(({ rule }) => rule === "own-file-changed"),
    [],
  );
});

test("a disk that is full at the start: rimon starts, says so and catches up", async (t) => {
  const disk = smallDisk(t, 64);
  const filler = fill(disk);
  const rimon = startOn(t, disk);
  await rimon.ready;
  await waitForTrouble(rimon, /audit\.ndjson cannot be written: .*ENOSPC/);
  const during = await attachWhileFull(rimon, 2);
  rmSync(filler);
  await waitForTrouble(rimon, /is being written again/);
  assert.equal(await rimon.stop(), 0);
  assert.equal((await verifyAudit(disk)).code, 0);
  const verdicts = await verdictsIn(disk);
  for (const id of during) assert.ok(verdicts.includes(id), id);
});

test("a disk that stays full: rimon ends in order and says what is not in the log", async (t) => {
  const disk = smallDisk(t, 128);
  const rimon = startOn(t, disk);
  await rimon.ready;
  fill(disk);
  await attachWhileFull(rimon, 6);
  await waitForTrouble(rimon, /audit\.ndjson cannot be written: .*ENOSPC/);
  assert.equal(await rimon.stop(), 0);
  assert.ok(rimon.findings().some(({ message }) => /ends with \d+ records unwritten/.test(message)));
  assert.equal((await verifyAudit(disk)).code, 0);
});
